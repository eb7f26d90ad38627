"""Raking: weights of pictures under which the labels' shares are those wanted, where that can be.

Generalised iterative scaling (J. Darroch and D. Ratcliff, "Generalized Iterative Scaling for
Log-Linear Models", Annals of Mathematical Statistics 43, 1972). A picture with k labels gives
each of them 1/k; these vectors sum to 1, so that each round is one multiplication a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tagwise.base.errors import DataRefused
from tagwise.base.progress import progress
from tagwise.tags.laws import Counts, Flat, Numbers, blocks, joined, normalised, power_target

WEIGHT_CAP = 20.0
"""The largest weight, in means."""

TOLERANCE = 1e-4
"""Total variation between the law reached and the one wanted at which raking is done."""

STALL_ROUNDS = 16
"""Rounds in which the distance has to fall by a twentieth, or raking ends."""

MOST_ROUNDS = 1000

_OVERFLOW = 700.0
"""Above this exp is infinite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Raking:
    """Weights of mean 1, told by one number a label, and how near they come to the law wanted."""

    log_weights: Numbers
    """The mean over a picture's labels is the logarithm of its weight, before the cap."""
    weight_cap: float
    pictures: int
    """Those with a label."""
    status: Literal["interior", "boundary", "infeasible"]
    """``interior``: reached; ``infeasible``: proven that no weights below the cap reach it; ``boundary``: neither, as
    at the edge of what weights can do, which is approached ever more slowly."""
    rounds: int
    target: Numbers
    """Share of each label that is wanted in the targets of a softmax."""
    before: Numbers
    """Their shares in the corpus as it is."""
    after: Numbers
    """Their shares under the weights."""
    capped_pictures: int
    """Pictures at the cap."""

    def weights(self, logs: Numbers, starts: Flat) -> Numbers:
        """Weights of a block's pictures out of their labels' ``log_weights``; 0 for pictures without labels."""
        return _weights(logs, starts, self.weight_cap)

    @property
    def distance_before(self) -> float:
        """Total variation between the corpus's law and the one wanted, 0..1."""
        return _distance(self.before, self.target)

    @property
    def distance(self) -> float:
        """Total variation between the law reached and the one wanted, 0..1."""
        return _distance(self.after, self.target)


def rake(
    ids: Flat,
    offsets: Flat,
    counts: Counts,
    exponent: float,
    *,
    weight_cap: float = WEIGHT_CAP,
    tolerance: float = TOLERANCE,
) -> Raking:
    """Finds the weights nearest to equal ones, by relative entropy, whose law is as ``count^(1 - exponent)``.

    The cap belongs to each round, so that the uncapped weights make up for it: a round minimises
    an upper bound of the dual function, and that bound holds for ``min(cap, exp)`` as for ``exp``.

    Args:
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``.
        counts: Pictures of each label.
        exponent: 0.5 for the square-root law, 1 for the uniform one.
        weight_cap: The largest weight, in means; above 1.
        tolerance: Total variation at which the law counts as reached.

    Raises:
        DataRefused: No picture has a label.
    """
    if not counts.any():
        raise DataRefused("No picture has a label, so nothing can be raked; widen the label space.")
    target, logs = power_target(counts, exponent), np.zeros(len(counts))
    totals, pictures, _ = _totals(ids, offsets, logs, weight_cap)
    before = normalised(totals)
    distances = [_distance(before, target)]
    step = _step(target * pictures, totals)
    with progress("raking", MOST_ROUNDS, "rounds at most") as ticker:
        while distances[-1] >= tolerance and not _stalled(distances):
            logs += step
            totals, pictures, _ = _totals(ids, offsets, logs, weight_cap)
            distances.append(_distance(normalised(totals), target))
            step = _step(target * pictures, totals)
            ticker.advance(distance=distances[-1])
    reached = distances[-1] < tolerance
    infeasible = not reached and _out_of_reach(ids, offsets, step, target, weight_cap)
    logs = _to_mean_one(ids, offsets, logs, weight_cap)
    totals, _, capped_pictures = _totals(ids, offsets, logs, weight_cap)
    return Raking(
        log_weights=logs,
        weight_cap=weight_cap,
        pictures=pictures,
        status="interior" if reached else "infeasible" if infeasible else "boundary",
        rounds=len(distances) - 1,
        target=target,
        before=before,
        after=normalised(totals),
        capped_pictures=capped_pictures,
    )


def _weights(logs: Numbers, starts: Flat, weight_cap: float) -> Numbers:
    means = joined(np.add, logs, starts, -np.inf) / np.maximum(1, np.diff(starts))
    return np.minimum(weight_cap, np.exp(np.minimum(means, _OVERFLOW)))


def _totals(ids: Flat, offsets: Flat, logs: Numbers, weight_cap: float) -> tuple[Numbers, int, int]:
    """Mass of each label, labelled pictures, and those at the cap."""
    totals = np.zeros(len(logs))
    pictures = capped = 0
    for _, entries, starts in blocks(offsets):
        labels, sizes = ids[entries], np.diff(starts)
        weights = _weights(logs[labels], starts, weight_cap)
        totals += np.bincount(labels, np.repeat(weights / np.maximum(1, sizes), sizes), len(logs))
        pictures += int(np.count_nonzero(sizes))
        capped += int(np.count_nonzero(weights >= weight_cap))
    return totals, pictures, capped


def _step(wanted: Numbers, totals: Numbers) -> Numbers:
    """What each label's logarithm is to grow by; 0 where no picture holds it."""
    step = np.zeros(len(wanted))
    held = wanted > 0
    step[held] = np.log(wanted[held] / totals[held])
    return step


def _stalled(distances: list[float]) -> bool:
    rounds = len(distances) - 1
    return rounds == MOST_ROUNDS or (rounds >= STALL_ROUNDS and distances[-1] > 0.95 * distances[-1 - STALL_ROUNDS])


def _out_of_reach(ids: Flat, offsets: Flat, direction: Numbers, target: Numbers, weight_cap: float) -> bool:
    """Whether a direction separates the target from the laws of all weights up to the cap, after Farkas's lemma.

    Weights of mean 1 give ``direction`` at most its largest mean over a picture's labels, and at
    most the cap times the sum of its positive ones; the target asks for more. Where raking ends
    without success its own last step points out of what can be reached.
    """
    largest, positive, pictures = -np.inf, 0.0, 0
    for _, entries, starts in blocks(offsets):
        sizes = np.diff(starts)
        held = sizes > 0
        means = joined(np.add, direction[ids[entries]], starts, 0.0)[held] / sizes[held]
        largest = max(largest, float(means.max(initial=-np.inf)))
        positive += float(means[means > 0].sum())
        pictures += len(means)
    most = min(largest, weight_cap * positive / pictures)
    return float(direction @ target) > most + 1e-9


def _to_mean_one(ids: Flat, offsets: Flat, logs: Numbers, weight_cap: float) -> Numbers:
    """The same weights times what makes their mean 1: those below the cap make up for those at it, in a few rounds."""
    for _ in range(64):
        totals, pictures, capped = _totals(ids, offsets, logs, weight_cap)
        total = float(totals.sum())
        if abs(total / pictures - 1) < 1e-12:
            break
        room, filled = pictures - capped * weight_cap, total - capped * weight_cap
        logs = logs + np.log(room / filled if min(room, filled) > 0 else pictures / total)
    return logs


def _distance(law: Numbers, other: Numbers) -> float:
    return float(np.abs(law - other).sum() / 2)
