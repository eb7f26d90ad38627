"""What was judged before a kill is read back, whatever state the file is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tagwise.corpus.intake import Verdict
from tagwise.corpus.journal import read_journal, write_journal

if TYPE_CHECKING:
    from pathlib import Path


def verdict(number: int) -> Verdict:
    return Verdict(bucket="used", bytes=number, width=4, height=3, notes=("tiny",), sha256="ab", stamp=f"s{number}")


def journal_of(path: Path, count: int) -> Path:
    with write_journal(path, {}) as note:
        for number in range(count):
            note(verdict(number))
    return path


def test_verdicts_come_back(tmp_path: Path) -> None:
    assert read_journal(journal_of(tmp_path / "j", 3)) == {f"s{number}": verdict(number) for number in range(3)}


@pytest.mark.parametrize("torn", range(2, 40, 3))
def test_a_torn_end_costs_the_last_verdict_alone(tmp_path: Path, torn: int) -> None:
    path = journal_of(tmp_path / "j", 3)
    path.write_bytes(path.read_bytes()[:-torn])
    known = read_journal(path)
    assert list(known) == ["s0", "s1"]
    with write_journal(path, known) as note:
        note(verdict(0))
        note(verdict(5))
    assert list(read_journal(path)) == ["s0", "s1", "s5"]


def test_no_journal_and_a_foreign_one_are_empty(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"\xff\xfe no journal\n")
    assert read_journal(tmp_path / "none") == read_journal(tmp_path / "foreign") == {}


def test_posts_without_a_picture_are_not_noted(tmp_path: Path) -> None:
    with write_journal(tmp_path / "j", {}) as note:
        note(Verdict(bucket="untagged", reason="it has no tag"))
    assert (tmp_path / "j").read_text("utf-8") == ""
