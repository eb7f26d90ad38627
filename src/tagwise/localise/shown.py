"""A picture and what is known of it as a net sees them in training: resized, cropped and mirrored together.

All that varies comes from one seed, so that a picture is shown the same after a restart and by any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from tagwise.base.errors import DataRefused
from tagwise.base.progress import printable
from tagwise.base.views import IMAGENET_MEAN
from tagwise.localise.annotations import IGNORE, AnnotatedPicture, Category, MappedPicture, Rle
from tagwise.localise.rasters import decode
from tagwise.localise.showing import Showing, showings
from tagwise.pixels.place import PictureRefused
from tagwise.training.heads import Sizing

SMALLEST_SIDE = 1.0
"""Pixels, as shown; objects with a shorter side are left away."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A picture as it is shown, with its objects or with a label for each pixel."""

    image_CHW: Tensor
    """uint8, RGB."""
    boxes_N4: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    """float32: x1, y1, x2, y2 in pixels of what is shown; none where pixels have labels."""
    labels_N: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """int64: places in the categories, plus 1."""
    masks_NHW: Tensor | None = None
    """uint8, 0 or 1."""
    keypoints_NK3: Tensor | None = None
    """float32: x, y and 0 unlabelled or not shown, 1 hidden, 2 visible."""
    map_HW: Tensor | None = None
    """uint8: classes, or ``IGNORE``."""
    lost: int = 0
    """Objects that were cut away, or became too small."""

    @property
    def ids(self) -> Tensor:
        """The category of each object, from 0, or each class that some pixel has: int64."""
        if self.map_HW is None:
            return self.labels_N - 1
        return torch.bincount(self.map_HW.flatten().long(), minlength=IGNORE)[:IGNORE].nonzero().flatten()


def shown(
    picture: AnnotatedPicture | MappedPicture,
    image_HWC: NDArray[np.uint8],
    sizing: Sizing,
    seed: int | None,
    *,
    masks: bool = False,
    keypoints: bool = False,
    categories: Sequence[Category] = (),
    mean: tuple[float, float, float] = IMAGENET_MEAN,
) -> Sample:
    """A picture and its truth, varied alike; crowd regions are left away.

    Pictures are resized with antialiasing; of masks and maps the nearest pixel is taken, which keeps a mask's box
    nearest to the box. Where an object was cut and its mask is wanted, its box becomes that of what is left of it.

    Args:
        picture: With what is known of it.
        image_HWC: Its pixels, RGB, upright.
        sizing: What is varied, and how strongly.
        seed: Decides all of that; None: the picture as it is, in its own size.
        masks: Whether the objects' masks are wanted.
        keypoints: Whether their keypoints are wanted.
        categories: Of the objects; their keypoints change places in the mirror.
        mean: RGB in 0..1 of what fills pictures up; maps are filled up with ``IGNORE``.

    Raises:
        PictureRefused: The picture or its map has another size than the annotations say.
        DataRefused: A mask is wanted of an object that has none.
    """
    _refuse_other_size(picture, "it", image_HWC)
    draws = showings(picture.height, picture.width, sizing, seed)
    if isinstance(picture, MappedPicture):
        map_HW, showing = _shown_map(picture, draws)
        sample = Sample(image_CHW=_shown_picture(image_HWC, showing, mean), map_HW=torch.from_numpy(map_HW))
    else:
        showing = next(draws)
        image_CHW = _shown_picture(image_HWC, showing, mean)
        sample = _with_objects(image_CHW, picture, showing, categories, masks=masks, keypoints=keypoints)
    return mirrored(sample, categories) if showing.mirrored else sample


def mirrored(sample: Sample, categories: Sequence[Category]) -> Sample:
    """The same in the mirror, where left keypoints are right ones; twice it is what it was.

    Args:
        sample: Stays as it is.
        categories: That its labels count from 1; one that does not say what its keypoints are in the mirror keeps them.
    """
    width = sample.image_CHW.shape[-1]
    boxes_N4 = sample.boxes_N4.clone()
    boxes_N4[:, [0, 2]] = width - boxes_N4[:, [2, 0]]
    return replace(
        sample,
        image_CHW=sample.image_CHW.flip(-1),
        boxes_N4=boxes_N4,
        masks_NHW=None if sample.masks_NHW is None else sample.masks_NHW.flip(-1),
        keypoints_NK3=None if sample.keypoints_NK3 is None else _mirrored_keypoints(sample, categories),
        map_HW=None if sample.map_HW is None else sample.map_HW.flip(-1),
    )


def grey_levels(mean: tuple[float, float, float]) -> Tensor:
    """RGB in 0..1 as uint8 [3]: what pictures are filled up with."""
    return torch.tensor([round(255 * value) for value in mean], dtype=torch.uint8)


def _refuse_other_size(picture: AnnotatedPicture | MappedPicture, what: str, pixels: NDArray[np.uint8]) -> None:
    height, width = pixels.shape[:2]
    if (height, width) != (picture.height, picture.width):
        raise PictureRefused(
            f"{what} has {width} x {height} pixels, and what is known of it is for {picture.width} x {picture.height}",
            printable(str(picture.place)),
        )


def _shown_picture(image_HWC: NDArray[np.uint8], showing: Showing, mean: tuple[float, float, float]) -> Tensor:
    part_HWC = image_HWC[showing.top :, showing.left :][: showing.part_height, : showing.part_width]
    part_CHW = torch.from_numpy(np.ascontiguousarray(part_HWC)).permute(2, 0, 1)
    resized_CHW = v2.resize(part_CHW, [showing.height, showing.width], antialias=True)
    seen_CHW = resized_CHW[:, showing.y : showing.y + showing.down, showing.x : showing.x + showing.across]
    if showing.size == (showing.down, showing.across):
        return seen_CHW.clone()  # of pixels that may be shown again, or a small part of many
    filled_CHW = grey_levels(mean).expand(*showing.size, 3).clone().permute(2, 0, 1)
    filled_CHW[:, : showing.down, : showing.across] = seen_CHW
    return filled_CHW


