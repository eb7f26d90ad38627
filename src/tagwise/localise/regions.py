"""Detectors: torchvision's R-CNNs and RetinaNet with our nets, pyramids and heads in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead, RetinaNetRegressionHead
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.localise.anchors import PADDED_TO, anchor_generator
from tagwise.localise.box_losses import box_loss
from tagwise.localise.cascade import CASCADE, SINGLE, RegionHeads
from tagwise.localise.pooling import RegionPooling
from tagwise.localise.pyramid import NormLayer, Pyramid, norm_layer
from tagwise.localise.showing import fitted_size
from tagwise.nets.design import Design
from tagwise.nets.grammar import ResidualNet
from tagwise.nets.norms import freeze as freeze_parts
from tagwise.training.heads import Detector, Sizing

_BOX_SIDE, _PART_SIDE = 7, 14
"""Of pooled regions, for boxes and for masks and keypoints."""
_KEYPOINT_CONVS = 8


class Shown(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's normalising, resizing and padding; in training pictures come in their size already.

    Pictures that are shrunk in use are smoothed as in training, unless the sizing says that they were not there.
    """

    antialiased = True

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """A picture [C, H, W] with its objects; in use in the size of use, smoothed with their boxes alone."""
        if self.training:
            return image, target
        if self.antialiased:
            fitted: Callable[..., Any] = _followed_size if torchvision._is_tracing() else fitted_size
            size = fitted(*image.shape[-2:], self.min_size[-1], self.max_size)
            if target is not None:
                target = {**target, "boxes": resize_boxes(target["boxes"], image.shape[-2:], size)}
            return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0], target
        resized: tuple[Tensor, dict[str, Tensor] | None] = super().resize(image, target)
        return resized


def _followed_size(height: Tensor, width: Tensor, shorter: int, longest: int) -> tuple[Tensor, Tensor]:
    """``fitted_size`` in operators that an export can follow."""
    sides = torch.stack([height, width]).double()
    scale = torch.minimum(shorter / sides.min(), longest / sides.max())
    fitted = (sides * scale + 0.5).floor().clamp(min=1).long()
    return fitted[0], fitted[1]


def build_detector(
    design: Design,
    detector: Detector,
    num_classes: int,
    view: View,
    sizing: Sizing,
    *,
    num_keypoints: int | None = None,
    backbone: ResidualNet | None = None,
    freeze: str | None = None,
) -> GeneralizedRCNN | RetinaNet:
    """A detector on a net of the family, called as torchvision's are.

    In training it takes float pictures [3, H, W] of 0 to 1 in the size they are to be seen in, and
    targets with ``boxes`` [N, 4] in their pixels and ``labels`` [N] from 1 on, where there are such
    ``masks`` uint8 [N, H, W] and ``keypoints`` [N, K, 3]; it gives losses by name. In evaluation it
    takes pictures of any size and gives a dict each: ``boxes`` in pixels of the picture as it came,
    ``labels``, ``scores``, highest first, and ``masks`` [N, 1, H, W] of 0 to 1 or ``keypoints``.

    Args:
        design: Of the net; its stages' strides double.
        detector: Pyramid and heads.
        num_classes: Without the background.
        view: Mean and deviation of the pictures' channels.
        sizing: Sizes in use.
        num_keypoints: Of an object, for a detector of keypoints.
        backbone: Where weights and statistics come from; without it the net starts at random.
        freeze: Parts of the net that stay as they are: ``stem``, ``stem+1`` and so on.

    Raises:
        UsageError: The design, the anchors or the norm do not fit a pyramid; there is no class; the number of
            keypoints is missing or not wanted; or random weights are to be frozen.
    """
    _check(detector, num_classes, num_keypoints, backbone, freeze)
    pyramid = Pyramid(design, detector)
    if backbone is not None:
        pyramid.load_backbone(backbone)
    if freeze is not None:
        freeze_parts(pyramid.body, freeze)
    transform = Shown(
        sizing.test_shorter,
        sizing.test_longest,
        list(view.mean),
        list(view.std),
        size_divisible=max(PADDED_TO, pyramid.strides[pyramid.stages - 1]),
    )
    transform.antialiased = sizing.antialiased
    if detector.kind == "retina":
        return _retina(detector, num_classes, pyramid, transform)
    heads = _region_heads(detector, num_classes, num_keypoints, pyramid)
    return GeneralizedRCNN(pyramid, _proposals(detector, pyramid), heads, transform)


def _check(
    detector: Detector, num_classes: int, num_keypoints: int | None, backbone: ResidualNet | None, freeze: str | None
) -> None:
    if num_classes < 1:
        raise UsageError(f"A detector needs 1 class or more, not {num_classes}.")
    if detector.kind == "keypoint" and not num_keypoints:
        raise UsageError("A detector of keypoints needs to know how many an object has; the annotations name none.")
    if detector.kind != "keypoint" and num_keypoints is not None:
        raise UsageError(f"A {detector.kind} detector tells no keypoints; give --head keypoint.")
    if freeze is not None and backbone is None:
        raise UsageError(
            f"Random weights cannot be frozen ({freeze}), as they would never learn; give weights with --from, "
            "or freeze nothing."
        )


