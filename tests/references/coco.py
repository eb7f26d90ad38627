"""COCO's golden cases, and small truths to be written by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDENS = Path(__file__).parents[1] / "goldens" / "golden-localisation.json"
Drawn = tuple[dict[str, Any], list[dict[str, Any]]]

MODULES = {"pycocotools": "pycocotools", "faster-coco-eval": "faster_coco_eval"}


@cache
def goldens() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GOLDENS.read_text("utf-8"))
    return loaded


def need(library: str) -> None:
    """Skips the test, or the file, where a library is missing."""
    pytest.importorskip(MODULES[library], reason=f"{library} is not installed")


def a_truth(*objects: tuple[int, int, list[float]], pictures: int = 1, crowds: tuple[int, ...] = ()) -> dict[str, Any]:
    """Objects as (picture, category, x y w h), of the categories 3, 7 and 90."""
    return {
        "images": [{"id": number, "width": 400, "height": 400} for number in range(1, pictures + 1)],
        "annotations": [
            {
                "id": number,
                "image_id": picture,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(number in crowds),
            }
            for number, (picture, category, box) in enumerate(objects)
        ],
        "categories": [{"id": number, "name": f"kind {number}"} for number in (3, 7, 90)],
    }


def told(picture: int, category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": picture, "category_id": category, "bbox": box, "score": score}


def drawn(seed: int, *, pictures: int = 4, objects: int = 6, crowd_fraction: float = 0.1) -> Drawn:
    """A random truth, and detections that are right, off, of another class, double and in the void."""
    draw = np.random.default_rng(seed)
    kinds = (3, 7, 90)
    boxes = [(1 + number % pictures, int(draw.choice(kinds)), _box(draw)) for number in range(pictures * objects)]
    crowds = tuple(np.flatnonzero(draw.random(len(boxes)) < crowd_fraction).tolist())
    truth = a_truth(*boxes, pictures=pictures + 1, crowds=crowds)
    detections = []
    for picture, kind, box in boxes:
        for _ in range(int(draw.integers(0, 4))):
            off = (np.array(box) + draw.normal(0, 0.15, 4) * [box[2], box[3], box[2], box[3]]).round(2)
            off[2:] = np.maximum(off[2:], 1)
            of = kind if draw.random() < 0.7 else int(draw.choice(kinds))
            detections.append(told(picture, of, off.tolist(), float(draw.integers(1, 20)) / 20))  # ties among them
    detections += [told(pictures + 1, 7, _box(draw), float(draw.random())) for _ in range(3)]
    return truth, detections


def _box(draw: np.random.Generator) -> list[float]:
    width, height = draw.choice([12, 25, 50, 110], 2)
    return [float(draw.integers(0, 280)), float(draw.integers(0, 280)), float(width), float(height)]
