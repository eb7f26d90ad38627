"""How a picture becomes the square that a net sees; stored with every model."""

from __future__ import annotations

from dataclasses import dataclass
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
