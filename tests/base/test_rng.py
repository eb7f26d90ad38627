"""Named streams: one seed, as many independent generators as there are names."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base import rng

NAMES = st.lists(st.text(max_size=5) | st.integers(), max_size=3)


def test_a_stream_is_pinned_for_ever() -> None:
    """Another value here means that every run of every user changes."""
    assert rng.stream_seed(0, "epoch", 3) == 6273279607694283722
    assert rng.stream(0, "epoch", 3).integers(1000, size=4).tolist() == [0, 809, 36, 636]


@given(st.integers(), NAMES)
def test_the_same_names_give_the_same_stream(seed: int, names: list[str | int]) -> None:
    found = rng.stream_seed(seed, *names)
    assert 0 <= found < 2**63
    assert found == rng.stream_seed(seed, *names)


@given(st.integers(), NAMES, st.integers(), NAMES)
def test_another_seed_or_name_gives_another_stream(
    seed: int, names: list[str | int], other_seed: int, other_names: list[str | int]
) -> None:
    same = (seed, names) == (other_seed, other_names)
    assert same == (rng.stream_seed(seed, *names) == rng.stream_seed(other_seed, *other_names))


def test_a_number_and_its_digits_are_two_names() -> None:
    assert rng.stream_seed(0, 3) != rng.stream_seed(0, "3")
    assert rng.stream_seed(0, "a", "b") != rng.stream_seed(0, "ab")
    assert rng.stream_seed(0, "epoch", 1) != rng.stream_seed(0, "epoch", 2)


def test_using_one_stream_does_not_move_another() -> None:
    alone = rng.stream(7, "crop").random(5)
    rng.stream(7, "flip").random(1000)
    assert (rng.stream(7, "crop").random(5) == alone).all()


def test_streams_are_uncorrelated() -> None:
    """Correlation of n independent pairs has standard deviation 1/sqrt(n)."""
    draws = np.stack([rng.stream(0, "epoch", epoch).random(20_000) for epoch in range(8)])
    off_diagonal = np.asarray(np.corrcoef(draws))[~np.eye(8, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)
