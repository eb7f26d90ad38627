"""Forms of tables: the same posts whatever the form, and one sentence where a file cannot serve."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.corpus.readers.records import plain
from tagwise.corpus.readers.tables import TABLE_SUFFIXES, Columns, TableSource, open_dataset, open_table
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Row = dict[str, Any]
Fact = tuple[str, tuple[str, ...], str | None, str | None]

NAMES = ("image", "tags", "user", "licence")
ODD_TAGS = (
    "brown bear",
    "\U0001f43b",
    "=1+1",
    "<b>bold</b>",
    "\u05e9\u05dc\u05d5\u05dd",
    "it's",
    'say "a"',
    "a\tb",
    "x:y",
)


def rows_of(count: int) -> list[Row]:
    return [
        {
            "image": f"images/{number % 7:02x}/{number:04x}.png",
            "tags": [ODD_TAGS[number % len(ODD_TAGS)], f"tag{number % 5}"],
            "user": f"ann {number % 3}" if number % 4 else None,
            "licence": "CC0" if number % 2 else None,
        }
        for number in range(count)
    ]


ROWS = rows_of(50)
FACTS = [(row["image"], tuple(row["tags"]), row["user"], row["licence"]) for row in ROWS]


def facts(source: TableSource) -> list[Fact]:
    return [(post.key, post.tags, post.owner, post.licence) for post in source.posts()]


def content(row: Row) -> bytes:
    return f"picture of {row['image']}".encode()


def write_delimited(path: Path, rows: Iterable[Row], delimiter: str = ",") -> Path:
    with (
        gzip.open(path, "wt", encoding="utf-8", newline="")
        if path.suffix == ".gz"
        else path.open("w", encoding="utf-8", newline="") as handle
    ):
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerow(NAMES)
        writer.writerows([row["image"], ";".join(row["tags"]), row["user"], row["licence"]] for row in rows)
    return path


def write_json_lines(path: Path, rows: Iterable[Row]) -> Path:
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


def with_structs(rows: Iterable[Row]) -> list[Row]:
    return [row | {"image": {"bytes": content(row), "path": row["image"]}} for row in rows]


def write_sqlite(path: Path, rows: Iterable[Row], table: str = 'odd "table"') -> Path:
    quoted = table.replace('"', '""')
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'CREATE TABLE "{quoted}" (image, tags, user, licence)')
        cells = [(row["image"], json.dumps(row["tags"]), row["user"], row["licence"]) for row in rows]
        connection.executemany(f'INSERT INTO "{quoted}" VALUES (?, ?, ?, ?)', cells)  # noqa: S608 - quoted
    return path


def write_dataset(folder: Path, rows: list[Row], features: Row | None = None, shards: int = 2) -> Path:
    """As the datasets library's save_to_disk leaves it, in two shards of short batches."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    names = [f"data-{number:05d}-of-{shards:05d}.arrow" for number in range(shards)]
    size = -(-len(rows) // shards)
    for number, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(number * size, size), max_chunksize=10)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))
    return folder


