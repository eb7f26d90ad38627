"""The learning rate by pictures seen: linear scaling, warm-up, halvings and steps at whole pictures, cosine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pixels.augment import draw_numbers
from tagwise.tags.epoch import positions_of
from tagwise.training.schedule import drops, learning_rate
from tagwise.training.stream import PictureStream
from tests.training.tiny import tiny_index, tiny_plan

FALLS: tuple[dict[str, Any], ...] = (
    {"decay": "cosine"},
    {"decay": "cosine", "final_fraction": 0.25},
    {"decay": "halvings", "halvings": 3},
    {"decay": "steps", "milestones": (0.5, 0.75)},
    {"decay": "poly"},
)


def test_w15_rate_of_the_paper() -> None:
    """0.1 per 256 pictures at a batch of 8,064 (Mahajan et al. 2018)."""
    assert tiny_plan(rate_per_256=0.1, batch=8064, images=8064).peak_rate == pytest.approx(3.15, rel=1e-15)
    assert tiny_plan(rate_per_256=0.1, batch=256, images=256).peak_rate == 0.1


@pytest.mark.parametrize("fall", FALLS)
def test_w15_warmup_is_a_straight_line_that_ends_at_its_boundary(fall: dict[str, Any]) -> None:
    plan = tiny_plan(images=10_000, warmup_fraction=0.04, rate_per_256=64.0, **fall)
    assert [learning_rate(plan, seen) for seen in (0, 100, 399, 400)] == [0.0, 0.5, 2 * 399 / 400, 2.0]


def test_warmup_begins_at_its_rate_and_never_falls() -> None:
    """The WSL paper's begins at 0.1; a batch whose peak is lower has no warm-up that falls."""
    large = tiny_plan(images=10**6, batch=8064, warmup_rate=0.1, warmup_fraction=0.1)
    assert [learning_rate(large, seen) for seen in (0, 50_000, 100_000)] == pytest.approx([0.1, (0.1 + 3.15) / 2, 3.15])
    small = tiny_plan(images=10**6, batch=64, warmup_rate=0.1, warmup_fraction=0.1)
    assert {learning_rate(small, seen) for seen in (0, 50_000, 100_000)} == {0.025}


@given(st.integers(0, 20), st.integers(0, 999), st.integers(1_000, 10**9))
def test_w15_each_halving_hits_its_boundary_exactly(halvings: int, warmup: int, images: int) -> None:
    plan = tiny_plan(
        images=images, warmup_fraction=warmup / 1_000, rate_per_256=32.0, decay="halvings", halvings=halvings
    )
    assert plan.peak_rate == 1.0
    points = drops(plan)
    assert len(points) == halvings
    stretches = [after - before for before, after in pairwise([plan.warmup_images, *points, images])]
    assert max(stretches) - min(stretches) <= 1
    if min(stretches) > 0:
        assert learning_rate(plan, plan.warmup_images) == 1.0
        for number, point in enumerate(points, start=1):
            assert learning_rate(plan, point) == 0.5**number
            assert learning_rate(plan, point - 1) == 0.5 ** (number - 1) or point - 1 < plan.warmup_images
        assert learning_rate(plan, images - 1) == 0.5**halvings


def test_halvings_of_a_known_training() -> None:
    """1,000 pictures, 100 of them warm-up, two halvings: at 400 and 700."""
    assert drops(tiny_plan(images=1000, warmup_fraction=0.1, decay="halvings", halvings=2)) == [400, 700]


@given(st.integers(1, 3_500_000_000), st.integers(1, 600), st.data())
def test_a_step_after_so_many_epochs_falls_on_that_epochs_end(pictures: int, epochs: int, data: st.DataObject) -> None:
    """Shares are floats; pictures are not."""
    after = sorted(data.draw(st.sets(st.integers(1, max(epochs - 1, 1)), max_size=4)) - {epochs})
    if after:
        milestones = tuple(drop / epochs for drop in after)
        plan = tiny_plan(images=8 * epochs * pictures, warmup_fraction=0.0, decay="steps", milestones=milestones)
        assert drops(plan) == [8 * drop * pictures for drop in after]


def test_steps_multiply_by_their_factor() -> None:
    plan = tiny_plan(
        images=1000, warmup_fraction=0.0, rate_per_256=32.0, decay="steps", milestones=(0.5, 0.75), step_factor=0.25
    )
    assert [learning_rate(plan, seen) for seen in (0, 499, 500, 749, 750, 999)] == [1, 1, 0.25, 0.25, 0.0625, 0.0625]


@pytest.mark.parametrize("final", [0.0, 0.25])
def test_cosine_falls_from_one_to_its_end_through_the_middle(final: float) -> None:
    plan = tiny_plan(images=1000, warmup_fraction=0.1, rate_per_256=32.0, final_fraction=final)
    rates = [learning_rate(plan, seen) for seen in range(100, 1001)]
    assert rates[0] == 1.0
    assert rates[450] == pytest.approx((1 + final) / 2)
    assert rates[-1] == pytest.approx(final, abs=1e-12)
    assert all(before > after for before, after in pairwise(rates))
    assert drops(plan) == []


def test_poly_falls_with_the_power_of_the_share_that_is_left() -> None:
    """Chen et al. 2017 (DeepLab), section 4.1: (1 - step / steps) ** 0.9."""
    plan = tiny_plan(images=1000, warmup_fraction=0.0, rate_per_256=32.0, decay="poly")
    assert [learning_rate(plan, seen) for seen in (0, 250, 500)] == pytest.approx([1, 0.75**0.9, 0.5**0.9])
    assert learning_rate(plan, 1000) == 0
    assert not drops(plan)


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
