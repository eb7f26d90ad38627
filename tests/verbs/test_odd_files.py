"""P26 from end to end: each of the odd files is used or refused by ``gather`` and ``predict`` as its manifest asks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import tagwise
from tagwise.corpus.table import Corpus
from tests.verbs.test_predict import write_model


@pytest.fixture(scope="module")
def wanted(real_data: Path) -> dict[str, str]:
    """What a good reader does with each file: decode, convert, refuse, or one of two."""
    files = json.loads((real_data / "odd_files" / "manifest.json").read_text("utf-8"))["files"]
    return {entry["file"]: entry["good_reader"] for entry in files}


def disagreements(wanted: dict[str, str], problems: dict[str, str | None]) -> dict[str, tuple[str, str | None]]:
    """Files read though they should be refused, or refused though they should be read."""
    assert problems.keys() == wanted.keys()
    return {
        name: (outcome, problems[name])
        for name, outcome in wanted.items()
        if " or " not in outcome and (outcome == "refuse") != (problems[name] is not None)
    }


def test_p26_gather_uses_or_refuses_every_odd_file_as_its_manifest_says(
    real_data: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    table = tmp_path / "odd.csv"
    with table.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["picture", "tags"])
        writer.writerows((real_data / "odd_files" / name, f"tag {number}") for number, name in enumerate(wanted))
    result = tagwise.gather([str(table)], tmp_path / "corpus", separator="none", max_skipped_fraction=1.0)
    assert result.record.read == len(wanted) == 92
    with (tmp_path / "corpus" / "skipped.csv").open(encoding="utf-8", newline="") as handle:
        skipped = list(csv.DictReader(handle))
    assert {row["bucket"] for row in skipped} == {"damaged"}, "none is missing, and equal bytes are no duplicate key"
    used = Corpus.open(tmp_path / "corpus").columns("key")["key"]
    problems: dict[str, str | None] = dict.fromkeys(Path(key).name for key in used)
    problems |= {Path(row["key"]).name: row["reason"] for row in skipped}
    assert disagreements(wanted, problems) == {}


def test_p26_predict_tags_or_refuses_every_odd_file_as_its_manifest_says(
    real_data: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    model = str(write_model(tmp_path / "model.safetensors", ("a", "b", "c", "d", "e")))
    pictures = [real_data / "odd_files" / name for name in wanted]
    result = tagwise.predict(pictures, model=model, device="cpu", out=tmp_path / "tags.parquet")
    problems = {Path(answer.picture).name: answer.problem for answer in result.answers}
    assert disagreements(wanted, problems) == {}
    assert all(bool(getattr(answer, "outputs", ())) == (answer.problem is None) for answer in result.answers)
