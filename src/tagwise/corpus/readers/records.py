"""Any table as records: the names of its columns first, then row after row, never the whole table at once."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_CELL = 2**24
"""Characters of a CSV cell; a longer one is a quote that was never closed."""

_DELIMITERS = ",\t;|"
_SAMPLE_CHARACTERS = 1_000_000
_SEPARATOR_LINE = re.compile(r"sep=(.)[\r\n]", re.IGNORECASE)
_LINE_ENDS = re.compile(r"[\r\n]")  # old Macs end lines by a carriage return alone


@dataclass(frozen=True, kw_only=True)
class Records:
    """A table that can be read more than once, always in the same order."""

    path: Path
    """The file, or the folder of a dataset."""
    folder: Path
    """Where relative paths begin."""
    form: str
    """What it is, for a person."""
    names: tuple[str, ...]
    """Its columns; a name may stand twice."""
    read: Callable[[tuple[str, ...]], Iterator[dict[str, Any]]]
    """Yields the rows. It may leave out columns that are not asked for; a cell is a text, a list, bytes, a dict or
    None, numbers and truth values are texts."""
    facts: dict[str, str] = field(default_factory=dict)
    """What else decides how it is read."""
    rows_are_full: bool = False
    """Whether every whole row has all cells: one that lacks some was cut short."""


def plain(value: Any) -> Any:
    """A cell as every form of table gives it; whole numbers are written alike, ``12.0`` as ``12``."""
    if value is None or isinstance(value, (str, bytes, list, dict)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value)


def path_of(cell: Any) -> str:
    """The path or address in a picture's cell; empty where it holds bytes alone, or nothing.

    Raises:
        DataRefused: It is no picture.
    """
    if isinstance(cell, dict) and not cell.keys() & {"bytes", "path"}:
        raise DataRefused(f"{_shown(cell)} is no picture; give a path, bytes, or a struct of bytes and path.")
    written = cell.get("path") if isinstance(cell, dict) else cell
    if written is None or isinstance(written, bytes):
        return ""
    if not isinstance(written, str):
        raise DataRefused(f"{_shown(written)} is no path of a picture.")
    return written.strip()


def text_of(cells: dict[str, Any], name: str | None) -> str:
    """The text in a row's cell, without white space around it; empty where there is none.

    Raises:
        DataRefused: It is no text.
    """
    cell = None if name is None else cells.get(name)
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        try:
            return cell.decode().strip()
        except UnicodeDecodeError as error:
            raise DataRefused(f"column {name!r} holds bytes that are no UTF-8 text; name another column.") from error
    if not isinstance(cell, str):
        raise DataRefused(f"column {name!r} holds {_shown(cell)} where a text is needed; name another column.")
    return cell.strip()


def _shown(cell: Any) -> str:
    return printable(repr(cell)[:1000], 60)


def delimited(path: Path, names: tuple[str, ...] | None) -> Records:
    """CSV or TSV, UTF-8 with or without a byte order mark, gzipped where the name ends in ``.gz``.

    A column without a name, as pandas writes its index, is called ``column 1`` by its place. Excel's first line
    ``sep=;`` says what stands between the cells.

    Args:
        path: The file.
        names: Of the columns, where the file has no header line.

    Raises:
        UsageError: There is no header line.
        DataRefused: The file is empty, no UTF-8, or breaks the rules of quoting.
    """
    delimiter = _delimiter(path, names)
    if names is None:
        header = next(_lines(path, delimiter), (0, []))[1]
        given = tuple(name.strip() or f"column {number}" for number, name in enumerate(header, start=1))
        if any("://" in name or os.path.isfile(path.parent / name) for name in given):  # noqa: PTH113 - long names
            raise UsageError(
                f"{path} has no header line: its first row names a picture; put the columns' names above it or "
                "give them with --column-names."
            )
    else:
        given = names

    def read(_: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        lines = _lines(path, delimiter)
        if names is None:
            next(lines, None)
        for number, row in lines:
            if any(row[len(given) :]):
                raise DataRefused(
                    f"{path}, line {number}: {len(row)} cells under {len(given)} columns; "
                    "put cells that hold the delimiter in quotes."
                )
            yield dict(zip(given, row, strict=False))

    facts = {"delimiter": delimiter}
    return Records(
        path=path, folder=path.parent, form="CSV table", names=given, read=read, facts=facts, rows_are_full=True
    )


def json_lines(path: Path) -> Records:
    """One JSON object a line, gzipped where the name ends in ``.gz``; blank lines are passed over.

    Raises:
        DataRefused: No UTF-8, or a line is no JSON object.
    """

    def read(_: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        with _opened(path) as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield {name: plain(value) for name, value in _object(path, number, line).items()}

    # The whole file is looked through: an opt-out may stand in a few rows only, far from the first.
    names = tuple(dict.fromkeys(name for row in read(()) for name in row))
    return Records(path=path, folder=path.parent, form="JSON lines", names=names, read=read)


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each ends on; empty lines are passed over. Strict: an open quote swallows the rest."""
    csv.field_size_limit(LONGEST_CELL)
    with _opened(path) as handle:
        reader = csv.reader(handle, delimiter=delimiter, strict=True)
        try:
            yield from (
                (reader.line_num, row) for row in reader if row and not _is_separator_line(reader.line_num, row)
            )
        except csv.Error as error:
            raise DataRefused(f"{path}, line {reader.line_num}: {error}; repair the quotes there.") from error


def _is_separator_line(number: int, row: list[str]) -> bool:
    return number == 1 and len(row) == 2 and row[0].lower() == "sep=" and not row[1]


def _delimiter(path: Path, names: tuple[str, ...] | None) -> str:
    """The sign most frequent in the header line, or the one that cuts most rows into as many cells as names."""
    csv.field_size_limit(LONGEST_CELL)
    with _opened(path) as handle:
        text = handle.read(_SAMPLE_CHARACTERS)
    if said := _SEPARATOR_LINE.match(text):
        return said[1]
    header = _LINE_ENDS.split(text, 1)[0]
    if "\t" in header and ".tsv" in path.name.lower():
        return "\t"
    if names is None:
        return max(_DELIMITERS, key=header.count)

    def rows_that_fit(sign: str) -> int:
        return sum(len(row) == len(names) for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign))

    return max(_DELIMITERS, key=rows_that_fit)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    opener: Callable[..., TextIO] = partial(gzip.open, path) if path.suffix.lower() == ".gz" else path.open  # type: ignore[assignment]
    try:
        with opener(mode="rt", encoding="utf-8-sig", newline="") as handle:
            yield handle
    except UnicodeDecodeError as error:
        raise DataRefused(f"{path} is no UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataRefused(f"{path} cannot be read ({reason}); give a whole file.") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataRefused(f"{path}, line {number}: no JSON ({error}); write one object a line.") from error
    if not isinstance(value, dict):
        raise DataRefused(f"{path}, line {number}: {printable(line.strip(), 60)} is no JSON object; write one a line.")
    return value
