"""Mutated pictures through ``decode`` and mutated sources through ``gather``: what nobody foresaw is a failure.

    python -m bench.fuzz --cases 10000
    python -m bench.fuzz --only 4711        one case again, with its traceback

Known refusals are counted. Any other error, a broken promise of ``_keeps_promises``, or a case of more than ten
seconds of the processor is a failure, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from bench.fuzz_damage import PICTURES, damaged
from bench.fuzz_forms import FORMS, hostile_rows
from bench.record import write_record
from tagwise.base import rng
from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable, progress
from tagwise.corpus.table import MARKER, SKIPPED, Corpus
from tagwise.pixels.decode import MAX_PIXELS, decode, measure
from tagwise.pixels.place import PictureRefused
from tagwise.pixels.quiet import quiet_libraries
from tagwise.tags.labelling import build_label_space
from tagwise.verbs.gather import GatherResult, gather

SLOW_SECONDS = 10.0
SEPARATORS = (";", ",", " ", "json", "none")


def main() -> None:
    """Runs the cases and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case, whose error comes out; no record is written")
    arguments = parser.parse_args()
    with _empty_folder() as folder, quiet_libraries():
        faulthandler.enable(sys.stderr)  # a library that crashes takes the whole run with it
        if arguments.only is not None:
            sys.exit(print(kind_of(arguments.only), run(arguments.only, arguments.seed, folder), sep=": "))
        results = run_all(arguments.cases, arguments.seed, folder)
    print(write_record("fuzz", results, packages=("tagwise", "pillow", "pyarrow", "numpy")))
    sys.exit(1 if results["failures"] else 0)


def run_all(cases: int, seed: int, folder: Path) -> dict[str, Any]:
    """The outcomes by kind of case, and the failures."""
    outcomes: dict[str, Counter[str]] = {}
    failures: list[dict[str, Any]] = []
    slowest = 0.0
    with progress("fuzzing", cases, "cases") as ticker:
        for case in range(cases):
            kind, began = kind_of(case), time.process_time()
            try:
                outcome = run(case, seed, folder)
            except Exception as error:  # what nobody foresaw is what this looks for
                outcome = "failed"
                failures.append({"case": case, "error": printable(f"{kind}: {type(error).__name__}: {error}")})
            seconds = time.process_time() - began
            if seconds > SLOW_SECONDS:
                failures.append({"case": case, "error": f"{kind}: {seconds:.0f} seconds"})
            slowest = max(slowest, seconds)
            outcomes.setdefault(kind, Counter())[outcome] += 1
            ticker.advance(failures=len(failures))
    return {
        "cases": cases,
        "failed": len(failures),
        "failures": failures[:20],
        "slowest_seconds": round(slowest, 2),
        "outcomes": {kind: dict(sorted(outcomes[kind].items())) for kind in sorted(outcomes)},
    }


