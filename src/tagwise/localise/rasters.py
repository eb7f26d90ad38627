"""Masks out of polygons, run lengths and arrays, all by COCO's rule, which is pycocotools' own.

Drawn by another rule (Pillow's) the border differs. What comes from files is checked first:
pycocotools trusts its input and writes past its buffers where that lies.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.errors import DataRefused
from tagwise.localise.annotations import Rle
from tagwise.measure.coco import coco_masks
from tagwise.pixels.decode import UPRIGHT

Shape = Sequence[Sequence[float]] | Mapping[str, Any]
"""Polygons, each x, y, x, y, ...; or run lengths as a COCO file has them."""

FAR = 16
"""Sides of the picture beyond which a polygon's corner is refused; drawing costs by the length of its edges."""


class ShapeRefused(DataRefused):
    """A mask that a file describes and nobody can draw; the message is a clause."""


def draw(shape: Shape, height: int, width: int) -> Rle:
    """The mask of an object.

    Args:
        shape: All polygons of the object, or its run lengths, compressed or not.
        height: Of the picture.
        width: Of the picture.

    Raises:
        ShapeRefused: A polygon of fewer than three corners, not finite or far outside; run lengths of another size.
        UsageError: pycocotools is not installed.
    """
    if isinstance(shape, Mapping):
        return _of_runs(shape, height, width)
    masks = _masks()
    for polygon in shape:
        _refuse_polygon(polygon, FAR * max(height, width))
    if not shape:
        raise ShapeRefused("there is no polygon")
    return masks.merge(masks.frPyObjects([list(map(float, polygon)) for polygon in shape], height, width))


def encode(mask_HW: NDArray[np.bool_]) -> Rle:
    """The run lengths of a mask."""
    return _masks().encode(np.asfortranarray(mask_HW, np.uint8))


def decode(rle: Rle) -> NDArray[np.bool_]:
    """The mask of run lengths that ``draw`` or ``encode`` gave, [height, width]."""
    return _masks().decode(rle).astype(bool)


def area(rle: Rle) -> int:
    """Pixels of a mask."""
    return int(_masks().area(rle))


def bounds(rle: Rle) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 around a mask."""
    x, y, width, height = map(float, _masks().toBbox(rle))
    return x, y, x + width, y + height


def turn(rle: Rle, orientation: int) -> Rle:
    """The mask as the picture's EXIF orientation turns it."""
    return encode(np.array(Image.fromarray(decode(rle).view(np.uint8)).transpose(UPRIGHT[orientation])) > 0)


@functools.cache
def _masks() -> Any:
    return coco_masks()


def _refuse_polygon(polygon: Any, far: float) -> None:
    if not isinstance(polygon, Sequence) or len(polygon) < 6:
        raise ShapeRefused("a polygon has fewer than three corners")
    if len(polygon) % 2:
        raise ShapeRefused("a polygon has an odd count of numbers")
    if not all(type(number) in (int, float) and -far <= number <= far for number in polygon):
        raise ShapeRefused("a polygon has a corner that is no number, not finite or far outside")


def _of_runs(shape: Mapping[str, Any], height: int, width: int) -> Rle:
    if shape.get("size") != [height, width]:
        raise ShapeRefused(f"its run lengths are of {shape.get('size')}, not [{height}, {width}]")
    counts = shape.get("counts")
    if isinstance(counts, str | bytes):
        counts = _counts(counts if isinstance(counts, bytes) else counts.encode("utf-8", "surrogatepass"))
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise ShapeRefused("its run lengths are no counts")
    if sum(counts) != height * width:
        raise ShapeRefused(f"its run lengths sum to {sum(counts)}, not {height * width}")
    return _masks().frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _counts(text: bytes) -> list[int]:
    """Compressed run lengths: five bits a character, lowest first, from the third count on less the one before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = character - 48
        if not 0 <= code < 64 or shift > 35:
            raise ShapeRefused("its compressed run lengths hold strange characters")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) and 1 << shift  # the highest bit is the sign
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ShapeRefused("its compressed run lengths are cut off")
    return counts
