"""The localisation report: what one start of a net bought over another, told apart into what things are and where.

Both are trained alike (detector, schedule, order of the data) with the same three seeds or more, and their numbers are
compared seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tagwise.base.errors import DataRefused, UsageError
from tagwise.measure.coco import LibraryName
from tagwise.measure.detection import DetectionScores
from tagwise.measure.intervals import mean_and_sd, mean_interval
from tagwise.measure.matching import evaluate

LEAST_SEEDS = 3
"""Fewer give no verdict."""
PARTS = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}
"""What the numbers of each kind are called by."""
TRUE_BOX_ACCURACY = "class accuracy in true boxes"
"""Of a linear classifier on the features of the true boxes: what, with where given."""
MEAN_IOU, PIXEL_ACCURACY = "mean IoU", "pixel accuracy"
"""What the numbers of a segmenter are called by."""

Direction = Literal["up", "down", "unclear"]


def proposal_recall(
    truth: Mapping[str, Any],
    proposals: Sequence[Mapping[str, Any]],
    threshold: float,
    *,
    library: LibraryName | None = None,
) -> float:
    """Share of the objects that one of the 100 best proposals of their picture overlaps, each its own one (AR_100).

    Args:
        truth: A COCO dataset.
        proposals: COCO results; categories, if there are any, do not matter.
        threshold: IoU from which on an object is found, such as .5 and .75.
        library: The first that is installed, if None.

    Returns:
        0..1; -1 if there is no object.

    Raises:
        DataRefused: Something is missing, not finite or of an unknown picture.
        UsageError: No library is installed.
    """
    found = evaluate(truth, proposals, "bbox", library=library, overlaps=[threshold], by_size=False, merged=True)
    return float(found.recalls_TKAM[0, 0, 0, -1])


def numbers_of_run(
    scores: Sequence[DetectionScores],
    *,
    recall_at: Mapping[float, float] | None = None,
    true_box_accuracy: float | None = None,
) -> dict[str, float]:
    """What is compared of one run, by name: ``box AP50``, ``class-agnostic box AP``, ``proposal recall at 0.75``.

    Args:
        scores: Of boxes, and of masks or keypoints, if it tells any.
        recall_at: ``proposal_recall`` by its threshold.
        true_box_accuracy: Of a linear classifier on the features of the true boxes, 0..1.
    """
    numbers: dict[str, float] = {}
    for one in scores:
        part = PARTS[one.kind]
        numbers |= {f"{part} {name}": one.numbers[name] for name in one.class_agnostic}
        numbers |= {f"class-agnostic {part} {name}": value for name, value in one.class_agnostic.items()}
    numbers |= {f"proposal recall at {threshold:g}": value for threshold, value in (recall_at or {}).items()}
    return numbers | ({} if true_box_accuracy is None else {TRUE_BOX_ACCURACY: true_box_accuracy})


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over seeds."""

    mean: float
    sd: float | None
    """None of a single seed, as are the ends."""
    low: float | None
    """Low end of the 95 % interval of the mean."""
    high: float | None
    """High end."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A number of two starts, and their difference, seed by seed."""

    name: str
    first: Spread
    second: Spread
    difference: Spread
    """Second less first."""

    @property
    def direction(self) -> Direction:
        """``up`` or ``down`` only if the intervals of the two do not overlap."""
        if None in (self.first.low, self.second.low):
            return "unclear"
        if _above(self.second, self.first):
            return "up"
        return "down" if _above(self.first, self.second) else "unclear"


@dataclass(frozen=True, kw_only=True)
class LocalisationReport:
    """Two starts of the same detector."""

    first: str
    second: str
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]
    ratios: dict[str, float | None]
    """Of boxes, masks and keypoints, the localisation ratio: the gain of AP75 over that of AP50. About 1: both alike;
    below: more is known of what than of where. None: the interval of the gain of AP50 holds 0."""
    verdict: str
    """A sentence; that there is none, if intervals overlap or seeds are few."""

    def change(self, name: str) -> Change:
        """The change of a number.

        Raises:
            UsageError: It was not compared.
        """
        found = next((change for change in self.changes if change.name == name), None)
        if found is None:
            raise UsageError(f"{name!r} was not compared; there are {', '.join(one.name for one in self.changes)}.")
        return found