def write_pictures(folder: Path, rows: Iterable[Row]) -> None:
    for row in rows:
        (folder / row["image"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / row["image"]).write_bytes(content(row))


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csv": lambda here: write_delimited(here / "t.csv", ROWS),
    "tsv": lambda here: write_delimited(here / "t.tsv", ROWS, "\t"),
    "csv.gz": lambda here: write_delimited(here / "t.csv.gz", ROWS),
    "jsonl": lambda here: write_json_lines(here / "t.jsonl", ROWS),
    "ndjson.gz": lambda here: write_json_lines(here / "t.ndjson.gz", ROWS),
    "parquet": lambda here: write_parquet(here / "t.parquet", ROWS),
    "parquet of bytes": lambda here: write_parquet(here / "t.parquet", with_structs(ROWS)),
    "sqlite": lambda here: write_sqlite(here / "t.sqlite", ROWS),
    "dataset": lambda here: write_dataset(here / "d", with_structs(ROWS)),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_posts(tmp_path: Path, form: str) -> None:
    write_pictures(tmp_path, ROWS)
    path = WRITERS[form](tmp_path)
    source = open_dataset(path, Columns()) if path.is_dir() else open_table(path, Columns())
    assert facts(source) == FACTS
    assert facts(source) == FACTS, "a source may be read more than once"
    pictures = [post.picture.read() if isinstance(post.picture, Place) else post.picture for post in source.posts()]
    assert pictures == [content(row) for row in ROWS]
    assert len(source.described()) == 4
    assert all(isinstance(value, str) for value in source.form().values())


@pytest.mark.parametrize("layout", ["images/{0}/{1}.png", "{1}.png"])
def test_posts_of_deepdanbooru_are_read(tmp_path: Path, layout: str) -> None:
    posts = [(number, f"{number * 7919:032x}"[::-1], "png", f"blue_eyes tag:{number} 1girl") for number in (3, 1, 2)]
    with closing(sqlite3.connect(tmp_path / "posts.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE posts (id INTEGER, md5 TEXT, file_ext TEXT, tag_string TEXT)")
        connection.execute("CREATE TABLE sizes (id INTEGER)")
        connection.executemany("INSERT INTO posts VALUES (?, ?, ?, ?)", posts)
    rows = [{"image": layout.format(md5[:2], md5)} for _, md5, _, _ in sorted(posts)]
    write_pictures(tmp_path, rows)
    read = list(open_table(tmp_path / "posts.sqlite", Columns()).posts())
    assert [post.key for post in read] == [row["image"] for row in rows]
    assert [post.tags for post in read] == [("blue_eyes", f"tag:{number}", "1girl") for number in (1, 2, 3)]
    assert read[0].picture == Place(str(tmp_path / rows[0]["image"]))


def test_a_query_gives_the_rows_of_a_database(tmp_path: Path) -> None:
    write_pictures(tmp_path, ROWS)
    path = write_sqlite(tmp_path / "t.db", ROWS, "one")
    write_sqlite(path, ROWS, "two")
    with pytest.raises(UsageError, match=r"2 tables \(one, two\).*--query"):
        open_table(path, Columns())
    query = "SELECT image AS file, tags, NULL AS user FROM two WHERE licence = 'CC0' ORDER BY image DESC"
    read = facts(open_table(path, Columns(query=query)))
    assert read == sorted(((key, tags, None, None) for key, tags, _, licence in FACTS if licence), reverse=True)


@pytest.mark.parametrize(
    "query",
    ["SELEKT", "SELECT nothing FROM one", "DROP TABLE one", "SELECT 1; SELECT 2", "DELETE FROM one", "", "PRAGMA x"],
)
def test_a_query_that_is_no_select_is_refused_and_changes_nothing(tmp_path: Path, query: str) -> None:
    path = write_sqlite(tmp_path / "t.sqlite", ROWS, "one")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="--query"):
        open_table(path, Columns(query=query))
    assert path.read_bytes() == before


@pytest.mark.parametrize("query", ["ATTACH 'other.db' AS other", "VACUUM INTO 'other.db'", "ATTACH '' AS other"])
def test_a_query_makes_no_file(tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_sqlite(tmp_path / "t.sqlite", ROWS, "one")
    with pytest.raises(UsageError, match="--query cannot be asked of t"):
        open_table(path, Columns(query=query))
    assert [file.name for file in tmp_path.iterdir()] == ["t.sqlite"]


def test_a_locked_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagwise.corpus.readers.database._LOCK_SECONDS", 0.01)
    path = write_sqlite(tmp_path / "t.sqlite", ROWS, "one")
    with closing(sqlite3.connect(path)) as writing:
        writing.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataRefused, match=r"locked\); close the program"):
            open_table(path, Columns())


def test_text_of_a_database_that_is_no_utf8_is_refused_as_that_of_a_csv_file(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "t.sqlite", ROWS, "one")
    with closing(sqlite3.connect(path)) as writing, writing:
        writing.execute("UPDATE one SET tags = CAST(x'636166e9' AS TEXT) WHERE rowid = 20")
    with pytest.raises(DataRefused, match=r"t\.sqlite, column 'tags': its text is no UTF-8; save it as UTF-8\.$"):
        facts(open_table(path, Columns(picture="image")))


def test_a_database_with_a_log_is_read_without_a_file_being_laid_beside_it(tmp_path: Path) -> None:
    """Closed, SQLite would make the log's files anew; while a program writes it, what stands in the log is read."""
    path = write_sqlite(tmp_path / "t.sqlite", ROWS, "one")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    tmp_path.chmod(0o500)
    try:
        assert len(facts(open_table(path, Columns(picture="image")))) == len(ROWS)
        assert [file.name for file in tmp_path.iterdir()] == ["t.sqlite"]
    finally:
        tmp_path.chmod(0o700)
    with closing(sqlite3.connect(path)) as writing:
        writing.execute("DELETE FROM one WHERE rowid > 10")
        writing.commit()
        assert len(facts(open_table(path, Columns(picture="image")))) == 10


def test_bytes_in_a_database_are_named_by_a_key(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE t (name, id, data BLOB, tags)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [("n/1", 7, b"a", "x;y"), ("", None, b"b", "z;w")])
    path = tmp_path / "t.sqlite"
    assert [post.key for post in open_table(path, Columns()).posts()] == ["7", "row 2"]
    read = list(open_table(path, Columns(key="name")).posts())
    assert [(post.key, post.picture) for post in read] == [("n/1", b"a"), ("row 2", b"b")]


def test_bytes_of_one_name_stay_two_pictures(tmp_path: Path) -> None:
    """The datasets library keeps the last part of a path only."""
    rows = [{"image": {"bytes": bytes([number]), "path": "1.jpg"}, "tags": ["x"]} for number in range(3)]
    folder = write_dataset(tmp_path / "d", rows)
    assert [post.key for post in open_dataset(folder, Columns()).posts()] == ["1.jpg", "1.jpg (row 2)", "1.jpg (row 3)"]


def test_all_splits_of_a_dataset_are_read(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d" / "train", with_structs(ROWS[:30]))
    write_dataset(tmp_path / "d" / "test", with_structs(ROWS[30:]), shards=1)
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert facts(open_dataset(tmp_path / "d", Columns())) == FACTS


LABEL = {"names": ["cat", "big dog"], "_type": "ClassLabel"}


@pytest.mark.parametrize(
    ("feature", "cells", "read"),
    [
        (LABEL, [1, 0, -1, None], [("big dog",), ("cat",), (), ()]),
        ({"feature": LABEL, "_type": "List"}, [[0, 1], [], [1], None], [("cat", "big dog"), (), ("big dog",), ()]),
        ([LABEL], [[0], [1], [], None], [("cat",), ("big dog",), (), ()]),
    ],
)
def test_numbers_of_classes_become_their_names(tmp_path: Path, feature: Any, cells: list[Any], read: list[Any]) -> None:
    rows = [{"image": {"bytes": b"p", "path": f"{n}.png"}, "label": cell} for n, cell in enumerate(cells)]
    features = {"image": {"_type": "Image"}, "label": feature}
    folder = write_dataset(tmp_path / "d", rows, features)
    assert [post.tags for post in open_dataset(folder, Columns()).posts()] == read
    described = json.dumps({"info": {"features": features}})
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": described})
    pq.write_table(table, tmp_path / "t.parquet")
    assert [post.tags for post in open_table(tmp_path / "t.parquet", Columns()).posts()] == read


@pytest.mark.parametrize(
    ("feature", "cell", "said"),
    [
        (LABEL, "cat", "needs their numbers, not 'cat'"),
        (LABEL, 1.0, r"needs their numbers, not '1\.0'"),
        ([LABEL], [[1]], r"needs their numbers, not '\[1\]'"),
        (LABEL, 7, "index out of range"),
        ({**LABEL, "names": 5}, 1, "the names of its classes are 5"),
        ({**LABEL, "names": [1]}, 1, "the names of its classes are"),
    ],
)
def test_classes_that_do_not_fit_their_names_are_refused(tmp_path: Path, feature: Any, cell: Any, said: str) -> None:
    features = {"label": feature}
    rows = [{"image": {"bytes": b"p", "path": "0.png"}, "label": cell}]
    folder = write_dataset(tmp_path / "d", rows, features, shards=1)
    described = json.dumps({"info": {"features": features}})
    pq.write_table(
        pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": described}), tmp_path / "t.parquet"
    )
    with pytest.raises(DataRefused, match=rf"d/data-00000-of-00001.*{said}|/d .*{said}"):
        list(open_dataset(folder, Columns()).posts())
    with pytest.raises(DataRefused, match=rf"t\.parquet .*{said}"):
        list(open_table(tmp_path / "t.parquet", Columns()).posts())


def test_columns_that_python_cannot_hold_do_no_harm(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array([b"p"]),
            "tags": pa.array(["x;y"]).dictionary_encode(),
            "when": pa.array([1], pa.timestamp("ns")),
            "took": pa.array([1], pa.duration("ns")),
            "id": pa.array([12.0]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    (post,) = open_table(tmp_path / "t.parquet", Columns()).posts()
    assert (post.key, post.picture, post.tags) == ("12", b"p", ("x", "y"))


@pytest.mark.parametrize(
    ("value", "cell"),
    [(3, "3"), (3.0, "3"), (0.5, "0.5"), (True, "true"), (float("nan"), None), (None, None), ("", "")],
)
def test_numbers_are_written_alike_in_every_form(value: Any, cell: str | None) -> None:
    assert plain(value) == cell


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty.jsonl": (b"", "no row"),
    "list.jsonl": (b'{"image": "a"}\n[1]\n', "line 2"),
    "cut.jsonl": (b'{"image": "a"}\n\n{"image": ', "line 3"),
    "deep.jsonl": (b'{"tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "line 1"),
    "digits.jsonl": (b'{"image": ' + b"9" * 10_000 + b"}\n", "line 1"),
    "latin.jsonl": ('{"image": "\u00e4"}'.encode("latin-1"), "UTF-8"),
    "no.csv.gz": (b"image,tags\n", "cannot be read"),
    "cut.csv.gz": (gzip.compress(b"image,tags\n" * 99)[:-9], "cannot be read"),
    "bad.tsv.gz": (gzip.compress(b"")[:10] + b"\xff" * 30, "cannot be read"),
    "no.parquet": (b"PAR1 no", "cannot be read"),
    "empty.parquet": (b"", "cannot be read"),
    "no.sqlite": (b"not a database at all" * 50, "not a database"),
    "empty.sqlite": (b"", "no table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    broken, said = BROKEN[name]
    (tmp_path / name).write_bytes(broken)
    with pytest.raises(DataRefused, match=said) as refusal:
        list(open_table(tmp_path / name, Columns(picture="image", tags="tags")).posts())
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", ["parquet", "sqlite", "dataset", "jsonl", "csv.gz"])
def test_any_damage_is_one_sentence(tmp_path: Path, form: str) -> None:
    """Cut off at every tenth, and with each tenth overwritten: posts or a refusal, never another error."""
    path = WRITERS[form](tmp_path)
    file = next(iter(sorted(path.glob("*.arrow")))) if path.is_dir() else path
    whole = file.read_bytes()
    step = len(whole) // 10
    for start in range(0, len(whole), step):
        for broken in (whole[:start], whole[:start] + b"\xa5" * step + whole[start + step :]):
            file.write_bytes(broken)
            try:
                source = (open_dataset if path.is_dir() else open_table)(path, Columns(picture="image", tags="tags"))
                list(source.posts())
            except TagwiseError as refusal:
                assert path.name in str(refusal)  # noqa: PT017 - it may be read too


def test_offsets_that_point_outside_a_dataset_are_refused_and_not_followed(tmp_path: Path) -> None:
    """Pyarrow believes them and crashes."""
    rows = [{"image": {"bytes": b"p", "path": f"{number}.png"}, "tags": f"tag{number};x"} for number in range(4)]
    folder = write_dataset(tmp_path / "d", rows, shards=1)
    file = folder / "data-00000-of-00001.arrow"
    offsets, wild = np.array([0, 6, 12, 18, 24], "<i4"), np.array([0, 6, 2**30, 2**30 + 6, 24], "<i4")
    content = file.read_bytes()
    assert content.count(offsets.tobytes()) == 1
    file.write_bytes(content.replace(offsets.tobytes(), wild.tobytes()))
    with pytest.raises(DataRefused, match=r"data-00000-of-00001\.arrow cannot be read"):
        list(open_dataset(folder, Columns()).posts())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", "{}"),
        ("state.json", "["),
        ("state.json", '{"_data_files": [{"filename": "gone.arrow"}]}'),
        ("state.json", '{"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}'),
        ("dataset_info.json", "[]"),
        ("dataset_info.json", '{"features": [1]}'),
        ("dataset_dict.json", "{}"),
        ("dataset_dict.json", '{"splits": ["gone"]}'),
    ],
)
def test_a_dataset_that_is_not_whole_is_refused(tmp_path: Path, name: str, content: str) -> None:
    folder = write_dataset(tmp_path / "d", with_structs(ROWS))
    (folder / name).write_text(content)
    with pytest.raises(DataRefused, match=str(folder)):
        list(open_dataset(folder, Columns()).posts())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"image": "a.png", "tags": {"x": 1}}, "row 1: column 'tags'"),
        ({"image": "a.png", "tags": [["x"]]}, "row 1: A list of tags"),
        ({"image": ["a.png"], "tags": "x"}, "row 1"),
        ({"image": {"src": "a.png"}, "tags": "x"}, "row 1: .* is no picture"),
        ({"image": {"path": 5}, "tags": "x"}, "row 1: .* no path"),
        ({"image": "a.png", "tags": "x", "opt_out": {"by": "ann"}}, "row 1: column 'opt_out'"),
    ],
)
def test_a_cell_that_its_column_cannot_hold_is_refused_with_its_row(tmp_path: Path, row: Row, said: str) -> None:
    path = write_json_lines(tmp_path / "t.jsonl", [row])
    with pytest.raises(DataRefused, match=said):
        list(open_table(path, Columns(picture="image", tags="tags", separator=";")).posts())


