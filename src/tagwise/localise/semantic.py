"""Nets that give each pixel a class: FCN and DeepLabV3 on any of our backbones, and what they are punished for.

Module names and numbers are torchvision's (``torchvision/models/segmentation``), so that its weights load as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torchvision.models.segmentation.deeplabv3 import ASPP, ASPPPooling

from tagwise.base.errors import UsageError
from tagwise.localise.annotations import IGNORE
from tagwise.nets import Design, FeatureNet, norms
from tagwise.nets.grammar import ResidualNet
from tagwise.training.heads import PixelLoss, Segmenter


class SegmentationNet(nn.Module):
    """A backbone with a head that gives each pixel of a picture a class; use ``build_segmenter``.

    Attributes:
        backbone: Gives the maps of the stage before the last and of the last; its ``design`` is the dilated one.
        classifier: The head on the last maps.
        aux_classifier: An FCN head on the maps of the stage before, or None.
        num_classes: Labels of a pixel.
    """

    def __init__(self, design: Design, segmenter: Segmenter, num_classes: int, in_chans: int = 3) -> None:
        super().__init__()
        before, last = _two_last(design)
        self.backbone = FeatureNet(_dilated(design, segmenter.output_stride), in_chans, (-2, -1))
        self.classifier = _head(segmenter, last, num_classes)
        auxiliary = _fcn_head(before, num_classes, before // 4, segmenter.dropout) if segmenter.auxiliary else None
        self.aux_classifier = auxiliary
        self.num_classes = num_classes
        self._align_corners = segmenter.align_corners

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Logits ``out`` and, with an auxiliary head, ``aux``: [B, num_classes, H, W] of images [B, in_chans, H, W].

        Raises:
            UsageError: One picture in training, where a norm of the head would see one value a channel.
        """
        before_BCHW, last_BCHW = self.backbone(images_BCHW)
        if self.training and len(last_BCHW) == 1:
            self._refuse_one_picture(last_BCHW)
        logits = {"out": self.classifier(last_BCHW)}
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(before_BCHW)
        side = images_BCHW.shape[2:]
        return {name: self._enlarged(maps_BCHW, side) for name, maps_BCHW in logits.items()}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As of the backbone."""
        self.backbone.set_grad_checkpointing(enable)

    def _enlarged(self, maps_BCHW: Tensor, side: torch.Size) -> Tensor:
        return F.interpolate(maps_BCHW, size=side, mode="bilinear", align_corners=self._align_corners)

    def _refuse_one_picture(self, last_BCHW: Tensor) -> None:
        """The norm of pooled vectors sees one value a channel, and all norms do where the maps are single pixels."""
        one_pixel = last_BCHW[0, 0].numel() == 1
        pooling = [module for module in self.classifier.modules() if isinstance(module, ASPPPooling)]
        watched = [self.classifier] if one_pixel else pooling
        if any(_sees_one_picture(module) for part in watched for module in part.modules()):
            raise UsageError(
                f"{'Maps of one pixel' if one_pixel else 'Pooled vectors'} are normalised over the batch in this head, "
                "which cannot train on one picture; give --batch at least 2 a rank."
            )


def build_segmenter(
    design: Design,
    segmenter: Segmenter,
    num_classes: int,
    *,
    backbone: ResidualNet | None = None,
    freeze: str | None = None,
) -> SegmentationNet:
    """A net that gives each pixel a class; torch's current generator is drawn from.

    Args:
        design: Of the backbone, dilated here. A net of small maps keeps them: ``output_stride`` is the most.
        segmenter: Which head, and how.
        num_classes: Labels of a pixel, 1 to 255 (255 itself is ``IGNORE``).
        backbone: The net whose stem and stages are copied, dilated or not; it stays as it is. None: new weights.
        freeze: What of them stays as it is: ``stem``, or ``stem+2`` for the stem and the first two stages.

    Raises:
        UsageError: New weights would be frozen, the backbone is of another design, or there are no such parts,
            output stride or number of classes.
    """
    if not 1 <= num_classes <= IGNORE:
        raise UsageError(f"Label maps have 1 to {IGNORE} classes, not {num_classes}; {IGNORE} itself is ignored.")
    if freeze is not None and backbone is None:
        raise UsageError("Freezing keeps what a model has learnt; give the model with --from, or freeze nothing.")
    in_chans = 3 if backbone is None else next(backbone.parameters()).shape[1]
    net = SegmentationNet(design, segmenter, num_classes, in_chans)
    if backbone is not None:
        _take_over(net.backbone, backbone)
    if freeze is not None:
        norms.freeze(net.backbone, freeze)
    return net


def pixel_loss(outputs: Mapping[str, Tensor], maps_BHW: Tensor, segmenter: Segmenter) -> Tensor:
    """What a batch costs: the loss of ``out``, and of ``aux`` by its weight; float32 scalar with gradient.

    ``softmax`` is the mean over the pixels of the cross-entropy. ``balanced`` is the mean over the classes that the
    batch holds of each class's mean: pixels weigh by one over their class's share of this batch, so that a class is
    never worth more than the others of its batch, however rare it is in the set. ``dice`` adds to the softmax
    one less the mean over the same classes of ``2 sum(p t) / (sum(p) + sum(t))``, pooled over the batch.

    Args:
        outputs: Logits [B, C, H, W] of any float type; computed in float32.
        maps_BHW: int64, 0 to C - 1, or ``IGNORE`` for pixels that cost nothing; where all do, the loss is 0.
        segmenter: Which loss, and the auxiliary head's weight.
    """
    loss = _loss(segmenter.loss, outputs["out"], maps_BHW)
    if "aux" in outputs:
        loss = loss + segmenter.auxiliary * _loss(segmenter.loss, outputs["aux"], maps_BHW)
    return loss


def _two_last(design: Design) -> tuple[int, int]:
    """Channels of the maps of the last two stages."""
    if len(design.channels) < 2:
        raise UsageError("A segmenter looks at the last two stages; this design has one.")
    return design.channels[-2], design.channels[-1]


def _dilated(design: Design, output_stride: int) -> Design:
    whole = dataclasses.replace(design, output_stride=None).reductions[-1]
    return dataclasses.replace(design, output_stride=min(output_stride, whole))


def _head(segmenter: Segmenter, in_channels: int, num_classes: int) -> nn.Sequential:
    if segmenter.kind == "fcn":
        return _fcn_head(in_channels, num_classes, segmenter.channels or in_channels // 4, segmenter.dropout)
    channels = segmenter.channels or 256
    pyramid = ASPP(in_channels, segmenter.rates, channels)
    pyramid.project[-1].p = segmenter.pyramid_dropout
    return nn.Sequential(pyramid, *_normed(channels, channels), nn.Conv2d(channels, num_classes, 1))


def _fcn_head(in_channels: int, num_classes: int, channels: int, dropout: float) -> nn.Sequential:
    """As ``FCNHead`` of torchvision, whose width and dropout cannot be told."""
    return nn.Sequential(*_normed(in_channels, channels), nn.Dropout(dropout), nn.Conv2d(channels, num_classes, 1))


def _normed(in_channels: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def _sees_one_picture(module: nn.Module) -> bool:
    """Whether it is a norm that learns its statistics from this process's pictures alone."""
    if not (isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training):
        return False
    shared = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return not (shared and isinstance(module, norms.SynchronisedNorm | nn.SyncBatchNorm))


