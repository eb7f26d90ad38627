"""Mutated pictures and tables through the readers: known errors are counted, any other is a failure.

    python -m bench.fuzz --cases 10000

Exit code 1 and the seeds of the failures where there are any.
"""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.random import Generator
from PIL import Image

from bench.record import write_record
from tagwise.base import rng
from tagwise.base.errors import TagwiseError
from tagwise.base.progress import progress
from tagwise.corpus.drawn.pictures import draw_pictures
from tagwise.corpus.drawn.scenes import draw_scenes
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.tables import Columns
from tagwise.pixels.decode import decode, measure

TAGS = ("red; circle", "#BlueStar; été", "東京; 🐻", "=SUM(A1); x" * 20, "")


def main() -> None:
    """Runs the cases and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcomes: dict[str, Counter[str]] = {}
    failures: list[dict[str, Any]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, progress("fuzzing", arguments.cases, "cases") as ticker:
        seeds = _pictures() | _tables(Path(name))
        kinds = list(seeds)
        for case in range(arguments.cases):
            kind = kinds[case % len(kinds)]
            content = mutated(seeds[kind], rng.stream(arguments.seed, "fuzz", case))
            began = time.monotonic()
            try:
                outcome = _picture(content) if kind.startswith("picture") else _table(kind, content, Path(name))
            except Exception as error:  # what nobody foresaw is what this looks for
                outcome = "uncaught"
                failures.append({"case": case, "kind": kind, "error": f"{type(error).__name__}: {error}"[:200]})
            slowest = max(slowest, time.monotonic() - began)
            outcomes.setdefault(kind, Counter())[outcome] += 1
            ticker.advance()
    results = {
        "cases": arguments.cases,
        "uncaught": len(failures),
        "failures": failures[:20],
        "slowest_seconds": round(slowest, 2),
        "outcomes": {kind: dict(sorted(counts.items())) for kind, counts in outcomes.items()},
    }
    print(write_record("fuzz", results, packages=("tagwise", "pillow", "pyarrow", "numpy")))
    sys.exit(1 if failures else 0)


def mutated(content: bytes, generator: Generator) -> bytes:
    """One to four damages: bits turned, a cut, bytes put in, a stretch of zeros, a stretch moved."""
    data = bytearray(content)
    for _ in range(int(generator.integers(1, 5))):
        if not data:
            break
        at = int(generator.integers(len(data)))
        length = int(generator.integers(1, 40))
        match int(generator.integers(5)):
            case 0:
                for place in generator.integers(len(data), size=length).tolist():
                    data[place] ^= 1 << int(generator.integers(8))
            case 1:
                del data[at:]
            case 2:
                data[at:at] = generator.bytes(length)
            case 3:
                data[at : at + length] = bytes(length)
            case _:
                stretch = data[at : at + length]
                del data[at : at + length]
                place = int(generator.integers(len(data) + 1))
                data[place:place] = stretch
    return bytes(data)


def _picture(content: bytes) -> str:
    try:
        measure(content)
        decode(content)
    except TagwiseError:
        return "refused"
    return "read"


def _table(kind: str, content: bytes, folder: Path) -> str:
    path = folder / f"mutated{kind.removeprefix('table ')}"
    path.write_bytes(content)
    try:
        source = open_source(str(path), Columns(separator=";"))
        source.described()
        for _ in source.posts():
            pass
    except TagwiseError as error:
        return f"refused, exit code {error.exit_code}"
    return "read"


def _pictures() -> dict[str, bytes]:
    """A drawn picture in every format and mode that is read."""
    generator = rng.stream(0, "fuzz pictures")
    picture = Image.fromarray(draw_pictures(draw_scenes(1, generator), generator)[0])
    forms: dict[str, Callable[[io.BytesIO], None]] = {
        "jpeg": lambda handle: picture.save(handle, "JPEG", quality=80),
        "progressive jpeg": lambda handle: picture.save(handle, "JPEG", progressive=True),
        "CMYK jpeg": lambda handle: picture.convert("CMYK").save(handle, "JPEG"),
        "rotated jpeg": lambda handle: picture.save(handle, "JPEG", exif=_exif(6)),
        "png": lambda handle: picture.save(handle, "PNG"),
        "palette png": lambda handle: picture.quantize(32).save(handle, "PNG"),
        "16-bit png": lambda handle: Image.fromarray(np.array(picture.convert("L"), np.uint16) * 257).save(
            handle, "PNG"
        ),
        "alpha webp": lambda handle: picture.convert("RGBA").save(handle, "WEBP"),
        "animated gif": lambda handle: picture.save(
            handle, "GIF", save_all=True, append_images=[picture.rotate(90), picture.rotate(180)]
        ),
        "tiff": lambda handle: picture.save(handle, "TIFF", compression="tiff_lzw"),
        "bmp": lambda handle: picture.save(handle, "BMP"),
        "avif": lambda handle: picture.save(handle, "AVIF"),
        "jpeg 2000": lambda handle: picture.save(handle, "JPEG2000"),
    }
    return {f"picture {name}": _written(save) for name, save in forms.items()}


def _tables(folder: Path) -> dict[str, bytes]:
    """The same five posts in every form of table and archive."""
    Image.new("RGB", (20, 20)).save(folder / "0.png")
    picture = (folder / "0.png").read_bytes()
    for number in range(1, len(TAGS)):
        (folder / f"{number}.png").write_bytes(picture)
    rows = [{"picture": f"{number}.png", "tags": tags, "owner": "ann"} for number, tags in enumerate(TAGS)]
    lines = ["picture,tags,owner", *(f'{row["picture"]},"{row["tags"]}",{row["owner"]}' for row in rows)]
    return {
        "table .csv": "\n".join(lines).encode(),
        "table .jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
        "table .parquet": _written(lambda handle: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), handle)),
        "table .sqlite": _database(folder / "seed.sqlite", rows),
        "table .tar": _written(lambda handle: _archive(handle, rows, picture)),
    }


def _database(path: Path, rows: list[dict[str, str]]) -> bytes:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE posts (picture TEXT, tags TEXT, owner TEXT)")
        connection.executemany("INSERT INTO posts VALUES (:picture, :tags, :owner)", rows)
    connection.close()
    return path.read_bytes()


def _archive(handle: io.BytesIO, rows: list[dict[str, str]], picture: bytes) -> None:
    with tarfile.open(fileobj=handle, mode="w") as archive:
        for row in rows:
            described = json.dumps({"tags": row["tags"].split("; ")}).encode()
            for name, content in ((row["picture"], picture), (row["picture"].replace("png", "json"), described)):
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _written(save: Callable[[io.BytesIO], Any]) -> bytes:
    handle = io.BytesIO()
    save(handle)
    return handle.getvalue()


if __name__ == "__main__":
    main()
