"""The data card of a corpus: ``card.html`` and ``card.md`` for people, ``card.json`` for programs."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from tagwise.base.errors import TagwiseError
from tagwise.base.files import write_json
from tagwise.base.settings import to_plain
from tagwise.pages import charts, frequencies, markdown, page, pictures
from tagwise.pages.marks import percent
from tagwise.pages.page import Block, Cell, Chip, Finding, Gallery, Note, Picture, Report, Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tagwise.corpus.card import Card, OwnerFacts, PictureFacts
    from tagwise.corpus.tag_facts import TagFacts
    from tagwise.corpus.tally import Bin, Part
    from tagwise.pixels.place import Place

_THUMBNAIL = 128
"""Longest side of a picture on the card, pixels."""
_CHIPS = 12
"""Tags shown of a picture."""
_RULES = {
    "opt_out": "owners and keys left alone",
    "licences": "licences allowed",
    "decode": "pictures decoded whole",
    "pack": "pictures copied into the corpus",
    "max_skipped_fraction": "pictures that may be damaged, missing or duplicate",
}
"""The rules of the record in words."""
_FORMS = {
    "picture": "column of pictures",
    "tags": "column of tags",
    "caption": "column of captions",
    "owner": "column of owners",
    "licence": "column of licences",
    "opt_out": "column of opt-outs",
    "key": "column of keys",
    "names": "names of the columns",
    "pictures": "with pictures",
}
"""What the record says of a source, in words; the rest stands there in words already."""


def write_card(corpus_folder: Path) -> None:
    """Writes ``card.json``, ``card.md`` and ``card.html`` into a corpus, each whole or not at all.

    Raises:
        UsageError: The folder is no corpus.
        DataRefused: A table of the corpus cannot be read.
        TagwiseError: A file cannot be written.
    """
    from tagwise.corpus.card import card_facts
    from tagwise.corpus.table import CARD_FILES, Corpus

    corpus = Corpus.open(corpus_folder)
    card = card_facts(corpus)
    name, listed = corpus_folder.resolve().name, _sample_table(card)
    shown = listed if card.pictures is None else _sample_pictures(card, corpus.picture_places())
    in_json, in_markdown, in_html = (corpus_folder / file for file in CARD_FILES)
    write_json(in_json, to_plain(card))
    report = card_report(card, name, listed)
    markdown.write(report, in_markdown)
    *sections, sample = report.sections
    page.write(replace(report, sections=[*sections, replace(sample, blocks=shown)]), in_html)


def card_report(card: Card, name: str, sample: Sequence[Block]) -> Report:
    """The card as a report.

    Args:
        card: The facts.
        name: What the corpus is called.
        sample: The blocks of its last section.
    """
    unit = "posts" if card.pictures is None else "pictures"
    drawn = f"{len(card.sample)} of {card.used:,} {unit}, drawn with equal chance; the tags as people wrote them."
    return Report(
        kicker="Tagwise data card",
        title=f"Data card of {name}",
        subtitle="What came in, what was left out, and how evenly the tags fall.",
        summary=_findings(card, unit),
        sections=[
            _intake(card),
            *([] if card.pictures is None else [_pictures(card.pictures)]),
            _tags(card.tags, unit),
            _writing_systems(card.tags),
            _owners(card.owners, unit),
            _licences(card, unit),
            Section(heading="A sample", text=[drawn], blocks=sample),
        ],
        provenance={"tagwise": version("tagwise"), "corpus": f"digest {card.digest}, layout {card.version}"},
    )


def _findings(card: Card, unit: str) -> list[Finding]:
    tags, unstated = card.tags, next((part.items_fraction for part in card.licences if part.name is None), 0.0)
    left_out = ", ".join(f"{part.items:,} {part.name}" for part in card.buckets if part.items and part.name != "used")
    return [
        Finding(
            statement=f"tagged {unit} are used, of {card.read:,} posts that were read.",
            value=f"{card.used:,}",
            spread=f"Left out: {left_out}; {card.skipped_list} says why." if left_out else "None was left out.",
        ),
        Finding(
            statement="distinct tags, when case, spaces and signs do not count.",
            value=f"{tags.keys:,}",
            spread=f"In {tags.spellings:,} spellings; {percent(tags.once_fraction)} of these were written once.",
        ),
        Finding(
            statement=f"of the {unit} hold rare tags alone.",
            value=percent(tags.rare_fraction),
            spread=f"Rare: on fewer than {tags.rare_below} {unit}.",
        ),
        Finding(
            statement=f"of the {unit} state no licence.",
            value=percent(unstated),
            kind="bad" if unstated else "good",
        ),
    ]


def _intake(card: Card) -> Section:
    buckets = {str(part.name): part.items for part in card.buckets}
    first = 0 if len(card.forms) > 1 else 1  # the number of the only source says nothing
    forms = [
        (str(number), _FORMS.get(name, name), {"True": "yes", "False": "no"}.get(value, value))[first:]
        for number, form in enumerate(card.forms, start=1)
        for name, value in form.items()
    ]
    rules = [_rule(name, value) for name, value in card.rules.items()]
    sources = f"{len(card.forms):,} source{'s' if len(card.forms) != 1 else ''}"
    return Section(
        heading="What came in",
        text=[
            f"{card.read:,} posts were read from {sources}. {card.skipped_list} lists those that are not used, each "
            f"with its reason."
        ],
        blocks=[
            charts.bar_chart(buckets, caption="Posts by their fate.", unit="posts"),
            Table(columns=("source", "what", "read as")[first:], rows=forms, caption="How each source was read."),
            Table(columns=("rule", "value"), rows=rules, caption="What was honoured."),
        ],
    )


def _rule(name: str, value: str) -> tuple[str, str]:
    """A rule of the record in words; one of another version may have a name that is not known here."""
    if name == "max_skipped_fraction":
        value = percent(float(value))
    elif (name, value) == ("decode", "headers"):
        value = "none: headers alone were read"
    return _RULES.get(name, name), value


def _pictures(facts: PictureFacts) -> Section:
    sides = [
        (name, side.low, side.median, side.high) for name, side in (("width", facts.width), ("height", facts.height))
    ]
    told = "Pixels that 5%, half and 95% of the pictures have at most."
    notes = _part_table(facts.notes, "note", "pictures", "What decoding did or found; a picture can have several.")
    return Section(
        heading="Pictures",
        text=[f"The files hold {facts.bytes / 1e6:,.1f} MB."],
        blocks=[
            Table(columns=("side", "5%", "half", "95%"), rows=sides, caption=told),
            *([notes] if facts.notes else []),
        ],
    )


def _tags(facts: TagFacts, unit: str) -> Section:
    head = [(tag.key, tag.spelling, tag.pictures) for tag in facts.head]
    names = [*map(_name, facts.tail[:-1]), f"{facts.tail[-1].low} or more"]
    tail = [
        (name, part.items, percent(part.items / max(facts.keys, 1)))
        for name, part in zip(names, facts.tail, strict=True)
    ]
    columns = (f"{unit} that hold it", "tags", "share")
    return Section(
        heading="Tags",
        text=[
            f"People wrote {facts.entries:,} tags in {facts.spellings:,} spellings. Without case, spaces and signs "
            f"these are {facts.keys:,} tags; {facts.keyless_spellings:,} spellings hold no letter or number and are "
            f"none. Plurals and aliases are not merged here. The median {unit.removesuffix('s')} has "
            f"{facts.a_picture.median:,}; 5% have {facts.a_picture.low:,} at most, 95% {facts.a_picture.high:,}."
        ],
        blocks=[
            frequencies.rank_chart(
                facts.pictures_by_rank,
                caption=f"{unit.capitalize()} that hold a tag, the commonest tag first.",
                ranked="tag",
                unit=unit,
            ),
            Table(columns=("tag", "mostly written", unit), rows=head, caption="The head: the most frequent tags."),
            Table(columns=columns, rows=tail, numeric=("share",), caption="The tail: how rare the tags are."),
            frequencies.histogram(
                {_name(part): part.items for part in facts.a_picture_bins},
                caption=f"{unit.capitalize()} by how many tags they have, as written.",
                measured="tags",
                unit=unit,
            ),
        ],
    )


def _writing_systems(facts: TagFacts) -> Section:
    rows = [
        (system.name, system.entries, percent(system.entries_fraction), system.spellings)
        for system in facts.writing_systems
    ]
    columns = ("letters", "tags", "share", "spellings")
    return Section(
        heading="Writing systems",
        text=["What the tags are written in. This is no guess at their language: many share the Latin letters."],
        blocks=[Table(columns=columns, rows=rows, numeric=("share",))],
    )


def _owners(facts: OwnerFacts | None, unit: str) -> Section:
    if facts is None:
        return Section(heading="Owners", text=["No source says who wrote the tags."])
    largest = f"{facts.largest_owners:,} owner{'s' if facts.largest_owners != 1 else ''}"
    rows = [
        ("owners", f"{facts.owners:,}"),
        (f"{unit} whose owner is not stated", f"{facts.ownerless_pictures:,}"),
        (f"share of the owned {unit} that the most active 1% posted ({largest})", percent(facts.largest_fraction)),
        ("tags that one owner alone wrote", f"{facts.one_owner_keys:,}"),
        ("their share of the owners' tags", percent(facts.one_owner_fraction)),
    ]
    table = Table(columns=("what", "value"), rows=rows, numeric=("value",))
    return Section(heading="Owners", text=["A tag of one owner alone may be a private word."], blocks=[table])


def _licences(card: Card, unit: str) -> Section:
    table = _part_table(card.licences, "licence", unit)
    further = Note(text=f"{card.further_licences:,} rarer licences are not shown.")
    return Section(
        heading="Licences",
        text=["As the sources state them; nothing was checked."],
        blocks=[table, *([further] if card.further_licences else [])],
    )


def _sample_table(card: Card) -> list[Block]:
    rows = [(example.key, " \N{MIDDLE DOT} ".join(example.tags)) for example in card.sample]
    return [Table(columns=("key", "tags"), rows=rows)]


def _sample_pictures(card: Card, places: Sequence[Place]) -> list[Block]:
    """Thumbnails with their tags; pictures that are gone since are named."""
    from tagwise.pixels.decode import decode

    shown, gone = [], []
    for example in card.sample:
        try:
            pixels_HWC = decode(places[example.row]).pixels_HWC
        except TagwiseError:
            gone.append(example.key)
            continue
        uri = pictures.thumbnail(pixels_HWC, _THUMBNAIL)
        shown.append(Picture(uri=uri, alt=", ".join(example.tags), caption=example.key, chips=_chips(example.tags)))
    told = f"{len(gone)} of the {len(card.sample)} pictures can no longer be read: {', '.join(gone)}."
    return [*([Gallery(pictures=shown)] if shown else []), *([Note(text=told, kind="bad")] if gone else [])]


def _chips(tags: Sequence[str]) -> list[Chip]:
    more = [f"and {len(tags) - _CHIPS:,} more"] if len(tags) > _CHIPS else []
    return [Chip(text=tag) for tag in (*tags[:_CHIPS], *more)]


def _part_table(parts: Sequence[Part], what: str, unit: str, caption: str = "") -> Table:
    rows: list[tuple[Cell, ...]] = [
        (part.name or "not stated", part.items, percent(part.items_fraction)) for part in parts
    ]
    return Table(columns=(what, unit, "share"), rows=rows, caption=caption, numeric=("share",))


def _name(part: Bin) -> str:
    return f"{part.low:,}" if part.low == part.high else f"{part.low:,}\N{EN DASH}{part.high:,}"
