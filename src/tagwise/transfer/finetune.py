"""Training a whole net on a target: from a model, or from scratch."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base import rng
from tagwise.nets import build, freeze
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.batches import LabelledPictures
from tagwise.tags.epoch import EpochIndex
from tagwise.training.loop import Job, train
from tagwise.training.models import replace_head
from tagwise.training.plans import Plan
from tagwise.training.runs import Run


def train_classes(
    plan: Plan,
    images_NHWC: NDArray[np.uint8],
    truth: NDArray[np.int64],
    classes: int,
    *,
    device: torch.device,
    start: ResidualNet | None = None,
    run: Run | None = None,
    title: str | None = None,
) -> ResidualNet:
    """Trains a net with a fresh classifier on pictures of one class each.

    Args:
        plan: How.
        images_NHWC: uint8, fitted to the plan's view.
        truth: Class of each picture.
        classes: Number of classes.
        device: Where.
        start: The net to begin from, which stays as it is; None: a new one of the plan's design.
        run: Where log and checkpoints go.
        title: What the progress is called; None for silence.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.stream_seed(plan.seed, "weights"))
        net = build(plan.design, num_classes=classes) if start is None else copy.deepcopy(start)
    if start is not None:
        replace_head(net, torch.zeros(classes))
    if plan.freeze is not None:
        freeze(net, plan.freeze)
    pictures = LabelledPictures.of_classes(images_NHWC, truth)
    index = EpochIndex.build(pictures.ids, pictures.offsets, np.bincount(truth, minlength=classes), "natural")
    train(Job(plan=plan, net=net, pictures=pictures, index=index, device=device, run=run, title=title))
    return net
