"""Heads that say what proposed regions hold: in one stage Faster and Mask R-CNN's, in three Cascade R-CNN's.

Cai and Vasconcelos 2018, "Cascade R-CNN"; the numbers are those of detectron2's
modeling/roi_heads/cascade_rcnn.py. Masks and keypoints are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import (
    RoIHeads,
    keypointrcnn_inference,
    keypointrcnn_loss,
    maskrcnn_inference,
    maskrcnn_loss,
)
from torchvision.ops import box_iou, clip_boxes_to_image

from tagwise.localise.box_losses import box_loss
from tagwise.localise.pooling import RegionPooling
from tagwise.training.heads import Detector

_POSITIVE_FRACTION = 0.25
"""Of the sampled regions, at most."""
Target = Mapping[str, Tensor]
Shapes = Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage asks of a region."""

    overlap: float
    """IoU with an object from which on a region is the object's."""
    weights: tuple[float, float, float, float]
    """Of a box's shift in x and y and of its growth in width and height."""


SINGLE = (Stage(overlap=0.5, weights=(10.0, 10.0, 5.0, 5.0)),)
CASCADE = (
    *SINGLE,
    Stage(overlap=0.6, weights=(20.0, 20.0, 10.0, 10.0)),
    Stage(overlap=0.7, weights=(30.0, 30.0, 15.0, 15.0)),
)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Regions of one picture with the objects that they are to tell."""

    boxes_N4: Tensor
    matched_N: Tensor
    """The picture's object that overlaps most."""
    labels_N: Tensor
    """Its class, or 0 where it does not overlap enough."""