def _shown_map(picture: MappedPicture, draws: Iterator[Showing]) -> tuple[NDArray[np.uint8], Showing]:
    """The first draw with a pixel that counts, or the last one."""
    map_HW = picture.read_map()
    _refuse_other_size(picture, "its map", map_HW)
    for showing in draws:
        seen_HW = map_HW[showing.rows()][:, showing.columns()]
        if (seen_HW != IGNORE).any():
            break
    return _filled(seen_HW, showing, IGNORE), showing


def _filled(seen: NDArray[np.uint8], showing: Showing, value: int) -> NDArray[np.uint8]:
    """Maps [..., down, across] in the size of all that is shown."""
    filled = np.full((*seen.shape[:-2], *showing.size), value, np.uint8)
    filled[..., : showing.down, : showing.across] = seen
    return filled


def _with_objects(
    image_CHW: Tensor,
    picture: AnnotatedPicture,
    showing: Showing,
    categories: Sequence[Category],
    *,
    masks: bool,
    keypoints: bool,
) -> Sample:
    moved_N4 = showing.moved(picture.boxes_N4.reshape(-1, 2, 2)).reshape(-1, 4)
    boxes_N4 = moved_N4.clip(0, [showing.across, showing.down] * 2)
    large_N = (boxes_N4[:, 2:] - boxes_N4[:, :2] >= SMALLEST_SIDE).all(1)
    kept = np.flatnonzero(large_N & ~picture.crowd_N)
    masks_NHW = None
    if masks:
        masks_NHW = _shown_masks(picture, kept, showing)
        there_N = masks_NHW.any((1, 2))
        kept, masks_NHW = kept[there_N], masks_NHW[there_N]
        cut_N = (boxes_N4[kept] != moved_N4[kept]).any(1)
        boxes_N4[kept[cut_N]] = _boxes_of(masks_NHW[cut_N])
    keypoints_NK3 = _shown_keypoints(picture, kept, showing, categories) if keypoints else None
    return Sample(
        image_CHW=image_CHW,
        boxes_N4=torch.from_numpy(boxes_N4[kept].astype(np.float32)),
        labels_N=torch.from_numpy(picture.categories_N[kept] + 1),
        masks_NHW=None if masks_NHW is None else torch.from_numpy(masks_NHW),
        keypoints_NK3=None if keypoints_NK3 is None else torch.from_numpy(keypoints_NK3.astype(np.float32)),
        lost=int((~picture.crowd_N).sum()) - len(kept),
    )


def _shown_masks(picture: AnnotatedPicture, kept: NDArray[np.int64], showing: Showing) -> NDArray[np.uint8]:
    rows, columns = showing.rows(), showing.columns()
    seen_NHW = np.zeros((len(kept), showing.down, showing.across), np.uint8)
    for seen_HW, number in zip(seen_NHW, kept.tolist(), strict=True):
        mask = decode(_mask_of(picture, number)).T  # as it lies in memory
        seen_HW[:] = mask[columns][:, rows].T
    return _filled(seen_NHW, showing, 0)


def _mask_of(picture: AnnotatedPicture, number: int) -> Rle:
    mask = picture.masks[number]
    if mask is None:
        raise DataRefused(
            f"The object {picture.ids[number]} of {printable(picture.name)} has a box and no mask; give each object a "
            "mask, or train a head that needs none (--head faster)."
        )
    return mask


def _boxes_of(masks_NHW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Around masks that are not empty."""
    height, width = masks_NHW.shape[1:]
    rows, columns = masks_NHW.max(2), masks_NHW.max(1)
    left, top = columns.argmax(1), rows.argmax(1)
    right, bottom = width - columns[:, ::-1].argmax(1), height - rows[:, ::-1].argmax(1)
    return np.stack([left, top, right, bottom], 1).astype(np.float64)


def _shown_keypoints(
    picture: AnnotatedPicture, kept: NDArray[np.int64], showing: Showing, categories: Sequence[Category]
) -> NDArray[np.float64]:
    if picture.keypoints_NK3 is None:
        return np.zeros((len(kept), max((len(category.keypoints) for category in categories), default=0), 3))
    keypoints_NK3 = picture.keypoints_NK3[kept]
    places = showing.moved(keypoints_NK3[..., :2])
    inside = ((places >= 0) & (places <= [showing.across, showing.down])).all(-1)
    keypoints_NK3[..., :2] = places
    keypoints_NK3[~inside | (keypoints_NK3[..., 2] == 0)] = 0  # COCO's form of what is not labelled
    return keypoints_NK3


def _mirrored_keypoints(sample: Sample, categories: Sequence[Category]) -> Tensor:
    assert sample.keypoints_NK3 is not None
    count = sample.keypoints_NK3.shape[1]
    keypoints_NK3 = sample.keypoints_NK3.clone()
    keypoints_NK3[..., 0] = sample.image_CHW.shape[-1] - keypoints_NK3[..., 0]
    keypoints_NK3[keypoints_NK3[..., 2] == 0] = 0
    swaps = [categories[label - 1].mirrored for label in sample.labels_N.tolist()]
    orders = [[*swap, *range(len(swap), count)] for swap in swaps]
    order = torch.tensor(orders, dtype=torch.int64).view(len(orders), count, 1)
    return keypoints_NK3.gather(1, order.expand(-1, -1, 3))
