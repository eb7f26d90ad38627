"""Detectors and segmenters as tasks of the one loop: what their batches are, and what they are punished for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from tagwise.localise.feeding import LocatedBatch, LocatedPictures, detection_inputs, map_inputs
from tagwise.localise.semantic import pixel_loss
from tagwise.localise.shown import Sample
from tagwise.nets import freeze_norms, synchronise_norms
from tagwise.nets.backbone import Backbone
from tagwise.nets.norms import SynchronisedNorm
from tagwise.pixels.batches import Request
from tagwise.training.heads import Segmenter
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import Part, autocast

_BLANK_SIDE = 64


class LocatedTask:
    """What tells boxes, masks, keypoints or the class of each pixel.

    Args:
        plan: How.
        net: Of ``build_detector`` or ``build_segmenter``; trained in place, brought to the device. What a plan says of
            norms is said of its backbone alone; those of the heads are the detector's.
        pictures: With their annotations.
        classes: Categories of objects, or classes of pixels.
        device: Where.
        ranks: The processes that share each batch.
    """

    loss_scale = 1.0

    def __init__(
        self, plan: Plan, net: nn.Module, pictures: LocatedPictures, classes: int, device: torch.device, ranks: Ranks
    ) -> None:
        self._plan, self._pictures, self._device, self._ranks = plan, pictures, device, ranks
        self.net = net.to(device)
        self.labels = classes
        trunk = backbone_of(net)
        if plan.norms == "synchronised":
            synchronise_norms(trunk)
        elif plan.norms == "frozen":
            freeze_norms(trunk)
        trunk.set_grad_checkpointing(plan.recompute)
        self.judged = _JudgedBoxes(net, plan) if plan.segmenter is None else _JudgedPixels(net, plan, plan.segmenter)

    def batches(self, requests: Iterable[Request]) -> Generator[LocatedBatch]:
        """Pictures as they are shown, with their objects or maps."""
        return self._pictures.batches(requests)

    def labels_of(self, batch: LocatedBatch) -> Tensor:
        """The category of each object, or the classes of each picture's pixels."""
        return batch.ids

    def parts(self, step: int, batch: LocatedBatch) -> list[Part]:  # noqa: ARG002 - varied by who fed it
        """The batch's pictures in the plan's slices."""
        slices = np.array_split(np.arange(len(batch.samples)), self._plan.accumulate)
        return [self._part(replace(batch, samples=[batch.samples[row] for row in rows])) for rows in slices]

    def blank(self) -> list[Part]:
        """Black pictures without objects, all background."""
        image_CHW = torch.zeros(3, _BLANK_SIDE, _BLANK_SIDE, dtype=torch.uint8)
        points = max((len(category.keypoints) for category in self._pictures.categories), default=0)
        sample = Sample(
            image_CHW=image_CHW,
            masks_NHW=torch.zeros(0, _BLANK_SIDE, _BLANK_SIDE, dtype=torch.uint8),
            keypoints_NK3=torch.zeros(0, points, 3),
            map_HW=image_CHW[0],
        )
        share = self._ranks.share(self._plan.batch)
        return self.parts(0, LocatedBatch(samples=[sample] * share, rows=np.zeros(share, np.int64)))

    def _part(self, batch: LocatedBatch) -> Part:
        inputs = (
            detection_inputs(batch, self._device)
            if self._plan.segmenter is None
            else map_inputs(batch, self._device, self._plan.view)
        )
        return Part(pictures=len(batch.samples), inputs=inputs)


def backbone_of(net: nn.Module) -> Backbone:
    """The net of the family that a detector or segmenter stands on."""
    return next(module for module in net.modules() if isinstance(module, Backbone))


class _JudgedBoxes(nn.Module):
    """A detector with the sum of its losses."""

    def __init__(self, net: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.net, self._plan = net, plan

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        if not images:
            return self._without_pictures()
        with autocast(self._plan, images[0].device.type):
            losses: dict[str, Tensor] = self.net(images, targets)
        loss = torch.stack([value.float() for value in losses.values()]).sum()
        return loss, torch.zeros_like(loss)

    def _without_pictures(self) -> tuple[Tensor, Tensor]:
        """Norms of other processes wait for this one's, which see a black picture: a detector takes no fewer."""
        nothing = _nothing(self.net)
        if not _meets_others(self.net):
            return nothing, nothing.detach()
        image_CHW = torch.zeros(3, _BLANK_SIDE, _BLANK_SIDE, device=nothing.device)
        empty = {"boxes": (0, 4), "masks": (0, _BLANK_SIDE, _BLANK_SIDE), "keypoints": (0, 1, 3)}
        target = {name: torch.zeros(shape, device=nothing.device) for name, shape in empty.items()}
        loss, floor = self([image_CHW], [target | {"labels": torch.zeros(0, dtype=torch.int64, device=nothing.device)}])
        return 0 * loss + nothing, floor


class _JudgedPixels(nn.Module):
    """A segmenter with its loss over the pixels."""

    def __init__(self, net: nn.Module, plan: Plan, segmenter: Segmenter) -> None:
        super().__init__()
        self.net, self._plan, self._segmenter = net, plan, segmenter

    def forward(self, images_BCHW: Tensor, maps_BHW: Tensor) -> tuple[Tensor, Tensor]:
        if not len(images_BCHW):
            nothing = _nothing(self.net)
            if _meets_others(self.net):  # forwards and backwards
                outputs = self.net(images_BCHW.new_zeros(0, 3, _BLANK_SIDE, _BLANK_SIDE))
                nothing = torch.stack([nothing, *(maps_BCHW.sum() for maps_BCHW in outputs.values())]).sum()
            return nothing, nothing.detach()
        with autocast(self._plan, images_BCHW.device.type):
            outputs = self.net(images_BCHW)
        loss = pixel_loss(outputs, maps_BHW, self._segmenter)
        return loss, torch.zeros_like(loss)


def _meets_others(net: nn.Module) -> bool:
    """Whether its norms see other processes' pictures too."""
    return any(isinstance(module, SynchronisedNorm | nn.SyncBatchNorm) for module in net.modules())


def _nothing(net: nn.Module) -> Tensor:
    """Of which every weight's gradient is 0: other processes wait for this one's, though no picture could be read."""
    return torch.stack([0 * value.sum() for value in net.parameters() if value.requires_grad]).sum()