def _take_over(features: FeatureNet, backbone: ResidualNet) -> None:
    """Copies stem and stages; dilation changes no tensor."""
    own, theirs = features.state_dict(), backbone.state_dict()
    if wrong := [key for key in own if key not in theirs or own[key].shape != theirs[key].shape]:
        raise UsageError(f"The model is of another design than the segmenter's backbone: {wrong[0]} does not fit.")
    features.load_state_dict({key: theirs[key] for key in own})


def _loss(kind: PixelLoss, logits_BCHW: Tensor, maps_BHW: Tensor) -> Tensor:
    logits_BCHW = logits_BCHW.float()
    counts = torch.bincount(maps_BHW.flatten(), minlength=IGNORE + 1)[: logits_BCHW.shape[1]].float()
    held = counts > 0
    weights, total = None, counts.sum()
    if kind == "balanced":
        weights, total = torch.where(held, 1 / counts.clamp(min=1), 0), held.sum()
    costs = F.cross_entropy(logits_BCHW, maps_BHW, weights, ignore_index=IGNORE, reduction="sum")
    loss = costs / total.clamp(min=1)  # torch's own mean of no pixels is NaN
    if kind == "dice":
        missed = held * (1 - _overlaps(logits_BCHW, maps_BHW, counts))
        loss = loss + missed.sum() / held.sum().clamp(min=1)
    return loss


def _overlaps(logits_BCHW: Tensor, maps_BHW: Tensor, counts: Tensor) -> Tensor:
    """Dice of each class, of probabilities with the truth; without meaning for classes that the truth lacks."""
    kept_BHW = maps_BHW != IGNORE
    p_BCHW = logits_BCHW.softmax(1) * kept_BHW[:, None]
    truth_BHW = maps_BHW.where(kept_BHW, 0)
    of_truth_BHW = p_BCHW.gather(1, truth_BHW[:, None])[:, 0]
    met = torch.zeros_like(counts).index_add(0, truth_BHW.flatten(), of_truth_BHW.flatten())
    return 2 * met / (p_BCHW.sum((0, 2, 3)) + counts).clamp(min=1e-12)
