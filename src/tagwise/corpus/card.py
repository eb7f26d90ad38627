"""The data card: what a gathered corpus holds, what was left out of it, and how unevenly its tags fall."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tagwise.base.rng import stream
from tagwise.corpus.readers.patterns import fixed_part
from tagwise.corpus.table import SKIPPED
from tagwise.corpus.tag_facts import TagFacts, number_keys, tag_facts
from tagwise.corpus.tally import Part, Quantiles, fraction, parts, quantiles, ranked
from tagwise.pixels.addresses import is_address
from tagwise.tags.table import distinct_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tagwise.corpus.table import Corpus
    from tagwise.tags.table import TagTable

_SAMPLE = 24
_LICENCES = 50


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """The pictures as decoding found them."""

    bytes: int
    """Of all files together."""
    width: Quantiles
    """Pixels."""
    height: Quantiles
    """Pixels."""
    notes: list[Part]
    """Pictures by what decoding did or found, most frequent first; a picture can have several."""


@dataclass(frozen=True, kw_only=True)
class OwnerFacts:
    """The people who tagged; none is named."""

    owners: int
    ownerless_pictures: int
    """Pictures whose owner is not stated."""
    largest_owners: int
    """The 1 % of the owners, rounded up, with the most pictures."""
    largest_fraction: float
    """Share of the owned pictures that are theirs."""
    one_owner_keys: int
    """Keys that one known owner alone has written."""
    one_owner_fraction: float
    """Share of the keys that known owners have written."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture of the sample."""

    row: int
    key: str
    tags: list[str]
    """As written."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """The facts of a data card, as plain values."""

    version: int
    """Of the corpus's layout."""
    digest: str
    """Of the corpus."""
    read: int
    """Posts read."""
    forms: list[dict[str, str]]
    """How each source was read; of files on this machine the names alone, without the folders they are in."""
    rules: dict[str, str]
    """What was honoured besides."""
    buckets: list[Part]
    """Posts by where they ended."""
    skipped_list: str
    """The corpus's file that lists every post that is not used."""
    used: int
    """Posts that became rows of the corpus."""
    pictures: PictureFacts | None
    """None: a table of tags alone."""
    tags: TagFacts
    owners: OwnerFacts | None
    """None: no source names them."""
    licences: list[Part]
    """Rows of the corpus by licence, the most frequent 50."""
    further_licences: int
    """Distinct licences beyond those."""
    sample: list[Example]
    """Drawn with equal chance, the same for the same corpus."""


def card_facts(corpus: Corpus) -> Card:
    """Reads the tables of a corpus and counts; no picture is opened.

    Raises:
        DataRefused: A table of the corpus cannot be read.
    """
    record, table = corpus.record, corpus.tag_table()
    columns = corpus.columns("key", "bytes", "width", "height", "owner", "licence")
    keys, key_of_raw = number_keys(table.raw)
    licences = parts(ranked(Counter(columns["licence"])), corpus.pictures)
    return Card(
        version=record.version,
        digest=record.digest,
        read=record.read,
        forms=[_without_folders(form) for form in record.forms],
        rules=record.rules,
        buckets=parts(record.buckets, record.read),
        skipped_list=SKIPPED,
        used=corpus.pictures,
        pictures=_picture_facts(columns, record.notes),
        tags=tag_facts(table, keys, key_of_raw),
        owners=_owner_facts(table, columns["owner"], key_of_raw),
        licences=licences[:_LICENCES],
        further_licences=max(0, len(licences) - _LICENCES),
        sample=_sample(table, columns["key"]),
    )


def _without_folders(form: Mapping[str, str]) -> dict[str, str]:
    """A card is passed on: where somebody keeps the files is nobody's business, and differs on every machine."""
    paths = {name: form[name] for name in ("source", "lexicon") if name in form and not is_address(form[name])}
    return {**form, **{name: path.removeprefix(fixed_part(path)) for name, path in paths.items()}}


def _picture_facts(columns: Mapping[str, list[Any]], notes: Mapping[str, int]) -> PictureFacts | None:
    widths, heights, sizes = (np.array(columns[name], np.int64) for name in ("width", "height", "bytes"))
    known = widths > 0
    if not known.any():
        return None
    return PictureFacts(
        bytes=int(sizes.sum()),
        width=quantiles(widths[known]),
        height=quantiles(heights[known]),
        notes=parts(ranked(notes), int(known.sum())),
    )


def _owner_facts(
    table: TagTable, owner_by_row: Sequence[str | None], key_of_raw: NDArray[np.int64]
) -> OwnerFacts | None:
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(filter(None, owner_by_row)))}
    if not numbers:
        return None
    by_row = np.array([numbers.get(owner or "", -1) for owner in owner_by_row], np.int64)
    posted = np.sort(np.bincount(by_row[by_row >= 0]))[::-1]
    largest = -(-len(posted) // 100)
    keys, owners = key_of_raw[table.raw_ids], by_row[table.rows]
    said = (keys >= 0) & (owners >= 0)
    people = np.bincount(distinct_pairs(keys[said], owners[said], len(numbers))[0])
    alone = int((people == 1).sum())
    return OwnerFacts(
        owners=len(numbers),
        ownerless_pictures=int((by_row < 0).sum()),
        largest_owners=largest,
        largest_fraction=fraction(int(posted[:largest].sum()), int(posted.sum())),
        one_owner_keys=alone,
        one_owner_fraction=fraction(alone, int((people > 0).sum())),
    )


def _sample(table: TagTable, keys: Sequence[str]) -> list[Example]:
    drawn = stream(0, "card").choice(table.pictures, min(_SAMPLE, table.pictures), replace=False)
    tags: dict[int, list[str]] = {int(row): [] for row in np.sort(drawn)}
    inside = np.isin(table.rows, drawn)
    for row, raw in zip(table.rows[inside].tolist(), table.raw_ids[inside].tolist(), strict=True):
        tags[row].append(table.raw[raw])
    return [Example(row=row, key=keys[row], tags=written) for row, written in tags.items()]
