"""Thresholds: goldens, what they mean, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.tags.drawing import drawing
from tagwise.tags.law_report import sampled_laws
from tagwise.tags.laws import rarest_counts
from tagwise.tags.thresholds import choose_threshold, count_of_tail, threshold_for_length
from tests.references import sampling as reference
from tests.references.sampling import draws_of, golden_arrays, golden_corpus


@pytest.mark.parametrize("letter", "ABC")
def test_w7_thresholds_for_lengths(letter: str) -> None:
    ids, offsets, counts = golden_arrays(letter)
    rarest = rarest_counts(ids, offsets, counts)
    for golden in golden_corpus(letter)["t_for_epoch_length"]:
        law, length = golden["mode"], golden["epoch_length"] / len(golden_corpus(letter)["images"])
        assert threshold_for_length(counts, rarest, law, golden["epoch_length"]) == pytest.approx(golden["t"], rel=1e-9)
        assert choose_threshold(ids, offsets, counts, law, f"length={length}") == pytest.approx(golden["t"], rel=1e-9)
        if length == 1.5:
            assert choose_threshold(ids, offsets, counts, law, None) == pytest.approx(golden["t"]), "the default"


@pytest.mark.parametrize("letter", "ABC")
def test_w7_thresholds_for_tails(letter: str) -> None:
    ids, offsets, counts = golden_arrays(letter)
    for golden in golden_corpus(letter)["p_to_t"]:
        assert count_of_tail(counts, golden["p"]) == golden["t"]
    assert choose_threshold(ids, offsets, counts, "cap", "tail=0.3") == count_of_tail(counts, 0.3)


def test_w7_a_quantile_is_the_count_that_a_share_of_the_labels_does_not_exceed() -> None:
    ids, offsets = reference.flat([[label] for label in range(5) for _ in range((1, 2, 3, 4, 100)[label])])
    counts = np.array([1, 2, 3, 4, 100, 0])
    found = {q: choose_threshold(ids, offsets, counts, "sqrt", f"quantile={q}") for q in (0.4, 0.41, 0.8, 1)}
    assert found == {0.4: 2, 0.41: 3, 0.8: 4, 1: 100}


@pytest.mark.parametrize("length", [0.0, 9.999, float("nan"), float("inf")])
def test_w7_lengths_that_leave_pictures_out_are_refused(length: float) -> None:
    ids, offsets, counts = golden_arrays("B")
    with pytest.raises(UsageError, match="10 labelled pictures"):
        threshold_for_length(counts, rarest_counts(ids, offsets, counts), "sqrt", length)


@pytest.mark.parametrize(
    ("law", "asked", "told"),
    [
        ("natural", 15, "no threshold; 15 was given"),
        ("natural", "length=1.5", "no threshold"),
        ("sqrt", "length=0.9", "9 draws cannot show each of 10 labelled pictures"),
        ("raked", "length=0.9", "9 draws cannot show each of 10 labelled pictures"),
        ("raked", 9, "9 draws cannot show each of 10 labelled pictures"),
        ("raked", "tail=0.3", "give it as length=1.5"),
        ("cap", "length=1.5", "needs a threshold in pictures"),
        ("cap", None, "needs a threshold in pictures"),
        ("sqrt", 0.5, "repeats no picture: no label has fewer than 1"),
        ("uniform", "1", "repeats no picture"),
        ("sqrt", "quantile=0.1", "repeats no picture"),
        ("sqrt", "length=1", "repeats no picture"),
        ("cap", 10, "drops no picture: no label has more than 10"),
        ("sqrt", "lenght=2", "nearest is length=1.5"),
        ("sqrt", "many", "There is no threshold 'many'"),
        ("sqrt", "length=", "There is no threshold 'length='"),
        ("sqrt", "tail=1.2", "above 0 and at most 1"),
        ("sqrt", "quantile=nan", "above 0 and at most 1"),
        ("sqrt", -3, "a number above 0"),
        ("sqrt", "inf", "a number above 0"),
    ],
)
def test_w7_a_threshold_that_says_nothing_is_refused(law: str, asked: float | str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        choose_threshold(*golden_arrays("B"), law, asked)


def test_w7_a_law_too_weak_for_the_length_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"The law power:0\.001 repeats too little for an epoch of 30 draws from 10 pict"
    ):
        choose_threshold(*golden_arrays("B"), "power:0.001", "length=3")


def test_what_a_plan_records_is_what_it_was_made_of() -> None:
    """A plan holds the number alone, and may be given back."""
    arrays = golden_arrays("B")
    for law, asked in (("sqrt", None), ("power:0.3", "length=1.2"), ("cap", "tail=0.3"), ("raked", "length=2")):
        chosen = choose_threshold(*arrays, law, asked)
        assert choose_threshold(*arrays, law, chosen) == chosen
    assert choose_threshold(*arrays, "raked", None) == 15
    assert choose_threshold(*arrays, "natural", None) is None


def test_a_corpus_without_labels_is_left_to_what_draws_it() -> None:
    empty = np.empty(0, np.int32), np.zeros(3, np.int64), np.zeros(4, np.int64)
    for law in ("sqrt", "raked", "cap"):
        threshold = choose_threshold(*empty, law, "tail=0.3" if law == "cap" else None)
        with pytest.raises(DataRefused, match="has a label"):
            sampled_laws(*empty, law, threshold)


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)
exponents = st.floats(0.05, 1).map(lambda exponent: f"power:{exponent}")


@given(labelled, st.sampled_from(["sqrt", "uniform"]) | exponents, st.floats(1, 20))
def test_solved_threshold_is_the_one_that_bisection_finds(pictures: list[list[int]], law: Any, times: float) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    held = [picture for picture in pictures if picture]
    threshold = threshold_for_length(counts, rarest_counts(ids, offsets, counts), law, times * len(held))
    assert draws_of(drawing(ids, offsets, counts, law, threshold), ids, offsets).sum() == pytest.approx(
        times * len(held)
    )
    if times > 1.001 and not law.startswith("power"):
        assert threshold == pytest.approx(reference.threshold_by_bisection(held, 6, law, times * len(held)), rel=1e-6)


@given(labelled, st.floats(1, 5), st.floats(1, 5))
def test_longer_epochs_have_higher_thresholds(pictures: list[list[int]], length: float, times: float) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    rarest = rarest_counts(ids, offsets, counts)
    total = int(rarest.sum())
    short, long = (threshold_for_length(counts, rarest, "sqrt", n * total) for n in (length, length * times))
    assert long >= short * (1 - 1e-12)
