"""A matplotlib figure as a piece of the page: SVG without ids, in the page's own colours and letters.

Colours become CSS variables, so that one drawing serves light and dark; markers are drawn in place
and nothing is clipped, so that no id is left which could meet another drawing's.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from tagwise.pages.page import clean
from tagwise.pages.tables import cut, display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tagwise.pages.page import Chart

WIDE, NARROW = 860, 340
"""Pixels of a drawing's width beside a desktop's text, and on a telephone of 390 pixels."""

COLORS = {
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
    "ink": "#1a1c20",
    "muted": "#5f6670",
    "rule": "#dfe2e6",
    "paper": "#ffffff",
}
"""By name in the style sheet. The hues are those of Okabe and Ito (2008), told apart by colour-blind readers;
the style sheet darkens or lightens them for contrast with the page."""

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tagwise",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 12.0,
    "text.color": COLORS["ink"],
    "axes.facecolor": "none",
    "axes.edgecolor": COLORS["rule"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": COLORS["rule"],
    "grid.linewidth": 1.0,
    "xtick.color": COLORS["rule"],
    "ytick.color": COLORS["rule"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.labelcolor": COLORS["muted"],
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 2.2,
    "lines.scale_dashes": False,
    "lines.solid_capstyle": "round",
}
_MARGIN, _SWATCH = 16, 60
_KEPT_OF_TEXT = ("fill", "font-size", "font-weight", "text-anchor")
_VARIABLES = {code: f"var(--{name},{code})" for name, code in COLORS.items()}


def drawings(paint: Callable[[Figure, bool], None], heights: tuple[int, int], description: str) -> tuple[str, str]:
    """The wide and the narrow SVG of one chart.

    Args:
        paint: Draws on an empty figure; the flag says whether it is the narrow one.
        heights: Pixels of the wide and of the narrow drawing.
        description: What a reader who cannot see it is told.
    """
    told = cut(clean(description), 1000)
    wide = _drawing(lambda figure: paint(figure, False), WIDE, heights[0], "wide", told)
    return wide, _drawing(lambda figure: paint(figure, True), NARROW, heights[1], "narrow", told)


def standalone(chart: Chart) -> str:
    """The wide drawing, under its legend of lines, as a file that stands for itself on a light or a dark page."""
    drawing = ElementTree.fromstring(chart.svg)  # noqa: S314 - drawings made it
    legend, top = _legend(chart)
    height = top + int(drawing.attrib["viewBox"].split()[3]) + _MARGIN
    facts = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDE + 2 * _MARGIN} {height}", "role": "img"}
    root = ElementTree.Element("svg", {**facts, "aria-label": drawing.attrib["aria-label"]})
    style = "rect{fill:var(--paper)}text{fill:var(--ink);font:13px system-ui,sans-serif}"
    ElementTree.SubElement(root, "style").text = _palette() + style
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "rx": "12"})
    root.extend(legend)
    ElementTree.SubElement(root, "g", {"transform": f"translate({_MARGIN} {top})"}).extend(drawing)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _legend(chart: Chart) -> tuple[list[ElementTree.Element], int]:
    """Lines with their names, side by side as they fit, and how far down they reach."""
    drawn: list[ElementTree.Element] = []
    x, y = _MARGIN, 2 * _MARGIN
    for key in chart.keys:
        width = _SWATCH + 7 * display_width(key.text)
        if x > _MARGIN and x + width > WIDE:
            x, y = _MARGIN, y + 24
        dash = f";stroke-dasharray:{key.dash}" if key.dash else ""
        stroke = f"fill:none;stroke:{_VARIABLES[COLORS[key.color]]};stroke-width:2.4{dash}"
        drawn.append(ElementTree.Element("path", {"d": f"M{x} {y - 4}h28", "style": stroke}))
        name = ElementTree.Element("text", {"x": str(x + 36), "y": str(y)})
        name.text = clean(key.text)
        drawn.append(name)
        x += width
    return drawn, y + _MARGIN


def _palette() -> str:
    """The colours that the style sheet begins with, light and dark."""
    sheet = files("tagwise.pages").joinpath("templates/report.css").read_text("utf-8")
    return " ".join(sheet.partition("* {")[0].split())


def axes_within(figure: Figure, left: float, right: float, top: float, bottom: float) -> Axes:
    """Axes with margins in pixels."""
    width, height = figure.get_size_inches() * figure.dpi
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )


def _drawing(paint: Callable[[Figure], None], width: int, height: int, name: str, description: str) -> str:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    stream = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has letters that matplotlib lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)  # so that a point is a pixel
        figure.patch.set_visible(False)
        paint(figure)
        for text in figure.findobj(Text):
            text.set_text(clean(" ".join(text.get_text().split())))
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return _inline(stream.getvalue().decode("utf-8"), name, description)


def _inline(document: str, name: str, description: str) -> str:
    root = ElementTree.fromstring(document)  # noqa: S314 - matplotlib wrote it
    _without_namespaces(root)
    view = root.get("viewBox", "")
    drawn = ElementTree.Element("svg", {"class": name, "viewBox": view, "role": "img", "aria-label": description})
    drawn.extend(_shapes(root, {element.get("id", ""): element for element in root.iter("path")}))
    return ElementTree.tostring(drawn, encoding="unicode")


def _without_namespaces(root: ElementTree.Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}


def _shapes(element: ElementTree.Element, markers: dict[str, ElementTree.Element]) -> Iterator[ElementTree.Element]:
    for child in element:
        if child.tag == "path":
            yield _path(child.attrib["d"], child.get("style", ""))
        elif child.tag == "use":
            marker = markers[child.attrib["href"].removeprefix("#")]
            place = f"translate({_short(child.attrib['x'])} {_short(child.attrib['y'])})"
            yield _path(marker.attrib["d"], f"{child.get('style', '')};{marker.get('style', '')}", transform=place)
        elif child.tag == "text":
            yield _text(child)
        elif child.tag == "g":
            yield from _shapes(child, markers)


def _path(outline: str, style: str, **more: str) -> ElementTree.Element:
    return ElementTree.Element("path", {"d": _short(" ".join(outline.split())), "style": _recolored(style), **more})


def _text(text: ElementTree.Element) -> ElementTree.Element:
    style = dict(part.strip().split(": ", 1) for part in text.get("style", "").split(";") if ": " in part)
    kept = ";".join(f"{key}:{style[key]}" for key in _KEPT_OF_TEXT if key in style)
    place = {axis: _short(text.attrib[axis]) for axis in ("x", "y")}
    drawn = ElementTree.Element("text", {**place, "style": _recolored(kept)})
    drawn.text = text.text
    return drawn


def _recolored(style: str) -> str:
    return re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES[match[0]], style.replace("; ", ";").replace(": ", ":"))


def _short(numbers: str) -> str:
    return re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.1f}", numbers)
