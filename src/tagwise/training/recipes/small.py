"""Our own recipes for small pictures and nets on one machine."""

from __future__ import annotations

from typing import Any

from tagwise.base.views import View
from tagwise.pixels.augment import Augment
from tagwise.training.plans import Plan
from tagwise.training.recipes.parts import planned

GENTLE = Augment(smallest_area_fraction=0.6, aspect=1.15)
"""Crops for small pictures, which lose too much by the crops of large ones."""

VIVID = Augment(smallest_area_fraction=0.35, light=0.4)
"""Strong crops and light: photos of other places and hours (``bench/photo_search.py``)."""

SMALL_VIEW = View(resolution=48, resize=54)


def small_pretraining(pictures: int, **changes: Any) -> Plan:
    """Small pictures and nets on one machine: what the quickstart uses.

    Cosine to zero, a high rate with a strong decay, gentle crops: our own choice, by trials on
    validation pictures of the drawn target (``docs/decisions.md``).
    """
    return planned(
        changes,
        task="pretrain",
        design="resnext20_8x4d_small",
        view=SMALL_VIEW,
        images=30 * pictures,
        batch=64,
        rate_per_256=1.2,
        weight_decay=1e-3,
        augment=GENTLE,
    )


def fine_tuning(pictures: int, **changes: Any) -> Plan:
    """A pretrained net on a small target: a tenth of pretraining's rate, all parameters move."""
    return planned(
        changes,
        design="resnext20_8x4d_small",
        view=SMALL_VIEW,
        images=40 * pictures,
        batch=min(32, pictures),
        rate_per_256=0.1,
        weight_decay=5e-4,
        augment=GENTLE,
    )


def from_scratch(pictures: int, **changes: Any) -> Plan:
    """A net without pretraining on a small target: a high rate and strong decay."""
    return fine_tuning(pictures, **{"rate_per_256": 0.5, "weight_decay": 5e-3, **changes})
