"""Sampling laws: what the counts of labels say of how often a picture is drawn, and what their shares then become.

After D. Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining" (arXiv
1805.00932); the repeat factor as in A. Gupta et al., "LVIS" (arXiv 1908.03195, section 3);
the head cap after H. Xu et al., "Demystifying CLIP Data" (arXiv 2309.16671).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError, unknown

BLOCK_PICTURES = 65_536
"""Pictures looked at together, so that 10^8 of them need no memory of their own."""

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Flat = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Law:
    """What a law's text means."""

    scheme: Literal["natural", "power", "cap", "raked"]
    """``power`` repeats pictures of rare labels, ``cap`` drops pictures of frequent ones, ``raked`` weighs pictures
    so that the labels' shares come out as wanted."""
    exponent: float = 0.0
    """a of power's factor ``(threshold / count)^a``, and of raked's target ``count^(1 - a)``: 0.5 for the square-root
    law, 1 for the uniform one."""


_EXPONENTS = {"sqrt": 0.5, "uniform": 1.0}
_NAMED = {
    "natural": Law(scheme="natural"),
    "sqrt": Law(scheme="power", exponent=0.5),
    "uniform": Law(scheme="power", exponent=1.0),
    "cap": Law(scheme="cap"),
    "raked": Law(scheme="raked", exponent=0.5),
}
_FAMILIES = {"power": _NAMED["sqrt"], "raked": _NAMED["raked"]}
LAW_FORMS = (*_NAMED, "power:0.3", "raked:uniform", "raked:0.3")
"""Every form that a law is written in; an exponent is above 0 and at most 1."""


def parse_law(text: str) -> Law:
    """Reads a law in one of ``LAW_FORMS``.

    Raises:
        UsageError: No such law, or an exponent out of range.

    >>> parse_law("power:0.5") == parse_law("sqrt")
    True
    """
    if text in _NAMED:
        return _NAMED[text]
    family, _, told = text.partition(":")
    try:
        exponent = _EXPONENTS[told] if told in _EXPONENTS else float(told)
        law = replace(_FAMILIES[family], exponent=exponent)
    except (KeyError, ValueError):
        raise unknown("law", text, LAW_FORMS) from None
    if not 0 < exponent <= 1:
        raise UsageError(f"The law {text} has the exponent {told}; give one above 0 and at most 1: {family}:0.3.")
    return law


def label_factors(counts: Counts, law: str, threshold: float | None = None) -> Numbers:
    """What each label does to its pictures: ``max(1, (threshold / count)^a)``, capped ``min(1, threshold / count)``.

    Args:
        counts: Pictures of each label.
        law: Any but a raked one, whose pictures do not follow from counts alone; ``natural`` changes nothing.
        threshold: Pictures that a label needs not to be repeated, or may have not to be thinned out; none for
            ``natural``.

    Returns:
        Repeat factors of at least 1, or probabilities to keep a picture; 1 for a label without pictures.

    Raises:
        UsageError: No such law, or a threshold that it cannot use.
    """
    parsed = parse_law(law)
    assert parsed.scheme != "raked", law
    factors = np.ones(len(counts))
    if parsed.scheme == "natural":
        if threshold is not None:
            raise UsageError(f"The natural law changes nothing, so it has no threshold; {threshold} was given.")
        return factors
    if threshold is None or not 0 < threshold < np.inf:
        raise UsageError(f"The law {law} needs a threshold in pictures, above 0; {threshold} was given.")
    np.divide(threshold, counts, out=factors, where=counts > 0)
    if parsed.scheme == "cap":
        return np.minimum(1.0, factors, out=factors)
    powers = np.sqrt(factors) if parsed.exponent == 0.5 else factors**parsed.exponent
    return np.maximum(1.0, powers, out=factors)


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
    for pictures, entries, starts in blocks(offsets):
        yield pictures.start, by_rarity[joined(np.maximum, rank[ids[entries]], starts, -1)]


def rarest_counts(ids: Flat, offsets: Flat, counts: Counts) -> Counts:
    """For each label, the number of pictures that hold no rarer one; they sum to the labelled pictures."""
    pictures = np.zeros(len(counts) + 1, np.int64)
    for _, rarest in rarest_labels(ids, offsets, counts):
        pictures += np.bincount(rarest + 1, minlength=len(pictures))
    return pictures[1:]


def power_target(counts: Counts, exponent: float) -> Numbers:
    """The law in which shares are as ``count^(1 - exponent)``; 0 for a label without pictures."""
    powers = np.zeros(len(counts))
    np.power(counts, 1.0 - exponent, out=powers, where=counts > 0)
    return normalised(powers)


def blocks(offsets: Flat) -> Iterator[tuple[slice, slice, Flat]]:
    """Walks over flat label ids in blocks of pictures.

    Yields:
        Slices of the pictures and of their entries; where each picture begins among those, and where the last ends.
    """
    pictures = len(offsets) - 1
    for first in range(0, pictures, BLOCK_PICTURES):
        last = min(first + BLOCK_PICTURES, pictures)
        starts = offsets[first : last + 1]
        yield slice(first, last), slice(int(starts[0]), int(starts[-1])), starts - starts[0]


def labelled_pictures(offsets: Flat) -> int:
    """Pictures that have a label."""
    return sum(int(np.count_nonzero(np.diff(starts))) for *_, starts in blocks(offsets))


def joined(ufunc: np.ufunc, values: NDArray[Any], starts: Flat, otherwise: float) -> NDArray[Any]:
    """The values of each picture of a block taken together by ``ufunc``; ``otherwise`` where it has none."""
    together = np.full(len(starts) - 1, otherwise, values.dtype)
    held = np.diff(starts) > 0
    if held.any():  # reduceat would take an empty picture's value from the next
        together[held] = ufunc.reduceat(values, starts[:-1][held])
    return together


def normalised(totals: Numbers) -> Numbers:
    """Shares that sum to 1."""
    shares: Numbers = totals / totals.sum()
    return shares
