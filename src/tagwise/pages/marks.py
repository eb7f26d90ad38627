"""The marks that charts are made of: rows with labels and values, dots, lines, axes in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tagwise.pages.page import Key
from tagwise.pages.svg import COLORS, axes_within
from tagwise.pages.tables import cut, display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

HUES = ("blue", "vermilion", "green", "purple", "sky")
_DASHES = ("", "7 4", "2 4", "10 4 2 4")
_LETTER_PIXELS = 6.8
_LABEL_LETTERS = 38
_POINTS_DRAWN = 240
_ROW_TOP, _ROW_BOTTOM = 10, 30
_ROW_WIDE, _ROW_NARROW = 30, 44
"""Pixels a row: on a telephone its label stands above the mark."""


def percent(fraction: float) -> str:
    """0.8123 as ``81.2%``; what would round to nothing as ``<0.1%``, NaN as an en dash."""
    if math.isnan(fraction):
        return "\N{EN DASH}"
    return "<0.1%" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f}%"


def line_keys(names: Iterable[str]) -> list[Key]:
    """A legend of lines, each with its own colour and dash."""
    return [
        Key(text=name, color=HUES[index % len(HUES)], mark="line", dash=_DASHES[index % len(_DASHES)])
        for index, name in enumerate(names)
    ]


def row_heights(rows: int) -> tuple[int, int]:
    """Pixels of the wide and the narrow drawing of a chart of rows."""
    margins = _ROW_TOP + _ROW_BOTTOM
    return rows * _ROW_WIDE + margins, rows * _ROW_NARROW + margins


def row_axes(figure: Figure, labels: Sequence[str], narrow: bool, right: float) -> Axes:
    """Axes with one row a label, the first on top.

    Args:
        figure: As high as ``row_heights`` says.
        labels: Any text; it is cut.
        narrow: Labels and values stand above their rows instead of beside them.
        right: Pixels kept for the values beside the rows.
    """
    shown = [cut(label, _LABEL_LETTERS) for label in labels]
    longest = max(map(display_width, shown), default=0)
    left = 8 if narrow else 18 + longest * _LETTER_PIXELS
    axes = axes_within(figure, left, 8 if narrow else right, _ROW_TOP, _ROW_BOTTOM)
    axes.set_ylim(max(1, len(labels)) - (0.3 if narrow else 0.5), -(0.7 if narrow else 0.5))
    axes.set_yticks([])
    for row, label in enumerate(shown):
        if narrow:  # the lines behind a label are covered, so that it stays readable
            axes.axhspan(row - 0.68, row - 0.15, color=COLORS["paper"], linewidth=0, zorder=2.2)
        _beside(axes, (0, row), label, (0, 17) if narrow else (-14, 0), "left" if narrow else "right")
    return axes


def row_value(axes: Axes, row: int, text: str, narrow: bool) -> None:
    """A value at the end of its row."""
    _beside(axes, (1, row), text, (0, 17) if narrow else (12, 0), "right" if narrow else "left", "bold")


def dot(axes: Axes, x: float, y: float, color: str, *, hollow: bool = False, size: float = 10) -> None:
    """A dot of ``size`` pixels, or a ring that hides what is behind it."""
    inside = COLORS["paper"] if hollow else color
    axes.plot([x], [y], "o", markersize=size, markeredgewidth=2.2, color=color, markerfacecolor=inside, zorder=3)


def line(axes: Axes, x: Floats, y: Floats, key: Key) -> None:
    """A line as its key shows it; a point alone is a dot."""
    dash = tuple(map(float, key.dash.split()))
    axes.plot(x, y, color=COLORS[key.color], linestyle=(0, dash) if dash else "-", marker="o" if len(x) == 1 else "")


def bar(axes: Axes, y: float, length: float, color: str, text: str) -> None:
    """A thin bar from 0 with a text at its end; the text is cut."""
    axes.barh(y, length, height=0.62, color=color)
    axes.annotate(cut(text, 22), (length, y), (6, 0), textcoords="offset points", va="center")


def percent_axis(axes: Axes, fractions: Sequence[float], *, vertical: bool = False) -> None:
    """An axis in percent over the part of 0..1 that holds ``fractions``, horizontal where nothing is said."""
    low, high = min(fractions, default=0.0), max(fractions, default=1.0)
    margin = max(0.08 * (high - low), 0.01)
    (axes.set_ylim if vertical else axes.set_xlim)(low - margin, high + margin)
    axes.locator_params(axis="y" if vertical else "x", nbins=8 if vertical else 6)
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_formatter(lambda tick, _: f"{100 * tick:g}%")


def count_axis(axes: Axes, narrow: bool) -> None:
    """A horizontal axis of counts from 0."""
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=4 if narrow else 8)
    axes.xaxis.set_major_formatter(lambda tick, _: _count(tick))


def column_axis(axes: Axes, labels: Sequence[str], most: int) -> None:
    """A vertical axis of counts from 0, and names of at most ``most`` columns under them, evenly spread."""
    every = -(-len(labels) // most) or 1
    places = range(0, len(labels), every)
    axes.set_xticks(list(places), [labels[place] for place in places])
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=6, integer=True)
    axes.yaxis.set_major_formatter(lambda tick, _: _count(tick))


def log_axes(axes: Axes, ranks: int, low: float, high: float, *, shares: bool = True) -> None:
    """Both axes logarithmic: ranks 1 to ``ranks``, shares ``low`` to ``high`` in percent, or counts."""
    from matplotlib.ticker import LogLocator

    axes.set(xscale="log", yscale="log", xlim=(0.9, max(2, ranks) * 1.1), ylim=(low / 1.5, high * 1.5))
    for axis, span in ((axes.xaxis, ranks), (axes.yaxis, high / low)):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 100 else (1,)))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda tick, _: _count(tick))
    axes.yaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.3g}%" if shares else _count(tick))


def axis_words(axes: Axes, below: str, above: str) -> None:
    """What the axes count, written level: under the right end and over the left end."""
    for text, corner, offset, side in ((below, (1, 0), (0, -34), "right"), (above, (0, 1), (0, 12), "left")):
        axes.annotate(
            text, corner, offset, xycoords="axes fraction", textcoords="offset points", ha=side, color=COLORS["muted"]
        )


def finite(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """The points whose both coordinates are finite."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(xs) & np.isfinite(ys)
    return xs[kept], ys[kept]


def averaged(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most 240 points: means of neighbours, so that a noisy curve stays a small drawing."""
    if len(x) <= _POINTS_DRAWN:
        return x, y
    starts = np.linspace(0, len(x), _POINTS_DRAWN, endpoint=False).astype(np.int64)
    lengths = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / lengths, np.add.reduceat(y, starts) / lengths


def ranks_drawn(labels: int) -> NDArray[np.int64]:
    """At most 240 of the ranks 1 to ``labels``, evenly spaced on a logarithmic axis, both ends included."""
    spaced = np.geomspace(1, max(1, labels), _POINTS_DRAWN)
    return np.unique(np.rint(spaced).astype(np.int64))


def _beside(
    axes: Axes, place: tuple[float, float], text: str, offset: tuple[float, float], side: str, weight: str = "normal"
) -> None:
    axes.annotate(
        text, place, offset, xycoords=("axes fraction", "data"), textcoords="offset points",
        ha=side, va="center", fontweight=weight,
    )  # fmt: skip


def _count(count: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"
