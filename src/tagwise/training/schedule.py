"""The learning rate as a function of pictures seen."""

from __future__ import annotations

import math
from typing import Literal, get_args

Decay = Literal["halvings", "cosine"]
DECAYS: tuple[Decay, ...] = get_args(Decay)

REFERENCE_BATCH = 256


def scaled_rate(rate_per_256: float, batch: int) -> float:
    """Linear scaling: 0.1 per 256 pictures is 3.15 for a batch of 8,064 (Mahajan et al. 2018, section 2.3)."""
    return rate_per_256 * batch / REFERENCE_BATCH


def halving_points(images: int, warmup_images: int, halvings: int) -> list[int]:
    """Pictures seen at which the rate halves: equal stretches between the end of warm-up and of training."""
    span = images - warmup_images
    return [warmup_images + round(span * number / (halvings + 1)) for number in range(1, halvings + 1)]


def rate_factor(seen: int, *, images: int, warmup_images: int, decay: Decay, halvings: int) -> float:
    """Share of the peak rate for the step that begins after ``seen`` pictures, 0 to 1.

    Args:
        seen: Pictures seen before the step.
        images: Pictures seen in all.
        warmup_images: The rate rises linearly over these.
        decay: ``halvings``: multiplied by 1/2 at each of ``halving_points``; ``cosine``: half a
            cosine to 0.
        halvings: Their number; the cosine has none.
    """
    if seen < warmup_images:
        return seen / warmup_images
    if decay == "halvings":
        return 0.5 ** sum(seen >= point for point in halving_points(images, warmup_images, halvings))
    return 0.5 * (1 + math.cos(math.pi * (seen - warmup_images) / max(images - warmup_images, 1)))
