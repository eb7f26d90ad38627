"""A table of pictures and tags in one cell: CSV or TSV with a header line, pictures beside the table.

Which column holds what, and what stands between the tags, is guessed from the first rows, said
with three samples, and may be given. A guess that could be two things is refused.
"""

from __future__ import annotations

import csv
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from tagwise.base.errors import DataRefused, UsageError, unknown
from tagwise.base.progress import printable
from tagwise.corpus.post import Post
from tagwise.tags.key import split_tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE_SUFFIXES = (".csv", ".tsv")
"""Of files that are read as tables."""

WHOLE_CELL = "none"
"""The separator's name where each cell is one tag."""
LISTS = "json"
"""The separator's name where each cell is a JSON list."""

_SAMPLE_ROWS = 1000
_LONGEST_HEADER = 1_000_000
_DELIMITERS = ",\t;|"
_SEPARATORS = ";|,"
_TAG_NAMES = ("tags", "tag", "hashtags", "hashtag", "keywords", "labels", "label")
_OWNER_NAMES = ("owner", "user", "user_id")
_LICENCE_NAMES = ("licence", "license")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a person says about a table; ``None`` is guessed (owner and licence: by name, or not there)."""

    picture: str | None = None
    """Column of the pictures' paths, absolute or relative to the table."""
    tags: str | None = None
    """Column of the tags."""
    separator: str | None = None
    """What stands between two tags; ``none``: the cell is one tag; ``json``: the cell is a JSON list."""
    owner: str | None = None
    """Column of the person who tagged."""
    licence: str | None = None
    """Column of the picture's licence."""


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A table whose form is known."""

    path: Path
    delimiter: str
    """Between two cells."""
    names: tuple[str, ...]
    """The header line."""
    columns: Columns
    """With nothing left to guess: picture, tags and separator are given."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        chosen = {name: getattr(self.columns, name) for name in self.columns.__dataclass_fields__}
        return {"source": self.path.as_posix(), "form": "table", "delimiter": self.delimiter} | {
            name: value for name, value in chosen.items() if value is not None
        }

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        chosen = self.columns
        between = {WHOLE_CELL: "one to a cell", LISTS: "as a JSON list"}.get(
            str(chosen.separator), f"separated by {chosen.separator!r}"
        )
        extra = [f"{kind} in {name!r}" for kind, name in (("owner", chosen.owner), ("licence", chosen.licence)) if name]
        facts = [f"pictures in column {chosen.picture!r}", f"tags in {chosen.tags!r} {between}", *extra]
        lines = [f"{printable(self.path.name)}: a table with {printable(', '.join(facts))}"]
        samples = islice((post for post in self.posts() if post.tags), 3)
        return lines + [f"  {printable(post.key)} -> {printable(' | '.join(post.tags))}" for post in samples]

    def posts(self) -> Iterator[Post]:
        """One post for each row.

        Raises:
            DataRefused: A row has more cells than the header, or cannot be read.
        """
        position = {name: self.names.index(name) for name in self.names}
        for number, row in _rows(self.path, self.delimiter):
            if number > 1:
                yield self._post(number, row, position)

    def _post(self, number: int, row: list[str], position: dict[str, int]) -> Post:
        if any(row[len(self.names) :]):
            raise DataRefused(
                f"{self.path}, row {number}: {len(row)} cells under a header of {len(self.names)}; "
                "put cells that hold the delimiter in quotes."
            )

        def cell(name: str | None) -> str:
            index = len(row) if name is None else position[name]
            return row[index].strip() if index < len(row) else ""

        chosen = self.columns
        written = cell(chosen.picture)
        try:
            tags = _tags(cell(chosen.tags), chosen.separator)
        except (DataRefused, RecursionError) as error:
            raise DataRefused(f"{self.path}, row {number}: {error}") from error
        return Post(
            key=os.path.normpath(written) if written else f"row {number}",
            picture=self.path.parent / written,
            tags=tuple(tags),
            owner=cell(chosen.owner) or None,
            licence=cell(chosen.licence) or None,
            source=self.path.as_posix(),
        )


