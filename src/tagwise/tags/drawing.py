"""How often each picture is drawn under a sampling law: one number a label, taken together by picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError
from tagwise.tags.laws import Counts, Flat, Numbers, blocks, joined, label_factors, normalised, parse_law
from tagwise.tags.raking import Raking, rake

OCTAVES_BELOW_1, OCTAVES = 24, 62
LEVELS_AN_OCTAVE = 1024
"""Where factors are not those of single labels, pictures within 0.07 % of each other share the mean of theirs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """Expected draws in an epoch of any picture; 0 for pictures without labels, which are never drawn."""

    law: str
    threshold: float | None
    """In pictures; draws in an epoch for a raked law; None for ``natural``."""
    by_label: Numbers
    """What each label says of its pictures."""
    how: Literal["largest", "any", "weighed"]
    """A picture's draws are the ``largest`` of its labels' factors; the chance that ``any`` of its labels keeps it,
    told by logarithms of the chance not to; or its raked weight, told by logarithms of weights."""
    intended: Numbers
    """Share of each label that the law aims at."""
    raking: Raking | None = None
    scale: float = 1.0
    """Draws of a picture of weight 1."""

    def blocks(self, ids: Flat, offsets: Flat) -> Iterator[tuple[slice, slice, Flat, Numbers]]:
        """Walks over pictures in blocks.

        Yields:
            As ``laws.blocks``, and the expected draws of each picture.
        """
        for pictures, entries, starts in blocks(offsets):
            yield pictures, entries, starts, self._draws(self.by_label[ids[entries]], starts)

    def levels(self, draws: Numbers) -> NDArray[np.int64]:
        """Numbers pictures by how often they are drawn, those drawn alike the same; -1 for those never drawn.

        The largest factors of labels keep a level each; all others share 63,488 on a logarithmic scale.
        """
        if self.how == "largest":
            found = np.searchsorted(self._factors, draws)
        else:
            logarithms = np.log2(draws, out=np.zeros(len(draws)), where=draws > 0)
            found = np.floor((logarithms + OCTAVES_BELOW_1) * LEVELS_AN_OCTAVE).astype(np.int64)
            found = np.clip(found, 0, self.level_count - 1)
        return np.where(draws > 0, found, -1)

    @property
    def level_count(self) -> int:
        """Levels that there can be."""
        return len(self._factors) if self.how == "largest" else OCTAVES * LEVELS_AN_OCTAVE

    @cached_property
    def _factors(self) -> Numbers:
        return np.unique(self.by_label)

    def _draws(self, told: Numbers, starts: Flat) -> Numbers:
        if self.how == "largest":
            return joined(np.maximum, told, starts, 0.0)
        if self.how == "any":
            return -np.expm1(joined(np.add, told, starts, 0.0))
        assert self.raking is not None
        return self.raking.weights(told, starts) * self.scale


def drawing(ids: Flat, offsets: Flat, counts: Counts, law: str, threshold: float | None = None) -> Drawing:
    """Finds how often pictures are drawn.

    The largest factor of a picture's labels is its repeat factor (A. Gupta et al., LVIS, arXiv
    1908.03195); a capped picture is kept where any of its labels keeps it (MetaCLIP, arXiv 2309.16671).

    Args:
        ids: Label ids of all pictures, one after the other; may be a memory map.
        offsets: Where each picture begins in ``ids``; one more than pictures; may be one too.
        counts: Pictures of each label.
        law: As ``parse_law`` reads it.
        threshold: As ``choose_threshold`` gives it.

    Raises:
        UsageError: No such law, or a threshold that it cannot use.
        DataRefused: No picture has a label to rake by.
    """
    parsed = parse_law(law)
    if parsed.scheme == "raked":
        if threshold is None or not 0 < threshold < np.inf:
            raise UsageError(f"The law {law} needs the draws of an epoch as its threshold; {threshold} was given.")
        raking = rake(ids, offsets, counts, parsed.exponent)
        return Drawing(
            law=law,
            threshold=threshold,
            by_label=raking.log_weights,
            how="weighed",
            intended=raking.target,
            raking=raking,
            scale=threshold / raking.pictures,
        )
    factors = label_factors(counts, law, threshold)
    intended = normalised(counts * factors) if counts.any() else factors
    if parsed.scheme == "cap":
        with np.errstate(divide="ignore"):
            kept_not = np.log1p(-factors)
        return Drawing(law=law, threshold=threshold, by_label=kept_not, how="any", intended=intended)
    return Drawing(law=law, threshold=threshold, by_label=factors, how="largest", intended=intended)
