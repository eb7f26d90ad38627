"""A lexicon: which nouns mean the same, and what is a kind of what."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tagwise.base.errors import UsageError
from tagwise.tags.key import canonical_key
from tagwise.tags.merging import singulars

Synset = str
"""A set of synonyms, one meaning; WordNet's nouns have the number of ImageNet's classes, ``n02132136``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lexicon:
    """Names of synsets and their tree.

    Raises:
        UsageError: A name holds no letter or number, a parent is not there, or the parents run in a cycle.
    """

    version: str
    """What it calls itself, ``WordNet 3.0``."""
    names: Mapping[Synset, tuple[str, ...]]
    """The synonyms of each synset as they are written, the usual one first."""
    parents: Mapping[Synset, tuple[Synset, ...]] = field(default_factory=dict)
    """Synsets that each one is a kind or an instance of."""
    exceptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keys of irregular plurals to the keys of their singulars."""

    def __post_init__(self) -> None:
        for synset, names in self.names.items():
            if not names or not all(map(canonical_key, names)):
                raise UsageError(f"{self.version}: {synset} has a name without letter or number; give it one.")
        self._refuse_missing()
        self._refuse_cycles()

    @cached_property
    def synsets(self) -> dict[str, tuple[Synset, ...]]:
        """The meanings of each key, ascending."""
        found: dict[str, set[Synset]] = defaultdict(set)
        for synset, names in self.names.items():
            for name in names:
                found[canonical_key(name)].add(synset)
        return {key: tuple(sorted(found[key])) for key in sorted(found)}

    @cached_property
    def digest(self) -> str:
        """16 hex digits of what it says, whatever file said it."""
        said = [
            [[synset, self.names[synset], sorted(self.parents.get(synset, ()))] for synset in sorted(self.names)],
            [[plural, sorted(self.exceptions[plural])] for plural in sorted(self.exceptions)],
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    @cached_property
    def children(self) -> dict[Synset, list[Synset]]:
        """The synsets right under each one that has any."""
        found: dict[Synset, list[Synset]] = defaultdict(list)
        for synset, parents in self.parents.items():
            for parent in parents:
                found[parent].append(synset)
        return dict(found)

    def in_or_under(self, synsets: Iterable[Synset]) -> frozenset[Synset]:
        """These synsets and all kinds and instances of them."""
        found, ahead = set[Synset](), list(synsets)
        while ahead:
            synset = ahead.pop()
            if synset not in found:
                found.add(synset)
                ahead += self.children.get(synset, ())
        return frozenset(found)

    def kind(self, synset: Synset) -> str:
        """A synset and what it is a kind of, which tells it from others of the same name."""
        above = self.parents.get(synset)
        names = self.names.get(above[0] if above else synset, ())
        return f"{synset} ({names[0]})" if names else synset

    def singular(self, key: str) -> str | None:
        """The key that an unknown one is the plural of: the one that is known of all that it could be, or None.

        >>> Lexicon(version="", names={"n1": ("albatross",)}).singular("albatrosses")
        'albatross'
        """
        known = {word for word in self.exceptions.get(key) or singulars(key) if word in self.synsets}
        return known.pop() if key not in self.synsets and len(known) == 1 else None

    def _refuse_missing(self) -> None:
        for synset, parents in self.parents.items():
            missing = [name for name in (synset, *parents) if name not in self.names]
            if missing:
                raise UsageError(
                    f"{self.version}: {missing[0]}, named as a parent or child in the line of {synset}, is no synset "
                    "of it; add it, or take it out there."
                )

    def _refuse_cycles(self) -> None:
        """Takes synsets away whose parents are all gone; what is left holds a cycle."""
        waits = {synset: len(parents) for synset, parents in self.parents.items() if parents}
        free = [synset for synset in self.names if synset not in waits]
        while free:
            for child in self.children.get(free.pop(), ()):
                waits[child] -= 1
                if not waits[child]:
                    del waits[child]
                    free.append(child)
        if waits:
            path = [min(waits)]
            while path[-1] not in path[:-1]:
                path.append(next(parent for parent in self.parents[path[-1]] if parent in waits))
            cycle = path[path.index(path[-1]) :]
            raise UsageError(
                f"{self.version}: the parents run in a cycle, {' -> '.join(cycle)}; take one of these links out."
            )
