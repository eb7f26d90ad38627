"""A table of tagged pictures, in any form: CSV, JSON lines, Parquet, SQLite, a saved Hugging Face dataset.

Which column holds what, and what stands between the tags, is guessed from the first rows, said
with three samples, and may be given. A guess that could be two things is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import DataRefused, UsageError, unknown
from tagwise.base.progress import printable
from tagwise.corpus.opt_outs import is_opt_out
from tagwise.corpus.post import Post
from tagwise.corpus.readers import guess
from tagwise.corpus.readers.arrow import dataset, parquet
from tagwise.corpus.readers.database import sqlite
from tagwise.corpus.readers.guess import LISTS, WHOLE_CELL
from tagwise.corpus.readers.records import Records, delimited, json_lines, path_of, text_of
from tagwise.pixels.addresses import is_address, public_key
from tagwise.pixels.place import Place
from tagwise.tags.captions import read_lexicon, words_in
from tagwise.tags.key import split_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATABASE_SUFFIXES = (".sqlite", ".sqlite3", ".db")

TABLE_SUFFIXES = (
    *(".csv", ".tsv", ".csv.gz", ".tsv.gz", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
    *(".parquet", *_DATABASE_SUFFIXES),
)
"""Ends of the names of files that are read as tables."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a person says about a table; ``None`` is guessed, or not there."""

    picture: str | None = None
    """Column of the pictures: paths, absolute or relative to the table, addresses, bytes, or both in a struct."""
    tags: str | None = None
    """Column of the tags."""
    separator: str | None = None
    """What stands between two tags; ``none``: the cell is one tag; ``json``: the cell is a list."""
    owner: str | None = None
    """Column of the person who tagged; by default one named owner, user or user_id."""
    licence: str | None = None
    """Column of the picture's licence; by default one named licence or license."""
    caption: str | None = None
    """Column of captions; the tags are the words of ``lexicon`` in them."""
    lexicon: Path | None = None
    """File of words and phrases, one a line."""
    opt_out: str | None = None
    """Column that says whose picture must be left alone; by default one named opt_out or optout."""
    key: str | None = None
    """Column that names the pictures; by default their path, else an id."""
    query: str | None = None
    """SELECT that gives the rows of a SQLite database."""
    names: tuple[str, ...] | None = None
    """Of the columns of a CSV or TSV table without a header line."""
    pictures: bool = True
    """Whether there are pictures; False: a table of tags alone."""


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A table whose form is known."""

    records: Records
    columns: Columns
    """With nothing left to guess."""
    keys: tuple[str, ...]
    """Columns that may name a post: the first that is filled does."""
    lexicon: dict[str, str] = field(default_factory=dict)
    """Of captions; see ``read_lexicon``."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        chosen = {item.name: getattr(self.columns, item.name) for item in fields(self.columns)}
        said = {name: str(value) for name, value in chosen.items() if value is not None}
        return {"source": self.records.path.as_posix(), "form": self.records.form} | said | self.records.facts

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        chosen = self.columns
        between = {WHOLE_CELL: "one to a cell", LISTS: "as lists"}.get(
            str(chosen.separator), f"separated by {chosen.separator!r}"
        )
        roles = {"owner": chosen.owner, "licence": chosen.licence, "opt-out": chosen.opt_out, "key": chosen.key}
        facts = [
            f"pictures in column {chosen.picture!r}" if chosen.pictures else "no pictures",
            f"tags in {chosen.tags!r} {between}"
            if chosen.tags is not None
            else f"tags from the words of {chosen.caption!r}",
            *(f"{role} in {name!r}" for role, name in roles.items() if name is not None),
        ]
        lines = [f"{printable(self.records.path.name)}: {self.records.form} with {printable(', '.join(facts))}"]
        samples = islice((post for post in self.posts() if post.tags), 3)
        return lines + [f"  {printable(post.key)} -> {printable(' | '.join(post.tags))}" for post in samples]

    def posts(self, addresses: dict[str, str] | None = None) -> Iterator[Post]:
        """One post for each row; rows are numbered from 1, a header line not counted.

        Args:
            addresses: Those that named posts of other tables; see ``public_key``.

        Raises:
            DataRefused: A row cannot be read, or a cell holds what its column cannot.
        """
        chosen = self.columns
        roles = (chosen.picture, chosen.tags, chosen.caption, chosen.owner, chosen.licence, chosen.opt_out)
        wanted = tuple(name for name in (*roles, *self.keys) if name is not None)
        met: set[str] = set()
        addresses = {} if addresses is None else addresses
        for number, cells in enumerate(self.records.read(wanted), start=1):
            post = self._row(number, cells, addresses)
            # The datasets library keeps no folders: 1.jpg of a cat and 1.jpg of a dog are two pictures.
            if isinstance(post.picture, bytes) and chosen.key is None:
                post = replace(post, key=f"{post.key} (row {number})") if post.key in met else post
                met.add(post.key)
            yield post

    def _row(self, number: int, cells: dict[str, Any], addresses: dict[str, str]) -> Post:
        try:
            return self._post(number, cells, addresses)
        except DataRefused as error:
            raise DataRefused(f"{self.records.path}, row {number}: {error}") from error
        except RecursionError as error:
            raise DataRefused(f"{self.records.path}, row {number}: its lists are nested too deep.") from error

    def _post(self, number: int, cells: dict[str, Any], addresses: dict[str, str]) -> Post:
        chosen = self.columns
        return Post(
            key=self._key(number, cells, addresses),
            picture=None if chosen.picture is None else self._picture(cells.get(chosen.picture)),
            tags=tuple(self._tags(cells)),
            owner=text_of(cells, chosen.owner) or None,
            licence=text_of(cells, chosen.licence) or None,
            opted_out=is_opt_out(text_of(cells, chosen.opt_out)),
            source=self.records.path.as_posix(),
            damage=self._damage(cells),
        )

    def _key(self, number: int, cells: dict[str, Any], addresses: dict[str, str]) -> str:
        picture = self.columns.picture
        candidates = (path_of(cells.get(name)) if name == picture else text_of(cells, name) for name in self.keys)
        written = next(filter(None, candidates), f"row {number}")
        return public_key(written, addresses) if is_address(written) else os.path.normpath(written)

    def _picture(self, cell: Any) -> Place | bytes:
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(content, bytes):
            return content
        written = path_of(cell)
        return Place(written if "://" in written else str(self.records.folder / written))

    def _damage(self, cells: dict[str, Any]) -> str:
        column = self.columns.caption if self.columns.tags is None else self.columns.tags
        is_cut = self.records.rows_are_full and column not in cells
        return f"its tags are damaged: its row ends before column {column!r}" if is_cut else ""

    def _tags(self, cells: dict[str, Any]) -> list[str]:
        chosen = self.columns
        if chosen.tags is None:
            return words_in(text_of(cells, chosen.caption), self.lexicon)
        cell = cells.get(chosen.tags)
        if isinstance(cell, list):
            return split_tags(cell)
        text = text_of(cells, chosen.tags)
        if not text:
            return []
        if chosen.separator == WHOLE_CELL:
            return split_tags([text])
        if chosen.separator == LISTS and not guess.is_json_list(text):
            raise DataRefused(f"{printable(text, 60)!r} is no JSON list; correct it, or name another --separator.")
        return split_tags(text, chosen.separator)


