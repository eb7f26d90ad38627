"""What a sampling law makes of a corpus: the law asked for, and the laws that the loss will see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tagwise.base.errors import DataRefused
from tagwise.tags.laws import (
    Counts,
    Flat,
    Law,
    Numbers,
    image_factors,
    intended_law,
    label_factors,
    mass_law,
    occurrence_law,
)


@dataclass(frozen=True, kw_only=True)
class LawStatistics:
    """How even a law is, and how far from the intended one."""

    effective_labels: float
    """exp of the entropy in nats: as many equally frequent labels are as uneven."""
    head_fraction: float
    """Share of the most frequent hundredth of the labels, rounded up."""
    largest_fraction: float
    """Share of the most frequent label."""
    rank_slope: float
    """Least squares of ln share on ln rank, labels without share left out; 0 for a single one."""
    total_variation: float
    """Half the sum of absolute differences to the intended law, 0..1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledLaws:
    """What a sampling law makes of a corpus."""

    law: Law
    threshold: float | None
    """In pictures; None for ``natural``."""
    pictures: int
    """Labelled pictures."""
    epoch_length: float
    """Expected draws in an epoch."""
    largest_factor: float
    """Most expected draws of one picture."""
    effective_sample_size: float
    """(sum of factors)^2 / sum of their squares: as many equally drawn pictures say as much."""
    occurrence: Numbers
    """Share of each label among the labels drawn."""
    mass: Numbers
    """Share of each label in the targets of the softmax loss."""
    intended: Numbers
    """Share of each label that the law aims at."""
    drawn_fraction: Numbers
    """Share of the drawn pictures that hold each label; sums to the mean number of labels."""
    occurrence_statistics: LawStatistics
    mass_statistics: LawStatistics
    intended_statistics: LawStatistics


@dataclass(frozen=True, kw_only=True, eq=False)
class LawReport:
    """The corpus as it is, and as it is drawn."""

    natural: SampledLaws
    chosen: SampledLaws


def law_statistics(law_V: Numbers, intended_V: Numbers) -> LawStatistics:
    """The statistics of one law; labels without share count in the head's hundredth."""
    shares = np.sort(law_V)[::-1]
    seen = shares[shares > 0]
    return LawStatistics(
        effective_labels=float(np.exp(-(seen * np.log(seen)).sum())),
        head_fraction=float(shares[: -(-len(shares) // 100)].sum()),
        largest_fraction=float(shares[0]),
        rank_slope=_rank_slope(seen),
        total_variation=float(np.abs(law_V - intended_V).sum() / 2),
    )


def sampled_laws(ids: Flat, offsets: Flat, counts: Counts, law: Law, threshold: float | None = None) -> SampledLaws:
    """Computes the three laws of a corpus under one sampling law.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        counts: Pictures of each label.
        law: How pictures are repeated.
        threshold: In pictures; None for ``natural``.

    Raises:
        DataRefused: No picture has a label.
        UsageError: Law and threshold do not fit.
    """
    factors = label_factors(counts, law, threshold)
    weights = image_factors(ids, offsets, factors)
    if not weights.any():
        raise DataRefused(
            f"None of {len(weights)} pictures has a label, so nothing can be drawn; widen the label space."
        )
    intended = intended_law(counts, factors)
    occurrence = occurrence_law(ids, offsets, weights, len(counts))
    mass = mass_law(ids, offsets, weights, len(counts))
    labels_a_draw = float(weights @ np.diff(offsets) / weights.sum())
    return SampledLaws(
        law=law,
        threshold=threshold,
        pictures=int(np.count_nonzero(weights)),
        epoch_length=float(weights.sum()),
        largest_factor=float(weights.max()),
        effective_sample_size=float(weights.sum() ** 2 / (weights**2).sum()),
        occurrence=occurrence,
        mass=mass,
        intended=intended,
        drawn_fraction=occurrence * labels_a_draw,
        occurrence_statistics=law_statistics(occurrence, intended),
        mass_statistics=law_statistics(mass, intended),
        intended_statistics=law_statistics(intended, intended),
    )


def report_laws(ids: Flat, offsets: Flat, counts: Counts, law: Law, threshold: float | None = None) -> LawReport:
    """The laws that a corpus has and those it gets; arguments and errors as in ``sampled_laws``."""
    natural = sampled_laws(ids, offsets, counts, "natural")
    return LawReport(natural=natural, chosen=sampled_laws(ids, offsets, counts, law, threshold))


def _rank_slope(shares: Numbers) -> float:
    if len(shares) < 2:
        return 0.0
    ranks = np.log(np.arange(1, len(shares) + 1))
    centred = ranks - ranks.mean()
    return float(centred @ (np.log(shares) - np.log(shares).mean()) / (centred @ centred))
