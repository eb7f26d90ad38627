"""Detections against a truth by COCO's rules: precision and recall of every class, size and overlap.

Truth and detections are in COCO's schema and are left as they are: the library, which computes all, gets copies.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, unknown
from tagwise.measure.coco import CocoLibrary, LibraryName, coco_library

Kind = Literal["bbox", "segm", "keypoints"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FIELDS: dict[Kind, str] = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
"""What of an annotation is compared."""

Json = Mapping[str, Any]
Numbers = NDArray[np.float64]

_ALL = (0.0, 1e10)
_BY_SIZE = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a library found; -1 where a class has no object of that size.

    T overlaps, R = 101 recalls of 0, 0.01 to 1, K categories, A sizes, M numbers of detections a picture and category.
    """

    library: str
    """Its name and version."""
    precisions_TRKA: Numbers
    """At the largest number of detections: the best precision at this recall or a higher one."""
    recalls_TKAM: Numbers
    overlaps: tuple[float, ...]
    """IoU, or OKS of keypoints, from which on an object is found."""
    category_ids: tuple[int, ...]
    """Ascending; one, 1, where categories were merged."""
    sizes: tuple[str, ...]
    """``all`` and, where they were asked for, ``small``, ``medium``, ``large``; keypoints have no small ones."""


def evaluate(
    truth: Json,
    detections: Sequence[Json],
    kind: Kind,
    *,
    library: LibraryName | None = None,
    overlaps: Sequence[float] | None = None,
    by_size: bool = True,
    merged: bool = False,
    sigmas: Sequence[float] | None = None,
) -> Evaluation:
    """Lets the library match detections with objects, without a word on the terminal.

    Args:
        truth: ``images``, ``annotations`` (``area`` decides sizes) and ``categories`` of a COCO file.
        detections: COCO results; of equal scores the first counts as the better.
        kind: What is compared. A detection's own size is that of its box, mask, or box around its keypoints.
        library: The first that is installed, if None.
        overlaps: IoU or OKS; COCO's .5, .55 to .95, if None.
        by_size: Measure small, medium and large objects too.
        merged: Whether all categories count as one; detections need none then.
        sigmas: Spread of each keypoint as a share of the object's size; COCO's 17, if None.

    Raises:
        DataRefused: Something is missing, not finite, or of an unknown picture or category.
        UsageError: The library is not installed.
    """
    found = coco_library(library)
    with redirect_stdout(io.StringIO()):
        objects, results = prepare(truth, detections, kind, found, merged=merged)
        run = found.evaluation(objects, results, kind)
        asked = run.params
        asked.catIds = sorted(objects.cats)  # faster-coco-eval would leave out those without keypoints
        if overlaps is not None:
            asked.iouThrs = np.asarray(overlaps, np.float64)
        if sigmas is not None:
            asked.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        sizes = [name for name in _BY_SIZE if by_size and not (kind == "keypoints" and name == "small")]
        asked.areaRng, asked.areaRngLbl = [list(_ALL), *(list(_BY_SIZE[name]) for name in sizes)], ["all", *sizes]
        thresholds = tuple(float(overlap) for overlap in asked.iouThrs)
        run.evaluate()
        run.accumulate()
    return Evaluation(
        library=str(found),
        precisions_TRKA=np.asarray(run.eval["precision"], np.float64)[..., -1],
        recalls_TKAM=np.asarray(run.eval["recall"], np.float64),
        overlaps=thresholds,
        category_ids=tuple(sorted(objects.cats)),
        sizes=("all", *sizes),
    )


def prepare(
    truth: Json, detections: Sequence[Json], kind: Kind, library: CocoLibrary, *, merged: bool = False
) -> tuple[Any, Any]:
    """Truth and detections as the library's datasets, numbered from 1 in their order.

    Their own ids are not used: pycocotools takes a match with the annotation of id 0 for no match.

    Raises:
        DataRefused: Something is missing, not finite, or of an unknown picture or category.
    """
    if kind not in KINDS:
        raise unknown("kind of evaluation", kind, KINDS)
    points = points_of(truth) if kind == "keypoints" else 0
    objects = [_object(given, kind, points) for given in truth["annotations"]]
    _check(objects, "Object", truth, ("image_id", "category_id", "area", "bbox", FIELDS[kind]))
    _check(detections, "Detection", truth, ("image_id", *(() if merged else ("category_id",)), "score", FIELDS[kind]))
    results = [
        {**given, "area": area, "iscrowd": 0}
        for given, area in zip(detections, _areas(detections, kind, library), strict=True)
    ]
    if not merged:
        return _dataset(library, truth, objects), _dataset(library, truth, results)
    one = {**truth, "categories": [{"id": 1, "name": "object"}]}
    both = [[{**given, "category_id": 1} for given in annotations] for annotations in (objects, results)]
    return _dataset(library, one, both[0]), _dataset(library, one, both[1])


