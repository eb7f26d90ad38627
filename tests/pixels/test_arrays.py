"""Pictures that lie decoded in an array are read as they lie there, and nothing else is taken for one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tagwise.pixels.arrays import array_name, shape_in_array, write_header
from tagwise.pixels.decode import decode
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from pathlib import Path

IMAGES_NHWC = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), np.uint8)


def test_a_row_of_an_array_is_its_picture(tmp_path: Path) -> None:
    path = tmp_path / array_name(24, 32)
    np.save(path, IMAGES_NHWC)
    begins, length = path.stat().st_size - IMAGES_NHWC.nbytes, IMAGES_NHWC[0].nbytes
    for row, wanted in enumerate(IMAGES_NHWC):
        picture = decode(Place(str(path), begins + row * length, length))
        np.testing.assert_array_equal(picture.pixels_HWC, wanted)
        assert picture.pixels_HWC.flags.writeable
    with pytest.raises(PictureRefused, match="cut off"):
        decode(Place(str(path), begins + 5 * length, length))


@pytest.mark.parametrize(
    ("name", "length"),
    [("24x32.npy", None), ("24x32.npy", 5), ("24x32.tar", 2304), ("a24x32.npy", 2304), ("24x32.npy.png", 2304)],
)
def test_other_places_are_files_or_members(name: str, length: int | None) -> None:
    assert shape_in_array(Place(f"/corpus/arrays/{name}", 128, length)) is None
    assert shape_in_array(Place("/corpus/arrays/24x32.npy", 128, 2304)) == (24, 32, 3)


def test_the_header_of_any_number_of_pictures_is_as_long() -> None:
    headers = []
    for pictures in (0, 7, 10**12):
        handle = io.BytesIO()
        headers.append(write_header(handle, pictures, 24, 32, 3))
        handle.seek(0)
        assert np.lib.format.read_magic(handle) == (1, 0)
        assert np.lib.format.read_array_header_1_0(handle) == ((pictures, 24, 32, 3), False, np.dtype(np.uint8))
    assert len(set(headers)) == 1
