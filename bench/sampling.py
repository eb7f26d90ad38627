"""A weighted epoch's start, memory and speed, beside torch's WeightedRandomSampler and numpy's choice.

Run from the repository's root: ``python -m bench.sampling [--rows 1e9] [--items 1e7] [--rounds 5]``. An epoch of
``--rows`` virtual pictures under 17,000 labels says what a position costs where nothing but the epoch is kept. The
contenders draw an epoch of ``--items`` pictures each, every one in a process of its own, in turn.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.record import REPOSITORY, of_rounds, write_record
from tagwise.tags.drawing import Drawing
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.permutation import Permutation
from tagwise.tags.rounding import FRACTION_BITS

LABELS = 17_000
BATCH = 65_536
CONTENDERS = ("tagwise", "torch WeightedRandomSampler", "numpy choice")


class VirtualRows:
    """Rows stored in the order of the index, which a machine without 4 GB to spare can ask for too."""

    dtype = np.dtype(np.int64)

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=10**9)
    parser.add_argument("--items", type=lambda text: int(float(text)), default=10**7)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rounds = [{name: drawn_apart(name, given.items) for name in CONTENDERS} for _ in range(given.rounds)]
    wide = [without_rows(given.rows) for _ in range(given.rounds)]
    results: dict[str, Any] = {
        "rounds": given.rounds,
        "virtual": {"rows": given.rows, "labels": LABELS, **spread(wide)},
        "items": given.items,
        "contenders": {name: spread([turn[name] for turn in rounds]) for name in CONTENDERS},
        "ratios": {
            name: {
                fact: of_rounds([turn[name][fact] / turn["tagwise"][fact] for turn in rounds])
                for fact in ("start_seconds", "seconds", "cpu_seconds")
            }
            for name in CONTENDERS[1:]
        },
    }
    path = write_record("sampling", results, packages=("torch", "numpy"))
    told = {f"{given.rows:,} virtual rows": spread(wide), **results["contenders"]}
    told |= {f"{name} over tagwise": ratios for name, ratios in results["ratios"].items()}
    for name, measured in told.items():
        print(name, {fact: f"{of['median']:.4g}" for fact, of in measured.items()})
    print(f"written to {path.relative_to(REPOSITORY)}")


def spread(turns: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median and range of each thing measured."""
    return {name: of_rounds([turn[name] for turn in turns]) for name in turns[0]}


def without_rows(rows: int) -> dict[str, float]:
    """What an epoch costs that keeps no row: to open it, to find the place of a position, to find its picture."""
    index = zipf_index(rows)
    began = time.perf_counter()
    index.epoch(0, 1).rows(np.arange(64))
    started = time.perf_counter() - began
    index = zipf_index(rows)
    tracemalloc.start()
    epoch = index.epoch(0, 1)
    epoch.rows(np.arange(64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    order = Permutation(epoch.length, 0, "bench")
    positions = np.random.default_rng(0).integers(0, epoch.length - BATCH, 32)
    return {
        "start_seconds": started,
        "start_megabytes": peak / 2**20,
        "positions_per_second": per_second(order, positions),
        "items_per_second": per_second(epoch.rows, positions),
    }


def per_second(find: Callable[[NDArray[np.int64]], NDArray[np.int64]], firsts: NDArray[np.int64]) -> float:
    """Positions a second of the processor, in the median stretch."""
    seconds = []
    for first in firsts.tolist():
        began = time.process_time()
        find(np.arange(first, first + BATCH))
        seconds.append(time.process_time() - began)
    return BATCH / statistics.median(seconds)


def zipf_index(rows: int) -> EpochIndex:
    """Labels of Zipf's law, one a picture, drawn by the square-root law: each label a group."""
    sizes = np.maximum(1, rows / np.arange(1, LABELS + 1)[::-1] / np.log(LABELS)).astype(np.int64)
    sizes[-1] += rows - sizes.sum()
    factors = np.maximum(1, np.sqrt(np.median(sizes) / sizes))
    return EpochIndex(
        law="sqrt",
        threshold=float(np.median(sizes)),
        rounding="systematic",
        rows=VirtualRows(rows),  # type: ignore[arg-type]
        group_starts=np.concatenate([[0], np.cumsum(sizes)]),
        group_factors=np.rint(factors * 2**FRACTION_BITS).astype(np.int64),
    )


def drawn_apart(name: str, items: int) -> dict[str, float]:
    """One contender in a process of its own, whose memory is then its own too."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(drawn, (name, items))


def drawn(name: str, items: int) -> dict[str, float]:
    """Draws one epoch of as many pictures as there are, with weights of a square-root law."""
    labels = np.minimum(LABELS ** np.random.default_rng(0).random(items), LABELS - 1).astype(np.int32)
    counts = np.bincount(labels, minlength=LABELS)
    by_label = np.sqrt(counts.max() / np.maximum(1, counts))
    by_label *= items / (by_label @ counts)
    weights = by_label[labels]
    begin = ours(labels, by_label) if name == "tagwise" else torchs(weights) if "torch" in name else numpys(weights)
    memory, wall, cpu = resident_megabytes(), time.perf_counter(), time.process_time()
    batches = begin()
    seen = [next(batches)]
    started = time.perf_counter() - wall
    seen += batches
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    megabytes = resident_megabytes() - memory - sum(batch.nbytes for batch in seen) / 2**20
    rows = np.concatenate(seen)
    mean, expected = float(weights[rows].mean()), float(weights @ weights / weights.sum())
    assert abs(mean / expected - 1) < 0.02, (name, mean, expected)
    return {
        "start_seconds": started,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "megabytes": max(0.0, megabytes),
    }


def resident_megabytes() -> float:
    """The most that this process has held so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


Begin = Callable[[], Iterator[NDArray[np.int64]]]


def ours(labels: NDArray[np.int32], by_label: NDArray[np.float64]) -> Begin:
    """The index is a file, made once for all epochs; here it is made before the clock runs."""
    drawing = Drawing(law="sqrt", threshold=None, by_label=by_label, how="largest", intended=by_label)
    index = EpochIndex.of(labels, np.arange(len(labels) + 1), drawing)

    def batches() -> Iterator[NDArray[np.int64]]:
        epoch = index.epoch(0, 1)
        for first in range(0, epoch.length, BATCH):
            yield epoch.rows(np.arange(first, min(first + BATCH, epoch.length)))

    return batches


def torchs(weights: NDArray[np.float64]) -> Begin:
    """Batches of its indices, as a DataLoader takes them."""
    import torch
    from torch.utils.data import BatchSampler, WeightedRandomSampler

    told: Any = torch.from_numpy(weights)

    def batches() -> Iterator[NDArray[np.int64]]:
        for batch in BatchSampler(WeightedRandomSampler(told, len(weights)), BATCH, drop_last=False):
            yield np.array(batch)

    return batches


def numpys(weights: NDArray[np.float64]) -> Begin:
    """All at once: it has no batches that know of each other."""

    def batches() -> Iterator[NDArray[np.int64]]:
        yield np.random.default_rng(1).choice(len(weights), len(weights), p=weights / weights.sum())

    return batches


if __name__ == "__main__":
    main()
