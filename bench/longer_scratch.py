"""Whether scratch's search on real targets stopped too early: its choice once more, four times as long.

With 50 labelled pictures a class and with all of them; test pictures and seeds are those of ``bench.curves``. FOLDER is
where ``python -m bench.curves clothing DATA --keep FOLDER`` or ``types`` has been.

    python -m bench.longer_scratch clothing FOLDER
    python -m bench.longer_scratch types FOLDER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from bench.record import RESULTS, write_record
from tagwise.base.files import read_json
from tagwise.base.settings import from_plain
from tagwise.training.plans import Plan
from tagwise.transfer.comparison import score_test
from tagwise.transfer.finetune import train_classes
from tagwise.transfer.opening import open_target
from tagwise.transfer.records import COMPARISON_FILE, SCRATCH
from tagwise.transfer.targets import Target, pack_part

TIMES = 4
LABELLED = (50, None)
SEEDS = (0, 1, 2)


def clothing(folder: Path) -> Target:
    """The target of the clothing road."""
    return open_target(folder / "clothing_target")


def types(folder: Path) -> Target:
    """The target of the types road."""
    return open_target(
        folder / "types" / "train.csv",
        test=folder / "types" / "test.csv",
        picture_column="image",
        class_column="articleType",
    )


def main() -> None:
    """Trains the longer rivals and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("road", choices=("clothing", "types"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    make = {"clothing": clothing, "types": types}[arguments.road]
    points = read_json(RESULTS / f"curve_{arguments.road}.json")["results"]["points"]
    tried = [
        _longer(arguments.folder, arguments.road, make(arguments.folder), point)
        for point in points
        if point["labelled"] in LABELLED and point["seed"] in SEEDS
    ]
    record = {"times": TIMES, "runs": tried}
    print(write_record(f"longer_scratch_{arguments.road}", record, packages=("tagwise", "torch", "numpy", "pillow")))


def _longer(folder: Path, road: str, target: Target, point: dict[str, Any]) -> dict[str, Any]:
    began, labelled, seed = time.monotonic(), point["labelled"], point["seed"]
    told = read_json(folder / road / f"comparison-{labelled or 'all'}-{seed}" / COMPARISON_FILE)
    row = next(row for row in point["rows"] if row["model"] == SCRATCH)
    chosen = {
        **told["about"]["plans"][SCRATCH]["plan 1"],
        **row["settings"],
        "images": TIMES * row["settings"]["images"],
    }
    target = target if labelled is None else target.few_labelled(labelled, seed)
    plan = from_plain(Plan, {**chosen, "data": target.train.digest}, "the comparison")
    device, pixels = torch.device("cpu"), folder / road / "longer"
    train = pack_part(target.train, plan.view, pixels)
    net = train_classes(plan, train.images_NHWC, train.truth, len(target.classes), device=device, title="longer")
    return {
        "labelled": labelled,
        "seed": seed,
        "images": plan.images,
        "accuracy": row["accuracy"],
        "longer": score_test(target, net, plan.view, pixels, device),
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    main()
