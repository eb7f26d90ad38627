"""Pictures small enough to live inside the page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

_QUALITY = 80
_GAP_PIXELS = 4


def thumbnail(image_HWC: NDArray[np.uint8], size: int = 160) -> str:
    """A picture of at most ``size`` pixels a side, whole and undistorted, never enlarged.

    Args:
        image_HWC: RGB or grey, 0..255, of shape (height, width, 3) or (height, width, 1).
        size: Longest side of the thumbnail in pixels.

    Returns:
        A ``data:image/...`` URI: PNG, JPEG or WebP, whichever is smallest.
    """
    return _uri(_shrunk(image_HWC, size), ("PNG", "JPEG", "WEBP"))


def contact_sheet(images_HWC: Sequence[NDArray[np.uint8]], columns: int = 8, size: int = 96) -> str:
    """Many pictures in one, row by row, each whole in its square; the gaps are transparent.

    Args:
        images_HWC: At least one picture, as for ``thumbnail``; sizes may differ.
        columns: Squares in a row.
        size: Side of a square in pixels.

    Returns:
        A ``data:image/...`` URI: PNG or WebP, whichever is smaller.
    """
    from PIL import Image

    assert images_HWC, "a contact sheet of no pictures"
    columns = min(columns, len(images_HWC))
    rows = -(-len(images_HWC) // columns)
    pitch = size + _GAP_PIXELS
    sheet = Image.new("RGBA", (columns * pitch - _GAP_PIXELS, rows * pitch - _GAP_PIXELS))
    for index, image_HWC in enumerate(images_HWC):
        picture = _shrunk(image_HWC, size)
        left = index % columns * pitch + (size - picture.width) // 2
        top = index // columns * pitch + (size - picture.height) // 2
        sheet.paste(picture, (left, top))
    return _uri(sheet, ("PNG", "WEBP"))


def _shrunk(image_HWC: NDArray[np.uint8], size: int) -> Image:
    from PIL import Image

    assert image_HWC.dtype == np.uint8, "pictures are 0..255"
    assert image_HWC.ndim == 3, "a picture is height, width, channels"
    assert image_HWC.shape[2] in (1, 3), "a picture is grey or RGB"
    height, width, channels = image_HWC.shape
    picture = Image.fromarray(image_HWC if channels == 3 else np.repeat(image_HWC, 3, axis=2))
    scale = min(1.0, size / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return picture if scale == 1 else picture.resize(shape, Image.Resampling.LANCZOS)


def _uri(picture: Image, formats: Sequence[str]) -> str:
    content, name = min(((_encoded(picture, name), name) for name in formats), key=lambda pair: len(pair[0]))
    return f"data:image/{name.lower()};base64,{base64.b64encode(content).decode('ascii')}"


def _encoded(picture: Image, name: str) -> bytes:
    stream = io.BytesIO()
    options = {"optimize": True} if name == "PNG" else {"quality": _QUALITY}
    picture.save(stream, name, **options)
    return stream.getvalue()
