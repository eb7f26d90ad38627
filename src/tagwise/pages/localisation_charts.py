"""Charts of detectors and segmenters: precision against recall, what errors cost, and which classes are confused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tagwise.pages import marks
from tagwise.pages.marks import percent
from tagwise.pages.page import Cell, Chart, Key, Table, clean
from tagwise.pages.svg import COLORS, NARROW, WIDE, axes_within, drawings
from tagwise.pages.tables import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES_DRAWN = 12
"""Of more classes those with the most objects or pixels are drawn; the table has all."""
_PANEL, _TITLE, _FOOT = 132, 34, 40
"""Pixels of a panel's height, of the name above it, and of the words under all."""
_KEYS = (
    Key(text="IoU .50", color="blue", mark="line"),
    Key(text="IoU .75", color="vermilion", mark="line", dash="7 4"),
)
_DARK = 0.55
"""Share from which on a cell is so full that its number is written in the colour of the paper."""


@dataclass(frozen=True, kw_only=True)
class RecallCurves:
    """Precision of a class at recalls that are spread evenly over 0 to 1; both are empty where it has no object."""

    name: str
    objects: int
    at_50: Sequence[float]
    """At IoU .5."""
    at_75: Sequence[float]


def precision_recall_chart(curves: Sequence[RecallCurves], *, caption: str) -> Chart:
    """A small panel for each class: how precise detections are when so many of its objects are to be found.

    Args:
        curves: Of the classes; those without an object are left out.
        caption: What the reader should see.
    """
    known = sorted((one for one in curves if len(one.at_50)), key=lambda one: -one.objects)
    drawn = known[:CLASSES_DRAWN]

    def height(columns: int) -> int:
        return -(-len(drawn) // columns) * (_PANEL + _TITLE) + _FOOT

    def paint(figure: Figure, narrow: bool) -> None:
        columns, width = (2, NARROW) if narrow else (4, WIDE)
        pitch = (width - 34) / columns
        for place, one in enumerate(drawn):
            row, column = divmod(place, columns)
            left, top = 34 + column * pitch, row * (_PANEL + _TITLE) + _TITLE
            across = (left, width - left - pitch + (34 if narrow else 36))
            axes = axes_within(figure, *across, top, height(columns) - top - _PANEL + 14)
            for values, key in zip((one.at_50, one.at_75), _KEYS, strict=True):
                marks.line(axes, np.linspace(0, 1, len(values)), np.asarray(values, np.float64), key)
            axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_xticklabels(["0", "50%", "100%"])
            axes.set_yticklabels(["0", "50%", "100%"] if column == 0 else [])
            axes.annotate(
                cut(one.name, 16 if narrow else 22), (0, 1), (0, 10), xycoords="axes fraction",
                textcoords="offset points", fontweight="bold",
            )  # fmt: skip
        words = "across: recall, the share of objects found; up: precision, the share of detections that are right"
        lines = [words] if not narrow else words.split("; ")
        for number, line in enumerate(reversed(lines)):
            figure.text(0, (6 + 17 * number) / height(columns), line, color=COLORS["muted"])

    names = ", ".join(f"{one.name} {percent(_mean(one.at_50))}" for one in drawn)
    wide, narrow = drawings(paint, (height(4), height(2)), f"Precision against recall; mean at IoU .5: {names}.")
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=_recall_table(known), keys=_KEYS)


def gain_chart(gains: Mapping[str, float], counts: Mapping[str, int], *, caption: str) -> Chart:
    """What each kind of error costs: a bar for the AP50 that is gained if it is put right.

    Args:
        gains: By the kind of error in words; the dearest is drawn first.
        counts: How often each occurs.
        caption: What the reader should see.
    """
    ordered = sorted(gains, key=lambda kind: -gains[kind])

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, ordered, narrow, right=130)
        lengths = [gains[kind] for kind in ordered]
        axes.barh(range(len(ordered)), lengths, height=0.25 if narrow else 0.55, color=COLORS["vermilion"])
        for row, kind in enumerate(ordered):
            marks.row_value(axes, row, f"{gains[kind]:+.3f} ({counts[kind]:,})", narrow)
        axes.set_xlim(min(0.0, *lengths), max(0.01, *lengths))
        axes.locator_params(axis="x", nbins=4 if narrow else 8)

    told = "; ".join(f"{kind}: {gains[kind]:+.3f}" for kind in ordered)
    wide, narrow = drawings(paint, marks.row_heights(len(ordered)), f"AP50 gained if put right. {told}.")
    columns = ("what is wrong", "how often", "AP50 gained if put right")
    rows = [(kind, counts[kind], f"{gains[kind]:+.3f}") for kind in ordered]
    table = Table(columns=columns, rows=rows, numeric=columns[2:])
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=table)


