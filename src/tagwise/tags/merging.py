"""Which keys are one word: the user's alias file, and plurals that stand beside their singular."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable, say
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
    """Reads lines of ``alias<TAB>tag``, or a CSV table whose header names ``tag`` and ``aliases``.

    In a table a cell of aliases has commas between them. Nobody has checked such a list for this
    use, so what is doubtful in it is left apart and told with its first three: an alias of two
    tags, an alias whose key is the tag of another row, and what holds no letter or number.

    Returns:
        Key of each alias to the key of its tag. ``news<TAB>news`` keeps a key as it is.

    Raises:
        UsageError: The file is missing, a line is no such pair, one alias has two meanings, or
            the rows of a table run in a cycle.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The alias file {path} cannot be read: {error}.") from error
    header = [name.strip().strip('"').casefold() for name in text.partition("\n")[0].split(",")]
    return _from_table(path, text, header) if {"tag", "aliases"} <= set(header) else _from_lines(path, text)


def _from_lines(path: Path, text: str) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        keys = [canonical_key(part) for part in line.split("\t")]
        if len(keys) != 2 or not all(keys):
            raise UsageError(
                f"{path}, line {number}: {printable(line)!r} is no alias<TAB>tag; write two tags with a tab "
                "between them, or a CSV table with the columns tag and aliases."
            )
        alias, tag = keys
        if aliases.setdefault(alias, tag) != tag:
            raise UsageError(
                f"{path}, line {number}: {alias!r} is {tag!r} here and {aliases[alias]!r} above; keep one."
            )
    return aliases


def _from_table(path: Path, text: str, header: list[str]) -> dict[str, str]:
    rows = _rows(path, text, header)
    tags = {canonical_key(tag) for tag, _ in rows}
    said: dict[str, list[tuple[str, str]]] = {}
    for tag, cell in rows:
        for alias in filter(None, map(str.strip, cell.split(","))):
            said.setdefault(canonical_key(alias), []).append((alias, tag))
    meanings = {key: {canonical_key(tag) for _, tag in pairs} - {key} for key, pairs in said.items()}
    single = {key: tag for key, found in meanings.items() if key and len(found) == 1 for tag in found if tag}
    resolve_aliases(single)  # two rows that each call the other's tag an alias: no reading of them is right
    doubtful = {
        "hold no letter or number, or their tag holds none": [key for key in said if "" in {key, *meanings[key]}],
        "are the tag of another row too": [key for key in single if key in tags],
        "stand at several tags": [key for key, found in meanings.items() if key and len(found - {""}) > 1],
    }
    for what, keys in doubtful.items():
        _tell(path, what, [pair for key in keys for pair in said[key]])
    # A list that has both a plural and its singular keeps them apart: glasses are no glass.
    apart = {key: key for key in tags if tags.intersection(singulars(key))}
    return apart | {key: tag for key, tag in single.items() if key not in tags}


def _rows(path: Path, text: str, header: list[str]) -> list[tuple[str, str]]:
    """Tag and cell of aliases of each row."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    tag, aliases = header.index("tag"), header.index("aliases")
    rows = []
    try:
        for row in filter(None, islice(reader, 1, None)):
            if len(row) != len(header):
                raise UsageError(
                    f"{path}, line {reader.line_num}: {len(row)} cells under a header of {len(header)}; "
                    "put aliases that have commas between them in quotes."
                )
            rows.append((row[tag], row[aliases]))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}; write it as a CSV table.") from error
    return rows


def _tell(path: Path, what: str, pairs: list[tuple[str, str]]) -> None:
    if pairs:
        shown = ", ".join(f"{printable(alias, 40)} -> {printable(tag, 40)}" for alias, tag in pairs[:3])
        say(f"{path}: {len(pairs):,} aliases {what} ({shown}); they merge nothing until their rows are corrected.")


def resolve_aliases(aliases: Mapping[str, str], fixed: frozenset[str] = frozenset()) -> dict[str, str]:
    """Follows chains of aliases to their end.

    Args:
        aliases: Raw tags or keys; both sides are keyed here.
        fixed: Keys that are aliases of nothing, whatever is said here; a chain ends at them.

    Returns:
        Each alias's key to its last canonical key, in the order of the keys.

    Raises:
        UsageError: An alias leads back to itself (the message names the cycle), means two
            things, or holds no letter or number.
    """
    direct: dict[str, str] = {}
    for alias, canonical in aliases.items():
        key, target = canonical_key(alias), canonical_key(canonical)
        if key in fixed:
            continue
        if not key or not target or direct.setdefault(key, target) != target:
            raise UsageError(f"The alias {alias!r} of {canonical!r} is empty, or has another meaning too; keep one.")
    ends: dict[str, str] = {}
    for alias in sorted(direct):
        chain = _chain(alias, direct, ends)
        ends.update(dict.fromkeys(chain, ends.get(chain[-1], chain[-1])))
    return {alias: ends[alias] for alias in sorted(direct)}


def _chain(alias: str, direct: Mapping[str, str], ends: Mapping[str, str]) -> list[str]:
    """From an alias to the first key that has no other meaning, or whose end is known."""
    chain: dict[str, None] = {alias: None}  # an ordered set
    key = alias
    while key not in ends and direct.get(key, key) != key:
        key = direct[key]
        if key in chain:
            names = [*chain]
            cycle = [*names[names.index(key) :], key]
            raise UsageError(f"The aliases run in a cycle, {' -> '.join(cycle)}; take one of these lines out.")
        chain[key] = None
    return [*chain]


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
        known = {singular for singular in singulars(key) if singular in pictures}
        if key in kept or len(known) != 1:
            continue
        (singular,) = known
        if pictures[singular] >= pictures[key]:
            folds[key] = folds.get(singular, singular)  # shorter keys are settled; -man never folds
    return folds


def singulars(key: str) -> list[str]:
    """The keys that this one can be an English plural of."""
    stems = [key.removesuffix(plural) + singular for plural, singular in _PLURALS if key.endswith(plural)]
    return [stem for stem in stems if len(stem) >= SHORTEST_SINGULAR]
