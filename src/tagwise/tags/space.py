"""A label space: which tags are labels, in a file of stable bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.files import write_text
from tagwise.tags.key import canonical_key
from tagwise.tags.table import Assignment, Counts, Ids, TagTable, assign


@dataclass(frozen=True, kw_only=True)
class Label:
    """One output of the net; its id is its place in the label space."""

    key: str
    """Canonical key."""
    spelling: str
    """The raw tag that says it most often, for people to read."""
    members: tuple[str, ...]
    """Every key that became this label: its own, folded plurals, aliases."""
    pictures: int
    """Pictures that hold it."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What makes a tag a label; everything is off but plurals."""

    min_count: int = 1
    """Pictures that a label needs."""
    top: int | None = None
    """Labels kept, the most frequent first."""
    min_length: int = 1
    """Characters that a key needs; 1, because many Chinese words are one character."""
    min_owners: int = 1
    """Distinct people who must have said it; needs owners in the tag table."""
    drop_numbers: bool = False
    """Whether keys of numbers only are discarded."""
    plurals: bool = True
    """Whether a plural joins its singular where that is in the corpus and at least as frequent.

    There is no lexicon behind it: ``news`` joins ``new``. The fates say each fold; an alias of a
    key to itself (``news<TAB>news``) prevents it."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Key of an alias to the key that it stands for, chains resolved."""
    deny: tuple[str, ...] = ()
    """Keys that are never labels."""

    def __post_init__(self) -> None:
        for name in ("min_count", "min_length", "min_owners", "top"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value} keeps nothing apart; give 1 or more.")


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """Ordered labels, most frequent first, ties by key; and how they came about."""

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

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Counts:
        """Pictures of each label, not increasing."""
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
        target = self.options.aliases.get(key, key)
        return None if key in self._denied else self._id_by_key.get(target)

    def encode_table(self, table: TagTable) -> Assignment:
        """The label ids of every picture of any corpus."""
        label_of_raw = self.encode_all(table.raw)
        return assign(table.rows, label_of_raw[table.raw_ids], table.pictures)

    def encode_all(self, tags: Sequence[str]) -> Ids:
        """The label id of each raw tag, -1 for those that are no label here."""
        ids = (self.encode(tag) for tag in tags)
        return np.fromiter((-1 if label is None else label for label in ids), np.int32, len(tags))

    def to_json(self) -> str:
        """The whole label space as text; the same input gives the same characters."""
        return json.dumps(settings.to_plain(self), indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> LabelSpace:
        """Reads a label space.

        Args:
            text: What ``to_json`` wrote.
            where: Where it comes from, for the message.

        Raises:
            UsageError: It is no label space.
        """
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise UsageError(f"The label space in {where} is no JSON: {error}.") from error
        return settings.from_plain(LabelSpace, plain, where)

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
