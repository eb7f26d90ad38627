"""``tagwise gather``: any form of tagged pictures into one corpus."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import claim_alone
from tagwise.base.progress import printable, say
from tagwise.base.settings import difference, digest
from tagwise.verbs.lines import read_lines
from tagwise.verbs.planning import refuse_no_workers, several

if TYPE_CHECKING:
    from tagwise.corpus.intake import Rules, Verdict
    from tagwise.corpus.opt_outs import OptOuts
    from tagwise.corpus.readers import Source
    from tagwise.corpus.readers.tables import Columns
    from tagwise.corpus.table import Corpus, CorpusRecord


@dataclass(frozen=True, kw_only=True)
class GatherResult:
    """A corpus, and how it came about."""

    folder: Path
    record: CorpusRecord
    """Counts of pictures and tags."""
    already: bool
    """Whether the same sources had been gathered there before, and no picture was looked at."""

    def __str__(self) -> str:
        record, buckets = self.record, self.record.buckets
        left_out = ", ".join(f"{count:,} {bucket}" for bucket, count in buckets.items() if count and bucket != "used")
        lines = [
            f"{buckets['used']:,} of {record.read:,} {record.unit} are used{f' ({left_out})' if left_out else ''}",
            f"{record.tags:,} tags, {record.distinct_tags:,} distinct",
            "commonest: " + ", ".join(f"{printable(tag, 40)} {count:,}" for tag, count in record.commonest_tags),
        ]
        if record.notes:
            lines.append("decoding: " + ", ".join(f"{note} {count:,}" for note, count in record.notes.items()))
        if left_out:
            lines.append(f"left out: {self.folder / 'skipped.csv'}")
        return "\n".join([*lines, f"data card: {self.folder / 'card.html'}", f"corpus: {self.folder}"])


def gather(
    source: Sequence[str | Path],
    out: Path | str,
    *,
    picture_column: str | None = None,
    tags_column: str | None = None,
    separator: str | None = None,
    caption_column: str | None = None,
    lexicon: Path | str | None = None,
    owner_column: str | None = None,
    licence_column: str | None = None,
    opt_out_column: str | None = None,
    key_column: str | None = None,
    column_names: list[str] | None = None,
    query: str | None = None,
    pictures: bool = True,
    opt_out: Path | str | None = None,
    licences: list[str] | None = None,
    decode: str = "all",
    pack: bool = False,
    max_skipped_fraction: float = 0.05,
    overwrite: bool = False,
    workers: int | None = None,
) -> GatherResult:
    """Reads tagged pictures of any form into one corpus; every picture is decoded once.

    The form is found out and said with three samples. Each picture ends in one bucket: used,
    damaged, missing, duplicate (of a key), untagged, opted out or of another licence; all but the
    used ones are listed in ``skipped.csv``. What came in and what was left out stands in the
    corpus's ``card.html``, ``card.md`` and ``card.json``.

    The same command goes on where it was stopped, and on changed sources looks at new and changed
    pictures alone.

    Args:
        source: Folders of class folders or of pictures with .txt or .json sidecars; CSV, TSV,
            JSONL, Parquet or SQLite tables; tar shards; folders saved by Hugging Face datasets; globs
            and addresses of them. Of several, the n-th one's keys begin with ``n/``.
        out: The corpus: a new or empty folder, or a corpus, in which only the corpus's own files are replaced.
        picture_column: Column of the pictures' paths or bytes, where a table leaves it open.
        tags_column: Column of the tags, where a table leaves it open.
        separator: What stands between two tags of a cell; ``none``: a cell is one tag.
        caption_column: Column of captions, whose words that stand in the lexicon become the tags.
        lexicon: A file of words and phrases, one a line, for captions.
        owner_column: Column of the people who tagged; by default one named owner, user or user_id.
        licence_column: Column of the licences; by default one named licence or license.
        opt_out_column: Column that says which pictures to leave alone; by default one named opt_out.
        key_column: Column that names the pictures, where a table holds their bytes.
        column_names: Names of the columns of a table without a header line.
        query: SQL that selects the rows of a SQLite file.
        pictures: With --no-pictures a table of tags alone is gathered, for ``labels``.
        opt_out: A file of owners or keys, one a line, whose pictures are left alone.
        licences: Licences that are allowed; pictures of others, or of none stated, are left out.
        decode: all; headers, which does not see damage behind them; or how many pictures to decode
            whole, chosen by hashes of their keys: with more pictures later, new ones alone are decoded.
        pack: Copy the pictures into the corpus with their tags: small plain ones as one array for each size, the
            others as tar shards. A packed corpus stays packed: without --pack it is left as it is.
        max_skipped_fraction: Share of the pictures, 0 to 1, that may be damaged, missing or duplicate.
        overwrite: Gather anew what was gathered from other sources or packed; what has not changed is not looked at
            again.
        workers: Threads, 1 or more; by default one for each processor.

    Returns:
        The counts; ``str()`` of it is the summary.

    Raises:
        UsageError: Unknown or ambiguous source, column or separator, or a source given twice; another corpus stands
            in ``out``, or a packed one, or another process is gathering into it.
        DataRefused: Too many pictures, or all, are left out; ``<out>-skipped.csv`` lists them, or the file that
            the message names.
    """
    from tagwise.corpus.gathering import Gathering, posts_of
    from tagwise.corpus.intake import Rules
    from tagwise.corpus.opt_outs import OptOuts
    from tagwise.corpus.readers.tables import Columns
    from tagwise.corpus.survey import survey_posts
    from tagwise.verbs.card_page import write_card

    if not 0 <= max_skipped_fraction <= 1:
        raise UsageError(f"--max-skipped-fraction is a share of 0 to 1, not {max_skipped_fraction}.")
    refuse_no_workers(workers)
    out = Path(out)
    columns = Columns(
        picture=picture_column,
        tags=tags_column,
        separator=separator,
        caption=caption_column,
        lexicon=None if lexicon is None else Path(lexicon),
        owner=owner_column,
        licence=licence_column,
        opt_out=opt_out_column,
        key=key_column,
        names=tuple(column_names) if column_names else None,
        query=query,
        pictures=pictures,
    )
    names = [str(path) for path in several(source)]
    if not names:
        raise UsageError("There is nothing to gather; give a folder of pictures or a table.")
    sources = _opened(names, columns, out)
    _refuse_twice(names)
    _announce(names, sources)
    opt_outs = OptOuts(read_lines(opt_out, "--opt-out") if opt_out else ())
    rules = Rules(licences=frozenset(licence.casefold() for licence in licences) if licences else None)
    decoded = _decoded(decode)
    with _claimed(out):
        before = _before(out, overwrite)
        if before is not None and not overwrite:
            _refuse_unpacking(before, pack)
            _refuse_other_sources(before, sources)
        survey = survey_posts(posts_of(sources, opt_outs), rules, decoded, workers)
        told = _told(opt_outs, rules, decode, pack, max_skipped_fraction)
        if unmet := opt_outs.unmet():
            say(f"{len(unmet):,} of {len(opt_outs.lines):,} lines of {opt_out} match no owner and no key: {unmet[0]}")
        if before is not None and not overwrite:
            if (before.record.source_digest, before.record.rules) == (survey.digest, told):
                say(f"{out} is already gathered from these sources; nothing to do{_complete(out)}.")
                return GatherResult(folder=out, record=before.record, already=True)
            say(f"{out} is brought up to date: what has changed since is looked at, the rest is known.")
        gathering = Gathering(
            sources=sources,
            opt_outs=opt_outs,
            out=out.resolve(),
            survey=survey,
            rules=replace(rules, decoded_below=survey.decoded_below, known=_known(before, overwrite)),
            told=told,
            packed=pack,
            max_skipped_fraction=max_skipped_fraction,
            workers=workers,
        )
        record = gathering.carry_out()
        write_card(out)
    return GatherResult(folder=out, record=record, already=False)


def _opened(names: list[str], columns: Columns, out: Path) -> list[Source]:
    """The sources; where one is gone, what that means for the corpus that was made of it is told.

    Raises:
        UsageError: As ``open_source``.
    """
    from tagwise.corpus.readers import open_source
    from tagwise.corpus.readers.patterns import NoSource

    try:
        return [open_source(name, columns) for name in names]
    except NoSource as error:
        before = _before(out, overwrite=True)  # a damaged one is not to be told of here
        if before is None:
            raise
        whole = " and is whole: it holds copies of its pictures" if _is_packed(before) else ""
        raise UsageError(f"{str(error).removesuffix('.')}; the corpus {out} stays as it is{whole}.") from error


def _refuse_twice(names: list[str]) -> None:
    from tagwise.pixels.addresses import is_address, public

    met: dict[str, str] = {}
    for name in names:
        place = name if is_address(name) else os.path.realpath(name)
        if place in met:
            raise UsageError(f"{public(met[place])} and {public(name)} are one source; give it once.")
        met[place] = name


def _announce(names: list[str], sources: list[Source]) -> None:
    """What each source is taken for; of several, which one it is, for their folders may bear one name."""
    from tagwise.pixels.addresses import public

    for number, (name, source) in enumerate(zip(names, sources, strict=True), start=1):
        if len(names) > 1:
            say(f"keys that begin with {number}/ are of {printable(public(name))}")
        for line in source.described():
            say(line)


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Keeps other processes out of the corpus; a folder that was claimed for nothing goes again."""
    from tagwise.corpus.table import MARKER

    with claim_alone(out, MARKER, nested=False):  # a training may be writing into its run or its pixels there
        try:
            yield
        except OSError as error:
            raise TagwiseError(f"{error.filename or out} failed while gathering: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):
                out.rmdir()  # only an empty folder goes


def _decoded(decode: str) -> int | None:
    """How many pictures to decode whole; None: all.

    Raises:
        UsageError: It is neither all, headers nor a number.
    """
    if decode in ("all", "headers"):
        return None if decode == "all" else 0
    if not (decode.isascii() and decode.isdigit()):
        raise UsageError(f"--decode is all, headers or how many pictures to decode, not {decode}.")
    return int(decode)


def _told(opt_outs: OptOuts, rules: Rules, decode: str, pack: bool, max_skipped_fraction: float) -> dict[str, str]:
    """The rules as the record keeps them."""
    lines, unmet = opt_outs.lines, opt_outs.unmet()
    return {
        "opt_out": f"{len(lines)} lines, {len(unmet)} of them met nowhere, list {digest(lines)}" if lines else "none",
        "licences": "all" if rules.licences is None else ", ".join(sorted(rules.licences)),
        "decode": decode,
        "pack": "yes" if pack else "no",
        "max_skipped_fraction": f"{max_skipped_fraction:g}",
    }


def _complete(out: Path) -> str:
    """Writes the card where an earlier gathering could not; a clause that says so, or nothing."""
    from tagwise.corpus.table import CARD_FILES
    from tagwise.verbs.card_page import write_card

    if all((out / name).is_file() for name in CARD_FILES):
        return ""
    write_card(out)
    return " but its data card, which is written now"


def _before(out: Path, overwrite: bool) -> Corpus | None:
    """The corpus that stands there already, if it is whole."""
    from tagwise.corpus.table import MARKER, Corpus, Unfinished

    if not (out / MARKER).is_file():
        return None
    try:
        return Corpus.open(out)
    except TagwiseError as error:
        if overwrite or isinstance(error, Unfinished):
            return None
        raise


def _known(before: Corpus | None, overwrite: bool) -> dict[str, Verdict]:
    """The verdicts of a corpus; of one that is to be overwritten they need not be readable."""
    try:
        return {} if before is None else before.verdicts()
    except TagwiseError:
        if overwrite:
            return {}
        raise


def _refuse_other_sources(before: Corpus, sources: list[Source]) -> None:
    changes = difference(_numbered(before.record.forms), _numbered([source.form() for source in sources]))
    if changes:
        raise UsageError(
            f"{before.folder} was gathered from other sources ({'; '.join(changes)}); "
            "give --overwrite to gather it anew, or another -o."
        )


def _is_packed(corpus: Corpus) -> bool:
    return corpus.record.rules.get("pack") == "yes"


def _refuse_unpacking(before: Corpus, pack: bool) -> None:
    """Its copies may be all that is left of the pictures."""
    if _is_packed(before) and not pack:
        raise UsageError(
            f"{before.folder} is packed: it holds copies of its pictures, which would go without --pack; "
            "give --pack again, or --overwrite to gather it anew without copies."
        )


def _numbered(forms: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {f"source {number}": form for number, form in enumerate(forms, start=1)}