def points_of(truth: Json) -> int:
    """Keypoints of an object, 0 if the truth has none."""
    named = max((len(category.get("keypoints", ())) for category in truth["categories"]), default=0)
    return named or max((len(given.get("keypoints", ())) // 3 for given in truth["annotations"]), default=0)


def _object(given: Json, kind: Kind, points: int) -> dict[str, Any]:
    """An annotation with what files may leave out."""
    whole = {**given, "iscrowd": int(given.get("iscrowd", 0))}
    if kind == "keypoints":
        whole["keypoints"] = given.get("keypoints") or [0] * 3 * points
        whole["num_keypoints"] = sum(seen > 0 for seen in whole["keypoints"][2::3])
    return whole


def _check(annotations: Sequence[Json], what: str, truth: Json, fields: tuple[str, ...]) -> None:
    known = {
        "image_id": {picture["id"] for picture in truth["images"]},
        "category_id": {category["id"] for category in truth["categories"]},
    }
    for number, given in enumerate(annotations):
        for field in fields:
            if given.get(field) is None:
                raise DataRefused(f"{what} {number} has no {field}, so it cannot be evaluated; give it one.")
            if field in known and given[field] not in known[field]:
                raise DataRefused(
                    f"{what} {number} has the {field} {given[field]!r}, which the truth does not list; its ids are "
                    f"{', '.join(map(str, sorted(known[field])[:5]))}{', …' if len(known[field]) > 5 else ''}."
                )
    lengths = {"score": 1, "area": 1, "bbox": 4, "keypoints": 3 * points_of(truth)}
    for field, length in lengths.items():
        if field in fields:
            _check_numbers([given[field] for given in annotations], what, field, length)
    if "segmentation" in fields:
        _check_mask_sizes(annotations, what, truth)


def _check_mask_sizes(annotations: Sequence[Json], what: str, truth: Json) -> None:
    sizes = {picture["id"]: [picture.get("height"), picture.get("width")] for picture in truth["images"]}
    for number, given in enumerate(annotations):
        mask, size = given["segmentation"], sizes[given["image_id"]]
        if None in size:
            raise DataRefused(f"Picture {given['image_id']} of the truth has no height and width, which masks need.")
        if isinstance(mask, Mapping) and list(mask["size"]) != size:
            raise DataRefused(
                f"{what} {number} has a mask of {mask['size'][0]} by {mask['size'][1]} pixels (height, width) in a "
                f"picture of {size[0]} by {size[1]}; masks have the size of their picture."
            )
        if what == "Detection" and not (isinstance(mask, Mapping) and isinstance(mask["counts"], str | bytes)):
            raise DataRefused(f"Detection {number} has no compressed run lengths as its segmentation; encode its mask.")


def _check_numbers(values: list[Any], what: str, field: str, length: int) -> None:
    odd = next((number for number, value in enumerate(values) if np.size(value) != length), None)
    if odd is not None:
        raise DataRefused(f"{what} {odd} has {np.size(values[odd])} numbers as its {field}; it needs {length}.")
    bad = np.flatnonzero(~np.isfinite(np.asarray(values, np.float64)).reshape(len(values), length).all(axis=1))
    if len(bad):
        raise DataRefused(f"{what} {bad[0]} has the {field} {values[bad[0]]}, which is not finite; look for its cause.")


def _areas(detections: Sequence[Json], kind: Kind, library: CocoLibrary) -> list[float]:
    if kind == "bbox":
        return [float(given["bbox"][2]) * float(given["bbox"][3]) for given in detections]
    if kind == "segm":
        return [float(library.masks.area(given["segmentation"])) for given in detections]
    points = [np.asarray(given["keypoints"], np.float64).reshape(-1, 3)[:, :2] for given in detections]
    return [float(np.ptp(places, axis=0).prod()) for places in points]


def _dataset(library: CocoLibrary, truth: Json, annotations: list[dict[str, Any]]) -> Any:
    dataset = library.dataset()
    numbered = [{**given, "id": number} for number, given in enumerate(annotations, 1)]
    dataset.dataset = {"images": truth["images"], "categories": truth["categories"], "annotations": numbered}
    dataset.createIndex()
    return dataset
