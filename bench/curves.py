"""What real tags buy as a curve over labelled pictures a class, several seeds, scratch beside.

Folders of data come from elsewhere, unpacked: ``fashion_tags``, ``clothing_target``,
``emoji_tags``, ``tiny_imagenet_tags`` and ``cifar10``.

    python -m bench.curves clothing FOLDER_WITH_DATA
    python -m bench.curves emoji FOLDER_WITH_DATA
    python -m bench.curves types FOLDER_WITH_DATA
    python -m bench.curves cifar FOLDER_WITH_DATA
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.commands import link_data, run_once
from bench.fashion_split import NEAR, split_fashion, thumbnail
from bench.record import write_record
from tagwise.base import rng


@dataclass(frozen=True, kw_only=True)
class Road:
    """The commands of one pair of corpus and target."""

    once: tuple[str, ...]
    """Given once."""
    pretrain: tuple[str, ...]
    """Given for each seed, which stands as {seed}."""
    compare: str
    """Given for each seed and number of labels; {few} is ``--per-class K`` or nothing."""
    labelled: tuple[int | None, ...]
    """Labelled pictures a class; None: all."""
    prepare: Callable[[Path], dict[str, Any]] | None = None
    """Writes tables that the commands need into the folder; returns counts."""


def split_emoji(folder: Path) -> dict[str, Any]:
    """Half of each group's emoji are for the test; the corpus without them, and the leaky one with them.

    A test emoji is absent from the corpus in either drawing; the leaky corpus shows what its
    other drawing would give away.
    """
    with (folder / "emoji_tags" / "emoji.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    drawn_twice = [row for row in rows if row["twemoji_image"]]
    generator = rng.stream(0, "emoji test")
    tested: set[str] = set()
    for group in sorted({row["group"] for row in drawn_twice}):
        members = [row["character"] for row in drawn_twice if row["group"] == group]
        tested.update(generator.permutation(members)[: len(members) // 2].tolist())
    for row in rows:
        for column in ("image", "twemoji_image"):
            row[column] = row[column] and f"../emoji_tags/{row[column]}"
    parts = {
        "corpus": [row for row in rows if row["character"] not in tested],
        "leaky_corpus": rows,
        "train": [row for row in drawn_twice if row["character"] not in tested],
        "test": [row for row in drawn_twice if row["character"] in tested],
    }
    (folder / "emoji").mkdir(exist_ok=True)
    for name, part in parts.items():
        with (folder / "emoji" / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(part)
    shown = {name: _drawings(folder / "emoji", parts[name]) for name in ("train", "test")}
    near = [np.sqrt(((shown["train"] - drawing) ** 2).mean((1, 2, 3))).min() < NEAR for drawing in shown["test"]]
    return {name: len(part) for name, part in parts.items()} | {"test_near_a_training_drawing": int(sum(near))}


def _drawings(folder: Path, rows: list[dict[str, str]]) -> NDArray[np.float32]:
    return np.stack([thumbnail(folder / row["twemoji_image"]) for row in rows])


def split_types(folder: Path) -> dict[str, Any]:
    """Twenty values of articleType on pictures apart from the corpus."""
    return split_fashion(folder / "fashion_tags", folder / "types")


_PHOTOS = "--resolution 32 --set augment.smallest_area_fraction=0.35 augment.light=0.4 --seed {seed}"
"""Crops and light as ``bench/photo_search.py`` found best."""
_TYPE_COLUMNS = "--picture-column image --tags-column tags --separator ;"
_EMOJI_COLUMNS = "--picture-column image --tags-column tags --separator ;"

ROADS = {
    "clothing": Road(
        once=(
            "gather fashion_tags/products.csv fashion_tags/products_more.csv -o clothing/corpus --tags-column tags "
            "--separator ;",
            "labels clothing/corpus -o clothing/space.json --min-count 20",
        ),
        pretrain=(
            f"pretrain clothing/corpus --labels clothing/space.json -o clothing/tags{{seed}} --images 200k {_PHOTOS}",
        ),
        compare="compare clothing_target --model clothing/tags{seed} --seed {seed} {few}",
        labelled=(5, 10, 20, 50, None),
    ),
    "emoji": Road(
        prepare=split_emoji,
        once=(
            f"gather emoji/corpus.csv -o emoji/corpus {_EMOJI_COLUMNS}",
            f"gather emoji/leaky_corpus.csv -o emoji/leaky_corpus {_EMOJI_COLUMNS}",
            "labels emoji/corpus -o emoji/space.json --min-count 5",
            "labels emoji/leaky_corpus -o emoji/leaky_space.json --min-count 5",
        ),
        pretrain=(
            "pretrain emoji/corpus --labels emoji/space.json -o emoji/tags{seed} --images 80k --resolution 32 "
            "--seed {seed}",
            "pretrain emoji/leaky_corpus --labels emoji/leaky_space.json -o emoji/leaky{seed} --images 80k "
            "--resolution 32 --seed {seed}",
        ),
        compare="compare emoji/train.csv --test emoji/test.csv --picture-column twemoji_image --class-column group "
        "--model emoji/tags{seed} emoji/leaky{seed} --seed {seed} {few}",
        labelled=(5, 10, 20, None),
    ),
    "types": Road(
        prepare=split_types,
        once=(
            f"gather types/corpus.csv -o types/corpus {_TYPE_COLUMNS}",
            f"gather types/corpus_without.csv -o types/corpus_without {_TYPE_COLUMNS}",
            "labels types/corpus -o types/space.json --min-count 20",
            "labels types/corpus_without -o types/space_without.json --min-count 20",
        ),
        pretrain=(
            f"pretrain types/corpus --labels types/space.json -o types/tags{{seed}} --images 200k {_PHOTOS}",
            "pretrain types/corpus_without --labels types/space_without.json -o types/without{seed} --images 200k "
            f"{_PHOTOS}",
        ),
        compare="compare types/train.csv --test types/test.csv --picture-column image --class-column articleType "
        "--model types/tags{seed} types/without{seed} --seed {seed} {few}",
        labelled=(5, 10, 20, None),
    ),
    "cifar": Road(
        once=(
            "gather tiny_imagenet_tags/images.csv -o cifar/corpus --picture-column image --tags-column tags "
            "--separator ;",
            "labels cifar/corpus -o cifar/space.json --min-count 10",
        ),
        pretrain=(f"pretrain cifar/corpus --labels cifar/space.json -o cifar/tags{{seed}} --images 200k {_PHOTOS}",),
        compare="compare cifar10/lossless --model cifar/tags{seed} --seed {seed} {few}",
        labelled=(5, 10, 20, 50, None),
    ),
}


def main() -> None:
    """Walks one road for all seeds and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("road", choices=ROADS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, help="folder to work in, where it also goes on")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="curves-"))
    link_data(arguments.data, folder)
    road = ROADS[arguments.road]
    split = road.prepare(folder) if road.prepare is not None else None
    steps = [run_once(line, folder) for line in road.once]
    points = []
    for seed in arguments.seeds:
        steps += [run_once(line.format(seed=seed), folder) for line in road.pretrain]
        for labels in road.labelled:
            few = "" if labels is None else f"--per-class {labels}"
            line = f"{road.compare.format(seed=seed, few=few)} -o {arguments.road}/comparison-{labels or 'all'}-{seed}"
            step = run_once(" ".join(line.split()), folder)
            steps.append(step)
            points.append({"seed": seed, "labelled": labels, **scores_of(step["result"]["comparison"])})
    record = {
        "split": split,
        "points": points,
        "commands": [{name: step[name] for name in ("command", "seconds", "cpu_seconds")} for step in steps],
        "minutes": sum(step["seconds"] for step in steps) / 60,
        "cpu_minutes": sum(step["cpu_seconds"] for step in steps) / 60,
    }
    print(write_record(f"curve_{arguments.road}", record, packages=("tagwise", "torch", "numpy", "pillow")))


def scores_of(comparison: dict[str, Any]) -> dict[str, Any]:
    left_out = {"class_accuracies", "right", "tried", "longest"}
    return {
        "rows": [{name: value for name, value in row.items() if name not in left_out} for row in comparison["rows"]],
        "gains": comparison["gains"],
    }


if __name__ == "__main__":
    main()
