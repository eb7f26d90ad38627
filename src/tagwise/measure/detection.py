"""How well objects are found: COCO's numbers, of every class, and of where alone, whatever the class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagwise.base.errors import UsageError
from tagwise.measure.coco import LibraryName
from tagwise.measure.matching import Evaluation, Json, Kind, Numbers, evaluate, points_of

_NUMBERS: dict[str, tuple[float | None, str, int]] = {
    "AP": (None, "all", -1),
    "AP50": (0.5, "all", -1),
    "AP75": (0.75, "all", -1),
    "AP_small": (None, "small", -1),
    "AP_medium": (None, "medium", -1),
    "AP_large": (None, "large", -1),
    "AR_1": (None, "all", 0),
    "AR_10": (None, "all", 1),
    "AR_100": (None, "all", -1),
    "AR": (None, "all", -1),
    "AR50": (0.5, "all", -1),
    "AR75": (0.75, "all", -1),
    "AR_small": (None, "small", -1),
    "AR_medium": (None, "medium", -1),
    "AR_large": (None, "large", -1),
}
"""At which overlap (None: the mean of all), of which size, with which number of detections (-1: the most)."""

NAMES = tuple(name for name in _NUMBERS if name not in ("AR", "AR50", "AR75"))
"""Average precision over IoU .5, .55 to .95, at .5, at .75, and of objects below 32^2, to 96^2 and above; average
recall with 1, 10 and 100 detections a picture and class, and of these sizes."""
KEYPOINT_NAMES = tuple(name for name in _NUMBERS if name not in ("AP_small", "AR_1", "AR_10", "AR_100", "AR_small"))
"""The same of keypoints: OKS instead of IoU, 20 detections a picture and class."""
AGNOSTIC_NAMES = ("AP", "AP50", "AP75", "AR_100")
"""Of all categories as one, with 100 detections a picture; keypoints have ``AR`` instead of ``AR_100``."""

UNIFORM_SIGMA = 0.05
"""Spread of each keypoint where they are not COCO's 17."""


@dataclass(frozen=True, kw_only=True)
class CategoryScores:
    """Of one class; -1 where the truth has no object of it."""

    id: int
    name: str
    objects: int
    """In the truth, without crowds."""
    detections: int
    ap: float
    ap50: float
    precisions_50: tuple[float, ...]
    """The curve at IoU .5: the best precision at recall 0, .01 to 1 or higher; empty where there is no object."""
    precisions_75: tuple[float, ...]
    """At IoU .75."""


@dataclass(frozen=True, kw_only=True)
class DetectionScores:
    """COCO's numbers, 0..1, or -1 where the truth has no such object."""

    kind: Kind
    library: str
    """That computed, with its version."""
    pictures: int
    numbers: dict[str, float]
    """By ``NAMES`` or ``KEYPOINT_NAMES``."""
    categories: tuple[CategoryScores, ...]
    """By ascending id."""
    class_agnostic: dict[str, float]
    """By ``AGNOSTIC_NAMES``: how well it is known where things are, whatever they are."""
    sigmas: tuple[float, ...] = ()
    """Of keypoints, where they are not COCO's."""

    def said(self) -> str:
        """All numbers in a line, and which library computed them."""
        values = ", ".join(f"{name} {said(value, name)}" for name, value in self.numbers.items())
        return f"{values} ({self.library}, {self.pictures} pictures)"


def said(value: float, name: str = "AP") -> str:
    """A number to three places; -1, which means that there is nothing to measure on, in words."""
    size = name.partition("_")[2]
    which = f"{size} object" if size in ("small", "medium", "large") else "object"
    return f"{value:.3f}" if value > -1 else f"-1: no {which} in the truth"


def detection_scores(
    truth: Json,
    detections: Sequence[Json],
    kind: Kind,
    *,
    library: LibraryName | None = None,
    sigmas: Sequence[float] | None = None,
) -> DetectionScores:
    """COCO's numbers of detections, computed by pycocotools or, where that is not installed, by faster-coco-eval.

    Args:
        truth: ``images``, ``annotations`` and ``categories`` as in a COCO file; ``area`` decides what is small.
        detections: COCO results: ``image_id``, ``category_id``, ``score`` and a ``bbox`` (x, y, width, height),
            ``segmentation`` (run lengths) or ``keypoints``; of equal scores the first counts as the better.
        kind: Which of these is compared.
        library: To compute with another than the first that is installed.
        sigmas: Of keypoints, shares of an object's size; COCO's if there are 17, else 0.05 for each.

    Raises:
        DataRefused: Something is missing, not finite, or of an unknown picture or category.
        UsageError: No library is installed, or sigmas are not one a keypoint.
    """
    spread = _sigmas(points_of(truth), sigmas) if kind == "keypoints" else ()
    found = apart = evaluate(truth, detections, kind, library=library, sigmas=spread or None)
    if len(found.category_ids) > 1:
        apart = evaluate(truth, detections, kind, library=library, sigmas=spread or None, by_size=False, merged=True)
    names, agnostic = NAMES, AGNOSTIC_NAMES
    if kind == "keypoints":
        names, agnostic = KEYPOINT_NAMES, (*AGNOSTIC_NAMES[:-1], "AR")
    return DetectionScores(
        kind=kind,
        library=found.library,
        pictures=len(truth["images"]),
        numbers={name: _number(found, name) for name in names},
        categories=_categories(found, truth, detections),
        class_agnostic={name: _number(apart, name) for name in agnostic},
        sigmas=spread,
    )


def _sigmas(points: int, given: Sequence[float] | None) -> tuple[float, ...]:
    """One a keypoint; none for COCO's own, which the libraries know."""
    if given is None:
        return () if points == 17 else (UNIFORM_SIGMA,) * points
    if len(given) != points:
        raise UsageError(f"There are {len(given)} sigmas for {points} keypoints; give one for each.")
    return tuple(given)


def _number(found: Evaluation, name: str) -> float:
    overlap, size, most = _NUMBERS[name]
    place = found.sizes.index(size)
    values = found.precisions_TRKA[..., place] if name.startswith("AP") else found.recalls_TKAM[..., place, most]
    return _mean_known(values if overlap is None else values[_at(found, overlap)])


def _at(found: Evaluation, overlap: float) -> int:
    return int(np.argmin(np.abs(np.asarray(found.overlaps) - overlap)))


def _mean_known(values: Numbers) -> float:
    """Mean of what is not -1; -1 if all is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def _categories(found: Evaluation, truth: Json, detections: Sequence[Json]) -> tuple[CategoryScores, ...]:
    objects = Counter(given["category_id"] for given in truth["annotations"] if not given.get("iscrowd"))
    detected = Counter(given["category_id"] for given in detections)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    scores = []
    for place, number in enumerate(found.category_ids):
        precisions = found.precisions_TRKA[:, :, place, 0]
        at_50, at_75 = precisions[_at(found, 0.5)], precisions[_at(found, 0.75)]
        scores.append(
            CategoryScores(
                id=number,
                name=names[number],
                objects=objects[number],
                detections=detected[number],
                ap=_mean_known(precisions),
                ap50=_mean_known(at_50),
                precisions_50=_curve(at_50),
                precisions_75=_curve(at_75),
            )
        )
    return tuple(scores)


def _curve(precisions: Numbers) -> tuple[float, ...]:
    return tuple(precisions.tolist()) if precisions[0] > -1 else ()
