"""Charts draw the numbers they are given, and their tables say the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tagwise.pages import charts
from tagwise.pages.page import Chart


def score(model: str, accuracy_fraction: float, half: float = 0.01, method: str = "linear probe") -> charts.Score:
    low, high = accuracy_fraction - half, accuracy_fraction + half
    return charts.Score(
        method=method, model=model, accuracy_fraction=accuracy_fraction, low_fraction=low, high_fraction=high
    )


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]  # noqa: S314 - ours


def dots(svg: str) -> list[tuple[float, float]]:
    """Centres of all dots, in pixels."""
    return [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)]


def test_dots_stand_where_the_accuracies_are() -> None:
    values = [0.2, 0.5, 0.6, 0.9]
    chart = charts.score_chart([score(f"m{index}", value) for index, value in enumerate(values)], caption="")
    for svg in (chart.svg, chart.svg_narrow):
        x, y = np.array(dots(svg)).T
        assert list(y) == sorted(y)
        np.testing.assert_allclose((x - x[0]) / (x[-1] - x[0]), (np.array(values) - 0.2) / 0.7, atol=2e-3)


def test_scores_give_value_and_interval_and_scratch_is_a_line_through_all() -> None:
    chart = charts.score_chart([score("sqrt tags", 0.774)], score("scratch", 0.503), caption="")
    assert chart.table.rows == [
        ("linear probe", "sqrt tags", "77.4%", "76.4% to 78.4%"),
        ("linear probe", "scratch", "50.3%", "49.3% to 51.3%"),
    ]
    assert {"77.4%", "50.3%"} <= set(texts(chart.svg))
    assert chart.svg.count("stroke-dasharray") == 1


def test_a_model_keeps_its_colour_in_every_method() -> None:
    scores = [score(model, 0.5, method=method) for method in ("kNN", "linear probe") for model in ("a", "b")]
    hues = re.findall(r"stroke:var\(--(\w+),[^)]*\);stroke-width:3\b", charts.score_chart(scores, caption="").svg)
    assert hues == ["blue", "vermilion", "blue", "vermilion"]


def test_the_head_is_the_largest_hundredth_and_the_tail_all_beyond_the_tenth() -> None:
    law = 1 / np.arange(1, 1001)
    law /= law.sum()
    shuffled = np.random.default_rng(0).permutation(law)
    chart = charts.law_chart([str(index) for index in range(1000)], {"natural": law, "shuffled": shuffled}, caption="")
    head, middle, tail = (chart.table.rows[band] for band in range(3))
    assert head == ["head, 10 labels", f"{law[:10].sum():.1%}", f"{law[:10].sum():.1%}"]
    assert middle[0] == "middle, 90 labels"
    assert tail == ["tail, 900 labels", f"{law[100:].sum():.1%}", f"{law[100:].sum():.1%}"]


def test_a_power_law_is_a_straight_line_and_labels_of_share_zero_are_left_out() -> None:
    law = np.append(1 / np.arange(1, 501), np.zeros(500))
    svg = charts.law_chart(["x"] * 1000, {"natural": law / law.sum()}, caption="").svg
    line = next(path for path in re.findall(r'd="([^"]+)" style="fill:none;stroke:var\(--blue', svg))
    x, y = np.array(re.findall(r"([\d.]+) ([\d.]+)", line), dtype=float).T
    slope, offset = np.polyfit(x, y, 1)
    np.testing.assert_allclose(y, slope * x + offset, atol=0.2)


def test_every_law_names_its_own_label_at_a_rank() -> None:
    chart = charts.law_chart(["cat", "dog"], {"natural": [0.9, 0.1], "other": [0.25, 0.75]}, caption="")
    assert chart.table.rows[3:] == [["rank 1", "90% cat", "75% dog"], ["rank 2", "10% dog", "25% cat"]]


def test_the_curve_table_tells_each_point_that_was_measured() -> None:
    table = charts.curve_chart({"a": ([64, 128], [3.0, 1.0]), "b": ([90], [2.0])}, caption="").table
    assert table.columns == ("pictures seen", "a", "b")
    assert table.rows == [[64, 3.0, None], [90, None, 2.0], [128, 1.0, None]]


def test_the_table_of_a_long_curve_averages_between_its_rows() -> None:
    seen = np.arange(1, 1001)
    rows = charts.curve_chart({"a": (seen, seen * 1.0), "b": ([500], [2.0])}, caption="").table.rows
    assert [row[0] for row in rows] == list(range(100, 1001, 100))
    assert [row[1] for row in rows] == [pytest.approx(50.5 + 100 * index) for index in range(10)]
    assert [row[2] for row in rows] == [None] * 4 + [2.0] + [None] * 5


def test_a_loss_that_is_not_finite_is_left_out() -> None:
    chart = charts.curve_chart({"a": ([1, 2, 3, 4], [1.0, np.nan, np.inf, 2.0])}, caption="")
    assert "a ends at 2." in chart.svg
    assert "nan" not in chart.svg


def test_shares_are_told_in_percent_in_words_table_and_axis() -> None:
    chart = charts.curve_chart({"a": ([10, 20], [0.25, 0.5])}, caption="", measure="accuracy", fractions=True)
    assert "a ends at 50.0%" in chart.svg
    assert [row[1] for row in chart.table.rows if row[1] is not None] == ["25.0%", "50.0%"]
    assert {"30%", "40%"} <= set(texts(chart.svg))


def test_bars_are_as_long_as_their_counts() -> None:
    chart = charts.bar_chart({"kept": 400, "too rare": 100, "denied": 0}, caption="")
    bars = [
        np.array(re.findall(r"[ML] ([\d.]+)", path), float)
        for path in re.findall(r'd="([^"]+z)" style="fill:var', chart.svg)
    ]
    lengths = [bar.max() - bar.min() for bar in bars]
    assert lengths[0] == pytest.approx(4 * lengths[1], abs=0.5)
    assert len(lengths) == 2
    assert "denied" not in chart.svg + chart.svg_narrow, "nothing is drawn of what did not happen; the table has it"
    assert chart.table.rows == [("kept", 400, "80.0%"), ("too rare", 100, "20.0%"), ("denied", 0, "0.0%")]


def test_classes_are_sorted_by_gain_and_the_table_has_all() -> None:
    rng = np.random.default_rng(0)
    scratch, pretrained = rng.random(100), rng.random(100)
    pretrained[7] = np.nan
    chart = charts.per_class_chart([f"class {index}" for index in range(100)], scratch, pretrained, caption="")
    gains = [float(str(row[3])) for row in chart.table.rows[:-1]]
    assert len(gains) == 99
    assert gains == sorted(gains, reverse=True)
    assert chart.table.rows[-1][0] == "class 7"
    assert chart.table.rows[-1][2:] == ("\N{EN DASH}", "\N{EN DASH}")
    drawn = [text for text in texts(chart.svg) if text.startswith("class")]
    assert drawn == [row[0] for row in [*chart.table.rows[:15], *chart.table.rows[84:99]]]


@pytest.mark.parametrize(
    "chart",
    [
        lambda: charts.score_chart([], caption=""),
        lambda: charts.curve_chart({}, caption=""),
        lambda: charts.curve_chart({"a": ([], [])}, caption=""),
        lambda: charts.bar_chart({}, caption=""),
        lambda: charts.per_class_chart([], [], [], caption=""),
        lambda: charts.law_chart(["only"], {"natural": [1.0]}, caption=""),
        lambda: charts.score_chart([score("a", 1.0, half=0.0)], caption=""),
    ],
    ids=["scores", "series", "points", "counts", "classes", "one label", "a point"],
)
def test_little_or_nothing_draws_too(chart: Callable[[], Chart]) -> None:
    assert chart().svg.endswith("</svg>")


def test_a_chart_is_small_however_long_the_run() -> None:
    seen = np.arange(200_000)
    chart = charts.curve_chart({f"run {index}": (seen, np.sin(seen)) for index in range(3)}, caption="")
    law = charts.law_chart([str(index) for index in range(100_000)], {"natural": np.full(100_000, 1e-5)}, caption="")
    assert max(len(drawn.svg) for drawn in (chart, law)) < 60_000


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "from tagwise.pages import charts\n"
        "import sys\n"
        "chart = charts.bar_chart({'kept': 4, 'merged': 2}, caption='')\n"
        "sys.stdout.write(chart.svg + chart.svg_narrow)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(charts.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    chart = charts.bar_chart({"kept": 4, "merged": 2}, caption="")
    assert done.stdout == chart.svg + chart.svg_narrow
