"""What is wrong with detections: each kind of error, by the AP50 that is gained if it alone is put right.

The kinds and their corrections are those of D. Bolya et al., TIDE (ECCV 2020, arXiv:2008.08115, section 2), at IoU .5
and .1, asked in the order of their code (dbolya/tide, tidecv/quantify.py). A detection that finds no object is, by the
first that holds of its largest overlap with objects:

- ``place``: .1 to .5 with one of its class;
- ``class``: .5 or more with one of another class;
- ``duplicate``: .5 or more with one of its class, which a better detection has found;
- ``both``: .1 or more with one of another class;
- ``background``: less with all.

An object is ``missed`` if no detection finds it, nor would with its class or its place put right.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError
from tagwise.measure.coco import LibraryName, coco_library
from tagwise.measure.matching import FIELDS, Json, Kind, Numbers, evaluate, prepare

FOUND = 0.5
"""IoU from which on an object is found."""
NEAR = 0.1
"""IoU below which a detection is of the background."""
MOST = 100
"""Detections of a picture and class that count."""
NOTHING = -1

ErrorKind = Literal["class", "place", "both", "duplicate", "background", "missed"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("class", "place", "both", "duplicate", "background", "missed")
Verdict = Literal["right", "ignored"] | ErrorKind
ERROR_WORDS = {
    "class": "the class is wrong",
    "place": "the place is off (IoU .1 to .5)",
    "both": "class and place are off",
    "duplicate": "an object is found twice",
    "background": "there is nothing",
    "missed": "an object is missed",
}


@dataclass(frozen=True, kw_only=True)
class DetectionErrors:
    """The error split at IoU .5."""

    library: str
    ap50: float
    """As it is; -1 where the truth has no object."""
    counts: dict[ErrorKind, int]
    """Detections; missed: objects."""
    gains: dict[ErrorKind, float]
    """AP50 with this kind of error put right, less ``ap50``. They do not add up: errors hide each other."""
    verdicts: tuple[Verdict, ...]
    """Of each detection, in their order: ``right``, ``ignored`` (in a crowd, or beyond 100), or the kind of error."""
    missed: tuple[int, ...]
    """Places of the missed objects in the truth's annotations."""

    def said(self) -> str:
        """A line for each kind that occurs, dearest first."""
        kinds = sorted((kind for kind in ERROR_KINDS if self.counts[kind]), key=lambda kind: -self.gains[kind])
        return "\n".join(f"{self.gains[kind]:+.3f} AP50: {ERROR_WORDS[kind]} ({self.counts[kind]})" for kind in kinds)


def detection_errors(
    truth: Json,
    detections: Sequence[Json],
    kind: Kind,
    *,
    library: LibraryName | None = None,
) -> DetectionErrors:
    """Splits the errors of detections, and has each kind evaluated as if it were put right.

    A wrong class becomes that of the object, a wrong place the object's; of all that then find the same object the
    best is kept. Other wrong detections are taken away, and missed objects out of the truth; a class of which no
    object is left then counts 1 if nothing is detected of it either, else 0.

    Args:
        truth: As ``detection_scores`` takes it.
        detections: COCO results.
        kind: Boxes or masks.
        library: The first that is installed, if None.

    Raises:
        DataRefused: As ``detection_scores``.
        UsageError: No library is installed, or the kind is another.
    """
    if kind not in ("bbox", "segm"):
        raise UsageError(f"Errors are split of boxes (bbox) and masks (segm), not of {kind}.")
    split = _split(truth, detections, kind, library)
    computed_by, ap50 = _ap50(truth, detections, kind, library)
    counts = {error: split.verdicts.count(error) for error in ERROR_KINDS} | {"missed": len(split.missed)}
    left = [given for place, given in enumerate(truth["annotations"]) if place not in split.missed]
    gains: dict[ErrorKind, float] = dict.fromkeys(ERROR_KINDS, 0.0)
    for error in (error for error in ERROR_KINDS if counts[error]):
        objects = left if error == "missed" else truth["annotations"]
        results = _put_right(error, truth, detections, kind, split)
        gains[error] = _ap50(truth, results, kind, library, objects)[1] - ap50
    return DetectionErrors(
        library=computed_by,
        ap50=ap50,
        counts=counts,
        gains=gains,
        verdicts=tuple(split.verdicts),
        missed=tuple(sorted(split.missed)),
    )


def _ap50(
    truth: Json,
    detections: Sequence[Json],
    kind: Kind,
    library: LibraryName | None,
    objects: Sequence[Json] | None = None,
) -> tuple[str, float]:
    """The library, and the mean over the classes of the truth, with other objects in place of its own."""
    left = truth if objects is None else {**truth, "annotations": objects}
    found = evaluate(left, detections, kind, library=library, overlaps=[FOUND], by_size=False)
    by_class = dict(zip(found.category_ids, found.precisions_TRKA[0, :, :, 0].mean(axis=0).tolist(), strict=True))
    told = {given["category_id"] for given in detections}
    classes = {given["category_id"] for given in truth["annotations"] if not given.get("iscrowd")}
    values = [by_class[number] if by_class[number] > -1 else float(number not in told) for number in classes]
    return found.library, float(np.mean(values)) if values else -1.0


