"""Which part of a picture is shown in training, how large, and where each of its points then is.

A part is cut out first (as detectron2 does), resized, filled up at the right and below, and cropped (as
PyTorch-Encoding and large scale jitter do); the mirror is last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwise.training.heads import Sizing

DRAWS = 10
"""Ways to show a picture that are drawn at most, where the first ones show nothing that counts."""


@dataclass(frozen=True, kw_only=True)
class Showing:
    """A way to show a picture; all in whole pixels."""

    left: int
    top: int
    """Of the part that is cut out of the picture."""
    part_width: int
    part_height: int
    width: int
    height: int
    """What the part is resized to."""
    x: int = 0
    y: int = 0
    """Where the crop out of the resized part begins."""
    crop: int | None = None
    """Its side; None: there is none."""
    mirrored: bool = False

    @property
    def across(self) -> int:
        """Columns that show the picture; others of the crop are filled up."""
        return self.width if self.crop is None else min(self.width, self.crop)

    @property
    def down(self) -> int:
        """Rows that show the picture."""
        return self.height if self.crop is None else min(self.height, self.crop)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of all that is shown."""
        return (self.height, self.width) if self.crop is None else (self.crop, self.crop)

    def moved(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where x, y of the picture are shown, before the mirror: [..., 2], by the true ratios of the sides."""
        ratios = np.array([self.width / self.part_width, self.height / self.part_height])
        return (points - [self.left, self.top]) * ratios - [self.x, self.y]

    def columns(self) -> NDArray[np.int64]:
        """The picture's column that lies at the middle of each column shown."""
        return self.left + _at_middles(self.x, self.across, self.part_width, self.width)

    def rows(self) -> NDArray[np.int64]:
        """The same of rows."""
        return self.top + _at_middles(self.y, self.down, self.part_height, self.height)


def whole(height: int, width: int) -> Showing:
    """A picture as it is."""
    return Showing(left=0, top=0, part_width=width, part_height=height, width=width, height=height)


def showings(height: int, width: int, sizing: Sizing, seed: int | None) -> Iterator[Showing]:
    """Ways to show a picture of this size, each as likely; the picture as it is without a seed."""
    if seed is None:
        yield whole(height, width)
        return
    random = np.random.Generator(np.random.PCG64(seed))
    for _ in range(DRAWS):
        yield _drawn(random.random(8).tolist(), height, width, sizing)


def fitted_size(height: int, width: int, shorter: int, longest: int) -> tuple[int, int]:
    """Height and width with the shorter side at ``shorter``, or the longer one at ``longest`` where that is less."""
    scale = min(shorter / min(height, width), longest / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def _drawn(numbers: list[float], height: int, width: int, sizing: Sizing) -> Showing:
    """What eight uniform numbers make of a picture."""
    tall, wide, top, left, scale, y, x, mirror = numbers
    part_height, part_width = _share(height, tall, sizing), _share(width, wide, sizing)
    new_height, new_width = _drawn_size(part_height, part_width, scale, sizing)
    crop = sizing.crop
    return Showing(
        left=_place(left, width - part_width),
        top=_place(top, height - part_height),
        part_width=part_width,
        part_height=part_height,
        width=new_width,
        height=new_height,
        x=_place(x, new_width - crop) if crop is not None else 0,
        y=_place(y, new_height - crop) if crop is not None else 0,
        crop=crop,
        mirrored=sizing.mirror and mirror < 0.5,
    )


def _share(side: int, number: float, sizing: Sizing) -> int:
    least = sizing.crop_fraction
    return max(1, int(side * (least + (1 - least) * number) + 0.5))


def _drawn_size(height: int, width: int, number: float, sizing: Sizing) -> tuple[int, int]:
    if sizing.jitter is not None:
        low, high = sizing.jitter
        longer = max(1, round(sizing.base * (low + (high - low) * number)))
        return fitted_size(height, width, longer, longer)
    first, last = sizing.shorter[0], sizing.shorter[-1]
    if sizing.drawn == "range":
        return fitted_size(height, width, first + _place(number, last - first), sizing.longest)
    return fitted_size(height, width, sizing.shorter[_place(number, len(sizing.shorter) - 1)], sizing.longest)


def _place(number: float, last: int) -> int:
    """One of 0 to ``last``, each as likely; 0 where there is no room."""
    return int(number * (max(last, 0) + 1))


def _at_middles(first: int, count: int, old: int, new: int) -> NDArray[np.int64]:
    """In whole numbers, so that no rounded ratio moves a pixel."""
    return (2 * np.arange(first, first + count) + 1) * old // (2 * new)
