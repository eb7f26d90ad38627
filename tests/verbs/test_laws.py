"""What the verbs tell of a sampling law."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagwise
from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.files import read_json
from tagwise.corpus.drawn import files as drawn
from tagwise.tags.law_report import report_laws
from tagwise.tags.raking import rake
from tagwise.tags.table import Assignment
from tagwise.verbs.laws import law_curves, law_facts, law_table, raking_lines, refuse_wrong_law, report_law
from tagwise.verbs.run_results import RunResult
from tests.references.sampling import golden_arrays, golden_corpus
from tests.verbs.road import DESIGN


@pytest.mark.parametrize(
    ("law", "threshold", "told"),
    [
        ("sqr", None, "nearest is sqrt"),
        ("sqrt", "tail", "nearest is tail=0.3"),
        ("sqrt", "length=-1", "above 0"),
        ("natural", 5, "has no threshold; 5 was given"),
        ("cap", None, "needs a threshold in pictures"),
        ("raked", "tail=0.3", "no threshold but the length of its epoch"),
    ],
)
def test_a_wrong_law_is_told_before_a_corpus_is_read(law: str, threshold: float | str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        refuse_wrong_law(law, threshold)


@pytest.mark.parametrize("told", ["length=1e30", "length=1e12"])
def test_an_epoch_that_cannot_be_drawn_is_told_with_the_law(told: str) -> None:
    """So that a dry run and ``labels`` promise nothing that training refuses."""
    ids, offsets, counts = golden_arrays("B")
    space: Any = None
    with pytest.raises(DataRefused, match=r"An epoch of .* draws from .* cannot be indexed"):
        report_law(Assignment(ids=ids, offsets=offsets), counts, space, "sqrt", told)


@pytest.mark.parametrize(("law", "threshold"), [("natural", None), ("sqrt", 10.0), ("cap", 3.0), ("raked", 15.0)])
def test_w5_the_table_holds_the_three_laws_and_what_they_cost(law: str, threshold: float | None) -> None:
    facts = law_facts(report_laws(*golden_arrays("B"), law, threshold))
    table = law_table(facts)
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert list(table.columns) == ["law", "natural"] + ([law] if law != "natural" else [])
    for statistic in ("effective labels", "share of the commonest label", "slope of share on rank"):
        assert {f"{statistic}, {kind}" for kind in ("as intended", "as drawn", "as a softmax sees")} <= rows.keys()
    natural = golden_corpus("B")["schemes"]["natural"]
    assert rows["effective labels, as drawn"][0] == f"{natural['stats_occurrence']['effective_labels']:.4g}"
    assert rows["effective labels, as a softmax sees"][0] == f"{natural['stats_target_mass']['effective_labels']:.4g}"
    assert {"effective sample size", "most draws of one picture", "pictures that make half of the epoch"} <= rows.keys()
    assert ("raking" in rows) == (law == "raked")
    assert ("threshold" in rows) == (law in ("sqrt", "cap"))


def test_w8_labels_that_miss_are_named_with_what_they_got() -> None:
    raked = rake(*golden_arrays("B"), 0.5)
    lines = raking_lines("raked", raked, golden_corpus("B")["labels"])
    assert "cannot be reached by any weights of pictures up to 20 times their mean" in lines[0]
    assert "26.73% before raking" in lines[0]
    assert lines[1].startswith("  p: 43.27% wanted, 50.0")
    assert len(lines) == 5
    (line,) = raking_lines("raked", rake(*golden_arrays("A"), 0.5), golden_corpus("A")["labels"])
    assert "is reached; the labels' shares are 0.00% from it" in line


def test_w5_the_chart_draws_intended_occurrence_and_mass_beside_the_tags_own_law() -> None:
    report = report_laws(*golden_arrays("B"), "sqrt", 10.0)
    curves = law_curves(report)
    assert list(curves) == ["natural", "sqrt", "sqrt, drawn", "sqrt, intended"]
    assert curves["sqrt, drawn"] == report.chosen.occurrence.tolist()
    assert all(np.sum(shares) == pytest.approx(1) for shares in curves.values())
    assert list(law_curves(report_laws(*golden_arrays("B"), "natural"))) == ["natural"]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a label space."""
    folder = tmp_path_factory.mktemp("tagged")
    drawn.write_corpus(folder / "drawn", pictures=60, seed=1)
    tagwise.gather([folder / "drawn" / "pictures.csv"], out=folder / "corpus", separator=";")
    tagwise.labels(folder / "corpus", out=folder / "space.json", min_count=4, law="raked:0.3", threshold="length=2")
    return folder


def pretrained(tagged: Path, out: Path, **flags: Any) -> RunResult:
    """Two epochs and more of the smallest net there is."""
    small: dict[str, Any] = {"design": DESIGN, "resolution": 16, "images": "128", "batch": 16, "recipe": "small"}
    return tagwise.pretrain(tagged / "corpus", labels=tagged / "space.json", out=out, device="cpu", **(small | flags))


@pytest.mark.parametrize(
    ("law", "asked", "told"),
    [
        ("power:0.3", "length=2", r"power:0\.3, threshold [0-9.,]+ pictures: 1[0-9]{2} draws an epoch"),
        ("cap", "tail=0.3", r"cap, threshold [0-9.]+ pictures: [0-9]{2} draws"),
        ("raked", "length=2", r"raked: 1[0-9]{2} draws"),
    ],
)
def test_a_dry_run_says_the_law_and_its_epoch(tagged: Path, tmp_path: Path, law: str, asked: str, told: str) -> None:
    facts = pretrained(tagged, tmp_path, law=law, threshold=asked, dry_run=True, rate=100.0).facts
    assert re.match(told, facts["sampling law"])


def test_a_raked_run_with_independent_rounding_is_recorded_and_its_plan_can_be_given_back(
    tagged: Path, tmp_path: Path
) -> None:
    result = pretrained(tagged, tmp_path / "a", law="raked", threshold="length=1.2", set_=["rounding=independent"])
    plan = read_json(tmp_path / "a" / "plan.json")
    labelled = int(result.facts["pictures"].split()[0])
    assert (plan["law"], plan["rounding"]) == ("raked", "independent")
    assert plan["threshold"] == pytest.approx(1.2 * labelled)
    assert {"raked", "raked, intended"} <= read_json(tmp_path / "a" / "laws.json")["laws"].keys()
    again = tagwise.pretrain(
        tagged / "corpus",
        labels=tagged / "space.json",
        out=tmp_path / "b",
        plan=tmp_path / "a" / "plan.json",
        device="cpu",
    )
    assert read_json(tmp_path / "b" / "plan.json") == plan
    assert again.scores["loss"] == result.scores["loss"]
