"""A label space: which tags are labels, in a file of stable bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.files import write_text
from tagwise.tags.key import canonical_key, is_number
from tagwise.tags.signatures import Rule
from tagwise.tags.table import Assignment, Counts, Ids, Tags

SPOKEN = ("label", "alias")
"""Fates by its characters of a tag that may be a label."""


class Edited(UsageError):  # noqa: N818 - it says what happened
    """A label space is no longer as it was written."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """One output of the net; its id is its place in the label space."""

    key: str
    """Canonical key."""
    spelling: str
    """The raw tag that says its key most often, for people to read; if none does, the one that says the label."""
    members: tuple[str, ...]
    """Every key that became this label: its own, folded plurals, aliases, synonyms."""
    pictures: int
    """Pictures that hold it."""
    synsets: tuple[str, ...] = ()
    """Its meanings in the lexicon, ascending."""

    @property
    def ambiguous(self) -> bool:
        """Whether it has several meanings: nobody can tell them apart by the tag."""
        return len(self.synsets) > 1


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What makes a tag a label; everything is off but plurals and, with a lexicon, what that brings."""

    min_count: int = 1
    """Pictures that a label needs."""
    top: int | None = None
    """Labels kept, the most frequent first."""
    min_length: int | None = None
    """Characters that a key needs; None: 1, because many Chinese words are one character; with a lexicon, whose
    short names are abbreviations, 3; aimed at a target 2."""
    min_owners: int = 1
    """Distinct people who must have said it; needs owners in the tag table."""
    drop_numbers: bool = False
    """Whether keys of numbers only are discarded."""
    plurals: bool = True
    """Whether a plural joins its singular.

    With a lexicon: where that does not know the plural and knows exactly one singular of it. Without, or of words that
    it does not know: where the singular is in the corpus and at least as frequent, so that ``news`` joins ``new``. The
    fates say each fold; an alias of a key to itself (``news<TAB>news``) prevents it."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Key of an alias to the key that it stands for, chains resolved."""
    deny: tuple[str, ...] = ()
    """Keys that are never labels."""
    allow: tuple[str, ...] = ()
    """Keys that alone are labels, with all that is counted as them; empty: all may be."""
    rule: Rule | None = None
    """When two keys of the lexicon are one label; None: ``signature``, or ``target`` where there is one."""
    max_senses: int | None = None
    """Meanings that a key may have in the lexicon."""
    unknown: Literal["drop", "label"] = "drop"
    """What becomes of a key that the lexicon does not know."""

    def __post_init__(self) -> None:
        for name in ("min_count", "min_length", "min_owners", "top", "max_senses"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value} keeps nothing apart; give 1 or more.")


@dataclass(frozen=True, kw_only=True)
class LexiconFacts:
    """The lexicon that merged the tags."""

    version: str
    digest: str
    parents: dict[str, tuple[str, ...]]
    """Of each synset of a label that has any."""


@dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """The target that the labels were aligned to."""

    name: str
    digest: str
    classes: int


@dataclass(frozen=True, kw_only=True)
class Base:
    """The label space that this one extends."""

    digest: str
    labels: int
    """The first ones here, with the ids that they had there."""


