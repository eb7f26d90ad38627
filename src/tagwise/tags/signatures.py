"""Which words of a lexicon are one label: the rules, from keys alone to sets of meanings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from tagwise.tags.key import canonical_key
from tagwise.tags.lexicon import Lexicon, Synset

Rule = Literal["keys", "union", "target", "signature"]
"""``keys``: each key is a label; ``union``: keys are one label if a chain of shared synsets joins them;
``target``: if they have the same synsets of the target; ``signature``: if they have the same synsets at all.

A union over all nouns joins 12,566 keys into one label by their other meanings."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Meanings:
    """What the keys of a lexicon are counted as."""

    word_of: Mapping[str, str]
    """Each key to the key that names its label; no other key is in."""
    synsets_of: Mapping[str, tuple[Synset, ...]]
    """Each label to its meanings, ascending."""
    members_of: Mapping[str, tuple[str, ...]]
    """Each label to its keys, ascending."""


def merge_keys(
    lexicon: Lexicon,
    rule: Rule,
    target: Collection[Synset] | None = None,
    *,
    taken: Collection[str] = (),
    said: Mapping[str, int] | None = None,
) -> Meanings:
    """Merges keys that mean the same.

    Args:
        lexicon: Synsets and their names.
        rule: When two keys mean the same.
        target: Keys that are names of none of these synsets are left out; by default all stay.
        taken: Keys that no label is called by, if it has another.
        said: How often people say each key.

    Returns:
        Labels called by the key that is said most; of equals, by the first name of their first synset.
    """
    within = {
        key: held
        for key, synsets in lexicon.synsets.items()
        if (held := synsets if target is None else tuple(synset for synset in synsets if synset in target))
    }
    classes: dict[object, list[str]] = defaultdict(list)
    components = _components(within) if rule == "union" else {}
    for key, held in within.items():
        signatures = {"keys": key, "union": components.get(key), "target": held, "signature": lexicon.synsets[key]}
        classes[signatures[rule]].append(key)
    word_of, synsets_of, members_of = {}, {}, {}
    for keys in classes.values():
        meanings = within if rule in ("union", "target") else lexicon.synsets
        synsets = tuple(sorted({synset for key in keys for synset in meanings[key]}))
        name = _name(keys, synsets, lexicon, taken, said or {})
        word_of.update(dict.fromkeys(keys, name))
        synsets_of[name], members_of[name] = synsets, tuple(keys)
    return Meanings(word_of=word_of, synsets_of=synsets_of, members_of=members_of)


def rule_sizes(lexicon: Lexicon, target: Collection[Synset] | None = None) -> dict[str, int]:
    """The labels that each rule makes of all names of some synsets; ``names`` counts each name of each."""
    rules: tuple[Rule, ...] = ("keys", "union", "target", "signature")
    chosen = lexicon.names if target is None else target
    names = sum(len(lexicon.names[synset]) for synset in chosen)
    return {"names": names} | {rule: len(merge_keys(lexicon, rule, target).synsets_of) for rule in rules}


def _name(
    keys: list[str], synsets: tuple[Synset, ...], lexicon: Lexicon, taken: Collection[str], said: Mapping[str, int]
) -> str:
    if len(keys) == 1:
        return keys[0]
    members = set(keys).difference(taken) or set(keys)
    names = (canonical_key(name) for synset in synsets for name in lexicon.names[synset])
    return max((name for name in names if name in members), key=lambda name: said.get(name, 0))  # the first of equals


def _components(synsets_of: Mapping[str, tuple[Synset, ...]]) -> dict[str, str]:
    """Each key to one key of all that shared synsets join with it."""
    keys_of: dict[Synset, list[str]] = defaultdict(list)
    for key, synsets in synsets_of.items():
        for synset in synsets:
            keys_of[synset].append(key)
    component: dict[str, str] = {}
    for first in synsets_of:
        ahead = [] if first in component else [first]
        while ahead:
            key = ahead.pop()
            if key not in component:
                component[key] = first
                ahead += [other for synset in synsets_of[key] for other in keys_of[synset]]
    return component
