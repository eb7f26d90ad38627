"""A run folder: the plan, the log, the checkpoints and, at the end, the model.

The same plan given again continues or is finished; another plan is refused with the difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.files import FolderLock, claim_alone, read_json, write_json, write_text
from tagwise.base.progress import say
from tagwise.training.models import MODEL_FILE
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks

PLAN_FILE = "plan.json"
LOG_FILE = "log.jsonl"
MACHINE_FILE = "machine.json"
"""What was found out on the machine where the run began, and holds for all of it."""
HELD_OUT_FILE = "held_out.jsonl"


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
    accuracy: float


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
        if changes := settings.difference(old, plan):
            raise UsageError(
                f"{folder} is the run of another plan ({'; '.join(changes[:6])}); "
                "give another -o, or --overwrite to begin anew."
            )
        say(f"{folder} is {'finished' if run.finished else 'continued'}: it has this very plan.")
    else:
        run.write(PLAN_FILE, plan)
    return run


def claim_run(folder: Path, plan: Plan, ranks: Ranks, *, overwrite: bool = False) -> Run:
    """``open_run`` for all processes of a training: the first claims the folder, the others read from it.

    Raises:
        UsageError: As ``open_run``; the processes have different plans, or cannot share out the batch evenly.
    """
    ranks.agree(settings.digest(plan), "plan")
    ranks.share(plan.batch)
    with ranks.first_alone():
        return open_run(folder, plan, overwrite=overwrite) if ranks.first else Run(folder=folder, plan=plan)


def read_run(folder: Path) -> Run:
    """A run folder that is there.

    Raises:
        UsageError: It is none.
    """
    if not (folder / PLAN_FILE).is_file():
        raise UsageError(f"{folder} is no run: it holds no {PLAN_FILE}.")
    plan = settings.from_plain(Plan, read_json(folder / PLAN_FILE), str(folder / PLAN_FILE))
    return Run(folder=folder, plan=plan)