def word_fate(key: str, word: str, denied: frozenset[str], options: LabelOptions) -> str:
    """What becomes of a tag as far as its characters decide.

    Args:
        key: Its canonical key.
        word: The key that it is an alias of, or its own.
        denied: Keys that are never labels.
        options: What makes a tag a label.

    Returns:
        ``empty``, ``denied``, ``number``, ``too short``, or ``label`` or ``alias`` for those that may be one.
    """
    if not key:
        return "empty"
    if key in denied or word in denied:
        return "denied"
    if options.drop_numbers and is_number(word):
        return "number"
    if len(word) < (options.min_length or 1):
        return "too short"
    return "label" if key == word else "alias"


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """Ordered labels, most frequent first, ties by key, behind those of a space that it extends."""

    labels: tuple[Label, ...]
    options: LabelOptions
    unicode_version: str
    """Of the tables that made the keys."""
    table_digest: str
    """Of the tag table, whatever the order of its pictures and entries."""
    pictures: int
    """Pictures in the table, those without tags included."""
    tags: int
    """Entries of the table."""
    fates: dict[str, int]
    """Entries by what became of them, kept ones included; they sum to ``tags``."""
    lexicon: LexiconFacts | None = None
    target: TargetFacts | None = None
    base: Base | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Counts:
        """Pictures of each label, not increasing but for those of a base."""
        return np.array([label.pictures for label in self.labels], np.int64)

    @property
    def digest(self) -> str:
        """16 hex digits of all that the file says."""
        return settings.digest(self)

    @cached_property
    def _id_by_key(self) -> dict[str, int]:
        return {key: index for index, label in enumerate(self.labels) for key in label.members}

    @cached_property
    def _denied(self) -> frozenset[str]:
        return frozenset(self.options.deny)

    def encode(self, tag: str) -> int | None:
        """The label id of a raw tag, or None when it is no label here."""
        key = canonical_key(tag)
        word = self.options.aliases.get(key, key)
        fate, label = word_fate(key, word, self._denied, self.options), self._id_by_key.get(word)
        if fate in SPOKEN:
            return label
        held = label is not None and self.base is not None and label < self.base.labels
        return label if held and fate != "denied" else None

    def encode_table(self, table: Tags) -> Assignment:
        """The label ids of every picture of any corpus."""
        return table.assign(self.encode_all(table.raw))

    def encode_all(self, tags: Sequence[str]) -> Ids:
        """The label id of each raw tag, -1 for those that are no label here."""
        ids = (self.encode(tag) for tag in tags)
        return np.fromiter((-1 if label is None else label for label in ids), np.int32, len(tags))

    def to_json(self) -> str:
        """The whole label space as text, its digest first; the same input gives the same characters."""
        return json.dumps({"digest": self.digest, **settings.to_plain(self)}, indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> LabelSpace:
        """Reads a label space.

        Args:
            text: What ``to_json`` wrote.
            where: Where it comes from, for the message.

        Raises:
            UsageError: It is no label space.
            Edited: Somebody changed it since it was written.
        """
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"The label space in {where} is no JSON: {error}.") from error
        told = plain.pop("digest", None) if isinstance(plain, dict) else None
        space = settings.from_plain(LabelSpace, plain, where)
        _refuse_edited(space, told, where)
        return space

    def save(self, path: Path) -> None:
        """Writes the label space as UTF-8 JSON."""
        write_text(path, self.to_json())

    @staticmethod
    def load(path: Path) -> LabelSpace:
        """Reads a label space.

        Raises:
            UsageError: The file is missing or is no label space.
        """
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The label space {path} cannot be read: {error}.") from error
        return LabelSpace.from_json(text, str(path))


def _refuse_edited(space: LabelSpace, told: object, where: str) -> None:
    first = space.base.labels if space.base else 0
    ranks = [(-label.pictures, label.key) for label in space.labels]
    unordered = [below for above, below in pairwise(ranks[first:]) if above > below]
    owners = Counter(key for label in space.labels for key in {*label.members, label.key})
    shared = [key for key, labels in owners.items() if labels > 1]
    if shared:
        wrong = f"{shared[0]!r} belongs to two labels"
    elif unordered:
        wrong = f"the label {unordered[0][1]!r} stands below rarer ones"
    elif sum(space.fates.values()) != space.tags or first > len(space):
        wrong = "its counts contradict each other"
    elif told != space.digest:
        wrong = "its digest is missing" if told is None else f"its digest is {space.digest} and not {told}"
    else:
        return
    raise Edited(
        f"{where} is no label space as it was written: {wrong}; make it again with tagwise labels, whose --deny, "
        "--allow and --aliases change what is in it."
    )
