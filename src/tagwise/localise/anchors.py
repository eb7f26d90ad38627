"""Anchors: how they are laid out, and whether they suit the objects that are to be found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise.annotations import Annotations
from tagwise.training.heads import Detector, Sizing

MATCH = 0.5
"""The IoU that counts as met."""
_ENOUGH = 0.9
"""Share of objects with an anchor, below which it is worth a warning."""
_MOST_OBJECTS = 20_000
"""Looked at; of more every n-th."""
PADDED_TO = 32
"""Sides of batches are multiples of it, in pixels."""
_FINEST = tuple(4 * 2 ** (step / 2) for step in range(9))
"""Sides tried for the finest level, in pixels: 4 to 64."""


@dataclass(frozen=True, kw_only=True)
class AnchorAdvice:
    """How many objects have an anchor, and how many would have one with others."""

    objects: int
    """Of the training set."""
    sides: tuple[float, float, float]
    """Square roots of the areas of their boxes, in pixels as shown: at 5, 50 and 95 % of the objects."""
    share: float
    """Of the objects with an anchor of IoU 0.5 or more."""
    sizes: tuple[float, ...]
    """Advised, one a level."""
    ratios: tuple[float, ...]
    """Advised, height to width."""
    advised_share: float
    """Of the objects that would then have one."""
    warning: str | None
    """What is wrong with the anchors as they are, in a sentence; None where they suit."""


class _ExactAnchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """Anchors whose sides are not rounded to pixels."""

    def generate_anchors(
        self,
        scales: Sequence[float],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Boxes [ratios * sizes, 4] around 0, in torchvision's order."""
        sides = torch.tensor(scales, dtype=dtype, device=device)
        slim = torch.tensor(aspect_ratios, dtype=dtype, device=device).sqrt()
        widths, heights = (sides / slim[:, None]).flatten(), (sides * slim[:, None]).flatten()
        return torch.stack([-widths, -heights, widths, heights], 1) / 2


def anchor_generator(detector: Detector, levels: int) -> AnchorGenerator:
    """Torchvision's generator of a detector's anchors.

    Args:
        detector: Sizes and ratios.
        levels: Of the pyramid.

    Raises:
        UsageError: There is not one size a level, or no ratio, or they are not above 0.
    """
    sizes, ratios = detector.anchor_sizes, detector.anchor_ratios
    if len(sizes) != levels or not ratios or min(*sizes, *ratios) <= 0:
        raise UsageError(
            f"The pyramid has {levels} levels and needs one anchor size above 0 for each, and a ratio above 0; "
            f"not the sizes {sizes} and ratios {ratios}."
        )
    shown = [_octave(size, detector.anchors_rounded) if detector.kind == "retina" else (size,) for size in sizes]
    kind = AnchorGenerator if detector.anchors_rounded else _ExactAnchors
    return kind(tuple(shown), (tuple(ratios),) * levels)


def _octave(size: float, rounded: bool) -> tuple[float, ...]:
    """Three sizes a third of an octave apart; torchvision leaves away what is behind the point."""
    thirds = (size * 2 ** (1 / 3), size * 2 ** (2 / 3))
    return (size, *(float(int(third)) for third in thirds)) if rounded else (size, *thirds)