def kind_of(case: int) -> str:
    """Pictures and forms of sources in turn."""
    kinds = list(PICTURES if case % 2 else FORMS)
    return kinds[case // 2 % len(kinds)]


def run(case: int, seed: int, folder: Path) -> str:
    """The outcome of one case, which its number decides.

    Raises:
        AssertionError: A promise is broken.
        Exception: Nobody foresaw it.
    """
    kind, generator = kind_of(case), rng.stream(seed, "fuzz", case)
    if kind in PICTURES:
        return _decoded(damaged(PICTURES[kind], generator))
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return _gathered(kind, generator, folder)


def _decoded(content: bytes) -> str:
    try:
        picture = decode(content)
    except PictureRefused as refusal:
        _one_clause(refusal.reason)
        return "refused"
    pixels = picture.pixels_HWC
    assert pixels.dtype == np.uint8, pixels.dtype
    assert pixels.ndim == 3 and pixels.shape[2] == 3, pixels.shape  # noqa: PT018 - not a test
    assert 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS, pixels.shape
    assert sorted(measure(content)) == sorted(pixels.shape[:2]), "the header and the pixels differ in size"
    return "read"


def _gathered(form: str, generator: Generator, folder: Path) -> str:
    rows = hostile_rows(generator)
    source = FORMS[form](folder / "in", rows, generator)
    _damage_a_file(source, generator)
    out, said, before = folder / "out", StringIO(), _listing(folder)
    try:
        with redirect_stderr(said):
            result = gather([source], out, **_flags(form, folder, generator), workers=2)
    except (UsageError, DataRefused) as refusal:  # the only two for which bad data are a reason
        _one_clause(str(refusal))
        assert not (out / MARKER).exists(), "a refusal leaves a corpus"
        return f"refused, exit code {refusal.exit_code}"
    else:
        _keeps_promises(result, said.getvalue())
        return "gathered whole" if result.record.buckets["used"] == result.record.read else "gathered in part"
    finally:
        after = {path: facts for path, facts in _listing(folder).items() if path.parts[0] != "out"}
        after.pop(Path(f"out-{SKIPPED}"), None)
        assert after == before, f"touched: {after.keys() ^ before.keys() or 'a source'}"


def _keeps_promises(result: GatherResult, said: str) -> None:
    """Each post is in one bucket and listed; each tag has one fate; all pictures can be read; no word is harmful."""
    record, corpus = result.record, Corpus.open(result.folder)
    keys = corpus.columns("key")["key"]
    with (result.folder / SKIPPED).open(encoding="utf-8", newline="") as handle:
        listed = Counter(row["bucket"] for row in csv.DictReader(handle))
    assert listed | Counter(used=len(keys)) == Counter(record.buckets), "the list and the buckets disagree"
    assert record.read == sum(record.buckets.values())
    assert len(set(keys)) == len(keys), "a key stands twice"
    assert sum(build_label_space(corpus.tag_table()).space.fates.values()) == record.tags
    for line in f"{said}{result}".split("\n"):
        assert line == printable(line, len(line)), f"not printable: {line!r}"
    if "header alone was read" not in record.notes:
        for place in corpus.picture_places():
            decode(place)


def _flags(form: str, folder: Path, generator: Generator) -> dict[str, Any]:
    """What a person might say: mostly what is true of the source, so that the rows are reached."""
    flags: dict[str, Any] = {
        "decode": str(generator.choice(["all", "all", "headers", "3"])),
        "pack": bool(generator.random() < 0.3),
        "licences": ["CC0"] if generator.random() < 0.1 else None,
        "max_skipped_fraction": 0.05 if generator.random() < 0.1 else 1.0,
    }
    if form != "class folders" and generator.random() < 0.7:
        flags["separator"] = ";" if generator.random() < 0.8 else str(generator.choice(SEPARATORS))
    if form.startswith("table") and generator.random() < 0.7:
        flags |= {"picture_column": "picture", "tags_column": "tags"}
    if form.startswith("captions"):
        flags |= {"caption_column": "tags", "lexicon": folder / "in" / "words.lst"}
        flags.pop("tags_column", None)
    return flags


def _damage_a_file(source: Path, generator: Generator) -> None:
    """In two of five cases one file of the source is damaged."""
    if generator.random() < 0.6:
        return
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    path = files[generator.integers(len(files))]
    path.write_bytes(damaged(path.read_bytes(), generator))


def _one_clause(text: str) -> None:
    shown = printable(text, len(text))
    assert text, "a refusal without a word"
    assert len(shown) < 2000, f"a refusal of {len(shown)} characters"


def _listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file and folder with size and time of change."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            facts = os.lstat(os.path.join(root, name))  # noqa: PTH118 - names that no Path can hold
            is_file = name in files
            found[Path(root, name).relative_to(folder)] = (facts.st_size, facts.st_mtime_ns) if is_file else (0, 0)
    return found


@contextmanager
def _empty_folder() -> Iterator[Path]:
    """The working folder and the place of temporary files too, so that nothing written goes unseen."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder, started = Path(name).resolve() / "case", Path.cwd()
        folder.mkdir()
        os.chdir(folder)
        tempfile.tempdir = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = None
            os.chdir(started)


if __name__ == "__main__":
    main()
