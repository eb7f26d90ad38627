"""Every form of tagged pictures as posts. A reader trusts nothing: it does not open the pictures."""

from __future__ import annotations

from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.corpus.readers.folders import FolderSource, open_folder
from tagwise.corpus.readers.tables import TABLE_SUFFIXES, Columns, TableSource, open_table

Source = FolderSource | TableSource


def open_source(path: Path, columns: Columns | None = None) -> Source:
    """Finds out which form a source has.

    Args:
        path: A folder of class folders, or a CSV or TSV table with the pictures beside it.
        columns: What the person said about the table; the rest is guessed.

    Raises:
        UsageError: Nothing is there, the form is unknown or ambiguous, or columns were named for a folder.
        DataRefused: The table cannot be read.
    """
    columns = columns or Columns()
    absolute = Path(path).absolute()
    if absolute.is_file() and absolute.suffix.lower() in TABLE_SUFFIXES:
        return open_table(absolute, columns)
    if absolute.is_dir():
        if columns != Columns():
            raise UsageError(f"{path} is a folder and has no columns; name columns and separators only for tables.")
        return open_folder(absolute)
    if absolute.exists():
        raise UsageError(f"{path} is no folder and no {' or '.join(TABLE_SUFFIXES)} table; give one of these.")
    raise UsageError(f"There is no {path}; give a folder of pictures or a table.")
