"""Whether the rival's search stopped at an edge: the winner with settings beyond its grid.

Half the rate, a fifth of the decay, twice the length, smaller pictures, the last two together;
on the same targets. The best of the winner and these is the quickstart's rival. What the record
has already is not run again.

    python -m bench.scratch_edges
"""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from bench.record import RESULTS, write_record
from bench.scratch_search import TARGET_SEEDS, WORKERS, accuracy, described, first_round, means, plan_of, square, told


def main() -> None:
    """Tries the neighbours and writes the record."""
    finalists = json.loads((RESULTS / "scratch_search.json").read_text("utf-8"))["results"]["finalists"]
    winner = plan_of(max(finalists, key=lambda entry: entry["mean"]), first_round()[0])
    beyond = [
        replace(winner, images=2 * winner.images),
        replace(winner, rate_per_256=winner.rate_per_256 / 2),
        replace(winner, weight_decay=winner.weight_decay / 5),
        replace(winner, view=square(24)),
        replace(winner, view=square(24), images=2 * winner.images),
    ]
    path = RESULTS / "scratch_edges.json"
    known = json.loads(path.read_text("utf-8"))["results"]["beyond"] if path.is_file() else []
    beyond = [plan for plan in beyond if not any(described(plan).items() <= entry.items() for entry in known)]
    jobs = list(itertools.product(beyond, TARGET_SEEDS))
    with ProcessPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = pool.map(accuracy, [plan for plan, _ in jobs], [seed for _, seed in jobs])
        values = np.array(list(told(found, [plan for plan, _ in jobs]))).reshape(len(beyond), -1)
    tried = [{**described(plan), **means(row)} for plan, row in zip(beyond, values.tolist(), strict=True)]
    results = {"beyond": sorted(known + tried, key=lambda entry: -entry["mean"]), "target_seeds": list(TARGET_SEEDS)}
    print(write_record("scratch_edges", results, packages=("tagwise", "torch", "numpy")))


if __name__ == "__main__":
    main()
