"""Intervals hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused
from tagwise.measure.intervals import Z_95, mcnemar_exact, mean_and_sd, mean_interval, paired_difference, wilson
from tests.references.sampling import goldens


@pytest.mark.parametrize("case", goldens()["wilson"], ids=lambda case: f"{case['successes']}/{case['trials']}")
def test_w17_wilson_goldens(case: dict[str, float]) -> None:
    low, high = wilson(int(case["successes"]), int(case["trials"]), case["z"])
    assert low == pytest.approx(case["low"], rel=1e-9, abs=1e-12)
    assert high == pytest.approx(case["high"], rel=1e-9)
    assert case["z"] == Z_95


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_w17_wilson_stays_in_range_and_holds_the_share(first: int, second: int) -> None:
    successes, trials = min(first, second), max(first, second)
    low, high = wilson(successes, trials)
    assert 0 <= low <= high <= 1
    if trials:
        assert low <= successes / trials <= high
        mirrored = wilson(trials - successes, trials)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_w17_wilson_is_exact_at_the_ends() -> None:
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_w17_wilson_ends_are_the_shares_that_a_score_test_just_keeps(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(1, trials)) if trials > 1 else 1
    low, _ = wilson(successes, trials)
    score = (successes / trials - low) / math.sqrt(low * (1 - low) / trials)
    assert score == pytest.approx(Z_95, rel=1e-6)


def test_mean_and_sd() -> None:
    assert mean_and_sd([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_sd([0.5]) == (0.5, None)
    with pytest.raises(DataRefused):
        mean_and_sd([])


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(first: int, second: int) -> None:
    tosses, fewer = first + second, min(first, second)
    tail = sum(math.comb(tosses, heads) for heads in range(fewer + 1)) / 2**tosses
    assert mcnemar_exact(first, second) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)


def test_mcnemar_of_many_pictures_neither_overflows_nor_waits() -> None:
    assert mcnemar_exact(5000, 5000) == 1.0
    assert 0 < mcnemar_exact(4800, 5200) < 1e-4
    assert mcnemar_exact(0, 20_000) == 0.0


def test_paired_difference_by_hand() -> None:
    first = np.array([1, 1, 1, 1, 1, 1, 0, 0, 1, 1], np.bool_)
    second = np.array([1, 1, 0, 0, 0, 0, 1, 0, 1, 1], np.bool_)
    found = paired_difference(first, second)
    assert (found.pictures, found.only_first, found.only_second) == (10, 4, 1)
    assert found.difference == pytest.approx(0.3)
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)
    assert (found.low + found.high) / 2 == pytest.approx(3 / 12)
    assert found.low < 0 < found.high


def test_paired_interval_covers_the_truth_19_times_of_20() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        draws = generator.random(120)
        first, second = draws < 0.75, (draws < 0.62) | (draws > 0.95)  # .75 against .67, mostly together
        found = paired_difference(first, second)
        covered += found.low <= 0.08 <= found.high
    assert 930 <= covered <= 975


@pytest.mark.parametrize("sizes", [(0, 0), (3, 4)])
def test_unpaired_nets_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(DataRefused, match="cannot be paired"):
        paired_difference(np.zeros(sizes[0], np.bool_), np.zeros(sizes[1], np.bool_))


@pytest.mark.parametrize("count", [2, 3, 5, 10, 11, 30, 200])
def test_the_interval_of_a_mean_over_seeds_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(3, 2, count)
    point = scipy.stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)
    low, high = mean_interval(values.tolist())
    assert (high - low) / 2 == pytest.approx(point, rel=2e-3)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(DataRefused, match="at least two seeds"):
        mean_interval([3.0])
