"""The page is safe, self-contained, small, well-formed and the same every time."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tagwise.pages import pictures
from tagwise.pages.page import PICTURE_BYTES, Cell, Chart, Gallery, Picture, Report, Section, Table, render, write

VOID = {"meta", "link", "img", "br"}
ADDRESSES = {"href", "src", "srcset", "action", "data", "poster", "xlink:href", "formaction"}
STYLE_SHEET = Path(__file__).parents[2] / "src" / "tagwise" / "pages" / "templates" / "report.css"


class Reader(HTMLParser):
    """Collects what a browser would act on, and fails on a tag that is closed out of turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture(scope="module")
def hostile_page(hostile_report: Report) -> str:
    return render(hostile_report)


@pytest.fixture(scope="module")
def reader(hostile_page: str) -> Reader:
    return Reader(hostile_page)


def test_every_tag_is_closed_in_turn(reader: Reader) -> None:
    assert not reader.open
    assert reader.tags["html"] == reader.tags["main"] == reader.tags["h1"] == 1


def test_hostile_text_stays_text(reader: Reader, hostile_page: str) -> None:
    assert not {"script", "iframe", "object", "embed", "form", "base", "foreignobject", "animate"} & set(reader.tags)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert "<script" not in hostile_page.lower()
    assert not re.search(r"[\x00-\x08\u202e\ud800-\udfff]", hostile_page)
    assert "alert(1)" in "".join(reader.text), "the text itself is shown, not swallowed"


