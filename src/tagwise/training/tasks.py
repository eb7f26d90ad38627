"""What a training learns: which pictures come, how the net sees them, and what it is punished for.

The loop knows nothing else of a task; the one for labels of whole pictures is here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets import freeze_norms, synchronise_norms
from tagwise.nets.design import Design
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import augmented, draw_numbers, normalised, picture_seed
from tagwise.pixels.batches import Batch, LabelledPictures, Request
from tagwise.pixels.feeding import FilePictures
from tagwise.pixels.mixing import draw_mix, mixed
from tagwise.tags.epoch import positions_of
from tagwise.training.losses import (
    LossSettings,
    LossValue,
    Truth,
    chunked_tag_loss,
    mixed_truth,
    tag_loss,
    truth_of,
)
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks

CHUNKED_LABELS = 100_000
"""From so many labels on the logits take more memory than most nets, and are never all alive."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Pictures that go through a net together."""

    pictures: int
    inputs: tuple[Any, ...]
    """What the task's ``judged`` is called with."""


class Task(Protocol):
    """What the loop asks of whatever is learnt."""

    @property
    def net(self) -> nn.Module:
        """Trained in place; on its device."""

    @property
    def judged(self) -> nn.Module:
        """The net with its loss: mean loss over a part's pictures, and the least that any net could reach on them."""

    @property
    def labels(self) -> int:
        """Labels whose pictures are counted."""

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied by before its gradient is taken."""

    def batches(self, requests: Iterable[Request]) -> Generator[Any]:
        """The asked batches in order; they may lack pictures that cannot be read."""

    def labels_of(self, batch: Any) -> Tensor:
        """Labels of the batch's pictures, one after the other: int64."""

    def parts(self, step: int, batch: Any) -> list[Part]:
        """The batch as the net sees it in this step, on its device, in the plan's slices."""

    def blank(self) -> list[Part]:
        """A batch of empty pictures of which nothing is to be learnt."""


def autocast(plan: Plan, device: str) -> torch.autocast:
    """The plan's precision of convolutions and matrix products."""
    dtype = _DTYPES[plan.precision]
    return torch.autocast(device, dtype, enabled=dtype != torch.float32)


def memory_format(design: Design) -> torch.memory_format:
    """Channels last, but for nets that split channels and weigh them, which it slows by up to a fifth."""
    attention = design.attention
    split = attention is not None and attention.kind in ("sk", "split")
    return torch.contiguous_format if split else torch.channels_last


class LabelTask:
    """Labels of whole pictures: tags, or a target's classes.

    Args:
        plan: How.
        net: Trained in place; brought to the device.
        pictures: With their labels.
        device: Where.
        ranks: The processes that share each batch.
        weights_V: What each label's part of the loss is multiplied by, float32; None: 1.
        layout: Of pictures and filters in memory; None: what nets of this kind mostly like.
    """

    def __init__(
        self,
        plan: Plan,
        net: ResidualNet,
        pictures: LabelledPictures | FilePictures,
        device: torch.device,
        ranks: Ranks,
        *,
        weights_V: Tensor | None = None,
        layout: torch.memory_format | None = None,
    ) -> None:
        self._plan, self._pictures, self._device, self._ranks = plan, pictures, device, ranks
        self._layout = layout or memory_format(plan.design)
        self.net = net.to(device).to(memory_format=self._layout)
        if plan.norms == "synchronised":
            synchronise_norms(net)
        elif plan.norms == "frozen":
            freeze_norms(net)
        net.set_grad_checkpointing(plan.recompute)
        self.judged = _Judged(net, plan, weights_V)
        self.labels = net.num_classes
        # timm's LAMB learns from the mean over the labels; its epsilon and the length it clips to are told for that.
        summed = plan.optimiser == "lamb" and plan.loss != "softmax"
        self.loss_scale = 1 / net.num_classes if summed else 1.0

    def batches(self, requests: Iterable[Request]) -> Generator[Batch]:
        """The pictures' batches."""
        return self._pictures.batches(requests)

    def labels_of(self, batch: Batch) -> Tensor:
        """Their labels."""
        return batch.ids

    def parts(self, step: int, batch: Batch) -> list[Part]:
        """Pictures as they are varied and mixed in this step, with their labels."""
        return self.sliced(*self._seen(step, batch.to(self._device)))

    def blank(self) -> list[Part]:
        """Black pictures that all hold the first label."""
        share, side = self._ranks.share(self._plan.batch), self._plan.view.resolution
        images_BCHW = torch.zeros(share, 3, side, side, device=self._device).contiguous(memory_format=self._layout)
        ids = torch.zeros(share, dtype=torch.int64, device=self._device)
        return self.sliced(images_BCHW, truth_of(self._plan.loss, ids, torch.arange(share + 1, device=self._device)))

    def sliced(self, images_BCHW: Tensor, truth: Truth) -> list[Part]:
        """Pictures that are ready for the net, in the plan's slices."""
        parts, first = list[Part](), 0
        slices = images_BCHW.tensor_split(self._plan.accumulate)
        for part_BCHW in slices:
            own = truth if len(slices) == 1 else truth.of_pictures(first, len(part_BCHW))
            parts.append(Part(pictures=len(part_BCHW), inputs=(part_BCHW, own)))
            first += len(part_BCHW)
        return parts

    def _seen(self, step: int, batch: Batch) -> tuple[Tensor, Truth]:
        plan, ranks = self._plan, self._ranks
        if isinstance(self._pictures, FilePictures):  # cropped and varied by its workers
            images_BCHW = normalised(batch.images_BHWC.permute(0, 3, 1, 2).float(), plan.view)
        else:
            positions = positions_of(step, plan.batch, ranks.rank, ranks.world)
            numbers = draw_numbers(plan.seed, step, plan.batch)[positions - step * plan.batch]
            by_picture = positions.tolist() if plan.augment.by_picture else []
            seeds = [picture_seed(plan.seed, position) for position in by_picture]
            images_BCHW = augmented(batch.images_BHWC, numbers, plan.augment, plan.view, seeds)
        truth = truth_of(plan.loss, batch.ids, batch.offsets)
        if plan.mixup or plan.cutmix:
            mix = draw_mix(plan.seed, step, mixup=plan.mixup, cutmix=plan.cutmix, resolution=plan.view.resolution)
            images_BCHW, truth = mixed(images_BCHW, mix), mixed_truth(truth, mix.own_fraction)
        return images_BCHW.contiguous(memory_format=self._layout), truth


class _Judged(nn.Module):
    """A net with its loss: what processes share is the gradient of one forward pass."""

    def __init__(self, net: ResidualNet, plan: Plan, weights_V: Tensor | None) -> None:
        super().__init__()
        self.net = net
        self._settings = LossSettings(
            kind=plan.loss, label_smoothing=plan.label_smoothing, focus=plan.focus, weights_V=weights_V
        )
        self._plan = plan

    def forward(self, images_BCHW: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
        with autocast(self._plan, images_BCHW.device.type):
            if not truth.batch:  # none could be read; other processes wait for its norms and gradients all the same
                nothing = self.net(images_BCHW).float().sum()
                return nothing, nothing.detach()
            if self.net.num_classes > CHUNKED_LABELS:
                features_BD = F.dropout(self.net.embed(images_BCHW), self.net.design.dropout, self.training)
                value: LossValue = chunked_tag_loss(self._settings, features_BD, self.net.fc, truth)
                return value.mean, value.floor
            logits_BV = self.net(images_BCHW)
        value = tag_loss(self._settings, logits_BV, truth)
        return value.mean, value.floor
