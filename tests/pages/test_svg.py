"""A drawing of matplotlib becomes a piece of the page: its colours, its letters, nothing to collide."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure

from tagwise.pages import svg
from tagwise.pages.page import Chart, Report

STYLE_SHEET = Path(svg.__file__).parent / "templates" / "report.css"


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing


@pytest.fixture(scope="module")
def drawn(hostile_report: Report) -> list[str]:
    found = [block for block in hostile_report.sections[0].blocks if isinstance(block, Chart)]
    return [drawing for chart in found for drawing in (chart.svg, chart.svg_narrow)]


def test_drawings_hold_only_shapes_and_letters_without_ids_or_references(drawn: list[str]) -> None:
    for drawing in drawn:
        elements = list(parsed(drawing).iter())
        assert {element.tag for element in elements} == {"svg", "path", "text"}
        names = {name for element in elements for name in element.attrib}
        assert names <= {"class", "viewBox", "role", "aria-label", "d", "style", "transform", "x", "y"}


def test_every_colour_is_one_of_the_style_sheet_in_light_and_dark(drawn: list[str]) -> None:
    blocks = re.findall(r":root \{(.*?)\}", STYLE_SHEET.read_text("utf-8"), re.DOTALL)
    for drawing in drawn:
        styles = re.findall(r'style="([^"]*)"', drawing)
        assert not re.search(r"(?<!,)#[0-9a-f]{3}", " ".join(styles)), "a colour that is no variable"
    for name in svg.COLORS:
        assert all(f"--{name}:" in block for block in blocks[:2])


def test_strangers_letters_are_drawn_as_they_are_and_cut(drawn: list[str], hostile: str) -> None:
    labels = [element.text or "" for drawing in drawn for element in parsed(drawing).iter("text")]
    assert any(label.startswith(hostile[:20]) for label in labels)
    assert max(map(len, labels)) < 130


def test_drawing_leaves_the_users_matplotlib_settings_alone_and_does_not_read_them() -> None:
    def paint(figure: Figure, narrow: bool) -> None:
        svg.axes_within(figure, 40, 10, 10, 30).plot([0, 1], [0, 1], color=svg.COLORS["blue"])

    before = svg.drawings(paint, (100, 100), "a line")
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 30.0, "svg.fonttype": "path"}):
        assert svg.drawings(paint, (100, 100), "a line") == before
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_a_drawing_has_the_width_of_its_screen() -> None:
    wide, narrow = svg.drawings(lambda figure, narrow: None, (120, 240), 'a "quoted" description')
    assert 'viewBox="0 0 860 120"' in wide
    assert 'viewBox="0 0 340 240"' in narrow
    assert parsed(wide).get("aria-label") == 'a "quoted" description'


def test_a_drawing_stands_for_itself_with_its_legend_in_light_and_dark(hostile_report: Report, hostile: str) -> None:
    blocks = hostile_report.sections[0].blocks
    charts = [block for block in blocks if isinstance(block, Chart) and block.keys and block.keys[0].mark == "line"]
    assert charts
    for chart in charts:
        text = svg.standalone(chart)
        root = parsed(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
            "svg",
            "style",
            "rect",
            "path",
            "text",
            "g",
        }
        drawn = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert [name for name in drawn if name.startswith(hostile[:20])]
        assert "\x00" not in text
        assert "prefers-color-scheme: dark" in text
        assert all(f"--{name}:" in text for name in re.findall(r"var\(--(\w+)", text))
        assert root.get("aria-label")
