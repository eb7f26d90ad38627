"""What a net that ranks tags is punished for, from sparse label ids; no dense target is ever made.

The softmax form is that of Mahajan et al. 2018, section 2: each of a picture's k labels is a
target of 1/k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Literal["softmax", "sigmoid"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


@dataclass(frozen=True, kw_only=True, eq=False)
class LossValue:
    """A loss and the least value that any net could reach on the same batch."""

    mean: Tensor
    """Mean over the pictures, in nats; float32 scalar with gradient."""
    floor: Tensor
    """Mean of ln k for the softmax, 0 for the sigmoid: runs of different tag density compare by the excess."""


def tag_loss(kind: Loss, logits_BV: Tensor, ids: Tensor, offsets: Tensor) -> LossValue:
    """The loss of a batch.

    Args:
        kind: ``softmax`` over the label space, or a ``sigmoid`` for each label.
        logits_BV: Any float type; computed in float32.
        ids: int64, distinct inside a picture.
        offsets: int64 [B + 1]; every picture holds at least one label.
    """
    sizes = offsets.diff()
    pictures = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(ids))
    if kind == "sigmoid":
        return _sigmoid(logits_BV.float(), ids, pictures)
    log_shares_BV = F.log_softmax(logits_BV.float(), dim=1)
    weights = 1.0 / sizes[pictures]
    mean = -(log_shares_BV[pictures, ids] * weights).sum() / len(sizes)
    return LossValue(mean=mean, floor=sizes.float().log().mean())


def _sigmoid(logits_BV: Tensor, ids: Tensor, pictures: Tensor) -> LossValue:
    """Sum over the labels of the binary cross-entropies: softplus(z), less z where the label is held."""
    held = logits_BV[pictures, ids].sum()
    mean = (F.softplus(logits_BV).sum() - held) / len(logits_BV)
    return LossValue(mean=mean, floor=torch.zeros((), device=logits_BV.device))


def prior_bias(kind: Loss, mass_V: Tensor, drawn_fraction_V: Tensor) -> Tensor:
    """The classifier's bias with which a net of zero weights predicts the law: float32 [V].

    Args:
        kind: The loss.
        mass_V: Share of each label in the softmax's targets; sums to 1.
        drawn_fraction_V: Share of the drawn pictures that hold each label.
    """
    # A label that is never drawn has no logarithm; half a millionth keeps it finite and last.
    if kind == "softmax":
        return mass_V.double().clamp(min=5e-7).log().float()
    return torch.logit(drawn_fraction_V.double(), eps=5e-7).float()
