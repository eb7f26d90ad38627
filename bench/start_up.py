"""How long ``tagwise --help`` takes, beside a bare interpreter and beside ``import torch``.

Run from the repository's root: ``python -m bench.start_up [ROUNDS]``. The contenders take turns, so that a busy
machine is busy for all of them; a first round that fills the disk cache is not counted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from bench.commands import children_seconds
from bench.record import REPOSITORY, write_record

CONTENDERS = {
    "bare interpreter": ("-c", "pass"),
    "tagwise --help": ("-c", "import sys; from tagwise.cli import main; sys.exit(main())", "--help"),
    "tagwise --version": ("-c", "import sys; from tagwise.cli import main; sys.exit(main())", "--version"),
    "import torch": ("-c", "import torch"),
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    wall: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    cpu: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):
        for name, arguments in CONTENDERS.items():
            wall_seconds, cpu_seconds = measured(arguments)
            if number:
                wall[name].append(wall_seconds)
                cpu[name].append(cpu_seconds)
    shares = [ours / theirs for ours, theirs in zip(cpu["tagwise --help"], cpu["import torch"], strict=True)]
    results = {
        "rounds": rounds,
        "wall_seconds": {name: spread(seconds) for name, seconds in wall.items()},
        "cpu_seconds": {name: spread(seconds) for name, seconds in cpu.items()},
        "help_fraction_of_import_torch": spread(shares),
    }
    path = write_record("start_up", results, packages=("torch", "cyclopts", "rich"))
    for name in CONTENDERS:
        medians = statistics.median(wall[name]), statistics.median(cpu[name])
        print(f"{name:<18} wall {medians[0]:.3f} s, processor {medians[1]:.3f} s")
    print(f"written to {path.relative_to(REPOSITORY)}")


def measured(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor seconds of one interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    began, before = time.perf_counter(), children_seconds()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began, children_seconds() - before


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"low_quartile": round(low, 4), "median": round(median, 4), "high_quartile": round(high, 4)}


if __name__ == "__main__":
    main()
