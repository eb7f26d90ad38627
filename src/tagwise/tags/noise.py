"""Noise on purpose: a share of the labels of a corpus is replaced or dropped, before laws and sampling.

For the noise study of D. Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining"
(arXiv 1805.00932). Whether a label changes is a hash of seed, record and label, so that neither
the order of the pictures nor the number of workers matters, and more noise changes the same labels
and others. What it becomes is a further hash; a label that the picture had or got is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, UsageError, unknown
from tagwise.base.rng import stream_seed
from tagwise.tags.laws import Counts, Flat, Numbers
from tagwise.tags.permutation import Words, mixed
from tagwise.tags.substitutes import LabelGroups, Substitutes, ranges
from tagwise.tags.table import Assignment, Ids, assign

Kind = Literal["marginal", "marginal-with-self", "uniform", "confusable", "dropped", "synonym"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GROUPED: tuple[Kind, ...] = ("confusable", "synonym")
"""Kinds that choose among labels of one group: under one parent synset, or of one synset."""

BLOCK_PICTURES = 32_768
"""Pictures changed together, so that 10^8 of them need little memory beyond their labels."""


@dataclass(frozen=True)
class Noise:
    """What a share of the labels becomes."""

    kind: Kind
    """``marginal``: another label, as often as the corpus holds it; ``marginal-with-self``: the same, but the label
    itself may be drawn; ``uniform``: another label, all alike; ``confusable``: another under a parent synset of its
    own; ``synonym``: another that shares a synset; ``dropped``: nothing."""
    fraction: float
    """Share of the labels that the noise meets, above 0 and below 1."""

    @classmethod
    def parse(cls, text: str) -> Noise:
        """Reads ``KIND:p``.

        Raises:
            UsageError: There is no such kind, or p is no share above 0 and below 1.

        >>> Noise.parse("marginal:0.25")
        Noise(kind='marginal', fraction=0.25)
        """
        kind, _, share = (part.strip() for part in text.partition(":"))
        known = next((name for name in KINDS if name == kind), None)
        if known is None:
            raise unknown("noise", kind, KINDS)
        try:
            fraction = float(share)
        except ValueError:
            fraction = float("nan")
        if not 0 < fraction < 1:
            raise UsageError(f"The noise {text!r} has no share above 0 and below 1; write for instance {kind}:0.25.")
        return cls(known, fraction)

    def __str__(self) -> str:
        return f"{self.kind}:{self.fraction:g}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Noised:
    """Labels with noise, and what it did."""

    assignment: Assignment
    """Of the same pictures; ids ascend and are distinct inside a picture."""
    became: Ids
    """What each label became, in the order of the labels before; -1 for a dropped one."""
    changed: int
    """Labels that became another one or nothing."""
    unchangeable: int
    """Labels that the noise met, and that stayed because no other label was possible."""
    emptied: int
    """Pictures whose last label was dropped."""
    law_before: Numbers
    """Share of each label among all labels of the corpus."""
    law_after: Numbers

    @property
    def changed_fraction(self) -> float:
        """Share of the labels that changed."""
        return self.changed / len(self.became)

    @property
    def total_variation(self) -> float:
        """Half the sum of absolute differences between the laws, 0..1."""
        return float(np.abs(self.law_after - self.law_before).sum() / 2)


def with_noise(
    ids: Flat, offsets: Flat, records: Words, noise: Noise, *, labels: int, seed: int, groups: LabelGroups | None = None
) -> Noised:
    """Replaces or drops a share of the labels.

    A replacement is no label that its picture had or got, so that a picture keeps as many labels as it had; where
    there is none such, the label stays. Of one picture's labels those go first that the least noise meets: so one
    that changes at 10 % becomes the same at 25 %. All kinds meet the same labels.

    Args:
        ids: Label ids of all pictures, one after the other, ascending inside a picture.
        offsets: Where each picture begins in ``ids``; one more than pictures.
        records: 64 bits that name each picture, wherever it stands: the ``text_numbers`` of the pictures' keys.
        noise: What is done to how many.
        labels: Size of the label space.
        seed: The run's one seed.
        groups: Of the labels, for ``confusable`` and ``synonym``; as ``label_groups`` makes them.

    Raises:
        DataRefused: Every label was dropped.
    """
    counts = np.bincount(ids, minlength=labels).astype(np.int64)
    substitutes = _substitutes(noise.kind, counts, groups)
    became = np.array(ids, np.int32)
    parts, unchangeable = [], 0
    for first in range(0, len(records), BLOCK_PICTURES):
        ends = np.asarray(offsets[first : first + BLOCK_PICTURES + 1], np.int64)
        block = became[ends[0] : ends[-1]]
        rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        words = _words(records[first : first + BLOCK_PICTURES], rows, block, seed)
        met = np.flatnonzero(words < np.uint64(int(noise.fraction * 2.0**64)))
        if substitutes is None:
            block[met] = -1
        else:
            with_self = noise.kind == "marginal-with-self"
            unchangeable += _replace(block, ends - ends[0], rows, words, met, substitutes, with_self=with_self)
        parts.append(assign(rows, block, len(ends) - 1))
    return _noised(ids, offsets, counts, became, parts, unchangeable, noise)


def drifted_law(law: Numbers, fraction: float) -> Numbers:
    """The law after ``marginal`` noise where every picture has one label: frequent labels lose.

    q'(b) = (1 - p) q(b) + p sum over a != b of q(a) q(b) / (1 - q(a)).
    """
    if law.max() == 1:  # a single label stays
        return law
    odds = law / (1 - law)
    drifted: Numbers = (1 - fraction) * law + fraction * law * (odds.sum() - odds)
    return drifted


def marginal_variants(law: Numbers, fraction: float) -> dict[Kind, tuple[float, float]]:
    """What both marginal kinds do where every picture has one label.

    Returns:
        Share of the labels that changes, and the total variation between the laws before and after.
    """
    drift = float(np.abs(drifted_law(law, fraction) - law).sum() / 2)
    return {"marginal": (fraction, drift), "marginal-with-self": (fraction * float(1 - law @ law), 0.0)}


def _substitutes(kind: Kind, counts: Counts, groups: LabelGroups | None) -> Substitutes | None:
    if kind == "dropped":
        return None
    if kind in GROUPED:
        assert groups is not None, kind
        return Substitutes(groups, np.ones(len(groups.members), np.int64), len(counts))
    everybody = LabelGroups(members=np.arange(len(counts), dtype=np.int32), starts=np.array([0, len(counts)]))
    return Substitutes(everybody, np.ones_like(counts) if kind == "uniform" else counts, len(counts))


def _words(records: Words, rows: NDArray[np.int64], ids: NDArray[Any], seed: int) -> Words:
    """A number for each label of each picture; distinct inside a picture."""
    pictures = mixed(records ^ np.uint64(stream_seed(seed, "noise")))
    return mixed(pictures[rows] + mixed(ids.astype(np.uint64)))


def _replace(
    block: Ids,
    starts: Counts,
    rows: NDArray[np.int64],
    words: Words,
    met: NDArray[np.intp],
    substitutes: Substitutes,
    *,
    with_self: bool,
) -> int:
    """Replaces the labels met, in place, one of each picture at a time; returns how many could not change."""
    ids, unchangeable = block.copy(), 0
    order = met[np.lexsort((words[met], rows[met]))]
    turns = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    order = order[np.argsort(turns, kind="stable")]
    for now in np.split(order, np.cumsum(np.bincount(turns))[:-1]):
        which, held = ranges(starts[rows[now]], starts[rows[now] + 1])
        got = block[held] != ids[held]
        had = held != now[which] if with_self else slice(None)
        taken = np.concatenate([ids[held][had], block[held[got]]])
        fresh = mixed(~words[now])  # the words of those met are small
        drawn = substitutes.draw(ids[now], fresh, np.concatenate([which[had], which[got]]), taken)
        unchangeable += int(np.count_nonzero(drawn < 0))
        block[now] = np.where(drawn < 0, ids[now], drawn)
    return unchangeable


def _noised(
    ids: Flat, offsets: Flat, before: Counts, became: Ids, parts: list[Assignment], unchangeable: int, noise: Noise
) -> Noised:
    left = np.concatenate([part.ids for part in parts])
    if not len(left):
        raise DataRefused(f"The noise {noise} leaves none of {len(became):,} labels; give it a smaller share.")
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    after = np.bincount(left, minlength=len(before))
    return Noised(
        assignment=Assignment(ids=left, offsets=np.concatenate([[0], np.cumsum(sizes)])),
        became=became,
        changed=int(np.count_nonzero(became != ids)),
        unchangeable=unchangeable,
        emptied=int(np.count_nonzero((sizes == 0) & (np.diff(offsets) > 0))),
        law_before=before / before.sum(),
        law_after=after / after.sum(),
    )
