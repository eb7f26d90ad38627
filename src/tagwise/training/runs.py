"""A run folder: the plan, the log, the checkpoints and, at the end, the model.

The same plan given again continues or is finished; another plan is refused with the difference.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.files import TEMPORARY_PREFIX, FolderLock, claim_alone, read_json, write_json, write_text
from tagwise.base.progress import say
from tagwise.training.models import MODEL_FILE
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks

PLAN_FILE = "plan.json"
LOG_FILE = "log.jsonl"
MACHINE_FILE = "machine.json"
"""What was found out on the machine where the run began, and holds for all of it."""
HELD_OUT_FILE = "held_out.jsonl"
MEMORY_SETTINGS = ("accumulate", "recompute")
"""They may change when a run goes on, for the day that its GPU turns out to be too small."""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """What was measured over a stretch of a training."""

    seen: int
    """Pictures seen at the end of the stretch."""
    epoch: float
    """Epochs of the corpus begun, in fractions."""
    loss: float
    """Mean over the stretch, in nats."""
    excess_loss: float
    """Loss above the least that any net could reach."""
    rate: float
    """Learning rate of the stretch's last step."""
    images_per_second: float
    """This one and the next alone differ from machine to machine."""
    waiting_fraction: float = 0.0
    """Share of the time in which there were no pictures to learn from."""


@dataclass(frozen=True, kw_only=True)
class HeldOutLine:
    """What was measured on held-out pictures, after an epoch."""

    seen: int
    """Pictures seen in training."""
    epoch: float
    score: float
    """Accuracy of classes, AP of boxes, mean IoU of pixels: what the best checkpoint is chosen by."""


L = TypeVar("L", LogLine, HeldOutLine)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder with its plan."""

    folder: Path
    plan: Plan
    lock: FolderLock | None = None
    """Of a run that is being written."""

    @property
    def finished(self) -> bool:
        """Whether the model is there."""
        return (self.folder / MODEL_FILE).is_file()

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.folder / "checkpoints"

    def log(self) -> list[LogLine]:
        """The lines so far; a torn last line is left out."""
        return self._lines(LOG_FILE, LogLine)

    def held_out(self) -> list[HeldOutLine]:
        """What was measured on held-out pictures so far."""
        return self._lines(HELD_OUT_FILE, HeldOutLine)

    def append(self, line: LogLine | HeldOutLine) -> None:
        """Adds a line to its file."""
        name = LOG_FILE if isinstance(line, LogLine) else HELD_OUT_FILE
        with (self.folder / name).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(settings.to_plain(line)) + "\n")

    def cut_log(self, seen: int) -> None:
        """Forgets the lines after ``seen`` pictures, which a continued run writes again."""
        for name, lines in ((LOG_FILE, self.log()), (HELD_OUT_FILE, self.held_out())):
            kept = [json.dumps(settings.to_plain(line)) + "\n" for line in lines if line.seen <= seen]
            if kept or (self.folder / name).is_file() or name == LOG_FILE:
                write_text(self.folder / name, "".join(kept))

    def _lines(self, name: str, kind: type[L]) -> list[L]:
        path = self.folder / name
        found: list[L] = []
        for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
            try:
                found.append(settings.from_plain(kind, json.loads(line), str(path)))
            except (ValueError, UsageError):
                break
        return found

    def write(self, name: str, value: Any) -> None:
        """Writes a JSON file into the folder."""
        write_json(self.folder / name, settings.to_plain(value))

    def read(self, name: str) -> Any:
        """Reads a JSON file of the folder, None where it is not there."""
        path = self.folder / name
        return read_json(path) if path.is_file() else None


def open_run(folder: Path, plan: Plan, *, overwrite: bool = False) -> Run:
    """Claims the folder for the plan.

    Raises:
        UsageError: The folder holds something else or the run of another plan, or another process writes it.
    """
    lock = claim_alone(folder, PLAN_FILE, overwrite=overwrite)
    run = Run(folder=folder, plan=plan, lock=lock)
    if (folder / PLAN_FILE).is_file():
        old = settings.from_plain(Plan, read_json(folder / PLAN_FILE), str(folder / PLAN_FILE))
        changes = settings.difference(old, plan)
        free = () if run.finished else MEMORY_SETTINGS
        if settings.difference(old, replace(plan, **{name: getattr(old, name) for name in free})):
            raise UsageError(
                f"{folder} is the run of another plan ({'; '.join(changes[:6])}); "
                "give another -o, or --overwrite to begin anew."
            )
        told = f"but for {'; '.join(changes)}, it has this plan" if changes else "it has this very plan"
        say(f"{folder} is {'finished' if run.finished else 'continued'}: {told}.")
        if not changes:
            return run
    run.write(PLAN_FILE, plan)
    return run


def claim_run(folder: Path, plan: Plan, ranks: Ranks, *, overwrite: bool = False) -> Run:
    """``open_run`` for all processes of a training: the first claims the folder, the others read from it.

    Raises:
        UsageError: As ``open_run``; the processes have different plans, cannot share out the batch evenly, cannot
            cut their shares into so many slices, or do not all see the folder.
    """
    _refuse_other_plans(plan, ranks)
    share = ranks.share(plan.batch)
    if plan.accumulate > share:
        raise UsageError(
            f"The {share} pictures of a batch that a process has cannot be cut into {plan.accumulate} slices; give "
            f"--set accumulate={share} at most, or a larger --batch."
        )
    with ranks.first_alone():
        run = open_run(folder, plan, overwrite=overwrite) if ranks.first else Run(folder=folder, plan=plan)
    _refuse_unseen(folder, ranks)
    return run


def _refuse_other_plans(plan: Plan, ranks: Ranks) -> None:
    plans = ranks.gathered(settings.to_plain(plan))
    for rank, other in enumerate(plans):
        if changes := settings.difference(plans[0], other):
            raise UsageError(
                f"Process {rank} has another plan than process 0 ({'; '.join(changes[:6])}); give all of them one "
                "command, the same files and the same version."
            )


def _refuse_unseen(folder: Path, ranks: Ranks) -> None:
    """Tries whether all processes see what the first one writes; a new name, for no cache knows it yet."""
    mark = folder / f"{TEMPORARY_PREFIX}{ranks.gathered(uuid.uuid4().hex)[0]}"
    if ranks.first:
        mark.touch()
    ranks.wait()
    seen = ranks.gathered(mark.exists())
    if ranks.first:
        mark.unlink()
    if not all(seen):
        raise UsageError(
            f"Process {seen.index(False)} does not see {folder}, which process 0 writes; give all of them one -o, and "
            "have it, the corpus and the label space on a file system that all machines see."
        )


def read_run(folder: Path) -> Run:
    """A run folder that is there.

    Raises:
        UsageError: It is none.
    """
    if not (folder / PLAN_FILE).is_file():
        raise UsageError(f"{folder} is no run: it holds no {PLAN_FILE}.")
    plan = settings.from_plain(Plan, read_json(folder / PLAN_FILE), str(folder / PLAN_FILE))
    return Run(folder=folder, plan=plan)
