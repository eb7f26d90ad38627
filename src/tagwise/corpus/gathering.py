"""Sources into one corpus folder: what was looked at once, before a kill or in an earlier gathering, is known."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tagwise.base.errors import DataRefused
from tagwise.base.files import TEMPORARY_PREFIX, write_json
from tagwise.base.progress import progress, say
from tagwise.corpus.arrays import ARRAYS
from tagwise.corpus.intake import Rules, Verdict, judge_posts
from tagwise.corpus.journal import read_journal, write_journal
from tagwise.corpus.opt_outs import OptOuts
from tagwise.corpus.post import Post
from tagwise.corpus.readers import Source
from tagwise.corpus.shards import SHARDS
from tagwise.corpus.survey import Survey
from tagwise.corpus.table import CARD_FILES, MARKER, PICTURES, SKIPPED, TAGS, UNFINISHED, CorpusRecord
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.pixels.quiet import quiet_libraries

PARTIAL = f"{TEMPORARY_PREFIX}gathering"
"""The folder inside ``out`` of what is not finished."""
_COPIES = {SHARDS: re.compile(r"[0-9]{6}\.tar"), ARRAYS: re.compile(r"[0-9]+x[0-9]+\.(npy|jsonl)")}
"""Names of the files that a gathering writes into these folders."""


def posts_of(sources: list[Source], opt_outs: OptOuts | None = None) -> Iterator[Post]:
    """The posts of all sources; of several, the n-th one's keys begin with ``n/``.

    Args:
        sources: In the order of their numbers.
        opt_outs: They may name a post's owner, or its key with or without the number.
    """
    opt_outs = opt_outs or OptOuts()
    for number, source in enumerate(sources, start=1):
        for post in source.posts():
            key = post.key if len(sources) == 1 else f"{number}/{post.key}"
            yield replace(post, key=key, opted_out=opt_outs.hold(post.owner, post.key, key) or post.opted_out)


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """One gathering, in a folder inside ``out`` until everything is there; what others keep in ``out`` stays.

    One process at a time: the caller holds the lock of ``out``.
    """

    sources: list[Source]
    opt_outs: OptOuts
    out: Path
    """Absolute; it exists."""
    survey: Survey
    """Of the sources' posts."""
    rules: Rules
    told: dict[str, str]
    """The rules as the record keeps them."""
    packed: bool
    max_skipped_fraction: float
    workers: int | None = None

    def carry_out(self) -> CorpusRecord:
        """Writes the corpus; where that fails, what was looked at is known to the next gathering.

        Raises:
            DataRefused: Too many pictures are left out, or all.
        """
        partial, journal = self.out / PARTIAL / "corpus", self.out / PARTIAL / "verdicts.jsonl"
        met = read_journal(journal)
        if met:
            say(f"Going on: {len(met):,} {'picture was' if len(met) == 1 else 'pictures were'} looked at before.")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            record = self._write(partial, journal, met)
            self._place(partial, record)
        except Exception:
            shutil.rmtree(partial if read_journal(journal) else partial.parent, ignore_errors=True)
            raise
        shutil.rmtree(partial.parent)
        return record

    def _write(self, partial: Path, journal: Path, met: dict[str, Verdict]) -> CorpusRecord:
        rules = replace(self.rules, known={**self.rules.known, **met})
        with (
            quiet_libraries(),
            write_journal(journal, met) as note,
            write_corpus(partial, packed=self.packed) as writer,
            progress("gathering", self.survey.posts) as ticker,
        ):
            for post, verdict in judge_posts(posts_of(self.sources, self.opt_outs), rules, self.workers):
                note(verdict)
                writer.add(post, verdict)
                ticker.advance()
        forms = [source.form() for source in self.sources]
        return writer.record(forms=forms, rules=self.told, source_digest=self.survey.digest)

    def _place(self, partial: Path, record: CorpusRecord) -> None:
        if refusal := _refusal(record, self.max_skipped_fraction):
            raise DataRefused(f"{refusal}; the list is {_list_outside(self.out, partial / SKIPPED)}.")
        # From here to the last line a kill leaves what nobody takes for a corpus, and the next gathering completes.
        write_json(self.out / MARKER, {"version": UNFINISHED})
        _replace_files(self.out, partial)
        commit_corpus(self.out, record)


def _replace_files(corpus: Path, new: Path) -> None:
    """The files that a gathering writes, and no others: people keep label spaces and runs in a corpus too."""
    for name in (PICTURES, TAGS, SKIPPED, *CARD_FILES):
        (corpus / name).unlink(missing_ok=True)
    for folder, ours in _COPIES.items():
        for old in (corpus / folder).glob("*"):
            if ours.fullmatch(old.name):
                old.unlink()
        with suppress(OSError):
            (corpus / folder).rmdir()  # only an empty folder goes
    for path in sorted(path for path in new.rglob("*") if path.is_file()):
        target = corpus / path.relative_to(new)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


def _list_outside(corpus: Path, skipped: Path) -> Path:
    """Copies the list to beside the corpus that does not come about, or where that is forbidden, to temporary files."""
    listed = corpus.with_name(f"{corpus.name}-{SKIPPED}")
    try:
        shutil.copyfile(skipped, listed)
    except OSError:
        listed = Path(tempfile.mkdtemp(prefix="tagwise-")) / listed.name
        shutil.copyfile(skipped, listed)
    return listed


def _refusal(record: CorpusRecord, max_skipped_fraction: float) -> str | None:
    unusable = {bucket: record.buckets[bucket] for bucket in ("damaged", "missing", "duplicate")}
    counted = ", ".join(f"{count:,} {bucket}" for bucket, count in unusable.items() if count)
    skipped_fraction = sum(unusable.values()) / max(record.read, 1)
    if skipped_fraction > max_skipped_fraction:
        return (
            f"{skipped_fraction:.1%} of {record.read:,} {record.unit} cannot be used ({counted}), "
            f"more than --max-skipped-fraction {max_skipped_fraction:g} allows{_long_table(record)}"
        )
    if not record.buckets["used"]:
        others = ", ".join(f"{count:,} {bucket}" for bucket, count in record.buckets.items() if count)
        return f"None of {record.read:,} {record.unit} is left ({others or 'there was none'})"
    return None


def _long_table(record: CorpusRecord) -> str:
    """A clause for a table with a row for each picture and tag."""
    used, duplicates = record.buckets["used"], record.buckets["duplicate"]
    if record.tags != used or 2 * duplicates < used:
        return ""
    return (
        "; the rows look like one tag each: make one row of each picture's rows, its tags joined by ; "
        "(with pandas: table.groupby(PICTURES)[TAGS].agg(';'.join))"
    )
