"""What a file tells of its past: format, size, and the quality of a JPEG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tagwise.pixels.forms import PictureForm, estimate_quality, read_form
from tagwise.pixels.place import Place

NOISE = Image.effect_noise((40, 24), 60).convert("RGB")


def saved(folder: Path, name: str, image: Image.Image = NOISE, **settings: Any) -> Place:
    image.save(folder / name, **settings)
    return Place(str(folder / name))


@pytest.mark.parametrize("quality", [*range(1, 101, 7), 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_that_pillow_wrote_is_found_exactly(tmp_path: Path, quality: int) -> None:
    form = read_form(saved(tmp_path, "a.jpg", quality=quality))
    assert form == PictureForm(format="JPEG", width=40, height=24, lossy=True, jpeg_quality=quality)


def test_every_quality_has_a_table_of_its_own() -> None:
    def table(quality: int) -> list[int]:
        file = io.BytesIO()
        NOISE.resize((8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            return list(image.quantization[0])  # type: ignore[attr-defined]

    assert [estimate_quality(table(quality)) for quality in range(1, 101)] == list(range(1, 101))


def test_a_table_of_another_encoder_gets_the_nearest_quality() -> None:
    with io.BytesIO() as file:
        NOISE.save(file, "JPEG", quality=80)
        with Image.open(file) as image:
            table = list(image.quantization[0])  # type: ignore[attr-defined]
    table[63] += 3
    assert estimate_quality(table) == 80


@pytest.mark.parametrize(
    ("name", "settings", "lossy"),
    [
        ("a.png", {}, False),
        ("a.bmp", {}, False),
        ("lossless.webp", {"lossless": True}, False),
        ("lossy.webp", {"quality": 80}, True),
        ("lossy_with_exif.webp", {"quality": 80, "exif": b"Exif\0\0"}, True),
        ("lossless_with_exif.webp", {"lossless": True, "exif": b"Exif\0\0"}, False),
        ("grey.jpg", {"quality": 75}, True),
    ],
)
def test_formats_that_lose_detail_are_told_from_those_that_keep_it(
    tmp_path: Path, name: str, settings: dict[str, Any], lossy: bool
) -> None:
    form = read_form(saved(tmp_path, name, NOISE.convert("L") if name == "grey.jpg" else NOISE, **settings))
    assert form is not None
    assert (form.lossy, form.width, form.height) == (lossy, 40, 24)
    assert form.jpeg_quality == (75 if name == "grey.jpg" else None)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(20)])
def test_what_is_no_picture_has_no_form(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_form(Place(str(tmp_path / "a.jpg"))) is None
    assert read_form(Place(str(tmp_path / "missing.jpg"))) is None


def test_every_odd_file_has_a_form_or_none(real_data: Path) -> None:
    """Files that break readers."""
    for path in (real_data / "odd_files").iterdir():
        form = read_form(Place(str(path)))
        assert form is None or (form.width > 0 and form.height > 0)
