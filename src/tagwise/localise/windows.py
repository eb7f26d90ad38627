"""Classes of the pixels of pictures of any size: seen through windows, at several sizes, and in the mirror."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError

SegmenterCall = Callable[[Tensor], Mapping[str, Tensor]]
"""Images [B, 3, H, W] to logits ``out`` [B, C, H, W]: a segmenter in evaluation mode."""

_LARGEST = 16
"""Scale; a picture of 500 pixels then has 8,000 a side."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a picture is looked at."""

    side: int | None = None
    """Of square windows, in pixels, each two thirds of a side from the next; None: a picture is seen at once."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the picture is seen, against its own."""
    mirror: bool = False
    """Each window is seen in the mirror too."""
    summed: Literal["probabilities", "exponentials"] = "probabilities"
    """``probabilities``: their mean over all that was seen. ``exponentials``, as PyTorch-Encoding's
    ``MultiEvalModule``: exponentials of logits, the mirror's added to them before, as the mean over windows and the
    sum over scales; a sure window counts for more."""

    def __post_init__(self) -> None:
        told = " ".join(f"{one:g}" for one in self.scales) or "none"
        for fault, wrong in (
            (f"side is at least 1, not {self.side}", self.side is not None and self.side < 1),
            (
                f"scales are above 0 and at most {_LARGEST}, not {told}",
                not self.scales or not all(0 < one <= _LARGEST for one in self.scales),
            ),
        ):
            if wrong:
                raise UsageError(f"Pictures cannot be looked at so: {fault}.")


@torch.no_grad()
def class_scores(net: SegmenterCall, images_BCHW: Tensor, windows: Windows) -> Tensor:
    """Scores of every class at every pixel, whose largest is the label.

    Args:
        net: In evaluation mode.
        images_BCHW: As the net is shown them, normalised; pictures smaller than a window are filled up with 0 (the
            mean colour) at the right and below.
        windows: How they are looked at.

    Returns:
        Float32 [B, C, H, W]: probabilities, or with ``exponentials`` sums above 0.

    Raises:
        TagwiseError: Exponentials overflow: twice a logit is above 88.
    """
    scores_BCHW = _at_scale(net, images_BCHW, windows, windows.scales[0])
    for number, scale in enumerate(windows.scales[1:], 2):
        seen_BCHW = _at_scale(net, images_BCHW, windows, scale)
        if windows.summed == "exponentials":
            scores_BCHW += seen_BCHW
        else:
            scores_BCHW += (seen_BCHW - scores_BCHW) / number
    if windows.summed == "exponentials" and not bool(scores_BCHW.isfinite().all()):
        raise TagwiseError("Exponentials of this net's logits are beyond float32; sum probabilities instead.")
    return scores_BCHW


def window_starts(length: int, side: int) -> list[int]:
    """First pixels of the windows along a side of a picture.

    The last ends with the picture, so that every window is full of it.

    Args:
        length: Pixels of the picture, ``side`` or more.
        side: Pixels of a window.
    """
    return [*range(0, length - side, max(2 * side // 3, 1)), length - side]


def _at_scale(net: SegmenterCall, images_BCHW: Tensor, windows: Windows, scale: float) -> Tensor:
    height, width = images_BCHW.shape[2:]
    shown = tuple(max(1, round(scale * length)) for length in (height, width))
    if shown == (height, width):
        return _through_windows(net, images_BCHW, windows)
    resized_BCHW = F.interpolate(images_BCHW, size=shown, mode="bilinear", antialias=True)
    seen_BCHW = _through_windows(net, resized_BCHW, windows)
    return F.interpolate(seen_BCHW, size=(height, width), mode="bilinear")


def _through_windows(net: SegmenterCall, images_BCHW: Tensor, windows: Windows) -> Tensor:
    height, width = images_BCHW.shape[2:]
    side = windows.side
    if side is None:
        return _seen(net, images_BCHW, windows)
    images_BCHW = F.pad(images_BCHW, (0, max(0, side - width), 0, max(0, side - height)))
    starts = [window_starts(length, side) for length in images_BCHW.shape[2:]]
    counts_HW = images_BCHW.new_zeros(images_BCHW.shape[2:])
    mean_BCHW: Tensor | None = None
    for top, left in product(*starts):
        window = (..., slice(top, top + side), slice(left, left + side))
        seen_BCHW = _seen(net, images_BCHW[window], windows)
        if mean_BCHW is None:
            mean_BCHW = seen_BCHW.new_zeros(*seen_BCHW.shape[:2], *images_BCHW.shape[2:])
        counts_HW[window] += 1
        # A mean kept up to date leaves equal values as they are to the bit; a sum of three divided by 3 does not.
        mean_BCHW[window] += (seen_BCHW - mean_BCHW[window]) / counts_HW[window]
    assert mean_BCHW is not None, "every picture has a window"
    return mean_BCHW[..., :height, :width]


def _seen(net: SegmenterCall, images_BCHW: Tensor, windows: Windows) -> Tensor:
    logits_BCHW = net(images_BCHW)["out"].float()
    mirrored_BCHW = net(images_BCHW.flip(-1))["out"].float().flip(-1) if windows.mirror else None
    if windows.summed == "exponentials":
        return (logits_BCHW if mirrored_BCHW is None else logits_BCHW + mirrored_BCHW).exp()
    p_BCHW = _probabilities(logits_BCHW)
    return p_BCHW if mirrored_BCHW is None else (p_BCHW + _probabilities(mirrored_BCHW)) / 2


def _probabilities(logits_BCHW: Tensor) -> Tensor:
    """The softmax with the classes side by side; over another axis its last bits depend on the size of the map."""
    return logits_BCHW.movedim(1, -1).contiguous().softmax(-1).movedim(-1, 1)
