"""What the quickstart's tags bought, over several seeds: corpus, target, nets and order all redrawn.

The rival of the quickstart's four minutes is trained again twice as long, as the search found
better; gains are over both.

    python -m bench.quickstart_seeds --seeds 3 4 5
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import tagwise
from bench.record import spread, write_record
from tagwise.base.devices import choose_device
from tagwise.base.settings import to_plain
from tagwise.transfer.comparison import Arena, judge_training
from tagwise.transfer.drawn import EPOCHS, drawn_scratch
from tagwise.transfer.opening import open_target
from tagwise.transfer.records import SCRATCH, Comparison
from tagwise.verbs.sections import best_gain

LONG_EPOCHS = 2 * EPOCHS


def run(seed: int, folder: Path) -> dict[str, Any]:
    """One quickstart: its scores and gains."""
    result = tagwise.quickstart(out=folder, seed=seed)
    comparison: Comparison = result.comparison
    chosen = best_gain(comparison)
    assert chosen is not None
    target = open_target(folder / "target", seed=seed)
    arena = Arena(target=target, pixels=folder / "comparison" / "pixels", device=choose_device(None), seed=seed)
    longer = judge_training(arena, "scratch", [drawn_scratch(arena, LONG_EPOCHS)], None, title="scratch, longer")
    assert target.test_digest == comparison.test_digest
    return {
        "seed": seed,
        "seconds": result.seconds,
        "labels": result.labels.labels,
        "rows": [to_plain(row) for row in comparison.rows],
        "gains": [to_plain(gain) for gain in comparison.gains],
        "chosen_by_hold_out": to_plain(chosen[1]),
        "longer_scratch": to_plain(longer.row),
        "test_digest": comparison.test_digest,
    }


def summarised(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds, of every score and of the gains over scratch."""
    summary: dict[str, Any] = {}
    for row in runs[0]["rows"]:
        entry = f"{row['model']}/{row['protocol']}"
        accuracies = [100 * _find(run["rows"], row)["accuracy"] for run in runs]
        summary[entry] = {"accuracy": spread(accuracies)}
        if row["model"] != SCRATCH:
            summary[entry]["gain"] = spread([_find(run["gains"], row)["points"] for run in runs])
            summary[entry]["gain_over_longer"] = spread(
                [100 * (_find(run["rows"], row)["accuracy"] - run["longer_scratch"]["accuracy"]) for run in runs]
            )
    summary["scratch, longer"] = {"accuracy": spread([100 * run["longer_scratch"]["accuracy"] for run in runs])}
    chosen = [_find(run["rows"], run["chosen_by_hold_out"])["accuracy"] for run in runs]
    summary["chosen by hold-out"] = {
        "gain": spread([run["chosen_by_hold_out"]["points"] for run in runs]),
        "gain_over_longer": spread(
            [100 * (found - run["longer_scratch"]["accuracy"]) for found, run in zip(chosen, runs, strict=True)]
        ),
    }
    for protocol in {row["protocol"] for row in runs[0]["rows"] if row["model"] != SCRATCH}:
        laws = {"sqrt": {"model": "sqrt", "protocol": protocol}, "natural": {"model": "natural", "protocol": protocol}}
        values = [
            100 * (_find(run["rows"], laws["sqrt"])["accuracy"] - _find(run["rows"], laws["natural"])["accuracy"])
            for run in runs
        ]
        summary[f"sqrt less natural/{protocol}"] = {"gain": spread(values)}
    return summary


def _find(entries: list[dict[str, Any]], like: dict[str, Any]) -> dict[str, Any]:
    return next(e for e in entries if (e["model"], e["protocol"]) == (like["model"], like["protocol"]))


def main() -> None:
    """Runs the seeds and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--keep", type=Path, help="folder for the quickstarts; a temporary one where not given")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="quickstart-seeds-"))
    runs = [run(seed, root / f"seed{seed}") for seed in arguments.seeds]
    record = {"summary": summarised(runs), "runs": runs}
    print(write_record("quickstart", record, packages=("tagwise", "torch", "numpy")))
    if arguments.keep is None:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
