"""What a report holds, as plain records, and how it becomes one HTML page.

The page has no script and asks for nothing from the network; a content security policy inside it
makes the browser hold it to that. Jinja2 escapes every text, so that a tag may be any string.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tagwise.base.files import write_text
from tagwise.pages import tables

Kind: TypeAlias = Literal["good", "bad", "plain"]
Cell: TypeAlias = str | int | float | None

PICTURE_BYTES = 3_000_000
"""Data URIs a page carries at most, so that it stays below 5 MB; what is over is left out and counted."""

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer of the report; the first of a report is its headline."""

    statement: str
    """The answer as a sentence: ``Tags bought 31 points over scratch.``"""
    value: str = ""
    """Its number with unit: ``+31.2 points``."""
    spread: str = ""
    """The interval or seeds, and which spread it is: ``95% interval 28.9 to 33.4, test pictures``."""
    kind: Kind = "plain"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; ``tables.text_table`` gives it to a terminal with the same cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    """Cells per row, as many as columns; the first names the row."""
    caption: str = ""
    numeric: Sequence[str] = ()
    """Columns whose texts are numbers with a unit or interval; plain number columns need no mention."""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), "a row per column count"
        assert set(self.numeric) <= set(self.columns), f"no columns {set(self.numeric) - set(self.columns)}"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a chart's legend."""

    text: str
    color: str
    """A colour's name of the style sheet, such as ``blue``."""
    mark: Literal["line", "dot", "ring"]
    dash: str = ""
    """An SVG dash pattern in pixels, ``6 3``; empty for a full line."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing of ``charts`` with the numbers behind it."""

    svg: str
    """For screens from 600 pixels on; it goes into the page as it is, so only ``charts`` makes one."""
    svg_narrow: str
    """The same for telephones."""
    caption: str
    table: Table
    keys: Sequence[Key] = ()


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A tag beside a picture: ``good`` is confirmed, ``bad`` is doubted."""

    text: str
    kind: Kind = "plain"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A thumbnail of ``pictures`` with what is said about it."""

    uri: str
    """``data:image/...``"""
    alt: str
    """What a reader who cannot see it is told."""
    caption: str = ""
    chips: Sequence[Chip] = ()

    def __post_init__(self) -> None:
        assert re.match(r"data:image/(png|jpeg|webp);base64,", self.uri), "a picture is a thumbnail of pictures.py"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]
    caption: str = ""
    pairs: bool = False
    """Each two belong together, such as truth and prediction, and stay side by side."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A remark that stands apart from the text: a warning, a success, a condition."""

    text: str
    kind: Kind = "plain"


@dataclass(frozen=True, kw_only=True)
class Code:
    """Lines to copy, such as the commands that give the same result."""

    lines: Sequence[str]
    caption: str = ""


Block: TypeAlias = Table | Chart | Gallery | Note | Code


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, paragraphs under it, then tables, charts and pictures."""

    heading: str
    text: Sequence[str] = ()
    """Plain paragraphs."""
    blocks: Sequence[Block] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole page: the answer first, then the evidence, then how it was made."""

    title: str
    subtitle: str
    summary: Sequence[Finding]
    sections: Sequence[Section]
    provenance: Mapping[str, str]
    """Versions, digests, seeds, licences, by name."""
    kicker: str = "Tagwise report"
    """What the page is, above its title."""


def clean(text: str) -> str:
    """Text without control characters, lone surrogates and direction overrides, each replaced by U+FFFD."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def render(report: Report) -> str:
    """The report as one HTML document; the same report gives the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("tagwise.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["drawing"] = Markup  # the one text that is not escaped: an SVG of charts.py
    return environment.get_template("report.html.j2").render(report=_within_budget(report), tables=tables)


def write(report: Report, path: Path) -> None:
    """Writes the page, the whole of it or nothing.

    Raises:
        TagwiseError: The file cannot be written.
    """
    write_text(path, render(report))


def _within_budget(report: Report) -> Report:
    galleries = sum(isinstance(block, Gallery) for section in report.sections for block in section.blocks)
    share = PICTURE_BYTES // max(galleries, 1)
    sections = [
        dataclasses.replace(section, blocks=[kept for block in section.blocks for kept in _cut(block, share)])
        for section in report.sections
    ]
    return dataclasses.replace(report, sections=sections)


def _cut(block: Block, most_bytes: int) -> list[Block]:
    if not isinstance(block, Gallery):
        return [block]
    kept, used = 0, 0
    for picture in block.pictures:
        used += len(picture.uri)
        if used > most_bytes:
            break
        kept += 1
    kept -= kept % 2 if block.pairs and kept < len(block.pictures) else 0
    left_out = len(block.pictures) - kept
    if not left_out:
        return [block]
    note = Note(text=f"{left_out:,} more pictures are left out to keep this page small.")
    return [dataclasses.replace(block, pictures=block.pictures[:kept]), note]
