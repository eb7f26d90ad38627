"""Trainings that are killed again and again: is the end what it would have been without?

A training of seconds, with a checkpoint every other step and a log line for each, is ended by SIGKILL at random
instants and started again by the same command until it is finished: alone with packed pictures, alone with pictures
that a worker reads from their files, and in two processes. Of two, either one dies, which torchrun starts again, or the
whole job, which is given again. Needs Linux, for it finds processes in /proc.

    python -m bench.soak --kills 50

The exit code is 1 if losses, sampler position, optimiser, running mean, model, or the checkpoints that stay for good
differ from those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from numpy.random import Generator

from bench.record import REPOSITORY, write_record
from tagwise.base import rng
from tagwise.base.files import TEMPORARY_PREFIX
from tagwise.base.progress import progress
from tagwise.corpus.drawn.files import write_target
from tagwise.training.checkpoints import KEPT, newest_checkpoint
from tagwise.training.models import MODEL_FILE
from tagwise.training.runs import read_run

BATCH, STEPS = 16, 150
IMAGES = BATCH * STEPS
DESIGN = "resnext11_4x4d_small"
TRAINING = (
    *("--design", DESIGN, "--resolution", "16", "--batch", str(BATCH), "--images", str(IMAGES)),
    *("--set", "precision=float32", "--set", "ema=0.9", "--device", "cpu", "--workers", "1"),
    *("--holdout", "1/class", "--keep-every", "20"),
)
TRAIN_PER_CLASS = 4
"""Pictures; three are left of each of ten classes and fill about two batches, so that most checkpoints fall inside an
epoch's order."""
PARTS = ((1, "packed", 0.3), (1, "files", 0.3), (2, "packed", 0.4))
"""Processes, how they are fed, and the share of the kills that falls on them."""
START_FRACTION = 0.2
"""Share of the kills that come while the job starts or takes up its checkpoint."""
MOST_STEPS = 25
"""Between two other kills."""
STEP_SECONDS = 0.05
"""A kill comes at most so much later than the checkpoint that it waited for: about a step with its own."""
AIMED_FRACTION = 0.7
"""Share of the other kills that wait for a half-written checkpoint."""
WRITE_SECONDS = 0.005
"""That they then let pass at most."""
PATIENCE_SECONDS = 300.0


class Job:
    """A training under way, in one process or in several under torchrun.

    Args:
        folder: Of the run; the pictures lie beside it.
        processes: That share each batch.
        feed: How pictures come to them.
    """

    def __init__(self, folder: Path, processes: int, feed: str) -> None:
        self.folder, self.processes = folder, processes
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
        launcher = (*torchrun, "--max-restarts", "1000") if processes > 1 else ()
        words = ("-m", "tagwise", "train", str(folder.parent / "target"), "-o", str(folder), *TRAINING)
        self._words = [sys.executable, *launcher, *words, "--set", f"feed={feed}"]
        self.start()

    def start(self) -> None:
        """Gives the command."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
        with self._errors.open("wb") as errors:
            self._main = subprocess.Popen(self._words, env=environment, stdout=subprocess.DEVNULL, stderr=errors)

    def finish(self) -> str | None:
        """Waits for the end; returns what went wrong."""
        code = self._main.wait(PATIENCE_SECONDS)
        said = self._errors.read_text("utf-8").splitlines()
        return f"exit code {code}, {said[-1] if said else 'without a word'}" if code else None

    @property
    def ended(self) -> bool:
        return self._main.poll() is not None

    @property
    def seen(self) -> int:
        """Pictures of the newest checkpoint."""
        return max((int(path.stem) for path in self.folder.glob("checkpoints/*.pt")), default=0)

    @property
    def writing(self) -> bool:
        """Whether there is a half-written checkpoint."""
        return any((self.folder / "checkpoints").glob(f"{TEMPORARY_PREFIX}*"))

    def kill(self, victim: int | None) -> bool:
        """SIGKILL to one worker, or to all that there is where it is None or not there yet.

        Returns:
            Whether a half-written checkpoint was left.
        """
        os.kill(self._main.pid, signal.SIGSTOP)  # a launcher must start nobody meanwhile
        workers = _children(self._main.pid)
        dead = workers[victim : victim + 1] if victim is not None else []
        whole = not dead
        if whole:
            dead = [self._main.pid, *workers]
        for process in dead:
            os.kill(process, signal.SIGKILL)
        while any(map(_lives, dead)):
            time.sleep(0.001)
        torn = (whole or victim == 0) and self.writing  # the first of the workers writes
        if whole:
            self._main.wait()
            self.start()
        else:
            os.kill(self._main.pid, signal.SIGCONT)
        return torn

    @property
    def _errors(self) -> Path:
        return self.folder.with_suffix(".err")


def _children(process: int) -> list[int]:
    """In the order in which they were started, which is that of the ranks."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()]


