"""The chart of gains: by how much numbers of a second start are above those of a first, each with its interval."""

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
class GainRow:
    """One difference."""

    label: str
    """``tags over scratch, 1/4``."""
    measure: str
    """``AP50``; each has its colour."""
    gain: float
    low: float | None
    """Low end of the interval; None, as the high one, of a single run."""
    high: float | None


def gain_chart(gains: Sequence[GainRow], *, caption: str) -> Chart:
    """A row each: a dot and its interval, and a line at no difference; a ring where the interval holds it.

    Args:
        gains: From top to bottom.
        caption: What the reader should see, and what the intervals are.
    """
    measures = list(dict.fromkeys(gain.measure for gain in gains))
    hues = {measure: marks.HUES[place % len(marks.HUES)] for place, measure in enumerate(measures)}
    labels = [f"{gain.label} · {gain.measure}" for gain in gains]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, labels, narrow, right=70)
        axes.axvline(0, color=COLORS["muted"], linewidth=1.2, dashes=(4, 3))
        for row, gain in enumerate(gains):
            _draw(axes, row, gain, COLORS[hues[gain.measure]])
            marks.row_value(axes, row, f"{gain.gain:+.3f}", narrow)
        ends = [0.0, *(end for gain in gains for end in _ends(gain))]
        margin = max(0.08 * (max(ends) - min(ends)), 0.005)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:+.3g}" if tick else "0")

    told = "; ".join(f"{label} {gain.gain:+.3f}" for label, gain in zip(labels, gains, strict=True))
    wide, narrow = drawings(paint, marks.row_heights(len(gains)), f"Differences with their intervals. {told}.")
    columns = ("starts", "number", "difference", "95 % interval")
    rows = [(gain.label, gain.measure, f"{gain.gain:+.3f}", interval_told(gain.low, gain.high)) for gain in gains]
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


def _ends(gain: GainRow) -> list[float]:
    return [gain.gain, *(end for end in (gain.low, gain.high) if end is not None)]


def _draw(axes: Axes, row: int, gain: GainRow, color: str) -> None:
    ends = _ends(gain)
    axes.plot([min(ends), max(ends)], [row, row], color=color, linewidth=3)
    marks.dot(axes, gain.gain, row, color, hollow=min(ends) <= 0 <= max(ends))
