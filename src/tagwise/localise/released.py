"""The detectors and segmenters that torchvision has released, and which files hold such a net.

Files, settings and scores are those of its weights' enums (torchvision/models/detection and segmentation).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tagwise.nets.layouts import tensor_names
from tagwise.training.heads import Detector, Segmenter
from tagwise.training.models import holds_located, holds_model

UNUSED = "N/A"
"""How torchvision calls the ids between 1 and 90 that COCO does not use."""
_SOURCE = "https://download.pytorch.org/models"


@dataclass(frozen=True, kw_only=True)
class Released:
    """A file of torchvision's, trained on COCO."""

    file: str
    """What follows its last dash begins its SHA-256."""
    scores: str
    """Published, in words."""
    design: str = "resnet50"
    detector: Detector | None = None
    segmenter: Segmenter | None = None
    num_classes: int = 90
    """Of a detector COCO's ids, which are the labels: 80 of them are in use; of a segmenter those of pixels."""
    num_keypoints: int | None = None
    epsilon: float = 1e-5
    """What its norms add to the variance; torchvision loads the first generation of detectors with 0."""

    @property
    def url(self) -> str:
        """Where it lies."""
        return f"{_SOURCE}/{self.file}"

    @property
    def sha256_prefix(self) -> str:
        """The first hex digits of its SHA-256."""
        return Path(self.file).stem.rpartition("-")[2]

    @property
    def published(self) -> str:
        """Its scores, whose they are and of what."""
        labels = "" if self.detector is not None else " pictures with VOC's labels"
        return f"published by torchvision: {self.scores} on COCO's val2017{labels}"


def _detector(file: str, detector: Detector, scores: str, epsilon: float = 1e-5) -> Released:
    return Released(file=file, detector=detector, scores=scores, epsilon=epsilon)


def _segmenter(kind: str, layers: int, digest: str, miou: float, right: float) -> Released:
    return Released(
        file=f"{kind}_resnet{layers}_coco-{digest}.pth",
        design=f"resnet{layers}",
        segmenter=Segmenter(kind=kind),  # type: ignore[arg-type]
        num_classes=21,
        scores=f"mean IoU {miou:g}, pixel accuracy {right:g}",
    )


RELEASED = {
    "fasterrcnn_resnet50_fpn": _detector(
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", Detector(), "box AP 37.0", epsilon=0.0
    ),
    "fasterrcnn_resnet50_fpn_v2": _detector(
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", Detector(norm="batch", rpn_convs=2, box_convs=4), "box AP 46.7"
    ),
    "maskrcnn_resnet50_fpn": _detector(
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", Detector(kind="mask"), "box AP 37.9, mask AP 34.6", epsilon=0.0
    ),
    "maskrcnn_resnet50_fpn_v2": _detector(
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        Detector(kind="mask", norm="batch", rpn_convs=2, box_convs=4),
        "box AP 47.4, mask AP 41.8",
    ),
    "keypointrcnn_resnet50_fpn": Released(
        file="keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        detector=Detector(kind="keypoint"),
        num_classes=1,
        num_keypoints=17,
        epsilon=0.0,
        scores="box AP 54.6, keypoint AP 65.0",
    ),
    "retinanet_resnet50_fpn": _detector(
        "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        Detector(kind="retina", detections=300, box_loss="l1"),
        "box AP 36.4",
        epsilon=0.0,
    ),
    "retinanet_resnet50_fpn_v2": _detector(
        "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
        Detector(kind="retina", detections=300, box_loss="giou", norm="group", top_from_stage=True),
        "box AP 41.5",
    ),
    "fcn_resnet50": _segmenter("fcn", 50, "1167a1af", 60.5, 91.4),
    "fcn_resnet101": _segmenter("fcn", 101, "7ecb50ca", 63.7, 91.9),
    "deeplabv3_resnet50": _segmenter("deeplabv3", 50, "cd0a2569", 66.4, 92.4),
    "deeplabv3_resnet101": _segmenter("deeplabv3", 101, "586e9e4e", 67.4, 92.4),
}
"""By torchvision's name of the builder."""

_LAYOUTS = {
    "torchvision": (r"backbone\.body\..+", r"backbone\.fpn\..+"),
    "torchvision's segmenters": (r"backbone\.conv1\.weight", r"classifier\.4\.weight"),
    "detectron2": (r"backbone\.bottom_up\..+", r"proposal_generator\..+", r"roi_heads\..+"),
}
"""Names that a file of each has, behind the prefixes of wrappers."""


def layout_of(names: list[str]) -> str | None:
    """Whose detector or segmenter has tensors of these names; None: nobody's that is known."""
    for layout, evidence in _LAYOUTS.items():
        if all(any(re.fullmatch(rf"((module|_orig_mod|model)\.)*{one}", name) for name in names) for one in evidence):
            return layout
    return None


def tells_where(thing: str | Path) -> bool:
    """Whether it is a detector or segmenter: a run's or file of ours, torchvision's by name, or a file of others."""
    path = Path(thing)
    if path.is_file():
        return holds_located(path) or is_foreign(path)
    return holds_located(path) if path.is_dir() else str(thing) in RELEASED


def is_foreign(path: Path) -> bool:
    """Whether a file holds a detector or segmenter of others, or is a checkpoint of one of ours."""
    return not holds_model(path) and layout_of(tensor_names(path)) is not None
