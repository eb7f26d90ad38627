"""At which resolution the quickstart pretrains: more pixels or, in the same time, more pictures seen.

A linear probe on drawn validation pictures decides, on corpora and targets whose seeds no
reported result uses. Pictures seen are in the proportion of the speeds on a quiet machine.

    python -m bench.resolution_search
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.pretraining_search import WORKERS, draw_corpus, trial
from bench.record import write_record
from bench.scratch_search import TARGET_SEEDS

SIZES = ((32, "56k"), (28, "72k"), (24, "88k"))
"""Resolution and pictures seen."""
RATE, DECAY = 1.2, 1e-3


def main() -> None:
    """Runs every size on every seed and writes the record."""
    with (
        tempfile.TemporaryDirectory(prefix="resolution-search-") as name,
        ProcessPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        folders = {seed: Path(name) / str(seed) for seed in TARGET_SEEDS}
        list(pool.map(draw_corpus, folders.values(), folders))
        jobs = {
            (resolution, images, seed): pool.submit(
                trial, folder, seed, RATE, DECAY, resolution=resolution, images=images
            )
            for resolution, images in SIZES
            for seed, folder in folders.items()
        }
        found = {job: future.result()["accuracy"] for job, future in jobs.items()}
    sizes = [summarised(resolution, images, found) for resolution, images in SIZES]
    results = {"sizes": sorted(sizes, key=lambda entry: -entry["mean"]), "seeds": list(TARGET_SEEDS)}
    print(write_record("resolution_search", results, packages=("tagwise", "torch", "numpy")))


def summarised(resolution: int, images: str, found: dict[tuple[int, str, int], float]) -> dict[str, Any]:
    """A size's accuracies on all seeds."""
    accuracies = [found[resolution, images, seed] for seed in TARGET_SEEDS]
    return {
        "resolution": resolution,
        "images": images,
        "mean": float(np.mean(accuracies)),
        "accuracies": accuracies,
    }


if __name__ == "__main__":
    main()
