"""The values that a mask's file holds, as they were written: no palette is applied, no sixteen bits are cut."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.progress import printable
from tagwise.pixels.decode import check_size, read_formats, reason_of
from tagwise.pixels.place import PictureRefused, Place
from tagwise.pixels.quiet import quiet

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg"})
"""Of files that may hold values; those of JPEG are not what was written."""
_PACKED = {"L;2": 85, "L;4": 17}
"""Pillow stretches grey values of two and four bits to 0..255 by these."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a file holds."""

    values: NDArray[np.int32]
    """[height, width]; of colours red * 65536 + green * 256 + blue."""
    mode: str
    """Pillow's: ``P``, ``L``, ``1``, ``I;16``, ``RGB`` ..."""

    @property
    def coloured(self) -> bool:
        """Whether values are colours."""
        return self.mode.startswith("RGB")


def read_values(source: Path | bytes) -> Values:
    """The values of a palette map (indices), a grey one of 1 to 16 bits, or a coloured one.

    Raises:
        PictureRefused: It cannot be read, or holds neither values nor colours.
    """
    name = "this mask" if isinstance(source, bytes) else printable(str(source))
    content = source if isinstance(source, bytes) else Place(str(source)).read()
    try:
        with quiet(), Image.open(io.BytesIO(content), formats=read_formats()) as image:
            check_size(image)
            return Values(values=_array(image), mode=image.mode)
    except PictureRefused as refusal:
        raise PictureRefused(refusal.reason, name) from refusal
    except Exception as error:  # Pillow raises anything at strangers' bytes
        raise PictureRefused(reason_of(error, content), name) from error


def _array(image: Image.Image) -> NDArray[np.int32]:
    tiles = getattr(image, "tile", None) or [("", None, 0, "")]
    packed = _PACKED.get(str(tiles[0][3]), 1) if image.mode == "L" else 1
    if image.mode in ("RGB", "RGBA"):
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int32), 2, 0)
        return red << 16 | green << 8 | blue
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"), np.int32)
    if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
        raise PictureRefused(f"its mode {image.mode} holds no values of classes or objects")
    return np.asarray(image).astype(np.int32) // packed
