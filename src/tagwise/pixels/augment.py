"""Training pictures varied: geometry for a whole batch at once on the device, colours picture by picture.

The numbers of crops, flips, turns and light come from a table drawn by (seed, step). What
torchvision does picture by picture draws from a seed made of (seed, position in the endless stream
of pictures). So a batch is augmented the same after a restart and for any number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base import rng
from tagwise.base.errors import UsageError
from tagwise.base.views import View

NUMBERS = 8
"""Uniform numbers that the sampling of one picture uses."""

_MOST_MAGNITUDE = 30
"""The largest that RandAugment's scale has, in torchvision and at its authors."""

_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
# Of ImageNet's colours in 0..1, RGB by component: fb.resnet.torch, datasets/imagenet.lua.

_Change = Callable[[Tensor], Tensor]
"""Of a picture uint8 [3, H, W], with torch's own random numbers."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How training pictures are varied; evaluation takes the view's central crop."""

    smallest_area_fraction: float = 0.35
    """Least share of the fitted square that a crop shows; the largest is 1."""
    aspect: float = 4 / 3
    """Largest ratio of a crop's sides."""
    pad: int = 0
    """Pixels of the mean colour around the fitted square, from which the view's resolution is then cut anywhere,
    unscaled. The mean and not black: He et al. 2015 and fb.resnet.torch pad what is normalised already."""
    flip: bool = True
    """Mirrored in half of the cases."""
    turn_degrees: float = 0.0
    """Largest turn to either side; 180 is any."""
    light: float = 0.0
    """Largest relative change of brightness, and of each colour channel half as much."""
    policy: Literal["none", "randaugment", "autoaugment", "trivialaugment"] = "none"
    """Cubuk et al. 2020, Cubuk et al. 2019 (the policies found on ImageNet), Mueller and Hutter 2021 (wide)."""
    policy_ops: int = 2
    """RandAugment's operations, one after the other."""
    policy_probability: float = 1.0
    """With which each of RandAugment's operations is done; timm's and the ResNeSt authors' is 0.5."""
    policy_magnitude: int = 9
    """Of RandAugment's operations, 0 to 30; what timm calls 7 is 21 here."""
    policy_std: float = 0.0
    """Standard deviation of each operation's magnitude on the same scale; timm's 0.5 is 1.5 here."""
    jitter: float = 0.0
    """Largest relative change of brightness, of contrast and of saturation, in random order."""
    lighting: float = 0.0
    """Standard deviation of noise along the principal components of ImageNet's colours (Krizhevsky et al. 2012)."""
    erase: float = 0.0
    """Share of the pictures of which a box of 2 to 33 % becomes the mean colour (Zhong et al. 2020)."""

    def __post_init__(self) -> None:
        area, aspect = self.smallest_area_fraction, self.aspect
        told = (self.policy_ops, self.policy_probability, self.policy_magnitude, self.policy_std) != (2, 1.0, 9, 0.0)
        for need, given, met in (
            ("smallest_area_fraction above 0 and at most 1", area, 0 < area <= 1),
            ("aspect of at least 1", aspect, aspect >= 1),
            ("light from 0 to below 1", self.light, 0 <= self.light < 1),
            ("pad of 0 or more", self.pad, self.pad >= 0),
            ("smallest_area_fraction=1 and aspect=1 beside pad", (area, aspect), not self.pad or area == aspect == 1),
            ("policy_ops of at least 1", self.policy_ops, self.policy_ops >= 1),
            ("policy_probability above 0 and at most 1", self.policy_probability, 0 < self.policy_probability <= 1),
            ("policy_magnitude from 0 to 30", self.policy_magnitude, 0 <= self.policy_magnitude <= _MOST_MAGNITUDE),
            ("policy_std of 0 or more", self.policy_std, 0 <= self.policy_std < math.inf),
            ("policy=randaugment for its settings", self.policy, self.policy == "randaugment" or not told),
            ("jitter from 0 to 1", self.jitter, 0 <= self.jitter <= 1),
            ("lighting from 0 to 1", self.lighting, 0 <= self.lighting <= 1),
            ("erase from 0 to 1", self.erase, 0 <= self.erase <= 1),
        ):
            if not met:
                raise UsageError(f"Augmentation needs {need}, not {given}.")

    @property
    def by_picture(self) -> bool:
        """Whether ``vary_picture`` changes anything."""
        return self.policy != "none" or max(self.jitter, self.lighting, self.erase) > 0


def draw_numbers(seed: int, step: int, batch: int) -> NDArray[np.float32]:
    """The uniform numbers of one step's global batch, float32 [batch, NUMBERS] in [0, 1)."""
    return rng.stream(seed, "augment", step).random((batch, NUMBERS), dtype=np.float32)