def open_table(path: Path, columns: Columns) -> TableSource:
    """Finds a table's form in its first 1,000 rows.

    Args:
        path: A file; it is read as CSV where its name's end says nothing else.
        columns: What the person said; the rest is guessed.

    Raises:
        UsageError: A named column is not there; a column or the separator could be two things, or none.
        DataRefused: The table is empty, damaged, or no table of this form.
    """
    name = path.name.lower().removesuffix(".gz")
    is_database = name.endswith(_DATABASE_SUFFIXES)
    is_text = not (is_database or name.endswith((".jsonl", ".ndjson", ".parquet")))
    if columns.names is not None and not is_text:
        raise UsageError(f"{path} has names for its columns; give --column-names only for CSV and TSV without them.")
    if columns.query is not None and not is_database:
        raise UsageError(f"{path} is no SQLite database; leave --query away.")
    if is_text:
        return _open(delimited(path, columns.names), columns)
    if is_database:
        return _open(sqlite(path, columns.query), columns)
    return _open(parquet(path) if name.endswith(".parquet") else json_lines(path), columns)


def open_dataset(path: Path, columns: Columns) -> TableSource:
    """Finds the columns of a dataset that Hugging Face's ``save_to_disk`` wrote, with one split or all of several.

    Args:
        path: The folder with ``state.json`` or ``dataset_dict.json``.
        columns: What the person said; the rest is guessed.

    Raises:
        UsageError: As ``open_table``.
        DataRefused: The dataset is empty or damaged.
    """
    if columns.names is not None or columns.query is not None:
        raise UsageError(f"{path} is a dataset; leave --column-names and --query away.")
    return _open(dataset(path), columns)


