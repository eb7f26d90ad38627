"""What a training will cost, said before it begins."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base.durations import clock
from tagwise.nets import build, count_macs, count_parameters
from tagwise.pixels.batches import Batch, LabelledPictures
from tagwise.tags.epoch import EpochIndex
from tagwise.training.loop import Job, train
from tagwise.training.plans import Plan

TRIAL_BATCH = 64
TRIAL_STEPS = 12
"""Steps of the trial that measures the rate; the first third is not counted."""


def estimate(plan: Plan, outputs: int, pictures: int, device: torch.device) -> dict[str, str]:
    """Parameters, memory, disk and time; the rate is measured in a short trial on random pixels.

    Args:
        plan: The training.
        outputs: Outputs of the classifier.
        pictures: Pictures that are packed.
        device: Where it would run.

    Returns:
        Lines for people, by name.
    """
    parameters = count_parameters(plan.design, outputs)
    macs = count_macs(plan.design, plan.view.resolution, plan.view.resolution, outputs).total
    head = (plan.design.channels[-1] + 1) * outputs
    rate = 1 / max(_trial(plan, device), 1e-9)
    return {
        "net": f"{parameters:,} parameters, {head:,} of them in the classifier; {macs / 1e6:,.1f} million mult-adds",
        "memory": f"{_gigabytes(16 * parameters)} for weights, gradients, momentum and a checkpoint on its way, "
        f"{_gigabytes(plan.batch * 3 * plan.view.resize**2 * 5)} for a batch of pixels, activations apart",
        "disk": f"{_gigabytes(pictures * 3 * plan.view.resize**2)} of packed pictures, "
        f"{_gigabytes(3 * 8 * parameters)} of checkpoints",
        "time": f"{clock(plan.images / rate)} at {rate:,.0f} pictures/s on {device}, measured over "
        f"{TRIAL_STEPS - TRIAL_STEPS // 3} steps",
    }


class _Stamped:
    """Pictures that note when each batch was asked for."""

    def __init__(self, pictures: LabelledPictures) -> None:
        self._pictures, self.times = pictures, list[float]()

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        self.times.append(time.monotonic())
        return self._pictures.batch(rows)


def _trial(plan: Plan, device: torch.device) -> float:
    """Seconds a picture: the median step after the first third."""
    side, batch = plan.view.resize, min(plan.batch, TRIAL_BATCH)
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 255, (batch, side, side, 3), np.uint8)
    pictures = LabelledPictures.of_classes(pixels, np.zeros(batch, np.int64))
    index = EpochIndex.build(pictures.ids, pictures.offsets, np.array([batch]), "natural")
    stamped = _Stamped(pictures)
    short = dataclasses.replace(plan, images=TRIAL_STEPS * batch, batch=batch, law="natural", threshold=None)
    net = build(plan.design, num_classes=2)
    train(Job(plan=short, net=net, pictures=stamped, index=index, device=device, title=None))  # type: ignore[arg-type]
    return float(np.median(np.diff(stamped.times)[TRIAL_STEPS // 3 :])) / batch


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
