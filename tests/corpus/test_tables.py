"""Tables of pictures: what is guessed is right or refused, and no tag is lost on the way."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.corpus.readers.records import LONGEST_CELL
from tagwise.corpus.readers.tables import Columns, TableSource, open_table
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = tuple[str, ...]


def table(folder: Path, rows: Iterable[Row], name: str = "t.csv", delimiter: str = ",") -> Path:
    with (folder / name).open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    return folder / name


def opened(path: Path, **columns: Any) -> TableSource:
    return open_table(path, Columns(**columns))


def place(folder: Path, name: str) -> Place:
    return Place(name if "://" in name else str(folder / name))


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
    assert [post.picture for post in source.posts()] == [Place(str(here / "a.png")), Place(str(here / "gone.png"))]


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


def test_two_columns_of_one_name_are_told_before_their_pictures_are_missed(here: Path) -> None:
    path = table(here, [("Foo", "bar", "Foo", ""), ("a.png", "x;y", "", "")])
    with pytest.raises(UsageError, match="has two columns named 'Foo'; rename one of them"):
        opened(path)


def test_sentences_are_said_to_need_a_lexicon(here: Path) -> None:
    path = table(here, [("image", "caption"), ("a.png", "a brown bear"), ("b.png", "the river at night")])
    with pytest.raises(UsageError, match=r"--separator .*; .* give --caption-column 'caption' and --lexicon"):
        opened(path)


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
        (b"", DataRefused, "no row"),
        (b"image,tags\n", DataRefused, "no row"),
        (b"image\na.png\n", UsageError, "one column"),
        (b"a.png,x;y\nb.png,z\n", UsageError, "no header"),
        (b"image,tags\na.png,x\xff\n", DataRefused, "UTF-8"),
        (b'image,tags\na.png,x;y\nb.png,"never closed\n', DataRefused, "line 3"),
        (b"image,tags\na.png,x;y\nb.png,x,y\n", DataRefused, "line 3: 3 cells"),
        (b"image,tags\nnone.png,x;y\n", UsageError, "'image', 'tags'"),
        (b"image,tags,tags\na.png,x;y,z\n", UsageError, "two columns named"),
        (b'image,tags\na.png,"[[1]]"\n', DataRefused, "row 1"),
        (b"image,tags\na.png," + b"x;" * LONGEST_CELL + b"\n", DataRefused, "line 2: field larger"),
        ("image,tags\na.png,b\u00e4r\n".encode("utf-16"), DataRefused, "UTF-8"),
        ("image,tags\na.png,b\u00e4r\n".encode("latin-1"), DataRefused, "UTF-8"),
        (b"a.png\n", UsageError, "no row|one column|no header"),
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
    with pytest.raises(DataRefused, match="row 1"):
        list(opened(path, separator=";").posts())


def test_a_long_cell_is_read(here: Path) -> None:
    many = [f"tag{number}" for number in range(100_000)]
    path = table(here, [("image", "tags"), ("a.png", ";".join(many)), ("b.png", "x" * 10_000)])
    assert tags(path, separator=";") == [tuple(many), ("x" * 10_000,)]


def test_a_table_without_a_header_is_read_by_the_names_given(here: Path) -> None:
    (here / "t.tsv").write_text("a.png\tx, y, z\nb.png\tq\n", "utf-8")
    with pytest.raises(UsageError, match=r"no header line.*--column-names"):
        opened(here / "t.tsv")
    posts = list(opened(here / "t.tsv", names=("image", "tags"), separator=",").posts())
    assert [(post.key, post.tags) for post in posts] == [("a.png", ("x", "y", "z")), ("b.png", ("q",))]


def test_names_and_queries_belong_to_their_forms(here: Path) -> None:
    (here / "t.jsonl").write_text('{"image": "a.png", "tags": "x"}\n', "utf-8")
    with pytest.raises(UsageError, match="--column-names"):
        opened(here / "t.jsonl", names=("image", "tags"))
    with pytest.raises(UsageError, match="--query"):
        opened(here / "t.jsonl", query="SELECT 1")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"separator": ""}, "--separator is empty"),
        ({"caption": "tags"}, "belong together"),
        ({"caption": "tags", "tags": "tags", "lexicon": "words.txt"}, "exclude each other"),
        ({"picture": "image", "pictures": False}, "leave one away"),
    ],
)
def test_contradictions_are_refused(here: Path, columns: dict[str, Any], said: str) -> None:
    path = table(here, [("image", "tags"), ("a.png", "x;y")])
    with pytest.raises(UsageError, match=said):
        opened(path, **columns)


@pytest.mark.parametrize("name", ["opt_out", "optout", "Opt-Out"])
def test_wishes_to_be_left_alone_are_marked(here: Path, name: str) -> None:
    cells = ["true", "Yes", "1", "t", "please", "", "false", "No", "0", "f", " FALSE "]
    path = table(here, [("image", "tags", name), *(("a.png", "x;y", cell) for cell in cells)])
    assert [post.opted_out for post in opened(path).posts()] == [True] * 5 + [False] * 6


def test_an_opt_out_that_stands_in_one_late_row_is_honoured(here: Path) -> None:
    rows: list[dict[str, Any]] = [{"image": "a.png", "tags": ["x"]} for _ in range(2000)]
    rows[1500]["opt_out"] = True
    (here / "t.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    assert [number for number, post in enumerate(opened(here / "t.jsonl").posts()) if post.opted_out] == [1500]


def test_tags_come_from_the_words_of_captions(here: Path) -> None:
    (here / "words.txt").write_text("brown bear\nBear\nriver\n", "utf-8")
    path = table(here, [("image", "text"), ("a.png", "A brown bear, then bears!"), ("b.png", "nothing")])
    source = opened(path, caption="text", lexicon=here / "words.txt")
    assert [post.tags for post in source.posts()] == [("brown bear", "Bear"), ()]
    assert "words of 'text'" in source.described()[0]


def test_a_table_of_tags_alone_needs_no_pictures(here: Path) -> None:
    path = table(here, [("user", "where", "tags"), ("ann", "./p//1.jpg", "x;y"), ("bob", "2.jpg", "z;w")])
    posts = list(opened(path, pictures=False).posts())
    assert [(post.key, post.picture, post.owner) for post in posts] == [
        ("p/1.jpg", None, "ann"),
        ("2.jpg", None, "bob"),
    ]
    (here / "one.csv").write_text("tags\nx;y\n", "utf-8")
    assert [post.key for post in opened(here / "one.csv", pictures=False).posts()] == ["row 1"]


def test_tags_alone_are_named_by_a_column_of_other_texts_in_every_row_else_by_their_row(here: Path) -> None:
    """A category or a count that comes again is no key: all but its first post would be duplicates."""
    rows = [("kind", "count", "note", "tags"), ("x", "9", "n", "a;b"), ("x", "7", "", "c;d")]
    assert [post.key for post in opened(table(here, rows), tags="tags", pictures=False).posts()] == ["row 1", "row 2"]
    named = [("kind", "slug", "tags"), ("x", "n", "a;b"), ("x", "m", "c;d")]
    assert [post.key for post in opened(table(here, named), tags="tags", pictures=False).posts()] == ["n", "m"]


def test_addresses_are_not_joined_to_the_folder(here: Path) -> None:
    rows = [("page", "image", "tags"), ("https://site/post/1", "s3://bucket//a.png", "x;y")]
    (post,) = opened(table(here, rows)).posts()
    assert (post.key, post.picture) == ("s3://bucket//a.png", Place("s3://bucket//a.png"))


def test_pictures_that_are_there_go_before_addresses(here: Path) -> None:
    path = table(here, [("url", "image", "tags"), ("https://site/a.jpg", "a.png", "x;y")])
    assert opened(path).columns.picture == "image"


def test_an_empty_column_of_tags_gives_posts_without_tags(here: Path) -> None:
    assert tags(table(here, [("image", "tags"), ("a.png", ""), ("b.png", "")])) == [(), ()]


def test_short_rows_have_empty_cells_and_say_so_where_the_tags_are_cut_off(here: Path) -> None:
    (here / "t.csv").write_text("image,tags,user\na.png,x;y,ann\nb.png,z\nc.png\n", "utf-8")
    assert [(post.owner, post.tags, post.damage) for post in opened(here / "t.csv").posts()] == [
        ("ann", ("x", "y"), ""),
        (None, ("z",), ""),
        (None, (), "its tags are damaged: its row ends before column 'tags'"),
    ]
    (here / "t.jsonl").write_text('{"image": "a.png", "tags": "x;y"}\n{"image": "b.png"}\n', "utf-8")
    assert [post.damage for post in opened(here / "t.jsonl").posts()] == ["", ""], "it never had a cell for them"


def test_a_column_without_a_name_is_called_by_its_place(here: Path) -> None:
    """As pandas writes an index: of pictures, or of numbers."""
    (here / "t.csv").write_text(",tags\na.png,x;y\nb.png,z\n", "utf-8")
    source = opened(here / "t.csv")
    assert [(post.key, post.picture) for post in source.posts()] == [
        (name, place(here, name)) for name in ("a.png", "b.png")
    ]
    assert "pictures in column 'column 1'" in source.described()[0]
    (here / "t.csv").write_text("image,\na.png,x;y\n", "utf-8")
    assert tags(here / "t.csv", tags="column 2") == [("x", "y")]


def test_a_name_that_is_empty_is_a_name(here: Path) -> None:
    (here / "t.jsonl").write_text('{"": "a.png", "tags": "x;y"}\n{"": "b.png", "tags": "z"}\n', "utf-8")
    assert [post.key for post in opened(here / "t.jsonl").posts()] == ["a.png", "b.png"]
    (here / "t.jsonl").write_text('{"image": "a.png", "": "x;y"}\n', "utf-8")
    assert tags(here / "t.jsonl", separator=";") == [("x", "y")]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_excels_line_of_the_separator_is_obeyed(here: Path, sign: str) -> None:
    (here / "t.csv").write_text(f"sep={sign}\r\nimage{sign}tags\r\na.png{sign}x|y\r\n", newline="")
    assert [(post.key, post.tags) for post in opened(here / "t.csv").posts()] == [("a.png", ("x", "y"))]


def test_line_ends_of_old_macs_are_read(here: Path) -> None:
    (here / "t.csv").write_bytes(b"image,tags\ra.png,x;y;z;w\rb.png,x;q\r")
    assert tags(here / "t.csv") == [("x", "y", "z", "w"), ("x", "q")]


def test_equal_keys_are_left_to_the_gathering(here: Path) -> None:
    path = table(here, [("image", "tags"), ("a.png", "x;y"), ("./a.png", "z;w")])
    assert [post.key for post in opened(path).posts()] == ["a.png", "a.png"]


@pytest.mark.parametrize(
    "name", ["with space.png", "a:b.png", 'quo"te.png', "new\nline.png", "\u202etxt.png", "=1+1.png"]
)
def test_odd_names_of_pictures_are_found(here: Path, name: str) -> None:
    (here / name).write_bytes(b"")
    source = opened(table(here, [("image", "tags"), (name, "x;y")]))
    assert [(post.key, post.picture) for post in source.posts()] == [(name, Place(str(here / name)))]
    assert source.form()["picture"] == "image"


def test_the_columns_of_real_products_are_guessed(tmp_path: Path, real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "fashion_tags" / "images.zip") as archive:
        archive.extractall(tmp_path, archive.namelist()[:20])
    shutil.copy(real_data / "fashion_tags" / "products.csv", tmp_path)
    source = opened(tmp_path / "products.csv")
    chosen = source.columns
    assert (chosen.picture, chosen.tags, chosen.separator) == ("image", "tags", ";")
    counts = Counter(tag for post in source.posts() for tag in post.tags)
    assert (len(counts), counts["Casual"]) == (3200, 3872)


def test_real_hashtags_are_counted_as_their_description_says(real_data: Path) -> None:
    source = opened(
        real_data / "hashtags" / "harrison.tsv.gz", names=("picture", "tags"), pictures=False, separator=" "
    )
    rows = [post.tags for post in source.posts()]
    assert len(rows) == 57_383
    assert sum(map(len, rows)) / len(rows) == pytest.approx(4.54, abs=0.005)
    assert len({tag for row in rows for tag in row}) == 997


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
    assert [post.picture for post in posts] == [place(here, name) for name, _ in rows]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(tag_lists, min_size=1, max_size=5))
def test_tags_of_strangers_survive_json_lists(here: Path, cells: list[list[str]]) -> None:
    path = table(here, [("image", "tags"), *(("a.png", json.dumps(cell)) for cell in cells)])
    assert tags(path) == [tuple(cell) for cell in cells]
