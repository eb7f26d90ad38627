"""The learning rate by pictures seen: linear scaling, warm-up, halvings at whole pictures, cosine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pixels.augment import draw_numbers
from tagwise.tags.epoch import positions_of
from tagwise.training.schedule import DECAYS, halving_points, rate_factor, scaled_rate
from tagwise.training.stream import PictureStream
from tests.training.tiny import tiny_index


def test_w15_rate_of_the_paper() -> None:
    """0.1 per 256 pictures at a batch of 8,064 (Mahajan et al. 2018)."""
    assert scaled_rate(0.1, 8064) == pytest.approx(3.15, rel=1e-15)
    assert scaled_rate(0.1, 256) == 0.1


def test_w15_warmup_is_a_straight_line_that_ends_at_its_boundary() -> None:
    settings: dict[str, Any] = {"images": 10_000, "warmup_images": 400, "halvings": 3}
    for decay in DECAYS:
        factors = [rate_factor(seen, decay=decay, **settings) for seen in (0, 100, 399, 400)]
        assert factors == [0.0, 0.25, 399 / 400, 1.0]


@given(st.integers(0, 20), st.integers(0, 10**6), st.integers(1, 10**9))
def test_w15_each_halving_hits_its_boundary_exactly(halvings: int, warmup: int, span: int) -> None:
    images = warmup + span + halvings + 1

    def factor(seen: int) -> float:
        return rate_factor(seen, images=images, warmup_images=warmup, decay="halvings", halvings=halvings)

    points = halving_points(images, warmup, halvings)
    assert len(points) == halvings
    assert factor(warmup) == 1.0
    for number, point in enumerate(points, start=1):
        assert factor(point) == 0.5**number
        assert factor(point - 1) == 0.5 ** (number - 1)
    assert factor(images - 1) == 0.5**halvings
    stretches = [after - before for before, after in pairwise([warmup, *points, images])]
    assert max(stretches) - min(stretches) <= 1


def test_halvings_of_a_known_training() -> None:
    """1,000 pictures, 100 of them warm-up, two halvings: at 400 and 700."""
    assert halving_points(1000, 100, 2) == [400, 700]


def test_cosine_falls_from_one_to_zero_through_a_half() -> None:
    factors = [
        rate_factor(seen, images=1100, warmup_images=100, decay="cosine", halvings=0) for seen in range(100, 1101)
    ]
    assert factors[0] == 1.0
    assert factors[500] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(before > after for before, after in pairwise(factors))


@given(st.integers(0, 400), st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_w15_global_batches_and_their_augmentation_do_not_depend_on_the_world(step: int, world: int) -> None:
    """Any split of 12 pictures over processes: the same pictures with the same numbers, so the same rate boundaries."""
    stream = PictureStream(tiny_index(), seed=1)
    alone = stream.rows(positions_of(step, 12))
    numbers = draw_numbers(1, step, 12)
    per_rank = 12 // world
    shares = [stream.rows(positions_of(step, 12, rank, world)) for rank in range(world)]
    own_numbers = [draw_numbers(1, step, 12)[rank * per_rank : (rank + 1) * per_rank] for rank in range(world)]
    assert np.concatenate(shares).tolist() == alone.tolist()
    assert np.concatenate(own_numbers).tobytes() == numbers.tobytes()
