"""The rival of the quickstart: the best net from scratch that a search on the drawn target found."""

from __future__ import annotations

from tagwise.base.devices import native_bf16
from tagwise.base.views import View
from tagwise.nets import find_design
from tagwise.pixels.augment import Augment
from tagwise.training.plans import Plan
from tagwise.training.recipes.small import from_scratch
from tagwise.transfer.comparison import Arena

ANY_TURN = Augment(smallest_area_fraction=0.6, aspect=1.15, turn_degrees=180, light=0.2)
"""Drawn shapes stand at any rotation, so any turn of one is a picture that could have been drawn."""


EPOCHS = 1000
"""Of the rival inside the quickstart's four minutes."""


def drawn_scratch(arena: Arena, epochs: int = EPOCHS) -> Plan:
    """The plan that won ``bench/scratch_search.py``; ``docs/results/scratch_search.json`` is its record.

    Twice as long is better still (``docs/results/scratch_edges.json``); the published gains are over both.
    """
    pictures = len(arena.target.train)
    return from_scratch(
        pictures,
        data=arena.target.train.digest,
        design=find_design("resnet8_cifar"),
        view=View(resolution=32, resize=36),
        images=epochs * pictures,
        batch=min(64, pictures),
        rate_per_256=0.5,
        weight_decay=5e-3,
        augment=ANY_TURN,
        precision="bfloat16" if native_bf16(arena.device) else "float32",
        seed=arena.seed,
    )
