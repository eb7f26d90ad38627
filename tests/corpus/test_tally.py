"""Counts, quantiles and bins against their definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tagwise.corpus.tally import Bin, Part, Quantiles, bins, histogram, parts, quantiles, ranked

COUNTS = st.lists(st.integers(1, 10**6) | st.integers(1, 40), min_size=1, max_size=200)


@given(COUNTS)
def test_a_quantile_is_the_least_value_that_its_share_does_not_exceed(values: list[int]) -> None:
    found = quantiles(np.array(values))
    for percents, quantile in ((5, found.low), (50, found.median), (95, found.high)):
        enough = [value for value in values if 100 * sum(other <= value for other in values) >= percents * len(values)]
        assert quantile == min(enough)


@given(COUNTS)
def test_a_histogram_has_every_value_in_one_of_at_most_25_bins(values: list[int]) -> None:
    found = histogram(np.array(values))
    assert len(found) <= 25
    assert sum(part.items for part in found) == len(values)
    assert (found[0].low, found[-1].high) == (1, max(max(values), found[-1].low))
    for before, after in pairwise(found):
        assert after.low == before.high + 1
    for part in found:
        assert part.items == sum(part.low <= value <= part.high for value in values)


def test_few_values_have_a_bin_each() -> None:
    assert histogram(np.array([1, 3, 3])) == [
        Bin(low=1, high=1, items=1),
        Bin(low=2, high=2, items=0),
        Bin(low=3, high=3, items=2),
    ]


def test_bins_end_where_the_next_begins_and_values_below_the_first_are_left_out() -> None:
    found = bins(np.array([0, 1, 4, 5, 99]), (1, 2, 5))
    assert [(part.low, part.high, part.items) for part in found] == [(1, 1, 1), (2, 4, 1), (5, 99, 2)]


def test_nothing_is_counted_too() -> None:
    nothing = np.empty(0, np.int64)
    assert quantiles(nothing) == Quantiles(low=0, median=0, high=0)
    assert histogram(nothing) == [Bin(low=1, high=1, items=0)]
    assert parts({"used": 0}, 0) == [Part(name="used", items=0, items_fraction=0.0)]


def test_the_largest_comes_first_and_ties_by_name() -> None:
    assert list(ranked({"b": 1, None: 1, "a": 1, "c": 2})) == ["c", None, "a", "b"]