def picture_seed(seed: int, position: int) -> int:
    """What ``vary_picture`` needs for the picture at a position of the endless stream."""
    return rng.stream_seed(seed, "vary", position)


def augmented(
    images_BHWC: Tensor,
    numbers: NDArray[np.float32],
    augment: Augment,
    view: View,
    seeds: Sequence[int] = (),
) -> Tensor:
    """Varied, normalised pictures.

    Args:
        images_BHWC: uint8 [B, resize, resize, 3].
        numbers: Uniform [B, NUMBERS], from ``draw_numbers``.
        augment: How strongly.
        view: Resolution and normalisation.
        seeds: [B], from ``picture_seed``; needed where ``augment.by_picture``.

    Returns:
        float32 [B, 3, resolution, resolution]; crops that reach out are mirrored at the edge.
    """
    u = torch.from_numpy(numbers).to(images_BHWC.device)
    whole_pixels = augment.pad and not augment.turn_degrees
    cropped = (_cut if whole_pixels else _sampled)(images_BHWC, u, augment, view)
    if augment.light:
        cropped = cropped * _lights(u, augment)
    if augment.by_picture:
        pixels_BHWC = cropped.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        pairs = zip(pixels_BHWC, seeds, strict=True)
        varied = [vary_picture(pixels_HWC, augment, view, seed) for pixels_HWC, seed in pairs]
        cropped = torch.stack(varied).permute(0, 3, 1, 2).float()
    return normalised(cropped, view)


