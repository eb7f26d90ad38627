"""What a sampling law makes of a corpus: the law asked for, and the laws that the loss will see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tagwise.base.errors import DataRefused
from tagwise.tags.drawing import Drawing, drawing
from tagwise.tags.laws import Counts, Flat, Numbers, normalised


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

    drawn: Drawing
    """How often each picture is drawn."""
    pictures: int
    """Labelled pictures."""
    epoch_length: float
    """Expected draws in an epoch."""
    largest_factor: float
    """Most expected draws of one picture."""
    effective_sample_size: float
    """(sum of draws)^2 / sum of their squares: as many equally drawn pictures say as much."""
    half_epoch_pictures: int
    """The fewest pictures that make up half of the draws."""
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


def sampled_laws(ids: Flat, offsets: Flat, counts: Counts, law: str, threshold: float | None = None) -> SampledLaws:
    """Computes the three laws of a corpus under one sampling law.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        counts: Pictures of each label.
        law: How pictures are drawn, as ``parse_law`` reads it.
        threshold: As ``choose_threshold`` gives it.

    Raises:
        DataRefused: No picture has a label.
        UsageError: Law and threshold do not fit.
    """
    drawn = drawing(ids, offsets, counts, law, threshold)
    totals = _Totals(len(counts), drawn.level_count)
    for _, entries, starts, draws in drawn.blocks(ids, offsets):
        totals.add(ids[entries], np.diff(starts), draws, drawn.levels(draws))
    if not totals.pictures:
        raise DataRefused(
            f"None of {len(offsets) - 1} pictures has a label, so nothing can be drawn; widen the label space."
        )
    length = float(totals.draws.sum())
    occurrence, mass = normalised(totals.occurrences), normalised(totals.mass)
    return SampledLaws(
        drawn=drawn,
        pictures=totals.pictures,
        epoch_length=length,
        largest_factor=totals.largest,
        effective_sample_size=length**2 / totals.squares,
        half_epoch_pictures=_pictures_of_half(totals.sizes, totals.draws),
        occurrence=occurrence,
        mass=mass,
        intended=drawn.intended,
        drawn_fraction=totals.occurrences / length,
        occurrence_statistics=law_statistics(occurrence, drawn.intended),
        mass_statistics=law_statistics(mass, drawn.intended),
        intended_statistics=law_statistics(drawn.intended, drawn.intended),
    )


def report_laws(ids: Flat, offsets: Flat, counts: Counts, law: str, threshold: float | None = None) -> LawReport:
    """The laws that a corpus has and those it gets; arguments and errors as in ``sampled_laws``."""
    natural = sampled_laws(ids, offsets, counts, "natural")
    return LawReport(natural=natural, chosen=sampled_laws(ids, offsets, counts, law, threshold))


class _Totals:
    """Sums over pictures, block by block."""

    def __init__(self, labels: int, levels: int) -> None:
        self.occurrences, self.mass = np.zeros(labels), np.zeros(labels)
        self.sizes, self.draws = np.zeros(levels, np.int64), np.zeros(levels)
        """Pictures and their draws by level."""
        self.pictures, self.squares, self.largest = 0, 0.0, 0.0

    def add(self, ids: Flat, sizes: Counts, draws: Numbers, levels: Counts) -> None:
        self.occurrences += np.bincount(ids, np.repeat(draws, sizes), len(self.mass))
        self.mass += np.bincount(ids, np.repeat(draws / np.maximum(1, sizes), sizes), len(self.mass))
        self.sizes += np.bincount(levels + 1, minlength=len(self.sizes) + 1)[1:]
        self.draws += np.bincount(levels + 1, draws, len(self.draws) + 1)[1:]
        self.pictures += int(np.count_nonzero(sizes))
        self.squares += float(draws @ draws)
        self.largest = max(self.largest, float(draws.max()))


def _pictures_of_half(sizes: Counts, draws: Numbers) -> int:
    """The fewest pictures with half of the draws; levels ascend, and within one all are drawn alike."""
    sizes, draws = sizes[draws > 0][::-1], draws[draws > 0][::-1]
    sums = np.cumsum(draws)
    half = sums[-1] / 2
    level = int(np.searchsorted(sums, half))
    missing = half - (sums[level] - draws[level])
    return int(sizes[:level].sum()) + int(np.ceil(missing / draws[level] * sizes[level] - 1e-9))


def _rank_slope(shares: Numbers) -> float:
    if len(shares) < 2:
        return 0.0
    ranks = np.log(np.arange(1, len(shares) + 1))
    centred = ranks - ranks.mean()
    return float(centred @ (np.log(shares) - np.log(shares).mean()) / (centred @ centred))