def _lives(process: int) -> bool:
    """False for the dead whom nobody has waited for, too."""
    try:
        status = Path(f"/proc/{process}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def walk(job: Job, draw: Generator, most: int, start_seconds: float) -> Counter[str]:
    """Kills the job on its way, at most so many times; counts the kills and where they hit."""
    hits: Counter[str] = Counter()
    while hits["kills"] < most and job.seen < IMAGES:
        starting = draw.random() < START_FRACTION
        if starting:
            time.sleep(draw.uniform(0, start_seconds))
        else:
            _wait_for_step(job, draw)
        if job.ended:
            break
        victim = int(draw.integers(job.processes + 1)) if job.processes > 1 else None
        torn = job.kill(victim)
        hits.update({"kills": 1, "inside_a_checkpoint_write": int(torn), "in_the_start": int(starting)})
    return hits


def _wait_for_step(job: Job, draw: Generator) -> None:
    """Waits for an instant some steps on, mostly for one inside a write of a checkpoint."""
    _reach(job, job.seen + BATCH * int(draw.integers(1, MOST_STEPS)))
    aimed = draw.random() < AIMED_FRACTION
    while aimed and not job.writing and not job.ended:
        time.sleep(0.0005)
    time.sleep(draw.uniform(0, WRITE_SECONDS if aimed else STEP_SECONDS))


def _reach(job: Job, seen: int) -> None:
    """Waits for a checkpoint of so many pictures, or for the end."""
    while job.seen < min(seen, IMAGES) and not job.ended:
        time.sleep(0.002)


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished run is compared by."""
    log = read_run(folder).log()
    last = newest_checkpoint(folder / "checkpoints")
    assert last is not None
    kept = {path.name: torch.load(path) for path in sorted((folder / "checkpoints" / KEPT).iterdir())}
    return {
        "losses": [(line.loss, line.excess_loss, line.rate) for line in log],
        "sampler position": [*((line.seen, line.epoch) for line in log), last["seen"]],
        "optimiser": _bytes(last["optimiser"]),
        "running mean": _bytes(last["mean"]),
        "model": (folder / MODEL_FILE).read_bytes(),
        "kept checkpoints": {name: (state["seen"], _bytes(state["net"])) for name, state in kept.items()},
    }


def _bytes(state: dict[str, Any]) -> bytes:
    written = io.BytesIO()
    torch.save(state, written)
    return written.getvalue()


def soak(folder: Path, processes: int, feed: str, kills: int, draw: Generator) -> dict[str, Any]:
    """Runs on so many processes until all kills are done; counts, and what differed."""
    plain = Job(folder / f"plain-{processes}-{feed}", processes, feed)
    began = time.monotonic()
    _reach(plain, BATCH)
    start_seconds = time.monotonic() - began
    if fault := plain.finish():
        raise SystemExit(fault)
    expected = outcome(plain.folder)
    assert len(expected["losses"]) == STEPS, "a line for each step"
    hits: Counter[str] = Counter()
    faults: list[str] = []
    with progress(f"killing {processes} processes" if processes > 1 else "killing 1 process", kills, "kills") as ticker:
        while hits["kills"] < kills and not faults:
            job = Job(folder / f"run-{processes}-{feed}-{hits['runs']}", processes, feed)
            found = walk(job, draw, kills - hits["kills"], start_seconds)
            faults += [f"{job.folder.name}: {fault}" for fault in _faults(job, expected)]
            hits.update({**found, "runs": 1})
            ticker.advance(found["kills"], faults=len(faults))
    return {"processes": processes, "feed": feed, **hits, "steps_a_run": STEPS, "faults": faults}


def _faults(job: Job, expected: dict[str, Any]) -> list[str]:
    if fault := job.finish():
        return [fault]
    found = outcome(job.folder)
    return [f"{name} differs" for name in expected if found[name] != expected[name]]


def main() -> None:
    """Kills, compares and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        write_target(Path(folder) / "target", train_per_class=TRAIN_PER_CLASS, test_per_class=1, seed=arguments.seed)
        parts = [
            soak(
                Path(folder),
                processes,
                feed,
                round(share * arguments.kills),
                rng.stream(arguments.seed, "kills", place),
            )
            for place, (processes, feed, share) in enumerate(PARTS)
        ]
    equal = not any(part["faults"] for part in parts)
    results = {"equal": equal, "minutes": round((time.monotonic() - began) / 60, 1), "parts": parts}
    print(write_record("soak", results, packages=("tagwise", "torch")))
    sys.exit(not equal)


if __name__ == "__main__":
    main()
