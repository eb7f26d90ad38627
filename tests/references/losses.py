"""Tag losses with a dense target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.loss.asymmetric_loss import AsymmetricLossMultiLabel
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from tagwise.training.losses import LossSettings, Truth


def dense_target(ids: Tensor, offsets: Tensor, labels: int) -> Tensor:
    """1 where a picture holds a label, [B, V]."""
    target_BV = torch.zeros(len(offsets) - 1, labels)
    for picture, (first, last) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        target_BV[picture, ids[first:last]] = 1
    return target_BV


def dense_truth(truth: Truth, labels: int) -> Tensor:
    """All entries added up, [B, V]."""
    target_BV = torch.zeros(truth.batch, labels)
    for picture, label, weight in zip(truth.pictures, truth.ids, truth.weights, strict=True):
        target_BV[picture, label] += weight
    return target_BV


def dense_loss(settings: LossSettings, logits_BV: Tensor, target_BV: Tensor) -> Tensor:
    """By torch, torchvision and timm; their sum over the labels, mean over the pictures."""
    weights_V, smoothing = settings.weights_V, settings.label_smoothing
    if settings.kind == "softmax":
        return F.cross_entropy(logits_BV, target_BV, weights_V, label_smoothing=smoothing)
    if settings.kind == "asymmetric":
        return AsymmetricLossMultiLabel(settings.focus or 4, gamma_pos=0, weight=weights_V)(logits_BV, target_BV)
    if settings.kind == "sigmoid":
        target_BV = (1 - smoothing) * target_BV + smoothing / target_BV.shape[1]
        losses_BV = F.binary_cross_entropy_with_logits(logits_BV, target_BV, reduction="none")
    else:
        losses_BV = sigmoid_focal_loss(logits_BV, target_BV, gamma=settings.focus or 2)
    weighted_BV = losses_BV if weights_V is None else losses_BV * weights_V
    return weighted_BV.sum() / len(logits_BV)
