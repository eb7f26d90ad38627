"""How a picture becomes the square that a net sees; stored with every model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from tagwise.base.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class View:
    """Resize, crop and normalisation of pictures.

    A picture is fitted to a square of ``resize`` pixels, of which evaluation takes the central
    ``resolution`` pixels and training a random crop; values are scaled to 0..1, then
    ``(value - mean) / std`` per RGB channel.
    """

    resolution: int
    """Side of the square that the net sees, in pixels."""
    resize: int
    """Side of the square that is cropped from, in pixels; at least ``resolution``."""
    fit: Literal["crop", "pad"] = "crop"
    """``crop``: the shorter side becomes ``resize`` and the middle is kept; ``pad``: the longer
    side becomes ``resize`` and ``background`` fills the rest, so that nothing is cut off."""
    crop_fraction: float = 1.0
    """Share of the shorter side whose central square is cut out before the resize; 1 cuts nothing."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Filter of the resize; always antialiased."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Per channel, of values in 0..1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Per channel, of values in 0..1."""
    background: tuple[int, int, int] = (255, 255, 255)
    """RGB 0..255 under transparent pixels and beside padded pictures."""
    decoder: str = "pillow"
    """The library and mode that decoded the pictures."""
    origin: str = field(default="", compare=False)
    """Whose rule of evaluation this is, for reports; ours where empty."""

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 4096:
            raise UsageError(f"A view's resolution is 8 to 4096 pixels, not {self.resolution}.")
        if self.resize < self.resolution:
            raise UsageError(
                f"A view cannot crop {self.resolution} pixels out of resize={self.resize}; "
                f"give resize at least {self.resolution}."
            )
        if min(self.std) <= 0:
            raise UsageError(f"A view's std is above 0 in every channel, not {self.std}.")
        if not 0 < self.crop_fraction <= 1 or (self.fit == "pad" and self.crop_fraction != 1):
            raise UsageError(
                f"A view's crop_fraction is above 0 and at most 1, and 1 with pad, not {self.crop_fraction}."
            )

    def __str__(self) -> str:
        """In words, such as ``shorter side to 256 bilinear, centre 224 (torchvision's)``."""
        side = "longer" if self.fit == "pad" else "shorter"
        start = f"{side} side" if self.crop_fraction == 1 else f"centre {self.crop_fraction:.3f} of the shorter side"
        words = f"{start} to {self.resize} {self.interpolation}{', padded' if self.fit == 'pad' else ''}"
        if self.crop_fraction == 1 or self.resize != self.resolution:
            words += f", centre {self.resolution}"
        return f"{words} ({self.origin})" if self.origin else words


def torchvision_view(resolution: int, resize: int) -> View:
    """The rule of torchvision's presets: bilinear resize of the shorter side, then a central crop."""
    return View(resolution=resolution, resize=resize, origin="torchvision's resize and crop")


def timm_view(resolution: int, crop_pct: float, interpolation: Literal["bilinear", "bicubic"]) -> View:
    """The rule of timm: the shorter side becomes ``resolution / crop_pct`` rounded down, then a central crop."""
    resize = math.floor(resolution / crop_pct)
    origin = f"timm's crop_pct {crop_pct}"
    return View(resolution=resolution, resize=resize, interpolation=interpolation, origin=origin)


def resnest_view(resolution: int) -> View:
    """The rule of ResNeSt's authors (scripts/torch/verify.py): a central square is cut out, then resized, bicubic."""
    return View(
        resolution=resolution,
        resize=resolution,
        crop_fraction=resolution / (resolution + 32),
        interpolation="bicubic",
        origin="the ResNeSt authors' crop",
    )
