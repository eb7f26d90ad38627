"""Draws of a label in place of another: exact, whatever may not be drawn, and without a loop over pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused
from tagwise.tags.permutation import Words
from tagwise.tags.table import Counts, Ids


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelGroups:
    """Labels that may stand for one another: those of group g are ``members[starts[g]:starts[g + 1]]``, distinct."""

    members: Ids
    starts: Counts


def label_groups(synsets: Sequence[Sequence[str]], parents: Mapping[str, Sequence[str]] | None = None) -> LabelGroups:
    """The labels of each synset; with parents, the labels whose synsets have one parent.

    Args:
        synsets: Of each label; none for a label that the lexicon does not know.
        parents: Of each synset.

    Raises:
        DataRefused: No label has a synset.
    """
    if not any(synsets):
        raise DataRefused(
            "No label of this space has a synset, so none has a synonym or a sibling; make the space with: "
            "tagwise labels --lexicon."
        )
    found: dict[str, list[int]] = {}
    for label, own in enumerate(synsets):
        names = own if parents is None else [parent for synset in own for parent in parents.get(synset, ())]
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(label)
    groups = [found[name] for name in sorted(found) if len(found[name]) > 1]
    return LabelGroups(
        members=np.fromiter((label for group in groups for label in group), np.int32),
        starts=np.cumsum([0, *map(len, groups)], dtype=np.int64),
    )


class Substitutes:
    """For each label the slots of what may stand for it: its groups one after the other, each member by its weight.

    One group of all labels, weighted by their counts, is the marginal law. The slots are never
    laid out: what is held is linear in the members, and a draw is a number below the slots left.

    Args:
        groups: Of the labels.
        weights: Slots of each member, 0 or more; as long as ``groups.members``.
        labels: Size of the label space.
    """

    def __init__(self, groups: LabelGroups, weights: Counts, labels: int) -> None:
        self._members = groups.members
        self._ends = _sums(weights)
        self._group_starts = self._ends[groups.starts[:-1]]
        group_sizes = np.diff(self._ends[groups.starts])
        # A membership is a label in a group; they stand by label, then group.
        order = np.argsort(groups.members, kind="stable")
        member_groups = np.repeat(np.arange(len(group_sizes)), np.diff(groups.starts))
        self._groups = member_groups[order]
        self._places = (self._ends[:-1] - self._group_starts[member_groups])[order]
        self._weights = weights[order]
        self._firsts = np.searchsorted(groups.members[order], np.arange(labels + 1))
        self._before = _sums(group_sizes[self._groups])
        self._codes = self._code(groups.members[order], self._groups)

    def draw(self, labels: Ids, words: Words, which: NDArray[np.intp], taken: Ids) -> NDArray[np.int64]:
        """A substitute for each label, by weight among those that are not taken.

        Args:
            labels: To be replaced, each by a draw of its own.
            words: A random number for each.
            which: The draw, 0..len(labels)-1, that each of ``taken`` is kept from.
            taken: Label ids, distinct for one draw; the label itself is possible unless it is among them.

        Returns:
            Label ids, -1 where none is left.
        """
        which, slots_taken, widths = self._taken(labels, which, taken)
        bounds = np.searchsorted(which, np.arange(len(labels) + 1))
        before = _sums(widths)
        totals = self._before[self._firsts[labels + 1]] - self._before[self._firsts[labels]]
        left = totals - np.diff(before[bounds])
        slots = (words % np.maximum(left, 1).astype(np.uint64)).astype(np.int64)
        # The slot among those left moves up by every taken stretch that begins at or before it.
        passed = slots_taken - (before[:-1] - before[bounds[which]]) <= slots[which]
        slots += np.diff(_sums(widths * passed)[bounds])
        found = np.full(len(labels), -1, np.int64)
        possible = left > 0
        found[possible] = self._at(labels[possible], slots[possible])
        return found

    def _taken(
        self, labels: Ids, which: NDArray[np.intp], taken: Ids
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
        """The stretches of slots that may not be drawn: draw, first slot and width, in order."""
        each, memberships = ranges(self._firsts[taken], self._firsts[taken + 1])
        which = which[each]
        codes = self._code(labels[which], self._groups[memberships])
        shared = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        known = self._codes[shared] == codes
        which, shared, memberships = which[known], shared[known], memberships[known]
        first = self._before[shared] - self._before[self._firsts[labels[which]]] + self._places[memberships]
        order = np.lexsort((first, which))
        return which[order], first[order], self._weights[memberships[order]]

    def _at(self, labels: Ids, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        slots = slots + self._before[self._firsts[labels]]
        memberships = np.searchsorted(self._before, slots, side="right") - 1
        slots += self._group_starts[self._groups[memberships]] - self._before[memberships]
        return self._members[np.searchsorted(self._ends, slots, side="right") - 1].astype(np.int64)

    def _code(self, labels: Ids, groups: NDArray[np.intp]) -> NDArray[np.int64]:
        return labels.astype(np.int64) * len(self._group_starts) + groups


def ranges(starts: NDArray[Any], stops: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All numbers of several half-open ranges, one after the other, and which range each is of."""
    sizes = stops - starts
    which = np.repeat(np.arange(len(sizes)), sizes)
    return which, np.arange(len(which)) + (starts - _sums(sizes)[:-1])[which]


def _sums(values: NDArray[Any]) -> NDArray[np.int64]:
    """Sums of the values before each, and of all: one more than values."""
    return np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
