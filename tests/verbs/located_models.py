"""Detectors and segmenters that nobody trained, as files, and what an all-knowing detector would find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tagwise.localise.annotations import Annotations
from tagwise.localise.regions import build_detector
from tagwise.localise.semantic import build_segmenter
from tagwise.localise.writing_detections import Detections
from tagwise.pixels.decode import decode
from tagwise.training.heads import Segmenter
from tagwise.training.models import ModelFacts, save_model
from tests.localise.small_detectors import KEYPOINTS, SIZING, SMALL, VIEW, small

NAMES = ("square", "disc")
HOSTILE = ("=1+1", "\x1b[31m<script>alert(1)</script>")
"""A formula of spreadsheets, and what steers terminals and browsers."""


def write_detector(
    path: Path, names: tuple[str, ...] = NAMES, ids: tuple[int, ...] = (30, 80), kind: str = "faster"
) -> Path:
    """With other ids than those of the drawn target."""
    torch.manual_seed(0)
    keypoints: dict[str, Any] = {"keypoints": tuple("abc"), "mirrored": (0, 2, 1)} if kind == "keypoint" else {}
    detector = small(kind=kind)
    facts = ModelFacts(
        design=SMALL,
        view=VIEW,
        classes=names,
        detector=detector,
        sizing=SIZING,
        category_ids=ids,
        licence="CC0-1.0",
        **keypoints,
    )
    points = KEYPOINTS if keypoints else None
    save_model(path, build_detector(SMALL, detector, len(names), VIEW, SIZING, num_keypoints=points), facts)
    return path


def write_segmenter(path: Path, names: tuple[str, ...] = ("background", *NAMES)) -> Path:
    torch.manual_seed(0)
    segmenter = Segmenter(kind="fcn", auxiliary=0.0)
    net = build_segmenter(SMALL, segmenter, len(names))
    save_model(path, net, ModelFacts(design=SMALL, view=VIEW, classes=names, segmenter=segmenter, sizing=SIZING))
    return path


def all_knowing(annotations: Annotations, names: tuple[str, ...] = NAMES) -> Callable[..., Detections]:
    """In place of ``detect``: knows pictures by their pixels, and finds what is true, in the order of its own names."""
    own = [names.index(category.name) for category in annotations.categories]
    known = {decode(one.place).pixels_HWC.tobytes(): one for one in annotations.pictures}

    def detect(_: Any, picture_HWC: Any, *__: Any) -> Detections:
        one = known[picture_HWC.tobytes()]
        labels_N = np.array([own[place] for place in one.categories_N], np.int64)
        return Detections(boxes_N4=one.boxes_N4, scores_N=np.full(len(labels_N), 0.9), labels_N=labels_N)

    return detect