def test_a_column_that_no_form_has_names_its_neighbour(tmp_path: Path) -> None:
    write_pictures(tmp_path, ROWS)
    for form in ("parquet", "jsonl", "sqlite"):
        with pytest.raises(UsageError, match=r"no column 'tgas' .* nearest is tags"):
            open_table(WRITERS[form](tmp_path), Columns(tags="tgas"))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=6))
def test_whatever_text_stands_in_the_cells_the_forms_agree(tmp_path: Path, cells: list[tuple[str, ...]]) -> None:
    said = Columns(picture="image", tags="tags", separator=";")
    rows: list[Row] = [dict(zip(NAMES, row, strict=True)) for row in cells]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([NAMES, *cells])
    paths = [
        tmp_path / "t.csv",
        write_json_lines(tmp_path / "t.jsonl", rows),
        write_parquet(tmp_path / "t.parquet", rows),
    ]
    read: list[Any] = []
    for path in paths:
        try:
            read.append(
                [
                    (*fact, post.picture)
                    for source in [open_table(path, said)]
                    for fact, post in zip(facts(source), source.posts(), strict=True)
                ]
            )
        except TagwiseError as refusal:
            read.append(str(refusal).replace(str(path), ""))
    assert read[0] == read[1] == read[2]


def test_every_suffix_is_read_as_its_form(tmp_path: Path) -> None:
    write_pictures(tmp_path, ROWS)
    for suffix in TABLE_SUFFIXES:
        path = tmp_path / f"t{suffix}"
        if ".csv" in suffix or ".tsv" in suffix:
            write_delimited(path, ROWS)
        elif "json" in suffix:
            write_json_lines(path, ROWS)
        else:
            (write_parquet if suffix == ".parquet" else write_sqlite)(path, ROWS)
        assert facts(open_table(path, Columns())) == FACTS
