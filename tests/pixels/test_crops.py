"""Random crops of whole pictures: torchvision's rule, the same in any process, read as honestly as everywhere."""

from __future__ import annotations

import dataclasses
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.views import View
from tagwise.pixels.augment import Augment, picture_seed
from tagwise.pixels.crops import CropReader, decode_whole
from tagwise.pixels.decode import decode
from tagwise.pixels.place import PictureRefused, Place

VIEW = View(resolution=24, resize=28)
READER = CropReader(augment=Augment(smallest_area_fraction=0.2), view=VIEW, seed=3)


def photo(height: int = 60, width: int = 90) -> Image.Image:
    y, x = np.mgrid[:height, :width] / 30
    return Image.fromarray((127 + 120 * np.stack([np.sin(x + y), np.cos(x), np.sin(y * 2)], -1)).astype(np.uint8))


def saved(tmp_path: Path, name: str = "a.jpg", mode: str = "RGB", **settings: object) -> Place:
    photo().convert(mode).save(tmp_path / name, **settings)  # type: ignore[arg-type]
    return Place(str(tmp_path / name))


def white(place: Place) -> NDArray[np.uint8]:
    return decode_whole(place, (255, 255, 255))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_p26_the_quick_decoder_gives_the_careful_ones_upright_pixels(
    tmp_path: Path, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    place = saved(tmp_path, mode=mode, quality=90, exif=exif)
    expected = decode(place).pixels_HWC.astype(int)
    found = white(place).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.1


def test_pictures_of_other_formats_and_inside_archives_are_read_too(tmp_path: Path) -> None:
    png = saved(tmp_path, "a.png")
    assert np.array_equal(white(png), np.asarray(photo()))
    jpeg = saved(tmp_path)
    (tmp_path / "all.tar").write_bytes(b"x" * 512 + Path(jpeg.path).read_bytes())
    inside = Place(str(tmp_path / "all.tar"), 512, Path(jpeg.path).stat().st_size)
    assert np.array_equal(white(inside), white(jpeg))


def test_a_cut_jpeg_is_refused_and_never_shown_half_grey(tmp_path: Path) -> None:
    place = saved(tmp_path)
    content = Path(place.path).read_bytes()
    Path(place.path).write_bytes(content[: len(content) // 2])
    with pytest.raises(PictureRefused, match="cut off"):
        white(place)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    content = io.BytesIO()
    photo().save(content, "JPEG")
    bomb = bytearray(content.getvalue())
    frame = bomb.index(b"\xff\xc0")
    bomb[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    (tmp_path / "bomb.jpg").write_bytes(bomb)
    with pytest.raises(PictureRefused, match="limit"):
        white(Place(str(tmp_path / "bomb.jpg")))


def test_the_crop_is_torchvisions(tmp_path: Path) -> None:
    from torchvision.transforms import v2

    place = saved(tmp_path)
    picture_CHW = torch.from_numpy(white(place)).permute(2, 0, 1)
    for number in range(5):
        with torch.random.fork_rng():
            torch.manual_seed(picture_seed(3, number))
            expected = v2.RandomResizedCrop(24, (0.2, 1.0), (3 / 4, 4 / 3))(picture_CHW)
            if torch.rand(()) < 0.5:
                expected = expected.flip(-1)
        assert np.array_equal(READER(place, number), expected.permute(1, 2, 0).numpy())


def test_a_number_decides_the_picture_in_any_process(tmp_path: Path) -> None:
    place = saved(tmp_path)
    colours = dataclasses.replace(READER, augment=Augment(policy="trivialaugment", jitter=0.4))
    for reader in (READER, colours):
        again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own
        before = torch.random.get_rng_state()
        squares = [reader(place, number) for number in (1, 2, 1)]
        assert torch.equal(torch.random.get_rng_state(), before)
        assert np.array_equal(squares[0], squares[2])
        assert not np.array_equal(squares[0], squares[1])
        assert np.array_equal(again(place, 2), squares[1])
        assert squares[0].shape == (24, 24, 3)
        assert squares[0].dtype == np.uint8
