"""The five charts of a report; each says its numbers in a table too.

One visual language: rows read like a table, values stand beside their marks, and colour never
speaks alone (a dash, a ring or a word says the same).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tagwise.base.progress import counted
from tagwise.pages import marks
from tagwise.pages.marks import Floats, percent
from tagwise.pages.page import Cell, Chart, Key, Table
from tagwise.pages.svg import COLORS, axes_within, drawings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BANDS = ("head", "middle", "tail")
"""The parts of a law, see ``band_edges``."""

_CLASSES_DRAWN = 30
_CURVE_ROWS = 10
_POINTS_TOLD = 200
"""Up to so many points of a curve stand in its table as they were measured."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measured accuracy with its 95% interval, all in 0..1."""

    method: str
    """``kNN``, ``linear probe``, ``fine-tuning``."""
    model: str
    """What was scored: ``sqrt tags``, ``natural tags``, ``scratch``."""
    accuracy_fraction: float
    low_fraction: float
    high_fraction: float


def law_chart(label_names: Sequence[str], laws: Mapping[str, ArrayLike], *, caption: str) -> Chart:
    """Tag laws by rank on logarithmic axes, and the share of each that head, middle and tail take.

    Labels of share 0 are left out of the lines.

    Args:
        label_names: The V labels.
        laws: By name, V shares that sum to 1 in the order of ``label_names``.
        caption: What the reader should see.
    """
    orders = {name: np.argsort(-np.asarray(law), kind="stable") for name, law in laws.items()}
    ranked = {name: np.asarray(law, dtype=np.float64)[orders[name]] for name, law in laws.items()}
    edges = band_edges(len(label_names))
    bands = {name: [float(law[start:stop].sum()) for start, stop in edges] for name, law in ranked.items()}
    keys = marks.line_keys(laws)
    height = 20 + 3 * (34 + 22 * len(laws))

    def paint(figure: Figure, narrow: bool) -> None:
        lines = (52, 8, 30, height + 50) if narrow else (56, 400, 30, 44)
        _draw_laws(axes_within(figure, *lines), ranked, keys)
        bars = (4, 150, 340, 0) if narrow else (530, 150, 0, 20)
        _draw_bands(axes_within(figure, *bars), list(bands.values()), edges, keys)

    told = "; ".join(f"{name}: head {percent(shares[0])}, tail {percent(shares[2])}" for name, shares in bands.items())
    wide, narrow = drawings(paint, (max(340, height), 340 + height), f"Share of the labels by rank. {told}.")
    table = _law_table(label_names, ranked, orders, edges, bands)
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=table, keys=keys)


def score_chart(scores: Sequence[Score], reference: Score | None = None, *, caption: str) -> Chart:
    """One row a score: a dot and its 95% interval; the reference is a line through all rows.

    Args:
        scores: From top to bottom; each model keeps its colour.
        reference: What the others are held against, usually training from scratch.
        caption: What the reader should see.
    """
    shown = [*scores, *([reference] if reference else [])]
    labels = [f"{score.method} · {score.model}" for score in shown]
    models = list(dict.fromkeys(score.model for score in scores))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, labels, narrow, right=70)
        if reference:
            _draw_reference(axes, reference)
        for row, score in enumerate(shown):
            hue = "muted" if score is reference else marks.HUES[models.index(score.model) % len(marks.HUES)]
            axes.plot([score.low_fraction, score.high_fraction], [row, row], color=COLORS[hue], linewidth=3)
            marks.dot(axes, score.accuracy_fraction, row, COLORS[hue], hollow=score is reference)
            marks.row_value(axes, row, percent(score.accuracy_fraction), narrow)
        marks.percent_axis(axes, [edge for score in shown for edge in (score.low_fraction, score.high_fraction)])

    told = "; ".join(f"{label} {percent(s.accuracy_fraction)}" for label, s in zip(labels, shown, strict=True))
    wide, narrow = drawings(paint, marks.row_heights(len(shown)), f"Accuracy with 95% interval. {told}.")
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=score_table(shown))


def score_table(scores: Sequence[Score], caption: str = "") -> Table:
    """The scores as a table."""
    columns = ("method", "model", "accuracy", "95% interval")
    rows = [
        (s.method, s.model, percent(s.accuracy_fraction), f"{percent(s.low_fraction)} to {percent(s.high_fraction)}")
        for s in scores
    ]
    return Table(columns=columns, rows=rows, caption=caption, numeric=columns[2:])


