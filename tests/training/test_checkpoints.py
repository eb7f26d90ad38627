"""Checkpoints: the newest readable one, two kept, none that runs strangers' code."""

from __future__ import annotations

import errno
import io
import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.training.checkpoints import KEPT, Keep, keep_checkpoint, newest_checkpoint, save_checkpoint


def state(seen: int) -> dict[str, Any]:
    return {"seen": seen, "net": {"weight": torch.full((4, 4), float(seen))}}


def test_the_newest_two_stay(tmp_path: Path) -> None:
    for seen in (8, 16, 1000, 10**13):
        save_checkpoint(tmp_path, seen, state(seen))
    assert [int(path.stem) for path in sorted(tmp_path.iterdir())] == [1000, 10**13]
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found["seen"] == 10**13
    assert torch.equal(found["net"]["weight"], state(10**13)["net"]["weight"])


def test_what_is_kept_outlives_newer_ones(tmp_path: Path) -> None:
    for seen in (8, 16, 24, 32):
        save_checkpoint(tmp_path, seen, state(seen), Keep(last=1))
        if seen <= 16:
            keep_checkpoint(tmp_path, seen, "best")
        if seen == 16:
            keep_checkpoint(tmp_path, seen, "epoch-2")
    assert sorted(path.name for path in (tmp_path / KEPT).iterdir()) == ["best.pt", "epoch-2.pt"]
    assert torch.load(tmp_path / KEPT / "best.pt")["seen"] == 16
    assert [path.name for path in tmp_path.glob("*.pt")] == [f"{32:014d}.pt"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"last": 0}, "^--keep-last is 1 or more, not 0"), ({"every_epochs": -1}, "^--keep-every is 1 or more, not -1")],
)
def test_keeping_nothing_is_no_way_to_keep(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Keep(**wrong)


class _Full(io.RawIOBase):
    """A file on a disk that has room for so many bytes."""

    def __init__(self, path: Path, room: int) -> None:
        self._file, self.name, self._room = path.open("wb"), str(path), room

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, content: Any) -> int:
        self._room -= len(content)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(content)


@pytest.mark.parametrize("room", [0, 700, 5_000, 50_000])
def test_a_disk_that_fills_up_within_a_checkpoint_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """torch's writer fails with words of its own then, and the one before stays."""
    save_checkpoint(tmp_path, 8, state(8))
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", lambda **where: _Full(where["dir"] / "partial", room))
    with pytest.raises(TagwiseError, match=r"^The disk is full while writing .*; free some space"):
        save_checkpoint(tmp_path, 16, {**state(16), "large": torch.zeros(20_000)})
    assert [path.name for path in tmp_path.iterdir()] == [f"{8:014d}.pt"]


def test_p12_a_save_after_a_torn_one_stays_and_the_torn_one_goes(tmp_path: Path) -> None:
    """Of 800 and a torn 1000 the run goes on at 800, and saves at 850."""
    save_checkpoint(tmp_path, 800, state(800), Keep(last=1))
    (tmp_path / f"{1000:014d}.pt").write_bytes(b"PK half of it")
    save_checkpoint(tmp_path, 850, state(850), Keep(last=1))
    assert [int(path.stem) for path in tmp_path.iterdir()] == [850]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_gives_nothing_out_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for seen in (8, 16):
        save_checkpoint(tmp_path, seen, state(seen))
    monkeypatch.setattr(zipfile, "ZipFile", fails)
    with pytest.raises(TagwiseError, match=rf"{16:014d}.pt cannot be read now, .*{os.strerror(number)}") as caught:
        newest_checkpoint(tmp_path)
    assert "--overwrite" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_machine_without_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    save_checkpoint(tmp_path, 8, state(8))
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error), match="memory"):
        newest_checkpoint(tmp_path)


def test_no_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None


@given(cut=st.floats(0, 0.999))
def test_a_torn_checkpoint_gives_way_wherever_it_is_cut(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    folder = tmp_path_factory.mktemp("torn")
    save_checkpoint(folder, 8, state(8))
    newest = save_checkpoint(folder, 16, state(16))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * cut)])
    found = newest_checkpoint(folder)
    assert found is not None
    assert found["seen"] == 8


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_trained_on(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    save_checkpoint(folder, 8, state(8))
    newest = save_checkpoint(folder, 16, state(16))
    content = bytearray(newest.read_bytes())
    content[int(len(content) * place)] ^= 1 << bit
    newest.write_bytes(content)
    found = newest_checkpoint(folder)
    assert found is not None
    whole = state(found["seen"])
    assert found["seen"] in (8, 16), "padding between the records may be anything"
    assert torch.equal(found["net"]["weight"], whole["net"]["weight"])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps({"seen": 1}, 2), b"PK\x03\x04" + bytes(100)])
def test_files_that_are_no_checkpoints_are_said_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{8:014d}.pt").write_bytes(content)
    with pytest.raises(TagwiseError, match=r"No checkpoint in .* can be read; give --overwrite") as caught:
        newest_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


class _Stranger:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"seen": _Stranger()}, tmp_path / f"{8:014d}.pt")
    with pytest.raises(TagwiseError):
        newest_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()
