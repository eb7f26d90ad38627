"""What a net that ranks tags is punished for, from sparse label ids; no dense target is ever made.

The softmax form is that of Mahajan et al. 2018, section 2: each of a picture's k labels is a
target of 1/k. Mixed pictures and smoothed labels are the same thing with other weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tagwise.base.errors import UsageError

Loss = Literal["softmax", "sigmoid", "asymmetric", "focal"]
LOSSES: tuple[Loss, ...] = get_args(Loss)

HARD_LOSSES: tuple[Loss, ...] = ("asymmetric", "focal")
"""They know a label as held or not: nothing is mixed or smoothed."""

CLIP = 0.05
"""Of the asymmetric loss: labels that are not held cost nothing up to this probability."""
HELD_FRACTION = 0.25
"""Of the focal loss: weight of the labels that are held, against 1 less it of the others (alpha)."""

NEVER_DRAWN_MASS = 5e-7
"""What the classifier begins with for all labels together that are never drawn, and for the absence of one that is
in every picture."""

CHUNK_LOGITS = 2**24
"""About so many logits are alive together in ``chunked_tag_loss``: 64 MiB, more while they are worked on."""
_BLOCK_LOGITS = 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class LossSettings:
    """Which loss, and how it weighs.

    ``softmax``: cross-entropy over the label space. The others are sums over the labels:
    ``sigmoid``, binary cross-entropies; ``asymmetric``, Ridnik et al. 2021, without focus on labels
    that are held, as Recognize Anything and Tag2Text use it; ``focal``, Lin et al. 2017.
    """

    kind: Loss = "softmax"
    label_smoothing: float = 0.0
    """Share of a target that is spread evenly over all labels (Szegedy et al. 2016); with the sigmoid too, as
    timm does for classes."""
    focus: float | None = None
    """Power that holds back what is easy (gamma) in asymmetric and focal. None: the papers', 4 and 2; Recognize
    Anything takes 7 in the asymmetric."""
    weights_V: Tensor | None = None
    """What each label's part of the loss is multiplied by: float32, above 0, on the logits' device."""

    def __post_init__(self) -> None:
        hard = self.kind in HARD_LOSSES
        for fault, wrong in (
            (f"label_smoothing is 0 to below 1, not {self.label_smoothing}", not 0 <= self.label_smoothing < 1),
            (f"{self.kind} knows held labels alone, so that label_smoothing is 0", hard and self.label_smoothing > 0),
            (f"focus belongs to {' and '.join(HARD_LOSSES)}, not to {self.kind}", not hard and self.focus is not None),
            (f"focus is at least 1, not {self.focus}", self.focus is not None and not self.focus >= 1),
        ):
            if wrong:
                raise UsageError(f"This loss does not exist: {fault}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What a batch holds: entries of a picture, one of its labels, and how much of it; what has no entry is 0."""

    pictures: Tensor
    """int64 [N]: rows of the batch."""
    ids: Tensor
    """int64 [N]."""
    weights: Tensor
    """float32 [N]; a label has one entry above 0 in a picture."""
    batch: int
    hard: bool = True
    """Each label is held or not."""

    def of_pictures(self, first: int, pictures: int) -> Truth:
        """The truth of neighbouring pictures alone. Entries of others weigh nothing, so that the GPU need not wait."""
        rows = self.pictures - first
        inside = (rows >= 0) & (rows < pictures)
        return Truth(
            pictures=rows.clamp(0, pictures - 1),
            ids=self.ids,
            weights=self.weights * inside,
            batch=pictures,
            hard=self.hard,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LossValue:
    """A loss and the least value that any net could reach on the same batch."""

    mean: Tensor
    """Mean over the pictures, in nats; float32 scalar with gradient."""
    floor: Tensor
    """Entropy of the targets, of the labels' binary targets for the sigmoid: mean of ln k for k labels of 1/k,
    0 for labels that are held or not. Runs of different tag density compare by the excess."""


def truth_of(kind: Loss, ids: Tensor, offsets: Tensor) -> Truth:
    """The truth of unmixed pictures.

    Args:
        kind: The softmax divides 1 between a picture's labels; each is 1 for the others.
        ids: int64, distinct inside a picture.
        offsets: int64 [B + 1]; every picture holds at least one label.
    """
    sizes = offsets.diff()
    pictures = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes, output_size=len(ids))
    weights = 1.0 / sizes[pictures] if kind == "softmax" else torch.ones(len(ids), device=ids.device)
    return Truth(pictures=pictures, ids=ids, weights=weights, batch=len(sizes))


