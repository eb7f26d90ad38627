"""Scores of detectors and segmenters on a part of annotated pictures, as runs and evaluations keep them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tagwise.base import rng
from tagwise.base.settings import to_plain

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tagwise.localise.annotations import AnnotatedPicture, Annotations, LabelMaps
    from tagwise.localise.models import LocatedModel
    from tagwise.localise.windows import Windows
    from tagwise.localise.writing_detections import Detections
    from tagwise.measure.segmentation import Convention

    Map = NDArray[np.uint8]

SHOWN_PICTURES = 12
"""Of a part, drawn at random, on which truth and prediction are kept for a report."""
SHOWN_SCORE = 0.3
"""Least score of a detection that is told or drawn, where nothing is said."""
_PARTS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedScores:
    """What was measured on a part."""

    scores: dict[str, Any]
    """``boxes``, ``masks``, ``keypoints`` or ``pixels`` with their numbers, ``errors``, and ``said``: them in words."""
    results: list[dict[str, Any]] | None
    """COCO results of a detector."""
    shown: list[dict[str, Any]]
    """Pictures with what is true and what was found."""


def score_boxes(
    model: LocatedModel, part: Annotations, device: torch.device, told: Callable[[int], None] | None = None
) -> LocatedScores:
    """COCO's numbers of a detector, how its errors split, and some pictures.

    Raises:
        DataRefused: A picture cannot be read, or objects lack what is compared.
        UsageError: No COCO library is installed.
    """
    from tagwise.localise.locating import evaluate_boxes

    assert model.facts.detector is not None
    result = evaluate_boxes(model.net, part, model.facts.detector, device, told)
    scores: dict[str, Any] = {"test_pictures": len(part)}
    for one in result.scores:
        scores[_PARTS[one.kind]] = to_plain(one)
    errors = result.errors
    scores["errors"] = {"ap50": errors.ap50, "counts": errors.counts, "gains": errors.gains}
    scores["said"] = {_PARTS[one.kind]: one.said() for one in result.scores}
    shown = [
        _shown_objects(part.pictures[row], result.found[row], [one.name for one in part.categories])
        for row in _drawn(len(part))
    ]
    return LocatedScores(scores=scores, results=result.results, shown=shown)


def score_pixels(
    model: LocatedModel,
    part: LabelMaps,
    device: torch.device,
    told: Callable[[int], None] | None = None,
    *,
    windows: Windows | None = None,
    convention: Convention = "truth_or_prediction",
    each: Callable[[int, Map], None] | None = None,
) -> LocatedScores:
    """Scores of a segmenter, pixels pooled, and some pictures with their label maps.

    Args:
        model: A segmenter.
        part: Label maps whose classes are the model's.
        device: Where.
        told: Told how many pictures are done.
        windows: How pictures are looked at.
        convention: Over which classes the IoU is averaged.
        each: Given the place of each picture and the classes told of its pixels.

    Raises:
        DataRefused: A picture or map cannot be read.
    """
    from tagwise.localise.locating import evaluate_pixels
    from tagwise.localise.windows import Windows

    assert model.facts.sizing is not None
    drawn = set(_drawn(len(part)))
    maps: dict[int, Map] = {}

    def keep(row: int, labels_HW: Map) -> None:
        if row in drawn:
            maps[row] = labels_HW
        if each is not None:
            each(row, labels_HW)

    found = evaluate_pixels(
        model.net,
        part,
        model.facts.view,
        model.facts.sizing,
        windows or Windows(),
        device,
        convention=convention,
        each=keep,
        told=told,
    )
    scores = {
        "test_pictures": len(part),
        "pixels": {
            **asdict(found.scores),
            "classes": list(part.classes),
            "confusion": found.confusion_CC.tolist(),
        },
        "said": {"pixels": found.scores.said()},
    }
    shown = []
    for row in sorted(drawn):
        picture = part.pictures[row]
        truth_HW = picture.read_map()
        shown.append(
            {
                "place": picture.place.absolute().path,
                "name": picture.name,
                "classes": list(part.classes),
                "truth_runs": runs_of(truth_HW),
                "found_runs": runs_of(maps[row]),
                "size": [picture.height, picture.width],
            }
        )
    return LocatedScores(scores=scores, results=None, shown=shown)


def _drawn(pictures: int) -> list[int]:
    """The same pictures whichever model is scored."""
    drawn = rng.stream(0, "shown pictures").permutation(pictures)[:SHOWN_PICTURES]
    return sorted(drawn.tolist())


def _shown_objects(picture: AnnotatedPicture, found: Detections, classes: Sequence[str]) -> dict[str, Any]:
    sure = np.flatnonzero(found.scores_N >= SHOWN_SCORE)
    truth = {
        "boxes": picture.boxes_N4.round(2).tolist(),
        "labels": picture.categories_N.tolist(),
        "crowd": np.flatnonzero(picture.crowd_N).tolist(),
        "masks": [_plain(mask) for mask in picture.masks],
        "keypoints": None if picture.keypoints_NK3 is None else picture.keypoints_NK3.tolist(),
    }
    told = {
        "boxes": found.boxes_N4[sure].round(2).tolist(),
        "labels": found.labels_N[sure].tolist(),
        "scores": found.scores_N[sure].round(4).tolist(),
        "masks": [] if found.masks is None else [_plain(found.masks[row]) for row in sure],
        "keypoints": None if found.keypoints_NK3 is None else found.keypoints_NK3[sure].round(2).tolist(),
    }
    return {
        "place": picture.place.absolute().path,
        "name": picture.name,
        "classes": list(classes),
        "truth": truth,
        "found": told,
    }


def _plain(mask: Any) -> dict[str, Any] | None:
    return None if mask is None else {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}


def runs_of(labels_HW: Map) -> list[list[int]]:
    """A label map as pairs of label and length, row by row."""
    flat = labels_HW.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1 if len(flat) else 0))
    lengths = np.diff(starts, append=len(flat))
    return np.stack([flat[starts].astype(np.int64), lengths], 1).tolist()


def map_of(runs: list[list[int]], size: Sequence[int]) -> Map:
    """The label map, uint8 [H, W], of ``runs_of``."""
    pairs = np.array(runs, np.int64).reshape(-1, 2)
    return np.repeat(pairs[:, 0].astype(np.uint8), pairs[:, 1]).reshape(*size)
