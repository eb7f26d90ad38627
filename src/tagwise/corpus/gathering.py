"""Sources into one corpus folder: what was looked at once, before a kill or in an earlier gathering, is known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tagwise.base.errors import DataRefused
from tagwise.base.files import TEMPORARY_PREFIX, FolderLock
from tagwise.base.progress import progress, say
from tagwise.corpus.intake import Rules, Verdict, judge_posts
from tagwise.corpus.journal import read_journal, write_journal
from tagwise.corpus.post import Post
from tagwise.corpus.readers import Source
from tagwise.corpus.survey import Survey
from tagwise.corpus.table import MARKER, SKIPPED, Corpus, CorpusRecord
from tagwise.corpus.writer import commit_corpus, write_corpus


def posts_of(sources: list[Source]) -> Iterator[Post]:
    """The posts of all sources; of several, the n-th one's keys begin with ``n/``."""
    for number, source in enumerate(sources, start=1):
        for post in source.posts():
            yield post if len(sources) == 1 else replace(post, key=f"{number}/{post.key}")


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """One gathering, in a folder beside ``out`` that takes its place when everything is there.

    One process at a time: the caller holds the lock of ``out``.
    """

    sources: list[Source]
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

    def carry_out(self, before: Corpus | None) -> tuple[CorpusRecord, FolderLock]:
        """Writes the corpus.

        Args:
            before: The corpus that stands in ``out``.

        Returns:
            Its record, and the lock of the new folder in the place of the old one.

        Raises:
            DataRefused: Too many pictures are left out, or all.
        """
        beside = self.out.parent / f"{TEMPORARY_PREFIX}{self.out.name}"
        journal = beside / "verdicts.jsonl"
        met = read_journal(journal)
        if met:
            say(f"Going on: {len(met):,} pictures were looked at before.")
        known = (before.verdicts() if before is not None else {}) | met
        shutil.rmtree(beside / "corpus", ignore_errors=True)
        try:
            record = self._write(beside / "corpus", journal, met, replace(self.rules, known=known))
            lock = self._place(beside / "corpus", record)
        except Exception:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        shutil.rmtree(beside)
        return record, lock

    def _write(self, partial: Path, journal: Path, met: dict[str, Verdict], rules: Rules) -> CorpusRecord:
        with (
            write_journal(journal, met) as note,
            write_corpus(partial, packed=self.packed) as writer,
            progress("gathering", self.survey.posts) as ticker,
        ):
            for post, verdict in judge_posts(posts_of(self.sources), rules, self.workers):
                note(verdict)
                writer.add(post, verdict)
                ticker.advance()
        forms = [source.form() for source in self.sources]
        return writer.record(forms=forms, rules=self.told, source_digest=self.survey.digest)

    def _place(self, partial: Path, record: CorpusRecord) -> FolderLock:
        if refusal := _refusal(record, self.max_skipped_fraction):
            listed = self.out.with_name(f"{self.out.name}-{SKIPPED}")
            shutil.copyfile(partial / SKIPPED, listed)
            raise DataRefused(f"{refusal}; the list is {listed}.")
        commit_corpus(partial, record)
        # The old folder stays, emptied and locked, until the new one, locked too, is renamed over it.
        lock = FolderLock(partial)
        _empty(self.out)
        partial.rename(self.out)
        return lock


def _empty(corpus: Path) -> None:
    """The marker goes last: what a kill leaves of the folder is a corpus still, which can be gathered anew."""
    for entry in sorted(corpus.iterdir(), key=lambda entry: entry.name == MARKER):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


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
        others = ", ".join(f"{count:,} {bucket}" for bucket, count in record.buckets.items() if count)
        return f"None of {record.read:,} pictures is left ({others or 'there was none'})"
    return None
