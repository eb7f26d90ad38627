"""The chart of accuracy against labelled pictures: how many labels each start needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tagwise.pages import marks
from tagwise.pages.marks import percent
from tagwise.pages.page import Cell, Chart, Key, Table
from tagwise.pages.svg import COLORS, axes_within, drawings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHTS = (420, 340)
_ASIDE = (9.0, 6.0)
"""Pixels between the bars of lines that meet, in the wide and in the narrow drawing."""
_TICK_PIXELS = 34.0
_SCRATCH_DASH = "9 3 2 3 2 3"


@dataclass(frozen=True, kw_only=True)
class LabelPoint:
    """What was reached with so many labels."""

    labelled: int
    """Labelled pictures a class, from 1."""
    accuracy_fraction: float
    low_fraction: float
    """Low end of the bar."""
    high_fraction: float


@dataclass(frozen=True, kw_only=True)
class LabelLine:
    """A start and how it was judged, with few and with many labels."""

    model: str
    """``from scratch``, ``tags``."""
    method: str
    """``linear probe``; empty where there is one way alone."""
    points: Sequence[LabelPoint]
    """With rising ``labelled``."""

    @property
    def name(self) -> str:
        """``tags by linear probe``."""
        return f"{self.model} by {self.method}" if self.method else self.model


def label_curve_chart(lines: Sequence[LabelLine], scratch: LabelLine | None = None, *, caption: str) -> Chart:
    """Accuracies with their bars against labelled pictures a class, on a logarithmic axis.

    Each method and scratch keep their dash; each model its colour, or, where there is one model, each method.

    Args:
        lines: What is held against scratch.
        scratch: The reference, drawn as rings.
        caption: What the reader should see, and what the bars are.
    """
    shown = [*([scratch] if scratch else []), *lines]
    numbers = sorted({point.labelled for line in shown for point in line.points})
    keys = [
        *([Key(text=scratch.name, color="muted", mark="line", dash=_SCRATCH_DASH)] if scratch else []),
        *_keys(lines),
    ]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = axes_within(figure, 44, 14, 30, 44)
        pixel = _label_axis(axes, numbers, axes.get_window_extent().width)
        step = _step(numbers, len(shown), _ASIDE[narrow] * pixel)
        for place, (line, key) in enumerate(zip(shown, keys, strict=True)):
            _draw(axes, line.points, key, (place - (len(shown) - 1) / 2) * step, hollow=line is scratch)
        edges = [edge for line in shown for p in line.points for edge in (p.low_fraction, p.high_fraction)]
        marks.percent_axis(axes, edges, vertical=True)
        marks.axis_words(axes, "labelled pictures a class", "accuracy")

    told = "; ".join(
        f"{line.name} "
        + ", ".join(f"{percent(point.accuracy_fraction)} with {point.labelled:,}" for point in line.points)
        for line in shown
    )
    wide, narrow = drawings(paint, _HEIGHTS, f"Accuracy by labelled pictures a class. {told}.")
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=_table(shown, numbers), keys=keys)


def _keys(lines: Sequence[LabelLine]) -> list[Key]:
    models = list(dict.fromkeys(line.model for line in lines))
    methods = list(dict.fromkeys(line.method for line in lines))
    dashes = [key.dash for key in marks.line_keys(methods)]
    return [
        Key(
            text=line.name,
            color=marks.HUES[(models.index(line.model) if len(models) > 1 else method) % len(marks.HUES)],
            mark="line",
            dash=dashes[method],
        )
        for line, method in ((line, methods.index(line.method)) for line in lines)
    ]


def _label_axis(axes: Axes, numbers: Sequence[int], width: float) -> float:
    """Ticks at the numbers that occur, without words where they would meet; returns what a pixel is worth."""
    places = [math.log(number) for number in numbers] or [0.0]
    margin = 0.06 * (places[-1] - places[0]) or 0.5
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    pixel = (places[-1] - places[0] + 2 * margin) / width
    words: list[str] = []
    after = math.inf
    for number, place in zip(reversed(numbers), reversed(places), strict=False):
        fits = after - place >= _TICK_PIXELS * pixel
        after = place if fits else after
        words.insert(0, f"{number:,}" if fits else "")
    axes.set_xticks(places[: len(words)], words)
    return pixel


def _step(numbers: Sequence[int], lines: int, widest: float) -> float:
    """How far apart lines stand aside, so that a number's bars stay nearer to it than to its neighbour."""
    gaps = [math.log(high / low) for low, high in pairwise(numbers)]
    return min([widest, *(0.6 * gap / lines for gap in gaps)])


def _draw(axes: Axes, points: Sequence[LabelPoint], key: Key, aside: float, *, hollow: bool) -> None:
    x = np.array([math.log(point.labelled) + aside for point in points])
    marks.line(axes, x, np.array([point.accuracy_fraction for point in points]), key)
    for place, point in zip(x.tolist(), points, strict=True):
        axes.plot([place, place], [point.low_fraction, point.high_fraction], color=COLORS[key.color], linewidth=1.6)
        marks.dot(axes, place, point.accuracy_fraction, COLORS[key.color], hollow=hollow, size=7)


def _table(lines: Sequence[LabelLine], numbers: Sequence[int]) -> Table:
    found = [{point.labelled: point for point in line.points} for line in lines]
    rows: list[list[Cell]] = [[number, *(_cell(points.get(number)) for points in found)] for number in numbers]
    names = [line.name for line in lines]
    return Table(columns=("labelled pictures a class", *names), rows=rows, numeric=names)


def _cell(point: LabelPoint | None) -> str | None:
    if point is None:
        return None
    return f"{percent(point.accuracy_fraction)} ({percent(point.low_fraction)} to {percent(point.high_fraction)})"
