"""A weighted epoch as a pure function of seed, epoch and position; no permutation is stored.

Pictures with one repeat factor form a group. An epoch gives each group a whole number of slots
by systematic rounding, a keyed permutation sends positions to slots, and a slot to a picture
of its group. Everything is integers, so that all machines draw the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.base.files import open_atomically, read_json, write_json
from tagwise.base.rng import stream_seed
from tagwise.tags.laws import Counts, Flat, Law, label_factors, rarest_counts, rarest_labels
from tagwise.tags.permutation import BLOCK_POSITIONS, Permutation, mixed, permuted

FRACTION_BITS = 24
"""Repeat factors are held in units of 2^-24; whole ones are exact."""

LONGEST_EPOCH = 2**62 >> FRACTION_BITS
"""Draws, 2.7e11: their sum in those units stays below 2^62."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochIndex:
    """What all epochs of a corpus under one law share.

    Three files: ``epoch.json``, ``groups.npy`` and ``rows.npy``, which is mapped, not read.
    """

    law: Law
    threshold: float | None
    """In pictures; None for ``natural``."""
    rows: NDArray[np.uint32] | NDArray[np.int64]
    """Labelled pictures, from the least to the most repeated."""
    group_starts: Counts
    """Where each group begins in ``rows``; one more than groups."""
    group_factors: Counts
    """Repeat factor of each group in units of 2^-24, ascending."""

    @classmethod
    def build(cls, ids: Flat, offsets: Flat, counts: Counts, law: Law, threshold: float | None = None) -> EpochIndex:
        """Sorts the labelled pictures by their repeat factor.

        Args:
            ids: Label ids of all pictures, one after the other; may be a memory map.
            offsets: Where each picture begins in ``ids``; one more than pictures; may be one too.
            counts: Pictures of each label.
            law: How pictures are repeated.
            threshold: In pictures; None for ``natural``.

        Raises:
            DataRefused: No picture has a label, or the epoch is longer than 2.7e11 draws.
            UsageError: Law and threshold do not fit.
        """
        factors = np.rint(label_factors(counts, law, threshold) * 2.0**FRACTION_BITS)
        sizes = rarest_counts(ids, offsets, counts)
        length = float(factors @ sizes) / 2.0**FRACTION_BITS
        if not 1 <= length <= LONGEST_EPOCH:
            raise DataRefused(
                f"An epoch of {length:.3g} draws from {sizes.sum()} labelled pictures cannot be indexed; "
                f"1 to {LONGEST_EPOCH:.2g} draws can, so change the label space or the threshold."
            )
        used = np.unique(factors[sizes > 0])
        group_of_label = np.searchsorted(used, factors)  # of labels that are nobody's rarest, unused
        group_sizes = np.bincount(group_of_label, weights=sizes, minlength=len(used) + 1)[: len(used)]
        starts = np.concatenate([[0], np.cumsum(group_sizes.astype(np.int64))])
        rows = _sorted_by_group(ids, offsets, counts, group_of_label, starts)
        return cls(law=law, threshold=threshold, rows=rows, group_starts=starts, group_factors=used.astype(np.int64))

    @cached_property
    def sums(self) -> Counts:
        """Expected slots before each group, in units of 2^-24; one more than groups."""
        return np.concatenate([[0], np.cumsum(np.diff(self.group_starts) * self.group_factors)])

    @property
    def expected_length(self) -> float:
        """Mean number of draws in an epoch."""
        return float(self.sums[-1]) / 2.0**FRACTION_BITS

    def epoch(self, seed: int, number: int) -> Epoch:
        """The epoch of that number, from 0."""
        return Epoch(self, seed, number)

    def save(self, folder: Path) -> None:
        """Writes the index; the JSON comes last, so that a broken index is none."""
        groups = np.stack([self.group_starts[1:], self.group_factors])
        for name, array in (("rows.npy", self.rows), ("groups.npy", groups)):
            with open_atomically(folder / name) as handle:
                np.save(handle, array)
        write_json(folder / "epoch.json", {"law": self.law, "threshold": self.threshold, "rows": len(self.rows)})

    @staticmethod
    def load(folder: Path) -> EpochIndex:
        """Maps an index that ``save`` wrote.

        Raises:
            TagwiseError: A file is missing, or they do not belong together.
        """
        facts = read_json(folder / "epoch.json")
        try:
            rows = np.load(folder / "rows.npy", mmap_mode="r")
            ends, factors = np.load(folder / "groups.npy")
        except (OSError, EOFError, ValueError) as error:
            raise _unusable(folder, str(error)) from error
        if not len(rows) == facts.get("rows") == ends[-1]:
            raise _unusable(folder, "its files differ in length")
        return EpochIndex(
            law=facts["law"],
            threshold=facts["threshold"],
            rows=rows,
            group_starts=np.concatenate([[0], ends]),
            group_factors=factors,
        )