def curve_chart(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]], *, caption: str, measure: str = "loss", fractions: bool = False
) -> Chart:
    """A measure, such as the loss in nats, against pictures seen.

    Args:
        series: By name, pictures seen (rising) and the measure there; what is not finite is left out. One without
            points is not shown, and the others keep the colours that they have beside it in another chart.
        caption: What the reader should see.
        measure: The word beside the axis.
        fractions: It is within 0..1 and told in percent.
    """
    every = {name: marks.finite(*pair) for name, pair in series.items()}
    points = {name: pair for name, pair in every.items() if len(pair[0])}
    keys = [key for key, (seen, _) in zip(marks.line_keys(every), every.values(), strict=True) if len(seen)]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = axes_within(figure, 44, 14, 30, 44)
        for curve, key in zip(points.values(), keys, strict=True):
            marks.line(axes, *marks.averaged(*curve), key)
        marks.count_axis(axes, narrow)
        if fractions:
            marks.percent_axis(axes, [value for _, values in points.values() for value in values], vertical=True)
        marks.axis_words(axes, "pictures seen", measure)

    ends = {name: percent(values[-1]) if fractions else f"{values[-1]:.4g}" for name, (_, values) in points.items()}
    told = "; ".join(f"{name} ends at {end}" for name, end in ends.items())
    wide, narrow = drawings(paint, (340, 290), f"{measure} against pictures seen. {told}.")
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=_curve_table(points, fractions), keys=keys)


def bar_chart(counts: Mapping[str, int], *, caption: str, unit: str = "tags") -> Chart:
    """Counts as bars, each with its share of the sum: the fate of tags or pictures; what is 0 has a row of the table.

    Args:
        counts: By name, from top to bottom.
        caption: What the reader should see.
        unit: What is counted, in the plural.
    """
    total = sum(counts.values())
    drawn = {name: count for name, count in counts.items() if count}
    shares = {name: percent(count / max(total, 1)) for name, count in counts.items()}

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, list(drawn), narrow, right=130)
        axes.barh(range(len(drawn)), list(drawn.values()), height=0.25 if narrow else 0.55, color=COLORS["blue"])
        for row, (name, count) in enumerate(drawn.items()):
            marks.row_value(axes, row, f"{count:,} ({shares[name]})", narrow)
        axes.set_xlim(0, max([1, *drawn.values()]))
        marks.count_axis(axes, narrow)

    told = "; ".join(f"{name} {count:,}" for name, count in drawn.items())
    wide, narrow = drawings(paint, marks.row_heights(len(drawn)), f"{total:,} {unit}. {told}.")
    rows = [(name, count, shares[name]) for name, count in counts.items()]
    table = Table(columns=("fate", unit, "share"), rows=rows, numeric=("share",))
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=table)


def per_class_chart(
    class_names: Sequence[str], scratch_fractions: ArrayLike, pretrained_fractions: ArrayLike, *, caption: str
) -> Chart:
    """Accuracy of every class from scratch and pretrained, sorted by what pretraining gave.

    Of more than 30 classes the 15 that gained most and the 15 that gained least are drawn.

    Args:
        class_names: The C classes.
        scratch_fractions: C accuracies in 0..1, NaN for a class without test pictures.
        pretrained_fractions: C accuracies in 0..1.
        caption: What the reader should see.
    """
    scratch = np.asarray(scratch_fractions, dtype=np.float64)
    pretrained = np.asarray(pretrained_fractions, dtype=np.float64)
    gains = 100 * (pretrained - scratch)
    order = np.argsort(-gains, kind="stable")
    half = _CLASSES_DRAWN // 2
    drawn = order[np.isfinite(gains[order])]
    if len(drawn) > _CLASSES_DRAWN:
        drawn = np.concatenate([drawn[:half], drawn[-half:]])

    def paint(figure: Figure, narrow: bool) -> None:
        axes = marks.row_axes(figure, [class_names[index] for index in drawn], narrow, right=58)
        for row, index in enumerate(drawn):
            axes.plot([scratch[index], pretrained[index]], [row, row], color=COLORS["rule"], linewidth=4)
            marks.dot(axes, scratch[index], row, COLORS["muted"], hollow=True)
            marks.dot(axes, pretrained[index], row, COLORS["blue"])
            marks.row_value(axes, row, _points(gains[index]), narrow)
        marks.percent_axis(axes, [*scratch[drawn], *pretrained[drawn]])

    told = f"Accuracy of each class, scratch and pretrained; {(gains > 0).sum()} of {len(order)} classes gained."
    wide, narrow = drawings(paint, marks.row_heights(len(drawn)), told)
    keys = [Key(text="scratch", color="muted", mark="ring"), Key(text="pretrained", color="blue", mark="dot")]
    rows = [(class_names[i], percent(scratch[i]), percent(pretrained[i]), _points(gains[i])) for i in order]
    columns = ("class", "scratch", "pretrained", "gain, points")
    table = Table(columns=columns, rows=rows, numeric=columns[1:])
    return Chart(svg=wide, svg_narrow=narrow, caption=caption, table=table, keys=keys)


