"""What became of every raw tag, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagwise.base.errors import nearest
from tagwise.base.progress import counted
from tagwise.tags.key import canonical_key
from tagwise.tags.space import LabelSpace
from tagwise.tags.table import Assignment, Counts, Ids
from tagwise.tags.ways import Way, Ways

DISCARDED = (
    *("empty", "denied", "number", "too short", "unknown", "too many senses", "off target"),
    *("not allowed", "too few owners", "too few pictures", "below the top"),
)
"""Fates of tags that became no label, in the order in which they strike."""

_SELECTED = DISCARDED[-4:]
"""Those that what they are counted as decides."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fates:
    """What became of every distinct raw tag: exactly one fate each, sorted by raw tag."""

    raw: Sequence[str]
    keys: Sequence[str]
    """Canonical key of each; empty when no letter or number is left."""
    fates: Sequence[str]
    """One of ``KEPT`` or ``DISCARDED``."""
    targets: Sequence[str]
    """The key that it was counted as, after aliases, plurals and synonyms."""
    label_ids: Ids
    """-1 for discarded ones."""
    occurrences: Counts
    """Entries of the table that say it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelling:
    """A label space together with what it makes of the table that it was built from."""

    space: LabelSpace
    assignment: Assignment
    fates: Fates
    pictures: Mapping[str, int]
    """Pictures of each key that the word alone keeps, after all that it is counted as, label or not."""
    ways: Ways
    folds: Mapping[str, str]
    """Plurals that the counts of the corpus folded onto their singular."""

    def explain(self, tag: str) -> str:
        """The way of a raw tag to its label, or why it has none, in one line."""
        way = self.ways(canonical_key(tag))
        if not way.key:
            return f"{tag!r}: no letter or number is left of it, so it is no label."
        steps = [repr(tag), f"key {way.key!r}", *self._steps(way)]
        label_id = self.space.encode(tag)
        if label_id is not None:
            label = self.space.labels[label_id]
            return f"{', '.join(steps)}: label {label_id}, {label.key!r}, in {counted(label.pictures, 'picture')}."
        refusal = self._refused_word(way) or self._refused_count(self.folds.get(way.target, way.target))
        return f"{', '.join(steps)}: {refusal}, so it is no label."

    def _steps(self, way: Way) -> list[str]:
        """What the key became on its way, as far as it went."""
        steps = [f"alias of {way.word!r}"] if way.word != way.key else []
        if way.known != way.word:
            steps.append(f"plural of {way.known!r}")
        if way.fate == "as before":
            steps.append(f"{way.target!r} in the space that is extended")
        elif way.target != way.known:
            steps.append(f"synonym of {way.target!r} ({', '.join(self.ways.synsets(way.target))})")
        counted = self.folds.get(way.target, way.target)
        return steps if counted == way.target else [*steps, f"plural of {counted!r}"]

    def _refused_word(self, way: Way) -> str | None:
        options, lexicon, target = self.space.options, self.space.lexicon, self.space.target
        meanings = self.ways.lexicon.synsets.get(way.known, ()) if self.ways.lexicon else ()
        return {
            "denied": "it is on the deny list",
            "number": "it is a number",
            "too short": f"it has fewer than {options.min_length} characters",
            "unknown": f"{lexicon.version if lexicon else 'the lexicon'} does not know it",
            "too many senses": f"it has {len(meanings)} meanings, above --max-senses {options.max_senses}",
            "off target": f"{', '.join(meanings)} is in or under no class of {target.name if target else 'the target'}",
        }.get(way.fate)

    def _refused_count(self, target: str) -> str:
        fates = zip(self.fates.targets, self.fates.fates, strict=True)
        fate = next((fate for counted, fate in fates if counted == target and fate in _SELECTED), None)
        if fate is None:
            near = [repr(word) for word in nearest(target, self.pictures)]
            told = f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else ""
            return f"nobody said it{told}"
        options, pictures = self.space.options, self.pictures[target]
        on = f"{target!r} is on {counted(pictures, 'picture')}"
        return {
            "not allowed": f"{target!r} is not on the allow list",
            "too few owners": f"{target!r} was said by fewer people than --min-owners {options.min_owners}",
            "too few pictures": f"{on}, below --min-count {options.min_count}",
            "below the top": f"{on}, below the --top {options.top}",
        }[fate]
