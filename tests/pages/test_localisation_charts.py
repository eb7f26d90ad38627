"""Charts of detectors and segmenters: what is drawn is what was measured, and strangers' names stay text."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from tagwise.pages.localisation_charts import (
    CLASSES_DRAWN,
    RecallCurves,
    confusion_chart,
    gain_chart,
    precision_recall_chart,
)

HOSTILE = "\x1b</svg><script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}"


def curves(name: str, objects: int, precision: float = 1.0) -> RecallCurves:
    at_50 = [precision] * 51 + [0.0] * 50
    return RecallCurves(
        name=name, objects=objects, at_50=at_50 if objects else [], at_75=[0.0] * 101 if objects else []
    )


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]  # noqa: S314


def test_precision_is_told_at_each_recall_and_a_class_without_objects_is_left_out() -> None:
    chart = precision_recall_chart([curves("rare", 1, 0.25), curves("none", 0), curves("many", 9)], caption="c")
    assert [row[:3] for row in chart.table.rows] == [
        ["many", ".50", "1.000"], ["many", ".75", "0.000"], ["rare", ".50", "0.250"], ["rare", ".75", "0.000"],
    ]  # fmt: skip
    at_50 = chart.table.rows[0][2:]
    assert at_50 == ["1.000"] * 5 + ["0.000"] * 4, "recall 0.5 is the last that is reached"
    assert "none" not in "".join(texts(chart.svg))


def test_of_many_classes_those_with_the_most_objects_are_drawn() -> None:
    chart = precision_recall_chart([curves(f"class {number:02}", number + 1) for number in range(80)], caption="c")
    drawn = [text for text in texts(chart.svg) if text.startswith("class ")]
    assert sorted(drawn) == [f"class {number}" for number in range(80 - CLASSES_DRAWN, 80)]
    assert len(chart.table.rows) == 160


def test_the_dearest_error_comes_first() -> None:
    gains = {"the class is wrong": 0.01, "an object is missed": 0.2, "an object is found twice": 0.0}
    chart = gain_chart(gains, dict.fromkeys(gains, 3), caption="c")
    assert [row[0] for row in chart.table.rows] == sorted(gains, key=lambda kind: -gains[kind])
    assert "+0.200 (3)" in texts(chart.svg)


def test_errors_that_cost_nothing_are_a_chart_too() -> None:
    assert texts(gain_chart({"a": 0.0, "b": -0.01}, {"a": 0, "b": 2}, caption="c").svg_narrow)


def test_a_row_of_confusions_is_of_a_hundred_pixels() -> None:
    chart = confusion_chart(["sky", "road", "absent"], np.array([[90, 10, 0], [50, 50, 0], [0, 0, 0]]), caption="c")
    assert [text for text in texts(chart.svg) if text.isdigit()] == ["90", "10", "50", "50"]
    assert [list(row) for row in chart.table.rows] == [
        ["road", "sky", 50, "50.0%", "50.0%"], ["sky", "road", 10, "10.0%", "90.0%"],
    ]  # fmt: skip


def test_names_of_strangers_stay_text() -> None:
    charts = (
        precision_recall_chart([curves(HOSTILE, 2)], caption="c"),
        gain_chart({HOSTILE: 0.1}, {HOSTILE: 1}, caption="c"),
        confusion_chart([HOSTILE, "b"], np.eye(2), caption="c"),
    )
    for svg in (svg for chart in charts for svg in (chart.svg, chart.svg_narrow)):
        ElementTree.fromstring(svg)  # noqa: S314
        assert "<script" not in svg
        assert "\x1b" not in svg
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in svg
