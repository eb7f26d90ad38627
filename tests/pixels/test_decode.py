"""Decoding: every odd picture has a defined outcome, and no bytes of a stranger raise anything else."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tagwise.base.views import View
from tagwise.pixels import decode as decoding
from tagwise.pixels.decode import decode, fit
from tagwise.pixels.place import MAX_BYTES, PictureRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_HWC = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)

# EXIF 2.3, tag 0x0112: what turns the stored rows and columns upright.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


def encoded(pixels: NDArray[Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


def refused(content: bytes | Path) -> str:
    with pytest.raises(PictureRefused) as refusal:
        decode(content)
    assert refusal.value.exit_code == 3
    return refusal.value.reason


def test_p26_every_odd_file_ends_as_its_manifest_says(real_data: Path) -> None:
    odd = real_data / "odd_files"
    wrong = []
    for entry in json.loads((odd / "manifest.json").read_text("utf-8"))["files"]:
        try:
            picture = decode(odd / entry["file"])
            outcome = "convert" if picture.notes else "decode"
            assert picture.pixels_HWC.dtype == np.uint8
            assert picture.pixels_HWC.shape[2] == 3
            assert (
                entry["pillow"]["size"] == list(picture.pixels_HWC.shape[1::-1]) or "rotated by EXIF" in picture.notes
            )
        except PictureRefused:
            outcome = "refuse"
        wanted = entry["good_reader"]
        # A picture to decode may earn a note (a profile passed over); one to convert may need nothing done (opaque).
        if (outcome == "refuse") != (wanted == "refuse") and " or " not in wanted:
            wrong.append((entry["file"], wanted, outcome))
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("hopper_gray.jpg", "greyscale"),
        ("pil_sample_cmyk.jpg", "CMYK"),
        ("tiff_strip_cmyk_jpeg.tif", "CMYK"),
        ("hopper.Lab.tif", "Lab"),
        ("hopper.gif", "palette"),
        ("p_trns_single.png", "transparency composited"),
        ("rgb_trns.png", "transparency composited"),
        ("l_trns.png", "transparency composited"),
        ("i_trns.png", "transparency composited"),
        ("bmp_q_rgba32.bmp", "transparency composited"),
        ("dispose_prev.gif", "first frame"),
        ("made_animated.webp", "first frame"),
        ("multipage.tiff", "first frame"),
        ("apng_mode_16bit.png", "16 bits scaled"),
        ("tiff_16bit_RGB.tiff", "16 bits scaled"),
        ("g4_orientation_6.tif", "rotated by EXIF"),
        ("avif_rot1mir0.avif", "rotated by EXIF"),
        ("hopper_orientation_6.webp", "rotated by EXIF"),
        ("icc_profile.png", "colour profile ignored"),
        ("7x13.png", "tiny"),
        ("made_extreme_aspect.png", "extreme aspect ratio"),
    ],
)
def test_p26_a_conversion_is_noted(real_data: Path, name: str, note: str) -> None:
    path = real_data / "odd_files" / name
    if path.suffix == ".avif" and "AVIF" not in decoding.read_formats():
        pytest.skip("this Pillow reads no AVIF")
    assert note in decode(path).notes


def test_p26_inverted_cmyk_is_no_negative(real_data: Path) -> None:
    odd = real_data / "odd_files"
    cmyk, rgb = (decode(odd / f"pil_sample_{kind}.jpg").pixels_HWC.astype(float) for kind in ("cmyk", "rgb"))
    assert np.abs(cmyk - rgb).mean() < 8
    assert np.abs(255 - cmyk - rgb).mean() > 100


def test_p26_lab_is_the_picture_it_was_made_of(real_data: Path) -> None:
    odd = real_data / "odd_files"
    lab, rgb = (decode(odd / name).pixels_HWC.astype(float) for name in ("hopper.Lab.tif", "hopper.png"))
    assert np.abs(lab - rgb).mean() < 3


def test_p26_turned_phone_pictures_come_out_upright(real_data: Path) -> None:
    odd = real_data / "odd_files"
    upright = decode(odd / "hopper.jpg").pixels_HWC.astype(float)
    for number in (2, 3, 5, 6, 8):
        turned = decode(odd / f"hopper_orientation_{number}.jpg").pixels_HWC
        assert np.abs(turned - upright).mean() < 6, number


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("number", UPRIGHT)
def test_p26_exif_orientation_is_applied_as_defined(number: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = number
    options = {"lossless": True} if form == "WEBP" else {}
    picture = decode(encoded(NOISE_HWC, form, exif=exif, **options))
    np.testing.assert_array_equal(picture.pixels_HWC, UPRIGHT[number](NOISE_HWC))
    assert ("rotated by EXIF" in picture.notes) == (number != 1)


def test_p26_sixteen_bits_are_scaled_not_clipped(real_data: Path) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for content in (encoded(levels), encoded(Image.fromarray(levels), "TIFF")):
        grey = decode(content).pixels_HWC[..., 1]
        np.testing.assert_array_equal(grey, np.rint(levels / 257).astype(np.uint8))
    assert decode(real_data / "odd_files" / "made_gray16.png").pixels_HWC.mean() == pytest.approx(124, abs=0.5)


def test_p26_floats_of_unit_range_are_scaled_and_others_refused() -> None:
    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    np.testing.assert_array_equal(decode(encoded(ramp, "TIFF")).pixels_HWC[..., 0], np.rint(ramp * 255))
    assert "only 0 to 1 has a brightness" in refused(encoded(ramp * 300, "TIFF"))
    assert "only 0 to 1" in refused(encoded(np.full((4, 4), np.nan, np.float32), "TIFF"))


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
def test_p26_transparency_is_composited_on_the_background(background: tuple[int, int, int]) -> None:
    rgba = np.dstack([NOISE_HWC, np.random.default_rng(1).integers(0, 256, NOISE_HWC.shape[:2], np.uint8)])
    alpha = rgba[..., 3:] / 255
    wanted = alpha * NOISE_HWC + (1 - alpha) * np.array(background)
    picture = decode(encoded(rgba), background=background)
    assert np.abs(picture.pixels_HWC - wanted).max() <= 1
    assert picture.notes == ("transparency composited",)


def test_p26_opaque_alpha_changes_nothing() -> None:
    picture = decode(encoded(np.dstack([NOISE_HWC, np.full(NOISE_HWC.shape[:2], 255, np.uint8)])))
    np.testing.assert_array_equal(picture.pixels_HWC, NOISE_HWC)
    assert picture.notes == ()


def test_a_large_size_is_refused_before_any_pixel_is_decoded() -> None:
    for width, height in ((12_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)):
        assert "pixels" in refused(png_header(width, height))


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as handle:
        handle.truncate(MAX_BYTES + 1)
    assert "above the limit" in refused(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer for ever
    for path in (tmp_path, tmp_path / "pipe.png", Path("/dev/zero")):
        assert refused(path) == "it is no regular file"
    assert refused(tmp_path / "none.png") == "there is no such file"
    assert "cannot be read" in refused(Path("nul\0l.png"))
    assert "cannot be read" in refused(tmp_path / ("x" * 5000))


def test_refusals_say_what_the_bytes_are() -> None:
    assert refused(b"") == "the file is empty"
    assert refused(b"\n<!DOCTYPE html><title>404</title>") == "it is a web page"
    assert "HEIF" in refused(b"\0\0\0\x18ftypheic" + bytes(16))
    assert "none of the formats read" in refused(b"GIF? no")
    assert refused(png_header(8, 8)) == refused(png_header(8, 8))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_p11_a_cut_file_is_refused_or_whole(form: str) -> None:
    content = encoded(NOISE_HWC, form)
    whole = decode(content).pixels_HWC
    for length in range(0, len(content), 7):
        try:
            picture = decode(content[:length])
        except PictureRefused:
            continue
        np.testing.assert_array_equal(picture.pixels_HWC, whole, err_msg=f"{length} of {len(content)} bytes")


def test_p11_a_cut_file_is_refused_though_another_library_allowed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encoded(NOISE_HWC, "JPEG", quality=95)
    assert refused(content[: len(content) // 2]) == "the file is cut off"


def test_p11_a_png_that_breaks_off_is_refused_not_half_shown(real_data: Path) -> None:
    assert "damaged" in refused(real_data / "odd_files" / "broken_data_stream.png")


SEEDS = [
    encoded(NOISE_HWC, "PNG"),
    encoded(NOISE_HWC, "JPEG"),
    encoded(NOISE_HWC, "WEBP"),
    encoded(Image.fromarray(NOISE_HWC).quantize(16), "GIF"),
    encoded(NOISE_HWC, "TIFF"),
    encoded(NOISE_HWC, "ICO", sizes=[(16, 16)]),
    encoded(NOISE_HWC[..., 0].astype(np.uint16), "TIFF"),
]


@settings(max_examples=300, deadline=None)
@given(seed=st.sampled_from(SEEDS), edits=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=12))
def test_damaged_bytes_raise_nothing_but_a_refusal(seed: bytes, edits: list[tuple[int, int]]) -> None:
    content = bytearray(seed)
    for place, value in edits:
        content[place % min(len(content), 300)] = value  # headers lie at the front
    said = ""
    try:
        assert decode(bytes(content)).pixels_HWC.shape[2] == 3
    except PictureRefused as refusal:
        said = str(refusal)
    assert not said or said.startswith("this picture is refused: ")
    assert "0x" not in said, "an object's address would differ from run to run"


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    exif_that_warns = encoded(NOISE_HWC, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\0")
    before = list(warnings.filters)
    started = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        notes = {picture.notes for picture in pool.map(decode, [exif_that_warns] * 200)}
    assert len(notes) == 1
    assert list(warnings.filters) == before
    assert threading.active_count() == started


def test_a_refusal_travels_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(PictureRefused("it is empty", "a.png")))  # noqa: S301 - our own
    assert (str(refusal), refusal.reason) == ("a.png is refused: it is empty.", "it is empty")


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    side=st.integers(8, 48),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
def test_crop_is_resize_of_the_shorter_side_and_centre_crop(
    width: int, height: int, side: int, interpolation: Any
) -> None:
    # Middle greys: Pillow clips between its two passes, whose order depends on the shape.
    picture_HWC = np.random.default_rng(width * 91 + height).integers(100, 156, (height, width, 3), np.uint8)
    view = View(resolution=8, resize=side, interpolation=interpolation)
    shorter = min(width, height)
    whole = int(side * width / shorter), int(side * height / shorter)
    left, top = (round((length - 8) / 2) - round((side - 8) / 2) for length in whole)
    resized = Image.fromarray(picture_HWC).resize(whole, decoding._FILTERS[interpolation])
    wanted = np.asarray(resized)[top : top + side, left : left + side]
    difference = np.abs(fit(picture_HWC, view).astype(int) - wanted)
    # Strips are sampled another way: each rounds twice, the second time after weights whose magnitudes sum to 1.3.
    assert difference.max() <= (2 if max(width, height) >= 10 * shorter else 0)


def test_pad_keeps_the_whole_picture_on_the_background() -> None:
    black_HWC = np.zeros((10, 40, 3), np.uint8)
    square = fit(black_HWC, View(resolution=8, resize=20, fit="pad", background=(1, 2, 3)))
    assert square.shape == (20, 20, 3)
    background = (square == (1, 2, 3)).all(axis=2)
    np.testing.assert_array_equal(background.all(axis=1), [*[True] * 7, *[False] * 5, *[True] * 8])
    assert not square[~background].any()


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 3)])
@pytest.mark.parametrize("way", ["crop", "pad"])
def test_a_strip_costs_no_more_than_a_square(shape: tuple[int, int, int], way: Any) -> None:
    start = time.process_time()
    assert fit(np.zeros(shape, np.uint8), View(resolution=64, resize=512, fit=way)).shape == (512, 512, 3)
    assert time.process_time() - start < 1


def test_fitted_pixels_may_be_written_to() -> None:
    assert fit(NOISE_HWC, View(resolution=8, resize=24)).flags.writeable
    assert decode(encoded(NOISE_HWC)).pixels_HWC.flags.writeable
