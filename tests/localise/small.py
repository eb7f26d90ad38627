"""Pictures and annotations of a few pixels, in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tagwise.localise.annotations import Annotations
from tagwise.localise.opening import open_annotations

ORIENTATION = 0x0112


def picture(path: Path, width: int = 40, height: int = 30, *, orientation: int = 1) -> Path:
    """A grey picture, turned by EXIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.new("RGB", (width, height), (90, 120, 150)).save(path, exif=exif if orientation > 1 else b"")
    return path


def coco(**changes: Any) -> dict[str, Any]:
    """One picture, a.png of 40 x 30, with one object of class 3, cat; class 7 is dog."""
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [entry()],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        **changes,
    }


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 1, "category_id": 3, "bbox": [4, 6, 10, 12], "area": 120, "iscrowd": 0, **changes}


def write(folder: Path, plain: Any, name: str = "train.json") -> Path:
    """A JSON file beside the picture that it is of."""
    if not (folder / "a.png").exists():
        picture(folder / "a.png")
    path = folder / name
    path.write_text(plain if isinstance(plain, str) else json.dumps(plain))
    return path


def opened(folder: Path, plain: Any, **flags: Any) -> Annotations:
    return open_annotations(write(folder, plain), **flags)["train"]


def kinds(annotations: Any) -> dict[str, list[str]]:
    """Annotations by the kind of problem that they have."""
    found: dict[str, list[str]] = {}
    for problem in annotations.problems:
        found.setdefault(str(problem.kind), []).append(problem.annotation)
    return found


def value_map(path: Path, values: Any, mode: str = "L") -> Path:
    """A map of values, [height, width]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values)
    image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes())
    image.save(path)
    return path
