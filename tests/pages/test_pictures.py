"""Thumbnails are whole, small, undistorted pictures inside a data URI."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tagwise.pages.pictures import contact_sheet, thumbnail


def opened(uri: str) -> Image.Image:
    head, _, content = uri.partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert picture.format is not None
    assert head == f"data:image/{picture.format.lower()};base64"
    return picture


@pytest.fixture
def noise_HWC() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)


@pytest.mark.parametrize(("shape", "size"), [((300, 200), (107, 160)), ((50, 400), (160, 20)), ((3000, 1), (1, 160))])
def test_a_thumbnail_keeps_the_shape_of_the_picture(shape: tuple[int, int], size: tuple[int, int]) -> None:
    assert opened(thumbnail(np.zeros((*shape, 3), dtype=np.uint8))).size == size


def test_a_small_picture_is_not_enlarged() -> None:
    image_HWC = np.full((32, 20, 3), 200, dtype=np.uint8)
    picture = opened(thumbnail(image_HWC)).convert("RGB")
    np.testing.assert_allclose(np.asarray(picture), image_HWC, atol=3)


def test_grey_pictures_are_shown_grey() -> None:
    values = np.asarray(opened(thumbnail(np.full((10, 10, 1), 77, dtype=np.uint8))).convert("RGB"))
    assert np.abs(values.astype(int) - 77).max() <= 3


def test_the_smallest_of_three_formats_is_taken(noise_HWC: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(noise_HWC).resize((107, 160), Image.Resampling.LANCZOS)
    lengths = []
    for name, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 80}), ("WEBP", {"quality": 80})):
        stream = io.BytesIO()
        picture.save(stream, name, **options)
        lengths.append(len(stream.getvalue()))
    assert len(base64.b64decode(thumbnail(noise_HWC).partition(",")[2])) == min(lengths)


def test_a_contact_sheet_holds_every_picture_whole_between_transparent_gaps() -> None:
    images_HWC = [np.full((20, 40, 3), 250, dtype=np.uint8), np.full((40, 40, 3), 250, dtype=np.uint8)] * 2
    sheet = opened(contact_sheet(images_HWC[:3], columns=2, size=40)).convert("RGBA")
    assert sheet.size == (84, 84)
    seen = np.asarray(sheet)[..., 3] > 0
    assert seen.sum() == 20 * 40 + 40 * 40 + 20 * 40
    assert not seen[:, 40:44].any()


def test_the_same_picture_gives_the_same_uri(noise_HWC: NDArray[np.uint8]) -> None:
    assert thumbnail(noise_HWC) == thumbnail(noise_HWC.copy())


def test_floats_are_no_picture() -> None:
    with pytest.raises(AssertionError):
        thumbnail(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
