"""A fast wrong answer does not count: the benches fail where the roads do not come to the same."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import feeding, training
from tagwise.pixels.feeding import AHEAD

OURS, THEIRS = training.Way(ours=True), training.Way(ours=False)


@pytest.mark.parametrize(
    ("ours", "same"),
    [([7.0, 6.5, 6.0], True), ([7.0, 6.5, 6.0005], True), ([7.0, 6.5, 6.1], False), ([7.1, 6.5, 6.0], False)],
)
def test_two_steps_learn_the_same_if_the_losses_behind_them_agree_too(ours: list[float], same: bool) -> None:
    """The first loss alone would say nothing of gradients, rates and decay."""
    found: dict[training.Way, dict[str, Any]] = {
        OURS: {"first_losses": ours},
        THEIRS: {"first_losses": [7.0, 6.5, 6.0]},
    }
    assert training._same_loss(found, OURS, THEIRS) is same


def measured(levels: float = 0.02, mean: float = 0.1) -> dict[str, Any]:
    crops = {"grey_levels_off": levels}
    batches = {"means": {"ours": 0.1, "timm": mean}}
    return {
        "decode + crop, 500 x 375": crops,
        "decode + crop, 2048 x 1536": crops,
        "batches of crops": batches,
        "batches of tiny pictures": batches,
    }


def test_pixels_that_differ_are_no_feed() -> None:
    assert feeding.unlike_rows(measured()) == []
    assert feeding.unlike_rows(measured(levels=0.11)) == ["decode + crop, 500 x 375"]
    assert feeding.unlike_rows(measured(mean=0.2)) == ["batches of crops", "batches of tiny pictures"]


def test_a_feed_is_timed_from_the_first_batch_to_the_last() -> None:
    """Whoever works while nobody asks is not quicker for it: the time between two batches counts."""

    class Slow(Tensor):
        def mean(self) -> Tensor:  # type: ignore[override]
            time.sleep(0.02)
            return torch.zeros(())

    ready = AHEAD * feeding.WORKERS
    batches = (torch.zeros(4, 3, 2, 2).as_subclass(Slow) for _ in range(ready + 5))
    rate, _ = feeding._drained(batches)
    assert rate <= 4 / 0.02
