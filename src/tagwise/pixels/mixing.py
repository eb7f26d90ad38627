"""mixup and CutMix: every picture of a batch is mixed with its partner in the reversed batch.

One share for the whole batch, as ResNeSt's authors and timm draw it. The labels are mixed with the
pictures: ``training/losses.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tagwise.base import rng


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How one batch is mixed."""

    own_fraction: float
    """Of each picture, and of its labels; the rest is its partner's."""
    box: tuple[slice, slice] | None = None
    """Rows and columns that are the partner's (CutMix); None: all pixels are blended (mixup)."""


def draw_mix(seed: int, step: int, *, mixup: float, cutmix: float, resolution: int) -> Mix:
    """How the pictures of a step are mixed; the same in every process.

    Args:
        seed: The run's one seed.
        step: From 0.
        mixup: Both parameters of the beta distribution that the share is drawn from (Zhang et al. 2018); 0: no mixup.
        cutmix: The same for CutMix (Yun et al. 2019). With both above 0 each has half of the steps.
        resolution: Side of the pictures.
    """
    assert mixup > 0 or cutmix > 0, (mixup, cutmix)
    generator = rng.stream(seed, "mixing", step)
    cut = cutmix > 0 and not (mixup > 0 and generator.random() < 0.5)
    alpha = cutmix if cut else mixup
    own_fraction = float(generator.beta(alpha, alpha))
    if not cut:
        return Mix(own_fraction=own_fraction)
    side = int(resolution * math.sqrt(1 - own_fraction))
    rows, columns = (_around(int(centre), side, resolution) for centre in generator.integers(resolution, size=2))
    outside = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / resolution**2
    return Mix(own_fraction=outside, box=(rows, columns))


def mixed(images_BCHW: Tensor, mix: Mix) -> Tensor:
    """The batch with each picture mixed with its partner; the given one stays as it is."""
    partners_BCHW = images_BCHW.flip(0)
    if mix.box is None:
        return torch.lerp(partners_BCHW, images_BCHW, mix.own_fraction)
    rows, columns = mix.box
    images_BCHW = images_BCHW.clone(memory_format=torch.preserve_format)
    images_BCHW[:, :, rows, columns] = partners_BCHW[:, :, rows, columns]
    return images_BCHW


def _around(centre: int, side: int, resolution: int) -> slice:
    """What of a side around a centre lies inside the picture."""
    first, last = np.clip([centre - side // 2, centre + (side + 1) // 2], 0, resolution).tolist()
    return slice(first, last)
