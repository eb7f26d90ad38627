"""The score of a merge is what counting pairs by hand gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.merging import read_truth, scores
from tagwise.tags.lexicon import Lexicon

TABLE = """tag,aliases
brown_bear,"Brown Bear,ursus_arctos,bruin"
cat,"cats,kitty"
fox,"kitty,:)"
bruin,
"""
WORDS = Lexicon(version="L", names={"n1": ("brown bear", "ursus arctos"), "n2": ("cat",), "n3": ("cat", "fox")})


def test_a_word_of_two_tags_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE, "utf-8")
    assert read_truth(tmp_path / "t.csv") == {
        "Brown Bear": "brown_bear",
        "brown_bear": "brown_bear",
        "cat": "cat",
        "cats": "cat",
        "fox": "fox",
        "ursus_arctos": "brown_bear",
    }


def test_precision_and_recall_are_over_pairs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE, "utf-8")
    found = scores(read_truth(tmp_path / "t.csv"), WORDS)
    assert (found["words"], found["tags"], found["pairs"]) == (6, 3, 3 + 1)
    counted = {rule: (facts["right_pairs"], facts["merged_pairs"]) for rule, facts in found["rules"].items()}
    assert counted == {
        "keys alone": (1, 1),
        "keys, plurals by counts": (2, 2),
        "WordNet, keys, plurals": (2, 2),
        "WordNet, signature, plurals": (4, 4),
        "WordNet, union, plurals": (4, 6),
    }
    assert found["rules"]["WordNet, union, plurals"]["precision"] == pytest.approx(4 / 6)
    assert found["rules"]["WordNet, union, plurals"]["wrong_examples"] == [["cat", "fox"]]
    assert found["rules"]["keys alone"]["aliases_at_their_tag"] == 1
