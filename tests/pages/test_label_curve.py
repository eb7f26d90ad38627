"""The curve over labelled pictures stands where its numbers are, on a logarithmic axis."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.pages.label_curve import LabelLine, LabelPoint, label_curve_chart


def point(labelled: int, accuracy_fraction: float, half: float = 0.05) -> LabelPoint:
    low, high = accuracy_fraction - half, accuracy_fraction + half
    return LabelPoint(labelled=labelled, accuracy_fraction=accuracy_fraction, low_fraction=low, high_fraction=high)


def line(model: str, *points: LabelPoint, method: str = "") -> LabelLine:
    return LabelLine(model=model, method=method, points=points)


def words(svg: str) -> dict[str, float]:
    """Each text with its horizontal place."""
    texts = ElementTree.fromstring(svg).iter("text")  # noqa: S314 - ours
    return {text.text or "": float(text.attrib["x"]) for text in texts}


def dots(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)]


def test_one_line_stands_at_the_logarithm_of_the_labels_and_at_its_accuracies() -> None:
    values = {5: 0.2, 10: 0.4, 20: 0.5, 110: 0.9}
    chart = label_curve_chart([line("tags", *(point(*pair) for pair in values.items()))], caption="")
    for svg in (chart.svg, chart.svg_narrow):
        x, y = np.array(dots(svg)).T
        places = np.log(list(values))
        np.testing.assert_allclose((x - x[0]) / (x[-1] - x[0]), (places - places[0]) / np.ptp(places), atol=2e-3)
        accuracies = np.array(list(values.values()))
        np.testing.assert_allclose((y[0] - y) / (y[0] - y[-1]), (accuracies - 0.2) / 0.7, atol=2e-3)
        assert list(values) == [int(word) for word in words(svg) if word.isdigit()]


def test_ticks_stand_only_at_numbers_that_occur_and_never_on_each_other() -> None:
    chart = label_curve_chart([line("tags", *(point(count, 0.5) for count in (5, 6, 50, 52, 5000)))], caption="")
    shown = {word: x for word, x in words(chart.svg).items() if word.replace(",", "").isdigit()}
    assert set(shown) <= {"5", "6", "50", "52", "5,000"}
    assert "5,000" in shown
    assert min(np.diff(sorted(shown.values()))) >= 20


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8, unique=True), st.integers(1, 7))
def test_bars_of_a_number_stand_nearer_to_it_than_to_its_neighbour(numbers: list[int], lines: int) -> None:
    from tagwise.pages.label_curve import _step

    rising = sorted(numbers)
    step = _step(rising, lines, widest=1e9)
    assert step * (lines - 1) / 2 < min(np.diff(np.log(rising))) / 2 + 1e-12


def test_scratch_is_the_reference_a_model_keeps_its_colour_and_a_method_its_dash() -> None:
    scratch = line("from scratch", point(5, 0.2))
    lines = [line(model, point(5, 0.3), method=method) for model in "ab" for method in ("kNN", "linear probe")]
    keys = label_curve_chart(lines, scratch, caption="").keys
    assert [key.text for key in keys[:3]] == ["from scratch", "a by kNN", "a by linear probe"]
    assert [key.color for key in keys] == ["muted", "blue", "blue", "vermilion", "vermilion"]
    assert keys[1].dash == keys[3].dash != keys[2].dash == keys[4].dash


def test_scratch_has_a_dash_of_its_own_beside_every_protocol() -> None:
    """Grey and blue dots are one to a colour-blind reader."""
    lines = [line("a", point(5, 0.3), method=method) for method in ("kNN", "linear probe", "fine-tuning", "more")]
    scratch, *others = label_curve_chart(lines, line("from scratch", point(5, 0.2)), caption="").keys
    assert scratch.dash.count(" ") == 5, "a dash and two dots"
    assert scratch.dash not in {key.dash for key in others}


def test_the_methods_of_one_model_have_colours_of_their_own() -> None:
    keys = label_curve_chart([line("a", point(5, 0.3), method=method) for method in "xyz"], caption="").keys
    assert len({key.color for key in keys}) == len({key.dash for key in keys}) == 3


def test_the_table_and_the_description_say_the_same_as_the_drawing() -> None:
    chart = label_curve_chart([line("a", point(5, 0.3), point(20, 0.5)), line("b", point(20, 0.4))], caption="")
    assert chart.table.columns == ("labelled pictures a class", "a", "b")
    assert chart.table.rows == [
        [5, "30.0% (25.0% to 35.0%)", None],
        [20, "50.0% (45.0% to 55.0%)", "40.0% (35.0% to 45.0%)"],
    ]
    assert "a 30.0% with 5, 50.0% with 20; b 40.0% with 20" in chart.svg


@pytest.mark.parametrize(
    "lines", [[], [line("a")], [line("a", point(7, 0.5))]], ids=["no line", "no point", "one point"]
)
def test_little_or_nothing_draws_too(lines: list[LabelLine]) -> None:
    assert label_curve_chart(lines, caption="").svg.endswith("</svg>")