def vary_picture(pixels_HWC: Tensor, augment: Augment, view: View, seed: int) -> Tensor:
    """Policy, colour jitter, lighting and erasing of one cropped picture, in this order.

    Args:
        pixels_HWC: uint8 RGB, on any device; stays as it is.
        augment: What is done, and how strongly.
        view: Its mean colour fills what is erased.
        seed: Decides all random numbers, on every device the same; torch's own generator is left as it was.

    Returns:
        uint8 [H, W, 3]; every step is rounded to whole grey levels.
    """
    picture_CHW = pixels_HWC.permute(2, 0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too
        for change in _changes(augment, view):
            picture_CHW = change(picture_CHW)
    return picture_CHW.permute(1, 2, 0)


def centred(images_BHWC: Tensor, view: View) -> Tensor:
    """The view's central crop, normalised: float32 [B, 3, resolution, resolution]."""
    start = round((view.resize - view.resolution) / 2)  # torchvision's rounding
    inside = slice(start, start + view.resolution)
    return normalised(images_BHWC[:, inside, inside].permute(0, 3, 1, 2).float(), view)


def normalised(images_BCHW: Tensor, view: View) -> Tensor:
    """Grey levels 0..255 as the net takes them; how they lie in memory stays."""
    mean, std = (_channels(values, images_BCHW) for values in (view.mean, view.std))
    images_BHWC = images_BCHW.permute(0, 2, 3, 1)
    if not images_BHWC.is_contiguous():
        return (images_BCHW - mean) / std
    # Three channels are too short for the innermost loop, a row of pixels is not: five times as fast on a CPU.
    mean, std = (values.flatten().repeat(images_BHWC.shape[2]) for values in (mean, std))
    return ((images_BHWC.flatten(2) - mean) / std).view(images_BHWC.shape).permute(0, 3, 1, 2)


def _channels(values: tuple[float, float, float], images_BCHW: Tensor) -> Tensor:
    """Values in 0..1 as grey levels, [1, 3, 1, 1]."""
    return torch.tensor(values, device=images_BCHW.device).view(1, 3, 1, 1) * 255


def _cut(images_BHWC: Tensor, u: Tensor, augment: Augment, view: View) -> Tensor:
    """What ``_sampled`` gives of padded squares that nothing turns, in a fifth of the time: pixels are only moved."""
    batch, size, pad, side = len(images_BHWC), images_BHWC.shape[1], augment.pad, view.resolution
    width = size + 2 * pad
    row = _channels(view.mean, images_BHWC).flatten().repeat(width)  # filled row by row, as in ``normalised``
    padded_BHWC = row.expand(batch, width, 3 * width).clone().view(batch, width, width, 3)
    padded_BHWC[:, pad : pad + size, pad : pad + size] = images_BHWC
    left, top = ((first + pad).long()[:, None] for first in _padded_places(u, augment, view))
    along = torch.arange(side, device=u.device)
    columns = left + torch.where(u[:, 4:5] < 0.5, side - 1 - along, along) if augment.flip else left + along
    rows = torch.arange(batch, device=u.device)[:, None] * width + top + along
    at = rows[:, :, None] * width + columns[:, None, :]
    cut_BHWC = padded_BHWC.view(-1, 3).index_select(0, at.flatten()).view(batch, side, side, 3)
    return cut_BHWC.permute(0, 3, 1, 2)


def _sampled(images_BHWC: Tensor, u: Tensor, augment: Augment, view: View) -> Tensor:
    images_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
    size = [len(images_BCHW), 3, view.resolution, view.resolution]
    grid = F.affine_grid(_crops(u, augment, view), size, align_corners=False)
    if not augment.pad:
        return F.grid_sample(images_BCHW, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    mean = _channels(view.mean, images_BCHW)
    return F.grid_sample(images_BCHW - mean, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + mean


def _crops(u: Tensor, augment: Augment, view: View) -> Tensor:
    """Affine maps from output to input coordinates in -1..1, [B, 2, 3]."""
    width, height, centre_x, centre_y = (_padded_boxes if augment.pad else _boxes)(u, augment, view)
    if augment.flip:
        width = torch.where(u[:, 4] < 0.5, -width, width)
    angle = (2 * u[:, 5] - 1) * math.radians(augment.turn_degrees)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * width, -sin * height, centre_x, sin * width, cos * height, centre_y]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _boxes(u: Tensor, augment: Augment, _: View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Width and height of area crops as shares, and their centres in -1..1."""
    area = augment.smallest_area_fraction + (1 - augment.smallest_area_fraction) * u[:, 0]
    side = area.sqrt()
    stretch = torch.exp((u[:, 1] - 0.5) * math.log(augment.aspect)).clamp(side, 1 / side)  # no side beyond 1
    width, height = side * stretch, side / stretch
    return width, height, (2 * u[:, 2] - 1) * (1 - width), (2 * u[:, 3] - 1) * (1 - height)


def _padded_boxes(u: Tensor, augment: Augment, view: View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same for crops of whole pixels out of the padded square."""
    left, top = _padded_places(u, augment, view)
    side = torch.full_like(left, view.resolution / view.resize)
    centre_x, centre_y = ((2 * first + view.resolution) / view.resize - 1 for first in (left, top))
    return side, side, centre_x, centre_y


def _padded_places(u: Tensor, augment: Augment, view: View) -> tuple[Tensor, Tensor]:
    """Left and top of such crops, in pixels of the square that is padded."""
    places = view.resize + 2 * augment.pad - view.resolution + 1
    left, top = ((u[:, place] * places).floor() - augment.pad for place in (2, 3))
    return left, top


def _lights(u: Tensor, augment: Augment) -> Tensor:
    """Factors of the channels, [B, 3, 1, 1]."""
    brightness = 1 + augment.light * (2 * u[:, 6] - 1)
    warmth = augment.light / 2 * (2 * u[:, 7] - 1)
    return torch.stack([brightness + warmth, brightness, brightness - warmth], 1)[:, :, None, None]


@cache
def _changes(augment: Augment, view: View) -> tuple[_Change, ...]:
    # torchvision takes two seconds to import, and a model in use needs none of it.
    from torchvision.transforms import v2

    changes = _policy(augment)
    if augment.jitter:
        changes.append(v2.ColorJitter(augment.jitter, augment.jitter, augment.jitter))
    if augment.lighting:
        changes.append(lambda picture_CHW: _lit(picture_CHW, augment.lighting))
    if augment.erase:
        changes.append(v2.RandomErasing(augment.erase, value=[round(255 * value) for value in view.mean]))
    return tuple(changes)


def _policy(augment: Augment) -> list[_Change]:
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    if augment.policy == "autoaugment":
        return [v2.AutoAugment(interpolation=bilinear)]
    if augment.policy == "trivialaugment":
        return [v2.TrivialAugmentWide(interpolation=bilinear)]
    if augment.policy == "none":
        return []
    magnitudes = range(_MOST_MAGNITUDE + 1)
    single = [v2.RandAugment(1, magnitude, len(magnitudes), interpolation=bilinear) for magnitude in magnitudes]

    def operate(picture_CHW: Tensor) -> Tensor:
        if augment.policy_probability < 1 and float(torch.rand(())) >= augment.policy_probability:
            return picture_CHW
        magnitude = augment.policy_magnitude
        if augment.policy_std:
            drawn = magnitude + augment.policy_std * float(torch.randn(()))
            magnitude = round(min(max(drawn, 0), _MOST_MAGNITUDE))
        varied: Tensor = single[magnitude](picture_CHW)
        return varied

    return [operate] * augment.policy_ops


def _lit(picture_CHW: Tensor, std: float) -> Tensor:
    strengths = std * torch.randn(3) * torch.tensor(_EIGENVALUES)
    shift = 255 * torch.tensor(_EIGENVECTORS) @ strengths
    return (picture_CHW + shift.view(3, 1, 1).to(picture_CHW.device)).round().clamp(0, 255).byte()
