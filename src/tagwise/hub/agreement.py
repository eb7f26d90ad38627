"""Whether two engines say the same of a picture, and by how much they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

PIXELS = 0.1
"""By which a box or a keypoint may differ."""
SCORE = 1e-3
"""By which a score or a logit may differ; of logits beyond 1 this share of the largest."""
MASK_FRACTION = 0.01
"""Of all objects' pixels that may be inside in one mask and outside in the other."""
_TIE = 1e-5
"""Which of scores this near is higher, the last digits decide."""

Found = Mapping[str, Tensor]
"""``boxes`` [N, 4], ``scores`` [N], ``labels`` [N], and ``masks`` [N, H, W] or ``keypoints`` [N, K, 3]."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How two engines' outputs differ."""

    said: str
    """The largest differences, in words."""
    agree: bool
    """Whether they are within the tolerances."""


def logits_agreement(wanted: Tensor, told: Tensor) -> Agreement:
    """Of logits of one shape."""
    if wanted.shape != told.shape:
        return Agreement(said=f"shape {_shape(told)} instead of {_shape(wanted)}", agree=False)
    off = float((told - wanted).abs().max())
    allowed = SCORE * max(1.0, float(wanted.abs().max()))
    return Agreement(said=f"logits within {off:.1g} ({allowed:.1g} allowed)", agree=off <= allowed)


def objects_agreement(wanted: Found, told: Found, overlap: float) -> Agreement:
    """Of what was found on a picture, in any order.

    Of two boxes of one object with the same score either may be kept; a tenth of the objects may be such ties.

    Args:
        wanted: What one engine found.
        told: What the other did.
        overlap: IoU above which the lower of two detections of a class is left away.
    """
    pairs, left, right = _paired(wanted, told)
    ties = _ties(wanted, told, left, right, overlap)
    count, alone = len(wanted["scores"]), len(left) + len(right) - 2 * ties
    first, second = (torch.tensor([pair[side] for pair in pairs], dtype=torch.int64) for side in (0, 1))
    differences = {
        "boxes": (_largest(wanted["boxes"][first] - told["boxes"][second]), PIXELS, " px"),
        "scores": (_largest(wanted["scores"][first] - told["scores"][second]), SCORE, ""),
        **_part_differences(wanted, told, first, second),
    }
    parts = [f"{name} within {off:.1g}{unit} ({most:g} allowed)" for name, (off, most, unit) in differences.items()]
    parts += [f"{ties} in another place with the same score"] if ties else []
    parts += [f"{alone} found by one of them alone"] if alone else []
    return Agreement(
        said=f"{count} {'object' if count == 1 else 'objects'}, {', '.join(parts)}",
        agree=not alone and ties <= count // 10 and all(off <= most for off, most, _ in differences.values()),
    )


def _paired(wanted: Found, told: Found) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Objects that both found in one place with one score, and those that either has beyond."""
    pairs, left, right = [], [], list(range(len(told["scores"])))
    for number in range(len(wanted["scores"])):
        near = [other for other in right if _same(wanted, number, told, other)]
        if near:
            best = min(near, key=lambda other: _largest(wanted["boxes"][number] - told["boxes"][other]))
            right.remove(best)
            pairs.append((number, best))
        else:
            left.append(number)
    return pairs, left, right


def _same(wanted: Found, number: int, told: Found, other: int) -> bool:
    return (
        bool(wanted["labels"][number] == told["labels"][other])
        and _largest(wanted["scores"][number] - told["scores"][other]) <= SCORE
        and _largest(wanted["boxes"][number] - told["boxes"][other]) <= PIXELS
    )


def _ties(wanted: Found, told: Found, left: list[int], right: list[int], overlap: float) -> int:
    """How many objects of either have a rival of the other, in its place and with its score."""
    rivals = box_iou(wanted["boxes"][left], told["boxes"][right]) >= overlap
    rivals &= wanted["labels"][left][:, None] == told["labels"][right]
    rivals &= (wanted["scores"][left][:, None] - told["scores"][right]).abs() <= _TIE
    return int(min(rivals.any(0).sum(), rivals.any(1).sum()))


def _part_differences(wanted: Found, told: Found, first: Tensor, second: Tensor) -> dict[str, tuple[float, float, str]]:
    """Of masks or keypoints of paired objects: the difference, the most allowed, and its unit."""
    if "masks" in wanted:
        ours, theirs = wanted["masks"][first] >= 0.5, told["masks"][second] >= 0.5
        inside = max(1, int((ours | theirs).sum()))
        return {"masks": (int((ours ^ theirs).sum()) / inside, MASK_FRACTION, " of their pixels")}
    if "keypoints" in wanted:
        off = wanted["keypoints"][first] - told["keypoints"][second]
        largest = max(1.0, _largest(wanted["keypoints"][..., 2]))
        return {
            "keypoints": (_largest(off[..., :2]), PIXELS, " px"),
            "their scores": (_largest(off[..., 2]), SCORE * largest, ""),
        }
    return {}


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _shape(values: Tensor) -> str:
    return " x ".join(map(str, values.shape))
