"""Expected draws made whole in each epoch: of a group's pictures, how many extra copies there are and who gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tagwise.base.rng import stream_seed
from tagwise.tags.permutation import BLOCK_POSITIONS, mixed, permuted

if TYPE_CHECKING:
    from tagwise.tags.epoch import EpochIndex

Rounding = Literal["systematic", "independent"]

FRACTION_BITS = 24
"""Expected draws are held in units of 2^-24; whole ones are exact."""

_FRACTION = 2**FRACTION_BITS - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Rounded(Protocol):
    """The slots of one epoch: each group's pictures lap by lap, then its extra copies."""

    slot_starts: NDArray[np.int64]
    """Where each group's slots begin; one more than groups."""

    def extra_turns(self, turns: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which members of their groups the given extra copies, counted from 0 in each group, are of."""
        ...


class Systematic:
    """The running sum of expected draws, moved by one random offset and cut at whole numbers.

    An epoch's length is the sum of all expected draws, rounded down or up. No memory by picture.
    """

    def __init__(self, index: EpochIndex, seed: int, number: int) -> None:
        offset = stream_seed(seed, "epoch offset", number) % 2**FRACTION_BITS
        self.slot_starts = (index.sums + offset) >> FRACTION_BITS
        self._sizes = np.diff(index.group_starts)
        key = np.uint64(stream_seed(seed, "epoch groups", number))
        self._keys = mixed(np.arange(len(self._sizes), dtype=np.uint64) + key)

    def extra_turns(self, turns: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """A random choice of each group, computed from a key of its own."""
        # The rotation alone makes every member equally likely, however few bits the permutation works on.
        lengths, keys = self._sizes[groups].astype(np.uint64), self._keys[groups]
        moved = permuted(turns.astype(np.uint64), lengths, keys)
        return ((moved + mixed(~keys) % lengths) % lengths).astype(np.int64)


class Independent:
    """Each picture's fraction is its own chance of one more copy, drawn anew each epoch by a keyed hash of its row.

    As the repeat-factor sampler of LVIS and detectron2 rounds. The lengths of epochs vary: their
    standard deviation is the root of the sum of fraction * (1 - fraction). Who gets a copy cannot be
    computed at a position alone, so opening an epoch hashes every picture and holds the places of
    those with an extra copy: 4 bytes each (8 from 2^32 pictures on), up to 4 GB for 10^9 pictures
    where systematic rounding needs none; and a training that goes on opens every epoch before its
    own once, to learn where its own begins.
    """

    def __init__(self, index: EpochIndex, seed: int, number: int) -> None:
        sizes = np.diff(index.group_starts)
        key = np.uint64(stream_seed(seed, "epoch copies", number))
        self._places = _lucky_places(index, key)
        self._row_starts = index.group_starts[:-1]
        self._extra_starts = np.searchsorted(self._places, index.group_starts)
        copies = sizes * (index.group_factors >> FRACTION_BITS) + np.diff(self._extra_starts)
        self.slot_starts = np.concatenate([[0], np.cumsum(copies)])

    def extra_turns(self, turns: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of each group that were lucky."""
        return self._places[self._extra_starts[groups] + turns] - self._row_starts[groups]


def _lucky_places(index: EpochIndex, key: np.uint64) -> NDArray[Any]:
    """Ascending places, among the index's rows, of the pictures that get an extra copy."""
    found: list[NDArray[Any]] = [np.empty(0, index.rows.dtype)]
    fractions = index.group_factors & _FRACTION
    for first in range(0, len(index.rows), BLOCK_POSITIONS):
        rows = np.asarray(index.rows[first : first + BLOCK_POSITIONS]).astype(np.uint64)
        places = np.arange(first, first + len(rows))
        groups = np.searchsorted(index.group_starts, places, side="right") - 1
        chances = mixed(rows * _GOLDEN + key) >> np.uint64(64 - FRACTION_BITS)  # SplitMix64's outputs, by row
        found.append(places[chances < fractions[groups].astype(np.uint64)].astype(index.rows.dtype))
    return np.concatenate(found)
