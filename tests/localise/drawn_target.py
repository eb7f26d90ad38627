"""Annotated pictures of bright squares and dark discs, and models to begin from, for tests that train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tagwise.nets import build
from tagwise.nets.design import Design
from tagwise.training.models import ModelFacts, save_model
from tests.localise.small_detectors import SMALL, VIEW

SIDE = 64
TINY = (
    *("detector.channels=32", "detector.box_width=32", "detector.proposals=[40,100]", "detector.regions_sampled=16"),
    *("detector.anchor_sizes=[8,16,32,64,128]", "detector.detections=20"),
)
"""Settings of a detector of few channels."""


def write_target(folder: Path, *, train: int = 6, val: int = 4, seed: int = 0) -> Path:
    """COCO's JSON with a training and a validation part; some pictures have no object."""
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("val", val)):
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number in range(count):
            name = f"{part}{number}.png"
            places = draw.permutation([(2, 2), (2, 34), (34, 2), (34, 34)])[: number % 4]
            pixels = draw.integers(90, 130, (SIDE, SIDE, 3), np.uint8)
            for x, y in places.tolist():
                objects.append(_object(len(objects) + 1, number, int(draw.integers(2)), x, y, pixels))
            Image.fromarray(pixels).save(folder / name)
            images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        kinds = [{"id": 3, "name": "square"}, {"id": 8, "name": "disc"}]
        plain = {"images": images, "annotations": objects, "categories": kinds}
        (folder / f"{part}.json").write_text(json.dumps(plain))
    return folder


def _object(number: int, picture: int, disc: int, x: int, y: int, pixels: Any) -> dict[str, Any]:
    """Drawn into the pixels; a disc is a polygon of sixteen corners."""
    turns = 2 * np.pi * (np.arange(16) if disc else np.arange(4) + 0.5) / (16 if disc else 4)
    reach = 12 if disc else 12 * 2**0.5
    corners = np.stack([x + 12 + reach * np.cos(turns), y + 12 + reach * np.sin(turns)], 1)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = (columns - x - 12) ** 2 + (rows - y - 12) ** 2 <= 144 if disc else np.zeros((SIDE, SIDE), bool)
    if not disc:
        inside[y : y + 24, x : x + 24] = True
    pixels[inside] = (30, 60, 30) if disc else (240, 200, 220)
    return {
        "id": number,
        "image_id": picture,
        "category_id": 8 if disc else 3,
        "bbox": [x, y, 24, 24],
        "segmentation": [corners.round(3).ravel().tolist()],
        "area": 452 if disc else 576,
        "iscrowd": 0,
    }


def write_start(path: Path, *, seed: int, design: Design = SMALL) -> Path:
    """A classifier that nobody trained."""
    torch.manual_seed(seed)
    facts = ModelFacts(design=design, view=VIEW, classes=("a", "b"))
    save_model(path, build(design, num_classes=2), facts)
    return path
