"""Checkpoints: the newest readable one, two kept, none that runs strangers' code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.training.checkpoints import KEPT, Keep, keep_checkpoint, newest_checkpoint, save_checkpoint
from tests.training.tiny import CPU


def state(seen: int) -> dict[str, Any]:
    return {"seen": seen, "net": {"weight": torch.full((4, 4), float(seen))}}


def test_the_newest_two_stay(tmp_path: Path) -> None:
    for seen in (8, 16, 1000, 10**13):
        save_checkpoint(tmp_path, seen, state(seen))
    assert [int(path.stem) for path in sorted(tmp_path.iterdir())] == [1000, 10**13]
    found = newest_checkpoint(tmp_path, CPU)
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


@pytest.mark.parametrize("wrong", [{"last": 0}, {"every_epochs": 0}])
def test_keeping_nothing_is_no_way_to_keep(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="--keep-last and --keep-every are 1 or more"):
        Keep(**wrong)


def test_no_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none", CPU) is None


@given(cut=st.floats(0, 0.999))
def test_a_torn_checkpoint_gives_way_wherever_it_is_cut(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    folder = tmp_path_factory.mktemp("torn")
    save_checkpoint(folder, 8, state(8))
    newest = save_checkpoint(folder, 16, state(16))
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * cut)])
    found = newest_checkpoint(folder, CPU)
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
    found = newest_checkpoint(folder, CPU)
    assert found is not None
    whole = state(found["seen"])
    assert found["seen"] in (8, 16), "padding between the records may be anything"
    assert torch.equal(found["net"]["weight"], whole["net"]["weight"])


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps({"seen": 1}, 2), b"PK\x03\x04" + bytes(100)])
def test_files_that_are_no_checkpoints_are_said_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{8:014d}.pt").write_bytes(content)
    with pytest.raises(TagwiseError, match=r"No checkpoint in .* can be read; give --overwrite") as caught:
        newest_checkpoint(tmp_path, CPU)
    assert "\n" not in str(caught.value)


class _Stranger:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"seen": _Stranger()}, tmp_path / f"{8:014d}.pt")
    with pytest.raises(TagwiseError):
        newest_checkpoint(tmp_path, CPU)
    assert not (tmp_path / "ran").exists()
