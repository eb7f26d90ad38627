"""What stands in an exported file's metadata, so that others can use it rightly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tagwise.base.files import harmless

if TYPE_CHECKING:
    from tagwise.localise.models import LocatedModel
    from tagwise.training.models import Model, ModelFacts


def task_words(facts: ModelFacts) -> str:
    """What it does: ``mask detector``, ``deeplabv3 segmenter`` or ``classifier``."""
    if facts.detector is not None:
        return f"{facts.detector.kind} detector"
    return "classifier" if facts.segmenter is None else f"{facts.segmenter.kind} segmenter"


def metadata(opened: Model | LocatedModel) -> dict[str, str]:
    """What a user of the file has to know; names of strangers only as JSON in ASCII."""
    facts = opened.facts
    told = {
        "model": harmless(opened.name),
        "sha256_prefix": opened.digest,
        "task": task_words(facts),
        "classes": json.dumps(facts.outputs),
        "mean": json.dumps(facts.view.mean),
        "std": json.dumps(facts.view.std),
        "licence": harmless(facts.licence),
        "lineage": json.dumps(facts.lineage),
    }
    if facts.detector is not None:
        return told | _detector_words(facts)
    return told | (_classifier_words(facts) if facts.segmenter is None else _segmenter_words(facts))


def _classifier_words(facts: ModelFacts) -> dict[str, str]:
    side = facts.view.resolution
    scores = "sigmoid" if facts.loss == "sigmoid" else "softmax"
    return {
        "input": f"images: float32 [batch, 3, {side}, {side}], RGB, 0 to 1; normalised by mean and std inside",
        "resize": f"before: {facts.view}, antialiased",
        "output": f"logits: float32 [batch, {len(facts.outputs)}], a column a class; their {scores} gives scores",
    }


def _segmenter_words(facts: ModelFacts) -> dict[str, str]:
    assert facts.sizing is not None
    classes = len(facts.outputs)
    return {
        "input": "images: float32 [batch, 3, height, width], RGB, 0 to 1; normalised by mean and std inside",
        "resize": f"before: {facts.sizing.used}, bilinear, antialiased; after: logits to the picture's size, bilinear",
        "output": f"logits: float32 [batch, {classes}, height, width]; the largest is the pixel's class, from 0",
    }


def _detector_words(facts: ModelFacts) -> dict[str, str]:
    detector = facts.detector
    assert detector is not None
    parts = [
        "boxes: float32 [objects, 4], x1, y1, x2, y2 in pixels of the picture as it went in",
        "scores: float32 [objects], highest first",
        "labels: int64 [objects], places in classes, from 0",
    ]
    if detector.has_masks:
        parts.append("masks: float32 [objects, height, width], 0 to 1, from 0.5 on the object's")
    if detector.kind == "keypoint":
        parts.append(f"keypoints: float32 [objects, {len(facts.keypoints)}, 3], x, y and a score that is no share")
    assert facts.sizing is not None
    smoothed = ", antialiased" if facts.sizing.antialiased else ""
    return {
        "input": "image: float32 [3, height, width], RGB, 0 to 1; resized and normalised by mean and std inside",
        "resize": f"inside: {facts.sizing.used}, bilinear{smoothed}",
        "output": "; ".join(parts),
        "score_threshold": f"{detector.score_threshold:g}",
        "category_ids": json.dumps(facts.category_ids),
        "keypoints": json.dumps(facts.keypoints),
    }
