"""Whether scratch's search on real targets stopped too early: what it chose once more, four times as long.

Every comparison of a road of ``bench.curves`` is written again with the longer rival in scratch's place. FOLDER is
where ``python -m bench.curves ROAD DATA --keep FOLDER`` has been; what is finished stands in ``ROAD/longer`` there.

    python -m bench.longer_scratch clothing FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from bench.curves import ROADS, scores_of
from bench.record import write_record
from tagwise.base.files import read_json, write_json
from tagwise.base.settings import from_plain, to_plain
from tagwise.training.plans import Plan
from tagwise.transfer.comparison import Arena, judge_training
from tagwise.transfer.contest import kept_of
from tagwise.transfer.opening import open_target
from tagwise.transfer.records import COMPARISON_FILE, SCRATCH, read_comparison
from tagwise.transfer.targets import Target

TIMES, MOST_SEEDS = 4, 10
ENTRY = f"{SCRATCH}/train"


def open_road(road: str, folder: Path) -> Target:
    """The target of a road, as the command of its comparisons opens it."""
    if road == "emoji":
        table, test = folder / "emoji" / "train.csv", folder / "emoji" / "test.csv"
        return open_target(table, test=test, picture_column="twemoji_image", class_column="group")
    if road == "types":
        table, test = folder / "types" / "train.csv", folder / "types" / "test.csv"
        return open_target(table, test=test, picture_column="image", class_column="articleType")
    return open_target(folder / {"clothing": "clothing_target", "cifar": "cifar10/lossless"}[road])


def main() -> None:
    """Trains the longer rivals and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("road", choices=ROADS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    seeds = [
        seed for seed in range(MOST_SEEDS) if (arguments.folder / arguments.road / f"comparison-all-{seed}").is_dir()
    ]
    places = [(labelled, seed) for seed in seeds for labelled in ROADS[arguments.road].labelled]
    points = [_point(arguments.road, arguments.folder, labelled, seed) for labelled, seed in places]
    record = {"times": TIMES, "points": points, "minutes": sum(point["seconds"] for point in points) / 60}
    print(write_record(f"longer_scratch_{arguments.road}", record, packages=("tagwise", "torch", "numpy", "pillow")))


def _point(road: str, folder: Path, labelled: int | None, seed: int) -> dict[str, Any]:
    name = f"comparison-{labelled or 'all'}-{seed}"
    out = folder / road / "longer" / name
    if not (out / COMPARISON_FILE).is_file():
        target = open_road(road, folder)
        target = target if labelled is None else target.few_labelled(labelled, seed)
        state = read_json(folder / road / name / COMPARISON_FILE)
        state["examples"] = []
        state["scores"][ENTRY] = _longer(target, state, out.parent / "pixels")
        write_json(out / COMPARISON_FILE, state)
    comparison = to_plain(read_comparison(out))
    seconds = next(row["seconds"] for row in comparison["rows"] if row["model"] == SCRATCH)
    return {"seed": seed, "labelled": labelled, "seconds": seconds, **scores_of(comparison)}


def _longer(target: Target, state: dict[str, Any], pixels: Path) -> dict[str, Any]:
    """Scratch's entry of a comparison, of a net that was trained longer on the same pictures."""
    about, chosen = state["about"], state["scores"][ENTRY]["row"]["settings"]
    told = {**about["plans"][SCRATCH]["plan 1"], **chosen, "images": TIMES * chosen["images"]}
    plan = from_plain(Plan, {**told, "data": target.train.digest}, COMPARISON_FILE)
    arena = Arena(target=target, pixels=pixels, device=torch.device("cpu"), seed=about["seed"])
    return kept_of(judge_training(arena, SCRATCH, [plan], None, title="the longer rival"))


if __name__ == "__main__":
    main()