def _open(records: Records, columns: Columns) -> TableSource:
    _refuse_contradictions(records, columns)
    sample = guess.first_rows(records)
    picture, owner, licence, opt_out = columns.picture, columns.owner, columns.licence, columns.opt_out
    if picture is None and columns.pictures:
        picture = guess.picture_column(records, sample)
    owner = guess.named(sample, guess.OWNER_NAMES) if owner is None else owner
    licence = guess.named(sample, guess.LICENCE_NAMES) if licence is None else licence
    opt_out = guess.opt_out_column(sample) if opt_out is None else opt_out
    tags, separator = columns.tags, columns.separator
    taken = (picture, columns.key, owner, licence, opt_out)
    if columns.caption is None and tags is None:
        tags = guess.tags_column(records.path, sample, taken)
    _refuse_unknown(records, (*taken, tags, columns.caption))
    if tags is not None:
        separator = separator or guess.separator(records.path, tags, sample[tags])
    keys = [columns.key, picture, guess.named(sample, guess.KEY_NAMES)]
    if not columns.pictures:
        keys.append(guess.naming_column(sample, (*taken, tags, columns.caption)))
    return TableSource(
        records=records,
        columns=replace(
            columns, picture=picture, tags=tags, separator=separator, owner=owner, licence=licence, opt_out=opt_out
        ),
        keys=tuple(name for name in dict.fromkeys(keys) if name is not None),
        lexicon={} if columns.lexicon is None else read_lexicon(columns.lexicon),
    )


def _refuse_contradictions(records: Records, columns: Columns) -> None:
    if columns.separator == "":
        raise UsageError("--separator is empty; give what stands between two tags, or none where a cell is one tag.")
    if (columns.caption is None) != (columns.lexicon is None):
        raise UsageError(
            "--caption-column and --lexicon belong together: the tags are the lexicon's words in captions."
        )
    if columns.caption is not None and columns.tags is not None:
        raise UsageError("--caption-column and --tags-column exclude each other; give one.")
    if columns.picture is not None and not columns.pictures:
        raise UsageError("--picture-column names the pictures of a table that is said to have none; leave one away.")
    if len(records.names) == 1 and columns.pictures:
        raise UsageError(
            f"{records.path} has the one column {printable(records.names[0], 60)!r}; "
            "it needs one of pictures and one of tags."
        )


def _refuse_unknown(records: Records, chosen: tuple[str | None, ...]) -> None:
    named = [name for name in chosen if name is not None]
    for name in named:
        if name not in records.names:
            raise unknown("column", name, records.names, where=records.path.name)
    guess.refuse_twins(records, named)
