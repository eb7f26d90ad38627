"""``tagwise gather``: any form of tagged pictures into one corpus."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import TEMPORARY_PREFIX, claim_folder
from tagwise.base.progress import printable, progress, say
from tagwise.base.settings import difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tagwise.corpus.post import Post
    from tagwise.corpus.readers import Source
    from tagwise.corpus.table import Corpus, CorpusRecord


@dataclass(frozen=True, kw_only=True)
class GatherResult:
    """A corpus, and how it came about."""

    folder: Path
    record: CorpusRecord
    """Counts of pictures and tags."""
    already: bool
    """Whether the same sources had been gathered there before, and nothing was done."""

    def __str__(self) -> str:
        record, buckets = self.record, self.record.buckets
        left_out = ", ".join(f"{count:,} {bucket}" for bucket, count in buckets.items() if count and bucket != "used")
        lines = [
            f"{buckets['used']:,} of {record.read:,} pictures are used{f' ({left_out})' if left_out else ''}",
            f"{record.tags:,} tags, {record.distinct_tags:,} distinct",
            "commonest: " + ", ".join(f"{printable(tag, 40)} {count:,}" for tag, count in record.commonest_tags),
        ]
        if record.notes:
            lines.append("decoding: " + ", ".join(f"{note} {count:,}" for note, count in record.notes.items()))
        if left_out:
            lines.append(f"left out: {self.folder / 'skipped.csv'}")
        return "\n".join([*lines, f"corpus: {self.folder}"])


def gather(
    source: list[Path],
    out: Path,
    *,
    picture_column: str | None = None,
    tags_column: str | None = None,
    separator: str | None = None,
    owner_column: str | None = None,
    licence_column: str | None = None,
    max_skipped_fraction: float = 0.05,
    overwrite: bool = False,
    workers: int | None = None,
) -> GatherResult:
    """Reads tagged pictures of any form into one corpus; every picture is decoded once.

    The form is found out and said with three samples. Each picture ends in one bucket: used,
    damaged, missing, duplicate (of a key) or untagged; all but the used ones are listed in
    ``skipped.csv``. The same command on unchanged sources does nothing.

    Args:
        source: Folders of class folders, or CSV or TSV tables with their pictures beside them. Of
            several, the n-th one's keys begin with ``n/``.
        out: The corpus: a new or empty folder.
        picture_column: Column of the pictures' paths, where a table leaves it open.
        tags_column: Column of the tags, where a table leaves it open.
        separator: What stands between two tags of a cell; ``none``: a cell is one tag.
        owner_column: Column of the people who tagged; by default one named owner, user or user_id.
        licence_column: Column of the licences; by default one named licence or license.
        max_skipped_fraction: Share of the pictures, 0 to 1, that may be damaged, missing or duplicate.
        overwrite: Gather anew when the sources or the columns have changed.
        workers: Threads; by default one for each processor.

    Returns:
        The counts; ``str()`` of it is the summary.

    Raises:
        UsageError: Unknown or ambiguous source, column or separator; another corpus stands in ``out``.
        DataRefused: Too many pictures, or all, are left out; ``<out>-skipped.csv`` lists them.
    """
    from tagwise.corpus.readers import open_source
    from tagwise.corpus.readers.tables import Columns
    from tagwise.corpus.table import MARKER, Corpus, digest_posts

    if not 0 <= max_skipped_fraction <= 1:
        raise UsageError(f"--max-skipped-fraction is a share of 0 to 1, not {max_skipped_fraction}.")
    columns = Columns(
        picture=picture_column, tags=tags_column, separator=separator, owner=owner_column, licence=licence_column
    )
    sources = [open_source(path, columns) for path in source]
    if not sources:
        raise UsageError("There is nothing to gather; give a folder of pictures or a table.")
    for line in (line for opened in sources for line in opened.described()):
        say(line)
    claim_folder(out, MARKER)
    try:
        posts, source_digest = digest_posts(_posts(sources))
        if (out / MARKER).is_file() and not overwrite:
            return _already(Corpus.open(out), sources, source_digest)
        record = _gather(sources, out, posts, source_digest, max_skipped_fraction, workers)
    except OSError as error:
        raise TagwiseError(f"{error.filename or out} failed while gathering: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            out.rmdir()  # only an empty folder goes: what was claimed for nothing
    return GatherResult(folder=out, record=record, already=False)


def _posts(sources: list[Source]) -> Iterator[Post]:
    from dataclasses import replace

    for number, source in enumerate(sources, start=1):
        for post in source.posts():
            yield post if len(sources) == 1 else replace(post, key=f"{number}/{post.key}")


def _already(corpus: Corpus, sources: list[Source], source_digest: str) -> GatherResult:
    record = corpus.record
    changes = difference(_numbered(record.forms), _numbered([source.form() for source in sources]))
    if not changes and record.source_digest != source_digest:
        changes = ["the table or the files have changed since"]
    if changes:
        raise UsageError(
            f"{corpus.folder} was gathered from other sources ({'; '.join(changes)}); "
            "give --overwrite to gather it anew, or another -o."
        )
    say(f"{corpus.folder} is already gathered from these sources; nothing to do.")
    return GatherResult(folder=corpus.folder, record=record, already=True)


def _numbered(forms: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {f"source {number}": form for number, form in enumerate(forms, start=1)}


def _gather(
    sources: list[Source], out: Path, posts: int, source_digest: str, max_skipped_fraction: float, workers: int | None
) -> CorpusRecord:
    """Writes into a folder beside ``out``, which takes its place when everything is there."""
    from tagwise.corpus.intake import judge_posts
    from tagwise.corpus.table import MARKER, SKIPPED, commit_corpus, write_corpus

    out = out.resolve()
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as name:
        partial = Path(name) / "corpus"
        with write_corpus(partial) as writer, progress("gathering", posts) as ticker:
            for post, verdict in judge_posts(_posts(sources), workers):
                writer.add(post, verdict)
                ticker.advance()
        record = writer.record(forms=[source.form() for source in sources], source_digest=source_digest)
        if refusal := _refusal(record, max_skipped_fraction):
            listed = out.with_name(f"{out.name}-{SKIPPED}")
            shutil.copyfile(partial / SKIPPED, listed)
            raise DataRefused(f"{refusal}; the list is {listed}.")
        commit_corpus(partial, record)
        claim_folder(out, MARKER, overwrite=True)
        partial.rename(out)
    return record


def _refusal(record: CorpusRecord, max_skipped_fraction: float) -> str | None:
    unusable = {bucket: record.buckets[bucket] for bucket in ("damaged", "missing", "duplicate")}
    counted = ", ".join(f"{count:,} {bucket}" for bucket, count in unusable.items() if count)
    skipped_fraction = sum(unusable.values()) / max(record.read, 1)
    if skipped_fraction > max_skipped_fraction:
        return (
            f"{skipped_fraction:.1%} of {record.read:,} pictures cannot be used ({counted}), "
            f"more than --max-skipped-fraction {max_skipped_fraction:g} allows"
        )
    if not record.buckets["used"]:
        return f"None of {record.read:,} pictures is left ({record.buckets['untagged']:,} have no tag)"
    return None
