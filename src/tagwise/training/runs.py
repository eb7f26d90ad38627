"""A run folder: the plan, the log, the checkpoints and, at the end, the model.

The same plan given again continues or is finished; another plan is refused with the difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.files import FolderLock, claim_alone, read_json, write_json, write_text
from tagwise.base.progress import say
from tagwise.training.models import MODEL_FILE
from tagwise.training.plans import Plan

PLAN_FILE = "plan.json"
LOG_FILE = "log.jsonl"


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
    """This one alone differs from machine to machine."""


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
        path = self.folder / LOG_FILE
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        found = []
        for line in lines:
            try:
                found.append(settings.from_plain(LogLine, json.loads(line), str(path)))
            except (ValueError, UsageError):
                break
        return found

    def append(self, line: LogLine) -> None:
        """Adds a line to the log."""
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(settings.to_plain(line)) + "\n")

    def cut_log(self, seen: int) -> None:
        """Forgets the lines after ``seen`` pictures, which a continued run writes again."""
        kept = [line for line in self.log() if line.seen <= seen]
        write_text(self.folder / LOG_FILE, "".join(json.dumps(settings.to_plain(line)) + "\n" for line in kept))

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


def read_run(folder: Path) -> Run:
    """A run folder that is there.

    Raises:
        UsageError: It is none.
    """
    if not (folder / PLAN_FILE).is_file():
        raise UsageError(f"{folder} is no run: it holds no {PLAN_FILE}.")
    plan = settings.from_plain(Plan, read_json(folder / PLAN_FILE), str(folder / PLAN_FILE))
    return Run(folder=folder, plan=plan)
