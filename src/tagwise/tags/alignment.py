"""Targets as synsets of a lexicon, and what becomes of labels that are aligned to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tagwise.base import settings
from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.tags.fates import Labelling
from tagwise.tags.key import canonical_key
from tagwise.tags.lexicon import Lexicon, Synset
from tagwise.tags.lexicon_files import table_rows
from tagwise.tags.space import TargetFacts

LIST_SUFFIXES = (".txt", ".tsv", ".csv", ".txt.gz", ".tsv.gz", ".csv.gz")
"""Ends of the names of files that list classes."""

_CLASS_COLUMNS = ("wnid", "synset", "class", "label", "name")
_WNID = re.compile(r"n\d{8}")
_NUMBERED = re.compile(r"\d+\.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """The classes of a target as synsets, and all that is in or under them."""

    name: str
    lexicon: Lexicon
    classes: Mapping[str, tuple[Synset, ...]]
    """The synsets of each class; none where the lexicon does not know it."""

    @cached_property
    def synsets(self) -> frozenset[Synset]:
        """In or under any class."""
        return self.lexicon.in_or_under(synset for synsets in self.classes.values() for synset in synsets)

    @property
    def facts(self) -> TargetFacts:
        """What a label space says of it."""
        digest = settings.digest({name: sorted(self.classes[name]) for name in sorted(self.classes)})
        return TargetFacts(name=self.name, digest=digest, classes=len(self.classes))


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What aligning to a target kept and lost."""

    classes: int
    unknown: tuple[str, ...]
    """Classes that the lexicon does not know."""
    ambiguous: dict[str, tuple[Synset, ...]]
    """Classes whose name has several meanings; all of them count as the class."""
    shared: dict[str, tuple[str, ...]]
    """Keys that are names of several classes, with them."""
    without_labels: tuple[str, ...]
    """Classes that no tag of the corpus names, nor anything under them."""
    lost_words: int
    """Distinct words that the lexicon knows and that name nothing in the target."""
    lost_tags: int


def read_class_list(path: Path) -> list[str]:
    """Class names of a file: one a line, or the column wnid, synset, class, label or name of a table.

    Raises:
        UsageError: It cannot be read as UTF-8 text.
    """
    try:
        rows = [row for _, row in table_rows(path)]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"The target {path} cannot be read as a list of classes: {error}.") from error
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _CLASS_COLUMNS if name in header), None)
    cells = (row[column or 0].strip() for row in rows[column is not None :] if len(row) > (column or 0))
    return list(dict.fromkeys(filter(None, cells)))


def align(name: str, classes: Iterable[str], lexicon: Lexicon) -> Target:
    """The synsets of classes that are called by their number (``n02132136``) or by a noun.

    A noun of several meanings means all of them: which one its pictures show nobody knows here.

    Args:
        name: Of the target, for messages.
        classes: Names; a number before one (``001.Laysan_Albatross``) is left out.
        lexicon: What they are looked up in.

    Raises:
        UsageError: The lexicon knows none of them, or lacks one of their numbers.
    """
    found = {kind: _synsets(kind, lexicon) for kind in classes}
    missing = [kind for kind, synsets in found.items() if not synsets]
    numbers = [kind for kind in missing if _WNID.fullmatch(kind)]
    if numbers:
        raise UsageError(
            f"{lexicon.version} lacks {len(numbers):,} synsets of {name}, such as {numbers[0]}; ImageNet's numbers are "
            "those of WordNet 3.0."
        )
    if len(missing) == len(found):
        shown = ", ".join(printable(kind, 30) for kind in missing[:3]) or "it names none"
        raise UsageError(
            f"No class of {name} is a noun of {lexicon.version} ({shown}); give a list of synsets such as n02132136, "
            "one a line."
        )
    return Target(name=name, lexicon=lexicon, classes=found)


def report_alignment(labelling: Labelling, target: Target) -> Alignment:
    """What the labels of a corpus cover of the target that they were aligned to."""
    named = {synset for label in labelling.space.labels for synset in label.synsets}
    fates = labelling.fates
    lost = [place for place, fate in enumerate(fates.fates) if fate == "off target"]
    return Alignment(
        classes=len(target.classes),
        unknown=tuple(kind for kind, synsets in target.classes.items() if not synsets),
        ambiguous={kind: synsets for kind, synsets in target.classes.items() if len(synsets) > 1},
        shared=shared_keys(target),
        without_labels=tuple(
            kind
            for kind, synsets in target.classes.items()
            if synsets and named.isdisjoint(target.lexicon.in_or_under(synsets))
        ),
        lost_words=len({fates.targets[place] for place in lost}),
        lost_tags=int(fates.occurrences[lost].sum()),
    )


def shared_keys(target: Target) -> dict[str, tuple[str, ...]]:
    """Keys that are names of several classes of a target, ascending; a tag cannot tell which is meant."""
    classes_of: dict[str, list[str]] = {}
    for kind, synsets in target.classes.items():
        for key in {canonical_key(name) for synset in synsets for name in target.lexicon.names[synset]}:
            classes_of.setdefault(key, []).append(kind)
    return {key: tuple(classes_of[key]) for key in sorted(classes_of) if len(classes_of[key]) > 1}


def _synsets(kind: str, lexicon: Lexicon) -> tuple[Synset, ...]:
    if kind in lexicon.names:
        return (kind,)
    key = canonical_key(_NUMBERED.sub("", kind, count=1) if _NUMBERED.match(kind) else kind)
    return lexicon.synsets.get(key) or lexicon.synsets.get(lexicon.singular(key) or "", ())
