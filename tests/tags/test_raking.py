"""Raking: the goldens, what can be reached, and an end in any case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.tags import raking
from tagwise.tags.drawing import drawing
from tagwise.tags.law_report import sampled_laws
from tagwise.tags.raking import Raking, rake
from tests.references import sampling as reference
from tests.references.sampling import draws_of, golden_arrays, golden_corpus, zipf_corpus

EXPONENTS = {"sqrt": 0.5, "uniform": 1.0}


def weights_of(raked: Raking, ids: Any, offsets: Any) -> Any:
    return raked.weights(raked.log_weights[ids], offsets)


@pytest.mark.parametrize("target", EXPONENTS)
@pytest.mark.parametrize("letter", "ABC")
def test_w8_goldens(letter: str, target: str) -> None:
    corpus, (ids, offsets, counts) = golden_corpus(letter), golden_arrays(letter)
    (golden,) = (golden for golden in corpus["raking"] if golden["target"] == target)
    raked = rake(ids, offsets, counts, EXPONENTS[target], tolerance=1e-11)
    assert raked.target.tolist() == pytest.approx([golden["target_law"][label] for label in corpus["labels"]], rel=1e-9)
    assert raked.status == golden["status"] == rake(ids, offsets, counts, EXPONENTS[target]).status
    if golden["status"] == "interior":
        weights = weights_of(raked, ids, offsets)
        assert weights.tolist() == pytest.approx(golden["weights_mean_one"], rel=1e-8)
        assert weights.max() == pytest.approx(golden["max_weight"], rel=1e-8)
        assert raked.after.tolist() == pytest.approx(
            [golden["target_mass_law"][label] for label in corpus["labels"]], rel=1e-8
        )


def test_w8_corpus_b_ends_and_says_which_labels_miss() -> None:
    """p is on every picture, so it has half of the mass or more; the others' shares are as wanted among themselves."""
    raked = rake(*golden_arrays("B"), 0.5)
    assert (raked.status, raked.rounds < 100) == ("infeasible", True)
    missed = raked.after - raked.target
    assert raked.after[0] == pytest.approx(0.5, abs=0.01)
    assert missed[0] == pytest.approx(0.5 - 0.4327, abs=0.01)
    assert (missed[1:] < 0).all()
    assert 0.06 < raked.distance < raked.distance_before == pytest.approx(0.2673, abs=1e-4)


def test_w8_zipf_corpus() -> None:
    """The fact sheet: TV 0.396 before, 8e-5 after 20 rounds; effective sample size 0.328 N, largest weight 17.5."""
    ids, offsets, counts = zipf_corpus()
    report = sampled_laws(ids, offsets, counts, "raked", 30_000.0)
    raked = report.drawn.raking
    assert raked is not None
    assert (raked.status, raked.rounds) == ("interior", 20)
    assert raked.distance_before == pytest.approx(0.396, abs=5e-4)
    assert raked.distance == pytest.approx(8e-5, abs=5e-6)
    assert report.effective_sample_size / report.pictures == pytest.approx(0.328, abs=5e-4)
    assert report.largest_factor / 1.5 == pytest.approx(17.5, abs=0.05)
    assert report.epoch_length == pytest.approx(30_000)
    assert report.mass_statistics.total_variation == pytest.approx(raked.distance)


def test_w8_a_target_at_the_edge_is_approached_without_end_and_given_up() -> None:
    """Uniform over {a}, {a, b}: only pictures of both labels would do it, and no weight is 0."""
    ids, offsets = reference.flat([[0]] * 5 + [[0, 1]] * 5)
    raked = rake(ids, offsets, np.array([10, 5]), 1.0)
    assert raked.status == "boundary"
    assert raking.TOLERANCE < raked.distance < 0.01
    assert raked.rounds <= raking.MOST_ROUNDS


def test_w8_the_cap_holds_and_is_told() -> None:
    """The one picture of b would have to weigh half of all; under the cap the others make up for it."""
    ids, offsets = reference.flat([[0]] * 99 + [[1]])
    raked = rake(ids, offsets, np.array([99, 1]), 1.0, weight_cap=20)
    weights = weights_of(raked, ids, offsets)
    assert raked.status == "infeasible"
    assert raked.capped_pictures == 1
    assert weights[-1] == pytest.approx(20)
    assert weights.mean() == pytest.approx(1)
    assert raked.after.tolist() == pytest.approx([0.8, 0.2])
    free = rake(ids, offsets, np.array([99, 1]), 1.0, weight_cap=60)
    assert (free.status, free.capped_pictures) == ("interior", 0)
    assert weights_of(free, ids, offsets)[-1] == pytest.approx(50)


def test_w8_uniform_zipf_is_beyond_the_cap_and_the_epoch_is_as_long_as_asked() -> None:
    report = sampled_laws(*zipf_corpus(), "raked:uniform", 30_000.0)
    assert report.drawn.raking is not None
    assert report.drawn.raking.status == "infeasible"
    assert report.epoch_length == pytest.approx(30_000)
    assert report.largest_factor <= 1.5 * raking.WEIGHT_CAP + 1e-9
    assert report.half_epoch_pictures < 1000


labelled = st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=25).filter(any)


@given(labelled, st.sampled_from([0.3, 0.5, 1.0]))
def test_rounds_are_those_of_the_formula(pictures: list[list[int]], exponent: float) -> None:
    ids, offsets = reference.flat(pictures)
    counts = reference.counts(pictures, 6)
    powers = [count ** (1 - exponent) if count else 0.0 for count in counts]
    target = [power / sum(powers) for power in powers]
    raked = rake(ids, offsets, np.array(counts), exponent, weight_cap=1e9)
    held = [picture for picture in pictures if picture]
    expected = reference.raked_weights(held, target, raked.rounds)
    found = weights_of(raked, ids, offsets)
    assert found[np.diff(offsets) > 0].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert not found[np.diff(offsets) == 0].any()


@given(labelled, st.sampled_from([0.3, 0.5, 1.0]))
def test_mass_is_the_target_where_every_label_has_a_picture_of_its_own(
    pictures: list[list[int]], exponent: float
) -> None:
    pictures = pictures + [[label] for label in range(6)]
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    raked = rake(ids, offsets, counts, exponent)
    assert raked.status == "interior"
    draws = draws_of(drawing(ids, offsets, counts, f"raked:{exponent}", 2.0 * len(pictures)), ids, offsets)
    mass = reference.mass_law([p for p in pictures if p], draws[np.diff(offsets) > 0].tolist(), 6)
    assert mass == pytest.approx(raked.target.tolist(), abs=2.1e-4)
    assert draws.sum() == pytest.approx(2 * len(pictures))


@given(labelled, st.sampled_from([0.3, 1.0]), st.floats(1.1, 8))
def test_weights_have_mean_1_stay_below_the_cap_and_never_call_a_reachable_target_infeasible(
    pictures: list[list[int]], exponent: float, weight_cap: float
) -> None:
    ids, offsets = reference.flat(pictures)
    counts = np.array(reference.counts(pictures, 6))
    raked = rake(ids, offsets, counts, exponent, weight_cap=weight_cap)
    weights = weights_of(raked, ids, offsets)[np.diff(offsets) > 0]
    assert weights.max() <= weight_cap * (1 + 1e-9)
    assert weights.mean() == pytest.approx(1)
    if rake(ids, offsets, counts, exponent, weight_cap=weight_cap, tolerance=1e-6).status == "interior":
        assert raked.status == "interior"
