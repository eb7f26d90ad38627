"""Pooled vectors and logits of packed pictures, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base.views import View
from tagwise.measure.accuracy import top_k_right
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import centred
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import memory_format

BATCH = 256


def embed(net: ResidualNet, images_NHWC: NDArray[np.uint8], view: View, device: torch.device) -> Tensor:
    """The pooled vectors that the classifier would read, float32 [N, D] on the CPU."""
    return _forward(net, net.embed, images_NHWC, view, device)


def score(net: ResidualNet, images_NHWC: NDArray[np.uint8], view: View, device: torch.device) -> NDArray[np.float32]:
    """The logits, float32 [N, outputs]; the net computes in the precision of its parameters."""
    logits_NV: NDArray[np.float32] = _forward(net, net.forward, images_NHWC, view, device).numpy()
    return logits_NV


def right_answers(
    net: ResidualNet,
    images_NHWC: NDArray[np.uint8],
    truth: NDArray[np.int64],
    view: View,
    device: torch.device,
    ranks: Ranks,
) -> NDArray[np.bool_]:
    """Whether the net is right about each picture, told to all processes; each picture is scored in one of them.

    They share out whole batches, the very ones that a single process scores.
    """
    right = np.zeros(len(truth), np.bool_)
    for first in range(ranks.rank * BATCH, len(truth), ranks.world * BATCH):
        part = slice(first, first + BATCH)
        right[part] = top_k_right(score(net, images_NHWC[part], view, device), truth[part])
    return np.logical_or.reduce(ranks.gathered(right))


def _forward(
    net: ResidualNet,
    function: Callable[[Tensor], Tensor],
    images_NHWC: NDArray[np.uint8],
    view: View,
    device: torch.device,
) -> Tensor:
    net.to(device).to(memory_format=memory_format(net.design))
    net.eval()
    with torch.inference_mode():
        parts = [function(batch).float().cpu() for batch in _batches(net, images_NHWC, view, device)]
    return torch.cat(parts)


def _batches(net: ResidualNet, images_NHWC: NDArray[np.uint8], view: View, device: torch.device) -> Iterator[Tensor]:
    for first in range(0, len(images_NHWC), BATCH):
        images_BHWC = torch.from_numpy(np.array(images_NHWC[first : first + BATCH])).to(device)
        images_BCHW = centred(images_BHWC, view).to(next(net.parameters()).dtype)
        yield images_BCHW.contiguous(memory_format=memory_format(net.design))
