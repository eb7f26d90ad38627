"""Truth beside prediction: pictures of a test part as a report shows them, drawn when it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.errors import TagwiseError
from tagwise.base.progress import counted
from tagwise.localise import rasters
from tagwise.localise.annotations import IGNORE
from tagwise.localise.drawing import DrawnObjects, draw_objects, with_legend
from tagwise.localise.overlays import overlay
from tagwise.pages.page import Picture
from tagwise.pages.pictures import thumbnail
from tagwise.pages.tables import cut
from tagwise.verbs.located_scores import map_of

DRAWN_SIDE = 280
"""Longest side of a picture in a report, pixels; what is drawn on it keeps its size."""
OVERLAP = 0.5
"""IoU from which on an object counts as found."""

Image_HWC = NDArray[np.uint8]


def object_pair(picture_HWC: Image_HWC, one: Mapping[str, Any]) -> list[Picture]:
    """True objects, and those that a detector found, with how many are right below.

    Args:
        picture_HWC: As it is now.
        one: What a run kept of it.

    Raises:
        TagwiseError: The picture has another size than its masks.
    """
    truth, found = one["truth"], one["found"]
    right, wrong = judged(truth, found)
    crowds = len(truth.get("crowd", []))
    objects = len(truth["labels"]) - crowds
    said = f"{right} of {objects} found" if objects else "nothing to find"
    captions = (
        f"{_short(one['name'])}: {counted(objects, 'object')}" + (f", {counted(crowds, 'crowd')}" if crowds else ""),
        said + (f", {wrong} wrong" if wrong else ""),
    )
    return [
        _picture(_drawn_objects(picture_HWC, told, one["classes"]), caption)
        for told, caption in zip((truth, found), captions, strict=True)
    ]


def map_pair(picture_HWC: Image_HWC, one: Mapping[str, Any]) -> list[Picture]:
    """True classes of pixels, and those told, above the colours of the classes."""
    names = one["classes"]
    truth_HW, found_HW = (map_of(one[runs], one["size"]) for runs in ("truth_runs", "found_runs"))
    counted = truth_HW != IGNORE
    right = (truth_HW == found_HW)[counted].mean() if counted.any() else np.nan
    captions = (
        f"{_short(one['name'])}: truth",
        "no pixel counts" if np.isnan(right) else f"{right:.1%} of pixels right",
    )
    shown = sorted({*np.unique(truth_HW[counted]).tolist(), *np.unique(found_HW).tolist()})
    plain = 0 if names[0] == "background" else None
    size = _size(picture_HWC)
    small_HWC = np.array(Image.fromarray(picture_HWC).resize(size))
    return [
        _picture(
            with_legend(
                overlay(small_HWC, _resized(labels_HW, size), plain=plain),
                [label for label in shown if label != plain],
                names,
            ),
            caption,
        )
        for labels_HW, caption in zip((truth_HW, found_HW), captions, strict=True)
    ]


def _picture(drawn_HWC: Image_HWC, caption: str) -> Picture:
    return Picture(uri=thumbnail(drawn_HWC, max(drawn_HWC.shape)), alt=caption, caption=caption)


def _short(name: str) -> str:
    """A file's name as it fits under its picture."""
    return cut(name, 18)


def _drawn_objects(picture_HWC: Image_HWC, told: Mapping[str, Any], names: Sequence[str]) -> Image_HWC:
    size = _size(picture_HWC)
    ratios = np.array(size) / (picture_HWC.shape[1], picture_HWC.shape[0])
    masks = [_mask(mask, size, picture_HWC.shape[:2]) for mask in told["masks"]]
    points_NK3 = None
    if told["keypoints"] is not None and told["labels"]:
        points_NK3 = np.array(told["keypoints"], np.float64) * [*ratios, 1]
        if "scores" in told:
            points_NK3[..., 2] = 2  # all that are told; their scores are no probabilities
    objects = DrawnObjects(
        boxes_N4=np.array(told["boxes"], np.float64).reshape(-1, 4) * [*ratios, *ratios],
        labels_N=np.array(told["labels"], np.int64),
        names=names,
        scores_N=np.array(told["scores"], np.float64) if "scores" in told else None,
        masks_NHW=np.stack(masks) if masks else None,
        keypoints_NK3=points_NK3,
    )
    return draw_objects(np.array(Image.fromarray(picture_HWC).resize(size)), objects)


def _mask(mask: Mapping[str, Any] | None, size: tuple[int, int], shape: Sequence[int]) -> NDArray[np.bool_]:
    """A mask at the size that is drawn; nothing of an object that has a box alone."""
    if mask is None:
        return np.zeros(size[::-1], bool)
    if list(mask["size"]) != list(shape):
        raise TagwiseError("its size has changed since")
    decoded_HW = rasters.decode({"size": list(mask["size"]), "counts": mask["counts"].encode("ascii")})
    return _resized(decoded_HW.astype(np.uint8), size) > 0


def _size(picture_HWC: Image_HWC) -> tuple[int, int]:
    """Width and height at which a picture is drawn."""
    height, width = picture_HWC.shape[:2]
    scale = DRAWN_SIDE / max(height, width)
    scale = float(max(1, int(scale))) if scale > 1 else scale
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(values_HW: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(values_HW).resize(size, Image.Resampling.NEAREST))


def judged(truth: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[int, int]:
    """Objects that detections find, and detections that are wrong, by class and overlap of boxes.

    The surest comes first and each object is found at most once; what lies in a crowd region is neither, as in AP.
    """
    true_N4 = np.array(truth["boxes"], np.float64).reshape(-1, 4)
    labels_N, crowd_N = np.array(truth["labels"], np.int64), np.zeros(len(true_N4), bool)
    crowd_N[truth.get("crowd", [])] = True
    free_N, wrong = ~crowd_N, 0
    for row in np.argsort(-np.array(found["scores"], np.float64), kind="stable").tolist():
        of_class_N = labels_N == found["labels"][row]
        overlaps_N = of_class_N * _overlaps(np.array(found["boxes"][row], np.float64), true_N4, crowd_N)
        open_N = np.where(free_N, overlaps_N, 0)
        if open_N.max(initial=0) >= OVERLAP:
            free_N[open_N.argmax()] = False
        elif overlaps_N[crowd_N].max(initial=0) < OVERLAP:
            wrong += 1
    return int((~free_N & ~crowd_N).sum()), wrong


def _overlaps(
    box_4: NDArray[np.float64], boxes_N4: NDArray[np.float64], crowd_N: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU with each; with a crowd region the share of the box that lies in it."""
    sides = (np.minimum(box_4[2:], boxes_N4[:, 2:]) - np.maximum(box_4[:2], boxes_N4[:, :2])).clip(min=0)
    shared, area = sides.prod(1), (box_4[2:] - box_4[:2]).prod()
    both = area + (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1) - shared
    overlaps: NDArray[np.float64] = shared / np.maximum(np.where(crowd_N, area, both), 1e-9)
    return overlaps
