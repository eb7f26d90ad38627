"""Tag losses with a dense target, written like the formulas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dense_target(ids: Tensor, offsets: Tensor, labels: int) -> Tensor:
    """1 where a picture holds a label, [B, V]."""
    target_BV = torch.zeros(len(offsets) - 1, labels)
    for picture, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        target_BV[picture, ids[first:last]] = 1
    return target_BV


def softmax_loss(logits_BV: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    target_BV = dense_target(ids, offsets, logits_BV.shape[1])
    return F.cross_entropy(logits_BV, target_BV / target_BV.sum(1, keepdim=True))


def sigmoid_loss(logits_BV: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    target_BV = dense_target(ids, offsets, logits_BV.shape[1])
    return F.binary_cross_entropy_with_logits(logits_BV, target_BV, reduction="none").sum(1).mean()
