"""How unevenly the tags of a corpus fall: head, tail, and what they are written in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tagwise.corpus.tally import Bin, Quantiles, bins, fraction, histogram, quantiles, ranked
from tagwise.tags.key import canonical_key
from tagwise.tags.table import distinct_pairs
from tagwise.tags.writing import writing_system

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tagwise.tags.table import Counts, TagTable

RARE_BELOW = 10
"""A tag on fewer pictures than this is rare."""

_HEAD = 20
_TAIL_LOWS = (1, 2, 5, RARE_BELOW, 50)


@dataclass(frozen=True, kw_only=True)
class HeadTag:
    """One of the most frequent tags."""

    key: str
    """Canonical key."""
    spelling: str
    """The raw tag that says it most often."""
    pictures: int
    """Pictures that hold it."""


@dataclass(frozen=True, kw_only=True)
class WritingSystem:
    """Tags of one writing system; see ``tags.writing``."""

    name: str
    spellings: int
    """Distinct raw tags."""
    entries: int
    """Rows of the tag table."""
    entries_fraction: float


@dataclass(frozen=True, kw_only=True)
class TagFacts:
    """The tags. A key that is said twice of one picture counts once there."""

    entries: int
    """Rows of the tag table."""
    spellings: int
    """Distinct raw tags."""
    keys: int
    """Distinct canonical keys."""
    keyless_spellings: int
    """Distinct raw tags without any letter or number, which have no key."""
    once_fraction: float
    """Share of the spellings that were written once."""
    a_picture: Quantiles
    """Tags of a picture, as written."""
    a_picture_bins: list[Bin]
    """Pictures by their tags, as written."""
    head: list[HeadTag]
    """The 20 keys on most pictures."""
    tail: list[Bin]
    """Keys by the pictures that hold them."""
    pictures_by_rank: list[tuple[int, int]]
    """Rank of a key and the pictures that hold it; the ranks are evenly spread on a logarithmic axis."""
    rare_below: int
    """A key on fewer pictures is rare."""
    rare_fraction: float
    """Share of the pictures that hold no key but rare ones."""
    writing_systems: list[WritingSystem]
    """The one of most entries first."""


def number_keys(raw: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct keys, and the place of each raw tag's key among them, -1 for a tag without key."""
    made = [canonical_key(tag) for tag in raw]
    keys = [key for key in dict.fromkeys(made) if key]
    places = {"": -1} | {key: place for place, key in enumerate(keys)}
    return keys, np.array([places[key] for key in made], np.int64)


def tag_facts(table: TagTable, keys: Sequence[str], key_of_raw: NDArray[np.int64]) -> TagFacts:
    """Counts the tags.

    Args:
        table: The tags as written.
        keys: The distinct keys, as ``number_keys`` gives them.
        key_of_raw: For each raw tag its place in ``keys``.
    """
    uses = np.bincount(table.raw_ids, minlength=len(table.raw))
    written = np.bincount(table.rows, minlength=table.pictures)
    said = key_of_raw[table.raw_ids]
    rows, held = distinct_pairs(table.rows[said >= 0], said[said >= 0], len(keys))
    pictures = np.bincount(held, minlength=len(keys))
    order = np.argsort(-pictures, kind="stable")
    holds_common = np.zeros(table.pictures, np.bool_)
    holds_common[rows[pictures[held] >= RARE_BELOW]] = True
    return TagFacts(
        entries=len(table.rows),
        spellings=len(table.raw),
        keys=len(keys),
        keyless_spellings=int((key_of_raw < 0).sum()),
        once_fraction=fraction(int((uses == 1).sum()), len(table.raw)),
        a_picture=quantiles(written),
        a_picture_bins=histogram(written),
        head=[
            HeadTag(key=keys[key], spelling=_spelling(table.raw, uses, key_of_raw == key), pictures=int(pictures[key]))
            for key in order[:_HEAD]
        ],
        tail=bins(pictures, _TAIL_LOWS),
        pictures_by_rank=[(rank, int(pictures[order[rank - 1]])) for rank in _ranks(len(keys))],
        rare_below=RARE_BELOW,
        rare_fraction=fraction(int((~holds_common).sum()), table.pictures),
        writing_systems=_writing_systems(table.raw, uses),
    )


def _spelling(raw: Sequence[str], uses: Counts, of_the_key: NDArray[np.bool_]) -> str:
    members = np.flatnonzero(of_the_key)
    return raw[members[np.argmax(uses[members])]]


def _writing_systems(raw: Sequence[str], uses: Counts) -> list[WritingSystem]:
    spellings: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    for tag, count in zip(raw, uses.tolist(), strict=True):
        system = writing_system(tag)
        spellings[system] += 1
        entries[system] += count
    return [
        WritingSystem(
            name=system, spellings=spellings[system], entries=count, entries_fraction=fraction(count, entries.total())
        )
        for system, count in ranked(entries).items()
    ]


def _ranks(keys: int) -> list[int]:
    """About a hundred of the ranks 1 to ``keys``; 1, 2, 5, 10, 20, 50 and so on are among them."""
    round_ones = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    spread = np.rint(np.geomspace(1, max(1, keys), 100)).astype(int).tolist()
    return sorted({rank for rank in (*spread, *round_ones) if rank <= keys})