def _points(gain: float) -> str:
    return "\N{EN DASH}" if np.isnan(gain) else f"{gain:+.1f}"


def _draw_reference(axes: Axes, reference: Score) -> None:
    axes.axvspan(reference.low_fraction, reference.high_fraction, color=COLORS["muted"], alpha=0.12, linewidth=0)
    axes.axvline(reference.accuracy_fraction, color=COLORS["muted"], linewidth=1.2, dashes=(4, 3))


def _draw_laws(axes: Axes, ranked: Mapping[str, Floats], keys: Sequence[Key]) -> None:
    for law, key in zip(ranked.values(), keys, strict=True):
        ranks = marks.ranks_drawn(int(np.count_nonzero(law)))
        marks.line(axes, ranks.astype(np.float64), law[ranks - 1], key)
    positive = np.concatenate([law[law > 0] for law in ranked.values()])
    labels = max(len(law) for law in ranked.values())
    marks.log_axes(axes, labels, float(positive.min()), float(positive.max()))
    marks.axis_words(axes, "rank of the label", "share of the label")


def _draw_bands(
    axes: Axes, bands: Sequence[Sequence[float]], edges: Sequence[tuple[int, int]], keys: Sequence[Key]
) -> None:
    pitch = len(bands) + 1.5
    axes.set(xlim=(0, max(map(max, bands))), ylim=(3 * pitch - 0.5, -0.9))
    axes.axis("off")
    for band, (start, stop) in enumerate(edges):
        top = band * pitch
        axes.annotate(f"{BANDS[band]}: {counted(stop - start, 'label')}", (0, top), va="center", color=COLORS["muted"])
        for row, (shares, key) in enumerate(zip(bands, keys, strict=True), start=1):
            marks.bar(axes, top + row, shares[band], COLORS[key.color], f"{percent(shares[band])} {key.text}")


def band_edges(labels: int) -> list[tuple[int, int]]:
    """Ranks of the head, the largest hundredth of the labels rounded up, of the rest of the tenth, and of the tail."""
    head, tenth = -(-labels // 100), -(-labels // 10)
    return [(0, head), (head, tenth), (tenth, labels)]


def _law_table(
    label_names: Sequence[str],
    ranked: Mapping[str, Floats],
    orders: Mapping[str, np.ndarray],
    edges: Sequence[tuple[int, int]],
    bands: Mapping[str, Sequence[float]],
) -> Table:
    rows: list[list[Cell]] = [
        [f"{BANDS[band]}, {counted(stop - start, 'label')}", *(percent(shares[band]) for shares in bands.values())]
        for band, (start, stop) in enumerate(edges)
    ]
    steps = [digit * 10**power for power in range(12) for digit in (1, 2, 5)]
    for rank in [step for step in steps if step <= len(label_names)]:
        cells = [f"{100 * law[rank - 1]:.3g}% {label_names[orders[name][rank - 1]]}" for name, law in ranked.items()]
        rows.append([f"rank {rank:,}", *cells])
    return Table(columns=("labels", *ranked), rows=rows)


def _curve_table(points: Mapping[str, tuple[Floats, Floats]], fractions: bool) -> Table:
    """Each point that was measured; of many, means of stretches."""
    places = np.unique(np.concatenate([seen for seen, _ in points.values()] or [np.empty(0)]))
    found: list[tuple[float, list[float | None]]]
    if len(places) <= _POINTS_TOLD:
        first = "pictures seen"
        measured = [dict(zip(seen.tolist(), values.tolist(), strict=True)) for seen, values in points.values()]
        found = [(place, [curve.get(place) for curve in measured]) for place in places.tolist()]
    else:
        first = "pictures seen, mean since the row before"
        edges = np.linspace(0, places[-1], _CURVE_ROWS + 1).tolist()
        found = [
            (stop, [_mean_between(seen, values, start, stop) for seen, values in points.values()])
            for start, stop in pairwise(edges)
        ]
    rows: list[list[Cell]] = [
        [round(place), *(percent(value) if fractions and value is not None else value for value in values)]
        for place, values in found
    ]
    return Table(columns=(first, *points), rows=rows, numeric=tuple(points))


def _mean_between(seen: Floats, values: Floats, start: float, stop: float) -> float | None:
    inside = values[(seen > start) & (seen <= stop)]
    return float(inside.mean()) if len(inside) else None
