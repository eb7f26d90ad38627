"""The way of a key to the word that it counts as, as far as the key alone decides: aliases, lexicon, target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from tagwise.base.errors import UsageError
from tagwise.tags.lexicon import Lexicon, Synset
from tagwise.tags.signatures import Meanings, merge_keys
from tagwise.tags.space import SPOKEN, Label, LabelOptions, word_fate

KEPT = ("label", "alias", "plural", "synonym", "as before")
"""Fates of tags that may be a label, by the last step to it; ``as before``: by the space that is extended."""


class Way(NamedTuple):
    """The steps of a key, and its fate after them."""

    key: str
    word: str
    """What it is an alias of, or itself."""
    known: str
    """What the lexicon knows of that: itself or a singular."""
    target: str
    """What it is counted as."""
    fate: str


class Ways:
    """Finds the way of any key.

    Args:
        options: With every default settled, and no alias of a key that ``base`` knows.
        lexicon: Merges what means the same.
        target: Synsets that a label has to be a name of.
        base: Labels that keep what they are; they stand before everything else but what the deny list says.
        said: How often each key of the lexicon is said, plurals and aliases of it included.
    """

    def __init__(
        self,
        options: LabelOptions,
        lexicon: Lexicon | None = None,
        target: Collection[Synset] | None = None,
        base: tuple[Label, ...] = (),
        said: Mapping[str, int] | None = None,
    ) -> None:
        self.options, self.lexicon, self.target, self.said = options, lexicon, target, said
        self.base = {label.key: label for label in base}
        self._held = {key: label.key for label in base for key in (*label.members, label.key)}
        self._denied = frozenset(options.deny)

    def __call__(self, key: str) -> Way:
        """The way of a canonical key."""
        word = self.options.aliases.get(key, key)
        fate = word_fate(key, word, self._denied, self.options)
        if word in self._held and fate not in ("empty", "denied"):
            return self._as_before(Way(key, word, word, word, "label" if key == word else "alias"))
        if fate not in SPOKEN:
            return Way(key, word, word, word, fate)
        if self.lexicon is None:
            return Way(key, word, word, word, fate)
        return self._as_before(self._looked_up(key, word, fate, self.lexicon))

    def named(self, keys: Iterable[str], occurrences: Iterable[int]) -> Ways:
        """The same, with labels called by the words that these keys say most often."""
        if self.lexicon is None:
            return self
        said = Counter[str]()
        for key, times in zip(keys, occurrences, strict=True):
            word = self.options.aliases.get(key, key)
            if word_fate(key, word, self._denied, self.options) in SPOKEN:
                said[self._known(word) or ""] += times
        return Ways(self.options, self.lexicon, self.target, tuple(self.base.values()), said)

    @cached_property
    def meanings(self) -> Meanings | None:
        """What the lexicon's keys are counted as."""
        if self.lexicon is None:
            return None
        assert self.options.rule is not None
        aliased = {alias for alias, word in self.options.aliases.items() if alias != word}
        vague = {key for key, synsets in self.lexicon.synsets.items() if self._vague(synsets)}
        return merge_keys(
            self.lexicon, self.options.rule, self.target, taken=aliased | vague | self._denied, said=self.said
        )

    def folds(self, word: str) -> bool:
        """Whether the counts of the corpus may fold it onto its singular: nothing else knows it."""
        protected = word in self._aliased or word in self._held
        return not protected and (self.lexicon is None or self._known(word) is None)

    def synsets(self, word: str) -> tuple[Synset, ...]:
        """The meanings of a word that something is counted as."""
        if word in self.base:
            return self.base[word].synsets
        return self.meanings.synsets_of.get(word, ()) if self.meanings else ()

    def members(self, word: str) -> set[str]:
        """Keys that would be counted as this word, said or not."""
        held = self.base[word].members if word in self.base else ()
        listed = self.meanings.members_of.get(word, ()) if self.meanings else ()
        ways = map(self, (*held, *listed))
        return {way.key for way in ways if way.target == word and way.fate in KEPT}

    @cached_property
    def _aliased(self) -> frozenset[str]:
        return frozenset(self.options.aliases.values())

    def _known(self, word: str) -> str | None:
        assert self.lexicon is not None
        if word in self.lexicon.synsets or not self.options.plurals:
            return word if word in self.lexicon.synsets else None
        singular = self.lexicon.singular(word)
        return singular and self.options.aliases.get(singular, singular)

    def _vague(self, synsets: tuple[Synset, ...]) -> bool:
        return self.options.max_senses is not None and len(synsets) > self.options.max_senses

    def _looked_up(self, key: str, word: str, fate: str, lexicon: Lexicon) -> Way:
        assert self.meanings is not None
        known = self._known(word)
        if known is None:
            return Way(key, word, word, word, "unknown" if self.options.unknown == "drop" else fate)
        if known != word:
            singular = word_fate(known, known, self._denied, self.options)
            if singular not in SPOKEN:
                return Way(key, word, known, known, singular)
            fate = "plural"
        synsets = lexicon.synsets.get(known, ())
        if not synsets and self.options.unknown == "drop":  # what the user calls the singular
            return Way(key, word, known, known, "unknown")
        if self._vague(synsets):
            return Way(key, word, known, known, "too many senses")
        if known not in self.meanings.word_of:
            return Way(key, word, known, known, "off target" if synsets else fate)
        target = self.meanings.word_of[known]
        return Way(key, word, known, target, fate if target == known else "synonym")

    def _as_before(self, way: Way) -> Way:
        before = self._held.get(way.target)
        if before is None or way.fate not in KEPT:
            return way
        return way._replace(target=before, fate=way.fate if before == way.target else "as before")


def settled(options: LabelOptions, lexicon: Lexicon | None, target: Collection[Synset] | None) -> LabelOptions:
    """The options with every default that a lexicon or a target decides.

    Raises:
        UsageError: They ask for what only a lexicon or a target can tell, or exclude each other.
    """
    if lexicon is None:
        for name, given in (("a target", target), ("a rule", options.rule), ("max_senses", options.max_senses)):
            if given is not None:
                raise UsageError(f"Without a lexicon there are no meanings for {name}; give --lexicon.")
    if target is not None and options.unknown == "label":
        raise UsageError("A word that no lexicon knows is in no class of a target; leave --for or --unknown away.")
    if target is None and options.rule == "target":
        raise UsageError("The rule target compares words within a target; give --for, or the rule signature.")
    rule = options.rule or ("signature" if target is None else "target")
    length = 1 if lexicon is None else 3 if target is None else 2
    return replace(options, rule=None if lexicon is None else rule, min_length=options.min_length or length)
