"""P6: every form of tagged pictures is found out, told with three samples, and gives the same corpus."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from operator import itemgetter
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


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """A thousand pictures of their own, beside which the forms are written."""
    folder = tmp_path_factory.mktemp("forms")
    made = []
    for number in range(PICTURES):
        name, kind = f"{number:04}.png", ("brown bear", "dog", "river")[number % 3]
        (folder / kind).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(folder / kind / name)
        made.append({"picture": f"{kind}/{name}", "tags": [kind], "content": (folder / kind / name).read_bytes()})
    return made


def written(rows: list[Row], folder: Path) -> Path:
    for row in rows:
        (folder / row["picture"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / row["picture"]).write_bytes(row["content"])
    return folder


def delimited(rows: list[Row], folder: Path, name: str, delimiter: str) -> Path:
    with (written(rows, folder) / name).open("w", newline="") as handle:
        cells = [(row["picture"], ";".join([*row["tags"], ""])) for row in rows]
        csv.writer(handle, delimiter=delimiter).writerows([("picture", "tags"), *cells])
    return folder / name


def json_lines(rows: list[Row], folder: Path) -> Path:
    lines = [json.dumps({"picture": row["picture"], "tags": row["tags"]}) for row in rows]
    (written(rows, folder) / "t.jsonl").write_text("\n".join(lines))
    return folder / "t.jsonl"


def table_of_bytes(rows: list[Row]) -> pa.Table:
    pictures = [{"bytes": row["content"], "path": row["picture"]} for row in rows]
    return pa.table({"picture": pictures, "tags": [row["tags"] for row in rows]})


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
        connection.execute("CREATE TABLE t (picture, tags)")
        cells = [(row["picture"], json.dumps(row["tags"])) for row in rows]
        connection.executemany("INSERT INTO t VALUES (?, ?)", cells)
    return folder / "t.sqlite"


def sidecars(rows: list[Row], folder: Path, suffix: str) -> Path:
    for row in rows:
        text = json.dumps({"tags": row["tags"]}) if suffix == ".json" else ", ".join([*row["tags"], ""])
        (written([row], folder) / row["picture"]).with_suffix(suffix).write_text(text)
    return folder


def shard(rows: list[Row], folder: Path, name: str) -> Path:
    folder.mkdir()
    with tarfile.open(folder / name, "w:gz" if name.endswith("gz") else "w") as archive:
        for row in rows:
            described = json.dumps({"tags": row["tags"]}).encode()
            for member, content in (
                (row["picture"], row["content"]),
                (row["picture"].replace("png", "json"), described),
            ):
                about = tarfile.TarInfo(member)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
    return folder / name


def captions(rows: list[Row], folder: Path) -> Path:
    with (written(rows, folder) / "t.csv").open("w", newline="") as handle:
        cells = [(row["picture"], f"A {row['tags'][0]}, at night.") for row in rows]
        csv.writer(handle).writerows([("picture", "text"), *cells])
    (folder / "words.lst").write_text("brown bear\nbear\ndog\nriver\n")
    return folder / "t.csv"


FORMS: dict[str, Callable[[list[Row], Path], Path]] = {
    "csv": lambda rows, folder: delimited(rows, folder, "t.csv", ","),
    "tsv": lambda rows, folder: delimited(rows, folder, "t.tsv", "\t"),
    "jsonl": json_lines,
    "parquet": parquet,
    "dataset": dataset,
    "sqlite": database,
    "class folders": written,
    ".txt sidecars": lambda rows, folder: sidecars(rows, folder, ".txt"),
    ".json sidecars": lambda rows, folder: sidecars(rows, folder, ".json"),
    "tar": lambda rows, folder: shard(rows, folder, "t.tar"),
    "tgz": lambda rows, folder: shard(rows, folder, "t.tgz"),
    "captions": captions,
}


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
    keys, table = corpus.columns("key")["key"], corpus.tag_table()
    contents = [place.read() for place in corpus.picture_places()]
    assert dict(zip(keys, contents, strict=True)) == {row["picture"]: row["content"] for row in rows}
    tags = [(keys[row], table.raw[raw]) for row, raw in zip(table.rows, table.raw_ids, strict=True)]
    assert sorted(tags) == [(row["picture"], row["tags"][0]) for row in sorted(rows, key=itemgetter("picture"))]
