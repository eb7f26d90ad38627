"""Which keys are one word: the user's alias file, and plurals that stand beside their singular."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.tags.key import canonical_key

_PLURALS = (
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ies", "y"),
    ("men", "man"),
)
"""Endings of English plurals and what stands there in the singular (WordNet's morphy rules)."""

SHORTEST_SINGULAR = 3
"""Letters of a singular that a plural may be folded onto; ``bus`` is no plural of ``bu``."""


def read_aliases(path: Path) -> dict[str, str]:
    """Reads lines of ``alias<TAB>canonical``; blank lines are skipped.

    Returns:
        Key of each alias to the key of its canonical tag. ``news<TAB>news`` keeps a key as it is.

    Raises:
        UsageError: The file is missing, a line is no such pair, or one alias has two meanings.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The alias file {path} cannot be read: {error}.") from error
    aliases: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        keys = [canonical_key(part) for part in line.split("\t")]
        if len(keys) != 2 or not all(keys):
            raise UsageError(f"{path}, line {number}: {printable(line)!r} is no alias<TAB>canonical of two tags.")
        alias, canonical = keys
        if aliases.setdefault(alias, canonical) != canonical:
            raise UsageError(
                f"{path}, line {number}: {alias!r} is {canonical!r} here and {aliases[alias]!r} above; keep one."
            )
    return aliases


def resolve_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Follows chains of aliases to their end.

    Args:
        aliases: Raw tags or keys; both sides are keyed here.

    Returns:
        Each alias's key to its last canonical key, in the order of the keys.

    Raises:
        UsageError: An alias leads back to itself (the message names the cycle), means two
            things, or holds no letter or number.
    """
    direct: dict[str, str] = {}
    for alias, canonical in aliases.items():
        key, target = canonical_key(alias), canonical_key(canonical)
        if not key or not target or direct.setdefault(key, target) != target:
            raise UsageError(f"The alias {alias!r} of {canonical!r} is empty, or has another meaning too; keep one.")
    return {alias: _end_of_chain(alias, direct) for alias in sorted(direct)}


def _end_of_chain(alias: str, direct: Mapping[str, str]) -> str:
    path = [alias]
    while (following := direct.get(path[-1], path[-1])) != path[-1]:
        if following in path:
            cycle = [*path[path.index(following) :], following]
            raise UsageError(f"The aliases run in a cycle, {' -> '.join(cycle)}; take one of these lines out.")
        path.append(following)
    return path[-1]


def fold_plurals(pictures: Mapping[str, int], protected: Iterable[str] = ()) -> dict[str, str]:
    """Plurals whose singular is in the same corpus.

    Without a lexicon every key that occurs is a known word, so a plural is folded only where
    exactly one of its possible singulars occurs, and in at least as many pictures:
    ``circles`` onto ``circle``, but never ``albatross`` onto ``albatros``, a rare misspelling.

    Args:
        pictures: Key to the number of pictures that hold it.
        protected: Keys that stay as they are.

    Returns:
        Key of each folded plural to the key at the end of its chain.
    """
    kept = set(protected)
    folds: dict[str, str] = {}
    for key in sorted(pictures, key=lambda key: (len(key), key)):
        known = {singular for singular in _singulars(key) if singular in pictures}
        if key in kept or len(known) != 1:
            continue
        (singular,) = known
        if pictures[singular] >= pictures[key]:
            folds[key] = folds.get(singular, singular)  # shorter keys are settled; -man never folds
    return folds


def _singulars(key: str) -> list[str]:
    stems = [key.removesuffix(plural) + singular for plural, singular in _PLURALS if key.endswith(plural)]
    return [stem for stem in stems if len(stem) >= SHORTEST_SINGULAR]
