"""Detections as COCO results: for the libraries that evaluate, and for others' hands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused
from tagwise.base.files import write_text
from tagwise.localise.annotations import AnnotatedPicture, Annotations, Category, Rle
from tagwise.localise.writing import plain_rle


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What a detector says of a picture, in pixels of the picture as it is shown."""

    boxes_N4: NDArray[np.floating[Any]]
    """x1, y1, x2, y2."""
    scores_N: NDArray[np.floating[Any]]
    labels_N: NDArray[np.integer[Any]]
    """Places in ``Annotations.categories``: without a background."""
    masks: tuple[Rle, ...] | None = None
    """Of the size of the picture."""
    keypoints_NK3: NDArray[np.floating[Any]] | None = None
    """x, y and score."""


def coco_detections(detections: Sequence[Detections], annotations: Annotations) -> list[dict[str, Any]]:
    """COCO results, with the categories' own ids: picture by picture, the best first, equal ones as they come.

    Args:
        detections: One a picture, in the order of the pictures.
        annotations: Of these pictures; only their ids, sizes and categories are used.

    Returns:
        ``image_id``, ``category_id``, ``bbox`` (x, y, width, height, inside the picture), ``score`` and, where there
        are any, ``segmentation`` (run lengths as text) and ``keypoints``; a box wholly outside its picture is left out.

    Raises:
        DataRefused: There are not as many as pictures, a label is of no category, or a number is not finite.
    """
    if len(detections) != len(annotations):
        raise DataRefused(
            f"There are detections of {len(detections)} pictures, but {annotations.name} has {len(annotations)}; "
            "give one entry for each, empty ones too."
        )
    return [
        result
        for found, picture in zip(detections, annotations.pictures, strict=True)
        for result in _results(found, picture, annotations.categories)
    ]


def write_detections(path: Path, results: list[dict[str, Any]]) -> None:
    """Writes COCO results, the whole file or nothing.

    Raises:
        TagwiseError: The file cannot be written.
    """
    write_text(path, json.dumps(results, allow_nan=False) + "\n")


def _results(found: Detections, picture: AnnotatedPicture, categories: tuple[Category, ...]) -> list[dict[str, Any]]:
    _check(found, picture, categories)
    limits = (picture.width, picture.height) * 2
    boxes_N4: NDArray[np.float64] = np.asarray(found.boxes_N4, np.float64).reshape(-1, 4).clip(0, limits)
    inside = np.all(boxes_N4[:, 2:] > boxes_N4[:, :2], axis=1)
    results = []
    for number in np.argsort(-found.scores_N, kind="stable").tolist():
        if not inside[number]:
            continue
        result = {
            "image_id": picture.id,
            "category_id": categories[found.labels_N[number]].id,
            "bbox": _xywh(boxes_N4[number]),
            "score": float(found.scores_N[number]),
        }
        if found.masks is not None:
            result["segmentation"] = plain_rle(found.masks[number])
        if found.keypoints_NK3 is not None:
            result["keypoints"] = [float(value) for value in found.keypoints_NK3[number].ravel()]
        results.append(result)
    return results


def _check(found: Detections, picture: AnnotatedPicture, categories: tuple[Category, ...]) -> None:
    strange = found.labels_N[(found.labels_N < 0) | (found.labels_N >= len(categories))]
    if len(strange):
        raise DataRefused(
            f"A detection on {picture.name} has the label {strange[0]}, but there are {len(categories)} categories, "
            f"0 to {len(categories) - 1}; the background is none of them."
        )
    numbers = (found.boxes_N4, found.scores_N, *(() if found.keypoints_NK3 is None else (found.keypoints_NK3,)))
    if not all(np.isfinite(values).all() for values in numbers):
        raise DataRefused(f"A detection on {picture.name} is not finite; look whether the training diverged.")


def _xywh(box_4: NDArray[np.float64]) -> list[float]:
    x1, y1, x2, y2 = box_4.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
