"""Epoch after epoch as one endless order of pictures, of which any stretch can be asked for."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from tagwise.tags.epoch import Epoch, EpochIndex


class PictureStream:
    """Which picture is the n-th that a training sees; a pure function of index and seed.

    Epochs follow each other without a gap: the last batch of one is filled from the next, so that
    every picture of an epoch is seen.

    Args:
        index: The corpus under its sampling law.
        seed: The run's one seed.
    """

    def __init__(self, index: EpochIndex, seed: int) -> None:
        self._index, self._seed = index, seed
        self._starts = [0]
        self._epoch: tuple[int, Epoch] | None = None

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The pictures at ascending positions of the endless order."""
        rows = np.empty(len(positions), np.int64)
        filled = 0
        while filled < len(positions):
            number = self.epoch_of(int(positions[filled]))
            start, end = self._starts[number], self._starts[number + 1]
            count = int(np.searchsorted(positions[filled:], end))
            part = slice(filled, filled + count)
            rows[part] = self._opened(number).rows(positions[part] - start)
            filled += count
        return rows

    def epoch_of(self, position: int) -> int:
        """The epoch, from 0, that a position lies in."""
        while self._starts[-1] <= position:
            self._starts.append(self._starts[-1] + self._opened(len(self._starts) - 1).length)
        return bisect_right(self._starts, position) - 1

    def _opened(self, number: int) -> Epoch:
        if self._epoch is None or self._epoch[0] != number:
            self._epoch = number, self._index.epoch(self._seed, number)
        return self._epoch[1]
