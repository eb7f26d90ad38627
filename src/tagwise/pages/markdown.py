"""A report as GitHub Markdown: the words and tables of the page, without its drawings and pictures."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from tagwise.base.files import write_text
from tagwise.pages import tables
from tagwise.pages.page import Block, Chart, Code, Finding, Gallery, Note, Picture, Report, Section, Table

if TYPE_CHECKING:
    from pathlib import Path

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""The format characters that are kept: emoji, Persian and Indic words are spelled with them."""
_MARKUP = re.compile(r"[\\`*_~|<>\[\]&$@]|:(?=//)|(?<=www)\.|#$", re.IGNORECASE)
_START_OF_A_BLOCK = re.compile(r"^(\d*)([#+=.)-])")


def escaped(text: str) -> str:
    """One line that Markdown shows as it is: no markup, HTML, links, control or direction characters.

    White space becomes single spaces; characters of the general category C become U+FFFD, but for
    the joiners of emoji and words.
    """
    return _MARKUP.sub(r"\\\g<0>", _one_line(text))


def markdown(report: Report) -> str:
    """The report as one document; every chart as its table, every picture as its words."""
    parts = [f"# {escaped(report.title)}", _paragraph(report.subtitle)]
    parts.append("\n".join(map(_found, report.summary)))
    for section in report.sections:
        parts += _section(section)
    if report.provenance:
        made = Table(columns=("what", "value"), rows=list(report.provenance.items()))
        parts += ["## How this was made", table_lines(made)]
    return "\n\n".join(filter(None, parts)) + "\n"


def write(report: Report, path: Path) -> None:
    """Writes the document, the whole of it or nothing.

    Raises:
        TagwiseError: The file cannot be written.
    """
    write_text(path, markdown(report))


def _section(section: Section) -> list[str]:
    return [f"## {escaped(section.heading)}", *map(_paragraph, section.text), *map(_block, section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Table():
            return _captioned(block.caption, table_lines(block))
        case Chart():
            return _captioned(block.caption, table_lines(block.table))
        case Gallery():
            return _captioned(block.caption, "\n".join(map(_pictured, block.pictures)))
        case Note():
            return f"> {_paragraph(block.text)}"
        case Code():
            return _captioned(block.caption, "\n".join(f"    {_one_line(line)}" for line in block.lines))


def _captioned(caption: str, body: str) -> str:
    return f"**{escaped(caption)}**\n\n{body}" if caption else body


def _found(found: Finding) -> str:
    value = f"**{escaped(found.value)}** " if found.value else ""
    return f"- {value}{_paragraph(f'{found.statement} {found.spread}')}"


def _pictured(picture: Picture) -> str:
    return f"- {_paragraph(f'{picture.caption or picture.alt}: ' + ', '.join(chip.text for chip in picture.chips))}"


def _paragraph(text: str) -> str:
    """Text that begins a block, and must not begin a list or a heading."""
    return _START_OF_A_BLOCK.sub(r"\1\\\2", escaped(text))


def table_lines(table: Table) -> str:
    """A table of GitHub Markdown."""
    rule = ["---:" if right else "---" for right in tables.set_right(table)]
    rows = [[escaped(cell) for cell in row] for row in (table.columns, *tables.rows_shown(table))]
    lines = [f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:])]
    left_out = tables.rows_left_out(table)
    return "\n".join([*lines, *(["", left_out] if left_out else [])])


def _one_line(text: str) -> str:
    return "".join(
        character if character in _JOINERS or unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in " ".join(text.split())
    )
