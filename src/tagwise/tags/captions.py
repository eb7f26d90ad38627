"""Tags out of captions: the words and phrases of a lexicon that stand in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.tags.key import canonical_key
from tagwise.tags.merging import singulars

LONGEST_PHRASE = 4
"""Words of a phrase that is looked for."""

# A phrase may cross blanks, hyphens and apostrophes; "a table, cloth" holds no tablecloth.
_ENDS = re.compile(r"[,;:!?()\[\]{}\"|/\n\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f]|\.(?=\s)")
_WORDS = re.compile(r"[^\s_'\u2019\-\u2010-\u2015]+")


def read_lexicon(path: Path) -> dict[str, str]:
    """Reads one word or phrase a line; blank lines are skipped.

    Returns:
        Canonical key to the lexicon's own spelling; of several spellings the first of most words.

    Raises:
        UsageError: The file cannot be read, is empty, or a line holds no letter or number.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The lexicon {path} cannot be read: {error}.") from error
    lexicon: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        key = canonical_key(line)
        if line and not key:
            raise UsageError(f"{path}, line {number}: {printable(line, 60)!r} holds no letter or number; remove it.")
        if line and (key not in lexicon or _words(line) > _words(lexicon[key])):
            lexicon[key] = line
    if not lexicon:
        raise UsageError(f"The lexicon {path} is empty; write one word or phrase a line.")
    return lexicon


def words_in(caption: str, lexicon: Mapping[str, str]) -> list[str]:
    """The lexicon's words in a caption, longest first: in ``a brown bear`` the brown bear, not a bear.

    Words are what white space, hyphens, apostrophes and underscores leave, compared by canonical key.
    Several words are a phrase of as many words (``do or die`` holds no door), or written as one
    (``t-shirt``). A plural is its singular where the lexicon does not know it and knows exactly one
    of its possible singulars, as in ``tags.merging.fold_plurals``.

    Args:
        caption: Any text. Writing without spaces between words is not taken apart.
        lexicon: As ``read_lexicon`` gives it.

    Returns:
        The lexicon's spellings in the order of the caption, one for each occurrence.

    >>> words_in("A brown bear and two dogs", {"brownbear": "brown bear", "bear": "bear", "dog": "dog"})
    ['brown bear', 'dog']
    """
    found: list[str] = []
    for clause in _ENDS.split(caption):
        spans = [match.span() for match in _WORDS.finditer(clause) if canonical_key(match[0])]
        position = 0
        while position < len(spans):
            words, tag = _longest(clause, spans[position : position + LONGEST_PHRASE], lexicon)
            found += [tag] if tag else []
            position += words
    return found


def _words(phrase: str) -> int:
    return sum(bool(canonical_key(word)) for word in _WORDS.findall(phrase))


def _longest(clause: str, spans: list[tuple[int, int]], lexicon: Mapping[str, str]) -> tuple[int, str | None]:
    """The longest phrase that begins with the first word: its words and its spelling."""
    start = spans[0][0]
    for words in range(len(spans), 0, -1):
        text = clause[start : spans[words - 1][1]]
        tag = _known(canonical_key(text), lexicon)
        if tag and (len(text.split()) == 1 or words == _words(tag)):
            return words, tag
    return 1, None


def _known(key: str, lexicon: Mapping[str, str]) -> str | None:
    if key in lexicon:
        return lexicon[key]
    known = {singular for singular in singulars(key) if singular in lexicon}
    return lexicon[known.pop()] if len(known) == 1 else None
