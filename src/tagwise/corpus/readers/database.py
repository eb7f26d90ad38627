"""SQLite databases as records, opened for reading only."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.readers.records import Records, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK_SECONDS = 2.0
_DEEPDANBOORU = (
    "SELECT *, 'images/' || substr(md5, 1, 2) || '/' || md5 || '.' || file_ext AS \"images/md5[:2]/md5.file_ext\", "
    "md5 || '.' || file_ext AS \"md5.file_ext\" FROM posts ORDER BY id"
)
"""Posts with both places where their pictures may lie (DeepDanbooru, ``deepdanbooru/data/dataset.py``)."""

_NO_TEXT = re.compile(r"decode to UTF-8 column '(.*?)' with text", re.DOTALL)  # of Python's own message


def sqlite(path: Path, query: str | None) -> Records:
    """A database, opened for reading only: what a query gives, a table of DeepDanbooru's posts, or its only table.

    Raises:
        UsageError: The query is no SELECT on this database, or without one there are several tables.
        DataRefused: The file is locked, damaged or no SQLite.
    """
    with _database(path, query) as connection:
        chosen = _only_table(path, connection) if query is None else query
        columns = connection.execute(chosen).description
    if columns is None:
        raise UsageError(f"--query gives no rows of {path.name}; it must be one SELECT.")
    names = tuple(column[0] for column in columns)

    def read(_: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        with _database(path, query) as connection:
            for row in connection.execute(chosen):
                yield dict(zip(names, map(plain, row), strict=True))

    return Records(path=path, folder=path.parent, form="SQLite", names=names, read=read, facts={"query": chosen})


def _only_table(path: Path, connection: sqlite3.Connection) -> str:
    listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name"
    tables = [str(name) for (name,) in connection.execute(listed)]
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('posts')")}
    if {"id", "md5", "file_ext", "tag_string"} <= columns:
        return _DEEPDANBOORU
    if not tables:
        raise DataRefused(f"{path} holds no table.")
    if len(tables) > 1:
        shown = ", ".join(printable(name, 40) for name in tables[:8])
        raise UsageError(
            f"{path} holds {len(tables)} tables ({shown}); say which rows are meant with --query and a SELECT."
        )
    return 'SELECT * FROM "{}"'.format(tables[0].replace('"', '""'))  # noqa: S608 - quoted


@contextmanager
def _database(path: Path, query: str | None) -> Iterator[sqlite3.Connection]:
    try:
        address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if _rests(path) else ''}"
        # The rows may be drawn by another thread than the one that opened them, though never by two at once.
        opened = sqlite3.connect(address, uri=True, timeout=_LOCK_SECONDS, check_same_thread=False)
        with closing(opened) as connection:
            connection.set_authorizer(_allows)
            yield connection
    except (OSError, sqlite3.Error, sqlite3.Warning) as error:
        wrong_query = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH)
        if query is not None and (
            isinstance(error, (sqlite3.ProgrammingError, sqlite3.Warning))
            or getattr(error, "sqlite_errorcode", None) in wrong_query
        ):
            raise UsageError(f"--query cannot be asked of {path.name} ({printable(str(error))}).") from error
        if found := _NO_TEXT.search(str(error)):
            raise DataRefused(
                f"{path}, column {printable(found[1], 60)!r}: its text is no UTF-8; save it as UTF-8."
            ) from error
        raise DataRefused(
            f"{path} cannot be read as SQLite ({printable(str(error))}); close the program that writes it, "
            "or give a whole copy."
        ) from error


def _allows(action: int, *_: str | None) -> int:
    """Another database could be attached for writing, and would be made where there is none."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _rests(path: Path) -> bool:
    """Whether a database with a write-ahead log is closed, so that SQLite need not lay the log's files beside it."""
    with path.open("rb") as handle:
        header = handle.read(20)
    return header[18:] == b"\2\2" and not path.with_name(f"{path.name}-wal").exists()
