"""How photos are best varied in pretraining, and by which net: linear probes on labelled amateur photos decide.

Shop photos stand before white, amateur photos do not. Each candidate sees as many pictures; its frozen features are
probed with ten labelled pictures a class and judged on the rest of the target's training and validation parts, over
ten draws. The test part stays closed. The folder holds ``fashion_tags`` and ``clothing_target``, unpacked.

    python -m bench.photo_search FOLDER_WITH_DATA
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tagwise
from bench.record import write_record
from tagwise.base import rng
from tagwise.measure.accuracy import accuracy, top_k_right
from tagwise.training.loading import load
from tagwise.transfer.features import embed
from tagwise.transfer.linear import linear_scores
from tagwise.transfer.opening import open_target
from tagwise.transfer.targets import pack_part

CROPS = "augment.smallest_area_fraction=0.35"
LIGHT = "augment.light=0.4"
CANDIDATES: dict[str, dict[str, Any]] = {
    "gentle crops": {},
    "crops": {"set_": [CROPS]},
    "crops and light": {"set_": [CROPS, LIGHT]},
    "crops, light and turns": {"set_": [CROPS, LIGHT, "augment.turn_degrees=30"]},
    "crops and light, ungrouped net": {"set_": [CROPS, LIGHT], "design": "resnext20_1x32d_small"},
    "crops and light, natural law": {"set_": [CROPS, LIGHT], "law": "natural"},
}
PER_CLASS = 10
DRAWS = 10
PENALTY = 0.1


def main() -> None:
    """Pretrains and probes every candidate and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", default="100k", help="pictures seen by each candidate")
    parser.add_argument("--resolution", type=int, default=32)
    arguments = parser.parse_args()
    fashion = arguments.data / "fashion_tags"
    tables = [fashion / "products.csv", fashion / "products_more.csv"]
    trials = []
    with tempfile.TemporaryDirectory(prefix="photo-search-") as name:
        folder = Path(name)
        with contextlib.redirect_stderr(io.StringIO()):
            tagwise.gather(tables, folder / "corpus", tags_column="tags", separator=";")
            tagwise.labels(folder / "corpus", folder / "space.json", min_count=20)
        for title, flags in CANDIDATES.items():
            with contextlib.redirect_stderr(io.StringIO()):
                run = tagwise.pretrain(
                    folder / "corpus",
                    labels=folder / "space.json",
                    out=folder / title.replace(" ", "-").replace(",", ""),
                    images=arguments.images,
                    resolution=arguments.resolution,
                    **flags,
                )
            found = probed(run.folder, arguments.data / "clothing_target", folder)
            trials.append({"candidate": title, "accuracies": found, "mean": float(np.mean(found)), **run.scores})
            print(f"{title}: {np.mean(found):.3f}, {run.scores['seconds']:.0f} s", file=sys.stderr, flush=True)
    results = {"images": arguments.images, "resolution": arguments.resolution, "trials": trials}
    print(write_record("photo_search", results, packages=("tagwise", "torch", "numpy", "pillow")))


def probed(run: Path, target: Path, folder: Path) -> list[float]:
    """Accuracy on the labelled pictures that are not drawn, for each draw of a few to learn from."""
    model, opened = load(run), open_target(target)
    view = model.facts.view
    parts = [pack_part(part, view, folder / "pixels") for part in (opened.train, opened.validation) if part is not None]
    vectors = torch.cat([embed(model.net, part.images_NHWC, view, torch.device("cpu")) for part in parts])
    truth = np.concatenate([part.truth for part in parts])
    found = []
    for draw in range(DRAWS):
        order = rng.stream(draw, "photo search").permutation(len(truth))
        few = np.concatenate([order[truth[order] == kind][:PER_CLASS] for kind in range(len(opened.classes))])
        rest = np.setdiff1d(order, few)
        scores = linear_scores(vectors[few], truth[few], vectors[rest], penalty=PENALTY, classes=len(opened.classes))
        found.append(accuracy(top_k_right(scores, truth[rest])))
    return found


if __name__ == "__main__":
    main()
