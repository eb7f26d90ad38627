"""The chart of differences: by how much numbers of a second start are above those of a first, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagwise.pages import marks
from tagwise.pages.page import Chart, Key, Table
from tagwise.pages.svg import COLORS, drawings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One difference."""

    label: str
    """``tags over scratch, 1/4``."""
    measure: str
    """``AP50``; each has its colour."""
    difference: float
    low: float | None
    """Low end of the interval; None, as the high one, of a single run."""
    high: float | None


def difference_chart(differences: Sequence[Difference], *, caption: str) -> Chart:
    """A row each: a dot and its interval, and a line at 0; a ring where the interval holds 0, or there is none.

    Args:
        differences: From top to bottom.
        caption: What the reader should see, and what the intervals are.
    """
    measures = list(dict.fromkeys(one.measure for one in differences))
    hues = {measure: marks.HUES[place % len(marks.HUES)] for place, measure in enumerate(measures)}
    labels = [f"{one.label} · {one.measure}" for one in differences]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, labels, narrow, right=70)
        axes.axvline(0, color=COLORS["muted"], linewidth=1.2, dashes=(4, 3))
        for row, one in enumerate(differences):
            _draw(axes, row, one, COLORS[hues[one.measure]])
            marks.row_value(axes, row, f"{one.difference:+.3f}", narrow)
        ends = [0.0, *(end for one in differences for end in _ends(one))]
        margin = max(0.08 * (max(ends) - min(ends)), 0.005)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:+.3g}" if tick else "0")

    told = "; ".join(f"{label} {one.difference:+.3f}" for label, one in zip(labels, differences, strict=True))
    wide, narrow = drawings(paint, marks.row_heights(len(differences)), f"Differences with their intervals. {told}.")
    columns = ("starts", "number", "difference", "95 % interval")
    rows = [(one.label, one.measure, f"{one.difference:+.3f}", interval_told(one.low, one.high)) for one in differences]
    keys = [Key(text=measure, color=hue, mark="dot") for measure, hue in hues.items()]
    return Chart(
        svg=wide,
        svg_narrow=narrow,
        caption=caption,
        table=Table(columns=columns, rows=rows, numeric=columns[2:]),
        keys=keys,
    )


def interval_told(low: float | None, high: float | None) -> str | None:
    """``-0.010 to +0.032``; None of a single run."""
    return None if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def _ends(one: Difference) -> list[float]:
    return [one.difference, *(end for end in (one.low, one.high) if end is not None)]


def _draw(axes: Axes, row: int, one: Difference, color: str) -> None:
    ends = _ends(one)
    axes.plot([min(ends), max(ends)], [row, row], color=color, linewidth=3)
    marks.dot(axes, one.difference, row, color, hollow=len(ends) == 1 or min(ends) <= 0 <= max(ends))
