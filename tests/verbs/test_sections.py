"""What a page says of one comparison: no more than one seed shows, and on which pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagwise.base.files import read_json, write_json
from tagwise.transfer.records import COMPARISON_FILE, Protocol, read_comparison
from tagwise.verbs.compare import comparison_table
from tagwise.verbs.label_curve import curve_section
from tagwise.verbs.sections import findings, of_comparison, provenance, subtitle
from tests.verbs.comparisons import write


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (160, "On one seed, pretraining bought 15.0 points"),
        (102, "On one seed, pretraining did not plainly help: +0.5 points"),
        (40, "On one seed, pretraining cost 15.0 points"),
    ],
)
def test_the_headline_of_one_comparison_says_that_it_is_one_seed(tmp_path: Path, right: int, said: str) -> None:
    folder = write(tmp_path / "c", 5, 0, {"scratch": {"train": 100}, "tags": {"train": right}})
    assert findings(folder)[0].statement.startswith(said)


def test_scores_are_said_to_be_on_the_test_not_on_what_was_learnt_from(tmp_path: Path) -> None:
    """The target alone would read as if its training table were the test."""
    right: dict[str, dict[Protocol, int]] = {"scratch": {"train": 100}, "tags": {"train": 160}}
    own = write(tmp_path / "own", 5, 0, right)
    other = write(tmp_path / "other", 5, 0, right, test_name="test.csv")
    assert subtitle([own, other], []) == "judged on the test part of photos, test.csv"
    assert of_comparison(own)[0].heading == "Scores on the test part of photos"
    assert of_comparison(other)[0].heading == "Scores on test.csv"
    assert curve_section([other]).heading == "Accuracy by labelled pictures, on test.csv"


def test_a_search_that_ended_at_its_edge_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", 5, 0, {"scratch": {"train": 100}, "tags": {"train": 160}})
    assert comparison_table(read_comparison(folder)).caption == ""
    state = read_json(folder / COMPARISON_FILE)
    state["scores"]["scratch/train"]["row"]["longest"] = True
    write_json(folder / COMPARISON_FILE, state)
    caption = comparison_table(read_comparison(folder)).caption
    assert caption.startswith("The search of scratch ended with the longest training: a longer one may be better")


def test_pictures_seen_are_those_of_whole_steps(tmp_path: Path) -> None:
    write_json(tmp_path / "run" / "plan.json", {"seed": 3, "data": "abc", "images": 200, "batch": 64})
    assert provenance([tmp_path / "run"])["run: seed, data, pictures seen"] == "3, abc, 192"
