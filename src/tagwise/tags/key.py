"""The canonical key of a tag: two spellings of one word must never become two labels."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from tagwise.base.errors import DataRefused

_HASH = "[#\N{FULLWIDTH NUMBER SIGN}]"
_BEFORE_A_HASH = re.compile(rf"(?<!{_HASH})(?={_HASH})")
_STARTS_WITH_A_HASH = re.compile(_HASH)


def canonical_key(tag: str) -> str:
    """What is left of a tag when case, width, spaces and signs are taken away.

    NFKC, casefold, NFKC; only letters, numbers and marks (general categories L, N, M) are kept;
    NFKC again, because taking a sign away can bring two composable characters together.

    Returns:
        The key, a fixed point of this function; empty when the tag holds no letter or number.

    >>> canonical_key("#Brown_Bear"), canonical_key("Straße"), canonical_key("No. 1")
    ('brownbear', 'strasse', 'no1')
    """
    if tag.isascii():
        return "".join(filter(str.isalnum, tag.lower()))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", tag).casefold())
    kept = "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")
    return unicodedata.normalize("NFKC", kept)


def is_number(key: str) -> bool:
    """Whether a key holds numbers only (general category N)."""
    return all(unicodedata.category(character)[0] == "N" for character in key)


def split_tags(cell: str | Iterable[Any] | None, separator: str | None = None) -> list[str]:
    """The raw tags of one cell of a table.

    Args:
        cell: A list, the text of a JSON list, or a text of tags.
        separator: What stands between the tags of a text; by default the comma where there is
            one, else white space.

    Returns:
        Tags in their order, repeated ones kept, each without white space around it. Glued
        hashtags (``#a#b``) come apart; a ``#`` inside a word (``c#``) does not part it.

    Raises:
        DataRefused: The list holds lists or tables instead of tags, or begins with too many brackets to tell.
    """
    if cell is None:
        return []
    if not isinstance(cell, str):
        return _unglued(_text(item) for item in cell if item is not None)
    listed = _json_list(cell)
    if listed is not None:
        return split_tags(listed)
    if separator is None:
        separator = "," if "," in cell else None
    return _unglued(cell.split(separator))


def _json_list(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        return list(json.loads(text))
    except ValueError:  # a text that happens to begin with a bracket
        return None
    except RecursionError as error:
        raise DataRefused("A list of tags is nested too deep; give a flat list of texts.") from error


def _text(item: Any) -> str:
    if isinstance(item, (list, tuple, dict)):
        raise DataRefused(f"A list of tags holds a {type(item).__name__}; give a flat list of texts.")
    return str(item)


def _unglued(pieces: Iterable[str]) -> list[str]:
    tags: list[str] = []
    for piece in map(str.strip, pieces):
        glued = _BEFORE_A_HASH.split(piece) if _STARTS_WITH_A_HASH.match(piece) else [piece]
        tags.extend(tag for tag in map(str.strip, glued) if tag)
    return tags