def compare_localisation(
    first: Mapping[int, Mapping[str, float]], second: Mapping[int, Mapping[str, float]], *, names: tuple[str, str]
) -> LocalisationReport:
    """Compares the runs of two starts.

    Args:
        first: By seed, ``numbers_of_run``.
        second: The same seeds of the other start.
        names: What the two are called.

    Returns:
        The changes of all numbers that every run has; -1, which stands for nothing to measure on, is none.

    Raises:
        DataRefused: Seeds differ, or there is no run, or no number that all have.
    """
    seeds = tuple(sorted(first))
    if seeds != tuple(sorted(second)) or not seeds:
        raise DataRefused(
            f"{names[0]} was run with the seeds {sorted(first)}, {names[1]} with {sorted(second)}; the same are needed."
        )
    runs = [*first.values(), *second.values()]
    shared = [name for name in runs[0] if all(run.get(name, -1) > -1 for run in runs)]
    if not shared:
        raise DataRefused(f"The runs of {names[0]} and {names[1]} have no number in common; evaluate them alike.")
    changes = {
        name: _change(name, [first[seed][name] for seed in seeds], [second[seed][name] for seed in seeds])
        for name in shared
    }
    return LocalisationReport(
        first=names[0],
        second=names[1],
        seeds=seeds,
        changes=tuple(changes.values()),
        ratios={part: _ratio(changes, part) for part in PARTS.values() if f"{part} AP50" in changes},
        verdict=_verdict(changes, names, len(seeds)),
    )


def _change(name: str, first: list[float], second: list[float]) -> Change:
    differences = [after - before for before, after in zip(first, second, strict=True)]
    return Change(name=name, first=_spread(first), second=_spread(second), difference=_spread(differences))


def _spread(values: list[float]) -> Spread:
    mean, sd = mean_and_sd(values)
    low, high = (None, None) if sd is None else mean_interval(values)
    return Spread(mean=mean, sd=sd, low=low, high=high)


def _above(higher: Spread, lower: Spread) -> bool:
    return higher.low is not None and lower.high is not None and higher.low > lower.high


def _ratio(changes: Mapping[str, Change], part: str) -> float | None:
    what, where = changes[f"{part} AP50"].difference, changes.get(f"{part} AP75")
    if where is None or what.low is None or what.high is None or what.low <= 0 <= what.high:
        return None
    return where.difference.mean / what.mean


def _verdict(changes: Mapping[str, Change], names: tuple[str, str], seeds: int) -> str:
    if seeds < LEAST_SEEDS:
        return f"No verdict: {seeds} seed{'s' if seeds > 1 else ''} of {LEAST_SEEDS} that it takes at least."
    if MEAN_IOU in changes:
        return _pixel_verdict(changes[MEAN_IOU], names)
    part = next((part for part in PARTS.values() if {f"{part} AP50", f"class-agnostic {part} AP"} <= {*changes}), None)
    if part is None:
        return "No verdict: AP50 and class-agnostic AP are not both known of all runs."
    what = changes.get(TRUE_BOX_ACCURACY, changes[f"{part} AP50"])
    where = changes[f"class-agnostic {part} AP"]
    if what.direction == where.direction == "unclear":
        return f"No verdict: the intervals of {names[0]} and {names[1]} overlap, of {what.name} and of {where.name}."
    return (
        f"{names[1]} against {names[0]}: classification {what.direction} ({_said(what)}), "
        f"localisation {where.direction} ({_said(where)})."
    )


def _pixel_verdict(change: Change, names: tuple[str, str]) -> str:
    """Of a segmenter, in which what and where are one."""
    if change.direction == "unclear":
        return f"No verdict: the intervals of {names[0]} and {names[1]} overlap, of {change.name}."
    return f"{names[1]} against {names[0]}: segmentation {change.direction} ({_said(change)})."


def _said(change: Change) -> str:
    overlap = "; the intervals overlap" if change.direction == "unclear" else ""
    return f"{change.name} {change.first.mean:.3f} to {change.second.mean:.3f}{overlap}"
