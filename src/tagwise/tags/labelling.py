"""From a table of raw tags to a label space: a pure function, and the fate of every raw tag."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tagwise.base.errors import UsageError, nearest
from tagwise.tags.key import canonical_key, is_number
from tagwise.tags.merging import fold_plurals, resolve_aliases
from tagwise.tags.space import Label, LabelOptions, LabelSpace
from tagwise.tags.table import Assignment, Counts, Ids, Tags, TagTable

KEPT = ("label", "alias", "plural")
"""Fates of tags that became a label, by what led there."""

DISCARDED = ("empty", "denied", "number", "too short", "too few owners", "too few pictures", "below the top")
"""Fates of tags that did not, in the order in which they strike."""

_RARE = DISCARDED[-3:]
"""Those that counts decide."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fates:
    """What became of every distinct raw tag: exactly one fate each, sorted by raw tag."""

    raw: tuple[str, ...]
    keys: tuple[str, ...]
    """Canonical key of each; empty when no letter or number is left."""
    fates: tuple[str, ...]
    """One of ``KEPT`` or ``DISCARDED``."""
    targets: tuple[str, ...]
    """The key that it was counted as, after aliases and plurals."""
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
    """Pictures of each key that the word alone keeps, after aliases and plurals, whether it became a label or not."""

    def explain(self, tag: str) -> str:
        """The way of a raw tag to its label, or why it has none, in one line."""
        key = canonical_key(tag)
        steps = [repr(tag), f"key {key!r}"]
        if not key:
            return f"{steps[0]}: no letter or number is left of it, so it is no label."
        if (target := self.space.options.aliases.get(key, key)) != key:
            steps.append(f"alias of {target!r}")
        refusal = self._refused_word(key, target)
        if refusal is None:
            counted = dict(zip(self.fates.keys, self.fates.targets, strict=True)).get(target, target)
            if counted != target:
                steps.append(f"plural of {counted!r}")
            label_id = self.space.encode(tag)
            if label_id is not None:
                return f"{', '.join(steps)}: label {label_id}, {counted!r}, in {self.pictures[counted]:,} pictures."
            refusal = self._refused_count(counted)
        return f"{', '.join(steps)}: {refusal}, so it is no label."

    def _refused_word(self, key: str, target: str) -> str | None:
        options = self.space.options
        return {
            "denied": "it is on the deny list",
            "number": "it is a number",
            "too short": f"it has fewer than {options.min_length} characters",
        }.get(_fate(key, target, frozenset(options.deny), options))

    def _refused_count(self, target: str) -> str:
        if target not in self.pictures:
            near = [repr(word) for word in nearest(target, self.pictures)]
            told = f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else ""
            return f"nobody said it{told}"
        options, pictures = self.space.options, self.pictures[target]
        fates = zip(self.fates.targets, self.fates.fates, strict=True)
        fate = next(fate for counted, fate in fates if counted == target and fate in _RARE)
        on = f"{target!r} is on {'1 picture' if pictures == 1 else f'{pictures:,} pictures'}"
        return {
            "too few owners": f"{target!r} was said by fewer people than --min-owners {options.min_owners}",
            "too few pictures": f"{on}, below --min-count {options.min_count}",
            "below the top": f"{on}, below the --top {options.top}",
        }[fate]


def build_label_space(
    table: Tags,
    options: LabelOptions | None = None,
    *,
    aliases: Mapping[str, str] | None = None,
    deny: Iterable[str] = (),
) -> Labelling:
    """Makes labels of the raw tags.

    Each raw tag is keyed, then aliases apply, then the deny list, numbers, length, plurals, and
    last the counts of owners and pictures and the top.

    Args:
        table: The tags of a corpus.
        options: What makes a tag a label.
        aliases: Tag or key to the tag that it stands for, beside ``options.aliases``.
        deny: Tags that are never labels, beside ``options.deny``.

    Returns:
        The same label space, byte for byte, for the same entries in any order.

    Raises:
        UsageError: Aliases run in a cycle, or owners are to be counted and the table has none.
    """
    options = _resolved(options or LabelOptions(), aliases or {}, deny)
    if options.min_owners > 1 and not table.has_owners:
        raise UsageError(f"min_owners={options.min_owners} needs an owner for each tag, and this corpus names none.")
    if isinstance(table, TagTable):
        table = table.in_order()
    words = _Words.of(table.raw, options)
    if options.plurals:
        words = words.folded(_folds(words, table, options))
    pictures = table.picture_counts(words.number_of_raw, len(words.vocabulary))
    fates = _fates(words, table, *_select(words, table, pictures, options))
    by_key = dict(zip(words.vocabulary, pictures.tolist(), strict=True))
    space = LabelSpace(
        labels=_labels(fates, by_key),
        options=options,
        unicode_version=unicodedata.unidata_version,
        table_digest=table.digest(),
        pictures=table.pictures,
        tags=table.entries,
        fates=_totals(fates),
    )
    return Labelling(space=space, assignment=table.assign(fates.label_ids), fates=fates, pictures=by_key)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Words:
    """The raw tags as words on their way: key, the key that they count as, fate so far."""

    keys: list[str]
    targets: list[str]
    fates: list[str]

    @classmethod
    def of(cls, raw: Iterable[str], options: LabelOptions) -> _Words:
        keys = [canonical_key(tag) for tag in raw]
        targets = [options.aliases.get(key, key) for key in keys]
        denied = frozenset(options.deny)
        fates = [_fate(key, target, denied, options) for key, target in zip(keys, targets, strict=True)]
        return cls(keys=keys, targets=targets, fates=fates)

    def folded(self, folds: Mapping[str, str]) -> _Words:
        fates = ["plural" if target in folds else fate for target, fate in zip(self.targets, self.fates, strict=True)]
        targets = [folds.get(target, target) for target in self.targets]
        return _Words(keys=self.keys, targets=targets, fates=fates)

    @cached_property
    def vocabulary(self) -> list[str]:
        """The distinct targets still in play, sorted."""
        return sorted({target for target, fate in zip(self.targets, self.fates, strict=True) if fate in KEPT})

    @cached_property
    def number_of_raw(self) -> Ids:
        """Place in the vocabulary of each raw tag; -1 for discarded ones."""
        number = {target: index for index, target in enumerate(self.vocabulary)}
        pairs = zip(self.targets, self.fates, strict=True)
        return np.array([number[target] if fate in KEPT else -1 for target, fate in pairs], np.int32)


