"""A table reads the same on the page and in a terminal."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pages.page import Report, Section, Table, render
from tagwise.pages.tables import cell_text, cut, display_width, set_right, text_table

words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z", "M"]), min_size=1, max_size=12)
cells = st.one_of(words, st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.none())


class Cells(HTMLParser):
    """The texts of all table cells, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag in ("th", "td")
        if self.inside:
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += data


@given(st.lists(st.tuples(words, cells, cells), max_size=8))
def test_the_page_and_the_terminal_show_the_same_cells(
    rows: list[tuple[str, str | float | None, str | float | None]],
) -> None:
    table = Table(columns=("tag", "count", "share"), rows=rows)
    page = render(
        Report(title="", subtitle="", summary=[], sections=[Section(heading="", blocks=[table])], provenance={})
    )
    header, _, *lines = text_table(table, width=10_000).splitlines()
    assert [cell for line in (header, *lines) for cell in line.split()] == Cells(page).found


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "\N{EN DASH}"), (True, "yes"), (12345, "12,345"), (-3, "-3"), (0.81234, "0.8123"), (1e-7, "1e-07"),
        (1234567.8, "1,234,568"), (float("nan"), "nan"), ("as it is", "as it is"), ("x" * 300, "x" * 199 + "…"),
    ],
)  # fmt: skip
def test_cells_read_as_people_write_numbers(cell: str | float | None, text: str) -> None:
    assert cell_text(cell) == text


def test_numbers_are_set_right_and_words_left() -> None:
    table = Table(
        columns=("tag", "n", "interval"), rows=[("a", 5, "1 to 2"), ("bcd", None, "10 to 20")], numeric=["interval"]
    )
    assert set_right(table) == [False, True, True]
    assert text_table(table).splitlines() == [
        "tag  n  interval",
        "───  ─  ────────",
        "a    5    1 to 2",
        "bcd  \N{EN DASH}  10 to 20",
    ]


def test_wide_letters_keep_the_columns_aligned() -> None:
    lines = text_table(Table(columns=("tag", "n"), rows=[("日本", 1), ("cafe\u0301", 22)])).splitlines()
    assert len({display_width(line) for line in lines}) == 1


@given(st.lists(st.tuples(words, words, st.integers(0, 10**6)), min_size=1, max_size=5), st.integers(30, 60))
def test_words_are_cut_to_the_terminal_and_numbers_never(rows: list[tuple[str, str, int]], width: int) -> None:
    rows = [(one * 9, other * 9, count) for one, other, count in rows]
    lines = text_table(Table(columns=("one", "other", "count"), rows=rows), width=width).splitlines()
    assert max(map(display_width, lines)) <= width
    assert all(line.endswith(f"{row[2]:,}") for line, row in zip(lines[2:], rows, strict=True))


@given(words, st.integers(1, 20))
def test_a_cut_text_fits(text: str, most: int) -> None:
    assert display_width(cut(text, most)) <= most
    assert cut(text, 100) == text


def test_a_terminal_gets_no_control_characters() -> None:
    table = Table(columns=("tag",), rows=[("\x1b[31mred\x1b[0m\n\u202eevil",)], caption="\x07")
    assert not {"\x1b", "\x07", "\u202e"} & set(text_table(table))
    assert len(text_table(table).splitlines()) == 4


def test_a_table_is_checked_where_it_is_made() -> None:
    with pytest.raises(AssertionError):
        Table(columns=("a", "b"), rows=[("only one",)])
    with pytest.raises(AssertionError):
        Table(columns=("a",), rows=[], numeric=["b"])
