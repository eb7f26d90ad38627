"""Annotations as files: COCO's JSON with the ids that they came with, and maps with a palette."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.files import write_bytes, write_json
from tagwise.localise.annotations import AnnotatedPicture, Annotations, Rle


def coco_truth(annotations: Annotations) -> dict[str, Any]:
    """COCO's tables of pictures, annotations and categories, as JSON has them.

    Ids of annotations are kept where they are different whole numbers, as in COCO's files; else they count from 1.
    """
    ids = [number for picture in annotations.pictures for number in picture.ids]
    keep = len(set(ids)) == len(ids) and all(isinstance(number, int) for number in ids)
    numbers = iter(ids if keep else range(1, len(ids) + 1))
    tables: dict[str, Any] = {
        "info": {"description": annotations.name, "license": annotations.licence},
        "images": [
            {"id": picture.id, "file_name": picture.name, "width": picture.width, "height": picture.height}
            for picture in annotations.pictures
        ],
        "annotations": [
            {"id": next(numbers), **_object(picture, place, annotations)}
            for picture in annotations.pictures
            for place in range(len(picture.ids))
        ],
        "categories": [{"id": category.id, "name": category.name} for category in annotations.categories],
    }
    for entry, category in zip(tables["categories"], annotations.categories, strict=True):
        if category.keypoints:
            entry["keypoints"] = list(category.keypoints)
    return tables


def write_coco(annotations: Annotations, path: Path) -> None:
    """Writes ``coco_truth`` as JSON.

    Raises:
        TagwiseError: The file cannot be written.
    """
    write_json(path, coco_truth(annotations))


def write_palette_png(labels_HW: NDArray[np.uint8], path: Path) -> None:
    """Writes a map as a PNG whose values are the labels, with VOC's colours for the eye.

    Raises:
        TagwiseError: The file cannot be written.
    """
    image = Image.fromarray(labels_HW.astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    write_bytes(path, content.getvalue())


def voc_palette() -> NDArray[np.uint8]:
    """RGB of each label, [256, 3]: the bits of the label, three a step, from the highest bit down (VOC 2012)."""
    labels = np.arange(256)
    steps = range(8)
    return np.stack(
        [sum(((labels >> (3 * step + colour)) & 1) << (7 - step) for step in steps) for colour in range(3)], axis=1
    ).astype(np.uint8)


def plain_rle(rle: Rle) -> dict[str, Any]:
    """A mask as JSON has it."""
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def _object(picture: AnnotatedPicture, place: int, annotations: Annotations) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, picture.boxes_N4[place])
    mask = picture.masks[place]
    entry: dict[str, Any] = {
        "image_id": picture.id,
        "category_id": annotations.categories[picture.categories_N[place]].id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": float(picture.areas_N[place]),
        "iscrowd": int(picture.crowd_N[place]),
    }
    if mask is not None:
        entry["segmentation"] = plain_rle(mask)
    if picture.keypoints_NK3 is not None:
        points = picture.keypoints_NK3[place]
        entry |= {"keypoints": points.reshape(-1).tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    return entry
