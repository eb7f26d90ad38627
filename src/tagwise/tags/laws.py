"""Sampling laws: how often a picture is drawn, and what its labels' shares then become.

After D. Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining" (arXiv
1805.00932); the repeat factor as in A. Gupta et al., "LVIS" (arXiv 1908.03195, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError, unknown

Law = Literal["natural", "sqrt", "uniform"]
LAWS: tuple[Law, ...] = get_args(Law)

DEFAULT_EPOCH_LENGTH = 1.5
"""Draws in an epoch per labelled picture, where no threshold is given."""

BLOCK_PICTURES = 65_536
"""Pictures looked at together, so that 10^8 of them need no memory of their own."""

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Flat = NDArray[np.integer[Any]]


def label_factors(counts: Counts, law: Law, threshold: float | None = None) -> Numbers:
    """Repeat factor of each label: ``max(1, phi(threshold / count))``.

    Args:
        counts: Pictures of each label.
        law: ``sqrt`` and ``uniform`` name phi, the square root or the identity; ``natural``
            repeats nothing.
        threshold: Pictures that a label needs not to be repeated; none for ``natural``.

    Returns:
        Factors of at least 1; 1 for a label without pictures.

    Raises:
        UsageError: No such law, or a threshold that it cannot use.
    """
    if law not in LAWS:
        raise unknown("law", law, LAWS)
    factors = np.ones(len(counts))
    if law == "natural":
        if threshold is not None:
            raise UsageError(f"The natural law repeats nothing, so it has no threshold; {threshold} was given.")
        return factors
    if threshold is None or not 0 < threshold < np.inf:
        raise UsageError(f"The law {law} needs a threshold in pictures, above 0; {threshold} was given.")
    np.divide(threshold, counts, out=factors, where=counts > 0)
    return np.maximum(1.0, np.sqrt(factors) if law == "sqrt" else factors, out=factors)


def image_factors(ids: Flat, offsets: Flat, factors: Numbers) -> Numbers:
    """Repeat factor of each picture: the largest of its labels.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``; one more than pictures.
        factors: Repeat factor of each label.

    Returns:
        One factor a picture; 0 for pictures without labels, which are never drawn.
    """
    drawn = np.empty(len(offsets) - 1)
    for rows, tags in _blocks(offsets):
        drawn[rows] = _largest(factors[ids[tags]], offsets[rows.start : rows.stop + 1], 0.0)
    return drawn


def rarest_labels(ids: Flat, offsets: Flat, counts: Counts) -> Iterator[tuple[int, Counts]]:
    """Walks over the pictures in blocks and says the rarest label of each.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        counts: Pictures of each label; of equally rare ones the larger id is said.

    Yields:
        The first picture of a block; label ids, -1 for pictures without labels.
    """
    by_rarity = np.argsort(-counts, kind="stable")
    rank = np.empty(len(counts), np.int64)
    rank[by_rarity] = np.arange(len(counts))
    by_rarity = np.append(by_rarity, -1)
    for rows, tags in _blocks(offsets):
        ranks = _largest(rank[ids[tags]], offsets[rows.start : rows.stop + 1], -1)
        yield rows.start, by_rarity[ranks]


def rarest_counts(ids: Flat, offsets: Flat, counts: Counts) -> Counts:
    """For each label, the number of pictures that hold no rarer one; they sum to the labelled pictures."""
    pictures = np.zeros(len(counts) + 1, np.int64)
    for _, rarest in rarest_labels(ids, offsets, counts):
        pictures += np.bincount(rarest + 1, minlength=len(pictures))
    return pictures[1:]


def occurrence_law(ids: Flat, offsets: Flat, weights: Numbers, labels: int) -> Numbers:
    """Share of each label among all labels of the pictures drawn.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        weights: Expected draws of each picture.
        labels: Size of the label space.
    """
    return _normalised(_weighted_counts(ids, offsets, weights, labels))


def mass_law(ids: Flat, offsets: Flat, weights: Numbers, labels: int) -> Numbers:
    """Share of each label in the targets of a softmax, where each of a picture's k labels is 1/k.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        weights: Expected draws of each picture.
        labels: Size of the label space.
    """
    per_label = weights / np.maximum(1, np.diff(offsets))
    return _normalised(_weighted_counts(ids, offsets, per_label, labels))


def intended_law(counts: Counts, factors: Numbers) -> Numbers:
    """The law that the factors aim at: they would reach it if every picture had one label."""
    return _normalised(counts * factors)


def threshold_for_length(counts: Counts, rarest: Counts, law: Law, length: float | None = None) -> float:
    """The smallest threshold whose epoch has the length wanted.

    Between two neighbouring counts the length is linear in phi(threshold), so that it is
    solved there instead of searched for.

    Args:
        counts: Pictures of each label.
        rarest: Pictures of which it is the rarest label, as ``rarest_counts`` gives them.
        law: ``sqrt`` or ``uniform``.
        length: Expected draws in an epoch; 1.5 times the labelled pictures unless given.

    Raises:
        UsageError: The length is below the number of labelled pictures, or the law has none.
    """
    if law not in LAWS or law == "natural":
        raise unknown("law with a threshold", law, LAWS[1:])
    pictures = int(rarest.sum())
    length = DEFAULT_EPOCH_LENGTH * pictures if length is None else length
    if not 1 <= pictures <= length < np.inf:
        raise UsageError(
            f"An epoch of {length:g} draws cannot show each of {pictures} labelled pictures; "
            f"ask for {max(1, pictures)} or more."
        )
    held = rarest > 0
    order = np.argsort(counts[held], kind="stable")
    levels, sizes = counts[held][order].astype(np.float64), rarest[held][order]
    phi = np.sqrt(levels) if law == "sqrt" else levels
    repeated = np.cumsum(sizes / phi)  # draws per phi(threshold) of the labels up to this level
    unrepeated = pictures - np.cumsum(sizes)
    reached = max(0, int(np.searchsorted(phi * repeated + unrepeated, length, side="right")) - 1)
    solved = float((length - unrepeated[reached]) / repeated[reached])
    return solved**2 if law == "sqrt" else solved


def _blocks(offsets: Flat) -> Iterator[tuple[slice, slice]]:
    """Slices of pictures and of their entries."""
    pictures = len(offsets) - 1
    for first in range(0, pictures, BLOCK_PICTURES):
        last = min(first + BLOCK_PICTURES, pictures)
        yield slice(first, last), slice(int(offsets[first]), int(offsets[last]))


def _largest(values: NDArray[Any], offsets: Flat, otherwise: float) -> NDArray[Any]:
    """The largest value of each picture of a block; ``otherwise`` where it has none."""
    largest = np.full(len(offsets) - 1, otherwise, values.dtype)
    held = np.diff(offsets) > 0
    if held.any():  # reduceat would take an empty picture's value from the next
        largest[held] = np.maximum.reduceat(values, offsets[:-1][held] - offsets[0])
    return largest


def _weighted_counts(ids: Flat, offsets: Flat, weights: Numbers, labels: int) -> Numbers:
    totals = np.zeros(labels)
    for rows, tags in _blocks(offsets):
        per_tag = np.repeat(weights[rows], np.diff(offsets[rows.start : rows.stop + 1]))
        totals += np.bincount(ids[tags], weights=per_tag, minlength=labels)
    return totals


def _normalised(totals: Numbers) -> Numbers:
    shares: Numbers = totals / totals.sum()
    return shares