class Epoch:
    """One pass: which picture stands at each position.

    A picture of repeat factor r is drawn floor(r) or ceil(r) times, r times in the mean over
    epochs; the number of draws is the sum of all factors, rounded down or up.

    Args:
        index: The corpus under its law.
        seed: The run's one seed.
        number: The epoch, from 0.
    """

    def __init__(self, index: EpochIndex, seed: int, number: int) -> None:
        self._rows = index.rows
        self._row_starts = index.group_starts[:-1]
        self._sizes = np.diff(index.group_starts)
        offset = stream_seed(seed, "epoch offset", number) % 2**FRACTION_BITS
        self._slot_starts = (index.sums + offset) >> FRACTION_BITS
        self._order = Permutation(self.length, seed, "epoch order", number)
        key = np.uint64(stream_seed(seed, "epoch groups", number))
        self._keys = mixed(np.arange(len(self._sizes), dtype=np.uint64) + key)

    @property
    def length(self) -> int:
        """Draws in this epoch."""
        return int(self._slot_starts[-1])

    def rows(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The pictures at the given positions, each in ``0..length-1``."""
        slots = self._order(positions)
        rows = np.empty(len(slots), np.int64)
        for first in range(0, len(slots), BLOCK_POSITIONS):
            block = slice(first, first + BLOCK_POSITIONS)
            rows[block] = self._rows[self._places(slots[block])]
        return rows

    def _places(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots to places in the index's rows: a whole lap shows all of a group, the slots left a random choice."""
        groups = np.searchsorted(self._slot_starts, slots, side="right") - 1
        sizes = self._sizes[groups]
        slots_before = self._slot_starts[groups]
        laps, turns = np.divmod(slots - slots_before, sizes)
        whole_laps = (self._slot_starts[groups + 1] - slots_before) // sizes
        extra = np.flatnonzero(laps == whole_laps)
        turns[extra] = _chosen(turns[extra], sizes[extra], self._keys[groups[extra]])
        return self._row_starts[groups] + turns


def positions_of(step: int, batch: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Positions that one rank draws in one step; all ranks together draw the same for any world.

    Args:
        step: From 0; resuming needs nothing else.
        batch: Pictures of all ranks together.
        rank: This process, below ``world``.
        world: Processes; a divisor of ``batch``.
    """
    assert batch % world == 0, (batch, world)
    batch_per_rank = batch // world
    first = step * batch + rank * batch_per_rank
    return np.arange(first, first + batch_per_rank, dtype=np.int64)


def _chosen(turns: NDArray[np.int64], sizes: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    # The rotation alone makes every member equally likely, however few bits the permutation works on.
    lengths = sizes.astype(np.uint64)
    moved = permuted(turns.astype(np.uint64), lengths, keys)
    return ((moved + mixed(~keys) % lengths) % lengths).astype(np.int64)


def _unusable(folder: Path, reason: str) -> TagwiseError:
    return TagwiseError(f"The sampling index {folder} cannot be used: {reason}; remove it to build it anew.")


def _sorted_by_group(
    ids: Flat, offsets: Flat, counts: Counts, group_of_label: NDArray[np.intp], starts: Counts
) -> NDArray[np.uint32] | NDArray[np.int64]:
    """A stable counting sort in blocks: the rows are all that it needs memory for."""
    pictures = len(offsets) - 1
    rows = np.empty(starts[-1], np.uint32 if pictures < 2**32 else np.int64)
    following = starts[:-1].copy()
    for first, rarest in rarest_labels(ids, offsets, counts):
        labelled = np.flatnonzero(rarest >= 0)
        groups = group_of_label[rarest[labelled]]
        order = np.argsort(groups, kind="stable")
        sizes = np.bincount(groups, minlength=len(following))
        before = np.cumsum(sizes) - sizes
        within = np.arange(len(order)) - before[groups[order]]
        rows[following[groups[order]] + within] = first + labelled[order]
        following += sizes
    return rows
