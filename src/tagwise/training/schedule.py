"""The learning rate as a function of pictures seen."""

from __future__ import annotations

import math

from tagwise.training.plans import Plan


def learning_rate(plan: Plan, seen: int) -> float:
    """The rate after ``seen`` pictures: a line up to the peak, then the plan's decay."""
    if seen < plan.warmup_images:
        start = min(plan.warmup_rate, plan.peak_rate)
        return start + (plan.peak_rate - start) * (seen / plan.warmup_images)
    if plan.decay == "cosine":
        return plan.peak_rate * _cosine(plan, seen)
    if plan.decay == "poly":
        return float(plan.peak_rate * _left(plan, seen) ** plan.power)
    factor = 0.5 if plan.decay == "halvings" else plan.step_factor
    return float(plan.peak_rate * factor ** sum(seen >= drop for drop in drops(plan)))


def drops(plan: Plan) -> list[int]:
    """Pictures seen at which the rate falls at once; a smooth decay has none.

    Halvings leave equal stretches between the end of warm-up and of training.
    """
    if plan.decay == "steps":
        return [round(plan.images * share) for share in plan.milestones]
    halvings = plan.halvings if plan.decay == "halvings" else 0
    span = plan.images - plan.warmup_images
    return [plan.warmup_images + round(span * number / (halvings + 1)) for number in range(1, halvings + 1)]


def _left(plan: Plan, seen: int) -> float:
    """Share of the pictures after warm-up that is still to come."""
    span = max(plan.images - plan.warmup_images, 1)
    return 1 - (seen - plan.warmup_images) / span


def _cosine(plan: Plan, seen: int) -> float:
    """Half a cosine from 1 to the plan's ``final_fraction``."""
    falling = 0.5 * (1 + math.cos(math.pi * (1 - _left(plan, seen))))
    return plan.final_fraction + (1 - plan.final_fraction) * falling
