"""The study's finding on localisation at our scale: one detector from scratch, from tags and from classes.

Both pretrained nets saw equally many of the same shop photos, one with their words, one with their kind of article
as class; then a detector learns from each, and from scratch, under one plan. The folders ``fashion_tags`` and
``locate`` come from elsewhere, unpacked.

    python -m bench.locate_finding FOLDER_WITH_DATA
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from pathlib import Path

from bench.commands import link_data, run_once
from bench.record import write_record

LEAST = 20
"""Pictures of a tag to be a label, and of a kind of article to be a class."""
_NET = "--images 60k --design resnet18 --resolution 64 --seed 0"
STEPS = (
    "gather fashion_tags/products.csv fashion_tags/products_more.csv -o finding/corpus --tags-column tags "
    "--separator ;",
    f"labels finding/corpus -o finding/space.json --min-count {LEAST}",
    f"pretrain finding/corpus --labels finding/space.json -o finding/tags {_NET}",
    f"train finding/photos.csv --picture-column image --class-column articleType -o finding/classes {_NET}",
    "compare locate/shapes --head faster --model finding/tags finding/classes -o finding/compared --seeds 0 1 2 "
    "--lengths 0.25 0.5",
)


def main() -> None:
    """Gives the commands that are not done yet, and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--keep", type=Path, help="folder to work in, where it also goes on")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="finding-"))
    link_data(arguments.data, folder)
    counts = write_photos(folder)
    steps = [run_once(line, folder) for line in STEPS]
    results = {"counts": counts, "steps": steps}
    print(write_record("locate_finding", results, packages=("tagwise", "torch", "torchvision", "numpy", "pycocotools")))


def write_photos(folder: Path) -> dict[str, int]:
    """Writes ``finding/photos.csv``, the corpus' pictures with their kind of article as class; returns counts."""
    data = folder / "fashion_tags"
    rows: list[dict[str, str]] = []
    for table in ("products", "products_more"):
        with (data / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
            rows += csv.DictReader(handle)
    counts = Counter(row["articleType"] for row in rows)
    chosen = [row for row in rows if counts[row["articleType"]] >= LEAST]
    (folder / "finding").mkdir(exist_ok=True)
    with (folder / "finding" / "photos.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "articleType"])
        writer.writerows([f"../fashion_tags/{row['image']}", row["articleType"]] for row in chosen)
    return {"photos": len(chosen), "classes": len({row["articleType"] for row in chosen})}


if __name__ == "__main__":
    main()
