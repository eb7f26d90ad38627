"""Annotated pictures of bright discs and bars on black, whose masks are their very pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.localise.annotations import AnnotatedPicture, Category, MappedPicture, Rle
from tagwise.measure.coco import coco_masks
from tagwise.pixels.place import Place

FACE = Category(id=7, name="face", keypoints=("nose", "left eye", "right eye"), mirrored=(0, 2, 1))
THING = Category(id=9, name="thing", keypoints=("nose", "left eye", "right eye"))
CATEGORIES = (FACE, THING)


def draw_masks(random: np.random.Generator, height: int, width: int, count: int) -> NDArray[np.bool_]:
    """Discs and bars of at least 12 pixels to a side, [N, height, width]."""
    y, x = np.mgrid[:height, :width] + 0.5
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        tall, wide = random.integers(12, 24, 2)
        top, left = random.integers(0, height - tall + 1), random.integers(0, width - wide + 1)
        if random.random() < 0.5:
            mask[top : top + tall, left : left + wide] = True
        else:
            mask[((y - top) / tall - 0.5) ** 2 + ((x - left) / wide - 0.5) ** 2 <= 0.25] = True
    return masks


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    found = [(np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))) for mask in masks]
    return np.array([[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in found], np.float64).reshape(-1, 4)


def rle(mask: NDArray[np.bool_]) -> Rle:
    encoded: Rle = coco_masks().encode(np.asfortranarray(mask.astype(np.uint8)))
    return encoded


def annotated(
    random: np.random.Generator, height: int = 60, width: int = 80, count: int = 3, place: str = "a.png"
) -> tuple[AnnotatedPicture, NDArray[np.uint8]]:
    """A picture with masks and keypoints of all its objects, none of them a crowd, and its pixels."""
    masks = draw_masks(random, height, width, count)
    boxes_N4 = boxes_of(masks)
    keypoints_NK3 = random.integers(0, 4 * min(height, width), (count, 3, 3)) / 4.0
    keypoints_NK3[..., 2] = random.integers(0, 3, (count, 3))
    picture = AnnotatedPicture(
        place=Place(place),
        name=place,
        id=1,
        width=width,
        height=height,
        boxes_N4=boxes_N4,
        categories_N=random.integers(0, len(CATEGORIES), count),
        ids=tuple(range(100, 100 + count)),
        areas_N=masks.sum((1, 2)).astype(np.float64),
        crowd_N=np.zeros(count, bool),
        difficult_N=np.zeros(count, bool),
        masks=tuple(rle(mask) for mask in masks),
        keypoints_NK3=keypoints_NK3,
    )
    return picture, bright(np.logical_or.reduce(masks))


def mapped(map_HW: NDArray[np.uint8], place: str = "a.png") -> tuple[MappedPicture, NDArray[np.uint8]]:
    """A picture that is bright where its map has class 1."""
    height, width = map_HW.shape
    picture = MappedPicture(
        place=Place(place), name=place, width=width, height=height, read_map=lambda: map_HW, digest=""
    )
    return picture, bright(map_HW == 1)


def bright(where_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.repeat(where_HW[:, :, None] * np.uint8(255), 3, axis=2)


def write(image_HWC: NDArray[np.uint8], path: Path) -> str:
    Image.fromarray(image_HWC).save(path)
    return str(path)
