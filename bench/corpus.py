"""From a corpus's tags to a label space and a written sampling index, beside queries written by hand.

The tables are drawn: 1 + Poisson(2) tags a picture, by Zipf's law of exponent 1.05 over 10^6 names, 80 % plain, 10 %
capitalised, 10 % with a hash sign. All do the same: a canonical key for each distinct raw tag, the pictures of each
key, those on at least 5 pictures, the 20,000 most frequent as labels, and a repeat factor for each picture,
max(1, sqrt(t / n)) of its rarest label with t = 10^-4 of the pictures. Each contender runs in a process of its own, in
turn, with two threads and the same limit for its engine.

    python -m bench.corpus 100000 1000000

The exit code is 1 if what comes out is not the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import of_rounds, write_record
from tagwise.base import rng
from tagwise.tags.key import canonical_key

NAMES, EXPONENT = 1_000_000, 1.05
MIN_COUNT, TOP, THRESHOLD_FRACTION = 5, 20_000, 1e-4
MEMORY_GIB, THREADS = 0.5, 2
BLOCK_PICTURES = 500_000
SAME_FACTOR = 2.0**-16
"""By which the means of factors may differ: our index holds them in finer units, the others in floats."""


def draw_corpus(folder: Path, pictures: int) -> None:
    """A corpus of tags without pictures, as gather --no-pictures leaves it."""
    import pyarrow
    import pyarrow.parquet

    from tagwise.corpus.table import VERSION, CorpusRecord
    from tagwise.corpus.writer import commit_corpus

    folder.mkdir()
    tags = 0
    text = pyarrow.string()
    owners = pyarrow.schema({"row": pyarrow.int64(), "owner": text})
    with (
        pyarrow.parquet.ParquetWriter(folder / "pictures.parquet", owners, compression="zstd") as picture_file,
        pyarrow.parquet.ParquetWriter(
            folder / "tags.parquet", pyarrow.schema({"row": pyarrow.int64(), "raw": text}), compression="zstd"
        ) as tag_file,
    ):
        for first in range(0, pictures, BLOCK_PICTURES):
            rows = np.arange(first, min(first + BLOCK_PICTURES, pictures))
            nobody = pyarrow.nulls(len(rows), text)
            picture_file.write_table(pyarrow.table({"row": rows, "owner": nobody}))
            row_of_tag, raw = _draw_tags(rows)
            tag_file.write_table(pyarrow.table({"row": row_of_tag, "raw": raw}))
            tags += len(row_of_tag)
    record = CorpusRecord(
        version=VERSION, read=pictures, buckets={"used": pictures}, tags=tags, distinct_tags=0,
        commonest_tags=[], notes={}, forms=[{"form": "drawn", "pictures": "False"}], rules={},
        source_digest="", digest=f"drawn {pictures}",
    )  # fmt: skip
    commit_corpus(folder, record)


def _draw_tags(rows: Any) -> tuple[Any, Any]:
    import pyarrow
    import pyarrow.compute

    draw = rng.stream(0, "corpus", int(rows[0]))
    row_of_tag = np.repeat(rows, 1 + draw.poisson(2, len(rows)))
    bounds = np.cumsum(np.arange(1, NAMES + 1) ** -EXPONENT)
    names = np.searchsorted(bounds, draw.random(len(row_of_tag)) * bounds[-1])
    spelling = np.searchsorted([0.8, 0.9], draw.random(len(names)), "right")
    digits = pyarrow.array(names).cast(pyarrow.string())
    prefix = pyarrow.array(["n", "N", "#n"]).take(pyarrow.array(spelling))
    return row_of_tag, pyarrow.compute.binary_join_element_wise(prefix, digits, "")


def ours(corpus: Path, out: Path, pictures: int) -> None:
    """The package, by its engine."""
    from tagwise.corpus.table import Corpus
    from tagwise.tags.epoch import EpochIndex
    from tagwise.tags.labelling import build_label_space
    from tagwise.tags.space import LabelOptions

    options = LabelOptions(min_count=MIN_COUNT, top=TOP, plurals=False)
    opened = Corpus.open(corpus)
    with opened.tags(out / "work", engine="duckdb", memory=MEMORY_GIB, workers=THREADS) as tags:
        labelling = build_label_space(tags, options)
        space, assignment = labelling.space, labelling.assignment
        space.save(out / "space.json")
        threshold = THRESHOLD_FRACTION * pictures
        EpochIndex.build(assignment.ids, assignment.offsets, space.counts, "sqrt", threshold).save(out)


def in_memory(corpus: Path, out: Path, pictures: int) -> None:
    """The package as it is below ``IN_MEMORY_TAGS``: numpy, no engine."""
    from tagwise.corpus import table

    table.IN_MEMORY_TAGS = 10**12
    open_tags = table.Corpus.tags
    table.Corpus.tags = lambda self, work, **_: open_tags(self, work)  # type: ignore[method-assign]
    ours(corpus, out, pictures)


def duckdb_sql(corpus: Path, out: Path, pictures: int) -> None:
    """The same plan as a good hand writes it in SQL."""
    import duckdb

    connection = duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_GIB * 1024:.0f}MiB",
            "threads": THREADS,
            "temp_directory": str(out / "work"),
            "preserve_insertion_order": False,
        }
    )
    tags = f"read_parquet('{corpus / 'tags.parquet'}')"
    raw = connection.sql(f"SELECT DISTINCT raw FROM {tags}").to_arrow_table()["raw"]  # noqa: S608
    keys, numbered = _keys(raw)
    connection.register("numbered", numbered)
    connection.sql(f"CREATE TABLE held AS SELECT DISTINCT row, key FROM {tags} JOIN numbered USING (raw)")  # noqa: S608
    connection.sql(
        "CREATE TABLE labels AS SELECT key, count(*) AS n FROM held GROUP BY key "  # noqa: S608
        f"HAVING n >= {MIN_COUNT} ORDER BY n DESC, key LIMIT {TOP}"
    )
    labels = connection.sql("SELECT key, n FROM labels ORDER BY n DESC, key").fetchall()
    threshold = THRESHOLD_FRACTION * pictures
    connection.sql(
        f"COPY (SELECT row, max(greatest(1, sqrt({threshold!r}::DOUBLE / n))) AS factor "  # noqa: S608
        f"FROM held JOIN labels USING (key) GROUP BY row) TO '{out / 'index.parquet'}'"
    )
    _save_labels(out, [(keys[key], count) for key, count in labels])


def polars_streaming(corpus: Path, out: Path, pictures: int) -> None:
    """The same plan as a good hand writes it in Polars."""
    import polars

    tags = polars.scan_parquet(corpus / "tags.parquet")
    raw = tags.select("raw").unique().collect(engine="streaming")["raw"].to_arrow()
    keys, numbered = _keys(raw)
    held_file = out / "held.parquet"
    map_of_raw = polars.LazyFrame(numbered)
    tags.join(map_of_raw, on="raw").select("row", "key").unique().sink_parquet(held_file)
    held = polars.scan_parquet(held_file)
    counts = held.group_by("key").agg(polars.len().alias("n")).filter(polars.col("n") >= MIN_COUNT)
    labels = counts.collect(engine="streaming").sort(["n", "key"], descending=[True, False]).head(TOP)
    factor = (THRESHOLD_FRACTION * pictures / polars.col("n")).sqrt().clip(lower_bound=1).alias("factor")
    factors = labels.lazy().select("key", factor)
    index = held.join(factors, on="key").group_by("row").agg(polars.col("factor").max())
    index.sink_parquet(out / "index.parquet")
    _save_labels(out, [(keys[key], count) for key, count in labels.iter_rows()])


def _keys(raw: Any) -> tuple[list[str], Any]:
    """The keys in order, and which raw tag has which."""
    import pyarrow

    key_of_raw = [canonical_key(tag) for tag in raw.to_pylist()]
    keys = sorted(set(key_of_raw) - {""})
    number = {key: place for place, key in enumerate(keys)}
    numbers = pyarrow.array([number.get(key) for key in key_of_raw], pyarrow.int32())
    return keys, pyarrow.table({"raw": raw, "key": numbers}).filter(numbers.is_valid())


def _save_labels(out: Path, labels: list[tuple[str, int]]) -> None:
    (out / "labels.json").write_text(json.dumps(labels))


CONTENDERS: dict[str, Callable[[Path, Path, int], None]] = {
    "ours": ours,
    "ours in memory": in_memory,
    "DuckDB SQL": duckdb_sql,
    "Polars streaming": polars_streaming,
}
BY_HAND = ("DuckDB SQL", "Polars streaming")


def content(out: Path, pictures: int) -> tuple[str, float]:
    """A hash of the labels, their pictures, and the pictures of each labelled picture's rarest label as its factor
    tells it (0: of a factor of 1); and the mean factor.
    """
    if (out / "space.json").is_file():
        labels, rows, factors = _our_content(out)
    else:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(out / "index.parquet")
        labels, rows, factors = json.loads((out / "labels.json").read_text()), table["row"], table["factor"]
    order = np.argsort(np.asarray(rows))
    digest = hashlib.sha256(json.dumps(labels).encode())
    digest.update(np.asarray(rows)[order].astype("<i8").tobytes())
    drawn = np.asarray(factors)[order]
    rarest = np.where(drawn > 1 + SAME_FACTOR, np.rint(THRESHOLD_FRACTION * pictures / drawn**2), 0)
    digest.update(rarest.astype("<i8").tobytes())
    return digest.hexdigest()[:16], float(drawn.mean())


def _our_content(out: Path) -> tuple[Any, Any, Any]:
    from tagwise.tags.epoch import EpochIndex
    from tagwise.tags.rounding import FRACTION_BITS
    from tagwise.tags.space import LabelSpace

    index, space = EpochIndex.load(out), LabelSpace.load(out / "space.json")
    factors = np.repeat(index.group_factors, np.diff(index.group_starts)) / 2.0**FRACTION_BITS
    return [[label.key, label.pictures] for label in space.labels], index.rows, factors


def measured(name: str, corpus: Path, pictures: int) -> dict[str, Any]:
    """One contender in a process of its own."""
    with tempfile.TemporaryDirectory(dir=corpus.parent) as out:
        environment = {**os.environ, "POLARS_MAX_THREADS": str(THREADS), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "bench.corpus", str(pictures), "--child", name, str(corpus), out]
        began, peak = time.perf_counter(), 0
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, _anonymous_memory(child.pid))
            time.sleep(0.03)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{name} failed with exit code {child.returncode}")
        found, mean_factor = content(Path(out), pictures)
        return {
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "wall_seconds": wall,
            "peak_mib": peak / 1024,
            "content": found,
            "mean_factor": mean_factor,
        }


def _anonymous_memory(pid: int) -> int:
    """KiB of a process and those that it started."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return own + sum(_anonymous_memory(int(child)) for child in children)


