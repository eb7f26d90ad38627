"""Strangers' text stays text in Markdown; a Markdown parser of others is the judge."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tagwise.pages.markdown import escaped, markdown, write
from tagwise.pages.page import Chart, Code, Finding, Note, Report, Section, Table

if TYPE_CHECKING:
    from pathlib import Path

    from markdown_it.token import Token

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(text: str) -> list[Token]:
    parsed = PARSER.parse(text)
    return [part for token in parsed for part in (token, *(token.children or []))]


def inline_texts(text: str) -> list[str]:
    """What a reader sees of every block."""
    return [
        "".join(child.content for child in token.children or [])
        for token in PARSER.parse(text)
        if token.type == "inline"
    ]


def seen(text: str) -> str:
    """A text as it should be read: on one line, nothing in it that is not shown."""
    line = " ".join(text.split())
    hidden = {c for c in line if unicodedata.category(c)[0] == "C"} - {"\u200c", "\u200d"}
    return "".join("\N{REPLACEMENT CHARACTER}" if character in hidden else character for character in line)


HARD = [
    "a|b", "`x`", "\\|", "\\", "*b* _i_ ~~s~~", "<b>", "<!-- x", "&lt;", "[a](javascript:alert(1))", "![x](y)", "[^1]",
    "https://example.org", "www.example.org", "a@example.org", "a\nb", "a\r\n\r\n# b", "\u202egnp", "\u200f", "$x$",
    "# a", "- a", "+ a", "1. a", "23) a", "> a", "---", "===", "```", "    code", "\x00\x1b[31m", "||", "a\u2028b",
    "a #", "a ##",
]  # fmt: skip


def test_every_hard_text_is_one_paragraph_and_one_cell_that_say_it() -> None:
    for text in HARD:
        section = Section(heading=text, text=[text], blocks=[Table(columns=("a", "b"), rows=[(text, text)])])
        report = Report(title=text, subtitle=text, summary=[], sections=[section], provenance={})
        assert inline_texts(markdown(report)) == [*[seen(text)] * 4, "a", "b", *[seen(text)] * 2], text


@given(st.text())
@example("Ａ \\` | \u0085 x")  # noqa: RUF001 - full-width on purpose
def test_any_cell_of_any_table_is_read_as_it_was_written(text: str) -> None:
    document = markdown(_with_blocks([Table(columns=("a", "b"), rows=[(text[:60], 1), ("x", text[:60])])]))
    assert inline_texts(document)[-4:] == [seen(text[:60]), "1", "x", seen(text[:60])]


def test_nothing_hidden_or_reversed_is_left() -> None:
    assert escaped("a\u202eb\u200fc\x07\ufeff") == "a\ufffdb\ufffdc\ufffd\ufffd"
    assert escaped("👨\u200d👩\u200d👧 a\u200cb") == "👨\u200d👩\u200d👧 a\u200cb"


def test_links_that_github_makes_of_bare_addresses_are_broken() -> None:
    assert escaped("https://a.org www.a.org WWW.a.org a@b.org") == (r"https\://a.org www\.a.org WWW\.a.org a\@b.org")


def test_a_hostile_report_has_no_html_links_or_pictures(hostile_report: Report) -> None:
    kinds = Counter(token.type for token in tokens(markdown(hostile_report)))
    assert not {"html_block", "html_inline", "link_open", "image", "fence"} & set(kinds)
    charts = sum(isinstance(block, Chart) for section in hostile_report.sections for block in section.blocks)
    tables = sum(isinstance(block, Table) for section in hostile_report.sections for block in section.blocks)
    assert kinds["table_open"] == charts + tables + 1
    assert kinds["heading_open"] == 1 + len(hostile_report.sections) + 1


def test_numbers_are_set_right_and_long_tables_say_what_is_missing() -> None:
    table = Table(columns=("tag", "pictures"), rows=[(f"t{row}", 12345) for row in range(600)], caption="Tags")
    document = markdown(_with_blocks([table]))
    assert "**Tags**\n\n| tag | pictures |\n| --- | ---: |\n| t0 | 12,345 |\n" in document
    assert "100 more rows are not shown." in document


def test_findings_are_a_list_notes_are_quotes_and_commands_are_code() -> None:
    found = Finding(statement="pictures.", value="146", spread="Of 150.")
    document = markdown(_with_blocks([Note(text="Gone."), Code(lines=["tagwise gather", "# `x`"])], [found]))
    assert "\n- **146** pictures. Of 150.\n" in document
    assert "\n> Gone.\n" in document
    assert [token.content for token in PARSER.parse(document) if token.type == "code_block"] == [
        "tagwise gather\n# `x`\n"
    ]


def test_the_document_is_written_whole(tmp_path: Path, plain_report: Report) -> None:
    write(plain_report, tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text("utf-8") == markdown(plain_report)


def _with_blocks(blocks: list[Table | Note | Code], summary: list[Finding] | None = None) -> Report:
    section = Section(heading="Facts", blocks=blocks)
    return Report(title="Card", subtitle="", summary=summary or [], sections=[section], provenance={})


@pytest.mark.parametrize("end", ["a\\", "a  ", "a|"])
def test_the_end_of_a_text_does_not_reach_the_next_cell(end: str) -> None:
    document = markdown(_with_blocks([Table(columns=("a", "b"), rows=[(end, "next")])]))
    assert inline_texts(document)[-2:] == [end.strip(), "next"]
