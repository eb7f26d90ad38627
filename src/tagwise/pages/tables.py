"""A table's cells as text, and the table as lines of a terminal; the page shows the same cells."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tagwise.base.progress import printable

if TYPE_CHECKING:
    from tagwise.pages.page import Cell, Table

ROWS_SHOWN = 500
"""Rows of a table that are shown; the rest is counted and stays in the run's records."""

_GAP = "  "
_NARROWEST = 8


def cell_text(cell: Cell) -> str:
    """A cell as it is read: ``12,345``, ``0.8123``, ``yes``, an en dash for nothing; texts as they are.

    Floats keep four significant digits, and all digits before the point.
    """
    match cell:
        case None:
            return "\N{EN DASH}"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.0f}" if 1000 <= abs(cell) < 1e15 else f"{cell:.4g}"
    return cut(cell, 200)


def rows_shown(table: Table) -> list[list[str]]:
    """The cells of the first ``ROWS_SHOWN`` rows as texts."""
    return [[cell_text(cell) for cell in row] for row in table.rows[:ROWS_SHOWN]]


def rows_left_out(table: Table) -> str:
    """The sentence about the rows that are not shown; empty when all are."""
    left_out = len(table.rows) - ROWS_SHOWN
    return f"{left_out:,} more rows are not shown." if left_out > 0 else ""


def set_right(table: Table) -> list[bool]:
    """Per column, whether it holds numbers, which are set right."""
    return [
        name in table.numeric or _all_numbers([row[column] for row in table.rows])
        for column, name in enumerate(table.columns)
    ]


def display_width(text: str) -> int:
    """Columns a text takes on a terminal: two for wide East Asian characters, none for combining marks."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def cut(text: str, most: int) -> str:
    """The text in at most ``most`` terminal columns, with an ellipsis where it was cut."""
    if display_width(text) <= most:
        return text
    while text and display_width(text) >= most:
        text = text[: most - 1] if len(text) > most else text[:-1]
    return text + "\N{HORIZONTAL ELLIPSIS}"


def text_table(table: Table, width: int = 100) -> str:
    """The table as plain text: aligned, no colours, ready for a pipe.

    Args:
        table: What the page shows too.
        width: Columns of the terminal. The widest columns of words are cut to fit, numbers never,
            so a table of many numbers may be wider.

    Returns:
        Lines joined by newlines, without a final one: caption, header, rule, rows.
    """
    right = set_right(table)
    header = [printable(name) for name in table.columns]
    rows = [[printable(cell) for cell in row] for row in rows_shown(table)]
    widths = _fitted([max(map(display_width, column)) for column in zip(header, *rows, strict=True)], right, width)
    rule = ["\N{BOX DRAWINGS LIGHT HORIZONTAL}" * columns for columns in widths]
    lines = [_line(cells, widths, right) for cells in (header, rule, *rows)]
    caption = [printable(table.caption)] if table.caption else []
    return "\n".join([*caption, *lines, *filter(None, [rows_left_out(table)])])


def _all_numbers(cells: list[Cell]) -> bool:
    numbers = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells if cell is not None]
    return bool(numbers) and all(numbers)


def _fitted(widths: list[int], right: list[bool], width: int) -> list[int]:
    fitted = list(widths)
    words = [column for column, is_number in enumerate(right) if not is_number]
    while words and sum(fitted) + len(_GAP) * (len(fitted) - 1) > width:
        widest = max(words, key=fitted.__getitem__)
        if fitted[widest] <= _NARROWEST:
            break
        fitted[widest] -= 1
    return fitted


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    return _GAP.join(map(_padded, cells, widths, right)).rstrip()


def _padded(text: str, width: int, is_right: bool) -> str:
    shown = cut(text, width)
    space = " " * (width - display_width(shown))
    return space + shown if is_right else shown + space
