"""Frequencies are drawn where they are, and their tables say the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from tagwise.pages.frequencies import histogram, rank_chart
from tagwise.pages.page import Chart


def ranked(points: list[tuple[int, int]]) -> Chart:
    return rank_chart(points, caption="", ranked="tag", unit="pictures")


def columns(counts: dict[str, int]) -> Chart:
    return histogram(counts, caption="", measured="tags", unit="pictures")


def test_a_power_law_of_ranks_is_a_straight_line() -> None:
    chart = ranked([(rank, round(1e12 / rank)) for rank in range(1, 500)])
    for svg in (chart.svg, chart.svg_narrow):
        line = next(path for path in re.findall(r'd="([^"]+)" style="fill:none;stroke:var\(--blue', svg))
        x, y = np.array(re.findall(r"([\d.]+) ([\d.]+)", line), dtype=float).T
        slope, offset = np.polyfit(x, y, 1)
        np.testing.assert_allclose(y, slope * x + offset, atol=0.3)


def test_the_table_of_ranks_has_the_round_ones_and_the_last() -> None:
    chart = ranked([(rank, 1000 - rank) for rank in range(1, 124)])
    assert chart.table.rows == [(rank, 1000 - rank) for rank in (1, 2, 5, 10, 20, 50, 100, 123)]


def test_columns_are_as_high_as_their_counts_and_the_table_has_shares() -> None:
    chart = columns({"1": 10, "2": 40, "3–9": 0, "10–99": 50})  # noqa: RUF001 - an en dash stands in spans
    bars = [
        np.array(re.findall(r"[ML] [\d.]+ ([\d.]+)", path), float)
        for path in re.findall(r'd="([^"]+z)" style="fill:var', chart.svg)
    ]
    heights = np.array([bar.max() - bar.min() for bar in bars])
    np.testing.assert_allclose(heights / heights[3], [0.2, 0.8, 0, 1], atol=0.01)
    assert [row[1:] for row in chart.table.rows] == [(10, "10.0%"), (40, "40.0%"), (0, "0.0%"), (50, "50.0%")]


def test_many_columns_have_few_names_under_them() -> None:
    chart = columns({f"bin {index}": index for index in range(25)})
    assert chart.svg.count(">bin ") <= 14
    assert chart.svg_narrow.count(">bin ") <= 6
    assert ">bin 0<" in chart.svg


@pytest.mark.parametrize(
    "chart",
    [lambda: ranked([]), lambda: ranked([(1, 1)]), lambda: columns({}), lambda: columns({"1": 0})],
    ids=["no rank", "one rank", "no column", "an empty column"],
)
def test_little_or_nothing_draws_too(chart: Callable[[], Chart]) -> None:
    assert chart().svg.endswith("</svg>")
