"""The pack holds exactly what decoding and fitting each file gives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import DataRefused
from tagwise.base.views import View
from tagwise.corpus import pack as packing
from tagwise.corpus.pack import pack
from tagwise.pixels.decode import decode, fit
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

VIEW = View(resolution=16, resize=20)


def places(paths: Sequence[Path]) -> list[Place]:
    return [Place(str(path)) for path in paths]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for number in range(40):
        size = (*rng.integers(5, 60, 2), 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tmp_path / f"{number:02}.png")
    return sorted(tmp_path.glob("*.png"))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_pack_is_decode_and_fit_of_each_file_in_order(paths: list[Path], tmp_path: Path, workers: int) -> None:
    packed = pack(places(paths), VIEW, tmp_path / "pack", workers=workers)
    wanted = np.stack([fit(decode(path).pixels_HWC, VIEW) for path in paths])
    np.testing.assert_array_equal(packed.images_NHWC, wanted)
    assert packed.ok.all()
    assert packed.reasons == {}
    assert isinstance(packed.images_NHWC, np.memmap)


def test_p11_a_broken_picture_is_black_not_ok_and_has_its_reason(paths: list[Path], tmp_path: Path) -> None:
    paths[3].write_bytes(b"")
    for _ in range(2):  # packed, then taken from disk
        packed = pack(places([*paths, tmp_path / "none.png"]), VIEW, tmp_path / "pack")
        assert packed.reasons == {3: "the file is empty", 40: "there is no such file"}
        np.testing.assert_array_equal(np.flatnonzero(~packed.ok), [3, 40])
        assert not packed.images_NHWC[~packed.ok].any()


def test_unchanged_pictures_are_packed_once(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(places(paths), VIEW, tmp_path / "pack").images_NHWC
    monkeypatch.setattr(packing, "decode", None)
    again = pack(places(paths), View(resolution=20, resize=20, mean=(0, 0, 0)), tmp_path / "pack").images_NHWC
    np.testing.assert_array_equal(first, again)


def test_packs_of_crops_that_round_another_way_are_apart(paths: list[Path], tmp_path: Path) -> None:
    """With a margin of 2 of 20, half of an odd rest is rounded to the other side than with none or 4."""
    wide = np.random.default_rng(0).integers(0, 256, (20, 25, 3), np.uint8)
    Image.fromarray(wide).save(paths[0])
    squares = [
        pack(places(paths[:1]), View(resolution=resolution, resize=20), tmp_path / "pack").images_NHWC[0]
        for resolution in (20, 18, 16)
    ]
    np.testing.assert_array_equal(squares[0], wide[:, 2:22])
    np.testing.assert_array_equal(squares[1], wide[:, 3:23])
    np.testing.assert_array_equal(squares[2], squares[0])
    assert len(list((tmp_path / "pack").glob("*.npy"))) == 2


def test_changed_pictures_or_another_square_are_packed_anew(
    paths: list[Path], tmp_path: Path, draw: Callable[..., Path]
) -> None:
    first = np.array(pack(places(paths), VIEW, tmp_path / "pack").images_NHWC)
    draw(paths[0], 7)
    os.utime(paths[0], ns=(1, 1))
    changed = pack(places(paths), VIEW, tmp_path / "pack").images_NHWC
    assert (changed[0] == 7).all()
    np.testing.assert_array_equal(changed[1:], first[1:])
    np.testing.assert_array_equal(pack(places(paths[::-1]), VIEW, tmp_path / "pack").images_NHWC, changed[::-1])
    padded = pack(places(paths), View(resolution=16, resize=20, fit="pad"), tmp_path / "pack").images_NHWC
    assert not np.array_equal(padded, changed)


def test_an_interrupted_pack_leaves_nothing(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(places(paths), VIEW, tmp_path / "pack")
    assert list((tmp_path / "pack").iterdir()) == []


def test_no_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="no pictures"):
        pack([], VIEW, tmp_path)


def test_members_of_an_archive_are_packed_like_files(paths: list[Path], tmp_path: Path) -> None:
    """A stretch of a file is a picture; cut off, it is refused by name."""
    contents = [path.read_bytes() for path in paths]
    (tmp_path / "all.tar").write_bytes(b"".join(contents))
    begins = np.concatenate([[0], np.cumsum([len(content) for content in contents])]).tolist()
    inside = [
        Place(str(tmp_path / "all.tar"), begin, len(content))
        for begin, content in zip(begins[:-1], contents, strict=True)
    ]
    wanted = pack(places(paths), VIEW, tmp_path / "pack").images_NHWC
    np.testing.assert_array_equal(pack(inside, VIEW, tmp_path / "pack").images_NHWC, wanted)
    beyond = Place(str(tmp_path / "all.tar"), begins[-1] - 5, 50)
    assert pack([*inside, beyond], VIEW, tmp_path / "pack").reasons == {40: "the archive that holds it is cut off"}
