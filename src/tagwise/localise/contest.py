"""Starts of one detector or segmenter against each other, in as many sittings as it takes.

The protocol of a localisation report: same detector, same schedule, same order of the data, several seeds, a net from
scratch always beside, and shorter schedules as well, for gains may vanish with training.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from tagwise.base.files import claim_alone, write_json
from tagwise.base.progress import say
from tagwise.base.settings import from_plain, to_plain
from tagwise.localise.annotations import Annotations
from tagwise.localise.comparisons import LOST, LocatedComparison, LocatedRun, read_located
from tagwise.localise.knowing import proposals_recall, true_box_accuracy
from tagwise.localise.learning import train_run
from tagwise.localise.localisation import MEAN_IOU, PIXEL_ACCURACY, numbers_of_run
from tagwise.localise.models import LocatedModel, load_located
from tagwise.localise.target import LocatedTarget, digest_of
from tagwise.measure.detection import DetectionScores
from tagwise.training.checkpoints import Keep
from tagwise.training.models import Model
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.runs import Run, open_run
from tagwise.transfer.records import COMPARISON_FILE, open_comparison

RUNS_FOLDER = "runs"


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where trainings begin."""

    name: str
    model: Model | LocatedModel | None
    """None: from scratch."""
    group: str
    """Only starts of one design are held against each other."""
    plan: Plan
    """Of the whole schedule; the seed is each run's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedContest:
    """Which starts are trained how often."""

    head: str
    target: LocatedTarget
    """With a test part."""
    starts: tuple[Start, ...]
    lengths: tuple[float, ...]
    """Of the schedules, as multiples of the plan's; all of a schedule is stretched with it."""
    seeds: tuple[int, ...]
    device: torch.device
    score: Callable[[Run], dict[str, Any]]
    """Scores of a finished run on the test part, measured where they are missing."""
    workers: int | None = None

    def hold(self, out: Path, *, overwrite: bool = False) -> LocatedComparison:
        """Trains and measures what is left, and writes after every run; a run that was interrupted goes on.

        Seeds and lengths may be added to a comparison that is there.

        Raises:
            UsageError: ``out`` holds something else, or another comparison.
            Interrupted: SIGINT or SIGTERM; the state is saved.
            Diverged: A training's loss is no longer finite.
        """
        with claim_alone(out, COMPARISON_FILE, overwrite=overwrite):
            state = self._open(out)
            folders = _folders(self.starts)
            every = [(s, length, seed) for seed in self.seeds for length in self.lengths for s in self.starts]
            done = {(run["start"], run["length"], run["seed"]) for run in state["runs"]}
            for number, (start, length, seed) in enumerate(every, start=1):
                if (start.name, length, seed) in done:
                    continue
                say(f"run {number} of {len(every)}: {start.name}, {length:g} of the schedule, seed {seed}")
                state["runs"].append(to_plain(self._run(out, folders[start.name], start, length, seed)))
                write_json(out / COMPARISON_FILE, state)
        return read_located(out)

    def _run(self, out: Path, of_start: str, start: Start, length: float, seed: int) -> LocatedRun:
        began = time.monotonic()
        images = max(start.plan.batch, round(length * start.plan.images))
        plan = dataclasses.replace(start.plan, images=images, seed=seed)
        folder = f"{RUNS_FOLDER}/{of_start}-{length:g}-seed{seed}"
        run = open_run(out / folder, plan)
        if not run.finished:
            title = f"{start.name}, seed {seed}"
            train_run(
                run,
                self.target,
                start.model,
                self.device,
                Ranks(),
                keep=Keep(last=1),
                workers=self.workers,
                title=title,
            )
        numbers = self._numbers(run, self.score(run))
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # of many runs they are many times the models
        return LocatedRun(
            start=start.name,
            length=length,
            seed=seed,
            images=run.log()[-1].seen,
            numbers=numbers,
            folder=folder,
            seconds=round(time.monotonic() - began, 2),
        )

    def _numbers(self, run: Run, scores: dict[str, Any]) -> dict[str, float]:
        """What is compared of a run."""
        if run.plan.detector is None:
            pixels = scores["pixels"]
            told = {MEAN_IOU: pixels["mean_iou"], PIXEL_ACCURACY: pixels["pixel_accuracy"]}
            return {name: value for name, value in told.items() if value is not None}
        net, train = load_located(run.folder).net, cast("Annotations", self.target.train)
        test = cast("Annotations", self.target.test)
        parts = [part for part in scores.values() if isinstance(part, dict) and "class_agnostic" in part]
        numbers = numbers_of_run(
            [from_plain(DetectionScores, part, str(run.folder)) for part in parts],
            recall_at=proposals_recall(net, test, self.device),
            true_box_accuracy=true_box_accuracy(net, run.plan.detector, train, test, self.device),
        )
        return numbers | {name: scores["errors"]["gains"][kind] for kind, name in LOST.items()}

    def _open(self, out: Path) -> dict[str, Any]:
        target = self.target
        assert target.test is not None
        about = {
            "head": self.head,
            "target": target.train.name,
            "classes": list(target.classes),
            "train_pictures": len(target.train),
            "test_pictures": len(target.test),
            "train_digest": target.digest,
            "validation_digest": None if target.validation is None else digest_of(target.validation),
            "test_digest": digest_of(target.test),
            "starts": {start.name: _told(start) for start in self.starts},
        }
        return open_comparison(out, about, {"runs": []})


def _told(start: Start) -> dict[str, Any]:
    """A start as a difference between two comparisons names it; the data is told by its own digest."""
    return {"group": start.group, "plan": to_plain(start.plan) | {"data": None, "seed": None}}


def _folders(starts: Sequence[Start]) -> dict[str, str]:
    """A folder's name of each start's name, which differ even where capitals do not count."""
    found: dict[str, str] = {}
    for name in sorted(start.name for start in starts):
        plain, taken = re.sub(r"[^\w.-]+", "-", name), {folder.casefold() for folder in found.values()}
        tried = itertools.chain([plain], (f"{plain}-{number}" for number in itertools.count(2)))
        found[name] = next(one for one in tried if one.casefold() not in taken)
    return found
