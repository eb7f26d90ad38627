"""What a file of others is: the settings of a detector or segmenter, read off the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tagwise.base.errors import TagwiseError
from tagwise.localise.foreign import with_counters
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.layouts import guess_design
from tagwise.training.heads import Detector, DetectorKind, HeadNorm, Segmenter

State = Mapping[str, Tensor]
_BACKBONES = {
    "torchvision": "backbone.body.",
    "torchvision's segmenters": "backbone.",
    "detectron2": "backbone.bottom_up.",
}


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """The net that a file's tensors are of."""

    design: Design
    detector: Detector | None = None
    segmenter: Segmenter | None = None
    num_classes: int
    """Of a detector without the background."""
    num_keypoints: int | None = None


def recognise_net(state: State, layout: str, design: str | None, where: str) -> Recognised:
    """The settings of a detector or segmenter of others.

    What no tensor tells is as its library has it unless told otherwise: thresholds, how anchors are laid out, where
    regions are pooled, dilated rates, the output stride.

    Args:
        state: As ``read_state`` gives it whole.
        layout: Of ``layout_of``.
        design: Of the backbone; None: the table's one that has its tensors.
        where: What it is, for messages.

    Raises:
        UsageError: No design has the backbone's tensors, or several have.
        TagwiseError: A part that every such net has is missing.
    """
    prefix = _BACKBONES[layout]
    body = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    found = find_design(design or guess_design(with_counters(body), f"The backbone of {where}"))
    try:
        return _READERS[layout](state, found)
    except KeyError as error:
        raise TagwiseError(f"{where} lack {error.args[0]}, which every such net has; fetch the file again.") from error


def _torchvision(state: State, design: Design) -> Recognised:
    if "head.classification_head.cls_logits.weight" in state:
        return _torchvision_retina(state, design)
    scores = state["roi_heads.box_predictor.cls_score.weight"]
    points = state.get("roi_heads.keypoint_predictor.kps_score_lowres.weight")
    masks = _count(state, r"roi_heads\.mask_head\.(?:mask_fcn)?(\d)(?:\.0)?\.weight")
    kind: DetectorKind = "keypoint" if points is not None else "mask" if masks else "faster"
    detector = Detector(
        kind=kind,
        channels=len(_pyramid(state)),
        norm=_norm(state, "backbone.fpn.inner_blocks.0.1"),
        rpn_convs=_count(state, r"rpn\.head\.conv\.(\d)\.0\.weight") or 1,
        box_convs=_count(state, r"roi_heads\.box_head\.(\d)\.0\.weight"),
        box_width=scores.shape[1],
        class_agnostic=len(state["roi_heads.box_predictor.bbox_pred.weight"]) == 4,
        mask_convs=masks or Detector.mask_convs,
    )
    keypoints = None if points is None else points.shape[1]
    return Recognised(design=design, detector=detector, num_classes=len(scores) - 1, num_keypoints=keypoints)


def _torchvision_retina(state: State, design: Design) -> Recognised:
    anchors = len(state["head.regression_head.bbox_reg.weight"]) // 4
    outputs = len(state["head.classification_head.cls_logits.weight"]) // anchors
    norm = _norm(state, "head.classification_head.conv.0.1")
    detector = Detector(
        kind="retina",
        channels=len(_pyramid(state)),
        norm=norm,
        top_from_stage=state["backbone.fpn.extra_blocks.p6.weight"].shape[1] != len(_pyramid(state)),
        detections=300,
        box_loss="giou" if norm == "group" else "l1",
    )
    return Recognised(design=design, detector=detector, num_classes=outputs - 1)


def _segmenter(state: State, design: Design) -> Recognised:
    pyramid = state.get("classifier.0.convs.0.0.weight")
    channels = len(state["classifier.0.weight"]) if pyramid is None else len(pyramid)
    usual = design.channels[-1] // 4 if pyramid is None else 256
    segmenter = Segmenter(
        kind="fcn" if pyramid is None else "deeplabv3",
        channels=None if channels == usual else channels,
        auxiliary=Segmenter.auxiliary if any(name.startswith("aux_classifier.") for name in state) else 0.0,
    )
    return Recognised(design=design, segmenter=segmenter, num_classes=len(state["classifier.4.weight"]))


def _detectron2(state: State, design: Design) -> Recognised:
    cascaded = "roi_heads.box_head.0.fc1.weight" in state
    stage = "0." if cascaded else ""
    points = state.get("roi_heads.keypoint_head.score_lowres.weight")
    masks = _count(state, r"roi_heads\.mask_head\.mask_fcn(\d)\.weight")
    kind: DetectorKind = "keypoint" if points is not None else "mask" if masks else "faster"
    if cascaded:
        kind = "cascade-mask" if masks else "cascade"
    scores = state[f"roi_heads.box_predictor.{stage}cls_score.weight"]
    detector = Detector(
        kind=kind,
        channels=len(state["backbone.fpn_lateral2.weight"]),
        norm=_norm(state, "backbone.fpn_lateral2.norm"),
        rpn_convs=_count(state, r"proposal_generator\.rpn_head\.conv\.conv(\d)\.weight") or 1,
        box_convs=_count(state, rf"roi_heads\.box_head\.{re.escape(stage)}conv(\d)\.weight"),
        box_width=scores.shape[1],
        class_agnostic=not cascaded and len(state["roi_heads.box_predictor.bbox_pred.weight"]) == 4,
        mask_convs=masks or Detector.mask_convs,
        aligned=True,
        anchors_rounded=False,
        **_anchors(state),
    )
    keypoints = None if points is None else points.shape[1]
    return Recognised(design=design, detector=detector, num_classes=len(scores) - 1, num_keypoints=keypoints)


_READERS: dict[str, Any] = {
    "torchvision": _torchvision,
    "torchvision's segmenters": _segmenter,
    "detectron2": _detectron2,
}


def _anchors(state: State) -> dict[str, Any]:
    """Sizes and ratios of the anchors that older files of detectron2 hold; of newer ones its defaults."""
    cells = [state[name].double() for name in sorted(state) if ".cell_anchors." in name]
    if not cells:
        return {}
    sides = [cell_A4[:, 2:] - cell_A4[:, :2] for cell_A4 in cells]
    sizes = tuple(round(float(side_A2.prod(1).sqrt().mean()), 2) for side_A2 in sides)
    ratios = tuple(round(float(height / width), 4) for width, height in sides[0])
    return {"anchor_sizes": sizes, "anchor_ratios": ratios}


def _pyramid(state: State) -> Tensor:
    first = "backbone.fpn.layer_blocks.0.weight"
    return state[first] if first in state else state["backbone.fpn.layer_blocks.0.0.weight"]


def _norm(state: State, place: str) -> HeadNorm:
    if f"{place}.running_mean" in state:
        return "batch"
    return "group" if f"{place}.weight" in state else "none"


def _count(state: State, pattern: str) -> int:
    return len({match[1] for name in state if (match := re.fullmatch(pattern, name))})
