"""What a training will cost, said before it begins."""

from __future__ import annotations

import time

import numpy as np
import torch

from tagwise.base.durations import clock
from tagwise.nets import build, count_macs, count_parameters
from tagwise.pixels.batches import LabelledPictures
from tagwise.tags.epoch import EpochIndex
from tagwise.training.loop import Job, train
from tagwise.training.plans import Plan, replace

TRIAL_STEPS = 6
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
    seconds = _trial(plan, device)
    rate = plan.batch / seconds
    return {
        "net": f"{parameters:,} parameters, {head:,} of them in the classifier; {macs / 1e6:,.1f} million mult-adds",
        "memory": f"{_gigabytes(16 * parameters)} for weights, gradients, momentum and a checkpoint on its way, "
        f"{_gigabytes(plan.batch * 3 * plan.view.resize**2 * 5)} for a batch of pixels, activations apart",
        "disk": f"{_gigabytes(pictures * 3 * plan.view.resize**2)} of packed pictures, "
        f"{_gigabytes(3 * 8 * parameters)} of checkpoints",
        "time": f"{clock(plan.images / rate)} at {rate:,.0f} pictures/s on {device}, measured over "
        f"{TRIAL_STEPS - TRIAL_STEPS // 3} steps",
    }


def _trial(plan: Plan, device: torch.device) -> float:
    """Seconds a step."""
    side = plan.view.resize
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 255, (plan.batch, side, side, 3), np.uint8)
    pictures = LabelledPictures.of_classes(pixels, np.zeros(plan.batch, np.int64))
    index = EpochIndex.build(pictures.ids, pictures.offsets, np.array([plan.batch]), "natural")

    def run(steps: int) -> float:
        short = replace(plan, images=steps * plan.batch, law="natural")
        net = build(plan.design, num_classes=2)
        began = time.monotonic()
        train(Job(plan=short, net=net, pictures=pictures, index=index, device=device, title=None))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic() - began

    warm = TRIAL_STEPS // 3
    lead = run(warm)
    return max(run(TRIAL_STEPS) - lead, 1e-6) / (TRIAL_STEPS - warm)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