def advise_anchors(
    annotations: Annotations, detector: Detector, sizing: Sizing, strides: Sequence[int]
) -> AnchorAdvice:
    """Whether a detector's anchors suit the objects of a training set, and which would.

    Anchors lie on the levels' grids, so an object between two grid points has a smaller IoU than a
    centred one; each object's best is found exactly. Pictures count as large as they are shown in use.

    Args:
        annotations: Of the training set; crowd regions are left out.
        detector: Its anchors.
        sizing: How large pictures are shown.
        strides: Picture pixels to a pixel of each level.

    Raises:
        DataRefused: There is no object.
        UsageError: There is not one size a level.
    """
    boxes_N4, shapes_N2 = _shown(annotations, sizing)
    if not len(boxes_N4):
        raise DataRefused(f"{annotations.name} has no objects, so there is nothing to learn where they are.")
    sides_N = np.sqrt(np.prod(boxes_N4[:, 2:] - boxes_N4[:, :2], axis=1))
    every = -(-len(boxes_N4) // _MOST_OBJECTS)
    seen = boxes_N4[::every], shapes_N2[::every]
    share = share_met(*seen, _cells(detector, len(strides)), strides)
    tried = [
        (share_met(*seen, _cells(other, len(strides)), strides), other)
        for ratios in dict.fromkeys((tuple(detector.anchor_ratios), _ratios(boxes_N4)))
        for finest in _FINEST
        for other in [_with(detector, finest, ratios, len(strides))]
    ]
    # Of equal shares the first has the finest anchors and the ratios as they are.
    best_share, best = max(tried, key=lambda one: one[0])
    low, middle, high = (float(np.quantile(sides_N, quantile)) for quantile in (0.05, 0.5, 0.95))
    return AnchorAdvice(
        objects=len(boxes_N4),
        sides=(low, middle, high),
        share=share,
        sizes=best.anchor_sizes,
        ratios=best.anchor_ratios,
        advised_share=best_share,
        warning=_warning(detector, share, best, best_share, (low, middle, high)),
    )


def share_met(
    boxes_N4: NDArray[np.float64],
    shapes_N2: NDArray[np.float64],
    cells: Sequence[NDArray[np.float64]],
    strides: Sequence[int],
) -> float:
    """The share of boxes with an anchor of IoU 0.5 or more on some level's grid.

    Args:
        boxes_N4: x1, y1, x2, y2 in pixels.
        shapes_N2: Height and width of each box's picture.
        cells: Anchors [A, 4] around 0 of each level.
        strides: Of the levels' grids, whose first points are at 0.
    """
    best_N = np.zeros(len(boxes_N4))
    padded_N2 = np.ceil(shapes_N2[:, ::-1] / PADDED_TO) * PADDED_TO
    for anchors_A4, stride in zip(cells, strides, strict=True):
        centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
        # Overlaps in x and in y both fall with the distance, so the nearest grid point is the best.
        last_N2 = np.ceil(padded_N2 / stride) - 1
        points_N2 = np.clip(np.rint(centres_N2 / stride), 0, last_N2) * stride
        for anchor in anchors_A4:
            best_N = np.maximum(best_N, _ious(boxes_N4, np.hstack([points_N2, points_N2]) + anchor))
    return float((best_N >= MATCH).mean())


def _ious(boxes_N4: NDArray[np.float64], others_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    """The IoU [N] of each box with the other of its place."""
    low, high = np.maximum(boxes_N4[:, :2], others_N4[:, :2]), np.minimum(boxes_N4[:, 2:], others_N4[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = [np.prod(some[:, 2:] - some[:, :2], axis=1) for some in (boxes_N4, others_N4)]
    return both / (areas[0] + areas[1] - both)


def _shown(annotations: Annotations, sizing: Sizing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes [N, 4] and their pictures' shapes [N, 2], in pixels as shown."""
    boxes, shapes = [np.empty((0, 4))], [np.empty((0, 2))]
    for picture in annotations.pictures:
        short, long = sorted((picture.width, picture.height))
        scale = min(sizing.test_shorter / short, sizing.test_longest / long)
        found = picture.boxes_N4[~picture.crowd_N] * scale
        boxes.append(found)
        shapes.append(np.tile([picture.height * scale, picture.width * scale], (len(found), 1)))
    return np.concatenate(boxes), np.concatenate(shapes)


def _cells(detector: Detector, levels: int) -> list[NDArray[np.float64]]:
    return [cell.numpy().astype(np.float64) for cell in anchor_generator(detector, levels).cell_anchors]


def _with(detector: Detector, finest: float, ratios: tuple[float, ...], levels: int) -> Detector:
    """The detector with anchors whose sizes double from level to level."""
    sizes = tuple(float(round(finest * 2**level)) for level in range(levels))
    return dataclasses.replace(detector, anchor_sizes=sizes, anchor_ratios=ratios)


def _ratios(boxes_N4: NDArray[np.float64]) -> tuple[float, ...]:
    """Height to width of a slim, a middle and a wide object, to a tenth."""
    widths, heights = (boxes_N4[:, 2:] - boxes_N4[:, :2]).T
    logs = np.quantile(np.log2(heights / widths), (0.1, 0.5, 0.9))
    return tuple(dict.fromkeys(max(0.1, round(2.0 ** float(log), 1)) for log in logs))


def _warning(
    detector: Detector, share: float, best: Detector, best_share: float, sides: tuple[float, float, float]
) -> str | None:
    if share >= _ENOUGH:
        return None
    sizes, advised = (" ".join(f"{size:g}" for size in one.anchor_sizes) for one in (detector, best))
    ratios = " ".join(f"{ratio:g}" for ratio in best.anchor_ratios)
    better = f"anchors of {advised} in the ratios {ratios} would meet {100 * best_share:.1f} %"
    if best_share <= share:
        better = "no others that were tried meet more, so show pictures larger with --resolution if objects are small"
    return (
        f"Only {math.floor(1000 * share) / 10:g} % of the objects have an anchor of IoU {MATCH:g}: the anchors are "
        f"{sizes} pixels wide and nine objects of ten {sides[0]:.0f} to {sides[2]:.0f}; {better}."
    )
