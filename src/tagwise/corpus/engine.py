"""The tags of a corpus that outgrows the memory: engines join, count and sort, numpy does the rest in blocks.

Each distinct raw tag gets a number; after that there is one sorted table of (picture, number),
and whatever a label space asks is a walk over it, a block of whole pictures at a time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused
from tagwise.base.files import TEMPORARY_PREFIX, claim_alone, open_atomically, write_json, write_text
from tagwise.base.progress import progress, say
from tagwise.corpus.sessions import SCRATCH, Engine, Session, open_session
from tagwise.corpus.sound_files import check_length, map_array, read_batches, read_columns, sound
from tagwise.tags.table import (
    Assignment,
    Counts,
    Ids,
    assign,
    distinct_pairs,
    folded,
    table_digest,
    text_numbers,
)

if TYPE_CHECKING:
    from tagwise.corpus.table import Corpus

BLOCK_TAGS = 500_000
"""Tags that numpy looks at together, about; a picture is never split."""
UNKNOWN = -1
"""The person behind the pictures that say nothing of theirs."""

_MARKER = "tags.json"
_LAYOUT = 1
"""Of the working folder; raised when its tables change, so that none of another Tagwise is trusted."""


@contextmanager
def engine_tags(
    corpus: Corpus,
    work: Path,
    *,
    engine: Engine = "duckdb",
    memory: float | None = None,
    workers: int | None = None,
) -> Iterator[EngineTags]:
    """The tags of a corpus on disk, for the time of a block.

    Args:
        corpus: What was gathered.
        work: A folder, new or of an earlier try, for the tables between and for what the engine's memory does not
            hold. It is removed when the block ends without an error or before a phase is finished; otherwise it
            stays, and the phases that are finished in it are not repeated.
        engine: What joins and sorts.
        memory: GiB that the engine may use; the numbers of tags and labels that Python holds come on top.
        workers: Threads of the engine.

    Raises:
        UsageError: ``work`` holds something else, another process uses it, or the engine cannot be had.
        DataRefused: The corpus does not hold the tags that it says.
        TagwiseError: There is not enough memory or disk, or what an earlier try left is damaged.
    """
    source, marker = _source(corpus, engine), work / _MARKER
    removed = work.with_name(TEMPORARY_PREFIX + work.name)
    shutil.rmtree(removed, ignore_errors=True)  # of a try that was killed there
    stale = marker.is_file() and _read_marker(marker) != source
    if stale:
        say(f"{work} is of another corpus or Tagwise, or of this corpus before it changed; it is made anew.")
    with claim_alone(work, _MARKER, overwrite=stale, flag="--spill"):
        write_json(marker, source)
        through = False
        try:
            with open_session(engine, work, memory=memory, workers=workers) as session:
                yield EngineTags(corpus, session, work)
            through = True
        finally:
            if through or not _holds_finished_phases(work):
                work.rename(removed)  # a kill while it is removed must not leave a folder that nobody knows any more
                shutil.rmtree(removed)


def _holds_finished_phases(work: Path) -> bool:
    unfinished = (_MARKER, SCRATCH)
    return any(path.name not in unfinished and not path.name.startswith(TEMPORARY_PREFIX) for path in work.iterdir())


def _read_marker(marker: Path) -> Any:
    with sound(marker):
        return json.loads(marker.read_text("utf-8"))


def _source(corpus: Corpus, engine: Engine) -> dict[str, Any]:
    """What the phases depend on: other tags, or an engine that writes otherwise, need new ones."""
    files = {path.name: path.stat() for path in (corpus.tags_file, corpus.pictures_file)}
    stamps = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in files.items()}
    return {"layout": _LAYOUT, "corpus": corpus.record.digest, "files": stamps, "engine": engine}


class EngineTags:
    """Answers as ``tags.table.TagTable`` does, byte for byte, from disk; see ``engine_tags``.

    In memory are the distinct raw tags, a block, and 8 bytes a picture where persons are known.

    Args:
        corpus: What was gathered.
        session: The engine.
        work: Ours alone.
    """

    def __init__(self, corpus: Corpus, session: Session, work: Path) -> None:
        self._corpus, self._session, self._work = corpus, session, work
        self._source = _source(corpus, session.engine)
        self.pictures = corpus.pictures
        self.entries = corpus.record.tags

    @cached_property
    def has_owners(self) -> bool:
        """Whether anybody is known to have said anything."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self._corpus.pictures_file) as file:
            column = file.schema_arrow.get_field_index("owner")
            groups = (file.metadata.row_group(number).column(column) for number in range(file.num_row_groups))
            return any(group.statistics.null_count < group.num_values for group in groups)

    @cached_property
    def raw(self) -> list[str]:
        """The distinct raw tags, sorted."""
        numbered, _ = self._tables
        return read_columns(numbered, "raw")["raw"].to_pylist()

    def occurrences(self) -> Counts:
        """Entries of each raw tag."""
        numbered, _ = self._tables
        return read_columns(numbered, "times")["times"].to_numpy()

    def picture_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Pictures that hold each word, however often it was said there."""
        path = self._work / f"pictures-{_key(words)}-{vocabulary}.npy"
        if not path.is_file():
            counts = np.zeros(vocabulary, np.int64)
            for rows, raw_ids in self._blocks("counting pictures"):
                held = words[raw_ids]
                known = held >= 0
                _, distinct = distinct_pairs(rows[known] - rows[0], held[known], max(1, vocabulary))
                np.add.at(counts, distinct, 1)
            with open_atomically(path) as handle:
                np.save(handle, counts)
        with sound(path):
            loaded: Counts = np.load(path)
            check_length(len(loaded), vocabulary)
        return loaded

    def owner_counts(self, words: Ids, vocabulary: int) -> Counts:
        """Distinct persons who said each word; all unknown ones are one."""
        import narwhals
        import pyarrow.parquet

        assert self.has_owners
        said = self._work / f"persons-{_key(words)}.parquet"
        if not said.exists():
            raw_ids = np.flatnonzero(words >= 0)
            map_file = self._work / f"words-{_key(words)}.parquet"
            with open_atomically(map_file) as handle:
                pyarrow.parquet.write_table(pyarrow.table({"raw_id": raw_ids, "word": words[raw_ids]}), handle)
            _, sorted_entries = self._tables
            entries, word_of_raw, persons = (self._scan(path) for path in (sorted_entries, map_file, self._persons))
            pairs = entries.join(word_of_raw, on="raw_id").join(persons, on="row").select("owner", "word")
            distinct = pairs.group_by("owner", "word").agg(narwhals.len())  # narwhals' unique is a window in DuckDB
            counted = distinct.group_by("word").agg(narwhals.len().alias("owners"))
            self._session.write(counted, said, "counting the persons of each word")
        found = read_columns(said, "word", "owners")
        counts = np.zeros(vocabulary, np.int64)
        counts[found["word"].to_numpy()] = found["owners"].to_numpy()
        return counts

    def assign(self, label_ids: Ids) -> Assignment:
        """The label ids of every picture, given that of each raw tag, as memory maps; -1 for none."""
        ids, offsets = (self._work / f"{name}-{_key(label_ids)}" for name in ("ids", "offsets"))
        if not offsets.is_file():
            with open_atomically(offsets) as offsets_handle, open_atomically(ids) as ids_handle:  # offsets appear last
                for block in self._assigned(label_ids):
                    ids_handle.write(block.ids.tobytes())
                    offsets_handle.write(block.offsets.tobytes())
        starts = map_array(offsets, np.int64, self.pictures + 1)
        return Assignment(ids=map_array(ids, np.int32, int(starts[-1])), offsets=starts)

    def _assigned(self, label_ids: Ids) -> Iterator[Assignment]:
        """Blocks whose offsets go on where the last ended; those of the last are the whole's."""
        following = total = 0
        end = (np.empty(0, np.int64), np.empty(0, np.int32))
        for rows, raw_ids in chain(self._blocks("assigning labels"), [end]):
            behind = int(rows[-1]) + 1 if len(rows) else self.pictures
            block = assign(rows - following, label_ids[raw_ids], behind - following)
            starts = block.offsets if not len(rows) else block.offsets[:-1]
            yield Assignment(ids=block.ids, offsets=starts + total)
            following, total = behind, total + len(block.ids)

    def digest(self) -> str:
        """16 hex digits of the entries, the same for any numbering of pictures, raw tags and persons."""
        path = self._work / "digest"
        if not path.is_file():
            write_text(path, self._digest())
        with sound(path):
            digest = path.read_text("utf-8")
            check_length(len(digest), 16)
        return digest

    def _digest(self) -> str:
        numbers = text_numbers(self.raw)
        owners = map_array(self._owner_of_row, np.int64, self.pictures) if self.has_owners else None
        by_picture, by_owner = np.zeros(2, np.uint64), np.zeros(self.pictures + 1 if self.has_owners else 0, np.uint64)
        for rows, raw_ids in self._blocks("fingerprint"):
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            sums = np.add.reduceat(numbers[raw_ids], starts)
            by_picture += folded(sums)
            if owners is not None:  # a picture has one person, so that its tags sum to the square of their sum
                np.add.at(by_owner, owners[rows[starts]], sums * sums)
        return table_digest(self.pictures, self.entries, by_picture, folded(by_owner) if self.has_owners else None)

    def _blocks(self, what: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """Row and raw tag of the entries, sorted by row, whole pictures at a time."""
        _, entries = self._tables
        rows, raw_ids = np.empty(0, np.int64), np.empty(0, np.int32)
        with progress(what, self.entries, "tags") as ticker:
            for batch in read_batches(entries, BLOCK_TAGS):
                rows = np.concatenate([rows, batch["row"].to_numpy()])
                raw_ids = np.concatenate([raw_ids, batch["raw_id"].to_numpy()])
                if not 0 <= int(rows[0]) <= int(rows[-1]) < self.pictures:
                    raise self._changed(f"row {rows[0]} or {rows[-1]} is none of {self.pictures:,} pictures")
                whole = int(np.searchsorted(rows, rows[-1]))  # the last picture may go on in the next batch
                if whole:
                    yield rows[:whole], raw_ids[:whole]
                    rows, raw_ids = rows[whole:], raw_ids[whole:]
                ticker.advance(len(batch))
            if len(rows):
                yield rows, raw_ids

    @cached_property
    def _tables(self) -> tuple[Path, Path]:
        """The distinct raw tags and the sorted entries, made when the first of them is asked for.

        Both are made before Python holds the raw tags, so that the two peaks of memory do not add up.
        """
        numbered = self._number()
        return numbered, self._sort(numbered)

    def _number(self) -> Path:
        """The distinct raw tags in order, the number and the occurrences of each."""
        import narwhals
        import pyarrow.parquet

        path, counted = self._work / "raw.parquet", self._work / "counted.parquet"
        if path.is_file():
            return path
        if not counted.exists():
            table = self._scan(self._corpus.tags_file).group_by("raw").agg(narwhals.len().alias("times"))
            self._session.write(table, counted, f"telling {self.entries:,} tags apart")
        table = read_columns(counted, "raw", "times").sort_by("raw")  # bytes of UTF-8 sort as their characters do
        times = table["times"].to_numpy().astype(np.int64)
        if times.sum() != self.entries:
            raise self._changed(f"it holds {times.sum():,} tags instead of {self.entries:,}")
        numbered = {"raw": table["raw"], "raw_id": np.arange(len(times), dtype=np.int32), "times": times}
        with open_atomically(path) as handle:
            pyarrow.parquet.write_table(pyarrow.table(numbered), handle)
        return path

    def _sort(self, numbered: Path) -> Path:
        """Row and raw tag's number of each entry, sorted."""
        path = self._work / "entries.parquet"
        if not path.exists():
            numbers = self._scan(numbered).select("raw", "raw_id")
            entries = self._scan(self._corpus.tags_file).join(numbers, on="raw").select("row", "raw_id")
            self._session.write(entries.sort("row", "raw_id"), path, f"sorting {self.entries:,} tags")
        return path

    @property
    def _persons(self) -> Path:
        """The person behind each row, as the first row of theirs, sorted by row."""
        import narwhals

        path = self._work / "persons.parquet"
        if not path.exists():
            pictures = self._scan(self._corpus.pictures_file).select("row", "owner")
            known = pictures.filter(~narwhals.col("owner").is_null())
            first = known.group_by("owner").agg(narwhals.col("row").min().alias("first"))
            person = narwhals.col("first").fill_null(UNKNOWN).alias("owner")
            persons = pictures.join(first, on="owner", how="left").select("row", person).sort("row")
            self._session.write(persons, path, f"telling the persons behind {self.pictures:,} pictures apart")
        return path

    @property
    def _owner_of_row(self) -> Path:
        """The same as a flat array, to be mapped."""
        path = self._work / "owners"
        if not path.is_file():
            with open_atomically(path) as handle:
                for batch in read_batches(self._persons, BLOCK_TAGS):
                    handle.write(batch["owner"].to_numpy().tobytes())
        return path

    def _scan(self, path: Path) -> Any:
        if _source(self._corpus, self._session.engine) != self._source:
            raise self._changed("it was written anew")
        return self._session.scan(path)

    def _changed(self, how: str) -> DataRefused:
        return DataRefused(
            f"The corpus {self._corpus.folder} changed since it was gathered or while its tags were counted ({how}); "
            "give the same command again, and if that does not help gather it again with --overwrite."
        )


def _key(numbers: Ids) -> str:
    """16 hex digits of what a phase depends on beside the corpus."""
    return hashlib.sha256(numbers.astype("<i4").tobytes()).hexdigest()[:16]
