"""Detectors and segmenters from scratch on small real sets, in minutes on two cores, with three seeds.

The sets lie in the folder ``locate`` and come from elsewhere. Every run is one command of the docs.

    python -m bench.locate FOLDER_WITH_DATA [TRIAL ...]

The exit code is 1 if a trial that ran stays below its threshold in any seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.commands import link_data, run_once
from bench.record import read_record, spread, write_record

SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A command, and what each of its seeds reaches."""

    target: str
    flags: str
    measure: tuple[str, ...]
    """Where in the scores the number stands that is held to the threshold."""
    threshold: float
    """What every seed has to reach; never below what a first trial by hand had."""


TRIALS = {
    "shapes-boxes": Trial(
        target="locate/shapes",
        flags="--head faster",
        measure=("boxes", "numbers", "AP50"),
        threshold=0.85,
    ),
    "shapes-pixels": Trial(
        target="locate/shapes",
        flags="--head fcn",
        measure=("pixels", "mean_iou"),
        threshold=0.6,
    ),
    "cells-boxes": Trial(
        target="locate/cells",
        flags="--head faster --images 2460",
        measure=("boxes", "numbers", "AP50"),
        threshold=0.6,
    ),
    "nuclei-pixels": Trial(
        target="locate/nuclei",
        flags="--head fcn",
        measure=("pixels", "mean_iou"),
        threshold=0.8,
    ),
    "shapes-boxes-quick": Trial(
        target="locate/shapes",
        flags="--head faster --images 750",
        measure=("boxes", "numbers", "AP50"),
        threshold=0.474,
    ),
    "shapes-pixels-quick": Trial(
        target="locate/shapes",
        flags="--head fcn --images 2250",
        measure=("pixels", "mean_iou"),
        threshold=0.196,
    ),
    "cells-boxes-quick": Trial(
        target="locate/cells",
        flags="--head faster --images 410",
        measure=("boxes", "numbers", "AP50"),
        threshold=0.467,
    ),
    "nuclei-pixels-quick": Trial(
        target="locate/nuclei",
        flags="--head fcn --images 400",
        measure=("pixels", "mean_iou"),
        threshold=0.766,
    ),
}
"""The quick ones take about the processor's seconds of a first trial by hand, whose scores are their thresholds."""


def main() -> None:
    """Runs trials that are not done yet, and writes the record of all that there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("trials", nargs="*", help=", ".join(TRIALS))
    parser.add_argument("--keep", type=Path, help="folder to work in, where it also goes on")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="locate-"))
    link_data(arguments.data, folder)
    record = read_record("locate")
    results: dict[str, Any] = {} if record is None else record["results"]
    for name in arguments.trials or TRIALS:
        results[name] = _measured(name, TRIALS[name], folder)
        print(write_record("locate", results, packages=("tagwise", "torch", "torchvision", "numpy", "pycocotools")))
    sys.exit(any(not results[name]["reached"] for name in arguments.trials or TRIALS))


def _measured(name: str, trial: Trial, folder: Path) -> dict[str, Any]:
    runs = [
        run_once(f"train {trial.target} {trial.flags} --seed {seed} -o runs/{name}-{seed}", folder) for seed in SEEDS
    ]
    values = [_value(run["result"]["scores"], trial.measure) for run in runs]
    return {
        "measure": " ".join(trial.measure),
        "threshold": trial.threshold,
        "reached": min(values) >= trial.threshold,
        "value": spread(values),
        "minutes": spread([run["seconds"] / 60 for run in runs]),
        "cpu_minutes": spread([run["cpu_seconds"] / 60 for run in runs]),
        "runs": [_shortened(run) for run in runs],
    }


def _value(scores: dict[str, Any], measure: tuple[str, ...]) -> float:
    for name in measure:
        scores = scores[name]
    return float(scores)  # type: ignore[arg-type]


def _shortened(run: dict[str, Any]) -> dict[str, Any]:
    """Without the curves of each class, which a report draws."""
    scores = run["result"]["scores"]
    for part in ("boxes", "masks"):
        for category in scores.get(part, {}).get("categories", ()):
            for curve in ("precisions_50", "precisions_75"):
                category.pop(curve, None)
    return {name: run[name] for name in ("command", "seconds", "cpu_seconds")} | {"scores": scores}


if __name__ == "__main__":
    main()