def _resolved(options: LabelOptions, aliases: Mapping[str, str], deny: Iterable[str]) -> LabelOptions:
    denied = {canonical_key(tag) for tag in (*options.deny, *deny)} - {""}
    return replace(options, aliases=resolve_aliases({**options.aliases, **aliases}), deny=tuple(sorted(denied)))


def _fate(key: str, target: str, denied: frozenset[str], options: LabelOptions) -> str:
    """The fate as far as the word alone decides it."""
    if not key:
        return "empty"
    if key in denied or target in denied:
        return "denied"
    if options.drop_numbers and is_number(target):
        return "number"
    if len(target) < options.min_length:
        return "too short"
    return "label" if key == target else "alias"


def _folds(words: _Words, table: Tags, options: LabelOptions) -> dict[str, str]:
    counts = table.picture_counts(words.number_of_raw, len(words.vocabulary))
    pictures = dict(zip(words.vocabulary, counts.tolist(), strict=True))
    return fold_plurals(pictures, protected=options.aliases.values())


def _select(words: _Words, table: Tags, pictures: Counts, options: LabelOptions) -> tuple[list[str], Ids]:
    """Why each word of the vocabulary is no label (an empty text for those that are), and its label id."""
    owners = _owner_counts(words, table, options)
    rare = np.where(pictures < options.min_count, "too few pictures", "")
    reasons = np.where(owners < options.min_owners, "too few owners", rare)
    kept = np.flatnonzero(reasons == "")
    ranked = kept[np.argsort(-pictures[kept], kind="stable")]  # the vocabulary is sorted: ties by key
    label_ids = np.full(len(pictures), -1, np.int32)
    label_ids[ranked[: options.top]] = np.arange(len(ranked[: options.top]))
    reasons[ranked[len(ranked[: options.top]) :]] = "below the top"
    return reasons.tolist(), label_ids


def _owner_counts(words: _Words, table: Tags, options: LabelOptions) -> Counts:
    if options.min_owners == 1:
        return np.ones(len(words.vocabulary), np.int64)
    return table.owner_counts(words.number_of_raw, len(words.vocabulary))


def _fates(words: _Words, table: Tags, reasons: list[str], label_ids: Ids) -> Fates:
    numbers = words.number_of_raw
    pairs = zip(numbers.tolist(), words.fates, strict=True)
    return Fates(
        raw=tuple(table.raw),
        keys=tuple(words.keys),
        fates=tuple((reasons[number] if number >= 0 else "") or fate for number, fate in pairs),
        targets=tuple(words.targets),
        label_ids=np.append(label_ids, np.int32(-1))[numbers],
        occurrences=table.occurrences(),
    )


def _labels(fates: Fates, pictures: Mapping[str, int]) -> tuple[Label, ...]:
    raws_of_label: dict[int, list[int]] = defaultdict(list)
    for raw, label in enumerate(fates.label_ids.tolist()):
        if label >= 0:
            raws_of_label[label].append(raw)
    labels = []
    for label in range(len(raws_of_label)):
        raws = raws_of_label[label]
        key = fates.targets[raws[0]]
        spoken = max(raws, key=lambda raw: int(fates.occurrences[raw]))  # the first of equals: sorted by raw tag
        labels.append(
            Label(
                key=key,
                spelling=fates.raw[spoken].encode("utf-8", "replace").decode(),
                members=tuple(sorted({key, *(fates.keys[raw] for raw in raws)})),
                pictures=pictures[key],
            )
        )
    return tuple(labels)


def _totals(fates: Fates) -> dict[str, int]:
    totals = Counter[str]()
    for fate, occurrences in zip(fates.fates, fates.occurrences.tolist(), strict=True):
        totals[fate] += occurrences
    return {fate: totals[fate] for fate in (*KEPT, *DISCARDED)}
