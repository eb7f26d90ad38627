"""The road on real tagged pictures, from files to report, by the commands that the docs show.

Folders of data come from elsewhere: ``fashion_tags`` (products.csv, images/), ``clothing_target``
(train/, validation/, test/) and ``emoji_tags`` (emoji.csv, noto/, twemoji/), unpacked.

    python -m bench.real_input fashion FOLDER_WITH_DATA
    python -m bench.real_input emoji FOLDER_WITH_DATA
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import write_record

FASHION = (
    "gather fashion_tags/products.csv -o fashion/corpus --tags-column tags --separator ;",
    "labels fashion/corpus -o fashion/space.json --min-count 10",
    "pretrain fashion/corpus --labels fashion/space.json -o fashion/sqrt --images 120k",
    "compare clothing_target --model fashion/sqrt -o fashion/comparison --epochs 20",
    "predict clothing_target/test/hat --model fashion/sqrt -o fashion/hats.csv",
    "report fashion/sqrt fashion/comparison -o fashion/report.html",
)
EMOJI = (
    "gather emoji_tags/emoji.csv -o emoji/corpus --picture-column image --tags-column tags --separator ;",
    "labels emoji/corpus -o emoji/space.json --min-count 5",
    "pretrain emoji/corpus --labels emoji/space.json -o emoji/sqrt --images 80k",
    "compare emoji_tags/emoji.csv --picture-column twemoji_image --class-column group --test-fraction 0.5 "
    "--model emoji/sqrt -o emoji/comparison --epochs 25",
    "predict emoji_tags/twemoji --model emoji/sqrt -o emoji/tags.jsonl",
    "report emoji/sqrt emoji/comparison -o emoji/report.html",
)
ROADS = {"fashion": FASHION, "emoji": EMOJI}


def main() -> None:
    """Runs one road in a temporary folder beside links to the data, and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("road", choices=ROADS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--keep", type=Path, help="folder to work in; a temporary one where not given")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="real-input-"))
    link_data(arguments.data, folder)
    steps = [run_command(line, folder) for line in ROADS[arguments.road]]
    record = {"steps": steps, "minutes": sum(step["seconds"] for step in steps) / 60}
    print(write_record(f"real_{arguments.road}", record, packages=("tagwise", "torch", "numpy", "pillow")))


def link_data(data: Path, folder: Path) -> None:
    """Makes the folder, with a link to each folder of data."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in data.resolve().iterdir():
        link = folder / entry.name
        if entry.is_dir() and not link.exists():
            link.symlink_to(entry)


def run_command(line: str, folder: Path) -> dict[str, Any]:
    """Runs a command of Tagwise in the folder; returns it with its seconds and its JSON."""
    words = [sys.executable, "-m", "tagwise", *shlex.split(line.replace(" ;", " ';'")), "--json"]
    began = time.monotonic()
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    _forget_places(result, folder)
    return {"command": f"tagwise {line}", "seconds": round(time.monotonic() - began, 1), "result": _short(result)}


def _short(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what a page does not show: single answers and lists of tags."""
    left_out = {"answers", "examples", "merges", "notes", "forms", "commonest_tags"}
    return {
        name: _short(value) if isinstance(value, dict) else value
        for name, value in result.items()
        if name not in left_out
    }


def _forget_places(value: Any, folder: Path) -> None:
    """Machine paths say nothing to a reader."""
    for name, inner in list(value.items()):
        if isinstance(inner, dict):
            _forget_places(inner, folder)
        elif isinstance(inner, str):
            value[name] = inner.replace(f"{folder}/", "")


if __name__ == "__main__":
    main()
