"""What ``labels`` leaves on the disk."""

from __future__ import annotations

import csv
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tagwise.base.errors import UsageError
from tagwise.tags.fates import Fates
from tagwise.verbs.label_files import _beside, _save_fates, refuse_out


def fates_of(raw: list[str]) -> Fates:
    tags = len(raw)
    return Fates(
        raw=raw,
        keys=["key"] * tags,
        fates=["label"] * tags,
        targets=["target"] * tags,
        label_ids=np.arange(tags, dtype=np.int32) - 1,
        occurrences=np.full(tags, 10**10),
    )


def test_fates_are_a_table_with_a_row_for_each_raw_tag(tmp_path: Path) -> None:
    _save_fates(fates_of(["=1+1", 'a "b", c', "two\nlines", "\ud800", "\N{BEAR FACE}"]), tmp_path / "fates.csv")
    assert b"\r" not in (tmp_path / "fates.csv").read_bytes()
    with (tmp_path / "fates.csv").open(encoding="utf-8", newline="") as handle:
        rows = [*csv.reader(handle)]
    assert rows[0] == ["raw", "key", "fate", "counted_as", "label", "times"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", 'a "b", c', "two\nlines", "\\ud800", "\N{BEAR FACE}"]
    assert [row[1:] for row in rows[1:3]] == [
        ["key", "label", "target", "", "10000000000"],
        ["key", "label", "target", "0", "10000000000"],
    ]


def test_fates_are_written_as_they_come_and_all_or_none(tmp_path: Path) -> None:
    fates = fates_of([f"tag {number}" for number in range(20_000)])
    tracemalloc.start()
    _save_fates(fates, tmp_path / "fates.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    written = (tmp_path / "fates.csv").read_bytes()
    assert len(written) > 600_000
    assert peak < len(written) // 4
    fates = fates_of(["cat", None])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        _save_fates(fates, tmp_path / "fates.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["fates.csv"]
    assert (tmp_path / "fates.csv").read_bytes() == written


def test_two_spaces_do_not_share_a_page() -> None:
    pages = {name: _beside(Path(name))[1].name for name in ("sp.json", "sp.a", "sp.b", "sp.v2.json", "sp.html")}
    assert pages == {
        "sp.json": "sp.html",
        "sp.a": "sp.a.html",
        "sp.b": "sp.b.html",
        "sp.v2.json": "sp.v2.html",
        "sp.html": "sp.html",
    }


@pytest.mark.parametrize("name", ["sp.json", "sp.json.fates.csv", "sp.html"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=rf"{name}"):
        refuse_out(tmp_path / "sp.json", overwrite=True)
