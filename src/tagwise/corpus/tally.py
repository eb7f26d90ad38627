"""Counts as plain values: parts of a whole, quantiles, bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_BINS = 25


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a whole."""

    name: str | None
    """None: the source does not say."""
    items: int
    items_fraction: float
    """Of the whole's items."""


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Values that 5, 50 and 95 % of the items do not exceed; each is one of the items' values."""

    low: int
    median: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Bin:
    """How many items have a value from ``low`` to ``high``, both inside."""

    low: int
    high: int
    """Of the last bin the largest value there is."""
    items: int


def fraction(items: int, whole: int) -> float:
    """The share of a whole, 0 of nothing."""
    return items / max(whole, 1)


def parts(counts: Mapping[Any, int], whole: int) -> list[Part]:
    """Counts with their shares of ``whole``, in their order."""
    return [Part(name=name, items=items, items_fraction=fraction(items, whole)) for name, items in counts.items()]


def ranked(counts: Mapping[Any, int]) -> dict[Any, int]:
    """The largest count first, ties by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0] or "")))


def quantiles(values: NDArray[Any]) -> Quantiles:
    """Of no values all are 0."""
    low, median, high = _quantiles(values, (0.05, 0.5, 0.95))
    return Quantiles(low=low, median=median, high=high)


def histogram(values: NDArray[Any]) -> list[Bin]:
    """At most 25 bins of integers from 1 on, equally wide but for the last, which holds the largest 1 % too."""
    usual = max(1, _quantiles(values, (0.99,))[0])
    widths = (digit * 10**power for power in range(18) for digit in (1, 2, 5))
    width = next(width for width in widths if usual <= _BINS * width)
    return bins(values, range(1, usual + 1, width))


def bins(values: NDArray[Any], lows: Sequence[int]) -> list[Bin]:
    """Integers by the bins that begin at ``lows``, the last without bound; those below the first are left out."""
    places = np.searchsorted(lows, values[values >= lows[0]], "right") - 1
    items = np.bincount(places, minlength=len(lows)).tolist()
    highs = [*(low - 1 for low in lows[1:]), max(lows[-1], int(values.max(initial=0)))]
    return [Bin(low=low, high=high, items=count) for low, high, count in zip(lows, highs, items, strict=True)]


def _quantiles(values: NDArray[Any], levels: Sequence[float]) -> list[int]:
    found: list[int] = np.quantile(values if len(values) else [0], levels, method="inverted_cdf").tolist()
    return found
