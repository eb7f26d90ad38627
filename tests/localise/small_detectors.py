"""Detectors small enough to train for a step, and pictures with objects for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tagwise.base.views import View
from tagwise.localise.regions import build_detector
from tagwise.nets.design import Design
from tagwise.training.heads import Detector, Sizing

SMALL = Design(block="basic", depths=(1, 1, 1, 1), planes=(8, 16, 24, 32), stem_widths=(8,), stem_kernel=3)
VIEW = View(resolution=64, resize=64)
SIZING = Sizing(shorter=(96,), longest=128, test_shorter=96, test_longest=128)
KEYPOINTS = 3


def small(**settings: Any) -> Detector:
    """A detector of 32 channels whose anchors suit 96 pixels."""
    defaults: dict[str, Any] = {
        "channels": 32,
        "anchor_sizes": (8, 16, 32, 64, 128),
        "candidates": (40, 20),
        "proposals": (40, 20),
        "regions_sampled": 16,
        "box_width": 32,
        "mask_convs": 1,
        "detections": 5,
    }
    return Detector(**{**defaults, **settings})


def build(detector: Detector, design: Design = SMALL, **settings: Any) -> Any:
    """A detector of two classes."""
    if detector.kind == "keypoint":
        settings["num_keypoints"] = KEYPOINTS
    return build_detector(design, detector, 2, VIEW, SIZING, **settings)


def pictures() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Two pictures, one with two objects and one with none."""
    random = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96, 96, generator=random), torch.rand(3, 80, 96, generator=random)]
    boxes = torch.tensor([[10.0, 12.0, 60.0, 70.0], [30.0, 20.0, 52.0, 50.0]])
    masks = torch.zeros(2, 96, 96, dtype=torch.uint8)
    points = torch.zeros(2, KEYPOINTS, 3)
    for number, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        masks[number, y1:y2, x1:x2] = 1
        points[number] = torch.tensor([[x1 + 3, y1 + 4, 2], [x2 - 5, y1 + 4, 1], [x1, y2, 0]])
    found = {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks, "keypoints": points}
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 80, 96, dtype=torch.uint8),
        "keypoints": torch.zeros(0, KEYPOINTS, 3),
    }
    return images, [found, nothing]


def step(net: nn.Module) -> dict[str, float]:
    """One step of gradient descent on ``pictures``; the losses before it."""
    optimiser = torch.optim.SGD((value for value in net.parameters() if value.requires_grad), 0.01)
    losses = net.train()(*pictures())
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    optimiser.step()
    return {name: loss.item() for name, loss in losses.items()}
