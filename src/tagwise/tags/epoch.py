"""A weighted epoch as a pure function of seed, epoch and position; no permutation is stored.

Pictures that are drawn alike form a group. An epoch gives each group a whole number of slots, a
keyed permutation sends positions to slots, and a slot to a picture of its group. Everything is
integers, so that all machines draw the same.
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
from tagwise.tags.drawing import Drawing, drawing
from tagwise.tags.laws import Counts, Flat
from tagwise.tags.permutation import BLOCK_POSITIONS, Permutation
from tagwise.tags.rounding import FRACTION_BITS, Independent, Rounded, Rounding, Systematic

LONGEST_EPOCH = 2**62 >> FRACTION_BITS
"""Draws, 2.7e11: their sum in units of 2^-24 stays below 2^62."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochIndex:
    """What all epochs of a corpus under one law share.

    Three files: ``epoch.json``, ``groups.npy`` and ``rows.npy``, which is mapped, not read. One index
    draws the same on all machines. Capped and raked draws come out of exp and log, whose last bit may
    differ between kinds of processors: a cluster of several kinds has to share one index.
    """

    law: str
    threshold: float | None
    """In pictures; draws in an epoch for a raked law; None for ``natural``."""
    rounding: Rounding
    """How expected draws are made whole; see ``tags.rounding``."""
    rows: NDArray[np.uint32] | NDArray[np.int64]
    """Labelled pictures, from the least to the most drawn."""
    group_starts: Counts
    """Where each group begins in ``rows``; one more than groups."""
    group_factors: Counts
    """Expected draws of a picture of each group in units of 2^-24, ascending."""

    @classmethod
    def build(cls, ids: Flat, offsets: Flat, counts: Counts, law: str, threshold: float | None = None) -> EpochIndex:
        """The index of a law, with systematic rounding; arguments and errors as in ``drawing`` and ``of``."""
        return cls.of(ids, offsets, drawing(ids, offsets, counts, law, threshold))

    @classmethod
    def of(cls, ids: Flat, offsets: Flat, drawn: Drawing, rounding: Rounding = "systematic") -> EpochIndex:
        """Sorts the labelled pictures by how often they are drawn.

        Args:
            ids: Label ids of all pictures, one after the other; may be a memory map.
            offsets: Where each picture begins in ``ids``; one more than pictures; may be one too.
            drawn: How often pictures are drawn.
            rounding: How expected draws are made whole.

        Raises:
            DataRefused: No picture has a label, or the epoch is longer than 2.7e11 draws.
        """
        sizes, sums = np.zeros(drawn.level_count, np.int64), np.zeros(drawn.level_count)
        for *_, draws in drawn.blocks(ids, offsets):
            levels = drawn.levels(draws)
            sizes += np.bincount(levels + 1, minlength=len(sizes) + 1)[1:]
            sums += np.bincount(levels + 1, draws, minlength=len(sizes) + 1)[1:]
        refuse_length(float(sums.sum()), int(sizes.sum()))
        held = sizes > 0
        starts = np.concatenate([[0], np.cumsum(sizes[held])])
        return cls(
            law=drawn.law,
            threshold=drawn.threshold,
            rounding=rounding,
            rows=_sorted_by_group(ids, offsets, drawn, np.cumsum(held) - 1, starts),
            group_starts=starts,
            group_factors=np.rint(sums[held] / sizes[held] * 2.0**FRACTION_BITS).astype(np.int64),
        )

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
        facts = {"law": self.law, "threshold": self.threshold, "rounding": self.rounding, "rows": len(self.rows)}
        write_json(folder / "epoch.json", facts)

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
            law, threshold, rounding = (facts[name] for name in ("law", "threshold", "rounding"))
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise _unusable(folder, str(error)) from error
        if not len(rows) == facts.get("rows") == ends[-1]:
            raise _unusable(folder, "its files differ in length")
        return EpochIndex(
            law=law,
            threshold=threshold,
            rounding=rounding,
            rows=rows,
            group_starts=np.concatenate([[0], ends]),
            group_factors=factors,
        )


class Epoch:
    """One pass: which picture stands at each position.

    A picture of r expected draws is drawn floor(r) or ceil(r) times, r times in the mean over epochs.

    Args:
        index: The corpus under its law.
        seed: The run's one seed.
        number: The epoch, from 0.
    """

    def __init__(self, index: EpochIndex, seed: int, number: int) -> None:
        self._rows = index.rows
        self._row_starts = index.group_starts[:-1]
        self._sizes = np.diff(index.group_starts)
        rounded = Systematic if index.rounding == "systematic" else Independent
        self._rounded: Rounded = rounded(index, seed, number)
        self._order = Permutation(max(1, self.length), seed, "epoch order", number)

    @property
    def length(self) -> int:
        """Draws in this epoch."""
        return int(self._rounded.slot_starts[-1])

    def rows(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The pictures at the given positions, each in ``0..length-1``."""
        slots = self._order(positions)
        rows = np.empty(len(slots), np.int64)
        for first in range(0, len(slots), BLOCK_POSITIONS):
            block = slice(first, first + BLOCK_POSITIONS)
            rows[block] = self._rows[self._places(slots[block])]
        return rows

    def _places(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots to places in the index's rows: a whole lap shows all of a group, the slots left its extra copies."""
        starts = self._rounded.slot_starts
        groups = np.searchsorted(starts, slots, side="right") - 1
        sizes = self._sizes[groups]
        laps, turns = np.divmod(slots - starts[groups], sizes)
        whole_laps = (starts[groups + 1] - starts[groups]) // sizes
        extra = np.flatnonzero(laps == whole_laps)
        turns[extra] = self._rounded.extra_turns(turns[extra], groups[extra])
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


def refuse_length(draws: float, pictures: int) -> None:
    """Refuses an epoch that no index holds.

    Args:
        draws: Expected in it.
        pictures: Those with a label.

    Raises:
        DataRefused: It is shorter than 1 draw or longer than 2.7e11.
    """
    if not 1 <= draws <= LONGEST_EPOCH:
        raise DataRefused(
            f"An epoch of {draws:.3g} draws from {pictures} labelled pictures cannot be indexed; "
            f"1 to {LONGEST_EPOCH:.2g} draws can, so change the label space or the threshold."
        )


def _unusable(folder: Path, reason: str) -> TagwiseError:
    return TagwiseError(f"The sampling index {folder} cannot be used: {reason}; remove it to build it anew.")


def _sorted_by_group(
    ids: Flat, offsets: Flat, drawn: Drawing, group_of_level: NDArray[np.int64], starts: Counts
) -> NDArray[np.uint32] | NDArray[np.int64]:
    """A stable counting sort in blocks: the rows are all that it needs memory for."""
    pictures = len(offsets) - 1
    rows = np.empty(starts[-1], np.uint32 if pictures < 2**32 else np.int64)
    following = starts[:-1].copy()
    for block, *_, draws in drawn.blocks(ids, offsets):
        levels = drawn.levels(draws)
        labelled = np.flatnonzero(levels >= 0)
        groups = group_of_level[levels[labelled]]
        order = np.argsort(groups, kind="stable")
        sizes = np.bincount(groups, minlength=len(following))
        before = np.cumsum(sizes) - sizes
        within = np.arange(len(order)) - before[groups[order]]
        rows[following[groups[order]] + within] = block.start + labelled[order]
        following += sizes
    return rows
