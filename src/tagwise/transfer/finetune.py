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
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import LabelTask


def train_classes(
    plan: Plan,
    images_NHWC: NDArray[np.uint8],
    truth: NDArray[np.int64],
    classes: int,
    *,
    device: torch.device,
    start: ResidualNet | None = None,
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
        title: What the progress is called; None for silence.
    """
    net = class_net(plan, classes, start)
    pictures = LabelledPictures.of_classes(images_NHWC, truth)
    task = LabelTask(plan, net, pictures, device, Ranks())
    train(Job(plan=plan, task=task, index=class_index(truth, classes), device=device, title=title))
    return net


def class_net(plan: Plan, classes: int, start: ResidualNet | None = None) -> ResidualNet:
    """A new net of the plan's design, or a copy of ``start`` with a classifier that knows nothing yet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.stream_seed(plan.seed, "weights"))
        net = build(plan.design, num_classes=classes) if start is None else copy.deepcopy(start)
    if start is not None:
        replace_head(net, torch.zeros(classes))
    if plan.freeze is not None:
        freeze(net, plan.freeze)
    return net


def class_index(truth: NDArray[np.int64], classes: int) -> EpochIndex:
    """Every picture once an epoch."""
    offsets = np.arange(len(truth) + 1)
    return EpochIndex.build(truth.astype(np.int32), offsets, np.bincount(truth, minlength=classes), "natural")