def test_the_only_addresses_are_places_in_the_page_and_pictures_inside_it(reader: Reader, hostile_page: str) -> None:
    addresses = [value for _, name, value in reader.attributes if name in ADDRESSES]
    assert addresses
    assert all(re.match(r"#section-\d+$|data:(,|image/(png|jpeg|webp);base64,)", address) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", hostile_page)
    assert any("default-src 'none'" in policy for policy in reader.values("content"))


def test_ids_are_unique_with_the_same_chart_three_times(reader: Reader) -> None:
    ids = reader.values("id")
    assert len(set(ids)) == len(ids)
    assert {value.removeprefix("#") for value in reader.values("href") if value.startswith("#")} <= set(ids)


def test_headings_go_down_one_level_at_a_time(hostile_page: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", hostile_page)]
    assert levels == [1, 2, 2, 2, 2]


def test_every_picture_and_chart_has_words_for_those_who_do_not_see_it(hostile_page: str) -> None:
    images = re.findall(r"<img [^>]*>", hostile_page)
    drawings = [tag for tag in re.findall(r"<svg [^>]*>", hostile_page) if "swatch" not in tag]
    assert images
    assert drawings
    assert all(re.search(r'alt="[^"]', tag) for tag in images)
    assert all('role="img"' in tag and re.search(r'aria-label="[^"]', tag) for tag in drawings)


def test_p29_every_chart_has_the_table_behind_it(plain_report: Report) -> None:
    page = Reader(render(plain_report))
    charts = sum(isinstance(block, Chart) for section in plain_report.sections for block in section.blocks)
    assert page.tags["details"] == charts == 18


def test_p29_a_page_without_pictures_is_below_two_megabytes(plain_report: Report) -> None:
    table = Table(columns=("tag", "count"), rows=[(f"tag {row}" * 20, row) for row in range(40_000)])
    section = Section(heading="All", blocks=[table] * 4)
    page = render(dataclasses.replace(plain_report, sections=[*plain_report.sections, section]))
    assert len(page.encode()) < 2_000_000
    assert "39,500 more rows are not shown." in page


def test_p29_a_page_with_too_many_pictures_is_below_five_megabytes_and_says_what_is_missing(
    plain_report: Report,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    picture = Picture(uri=pictures.thumbnail(noise), alt="noise")
    gallery = Gallery(pictures=[picture] * (2 * PICTURE_BYTES // len(picture.uri)))
    sections = [*plain_report.sections, Section(heading="Pictures", blocks=[gallery])]
    page = render(dataclasses.replace(plain_report, sections=sections))
    shown = Reader(page).tags["img"] - 3
    assert len(page.encode()) < 5_000_000
    assert shown > 10
    assert f"{len(gallery.pictures) - shown:,} more pictures are left out" in page


def test_the_same_report_gives_the_same_bytes(plain_report: Report, tmp_path: Path) -> None:
    write(plain_report, tmp_path / "one.html")
    write(plain_report, tmp_path / "new" / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "new" / "two.html").read_bytes()


def test_an_empty_report_is_a_page_too() -> None:
    page = Reader(render(Report(title="Nothing", subtitle="", summary=[], sections=[], provenance={})))
    assert not page.open
    assert page.tags["section"] == 0


def test_reports_load_matplotlib_and_jinja_only_when_they_draw() -> None:
    heavy = "{'matplotlib', 'jinja2', 'PIL', 'torch'}"
    code = f"import sys; from tagwise.pages import charts, page, pictures, tables; print({heavy} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(pictures.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "set()"


def _palettes() -> list[dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE_SHEET.read_text("utf-8"), re.DOTALL)[:2]
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in (light, dark)]


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio, 1 to 21."""

    def luminance(color: str) -> float:
        channels = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    bright, dim = sorted([luminance(one), luminance(other)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("palette", _palettes(), ids=["light", "dark"])
def test_text_has_contrast_4_5_and_marks_3(palette: dict[str, str]) -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    for ground in ("page", "paper"):
        for text in ("ink", "muted", "good", "bad"):
            assert _contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
        for mark in ("blue", "vermilion", "green", "purple", "sky"):
            assert _contrast(palette[mark], palette[ground]) >= 3, (mark, ground)
    for kind in ("good", "bad"):
        assert _contrast(palette[kind], palette[f"{kind}-wash"]) >= 4.5
        assert _contrast(palette["ink"], palette[f"{kind}-wash"]) >= 7


def _opened(page: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The page as a browser has it, which may speak on its standard error."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here to open the page with")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--dump-dom",
    ]  # fmt: skip
    command = [chromium, *flags, *more, f"--user-data-dir={page.with_name('profile')}", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


MEASURE = """<script>
const box = document.querySelector(".scroll"), cells = [...box.querySelectorAll("th, td")];
const lines = cells.flatMap(cell => [...cell.textContent.matchAll(/[^ -]+/g)].map(word => {
  const range = document.createRange();
  range.setStart(cell.firstChild, word.index);
  range.setEnd(cell.firstChild, word.index + word[0].length);
  return range.getClientRects().length;
}));
const page = document.documentElement;
document.title = [Math.max(...lines), innerWidth, page.scrollWidth, box.scrollWidth, box.clientWidth];
</script>"""


def test_on_a_telephone_words_of_a_table_stay_whole_and_the_table_scrolls_not_the_page(tmp_path: Path) -> None:
    numbers = [f"points over scratch {place}" for place in range(5)]
    row: list[Cell] = [5, "from scratch", *["44.2 (40.4 to 48.2)"] * 5]
    table = Table(columns=["labelled", "start", *numbers], rows=[row], numeric=numbers)
    page = render(
        Report(title="", subtitle="", summary=[], sections=[Section(heading="", blocks=[table])], provenance={})
    )
    free = re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", f"{MEASURE}</body>")
    (tmp_path / "page.html").write_text(free, "utf-8")
    measured = re.search(r"<title>([\d,]+)", _opened(tmp_path / "page.html", "--window-size=500,900").stdout)
    assert measured is not None
    lines, window, page_width, table_width, box_width = map(int, measured[1].split(","))
    assert lines == 1, "a word is broken"
    assert page_width <= window <= 500
    assert table_width > box_width + 50


def test_a_browser_shows_the_page_without_a_word_on_its_console(hostile_report: Report, tmp_path: Path) -> None:
    write(hostile_report, tmp_path / "report.html")
    done = _opened(tmp_path / "report.html")
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<svg") > 30
    assert "<script" not in done.stdout
    assert done.stdout.rstrip().endswith("</html>")


def test_a_table_that_is_a_little_too_wide_shows_its_shade_and_whole_words() -> None:
    """The cover that hides the shade at a table's end is hardly wider than the shade."""
    sheet = STYLE_SHEET.read_text("utf-8")
    widths = [int(width) for width in re.findall(r"transparent\) (?:left|right) / (\d+)px", sheet)]
    assert len(widths) == 4
    assert max(widths) <= min(widths) + 2
    colours = re.findall(r"--(paper|ink|shade): (#[0-9a-f]+)", sheet)
    papers, inks, shades = (
        [value for name, value in colours if name == wanted] for wanted in ("paper", "ink", "shade")
    )
    assert len(shades) == 2, "one by day, one in the dark"
    for paper, ink, shade in zip(papers, inks, shades, strict=True):
        assert shade[1:7] == "000000", "darker than the card, which in the dark is no grey bar over the numbers"
        under = (1 - int(shade[7:], 16) / 255) * _lightness(paper)
        high, low = sorted((under, _lightness(ink)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, "and numbers over it are read as all others (WCAG 2.2, 1.4.3)"
    assert re.search(r"^th \{ max-width: \d+em; overflow-wrap: break-word; \}", sheet, re.MULTILINE)


def _lightness(colour: str) -> float:
    """Relative luminance, 0..1, of #rrggbb."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