def confusion_chart(names: Sequence[str], confusion_CC: ArrayLike, *, caption: str) -> Chart:
    """A square of classes: which share of the pixels of each true class (row) is told to be of which (column).

    Args:
        names: Of the C classes.
        confusion_CC: Pixels by true and told class.
        caption: What the reader should see.
    """
    counts_CC = np.asarray(confusion_CC, np.float64)
    with np.errstate(invalid="ignore"):
        shares_CC = np.nan_to_num(counts_CC / counts_CC.sum(1, keepdims=True))
    most = np.argsort(-(counts_CC.sum(0) + counts_CC.sum(1)), kind="stable")[:CLASSES_DRAWN]
    drawn = sorted(most.tolist())

    def paint(figure: Figure, narrow: bool) -> None:
        from matplotlib.patches import Rectangle

        axes = axes_within(figure, 96 if narrow else 180, 8, 34, 10)
        for row, true in enumerate(drawn):
            for column, told in enumerate(drawn):
                share = shares_CC[true, told]
                place = (column - 0.48, row - 0.46)
                axes.add_patch(Rectangle(place, 0.96, 0.92, color=COLORS["blue"], alpha=0.04 + 0.96 * share, lw=0))
                color = COLORS["paper"] if share > _DARK else COLORS["ink"]
                text = f"{100 * share:.0f}" if share >= 0.005 else ""
                axes.annotate(text, (column, row), ha="center", va="center", color=color)
        letters = max(3, int((NARROW - 104 if narrow else WIDE - 188) / len(drawn) / 8))
        axes.set(xlim=(-0.5, len(drawn) - 0.5), ylim=(len(drawn) - 0.5, -0.5))
        axes.set_xticks(range(len(drawn)), [_label(names[label], letters) for label in drawn])
        axes.set_yticks(range(len(drawn)), [_label(names[label], 12 if narrow else 22) for label in drawn])
        axes.xaxis.tick_top()
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)

    right = ", ".join(f"{names[label]} {percent(shares_CC[label, label])}" for label in drawn)
    heights = (44 + 34 * len(drawn), 44 + 34 * len(drawn))
    wide, narrow = drawings(paint, heights, f"Share of the true pixels of each class that are told right: {right}.")
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=_confusion_table(names, counts_CC, shares_CC))


def _label(name: str, letters: int) -> str:
    """Any name as a tick; matplotlib writes these anew when all other words have been cleaned."""
    return clean(cut(" ".join(name.split()), letters))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(np.asarray(values, np.float64)))


def _recall_table(curves: Sequence[RecallCurves]) -> Table:
    recalls = [0.1 * step for step in range(1, 10)]
    rows: list[list[Cell]] = []
    for one in curves:
        for overlap, values in ((".50", one.at_50), (".75", one.at_75)):
            told = [f"{values[round(recall * (len(values) - 1))]:.3f}" for recall in recalls]
            rows.append([one.name, overlap, *told])
    heads = [f"precision at recall {percent(recall)}" for recall in recalls]
    return Table(columns=("class", "IoU", *heads), rows=rows, numeric=("IoU", *heads))


def _confusion_table(names: Sequence[str], counts_CC: ArrayLike, shares_CC: ArrayLike) -> Table:
    """The confusions that take the most pixels, beside what is right of the class."""
    counts, shares = np.asarray(counts_CC), np.asarray(shares_CC)
    wrong = [(counts[true, told], true, told) for true in range(len(names)) for told in range(len(names))]
    ranked = sorted((one for one in wrong if one[0] and one[1] != one[2]), key=lambda one: -one[0])
    rows = [
        (names[true], names[told], int(pixels), percent(shares[true, told]), percent(shares[true, true]))
        for pixels, true, told in ranked[:100]
    ]
    columns = ("true class", "told as", "pixels", "of the true ones", "of these right")
    return Table(columns=columns, rows=rows, numeric=columns[3:])
