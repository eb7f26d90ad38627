"""Keyed permutations: a random order of any length that is computed, not stored.

An alternating Feistel network on ceil(log2 length) bits, walked along its cycles until the
value is in range (J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA
2002). Its round function is the finaliser of SplitMix64 (G. Steele et al., OOPSLA 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.rng import stream_seed

Words = NDArray[np.uint64]

ROUNDS = 6
BLOCK_POSITIONS = 16_384
"""Positions worked on together: their arrays stay in the processor's cache."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
_ROUND_STEPS = [np.uint64(_GOLDEN * number & _MASK) for number in range(1, ROUNDS + 1)]


def mixed(words: Words) -> Words:
    """Each 64-bit word turned into an unrelated one, distinct words into distinct ones."""
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


def permuted(values: Words, lengths: Words, keys: Words) -> Words:
    """Sends each value to another place below its length.

    Args:
        values: Below their lengths.
        lengths: One for all values, or one each; at most 2^63.
        keys: One for all values, or one each. Values of one length and key go to distinct places.
    """
    bits = _bits(lengths)
    low = bits >> np.uint64(1)
    high = bits - low
    moved = values = _moved(values, low, high, keys)
    places = outside = np.flatnonzero(values >= lengths)
    while len(outside):
        low, high, keys, lengths = (_taken(array, outside) for array in (low, high, keys, lengths))
        moved[places] = values = _moved(values[outside], low, high, keys)
        outside = np.flatnonzero(values >= lengths)
        places = places[outside]
    return moved


class Permutation:
    """A random order of ``0..length-1``, fixed by a seed and names.

    Args:
        length: At least 1.
        seed: The run's one seed.
        names: What the order is for, from the general to the special: ``"shuffle", 3``.
    """

    def __init__(self, length: int, seed: int, *names: str | int) -> None:
        assert 1 <= length <= 2**62, length
        self.length = length
        self._lengths = np.array([length], np.uint64)
        self._keys = np.array([stream_seed(seed, *names)], np.uint64)

    def __call__(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """What stands at the given positions of the order, each in ``0..length-1``."""
        assert not len(positions) or 0 <= int(positions.min()) <= int(positions.max()) < self.length
        return permuted(positions.astype(np.uint64), self._lengths, self._keys).view(np.int64)


def _bits(lengths: Words) -> Words:
    """ceil(log2 length), exactly: the last value's bits, counted in two halves that floats hold."""
    last = lengths - np.uint64(1)
    upper = last >> np.uint64(32)
    halves = np.where(upper > 0, upper, last & np.uint64(2**32 - 1))
    bits = np.frexp(halves.astype(np.float64))[1].astype(np.uint64)
    return np.where(upper > 0, bits + np.uint64(32), bits).astype(np.uint64)


def _moved(values: Words, low: Words, high: Words, keys: Words) -> Words:
    """One step of the walk, block by block: the few values that walk far would be too few for blocks of their own."""
    moved = np.empty_like(values)
    for first in range(0, len(values), BLOCK_POSITIONS):
        block = slice(first, first + BLOCK_POSITIONS)
        moved[block] = _feistel(values[block], *(_taken(array, block) for array in (low, high, keys)))
    return moved


def _feistel(values: Words, low: Words, high: Words, keys: Words) -> Words:
    one = np.uint64(1)
    low_mask, high_mask = (one << low) - one, (one << high) - one
    left, right = values >> low, values & low_mask
    for number, step in enumerate(_ROUND_STEPS):
        if number % 2 == 0:
            left ^= mixed(right + (keys + step)) & high_mask
        else:
            right ^= mixed(left + (keys + step)) & low_mask
    return (left << low) | right


def _taken(array: Words, where: NDArray[np.intp] | slice) -> Words:
    return array if len(array) == 1 else array[where]
