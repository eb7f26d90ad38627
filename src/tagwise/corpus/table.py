"""The corpus on disk: a table of pictures, a long table of raw tags, and the list of what was left out.

A folder is a corpus when it holds ``corpus.json``, which is written last.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import harmless, open_atomically, read_json, write_json
from tagwise.base.settings import from_plain, to_plain
from tagwise.corpus.intake import BUCKETS, Verdict, stamp_of
from tagwise.corpus.shards import ShardWriter
from tagwise.pixels.place import Place
from tagwise.tags.table import TagTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tagwise.corpus.post import Post

MARKER = "corpus.json"
"""The file that makes a folder a corpus."""
SKIPPED = "skipped.csv"
"""The list of posts that are not used: key, path, bucket, reason."""

_VERSION = 2
_PICTURES = "pictures.parquet"
_TAGS = "tags.parquet"
_FLUSH_ROWS = 20_000


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
            TagwiseError: It was written by another version of Tagwise, or is damaged.
        """
        marker = folder / MARKER
        if not marker.is_file():
            raise UsageError(
                f"{folder} is no corpus (it holds no {MARKER}); make one with: tagwise gather SOURCE -o CORPUS"
            )
        plain = read_json(marker)
        version = plain.get("version") if isinstance(plain, dict) else None
        if version != _VERSION:
            raise TagwiseError(
                f"{marker} is of version {version}, this Tagwise reads {_VERSION}; gather the corpus again."
            )
        for name in (_PICTURES, _TAGS):
            if not (folder / name).is_file():
                raise TagwiseError(f"The corpus {folder} lacks its {name}; gather it again with --overwrite.")
        return cls(folder=folder, record=from_plain(CorpusRecord, plain, str(marker)))

    @property
    def pictures(self) -> int:
        """How many rows it has."""
        return self.record.buckets["used"]

    def columns(self, *names: str) -> dict[str, list[Any]]:
        """Columns of the picture table, by row.

        Args:
            names: Of ``key path offset length stamp sha256 bytes width height owner licence source notes``.
        """
        table = _read_parquet(self.folder / _PICTURES, list(names))
        return {name: table[name].to_pylist() for name in names}

    def picture_places(self) -> list[Place]:
        """Where the pictures are, by row.

        Raises:
            UsageError: The corpus is a table of tags alone.
        """
        columns = self.columns("path", "offset", "length")
        if None in columns["path"]:
            raise UsageError(f"{self.folder} was gathered with --no-pictures: it has tags for labels alone.")
        return [
            Place(_resolved(self.folder, path), offset, length)
            for path, offset, length in zip(*columns.values(), strict=True)
        ]

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

    def tag_table(self) -> TagTable:
        """The raw tags as people gave them, an entry for each; owners where any picture has one."""
        table = _read_parquet(self.folder / _TAGS, ["row", "raw"])
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


class CorpusWriter:
    """Writes the tables of a corpus as posts come in; see ``write_corpus``."""

    def __init__(self, folder: Path, stack: ExitStack, packed: bool) -> None:
        self._packed = packed
        self._shards = ShardWriter(folder, stack)
        self._pictures = _ParquetColumns(stack.enter_context(open_atomically(folder / _PICTURES)), _picture_schema())
        self._tags = _ParquetColumns(stack.enter_context(open_atomically(folder / _TAGS)), _tag_schema())
        stack.callback(self._pictures.close)
        stack.callback(self._tags.close)
        skipped = io.TextIOWrapper(stack.enter_context(open_atomically(folder / SKIPPED)), "utf-8", newline="")
        stack.callback(skipped.detach)
        self._skipped = csv.writer(skipped, quoting=csv.QUOTE_ALL)
        self._skipped.writerow(["key", "path", "bucket", "reason"])
        self._digest = hashlib.sha256()
        self.buckets = Counter(dict.fromkeys(BUCKETS, 0))
        self.spellings: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def add(self, post: Post, verdict: Verdict) -> None:
        """Writes one post where its bucket belongs."""
        if verdict.bucket != "used":
            self._skipped.writerow(
                [harmless(text) for text in (post.key, _told(post.picture), verdict.bucket, verdict.reason)]
            )
        else:
            self._use(post, verdict)
        self.buckets[verdict.bucket] += 1

    def _use(self, post: Post, verdict: Verdict) -> None:
        row = self.buckets["used"]
        place = self._place(row, post, verdict)
        where = (None, None, None) if place is None else (place.path, place.offset, place.length)
        facts = (verdict.stamp, verdict.sha256, verdict.bytes, verdict.width, verdict.height)
        people = (post.owner, post.licence, post.source)
        self._pictures.append(row, post.key, *where, *facts, *people, "; ".join(verdict.notes))
        for raw in post.tags:
            self._tags.append(row, raw)
        self.spellings.update(post.tags)
        self.notes.update(verdict.notes)
        _feed(self._digest, post.key, verdict.sha256, post.owner, post.licence, *post.tags)

    def _place(self, row: int, post: Post, verdict: Verdict) -> Place | None:
        """Where the picture is to be read; its bytes are copied where they have no place, or all are packed."""
        if isinstance(post.picture, bytes):
            return self._shards.add(row, post, verdict, post.picture)
        if post.picture is not None and self._packed:
            return self._shards.add(row, post, verdict, post.picture.read())
        return post.picture

    def record(self, *, forms: list[dict[str, str]], rules: dict[str, str], source_digest: str) -> CorpusRecord:
        """What has been written so far, as the marker says it."""
        commonest = sorted(self.spellings.items(), key=lambda item: (-item[1], item[0]))[:10]
        return CorpusRecord(
            version=_VERSION,
            read=self.buckets.total(),
            buckets=dict(self.buckets),
            tags=self.spellings.total(),
            distinct_tags=len(self.spellings),
            commonest_tags=commonest,
            notes=dict(sorted(self.notes.items())),
            forms=forms,
            rules=rules,
            source_digest=source_digest,
            digest=self._digest.hexdigest()[:16],
        )


