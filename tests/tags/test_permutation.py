"""A keyed permutation is a bijection that depends on its key."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.tags import permutation
from tagwise.tags.permutation import Permutation, permuted


@pytest.mark.parametrize("length", [1, 2, 3, 5, 1000, 4097, 65_537, 99_999, 1_000_000])
def test_w10_permutation_is_a_bijection(length: int) -> None:
    order = Permutation(length, 0, "test")(np.arange(length))
    assert np.bincount(order, minlength=length).tolist() == [1] * length


@pytest.mark.parametrize("length", [5 * 10**9, 2**40 + 1, 2**53 + 1, 2**62])
def test_w10_long_orders_are_distinct_and_in_range(length: int) -> None:
    order = Permutation(length, 0, "test")(np.arange(10_000))
    assert len(np.unique(order)) == 10_000
    assert 0 <= order.min() <= order.max() < length
    assert order.mean() == pytest.approx(length / 2, rel=0.03)


@pytest.mark.parametrize("length", [1000, 99_999])
def test_w10_seeds_and_names_give_unrelated_orders(length: int) -> None:
    orders = [
        Permutation(length, *key)(np.arange(length)) for key in ((0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0))
    ]
    for index, order in enumerate(orders):
        for other in (np.arange(length), *orders[:index]):
            assert np.abs(order - other).mean() > length / 4


@pytest.mark.parametrize("length", [2, 3, 4])
def test_every_order_of_a_few_happens(length: int) -> None:
    seen = {tuple(Permutation(length, seed, "few")(np.arange(length)).tolist()) for seed in range(1000)}
    assert len(seen) == math.factorial(length)


def test_places_are_uniform() -> None:
    """Where the first of 12 goes over 6,000 seeds: chi-square with 11 degrees of freedom."""
    places = [int(Permutation(12, seed, "uniform")(np.zeros(1, np.int64))[0]) for seed in range(6_000)]
    squares = (np.bincount(places, minlength=12) - 500) ** 2 / 500
    assert squares.sum() < 31.3, "exceeded once in a thousand times"


@pytest.mark.parametrize("block", [permutation.BLOCK_POSITIONS, 7])
@given(groups=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2**63)), min_size=1, max_size=6))
def test_lengths_and_keys_may_differ_from_value_to_value(block: int, groups: list[tuple[int, int]]) -> None:
    values = np.concatenate([np.arange(length, dtype=np.uint64) for length, _ in groups])
    sizes = [length for length, _ in groups]
    lengths = np.repeat(np.array(sizes, np.uint64), sizes)
    keys = np.repeat(np.array([key for _, key in groups], np.uint64), sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permutation, "BLOCK_POSITIONS", block)
        found = permuted(values, lengths, keys)
    alone = [
        permuted(np.arange(length, dtype=np.uint64), np.array([length], np.uint64), np.array([key], np.uint64))
        for length, key in groups
    ]
    assert found.tolist() == np.concatenate(alone).tolist()
    assert all(sorted(order.tolist()) == list(range(len(order))) for order in alone)
