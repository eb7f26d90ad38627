"""What a comparison of starts leaves on disk, a run for each start, schedule and seed; read without torch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagwise.base.errors import UsageError
from tagwise.base.files import read_json
from tagwise.base.settings import difference, from_plain
from tagwise.localise.localisation import LocalisationReport, compare_localisation
from tagwise.measure.detection_errors import ERROR_KINDS
from tagwise.transfer.records import COMPARISON_FILE, SCRATCH

LOST = {kind: f"AP50 lost to {kind}" for kind in ERROR_KINDS}
"""The error split among a run's numbers: AP50 that is gained if this kind of error alone is put right."""


@dataclass(frozen=True, kw_only=True)
class LocatedRun:
    """One training of a start, and what was measured of it."""

    start: str
    length: float
    """Of the schedule, as a multiple of the plan's."""
    seed: int
    images: int
    """Pictures seen in training."""
    numbers: dict[str, float]
    """By name, as of ``numbers_of_run``; the error split, of a segmenter mean IoU and pixel accuracy."""
    folder: str
    """Beneath the comparison's."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LocatedComparison:
    """Starts of one detector or segmenter, trained alike."""

    head: str
    target: str
    classes: tuple[str, ...]
    train_pictures: int
    test_pictures: int
    test_digest: str
    groups: dict[str, str]
    """Of each start its design: only those of one design are held against each other."""
    plans: dict[str, Any]
    """Of each start, plain."""
    runs: tuple[LocatedRun, ...]

    @property
    def lengths(self) -> list[float]:
        """Of the schedules, shortest first."""
        return sorted({run.length for run in self.runs})

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Which start is held against which: scratch first, then models in their order."""
        pairs = itertools.combinations(self.groups, 2)
        return [(first, second) for first, second in pairs if self.groups[first] == self.groups[second]]

    def report(self, first: str, second: str, length: float) -> LocalisationReport | None:
        """Two starts on one schedule, by the seeds that both have; None where there is none."""
        found = [self._by_seed(start, length) for start in (first, second)]
        seeds = sorted({*found[0]} & {*found[1]})
        if not seeds:
            return None
        own, other = ({seed: runs[seed].numbers for seed in seeds} for runs in found)
        return compare_localisation(own, other, names=(first, second))

    def reports(self, first: str, second: str) -> dict[float, LocalisationReport]:
        """The same by length of the schedule, shortest first."""
        found = {length: self.report(first, second, length) for length in self.lengths}
        return {length: report for length, report in found.items() if report is not None}

    def unlike(self, first: str, second: str) -> list[str]:
        """Settings in which the plans of two starts differ beside the start."""
        plans = (
            {name: value for name, value in self.plans[start].items() if name != "start"} for start in (first, second)
        )
        return difference(*plans)

    def _by_seed(self, start: str, length: float) -> dict[int, LocatedRun]:
        return {run.seed: run for run in self.runs if (run.start, run.length) == (start, length)}


def compares_located(folder: Path) -> bool:
    """Whether ``compare --head`` wrote the folder."""
    path = folder / COMPARISON_FILE
    return path.is_file() and "head" in read_json(path).get("about", {})


def read_located(folder: Path) -> LocatedComparison:
    """What ``compare --head`` left in a folder.

    Raises:
        UsageError: There is no comparison in it, or no run yet.
    """
    state = read_json(folder / COMPARISON_FILE)
    if not state["runs"]:
        raise UsageError(f"{folder} has no run yet; give the same compare command again to go on.")
    about = state["about"]
    return LocatedComparison(
        head=about["head"],
        target=about["target"],
        classes=tuple(about["classes"]),
        train_pictures=about["train_pictures"],
        test_pictures=about["test_pictures"],
        test_digest=about["test_digest"],
        groups={name: start["group"] for name, start in about["starts"].items()},
        plans={name: start["plan"] for name, start in about["starts"].items()},
        runs=tuple(from_plain(LocatedRun, run, str(folder)) for run in state["runs"]),
    )


def scratch_name(group: str, groups: int) -> str:
    """What the rival from scratch is called; with its design where there are several."""
    return SCRATCH if groups == 1 else f"{SCRATCH} {group}"
