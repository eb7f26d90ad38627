"""P6: every form of tagged pictures is found out, told with three samples, and gives the same corpus."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tagwise.corpus.table import Corpus
from tests.verbs.road import Done

Here = Callable[..., Done]
Row = dict[str, Any]

PICTURES = 1000
TAGS = ("brown bear", "dog", "river")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """A thousand pictures of their own, beside which the forms are written.

    Each lies in a folder of a folder, which are its tags, in this order; other orders of the same tags are there too.
    """
    folder = tmp_path_factory.mktemp("forms")
    made = []
    for number in range(PICTURES):
        tags = [TAGS[number % 3], TAGS[(number + 1 + number // 3 % 2) % 3]]
        name = f"{tags[0]}/{tags[1]}/{number:04}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(folder / name)
        people = {"owner": f"person {number % 7}", "licence": ("CC0-1.0", "CC-BY-4.0")[number % 2]}
        made.append({"picture": name, "tags": tags, **people, "content": (folder / name).read_bytes()})
    return made


def written(rows: list[Row], folder: Path) -> Path:
    for row in rows:
        (folder / row["picture"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / row["picture"]).write_bytes(row["content"])
    return folder


def said(row: Row) -> Row:
    """What a form that has places for it says of a picture."""
    return {name: row[name] for name in ("tags", "owner", "licence")}


def booru(row: Row) -> str:
    return " ".join(tag.replace(" ", "_") for tag in row["tags"])


def delimited(rows: list[Row], folder: Path, name: str, delimiter: str, tags: str = "tags") -> Path:
    with (written(rows, folder) / name).open("w", newline="") as handle:
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerow(("picture", tags, "owner", "licence"))
        for row in rows:
            cell = booru(row) if tags == "tag_string" else ";".join(row["tags"])
            writer.writerow((row["picture"], cell, row["owner"], row["licence"]))
    return folder / name


def json_lines(rows: list[Row], folder: Path) -> Path:
    lines = [json.dumps({"picture": row["picture"], **said(row)}) for row in rows]
    (written(rows, folder) / "t.jsonl").write_text("\n".join(lines))
    return folder / "t.jsonl"


def table_of_bytes(rows: list[Row]) -> pa.Table:
    pictures = [{"bytes": row["content"], "path": row["picture"]} for row in rows]
    return pa.table({"picture": pictures, **{name: [row[name] for row in rows] for name in said(rows[0])}})


def parquet(rows: list[Row], folder: Path) -> Path:
    folder.mkdir()
    pq.write_table(table_of_bytes(rows), folder / "t.parquet")
    return folder / "t.parquet"


def dataset(rows: list[Row], folder: Path) -> Path:
    folder.mkdir()
    table = table_of_bytes(rows)
    with pa.ipc.new_stream(str(folder / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    (folder / "dataset_info.json").write_text("{}")
    return folder


def database(rows: list[Row], folder: Path) -> Path:
    with closing(sqlite3.connect(written(rows, folder) / "t.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE t (picture, tags, owner, licence)")
        cells = [(row["picture"], json.dumps(row["tags"]), row["owner"], row["licence"]) for row in rows]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", cells)
    return folder / "t.sqlite"


def sidecars(rows: list[Row], folder: Path, suffix: str, tell: Callable[[Row], str]) -> Path:
    for row in rows:
        (written([row], folder) / row["picture"]).with_suffix(suffix).write_text(tell(row))
    return folder


def shard(rows: list[Row], folder: Path, name: str) -> Path:
    folder.mkdir()
    with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w") as archive:
        for row in rows:
            for member, content in (
                (row["picture"], row["content"]),
                (row["picture"].replace("png", "json"), json.dumps(said(row)).encode()),
            ):
                about = tarfile.TarInfo(member)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return folder / name


def captions(rows: list[Row], folder: Path) -> Path:
    with (written(rows, folder) / "t.csv").open("w", newline="") as handle:
        cells = [(row["picture"], f"A {row['tags'][0]}, then a {row['tags'][1]}.", *people(row)) for row in rows]
        csv.writer(handle).writerows([("picture", "text", "owner", "licence"), *cells])
    (folder / "words.lst").write_text("brown bear\nbear\ndog\nriver\n")
    return folder / "t.csv"


def people(row: Row) -> tuple[str, str]:
    return row["owner"], row["licence"]


FORMS: dict[str, Callable[[list[Row], Path], Path]] = {
    "csv": lambda rows, folder: delimited(rows, folder, "t.csv", ","),
    "tsv": lambda rows, folder: delimited(rows, folder, "t.tsv", "\t"),
    "booru csv": lambda rows, folder: delimited(rows, folder, "t.csv", ",", "tag_string"),
    "jsonl": json_lines,
    "parquet": parquet,
    "dataset": dataset,
    "sqlite": database,
    "class folders": written,
    ".txt sidecars": lambda rows, folder: sidecars(rows, folder, ".txt", lambda row: ", ".join(row["tags"])),
    "booru .txt sidecars": lambda rows, folder: sidecars(rows, folder, ".txt", booru),
    ".json sidecars": lambda rows, folder: sidecars(rows, folder, ".json", lambda row: json.dumps(said(row))),
    "booru .json sidecars": lambda rows, folder: sidecars(
        rows, folder, ".json", lambda row: json.dumps({**said(row), "tags": None, "tag_string": booru(row)})
    ),
    "tar": lambda rows, folder: shard(rows, folder, "t.tar"),
    "tgz": lambda rows, folder: shard(rows, folder, "t.tgz"),
    "captions": captions,
}
OWNERLESS = ("class folders", ".txt sidecars", "booru .txt sidecars")


@pytest.mark.parametrize("form", FORMS)
def test_p6_a_thousand_pictures_in_any_form_give_the_same_corpus_told_with_three_samples(
    rows: list[Row], here: Here, tmp_path: Path, form: str
) -> None:
    source = FORMS[form](rows, tmp_path / "in")
    flags = ("--caption-column", "text", "--lexicon", tmp_path / "in" / "words.lst") if form == "captions" else ()
    done = here("gather", source, "-o", tmp_path / "corpus", *flags)
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if " -> " in line]
    assert len(told) == 3
    corpus = Corpus.open(tmp_path / "corpus")
    columns, table = corpus.columns("key", "owner", "licence"), corpus.tag_table()
    tags: list[list[str]] = [[] for _ in columns["key"]]
    for row, raw in zip(table.rows, table.raw_ids, strict=True):
        tags[row].append(table.raw[raw])
    contents = [place.read() for place in corpus.picture_places()]
    found = zip(columns["key"], contents, tags, columns["owner"], columns["licence"], strict=True)
    assert sorted(found) == sorted(
        (
            row["picture"],
            row["content"],
            booru(row).split() if form.startswith("booru") else row["tags"],
            *((None, None) if form in OWNERLESS else people(row)),
        )
        for row in rows
    )
