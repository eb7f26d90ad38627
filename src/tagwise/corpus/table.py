"""The corpus on disk: a table of pictures, a long table of raw tags, and the list of what was left out.

A folder is a corpus when it holds ``corpus.json``, which is written last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import read_json
from tagwise.base.settings import from_plain
from tagwise.corpus.intake import Verdict
from tagwise.pixels.addresses import is_address
from tagwise.pixels.place import Place
from tagwise.tags.table import Tags, TagTable

if TYPE_CHECKING:
    from tagwise.corpus.sessions import Engine

MARKER = "corpus.json"
"""The file that makes a folder a corpus."""
SKIPPED = "skipped.csv"
"""The list of posts that are not used: key, path, bucket, reason."""
PICTURES = "pictures.parquet"
"""The table of pictures, a row for each."""
TAGS = "tags.parquet"
"""The long table of raw tags, a row for each."""
CARD_FILES = ("card.json", "card.md", "card.html")
"""The data card, in the order in which its files are written."""
IN_MEMORY_TAGS = 1_000_000
"""Rows of the tag table up to which a label space is made in memory; beyond, by an engine.

An engine takes longer to start than few tags to count, and less memory where they are many (``bench/corpus.py``)."""
VERSION = 2
"""Of the layout of the folder."""
UNFINISHED = 0
"""The version of a folder whose files are being replaced, as the marker says until the last of them is there."""


class Unfinished(TagwiseError):  # noqa: N818 - it says what happened
    """A corpus whose files were being replaced when the gathering was stopped."""


@dataclass(frozen=True, kw_only=True)
class CorpusRecord:
    """What ``corpus.json`` says."""

    version: int
    """Of the layout of the folder."""
    read: int
    """Posts read; the buckets sum to it."""
    buckets: dict[str, int]
    """Posts in each of ``BUCKETS``."""
    tags: int
    """Rows of the tag table."""
    distinct_tags: int
    """Raw spellings, before any merging."""
    commonest_tags: list[tuple[str, int]]
    """Up to ten raw tags and their rows, most frequent first."""
    notes: dict[str, int]
    """Pictures by what decoding them did or found."""
    forms: list[dict[str, str]]
    """How each source was read."""
    rules: dict[str, str]
    """What was honoured besides: opt-outs, licences, how pictures were looked at."""
    source_digest: str
    """Of the posts and of the sizes and times of their files: whether gathering again could change anything."""
    digest: str
    """Of the used posts and their files' content, the same on every machine."""

    @property
    def unit(self) -> str:
        """What is counted: posts where every source was said to have no pictures."""
        return "posts" if all(form.get("pictures") == "False" for form in self.forms) else "pictures"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A gathered corpus. Its rows number the used pictures from 0 on."""

    folder: Path
    record: CorpusRecord

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Reads what the folder says of itself.

        Raises:
            UsageError: The folder is no corpus.
            Unfinished: A gathering was stopped while it replaced the files.
            TagwiseError: It was written by another version of Tagwise, or is damaged.
        """
        marker = folder / MARKER
        if not marker.is_file():
            raise UsageError(
                f"{folder} is no corpus (it holds no {MARKER}); make one with: tagwise gather SOURCE -o CORPUS"
            )
        plain = read_json(marker)
        version = plain.get("version") if isinstance(plain, dict) else None
        if version == UNFINISHED:
            raise Unfinished(
                f"{folder} is half-written: its gathering was stopped; give the same tagwise gather command again."
            )
        if version != VERSION:
            raise TagwiseError(
                f"{marker} is of version {version}, this Tagwise reads {VERSION}; gather the corpus again."
            )
        for name in (PICTURES, TAGS):
            if not (folder / name).is_file():
                raise TagwiseError(f"The corpus {folder} lacks its {name}; gather it again with --overwrite.")
        return cls(folder=folder, record=from_plain(CorpusRecord, plain, str(marker)))

    @property
    def pictures_file(self) -> Path:
        """The table of pictures."""
        return self.folder / PICTURES

    @property
    def tags_file(self) -> Path:
        """The table of tags."""
        return self.folder / TAGS

    @property
    def pictures(self) -> int:
        """How many rows it has."""
        return self.record.buckets["used"]

    def columns(self, *names: str, rows: Sequence[int] | None = None) -> dict[str, list[Any]]:
        """Columns of the picture table, by row.

        Args:
            names: Of ``key path offset length stamp sha256 bytes width height owner licence source notes``.
            rows: Those wanted, in that order; by default all.
        """
        if rows is None:
            table = _read_parquet(self.pictures_file, list(names))
        else:
            table = _read_rows(self.pictures_file, list(names), np.asarray(rows, np.int64))
        return {name: table[name].to_pylist() for name in names}

    def column(self, name: str) -> Iterator[Any]:
        """One column of the picture table, by row; few values are in memory together."""
        with _opened(self.pictures_file) as file:
            for batch in file.iter_batches(columns=[name]):
                yield from batch[name].to_pylist()

    def picture_places(self, rows: Sequence[int] | None = None) -> list[Place]:
        """Where the pictures are, by row.

        Args:
            rows: Those wanted, in that order; by default all.

        Raises:
            UsageError: The corpus is a table of tags alone.
        """
        columns = self.columns("path", "offset", "length", rows=rows)
        if None in columns["path"]:
            raise UsageError(f"{self.folder} was gathered with --no-pictures: it has tags for labels alone.")
        return [
            Place(_resolved(self.folder, path), offset, length)
            for path, offset, length in zip(*columns.values(), strict=True)
        ]

    def raw_tags(self, rows: Sequence[int]) -> dict[int, list[str]]:
        """What people wrote of some pictures, by row."""
        found = _read_parquet(self.tags_file, ["row", "raw"], filters=[("row", "in", list(rows))])
        written: dict[int, list[str]] = {row: [] for row in rows}
        for row, raw in zip(found["row"].to_pylist(), found["raw"].to_pylist(), strict=True):
            written[row].append(raw)
        return written

    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts on its pictures by stamp."""
        names = ("stamp", "sha256", "bytes", "width", "height", "notes")
        rows = zip(*self.columns(*names).values(), strict=True)
        return {
            stamp: Verdict(
                bucket="used",
                bytes=size,
                width=width,
                height=height,
                notes=tuple(notes.split("; ")) if notes else (),
                sha256=sha256,
                stamp=stamp,
            )
            for stamp, sha256, size, width, height, notes in rows
            if stamp
        }

    @contextmanager
    def tags(
        self, work: Path, *, engine: Engine | None = None, memory: float | None = None, workers: int | None = None
    ) -> Iterator[Tags]:
        """The raw tags for a label space, in memory while they are few, by a query engine when they are many.

        Args:
            work: Where an engine works; see ``corpus.engine.engine_tags``, also for the errors.
            engine: One that answers whatever the size.
            memory: GiB that the engine may use.
            workers: Threads of the engine.
        """
        from tagwise.corpus.sessions import refuse_wrong_limits

        refuse_wrong_limits(engine or "duckdb", memory, workers)
        if engine is None and self.record.tags <= IN_MEMORY_TAGS:
            yield self.tag_table()
            return
        from tagwise.corpus.engine import engine_tags

        with engine_tags(self, work, engine=engine or "duckdb", memory=memory, workers=workers) as tags:
            yield tags

    def tag_table(self) -> TagTable:
        """The raw tags as people gave them, an entry for each; owners where any picture has one."""
        table = _read_parquet(self.tags_file, ["row", "raw"])
        raw = table["raw"].combine_chunks().dictionary_encode()
        rows = table["row"].to_numpy()
        owners: list[str | None] = self.columns("owner")["owner"]
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
        by_row = np.array([numbers[owner] for owner in owners], np.int64)
        return TagTable(
            pictures=self.pictures,
            rows=rows.astype(np.int64, copy=False),
            raw_ids=raw.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            raw=raw.dictionary.to_pylist(),
            owners=by_row[rows] if any(owner is not None for owner in owners) else None,
        )


def _read_parquet(path: Path, columns: list[str], filters: list[tuple[str, str, Any]] | None = None) -> Any:
    import pyarrow.parquet

    with _told(path):
        return pyarrow.parquet.read_table(path, columns=columns, filters=filters)


def _read_rows(path: Path, columns: list[str], rows: NDArray[np.int64]) -> Any:
    """Some rows in the order given, from the row groups that hold them."""
    import pyarrow

    with _opened(path) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        groups = np.searchsorted(starts, rows, side="right") - 1
        found = (
            file.read_row_group(group, columns).take(rows[groups == group] - starts[group])
            for group in np.unique(groups).tolist()
        )
        table = pyarrow.concat_tables([file.schema_arrow.empty_table().select(columns), *found])
        return table.take(np.argsort(np.argsort(groups, kind="stable")))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with _told(path), pyarrow.parquet.ParquetFile(path) as file:
        yield file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataRefused(f"{path} cannot be read ({error}); gather the corpus again with --overwrite.") from error


def _resolved(folder: Path, path: str) -> str:
    """Places inside the corpus are relative, so that it can be moved."""
    return path if is_address(path) else str((folder / path).absolute())