class _Proposing(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's head of proposals, which are decoded in single precision."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits and deltas of each level."""
        logits, deltas = super().forward(x)
        return [level.float() for level in logits], [level.float() for level in deltas]


def _proposals(detector: Detector, pyramid: Pyramid) -> RegionProposalNetwork:
    anchors = anchor_generator(detector, len(pyramid.strides))
    head = _Proposing(pyramid.out_channels, anchors.num_anchors_per_location()[0], detector.rpn_convs)
    tried, kept = (
        dict(zip(("training", "testing"), numbers, strict=True))
        for numbers in (detector.candidates, detector.proposals)
    )
    return RegionProposalNetwork(
        anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=detector.anchors_sampled,
        positive_fraction=0.5,
        pre_nms_top_n=tried,
        post_nms_top_n=kept,
        nms_thresh=0.7,
    )


def _region_heads(detector: Detector, num_classes: int, num_keypoints: int | None, pyramid: Pyramid) -> RegionHeads:
    strides, width = pyramid.strides[: pyramid.stages], pyramid.out_channels
    norm = norm_layer(detector.norm, width)
    heads = RegionHeads(
        detector,
        CASCADE if detector.cascaded else SINGLE,
        RegionPooling(_BOX_SIDE, strides, aligned=detector.aligned),
        _box_head(detector, width, norm),
        lambda: _box_predictor(detector, num_classes + 1),
    )
    pooling = RegionPooling(_PART_SIDE, strides, aligned=detector.aligned)
    if detector.has_masks:
        heads.mask_roi_pool = pooling
        heads.mask_head = MaskRCNNHeads(width, [width] * detector.mask_convs, 1, norm)
        heads.mask_predictor = MaskRCNNPredictor(width, width, num_classes + 1)
    elif detector.kind == "keypoint":
        heads.keypoint_roi_pool = pooling
        heads.keypoint_head = KeypointRCNNHeads(width, [2 * width] * _KEYPOINT_CONVS)
        heads.keypoint_predictor = KeypointRCNNPredictor(2 * width, num_keypoints)
    return heads


def _box_head(detector: Detector, width: int, norm: NormLayer | None) -> Callable[[], nn.Module]:
    if detector.box_convs == 0:
        return lambda: TwoMLPHead(width * _BOX_SIDE**2, detector.box_width)
    shape = (width, _BOX_SIDE, _BOX_SIDE)
    return lambda: FastRCNNConvFCHead(shape, [width] * detector.box_convs, [detector.box_width], norm)


def _box_predictor(detector: Detector, outputs: int) -> nn.Module:
    """Logits and boxes from a head's vectors; stages hand one box on, so in a cascade it is for all classes."""
    predictor = FastRCNNPredictor(detector.box_width, outputs)
    if detector.class_agnostic or detector.cascaded:
        predictor.bbox_pred = nn.Linear(detector.box_width, 4)
    return predictor


class _AnchorHead(RetinaNetHead):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's heads of classes and boxes, with our losses of boxes and outputs in single precision."""

    def __init__(self, width: int, anchors: int, outputs: int, norm: NormLayer | None, detector: Detector) -> None:
        super().__init__(width, anchors, outputs, norm)
        self.regression_head = _AnchorBoxes(width, anchors, norm, detector)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        """Logits and deltas of all levels."""
        return {name: output.float() for name, output in super().forward(x).items()}


class _AnchorBoxes(RetinaNetRegressionHead):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's head of boxes with our losses."""

    def __init__(self, width: int, anchors: int, norm: NormLayer | None, detector: Detector) -> None:
        super().__init__(width, anchors, norm)
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.loss_kind, self.loss_beta = detector.box_loss, detector.box_beta

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: Mapping[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> Tensor:
        """The mean over pictures of the loss of an anchor that is an object's."""
        total = head_outputs["bbox_regression"].new_zeros(())
        deltas_BA4 = head_outputs["bbox_regression"]
        for target, deltas_A4, anchors_A4, matched_A in zip(targets, deltas_BA4, anchors, matched_idxs, strict=True):
            held = matched_A >= 0
            truth_N4 = target["boxes"][matched_A[held]].to(deltas_A4)
            loss = box_loss(self.loss_kind, deltas_A4[held], anchors_A4[held], truth_N4, self.coder, self.loss_beta)
            total = total + loss / max(1, len(truth_N4))
        return total / max(1, len(targets))


def _retina(detector: Detector, num_classes: int, pyramid: Pyramid, transform: GeneralizedRCNNTransform) -> RetinaNet:
    width, norm = pyramid.out_channels, norm_layer(detector.norm, pyramid.out_channels)
    anchors = anchor_generator(detector, len(pyramid.strides))
    count = anchors.num_anchors_per_location()[0]
    # Labels begin at 1 as in the other detectors; torchvision's output 0 is never an object.
    head = _AnchorHead(width, count, num_classes + 1, norm, detector)
    net = RetinaNet(
        pyramid,
        num_classes + 1,
        anchor_generator=anchors,
        head=head,
        score_thresh=detector.score_threshold,
        nms_thresh=detector.overlap,
        detections_per_img=detector.detections,
        topk_candidates=detector.proposals[1],
    )
    net.transform = transform
    return net