def measure(folder: Path, pictures: int, rounds: int, names: list[str]) -> dict[str, Any]:
    """All contenders in turn on one table."""
    corpus = folder / f"corpus-{pictures}"
    draw_corpus(corpus, pictures)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(measured(name, corpus, pictures))
            print(pictures, name, found[name][-1], file=sys.stderr, flush=True)
    by_hand = [[run["cpu_seconds"] for run in found[name]] for name in BY_HAND]
    best = [min(seconds) for seconds in zip(*by_hand, strict=True)]
    return {
        "contents": sorted({run["content"] for runs in found.values() for run in runs}),
        "mean_factors": of_rounds([run["mean_factor"] for runs in found.values() for run in runs]),
        "contenders": {
            name: {key: of_rounds([run[key] for run in runs]) for key in ("cpu_seconds", "wall_seconds", "peak_mib")}
            for name, runs in found.items()
        },
        "cpu_over_best_by_hand": {
            name: of_rounds([run["cpu_seconds"] / least for run, least in zip(runs, best, strict=True)])
            for name, runs in found.items()
        },
    }


def same(table: dict[str, Any]) -> bool:
    """Whether all contenders came to the same labels, counts and factors."""
    means = table["mean_factors"]
    return len(table["contents"]) == 1 and means["most"] - means["least"] < SAME_FACTOR


