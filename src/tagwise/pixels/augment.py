"""Random crops, flips, turns and light, for a whole batch in one sampling on the device.

The numbers come from a table drawn by (seed, step), so that a batch is augmented the same after
a restart and for any number of processes. torchvision's transforms draw once for a whole batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base import rng
from tagwise.base.errors import UsageError
from tagwise.base.views import View

NUMBERS = 8
"""Uniform numbers that the augmentation of one picture uses."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How training pictures are varied; evaluation takes the view's central crop."""

    smallest_area_fraction: float = 0.35
    """Least share of the fitted square that a crop shows; the largest is 1."""
    aspect: float = 4 / 3
    """Largest ratio of a crop's sides."""
    flip: bool = True
    """Mirrored in half of the cases."""
    turn_degrees: float = 0.0
    """Largest turn to either side; 180 is any."""
    light: float = 0.0
    """Largest relative change of brightness, and of each colour channel half as much."""

    def __post_init__(self) -> None:
        if not (0 < self.smallest_area_fraction <= 1 and self.aspect >= 1 and 0 <= self.light < 1):
            raise UsageError(
                "Augmentation needs smallest_area_fraction in 0..1, aspect of at least 1 and light below 1; "
                f"{self.smallest_area_fraction}, {self.aspect} and {self.light} were given."
            )


def draw_numbers(seed: int, step: int, batch: int) -> NDArray[np.float32]:
    """The uniform numbers of one step's global batch, float32 [batch, NUMBERS] in [0, 1)."""
    return rng.stream(seed, "augment", step).random((batch, NUMBERS), dtype=np.float32)


def augmented(images_BHWC: Tensor, numbers: NDArray[np.float32], augment: Augment, view: View) -> Tensor:
    """Varied, normalised pictures.

    Args:
        images_BHWC: uint8 [B, resize, resize, 3].
        numbers: Uniform [B, NUMBERS], from ``draw_numbers``.
        augment: How strongly.
        view: Resolution and normalisation.

    Returns:
        float32 [B, 3, resolution, resolution]; crops that reach out are mirrored at the edge.
    """
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
    u = torch.from_numpy(numbers).to(images_BCHW.device)
    size = [len(images_BCHW), 3, view.resolution, view.resolution]
    grid = F.affine_grid(_crops(u, augment), size, align_corners=False)
    cropped = F.grid_sample(images_BCHW, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _normalised(cropped * _lights(u, augment), view)


def centred(images_BHWC: Tensor, view: View) -> Tensor:
    """The view's central crop, normalised: float32 [B, 3, resolution, resolution]."""
    start = round((view.resize - view.resolution) / 2)  # torchvision's rounding
    inside = slice(start, start + view.resolution)
    return _normalised(images_BHWC[:, inside, inside].permute(0, 3, 1, 2).float(), view)


def _normalised(images_BCHW: Tensor, view: View) -> Tensor:
    mean, std = (
        torch.tensor(values, device=images_BCHW.device).view(1, 3, 1, 1) * 255 for values in (view.mean, view.std)
    )
    return (images_BCHW - mean) / std


def _crops(u: Tensor, augment: Augment) -> Tensor:
    """Affine maps from output to input coordinates in -1..1, [B, 2, 3]."""
    area = augment.smallest_area_fraction + (1 - augment.smallest_area_fraction) * u[:, 0]
    side = area.sqrt()
    stretch = torch.exp((u[:, 1] - 0.5) * math.log(augment.aspect)).clamp(side, 1 / side)  # no side beyond 1
    width, height = side * stretch, side / stretch
    centre_x, centre_y = (2 * u[:, 2] - 1) * (1 - width), (2 * u[:, 3] - 1) * (1 - height)
    if augment.flip:
        width = torch.where(u[:, 4] < 0.5, -width, width)
    angle = (2 * u[:, 5] - 1) * math.radians(augment.turn_degrees)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * width, -sin * height, centre_x, sin * width, cos * height, centre_y]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _lights(u: Tensor, augment: Augment) -> Tensor:
    """Factors of the channels, [B, 3, 1, 1]."""
    brightness = 1 + augment.light * (2 * u[:, 6] - 1)
    warmth = augment.light / 2 * (2 * u[:, 7] - 1)
    return torch.stack([brightness + warmth, brightness, brightness - warmth], 1)[:, :, None, None]