class RegionHeads(RoIHeads):  # type: ignore[misc]  # torchvision has no types
    """Box heads in stages, and after them the head of masks or keypoints.

    A stage's boxes are clipped, cut off from the gradient, labelled anew and seen by the next
    stage. In use the stages' scores are averaged and the last one's boxes are told.

    Args:
        detector: Thresholds and numbers.
        stages: One or more; several have one box for all classes.
        pooling: Of the box heads.
        box_head: Makes a stage's head, from pooled maps to vectors.
        box_predictor: Makes what gives a stage's logits [R, K + 1] and deltas [R, 4 or 4 (K + 1)], background first.

    Attributes:
        stages: As given.
        box_head: One a stage, as ``box_predictor``.
    """

    def __init__(
        self,
        detector: Detector,
        stages: Sequence[Stage],
        pooling: RegionPooling,
        box_head: Callable[[], nn.Module],
        box_predictor: Callable[[], nn.Module],
    ) -> None:
        super().__init__(
            pooling,
            nn.ModuleList(box_head() for _ in stages),
            nn.ModuleList(box_predictor() for _ in stages),
            fg_iou_thresh=stages[0].overlap,
            bg_iou_thresh=stages[0].overlap,
            batch_size_per_image=detector.regions_sampled,
            positive_fraction=_POSITIVE_FRACTION,
            bbox_reg_weights=stages[-1].weights,
            score_thresh=detector.score_threshold,
            nms_thresh=detector.overlap,
            detections_per_img=detector.detections,
        )
        self.stages = tuple(stages)
        self.coders = [BoxCoder(stage.weights) for stage in stages]
        self.loss_kind, self.loss_beta = detector.box_loss, detector.box_beta

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections in evaluation, losses in training.

        Args:
            features: Levels of the pyramid.
            proposals: Boxes [N, 4] of each picture, in pixels.
            image_shapes: Height and width of each picture inside the padded batch.
            targets: ``boxes`` and ``labels`` from 1 on, with ``masks`` [N, H, W] or ``keypoints`` [N, K, 3].
        """
        if not self.training:
            return self._detections(features, proposals, image_shapes), {}
        assert targets is not None
        sampled = self._sampled(proposals, targets)
        losses = self._box_losses(features, sampled, image_shapes, targets)
        return [], losses | self._part_losses(features, sampled, targets)

    def _sampled(self, proposals: list[Tensor], targets: list[dict[str, Tensor]]) -> list[Labelled]:
        """A part of the proposals and of the objects themselves, labelled by the first stage's overlap."""
        boxes, matched, labels, _ = self.select_training_samples(proposals, targets)
        return [
            Labelled(boxes_N4=box_N4, matched_N=match_N, labels_N=label_N)
            for box_N4, match_N, label_N in zip(boxes, matched, labels, strict=True)
        ]

    def _box_losses(
        self, features: dict[str, Tensor], regions: list[Labelled], shapes: Shapes, targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        boxes = [region.boxes_N4 for region in regions]
        for number, stage in enumerate(self.stages):
            if number:
                regions = [label(box_N4, target, stage.overlap) for box_N4, target in zip(boxes, targets, strict=True)]
            boxes = [region.boxes_N4 for region in regions]
            logits, deltas = self._predicted(number, features, boxes)
            name = f"_stage{number + 1}" if len(self.stages) > 1 else ""
            losses[f"loss_classifier{name}"] = _class_loss(logits, regions)
            losses[f"loss_box_reg{name}"] = self._box_loss(number, deltas, regions, targets)
            if number + 1 < len(self.stages):
                boxes = [box_N4[has_area(box_N4)] for box_N4 in self._moved(number, deltas, boxes, shapes)]
        return losses

    def _predicted(self, number: int, features: dict[str, Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [R, K + 1] and deltas [R, 4 or 4 (K + 1)] of a stage."""
        pooled_RCHW: Tensor = self.box_roi_pool(features, boxes)
        if pooled_RCHW.requires_grad and len(self.stages) > 1:
            # The stages' losses are summed, and what is below them learns from their mean.
            pooled_RCHW.register_hook(lambda gradient: gradient / len(self.stages))  # type: ignore[no-untyped-call]
        logits, deltas = self.box_predictor[number](self.box_head[number](pooled_RCHW))
        return logits.float(), deltas.float()

    @torch.no_grad()
    def _moved(self, number: int, deltas: Tensor, boxes: list[Tensor], shapes: Shapes) -> list[Tensor]:
        """The boxes [N, 4] of each picture where a stage puts them, clipped to the picture."""
        moved_R4: Tensor = self.coders[number].decode_single(deltas.detach(), torch.cat(boxes))
        parts = torch.split(moved_R4, [len(box_N4) for box_N4 in boxes])
        return [clip_boxes_to_image(part_N4, shape) for part_N4, shape in zip(parts, shapes, strict=True)]

    def _box_loss(self, number: int, deltas: Tensor, regions: list[Labelled], targets: Sequence[Target]) -> Tensor:
        """Summed over regions with an object, divided by the number of all regions."""
        labels_R = torch.cat([region.labels_N for region in regions])
        positive = torch.where(labels_R > 0)[0]
        anchors_R4 = torch.cat([region.boxes_N4 for region in regions])
        truth_P4 = torch.cat(
            [
                target["boxes"][region.matched_N[region.labels_N > 0]].to(anchors_R4)
                for region, target in zip(regions, targets, strict=True)
            ]
        )
        deltas_RC4 = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        columns = labels_R[positive] if deltas_RC4.shape[1] > 1 else torch.zeros_like(positive)
        loss = box_loss(
            self.loss_kind,
            deltas_RC4[positive, columns],
            anchors_R4[positive],
            truth_P4,
            self.coders[number],
            self.loss_beta,
        )
        return loss / max(1, len(labels_R))

    def _detections(
        self, features: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        logits, deltas = self._predicted(0, features, boxes)
        scores = [logits.softmax(1)]
        for number in range(1, len(self.stages)):
            boxes = self._moved(number - 1, deltas, boxes, shapes)
            logits, deltas = self._predicted(number, features, boxes)
            scores.append(logits.softmax(1))
        mean_RC = torch.stack(scores).mean(0)
        if deltas.shape[1] == 4:
            deltas = deltas.repeat(1, mean_RC.shape[1])
        # Torchvision takes the softmax of what it is given, which of the logarithms of shares is the shares.
        told = zip(*self.postprocess_detections(mean_RC.log(), deltas, boxes, shapes), strict=True)
        found = [{"boxes": box_N4, "labels": labels_N, "scores": scores_N} for box_N4, scores_N, labels_N in told]
        self._add_parts(features, found)
        return found

    def _part_losses(
        self, features: dict[str, Tensor], regions: list[Labelled], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Of masks or keypoints, in the first stage's regions that hold an object."""
        if not (self.has_mask() or self.has_keypoint()):
            return {}
        boxes = [region.boxes_N4[region.labels_N > 0] for region in regions]
        matched = [region.matched_N[region.labels_N > 0] for region in regions]
        if self.has_mask():
            masks, labels = ([target[name] for target in targets] for name in ("masks", "labels"))
            logits = self._masks(features, boxes)
            return {"loss_mask": cast("Tensor", maskrcnn_loss(logits, boxes, masks, labels, matched))}
        keypoints = [target["keypoints"] for target in targets]
        logits = self._keypoints(features, boxes)
        return {"loss_keypoint": cast("Tensor", keypointrcnn_loss(logits, boxes, keypoints, matched))}

    def _add_parts(self, features: dict[str, Tensor], found: list[dict[str, Tensor]]) -> None:
        """Masks or keypoints of the told boxes."""
        boxes = [one["boxes"] for one in found]
        if self.has_mask():
            shares = maskrcnn_inference(self._masks(features, boxes), [one["labels"] for one in found])
            for one, masks_N1HW in zip(found, shares, strict=True):
                one["masks"] = masks_N1HW
        if self.has_keypoint():
            told = zip(found, *keypointrcnn_inference(self._keypoints(features, boxes), boxes), strict=True)
            for one, points_NK3, scores_NK in told:
                one["keypoints"], one["keypoints_scores"] = points_NK3, scores_NK

    def _masks(self, features: dict[str, Tensor], boxes: list[Tensor]) -> Tensor:
        logits: Tensor = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes)))
        return logits.float()

    def _keypoints(self, features: dict[str, Tensor], boxes: list[Tensor]) -> Tensor:
        logits: Tensor = self.keypoint_predictor(self.keypoint_head(self.keypoint_roi_pool(features, boxes)))
        return logits.float()


def label(boxes_N4: Tensor, target: Target, overlap: float) -> Labelled:
    """Boxes with the object that each overlaps most, and its class where their IoU is ``overlap`` or more."""
    if not len(target["boxes"]):
        nothing = torch.zeros(len(boxes_N4), dtype=torch.int64, device=boxes_N4.device)
        return Labelled(boxes_N4=boxes_N4, matched_N=nothing, labels_N=nothing)
    ious_N, matched_N = box_iou(target["boxes"].to(boxes_N4), boxes_N4).max(0)
    labels_N = torch.where(ious_N >= overlap, target["labels"][matched_N], 0)
    return Labelled(boxes_N4=boxes_N4, matched_N=matched_N, labels_N=labels_N)


def has_area(boxes_N4: Tensor) -> Tensor:
    """Which boxes are wider and higher than nothing, [N]."""
    return (boxes_N4[:, 2:] > boxes_N4[:, :2]).all(1)


def _class_loss(logits: Tensor, regions: Sequence[Labelled]) -> Tensor:
    """The mean cross entropy; 0 without regions, where torch would say NaN."""
    labels_R = torch.cat([region.labels_N for region in regions])
    return F.cross_entropy(logits, labels_R, reduction="sum") / max(1, len(labels_R))