@contextmanager
def write_corpus(folder: Path, *, packed: bool = False) -> Iterator[CorpusWriter]:
    """The tables of a corpus in a folder; they appear when the block ends without an error.

    The folder becomes a corpus only by ``commit_corpus``.

    Args:
        folder: New or empty.
        packed: Copy every picture into the corpus.
    """
    with ExitStack() as stack:
        yield CorpusWriter(folder, stack, packed)


def commit_corpus(folder: Path, record: CorpusRecord) -> Corpus:
    """Writes the marker, the last file of a corpus."""
    write_json(folder / MARKER, to_plain(record))
    return Corpus(folder=folder, record=record)


def digest_posts(posts: Iterator[Post]) -> tuple[int, str]:
    """How many posts there are, and a digest of them with the sizes and times of their files."""
    digest, count = hashlib.sha256(), 0
    for count, post in enumerate(posts, start=1):  # noqa: B007 - the count is the result
        stamp = None if post.picture is None else stamp_of(post.picture)
        people = (post.owner, post.licence, str(post.opted_out))
        _feed(digest, post.key, _told(post.picture), stamp, *people, *post.tags)
    return count, digest.hexdigest()[:16]


class _ParquetColumns:
    """Rows into a Parquet file, a row group at a time."""

    def __init__(self, handle: IO[bytes], schema: Any) -> None:
        import pyarrow.parquet

        self._schema = schema
        self._writer = pyarrow.parquet.ParquetWriter(handle, schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []

    def append(self, *row: Any) -> None:
        self._rows.append(row)
        if len(self._rows) >= _FLUSH_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        self._writer.write_table(pyarrow.table(list(columns), schema=self._schema))
        self._rows.clear()


def _picture_schema() -> Any:
    import pyarrow

    text, number, small = pyarrow.string(), pyarrow.int64(), pyarrow.int32()
    where = {"key": text, "path": text, "offset": number, "length": number}
    facts = {"stamp": text, "sha256": text, "bytes": number, "width": small, "height": small}
    return pyarrow.schema(
        {"row": number, **where, **facts, **dict.fromkeys(("owner", "licence", "source", "notes"), text)}
    )


def _tag_schema() -> Any:
    import pyarrow

    return pyarrow.schema({"row": pyarrow.int64(), "raw": pyarrow.string()})


def _read_parquet(path: Path, columns: list[str]) -> Any:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path, columns=columns)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataRefused(f"{path} cannot be read ({error}); gather the corpus again with --overwrite.") from error


def _told(picture: Place | bytes | None) -> str:
    """A picture's place in words."""
    return "" if picture is None else str(picture) if isinstance(picture, Place) else f"{len(picture)} bytes in a table"


def _resolved(folder: Path, path: str) -> str:
    """Places inside the corpus are relative, so that it can be moved."""
    return path if "://" in path else str((folder / path).absolute())


def _feed(digest: hashlib._Hash, *texts: str | None) -> None:
    """Lengths keep ``("ab", "c")`` and ``("a", "bc")`` apart, the count keeps posts apart."""
    digest.update(len(texts).to_bytes(4, "little"))
    for text in texts:
        content = b"" if text is None else text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
