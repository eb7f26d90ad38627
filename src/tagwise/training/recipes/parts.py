"""What recipes share: settings that several of them name, and how a published figure becomes a setting."""

from __future__ import annotations

import dataclasses
from typing import Any

from tagwise.base.views import View
from tagwise.nets.designs import find_design
from tagwise.pixels.augment import Augment
from tagwise.training.plans import REFERENCE_BATCH, Plan

CROPS = Augment(smallest_area_fraction=0.08)
"""Szegedy et al.'s crops of 8 % to all of the picture, and flips."""

IMAGENET_VIEW = View(resolution=224, resize=256)


def planned(changes: dict[str, Any], **settings: Any) -> Plan:
    """The plan of these settings, changed; a design may be told by its name."""
    settings = {"task": "train", **settings, **changes}
    if isinstance(settings["design"], str):
        settings["design"] = find_design(settings["design"])
    return Plan(**settings)


def at(rate: float, *, batch: int) -> dict[str, Any]:
    """A published rate at its batch."""
    return {"rate_per_256": rate * REFERENCE_BATCH / batch, "batch": batch}


def stepped(end: int, *drops: int, of: int, rise: int = 0) -> dict[str, Any]:
    """A tenth of the rate after each of the drops, in units of so many pictures as are told."""
    milestones = tuple(drop / end for drop in drops)
    return {"images": end * of, "decay": "steps", "milestones": milestones, "warmup_fraction": rise / end}


def begun(plan: Plan, **settings: Any) -> Plan:
    """The plan with these of its design, if the net is new; a given one stays as it was designed."""
    return plan if plan.start else dataclasses.replace(plan, design=dataclasses.replace(plan.design, **settings))