@dataclass(frozen=True, kw_only=True)
class _Split:
    verdicts: list[Verdict]
    """Of each detection."""
    targets: list[int]
    """Of each detection, the object that it finds, or would with its class or place put right; else -1."""
    missed: set[int]
    shapes: list[Any]
    """Box, or mask as run lengths, of each object."""


def _split(truth: Json, detections: Sequence[Json], kind: Kind, library: LibraryName | None) -> _Split:
    found = coco_library(library)
    with redirect_stdout(io.StringIO()):
        objects, results = prepare(truth, detections, kind, found)
    shapes, told_shapes = _shapes(objects, kind), _shapes(results, kind)
    there, told = _by_picture(truth["annotations"]), _by_picture(detections)
    verdicts: list[Verdict] = ["ignored"] * len(detections)
    targets = [NOTHING] * len(detections)
    for picture, numbers in told.items():
        ranked = sorted(numbers, key=lambda number: -detections[number]["score"])
        near = there.get(picture, [])
        crowd_G = np.array([bool(truth["annotations"][place].get("iscrowd")) for place in near], np.bool_)
        overlaps_DG = np.zeros((len(ranked), len(near)))
        if near:
            ours, theirs = [told_shapes[number] for number in ranked], [shapes[place] for place in near]
            overlaps_DG = np.asarray(found.masks.iou(ours, theirs, crowd_G.astype(int).tolist()))
        classes_D = np.array([detections[number]["category_id"] for number in ranked])
        classes_G = np.array([truth["annotations"][place]["category_id"] for place in near])
        for number, (verdict, target) in zip(ranked, _judge(overlaps_DG, classes_D, classes_G, crowd_G), strict=True):
            verdicts[number], targets[number] = verdict, near[target] if target != NOTHING else NOTHING
    plain = {place for place, given in enumerate(truth["annotations"]) if not given.get("iscrowd")}
    return _Split(verdicts=verdicts, targets=targets, missed=plain - set(targets), shapes=shapes)


def _shapes(dataset: Any, kind: Kind) -> list[Any]:
    """Boxes or run lengths, in the order of their numbers."""
    annotations = dataset.dataset["annotations"]
    if kind == "segm":
        return [dataset.annToRLE(given) for given in annotations]
    return [[float(value) for value in given["bbox"]] for given in annotations]


def _by_picture(annotations: Sequence[Json]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, given in enumerate(annotations):
        places.setdefault(given["image_id"], []).append(place)
    return places


def _judge(
    overlaps_DG: Numbers, classes_D: NDArray[Any], classes_G: NDArray[Any], crowd_G: NDArray[np.bool_]
) -> Iterator[tuple[Verdict, int]]:
    """What each detection of a picture is, best first, and the object that it finds or should have found."""
    free_G = ~crowd_G
    seen: Counter[int] = Counter()
    for overlaps_G, of_class in zip(overlaps_DG, classes_D.tolist(), strict=True):
        same_G = classes_G == of_class
        own_G, others_G = np.where(same_G & ~crowd_G, overlaps_G, 0), np.where(same_G | crowd_G, 0, overlaps_G)
        able_G = np.where(free_G, own_G, 0)
        own, others = own_G.max(initial=0), others_G.max(initial=0)
        seen[of_class] += 1
        if seen[of_class] > MOST:
            yield "ignored", NOTHING
        elif able_G.max(initial=0) >= FOUND:
            finds = len(able_G) - 1 - int(able_G[::-1].argmax())  # of equal ones the last, as the libraries have it
            free_G[finds] = False
            yield "right", finds
        elif (overlaps_G[same_G & crowd_G] >= FOUND).any():
            yield "ignored", NOTHING
        elif NEAR <= own < FOUND:
            yield "place", int(own_G.argmax())
        elif others >= FOUND:
            yield "class", int(others_G.argmax())
        elif own >= FOUND:
            yield "duplicate", NOTHING
        else:
            yield "both" if others >= NEAR else "background", NOTHING


def _put_right(
    error: ErrorKind, truth: Json, detections: Sequence[Json], kind: Kind, split: _Split
) -> list[dict[str, Any]]:
    """The detections with one kind of error corrected, or taken away."""
    wrong = [verdict == error for verdict in split.verdicts]
    if error not in ("class", "place"):
        return [{**given} for given, out in zip(detections, wrong, strict=True) if not out]
    best: dict[int, int] = {}
    for number in sorted(range(len(detections)), key=lambda number: -detections[number]["score"]):
        if wrong[number] or split.verdicts[number] == "right":
            best.setdefault(split.targets[number], number)
    mended = []
    for number, (given, verdict, target) in enumerate(zip(detections, split.verdicts, split.targets, strict=True)):
        if (wrong[number] or verdict == "right") and best[target] != number:
            continue
        right: dict[str, Any] = {}
        if wrong[number] and error == "class":
            right = {"category_id": truth["annotations"][target]["category_id"]}
        elif wrong[number]:
            right = {FIELDS[kind]: split.shapes[target]}
        mended.append({**given, **right})
    return mended
