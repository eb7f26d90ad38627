"""Pictures that lie decoded in an array on disk: ``24x32.npy`` holds pictures of 24 rows of 32 RGB pixels."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tagwise.pixels.place import Place

_NAME = re.compile(r"(?:^|/)([0-9]+)x([0-9]+)\.npy$")


def array_name(height: int, width: int) -> str:
    """The name of the file of all pictures of one size."""
    return f"{height}x{width}.npy"


def shape_in_array(place: Place) -> tuple[int, int, int] | None:
    """Height, width and 3 of a picture of such an array; None of any other place."""
    sides = _NAME.search(place.path)
    if sides is None or place.length is None:
        return None
    height, width = int(sides[1]), int(sides[2])
    return (height, width, 3) if place.length == height * width * 3 else None


def write_header(handle: IO[bytes], *shape: int) -> int:
    """Writes the header of a uint8 array of NumPy's format, version 1.0; returns where its first picture begins.

    It is as long for any number of pictures, so that it can be written again when the number is known.
    """
    np.lib.format.write_array_header_1_0(handle, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return handle.tell()
