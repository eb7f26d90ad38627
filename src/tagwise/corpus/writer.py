"""Posts into the tables of a corpus, as they come in."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

from tagwise.base.files import harmless, open_atomically, write_json
from tagwise.base.settings import to_plain
from tagwise.corpus.arrays import ArrayWriter
from tagwise.corpus.intake import BUCKETS, Verdict, stamp_of
from tagwise.corpus.shards import ShardWriter
from tagwise.corpus.survey import feed
from tagwise.corpus.table import MARKER, PICTURES, SKIPPED, TAGS, VERSION, Corpus, CorpusRecord
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tagwise.corpus.post import Post

_FLUSH_ROWS = 20_000


class CorpusWriter:
    """Writes the tables of a corpus as posts come in; see ``write_corpus``."""

    def __init__(self, folder: Path, stack: ExitStack, packed: bool) -> None:
        self._shards = ShardWriter(folder, stack)
        self._arrays = ArrayWriter(folder, stack) if packed else None
        self._pictures = _ParquetColumns(stack.enter_context(open_atomically(folder / PICTURES)), _picture_schema())
        self._tags = _ParquetColumns(stack.enter_context(open_atomically(folder / TAGS)), _tag_schema())
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
        """Writes one post where its bucket belongs; a picture that has gone before it is copied is missing."""
        if verdict.bucket == "used":
            try:
                self._use(post, verdict)
            except PictureRefused as refusal:
                bucket = "missing" if post.picture is None or stamp_of(post.picture) is None else "damaged"
                verdict = Verdict(bucket=bucket, reason=refusal.reason)
        if verdict.bucket != "used":
            self._skipped.writerow([harmless(text) for text in (post.key, post.where, verdict.bucket, verdict.reason)])
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
        feed(self._digest, post.key, verdict.sha256, post.owner, post.licence, *post.tags)

    def _place(self, row: int, post: Post, verdict: Verdict) -> Place | None:
        """Where the picture is to be read; its bytes are copied where they have no place, or all are packed."""
        if post.picture is None or (isinstance(post.picture, Place) and self._arrays is None):
            return post.picture
        content = post.picture.read() if isinstance(post.picture, Place) else post.picture
        small = self._arrays.add(row, post, verdict, content) if self._arrays is not None else None
        return small or self._shards.add(row, post, verdict, content)

    def record(self, *, forms: list[dict[str, str]], rules: dict[str, str], source_digest: str) -> CorpusRecord:
        """What has been written so far, as the marker says it."""
        commonest = sorted(self.spellings.items(), key=lambda item: (-item[1], item[0]))[:10]
        return CorpusRecord(
            version=VERSION,
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
        packed: Copy every picture into the corpus: small plain ones into arrays, the others into shards.
    """
    with ExitStack() as stack:
        yield CorpusWriter(folder, stack, packed)


def commit_corpus(folder: Path, record: CorpusRecord) -> Corpus:
    """Writes the marker, the last file of a corpus."""
    write_json(folder / MARKER, to_plain(record))
    return Corpus(folder=folder, record=record)


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
