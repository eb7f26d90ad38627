"""Rows of strangers for ``bench.fuzz``, and every form of source that holds them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from numpy.random import Generator

from bench.fuzz_damage import PICTURES, damaged

Row = dict[str, Any]
"""One post: ``picture`` is its name, ``content`` its bytes; ``tags``, ``owner``, ``licence``, ``opt_out``."""

TAGS = ("red;circle", "#BlueStar;\u00e9t\u00e9", "\u6771\u4eac;\U0001f43b", "brown bear;brown_bear", "x;y;x")
NAMES = (
    *("a b.png", "a:b.png", 'quo"te.png', "new\nline.png", "\x1b[31mred.png", "\u202egnp.png", "=1+1.png", "*.png"),
    *("[a].png", "-o.png", "%00.png", "a.b.c.png", "no_suffix", "UP.PNG", "#.png", os.fsdecode(b"\xff.png")),
)
CELLS: tuple[Any, ...] = (
    *(None, "", " ", "=SUM(A1)", "\x1b[2J", "\u202eabc", "<script>alert(1)</script>", "\0", "\ufeff", "\ud800"),
    *("x" * 10_000, ";".join(map(str, range(20_000))), "[" * 3000, "[[1]]", '["a", {"b": 1}]', "a,b|c;d", "'", '"'),
    *(0, -1, 2**70, 1.5, float("nan"), float("inf"), True, [], ["x"], [["x"]], [None], {"x": 1}, {"path": 5}, b"\xff"),
    *("../../out.png", "/dev/null", "/etc/passwd", ".", "memory://x.png", "nothing://x.png", "zip://x.png", "://"),
)


def hostile_rows(generator: Generator) -> list[Row]:
    """Six posts, to which nothing to three things have been done."""
    contents = list(PICTURES.values())
    rows: list[Row] = [
        {
            "picture": f"{number}.png",
            "tags": TAGS[generator.integers(len(TAGS))],
            "owner": f"user {number % 2}",
            "licence": "CC0",
            "opt_out": "",
            "content": contents[generator.integers(len(contents))],
        }
        for number in range(6)
    ]
    for _ in range(int(generator.integers(4))):
        row = rows[generator.integers(len(rows))]
        match int(generator.integers(4)):
            case 0:
                row["content"] = damaged(row["content"], generator)
            case 1:
                row["picture"] = NAMES[generator.integers(len(NAMES))]
            case 2:
                rows.append(dict(row))
            case _:
                name = str(generator.choice(["picture", "tags", "tags", "owner", "licence", "opt_out"]))
                row[name] = CELLS[generator.integers(len(CELLS))]
    return rows


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).encode("utf-8", "replace").decode()


def _facts(row: Row) -> Row:
    return {name: cell for name, cell in row.items() if name != "content"}


def _file_name(name: str) -> str:
    is_name = not {"\0", "/"} & {*name} and name not in (".", "..") and 0 < len(os.fsencode(name)) < 200
    return name if is_name else "odd.png"


def _write_pictures(folder: Path, rows: list[Row]) -> Iterator[tuple[Path, Row]]:
    """The pictures whose names a file can have, below ``folder``."""
    for row in rows:
        path = folder / _file_name(_text(row["picture"]) if "\udcff" not in str(row["picture"]) else row["picture"])
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["content"])
            yield path, row


def _beside_pictures(folder: Path, rows: list[Row], name: str, content: bytes) -> Path:
    folder.mkdir()
    list(_write_pictures(folder, rows))
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name


def _csv(folder: Path, rows: list[Row], generator: Generator, name: str = "t.csv") -> Path:
    handle = io.StringIO()
    writer = csv.writer(handle, delimiter="\t" if ".tsv" in name else str(generator.choice([*",,,,|;"])))
    writer.writerow(_facts(rows[0]))
    for row in rows:
        cells = [_text(cell) for cell in _facts(row).values()]
        writer.writerow(cells if generator.random() < 0.98 else cells[: generator.integers(5)])
    encoding = str(generator.choice(["utf-8"] * 7 + ["utf-8-sig", "utf-16", "latin-1"]))
    return _beside_pictures(folder, rows, name, handle.getvalue().encode(encoding, "replace"))


def _captions(folder: Path, rows: list[Row], generator: Generator) -> Path:
    path = _csv(folder, [row | {"tags": f"A {_text(row['tags'])}, at night"} for row in rows], generator)
    (folder / "words.lst").write_text("brown bear\nred circle\nred\nnight\nx\n", "utf-8")
    return path


def _json_lines(folder: Path, rows: list[Row], _: Generator, name: str = "t.jsonl") -> Path:
    lines = [json.dumps(_facts(row), default=str) for row in rows]
    return _beside_pictures(folder, rows, name, "\n".join(lines).encode())


def _arrow(rows: list[Row], inside: bool) -> pyarrow.Table:
    columns = {}
    for name in _facts(rows[0]):
        cells = [row[name] for row in rows]
        if name == "picture" and inside:
            cells = [{"bytes": row["content"], "path": _text(row["picture"])} for row in rows]
        try:
            columns[name] = pyarrow.array(cells)
        except (pyarrow.ArrowException, UnicodeError, OverflowError):
            columns[name] = pyarrow.array([None if cell is None else _text(cell) for cell in cells])
    return pyarrow.table(columns)


def _parquet(folder: Path, rows: list[Row], generator: Generator) -> Path:
    handle = io.BytesIO()
    pyarrow.parquet.write_table(_arrow(rows, generator.random() < 0.5), handle, row_group_size=4)
    return _beside_pictures(folder, rows, "t.parquet", handle.getvalue())


def _dataset(folder: Path, rows: list[Row], generator: Generator) -> Path:
    folder.mkdir()
    table = _arrow(rows, inside=True)
    features: Row = {"picture": {"_type": "Image"}}
    if generator.random() < 0.3:
        table = table.set_column(1, "tags", pyarrow.array(generator.integers(-1, 4, len(rows))))
        features["tags"] = {"names": ["red", "blue", "green"], "_type": "ClassLabel"}
    with pyarrow.ipc.new_stream(str(folder / "data.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def _sqlite(folder: Path, rows: list[Row], generator: Generator) -> Path:
    path = _beside_pictures(folder, rows, "t.sqlite", b"")
    with closing(sqlite3.connect(path)) as connection, connection:
        if generator.random() < 0.2:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE posts (picture, tags, owner, licence, opt_out)")
        kept = (type(None), int, float, bytes)
        for row in rows:
            cells = [cell if isinstance(cell, kept) and cell != 2**70 else _text(cell) for cell in _facts(row).values()]
            connection.execute("INSERT INTO posts VALUES (?, ?, ?, ?, ?)", cells)
    return path


def _tar(folder: Path, rows: list[Row], generator: Generator, name: str = "t.tar") -> Path:
    folder.mkdir()
    layout = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[generator.integers(3)]
    with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w", format=layout) as archive:
        for row in rows:
            picture = _text(row["picture"])[:90]
            described = json.dumps(_facts(row) | {"tags": _text(row["tags"]).split(";")}, default=str).encode()
            for member, content in ((picture, row["content"]), (f"{Path(picture).stem}.json", described)):
                about = tarfile.TarInfo(member)
                about.size = len(content)
                if generator.random() < 0.01:
                    about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(about, io.BytesIO(content))
    return folder / name


def _sidecars(folder: Path, rows: list[Row], generator: Generator, suffix: str = ".txt") -> Path:
    separator = str(generator.choice([", ", ",", "\n", " ", ";"]))
    for path, row in _write_pictures(folder, rows):
        text = _text(row["tags"]).replace(";", separator)
        beside = path.with_name(path.name + suffix) if generator.random() < 0.2 else path.with_suffix(suffix)
        beside.write_text(json.dumps(_facts(row), default=str) if suffix == ".json" else text, "utf-8")
    return folder


def _class_folders(folder: Path, rows: list[Row], _: Generator) -> Path:
    for number, row in enumerate(rows):
        name = "".join(sign for sign in _text(row["tags"])[:60] if sign not in "\0/").strip(". ") or "odd"
        list(_write_pictures(folder / name / ("deep" if number % 3 else "."), [row]))
    return folder


FORMS: dict[str, Callable[[Path, list[Row], Generator], Path]] = {
    "table .csv": _csv,
    "table .tsv.gz": partial(_csv, name="t.tsv.gz"),
    "table .jsonl": _json_lines,
    "table .jsonl.gz": partial(_json_lines, name="t.jsonl.gz"),
    "table .parquet": _parquet,
    "table .sqlite": _sqlite,
    "table of a dataset": _dataset,
    "captions .csv": _captions,
    "shards .tar": _tar,
    "shards .tgz": partial(_tar, name="t.tgz"),
    "sidecars .txt": _sidecars,
    "sidecars .json": partial(_sidecars, suffix=".json"),
    "class folders": _class_folders,
}