def growth(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """From each table to the next larger one: processor seconds of the medians, over the growth of the rows."""
    found: dict[str, dict[str, float]] = {}
    for small, large in pairwise(sorted(tables, key=int)):
        seconds = [tables[size]["contenders"] for size in (small, large)]
        found[f"{small} to {large}"] = {
            name: seconds[1][name]["cpu_seconds"]["median"] / seconds[0][name]["cpu_seconds"]["median"]
            for name in seconds[0]
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=int, nargs="+", help="rows of the tables, such as 1000000 10000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-memory", action="store_true", help="numpy without an engine beside the others")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, corpus, out = arguments.child
        CONTENDERS[name](Path(corpus), Path(out), arguments.pictures[0])
        return
    names = [name for name in CONTENDERS if arguments.in_memory or name != "ours in memory"]
    with tempfile.TemporaryDirectory() as folder:
        tables = {str(size): measure(Path(folder), size, arguments.rounds, names) for size in arguments.pictures}
    results = {
        "rounds": arguments.rounds,
        "engine_memory_gib": MEMORY_GIB,
        "threads": THREADS,
        "tables": tables,
        "cpu_growth": growth(tables),
    }
    print(write_record("corpus", results, packages=("tagwise", "numpy", "pyarrow", "narwhals", "duckdb", "polars")))
    sys.exit(not all(map(same, tables.values())))


if __name__ == "__main__":
    main()
