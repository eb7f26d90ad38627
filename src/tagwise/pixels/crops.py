"""Random crops of whole pictures, for worker processes: decoded, cropped, mirrored and varied one by one.

The crop is cut out of the whole picture, as the papers' recipes do, and not out of the view's square.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from tagwise.pixels.augment import Augment, picture_seed, vary_picture
from tagwise.pixels.decode import UPRIGHT, check_size, decode, orientation_of
from tagwise.pixels.place import Place
from tagwise.pixels.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tagwise.base.views import View

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, kw_only=True)
class CropReader:
    """Reads a picture as a training sees it once; the same for the same number, in any process.

    Attributes:
        augment: Crops, mirroring and all that varies colours.
        view: Side of the crop, its filter, and what lies under transparent pixels.
        seed: The run's one seed.
    """

    augment: Augment
    view: View
    seed: int

    def __call__(self, place: Place, number: int) -> NDArray[np.uint8]:
        """uint8 RGB [resolution, resolution, 3].

        Raises:
            PictureRefused: It cannot honestly be read.
        """
        crop = _random_crop(self.augment, self.view)
        picture_CHW = torch.from_numpy(decode_whole(place, self.view.background)).permute(2, 0, 1)
        seed = picture_seed(self.seed, number)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            picture_CHW = crop(picture_CHW)
            if self.augment.flip and torch.rand(()) < 0.5:
                picture_CHW = picture_CHW.flip(-1)
        pixels_HWC = picture_CHW.permute(1, 2, 0)
        if self.augment.by_picture:
            pixels_HWC = vary_picture(pixels_HWC, self.augment, self.view, seed)
        return pixels_HWC.numpy()


@cache
def _random_crop(augment: Augment, view: View) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    area, ratio = (augment.smallest_area_fraction, 1.0), (1 / augment.aspect, augment.aspect)
    crop: Callable[[Tensor], Tensor] = v2.RandomResizedCrop(
        view.resolution, area, ratio, v2.InterpolationMode(view.interpolation)
    )
    return crop


def decode_whole(place: Place, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The picture as uint8 RGB [height, width, 3], upright.

    simplejpeg reads plain JPEGs, with more than half as much speed again as Pillow; Pillow reads all else.

    Raises:
        PictureRefused: See ``decode``.
    """
    content = place.read()
    pixels_HWC = _quickly(content) if content.startswith(_JPEG) else None
    return decode(place, background=background).pixels_HWC if pixels_HWC is None else pixels_HWC


def _quickly(content: bytes) -> NDArray[np.uint8] | None:
    """A JPEG's pixels; None where Pillow has to read it, or to say what is wrong with it."""
    try:
        with quiet(), Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            check_size(image)
            orientation = orientation_of(image)
            if image.mode not in ("RGB", "L"):
                return None
        pixels_HWC: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "RGB")
    except Exception:  # bytes of strangers raise anything
        return None
    if orientation not in UPRIGHT:
        return pixels_HWC
    return np.array(Image.fromarray(pixels_HWC).transpose(UPRIGHT[orientation]))
