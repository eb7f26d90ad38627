"""From a table of raw tags to a label space: a pure function, and the fate of every raw tag."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tagwise.base.errors import UsageError
from tagwise.tags.alignment import Target
from tagwise.tags.fates import DISCARDED, Fates, Labelling
from tagwise.tags.key import canonical_key
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.merging import fold_plurals, resolve_aliases
from tagwise.tags.space import Base, Label, LabelOptions, LabelSpace, LexiconFacts
from tagwise.tags.table import Counts, Ids, Tags, TagTable
from tagwise.tags.ways import KEPT, Ways, settled


def build_label_space(
    table: Tags,
    options: LabelOptions | None = None,
    *,
    aliases: Mapping[str, str] | None = None,
    deny: Iterable[str] = (),
    allow: Iterable[str] = (),
    lexicon: Lexicon | None = None,
    target: Target | None = None,
    base: LabelSpace | None = None,
) -> Labelling:
    """Makes labels of the raw tags.

    Each raw tag is keyed, then aliases apply, then the deny list, numbers, length, the lexicon with
    its plurals, synonyms and the target, other plurals, and last the allow list, the counts of
    owners and pictures, and the top.

    Args:
        table: The tags of a corpus.
        options: What makes a tag a label.
        aliases: Tag or key to the tag that it stands for, beside ``options.aliases``.
        deny: Tags that are never labels, beside ``options.deny``.
        allow: Tags that alone are labels, beside ``options.allow``.
        lexicon: Merges what means the same.
        target: Labels are names of its synsets.
        base: A space whose labels keep their ids, members and names, however rare they are here;
            what is new stands behind them.

    Returns:
        The same label space, byte for byte, for the same entries in any order.

    Raises:
        UsageError: Aliases run in a cycle, options need what is not there, or ``base`` was made
            with another lexicon or rule.
    """
    within, held = target.synsets if target else None, base.labels if base else ()
    options = settled(_resolved(options or LabelOptions(), aliases or {}, deny, allow, held), lexicon, within)
    if options.min_owners > 1 and not table.has_owners:
        raise UsageError(f"min_owners={options.min_owners} needs an owner for each tag, and this corpus names none.")
    if base:
        _refuse_other_meanings(base, options, lexicon)
    if isinstance(table, TagTable):
        table = table.in_order()
    keys = [canonical_key(tag) for tag in table.raw]
    ways = Ways(options, lexicon, within, held).named(keys, table.occurrences().tolist())
    words = _Words.of(keys, ways)
    folds = _folds(words, table, ways) if options.plurals else {}
    words = words.folded(folds)
    pictures = table.picture_counts(words.number_of_raw, len(words.vocabulary))
    reasons, label_ids = _select(words, table, pictures, ways, folds)
    fates = _fates(words, table, reasons, label_ids)
    by_key = dict(zip(words.vocabulary, pictures.tolist(), strict=True))
    labels = _labels(fates, words, label_ids, by_key, ways)
    space = LabelSpace(
        labels=labels,
        options=options,
        unicode_version=unicodedata.unidata_version,
        table_digest=table.digest(),
        pictures=table.pictures,
        tags=table.entries,
        fates=_totals(fates),
        lexicon=_lexicon_facts(lexicon, labels),
        target=target.facts if target else None,
        base=Base(digest=base.digest, labels=len(base)) if base else None,
    )
    assignment = table.assign(fates.label_ids)
    return Labelling(space=space, assignment=assignment, fates=fates, pictures=by_key, ways=ways, folds=folds)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Words:
    """The raw tags as words on their way: key, the key that they count as, fate so far."""

    keys: list[str]
    words: list[str]
    """After aliases."""
    targets: list[str]
    fates: list[str]
    base: tuple[str, ...]
    """Words that are labels even if nobody says them."""

    @classmethod
    def of(cls, keys: list[str], ways: Ways) -> _Words:
        words, targets, fates = [], [], []
        for way in map(ways, keys):  # one at a time: a way takes more memory than what is kept of it
            words.append(way.word)
            targets.append(way.target)
            fates.append(way.fate)
        return cls(keys=keys, words=words, targets=targets, fates=fates, base=tuple(ways.base))

    def folded(self, folds: Mapping[str, str]) -> _Words:
        pairs = zip(self.targets, self.fates, strict=True)
        fates = ["plural" if fate in KEPT and target in folds else fate for target, fate in pairs]
        return replace(self, targets=[folds.get(target, target) for target in self.targets], fates=fates)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """The distinct targets still in play with their numbers, sorted."""
        said = {target for target, fate in zip(self.targets, self.fates, strict=True) if fate in KEPT}
        return {target: number for number, target in enumerate(sorted(said.union(self.base)))}

    @cached_property
    def number_of_raw(self) -> Ids:
        """Place in the vocabulary of each raw tag; -1 for discarded ones."""
        pairs = zip(self.targets, self.fates, strict=True)
        numbers = (self.vocabulary[target] if fate in KEPT else -1 for target, fate in pairs)
        return np.fromiter(numbers, np.int32, len(self.targets))


def _resolved(
    options: LabelOptions,
    aliases: Mapping[str, str],
    deny: Iterable[str],
    allow: Iterable[str],
    held: tuple[Label, ...],
) -> LabelOptions:
    """The options with all lists; a chain of aliases ends where the base holds a key."""
    fixed = frozenset(key for label in held for key in (*label.members, label.key))
    denied = {canonical_key(tag) for tag in (*options.deny, *deny)} - {""}
    allowed = {canonical_key(tag) for tag in (*options.allow, *allow)} - {""}
    return replace(
        options,
        aliases=resolve_aliases({**options.aliases, **aliases}, fixed),
        deny=tuple(sorted(denied)),
        allow=tuple(sorted(allowed)),
    )


def _refuse_other_meanings(base: LabelSpace, options: LabelOptions, lexicon: Lexicon | None) -> None:
    digests = (base.lexicon and base.lexicon.digest, lexicon and lexicon.digest)
    for what, old, new in (("lexicon", *digests), ("rule", base.options.rule, options.rule)):
        if old != new:
            raise UsageError(
                f"The space to extend was made with the {what} {old or 'none'}, not {new or 'none'}; give the same, or "
                "make a space of its own."
            )


def _lexicon_facts(lexicon: Lexicon | None, labels: tuple[Label, ...]) -> LexiconFacts | None:
    if lexicon is None:
        return None
    synsets = sorted({synset for label in labels for synset in label.synsets})
    parents = {synset: found for synset in synsets if (found := lexicon.parents.get(synset))}
    return LexiconFacts(version=lexicon.version, digest=lexicon.digest, parents=parents)


def _folds(words: _Words, table: Tags, ways: Ways) -> dict[str, str]:
    counts = table.picture_counts(words.number_of_raw, len(words.vocabulary))
    pictures = dict(zip(words.vocabulary, counts.tolist(), strict=True))
    return fold_plurals(pictures, protected=[word for word in pictures if not ways.folds(word)])


def _select(
    words: _Words, table: Tags, pictures: Counts, ways: Ways, folds: Mapping[str, str]
) -> tuple[list[str], Ids]:
    """Why each word of the vocabulary is no label (an empty text for those that are), and its label id."""
    options, vocabulary = ways.options, words.vocabulary
    allowed = {folds.get(way.target, way.target) for way in map(ways, options.allow)}
    outside = np.array([bool(allowed) and word not in allowed for word in vocabulary], np.bool_)
    held = np.array([word in ways.base for word in vocabulary], np.bool_)
    reasons = np.full(len(pictures), "", object)  # references to few texts, not copies
    reasons[pictures < options.min_count] = "too few pictures"
    reasons[_owner_counts(words, table, options) < options.min_owners] = "too few owners"
    reasons[outside] = "not allowed"
    reasons[held] = ""
    kept = np.flatnonzero((reasons == "") & ~held)
    ranked = kept[np.argsort(-pictures[kept], kind="stable")]  # the vocabulary is sorted: ties by key
    room = len(ranked) if options.top is None else max(0, options.top - len(ways.base))
    labels = [*(vocabulary[word] for word in ways.base), *ranked[:room].tolist()]
    label_ids = np.full(len(pictures), -1, np.int32)
    label_ids[labels] = np.arange(len(labels))
    reasons[ranked[room:]] = "below the top"
    return reasons.tolist(), label_ids


def _owner_counts(words: _Words, table: Tags, options: LabelOptions) -> Counts:
    if options.min_owners == 1:
        return np.ones(len(words.vocabulary), np.int64)
    return table.owner_counts(words.number_of_raw, len(words.vocabulary))


def _fates(words: _Words, table: Tags, reasons: list[str], label_ids: Ids) -> Fates:
    numbers = words.number_of_raw
    pairs = zip(numbers.tolist(), words.fates, strict=True)
    return Fates(
        raw=table.raw,
        keys=words.keys,
        fates=[(reasons[number] if number >= 0 else "") or fate for number, fate in pairs],
        targets=words.targets,
        label_ids=np.append(label_ids, np.int32(-1))[numbers],
        occurrences=table.occurrences(),
    )


def _labels(fates: Fates, words: _Words, label_ids: Ids, pictures: Mapping[str, int], ways: Ways) -> tuple[Label, ...]:
    labels = []
    named = {label: key for key, label in zip(words.vocabulary, label_ids.tolist(), strict=True) if label >= 0}
    order = np.argsort(fates.label_ids, kind="stable")
    starts = np.searchsorted(fates.label_ids[order], np.arange(len(named) + 1))
    for label, key in sorted(named.items()):
        raws = order[starts[label] : starts[label + 1]].tolist()
        said = {word for raw in raws for word in (fates.keys[raw], words.words[raw])}
        labels.append(
            Label(
                key=key,
                spelling=ways.base[key].spelling if key in ways.base else _spelling(fates, raws, key),
                members=tuple(sorted({key, *said, *ways.members(key)})),
                pictures=pictures[key],
                synsets=ways.synsets(key),
            )
        )
    return tuple(labels)


def _spelling(fates: Fates, raws: list[int], key: str) -> str:
    own = [raw for raw in raws if fates.keys[raw] == key]
    spoken = max(own or raws, key=lambda raw: int(fates.occurrences[raw]))  # the first of equals: sorted by raw tag
    return fates.raw[spoken].encode("utf-8", "replace").decode()


def _totals(fates: Fates) -> dict[str, int]:
    totals = Counter[str]()
    for fate, occurrences in zip(fates.fates, fates.occurrences.tolist(), strict=True):
        totals[fate] += occurrences
    return {fate: totals[fate] for fate in (*KEPT, *DISCARDED)}