def mixed_truth(truth: Truth, own_fraction: float) -> Truth:
    """The labels of a batch whose pictures were mixed with those of the reversed batch (``pixels/mixing.py``).

    Args:
        truth: Of unmixed pictures.
        own_fraction: What each picture keeps of its own labels; the rest is its partner's.
    """
    partners = truth.batch - 1 - truth.pictures
    own, theirs = own_fraction * truth.weights, (1 - own_fraction) * truth.weights
    # A label that both hold becomes one entry, and the other weighs nothing: entropies do not add up.
    keys, order = (truth.pictures << 32 | truth.ids).sort()
    partner_keys = partners << 32 | truth.ids
    places = torch.searchsorted(keys, partner_keys).clamp(max=len(keys) - 1)
    shared = keys[places] == partner_keys
    return Truth(
        pictures=torch.cat([truth.pictures, partners]),
        ids=torch.cat([truth.ids, truth.ids]),
        weights=torch.cat([own.index_add(0, order[places], theirs * shared), theirs * ~shared]),
        batch=truth.batch,
        hard=False,
    )


def tag_loss(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> LossValue:
    """The loss of a batch.

    Args:
        settings: Which, and how.
        logits_BV: Any float type; computed in float32.
        truth: From ``truth_of`` for the same kind.

    Raises:
        UsageError: Mixed pictures and a loss that knows held labels alone.
    """
    _refuse_soft(settings, truth)
    total = _total(settings, logits_BV, truth)
    return LossValue(mean=total / truth.batch, floor=_floor(settings, truth, logits_BV.shape[1]))


def chunked_tag_loss(settings: LossSettings, features_BD: Tensor, classifier: nn.Linear, truth: Truth) -> LossValue:
    """``tag_loss`` of the classifier's logits, of which only some pictures' are ever in memory.

    Each chunk's logits are computed again for the gradient: one more product, for label spaces
    (from about 100,000) whose logits take more memory than the net.

    Raises:
        UsageError: As ``tag_loss``.
    """
    _refuse_soft(settings, truth)
    pictures = max(1, CHUNK_LOGITS // classifier.out_features)

    def total(part_BD: Tensor, part: Truth) -> Tensor:
        return _total(settings, classifier(part_BD), part)

    whole = _summed(total, torch.split(features_BD, pictures), truth)
    return LossValue(mean=whole / truth.batch, floor=_floor(settings, truth, classifier.out_features))


def prior_bias(kind: Loss, mass_V: Tensor, drawn_fraction_V: Tensor) -> Tensor:
    """The classifier's bias with which a net of zero weights predicts the law: float32 [V].

    Args:
        kind: The loss.
        mass_V: Share of each label in the softmax's targets; sums to 1.
        drawn_fraction_V: Share of the drawn pictures that hold each label.
    """
    shares_V = (mass_V if kind == "softmax" else drawn_fraction_V).double()
    # A label that is never drawn has no logarithm: it comes last, and all such labels together weigh next to nothing.
    never = min(float(shares_V[shares_V > 0].min()) / 2, NEVER_DRAWN_MASS / len(shares_V))
    shares_V = torch.where(shares_V > 0, shares_V, never)
    if kind == "softmax":
        return shares_V.log().float()
    return torch.logit(shares_V.clamp(max=1 - NEVER_DRAWN_MASS)).float()


def _refuse_soft(settings: LossSettings, truth: Truth) -> None:
    if settings.kind in HARD_LOSSES and not truth.hard:
        raise UsageError(f"The {settings.kind} loss knows held labels alone; leave mixup and cutmix at 0 with it.")


def _summed(total: Callable[[Tensor, Truth], Tensor], parts: Iterable[Tensor], truth: Truth) -> Tensor:
    """Sum over parts of the batch, each computed again for the gradient."""
    sums: list[Any] = []
    first = 0
    for part in parts:
        own = truth.of_pictures(first, len(part))
        sums.append(checkpoint(total, part, own, use_reentrant=False, preserve_rng_state=False))
        first += len(part)
    return torch.stack(sums).sum()


def _total(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> Tensor:
    """Sum over the pictures."""
    if settings.kind not in HARD_LOSSES:
        return _plain_total(settings, logits_BV, truth)
    # These keep several arrays of the logits' size for the gradient; block by block they are small.
    pictures = max(1, _BLOCK_LOGITS // logits_BV.shape[1])
    return _summed(partial(_plain_total, settings), torch.split(logits_BV, pictures), truth)


def _plain_total(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> Tensor:
    """What all labels cost if none is held, and what it changes that some are, or share what is spread."""
    softmax = settings.kind == "softmax"
    scores_BV = F.log_softmax(logits_BV.float(), dim=1) if softmax else logits_BV.float()
    weights = (1 - settings.label_smoothing) * truth.weights
    if settings.weights_V is not None:
        weights = weights * settings.weights_V[truth.ids]
    total = (_holding(settings, scores_BV[truth.pictures, truth.ids]) * weights).sum()
    if not softmax:
        total = _over_labels(settings, _absence(settings, scores_BV)) + total
    if settings.label_smoothing:
        total = total - settings.label_smoothing / scores_BV.shape[1] * _over_labels(settings, scores_BV)
    return total


def _absence(settings: LossSettings, logits: Tensor) -> Tensor:
    """What a label that is not held costs."""
    if settings.kind == "asymmetric":
        p = (logits.sigmoid() - CLIP).clamp(min=0)
        return -(p ** (settings.focus or 4.0)) * torch.log1p(-p)
    if settings.kind == "focal":
        return (1 - HELD_FRACTION) * _focal(logits, settings.focus or 2.0)
    return F.softplus(logits)


def _holding(settings: LossSettings, scores: Tensor) -> Tensor:
    """How much more a label costs that is held: of logits, or of the softmax's logarithms."""
    if settings.kind == "asymmetric":
        return F.softplus(-scores) - _absence(settings, scores)
    if settings.kind == "focal":
        return HELD_FRACTION * _focal(-scores, settings.focus or 2.0) - _absence(settings, scores)
    return -scores  # softplus(-z) - softplus(z) is -z


def _focal(logits: Tensor, focus: float) -> Tensor:
    """``-p^focus ln(1 - p)`` for the probability p of what is not so."""
    return torch.exp(-focus * F.softplus(-logits)) * F.softplus(logits)


def _over_labels(settings: LossSettings, values_BV: Tensor) -> Tensor:
    """Sum over pictures and labels, each label by its weight."""
    if settings.weights_V is None:
        return values_BV.sum()
    return (values_BV.sum(0) * settings.weights_V).sum()  # a product of matrices would be bfloat16 under autocast


def _floor(settings: LossSettings, truth: Truth, labels: int) -> Tensor:
    """Mean least loss: what a picture without entries would have, corrected at its entries.

    With weights w and targets q the softmax reaches M ln M - sum of wq ln wq, where M = sum of wq: at the
    shares wq / M. Each sigmoid reaches w times the entropy of its target.
    """
    with torch.no_grad():
        spread = settings.label_smoothing / labels
        base_V = torch.ones(labels, device=truth.ids.device) if settings.weights_V is None else settings.weights_V
        weights, base = base_V[truth.ids], torch.full((), spread, device=truth.ids.device)
        targets = ((1 - settings.label_smoothing) * truth.weights + spread).clamp(max=1)
        if settings.kind != "softmax":
            apart = (weights * (_binary_entropy(targets) - _binary_entropy(base))).sum() / truth.batch
            return base_V.sum() * _binary_entropy(base) + apart
        held, unheld, unheld_V = weights * targets, weights * base, base_V * base
        masses, sums = (
            at_base.expand(truth.batch).index_add(0, truth.pictures, change)
            for at_base, change in (
                (unheld_V.sum(), held - unheld),
                (torch.xlogy(unheld_V, unheld_V).sum(), torch.xlogy(held, held) - torch.xlogy(unheld, unheld)),
            )
        )
        return (torch.xlogy(masses, masses) - sums).mean()


def _binary_entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)
