"""The two charts of how unevenly something falls: counts by rank, and a histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tagwise.pages import marks
from tagwise.pages.page import Chart, Table
from tagwise.pages.svg import COLORS, axes_within, drawings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHTS = (340, 290)
_LABELS = (14, 6)
"""Words that fit under the columns of the wide and of the narrow drawing."""


def rank_chart(points: Sequence[tuple[int, int]], *, caption: str, ranked: str, unit: str) -> Chart:
    """Counts by rank on logarithmic axes, where a power law is a straight line.

    Args:
        points: Ranks from 1 on, rising, each with its count above 0.
        caption: What the reader should see.
        ranked: What has a rank, in the singular.
        unit: What is counted, in the plural.
    """
    ranks, counts = [rank for rank, _ in points], [count for _, count in points]

    def paint(figure: Figure, _: bool) -> None:
        axes = axes_within(figure, 44, 14, 30, 44)
        if points:
            axes.plot(ranks, counts, color=COLORS["blue"])
            marks.log_axes(axes, ranks[-1], min(counts), max(counts), shares=False)
        marks.axis_words(axes, f"rank of the {ranked}", unit)

    told = "; ".join(f"rank {rank:,}: {count:,}" for rank, count in points if _is_round(rank))
    wide, narrow = drawings(paint, _HEIGHTS, f"{unit} by rank of the {ranked}. {told}.")
    rows = [point for point in points if _is_round(point[0]) or point is points[-1]]
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=Table(columns=("rank", unit), rows=rows))


def histogram(counts: Mapping[str, int], *, caption: str, measured: str, unit: str) -> Chart:
    """Columns side by side, one a bin, each with its share of the sum in the table.

    Args:
        counts: By the bin's name, from left to right.
        caption: What the reader should see.
        measured: What the bins are bins of: ``tags a picture``.
        unit: What is counted, in the plural.
    """
    total = sum(counts.values())

    def paint(figure: Figure, narrow: bool) -> None:
        axes = axes_within(figure, 44, 14, 30, 44)
        axes.bar(range(len(counts)), list(counts.values()), width=0.82, color=COLORS["blue"])
        axes.grid(visible=False, axis="x")
        marks.column_axis(axes, list(counts), _LABELS[narrow])
        marks.axis_words(axes, measured, unit)

    told = "; ".join(f"{name}: {count:,}" for name, count in counts.items())
    wide, narrow = drawings(paint, _HEIGHTS, f"{unit} by {measured}. {told}.")
    rows = [(name, count, marks.percent(count / max(total, 1))) for name, count in counts.items()]
    table = Table(columns=(measured, unit, "share"), rows=rows, numeric=("share",))
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=table)


def _is_round(rank: int) -> bool:
    """One of 1, 2, 5, 10, 20, 50, 100 and so on."""
    return str(rank).rstrip("0") in ("1", "2", "5")