def open_table(path: Path, columns: Columns) -> TableSource:
    """Finds a table's form in its first 1,000 rows.

    Raises:
        UsageError: A named column is not there; a column or the separator could be two things, or none.
        DataRefused: The table is empty, no UTF-8, or breaks the rules of quoting.
    """
    if columns.separator == "":
        raise UsageError("--separator is empty; give what stands between two tags, or none where a cell is one tag.")
    delimiter = _delimiter(path)
    sample = [row for _, row in islice(_rows(path, delimiter), _SAMPLE_ROWS + 1)]
    if len(sample) < 2:
        raise DataRefused(f"{path} holds no row below its header line.")
    names, rows = tuple(name.strip() for name in sample[0]), sample[1:]
    if any(_is_file(path, name) for name in names):
        raise UsageError(f"{path} has no header line: its first row names a picture; put the columns' names above it.")
    cells = {name: [row[index].strip() for row in rows if index < len(row)] for index, name in enumerate(names)}
    picture = columns.picture or _picture_column(path, cells)
    tags = columns.tags or _tags_column(path, cells, picture)
    owner = columns.owner or _named(names, _OWNER_NAMES)
    licence = columns.licence or _named(names, _LICENCE_NAMES)
    for name in filter(None, (picture, tags, owner, licence)):
        if name not in names:
            raise unknown("column", name, names, where=path.name)
        if names.count(name) > 1:
            raise UsageError(f"{path} has two columns named {name!r}; rename one of them.")
    separator = columns.separator or _separator(path, tags, [cell for cell in cells[tags] if cell])
    chosen = Columns(picture=picture, tags=tags, separator=separator, owner=owner, licence=licence)
    return TableSource(path=path, delimiter=delimiter, names=names, columns=chosen)


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Numbered from 1, the header; empty lines are passed over. Strict: an open quote would swallow the rest."""
    with _opened(path) as handle:
        reader = csv.reader(handle, delimiter=delimiter, strict=True)
        try:
            yield from enumerate((row for row in reader if row), start=1)
        except csv.Error as error:
            raise DataRefused(f"{path}, line {reader.line_num}: {error}; repair the quotes there.") from error


def _delimiter(path: Path) -> str:
    """The sign that is most frequent in the header line."""
    with _opened(path) as handle:
        header = handle.readline(_LONGEST_HEADER)
    delimiter = max(_DELIMITERS, key=header.count)
    if delimiter not in header:
        raise UsageError(
            f"{path} has the one column {printable(header.strip(), 60)!r}; it needs one of pictures and one of tags."
        )
    return delimiter


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            yield handle
    except UnicodeDecodeError as error:
        raise DataRefused(f"{path} is no UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}.") from error


def _is_file(table: Path, written: str) -> bool:
    return bool(written) and os.path.isfile(table.parent / written)  # noqa: PTH113 - Path.is_file raises on long names


def _picture_column(path: Path, cells: dict[str, list[str]]) -> str:
    found = [name for name, column in cells.items() if any(_is_file(path, cell) for cell in column)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"In {path} the columns {_listed(found)} all name files; choose one with --picture-column.")
    raise UsageError(
        f"No column of {path} names files that are there (looked beside the table for what stands in "
        f"{_listed(cells)}); put the pictures there or correct the paths."
    )


def _tags_column(path: Path, cells: dict[str, list[str]], picture: str) -> str:
    others = [name for name in cells if name != picture]
    by_name = [name for name in others if name.casefold() in _TAG_NAMES]
    by_content = [name for name in others if _holds_lists(cells[name])]
    candidates = by_name or by_content or others
    if len(candidates) == 1:
        return candidates[0]
    raise UsageError(f"In {path} the tags may stand in {_listed(candidates)}; choose with --tags-column.")


def _holds_lists(column: list[str]) -> bool:
    filled = [cell for cell in column if cell]
    return 2 * sum(any(sign in cell for sign in _SEPARATORS) for cell in filled) > len(filled) > 0


def _named(names: tuple[str, ...], wanted: tuple[str, ...]) -> str | None:
    return next((name for name in names if name.casefold() in wanted), None)


def _separator(path: Path, tags: str, filled: list[str]) -> str:
    """What stands between the tags of one column, from its filled cells."""
    if filled and all(cell.startswith("[") and cell.endswith("]") for cell in filled):
        if all(map(_is_json_list, filled)):
            return LISTS
        raise UsageError(
            f"In {path} the tags of column {tags!r} are lists, but not JSON lists "
            f'(the first is {printable(filled[0], 60)}); write them like ["brown bear", "river"].'
        )
    having = {sign: sum(sign in cell for cell in filled) for sign in _SEPARATORS}
    best = max(having, key=lambda sign: having[sign])
    rivals = [sign for sign, count in having.items() if 2 * count > having[best] and sign != best]
    if having[best] and not rivals and 10 * having[best] >= len(filled):
        return best
    words = [word for cell in filled for word in cell.split()]
    if not having[best] and len(words) == len(filled):
        return WHOLE_CELL
    if not having[best] and all(word.startswith("#") for word in words):
        return " "
    raise UsageError(
        f"In {path} the tags of column {tags!r} may be separated in more than one way "
        f"(the first is {printable(filled[0], 60)!r}); say what separates them: "
        "--separator ';' '|' ',' ' ' or, where a cell is one tag, none."
    )


def _is_json_list(cell: str) -> bool:
    try:
        return isinstance(json.loads(cell), list)
    except (ValueError, RecursionError):
        return False


def _tags(cell: str, separator: str | None) -> list[str]:
    if not cell:
        return []
    if separator == WHOLE_CELL:
        return split_tags([cell])
    if separator == LISTS and not _is_json_list(cell):
        raise DataRefused(f"{printable(cell, 60)!r} is no JSON list; correct it, or name another --separator.")
    return split_tags(cell, separator)


def _listed(names: dict[str, list[str]] | list[str]) -> str:
    return ", ".join(repr(printable(name, 40)) for name in names)
