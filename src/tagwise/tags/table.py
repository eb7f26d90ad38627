"""The long table of raw tags as plain arrays, and label ids as flat array and offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused
from tagwise.tags.permutation import mixed

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]
Numbers = NDArray[np.uint64]

_OTHER = np.uint64(0x9E3779B97F4A7C15)
"""Makes of one mix of bits a second one."""


class Tags(Protocol):
    """What a label space asks of the tags of a corpus, held in memory (``TagTable``) or by an engine on disk.

    Words are the tags on their way to labels: ``words[i]`` is the word that ``raw[i]`` counts as, -1 for none.
    """

    @property
    def pictures(self) -> int:
        """Pictures in the corpus, those without tags included."""

    @property
    def entries(self) -> int:
        """Tags as people gave them."""

    @property
    def raw(self) -> Sequence[str]:
        """The distinct raw tags, sorted."""

    @property
    def has_owners(self) -> bool:
        """Whether anybody is known to have said anything."""

    def occurrences(self) -> Counts:
        """Entries of each raw tag."""

    def picture_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Pictures that hold each word, however often it was said there."""

    def owner_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Distinct persons who said each word."""

    def assign(self, label_ids: Ids) -> Assignment:
        """The label ids of every picture, given that of each raw tag; -1 for none."""

    def digest(self) -> str:
        """16 hex digits of the entries, the same for any numbering of pictures, raw tags and persons."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TagTable:
    """One entry for every tag that a person gave to a picture, in any order.

    Raises:
        DataRefused: The columns differ in length or point outside.
    """

    pictures: int
    """Pictures in the corpus, those without tags included."""
    rows: NDArray[np.int64]
    """Picture of each entry, 0..pictures-1."""
    raw_ids: NDArray[np.integer[Any]]
    """Tag of each entry, as a position in ``raw``."""
    raw: Sequence[str]
    """The distinct raw tags; sorted after ``in_order``."""
    owners: NDArray[np.integer[Any]] | None = None
    """Person of each entry; all entries of unknown persons share one number."""

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.rows, self.raw_ids, self.owners) if column is not None}
        if len(lengths) != 1:
            raise DataRefused(f"The columns of a tag table differ in length: {sorted(lengths)}; give one length.")
        for what, column, size in (("row", self.rows, self.pictures), ("raw tag", self.raw_ids, len(self.raw))):
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise DataRefused(f"A tag table names {what} {column.min()} or {column.max()}; there are {size}.")

    @property
    def entries(self) -> int:
        """Tags as people gave them."""
        return len(self.rows)

    @property
    def has_owners(self) -> bool:
        """Whether anybody is known to have said anything."""
        return self.owners is not None

    def occurrences(self) -> Counts:
        """Entries of each raw tag."""
        return np.bincount(self.raw_ids, minlength=len(self.raw))

    def picture_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Pictures that hold each word, however often it was said there."""
        return picture_counts(self.rows, words[self.raw_ids], vocabulary)

    def owner_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Distinct persons who said each word; all unknown ones are one."""
        assert self.owners is not None
        _, person = np.unique(self.owners, return_inverse=True)
        return picture_counts(person, words[self.raw_ids], vocabulary)

    def assign(self, label_ids: Ids) -> Assignment:
        """The label ids of every picture, given that of each raw tag; -1 for none."""
        return assign(self.rows, label_ids[self.raw_ids], self.pictures)

    def in_order(self) -> TagTable:
        """The same entries with the raw tags sorted."""
        spelled = sorted(range(len(self.raw)), key=self.raw.__getitem__)
        place = np.empty(len(self.raw), np.int64)
        place[spelled] = np.arange(len(spelled))
        return replace(self, raw_ids=place[self.raw_ids], raw=tuple(self.raw[index] for index in spelled))

    def digest(self) -> str:
        """16 hex digits of the entries, the same for any numbering of pictures, raw tags and persons."""
        tags = text_numbers(self.raw)[self.raw_ids]
        pictures = _sums(tags, self.rows)
        parts = [folded(pictures)]
        if self.owners is not None:
            parts.append(folded(_sums(tags * pictures[self.rows], self.owners)))
        return table_digest(self.pictures, self.entries, *parts)


def text_numbers(texts: Iterable[str]) -> Numbers:
    """64 bits of a hash of each text, in no more memory than theirs; JSON lets lone surrogates through."""
    hashes = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return np.fromiter((int.from_bytes(digest[:8], "little") for digest in hashes), np.uint64)


def folded(sums: Numbers) -> Numbers:
    """Two numbers that tell one bag of sums from another, in any order; of two bags together they add up."""
    held = sums[sums > 0]
    return np.array([mixed(held).sum(), mixed(held ^ _OTHER).sum()], np.uint64)


def table_digest(pictures: int, entries: int, by_picture: Numbers, by_owner: Numbers | None = None) -> str:
    """16 hex digits of a table of tags.

    Args:
        pictures: In the corpus.
        entries: Tags.
        by_picture: The folded sums of the tags' numbers, a sum for each picture.
        by_owner: The folded sums over each person's tags of a tag's number times its picture's sum; where owners
            are known.
    """
    parts = [by_picture] if by_owner is None else [by_picture, by_owner]
    digest = hashlib.sha256(f"{pictures} {entries} {len(parts)}".encode())
    for part in parts:
        digest.update(part.astype("<u8").tobytes())
    return digest.hexdigest()[:16]


def _sums(values: Numbers, groups: NDArray[np.integer[Any]]) -> Numbers:
    """The sum of each group's values modulo 2^64, which tells one set of hashes from another in any order."""
    sums = np.zeros(int(groups.max(initial=-1)) + 1, np.uint64)
    np.add.at(sums, groups, values)
    return sums


@dataclass(frozen=True, kw_only=True, eq=False)
class Assignment:
    """The label ids of every picture: those of picture i are ``ids[offsets[i]:offsets[i + 1]]``.

    Each label stands once in a picture; ids ascend, so that the rarest label is last.
    """

    ids: Ids
    offsets: NDArray[np.int64]


def distinct_pairs(left: NDArray[Any], right: NDArray[Any], rights: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct pairs of two columns of numbers from 0 on, sorted by left, then right.

    Args:
        left: One number of each pair.
        right: The other, below ``rights``.
        rights: Bound of ``right``.
    """
    if not len(left):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    assert (int(left.max()) + 1) * rights < 2**63
    pairs = np.sort(left.astype(np.int64) * rights + right)
    pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]  # np.unique hashes, at a hundred times the time
    return pairs // rights, pairs % rights


def assign(rows: NDArray[np.int64], labels: NDArray[np.integer[Any]], pictures: int) -> Assignment:
    """Groups label ids by picture.

    Args:
        rows: Picture of each entry.
        labels: Label id of each entry; -1 for a tag that is no label.
        pictures: Pictures in the corpus.
    """
    known = labels >= 0
    bound = int(labels.max(initial=0)) + 1
    labelled_rows, ids = distinct_pairs(rows[known], labels[known], bound)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(labelled_rows, minlength=pictures))])
    return Assignment(ids=ids.astype(np.int32), offsets=offsets.astype(np.int64))


def picture_counts(rows: NDArray[np.int64], words: NDArray[np.integer[Any]], vocabulary: int) -> Counts:
    """For each word, the number of pictures that hold it (not how often it was said); -1 is no word."""
    known = words >= 0
    _, held = distinct_pairs(rows[known], words[known], max(1, vocabulary))
    return np.bincount(held, minlength=vocabulary)
