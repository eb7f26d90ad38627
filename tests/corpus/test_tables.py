"""Tables of pictures: what is guessed is right or refused, and no tag is lost on the way."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.tables import Columns, TableSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = tuple[str, ...]


def table(folder: Path, rows: Iterable[Row], name: str = "t.csv", delimiter: str = ",") -> Path:
    with (folder / name).open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    return folder / name


def opened(path: Path, **columns: Any) -> TableSource:
    source = open_source(path, Columns(**columns))
    assert isinstance(source, TableSource)
    return source


def tags(path: Path, **columns: Any) -> list[tuple[str, ...]]:
    return [post.tags for post in opened(path, **columns).posts()]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"not opened by a reader")
    return tmp_path


@pytest.mark.parametrize(
    ("cells", "separator", "read"),
    [
        (("x;y", "z, w;q"), ";", [("x", "y"), ("z, w", "q")]),
        (("x|y", "brown bear"), "|", [("x", "y"), ("brown bear",)]),
        (("x, y", "brown bear"), ",", [("x", "y"), ("brown bear",)]),
        (("#x #y", "#z"), " ", [("#x", "#y"), ("#z",)]),
        (("#x#y", "#z"), "none", [("#x", "#y"), ("#z",)]),
        (("x", "y"), "none", [("x",), ("y",)]),
        (('["x;y", "z"]', "[]"), "json", [("x;y", "z"), ()]),
    ],
)
def test_p6_the_separator_is_guessed(here: Path, cells: Row, separator: str, read: list[Row]) -> None:
    path = table(here, [("file", "tags"), *zip(("a.png", "b.png"), cells, strict=True)])
    assert opened(path).columns.separator == separator
    assert tags(path) == read


@pytest.mark.parametrize(
    "cells", [("brown bear", "river"), ("a;b", "c,d"), ("['x']", "['y', 'z']"), ("x,y", *["white shark"] * 20)]
)
def test_p6_a_separator_that_could_be_two_things_is_refused(here: Path, cells: Row) -> None:
    path = table(here, [("file", "tags"), *(("a.png", cell) for cell in cells)])
    with pytest.raises(UsageError, match="'tags'"):
        opened(path)
    assert tags(path, separator="none")[0] in {(cells[0],), ("x",)}


def test_p6_columns_are_guessed_by_what_they_hold(here: Path) -> None:
    rows = [("id", "where", "note", "things"), ("1", "a.png", "w", "x;y"), ("2", "gone.png", "", "y;z")]
    source = opened(table(here, rows))
    assert (source.columns.picture, source.columns.tags) == ("where", "things")
    assert [post.picture for post in source.posts()] == [here / "a.png", here / "gone.png"]


def test_p6_two_columns_of_pictures_are_refused_by_name(here: Path) -> None:
    path = table(here, [("image", "thumb", "tags"), ("a.png", "b.png", "x;y")])
    with pytest.raises(UsageError, match=r"'image', 'thumb'.*--picture-column") as refusal:
        opened(path)
    assert refusal.value.exit_code == 2
    assert [post.key for post in opened(path, picture="thumb").posts()] == ["b.png"]


def test_p6_two_columns_of_tags_are_refused_by_name(here: Path) -> None:
    path = table(here, [("image", "tags", "labels"), ("a.png", "x;y", "z;w")])
    with pytest.raises(UsageError, match=r"'tags', 'labels'.*--tags-column"):
        opened(path)
    assert tags(path, tags="labels") == [("z", "w")]


def test_p1_a_column_that_is_not_there_names_its_neighbour(here: Path) -> None:
    path = table(here, [("image", "tags"), ("a.png", "x;y")])
    with pytest.raises(UsageError, match=r"no column 'imgae' in t\.csv; the nearest is image"):
        opened(path, picture="imgae")
    with pytest.raises(UsageError, match="nearest are tags, image"):
        opened(path, tags="tag")


def test_p6_the_guess_is_told_with_three_samples_safe_for_a_terminal(here: Path) -> None:
    rows = [("image", "tags"), *(("a.png", f"x{number}\x1b[2J;y") for number in range(9))]
    lines = opened(table(here, rows)).described()
    assert "'image'" in lines[0]
    assert "';'" in lines[0]
    assert len(lines) == 4
    assert "\x1b" not in "".join(lines)


def test_owners_and_licences_are_read_where_their_columns_are(here: Path) -> None:
    rows = [("image", "tags", "user", "License"), ("a.png", "x;y", "ann", "CC0"), ("b.png", "x;z", "", "")]
    read = [(post.owner, post.licence) for post in opened(table(here, rows)).posts()]
    assert read == [("ann", "CC0"), (None, None)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_usual_delimiter_of_cells_is_read(here: Path, delimiter: str) -> None:
    path = table(here, [("image", "tags"), ("a.png", "x;y"), ("b.png", "y;z")], delimiter=delimiter)
    assert tags(path) == [("x", "y"), ("y", "z")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(here: Path) -> None:
    (here / "t.csv").write_text("\ufeffimage,tags\r\na.png,x;y\r\n\r\n", "utf-8")
    assert [post.key for post in opened(here / "t.csv").posts()] == ["a.png"]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", UsageError, "one column"),
        (b"image,tags\n", DataRefused, "no row"),
        (b"image\na.png\n", UsageError, "one column"),
        (b"a.png,x;y\nb.png,z\n", UsageError, "no header"),
        (b"image,tags\na.png,x\xff\n", DataRefused, "UTF-8"),
        (b'image,tags\na.png,x;y\nb.png,"never closed\n', DataRefused, "line 3"),
        (b"image,tags\na.png,x;y\nb.png,x,y\n", DataRefused, "row 3: 3 cells"),
        (b"image,tags\nnone.png,x;y\n", UsageError, "'image', 'tags'"),
        (b"image,tags,tags\na.png,x;y,z\n", UsageError, "two columns named"),
        (b'image,tags\na.png,"[[1]]"\n', DataRefused, "row 2"),
        (b"image,tags\na.png," + b"x;" * 70_000 + b"\n", DataRefused, "line 2"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(
    here: Path, content: bytes, error: type[Exception], said: str
) -> None:
    (here / "t.csv").write_bytes(content)
    with pytest.raises(error, match=said):
        list(opened(here / "t.csv").posts())


def test_a_deep_list_is_refused_and_does_not_exhaust_the_stack(here: Path) -> None:
    path = table(here, [("image", "tags"), ("a.png", "[" * 50_000 + "]" * 50_000)])
    with pytest.raises((DataRefused, UsageError)):
        list(opened(path).posts())
    with pytest.raises(DataRefused, match="row 2"):
        list(opened(path, separator=";").posts())


def test_sources_of_no_known_form_are_refused(here: Path) -> None:
    with pytest.raises(UsageError, match="There is no"):
        open_source(here / "none")
    with pytest.raises(UsageError, match=r"no folder and no \.csv"):
        open_source(here / "a.png")
    with pytest.raises(UsageError, match="has no columns"):
        open_source(here, Columns(tags="tags"))


# What a cell can carry: strip() takes white space at the ends, "#" glues hashtags, "[" opens a list.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=";#["), min_size=1, max_size=12).map(
    str.strip
)
hostile = st.sampled_from(["=1+1", '"', "'", ",", "\t", "../..", "\u202eabc", "a\nb", "a\r\nb", "\x00", "\x1b[31m"])
tag_lists = st.lists((words | hostile.map(str.strip)).filter(bool), min_size=2, max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(tag_lists, min_size=1, max_size=8), names=st.lists(words, min_size=8, max_size=8))
@example(cells=[["a\x1cb", "c"]], names=["x" * 300] * 8)
def test_tags_and_names_of_strangers_survive_a_table(here: Path, cells: list[list[str]], names: list[str]) -> None:
    rows = [(name, ";".join(cell)) for name, cell in zip(names, cells, strict=False)]
    path = table(here, [("image", "tags"), ("a.png", "x;y"), *rows])
    posts = list(opened(path, picture="image", separator=";").posts())[1:]
    assert [post.tags for post in posts] == [tuple(cell) for cell in cells]
    assert [post.picture for post in posts] == [here / name for name, _ in rows]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(tag_lists, min_size=1, max_size=5))
def test_tags_of_strangers_survive_json_lists(here: Path, cells: list[list[str]]) -> None:
    path = table(here, [("image", "tags"), *(("a.png", json.dumps(cell)) for cell in cells)])
    assert tags(path) == [tuple(cell) for cell in cells]
