"""Scores of detectors and segmenters as tables, the same on a terminal and on a page; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tagwise.measure.detection import said
from tagwise.measure.detection_errors import ERROR_KINDS, ERROR_WORDS
from tagwise.pages.marks import percent
from tagwise.pages.page import Cell, Table

KINDS = ("boxes", "masks", "keypoints")
"""What a detector's scores are kept under, and called."""
MEANINGS = {
    "AP": "mean over classes, recall and IoU .50 to .95",
    "AP50": "at IoU .50: what is found",
    "AP75": "at IoU .75: and placed well",
    "AP_small": "of objects below 32 x 32 pixels",
    "AP_medium": "of objects up to 96 x 96 pixels",
    "AP_large": "of larger objects",
    "AR_1": "recall with 1 detection a picture and class",
    "AR_10": "recall with 10",
    "AR_100": "recall with 100",
    "AR": "recall with 20 detections a picture and class",
    "AR50": "recall at OKS .50",
    "AR75": "recall at OKS .75",
    "AR_small": "recall of small objects",
    "AR_medium": "recall of medium objects",
    "AR_large": "recall of large objects",
}
ANY_CLASS = "any class"
"""What numbers are called by that count all classes as one."""


def kinds_of(scores: Mapping[str, Any]) -> list[str]:
    """What a detector was scored by, the most telling last; none of a segmenter, or where there was no test part."""
    return [kind for kind in KINDS if kind in scores]


def numbers_table(columns: Mapping[str, Mapping[str, Any]], caption: str = "") -> Table:
    """COCO's numbers, those of all classes as one beside them.

    Args:
        columns: Scores of boxes, masks or keypoints, by what they are of.
        caption: Above it.
    """
    names = list(dict.fromkeys(name for one in columns.values() for name in one["numbers"]))
    rows: list[list[Cell]] = []
    for name in (name for name in MEANINGS if name in names):
        cells: list[Cell] = [name.replace("_", " ")]
        for one in columns.values():
            cells += [_number(one["numbers"].get(name)), _number(one["class_agnostic"].get(name))]
        absent = "; -1: there is none" if -1 in [one["numbers"].get(name) for one in columns.values()] else ""
        rows.append([*cells, MEANINGS[name] + absent])
    heads = [head for of in columns for head in (of, f"{of}, {ANY_CLASS}")]
    return Table(columns=("number", *heads, "what it is"), rows=rows, caption=caption, numeric=heads)


def category_table(scores: Mapping[str, Any], caption: str = "") -> Table:
    """AP of each class, and of its masks or keypoints beside, in the order of the classes' ids."""
    kinds = kinds_of(scores)
    rows: list[list[Cell]] = []
    for place, one in enumerate(scores[kinds[0]]["categories"]):
        every = [scores[kind]["categories"][place] for kind in kinds]
        aps = [said(of[name]) for of in every for name in ("ap", "ap50")]
        rows.append([one["name"], one["objects"], one["detections"], *aps])
    prefixes = ["" if len(kinds) == 1 else f"{kind}: " for kind in kinds]
    heads = [f"{prefix}{name}" for prefix in prefixes for name in ("AP", "AP50")]
    return Table(columns=("class", "objects", "detections", *heads), rows=rows, caption=caption, numeric=heads)


def error_table(errors: Mapping[str, Any], caption: str = "") -> Table:
    """Kinds of error of boxes, the dearest first."""
    counts, gains = errors["counts"], errors["gains"]
    kinds = sorted(ERROR_KINDS, key=lambda kind: -gains[kind])
    rows = [(ERROR_WORDS[kind], counts[kind], f"{gains[kind]:+.3f}") for kind in kinds]
    columns = ("what is wrong", "how often", "AP50 gained if put right")
    return Table(columns=columns, rows=rows, caption=caption, numeric=columns[2:])


def pixel_table(pixels: Mapping[str, Any], caption: str = "") -> Table:
    """IoU and accuracy of each class."""
    total = sum(pixels["pixels_of_class"])
    rows = [
        (
            name,
            "in neither truth nor prediction" if iou is None else f"{iou:.3f}",
            "not in the truth" if accuracy is None else f"{accuracy:.3f}",
            percent(count / max(total, 1)),
        )
        for name, iou, accuracy, count in zip(
            pixels["classes"],
            pixels["iou_of_class"],
            pixels["accuracy_of_class"],
            pixels["pixels_of_class"],
            strict=True,
        )
    ]
    columns = ("class", "IoU", "accuracy", "share of the true pixels")
    return Table(columns=columns, rows=rows, caption=caption, numeric=columns[1:])


def score_words(value: float | None) -> str:
    """A score of pixels to three places."""
    return "\N{EN DASH}" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str | None:
    return None if value is None else "-1" if value == -1 else f"{value:.3f}"


def objects_of(scores: Mapping[str, Any]) -> int:
    """Objects of the truth that a detector was scored against."""
    categories: Sequence[Mapping[str, Any]] = scores[kinds_of(scores)[0]]["categories"]
    return sum(one["objects"] for one in categories)
