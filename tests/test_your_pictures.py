"""P32: every command of ``docs/your-pictures.md`` runs, in its order, on small data laid out as the page assumes."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from tagwise import cli
from tagwise.corpus.drawn import files as drawn
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "your-pictures.md"
SIZES = {
    "labels": ("--min-count", "5"),
    "pretrain": ("--images", "512", "--resolution", "16", "--design", "resnext11_4x4d_small"),
    "compare": ("--epochs", "1"),
}
"""What is made smaller here; all else is given as it stands on the page."""


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("tagwise ") for line in lines), "a person can copy every block"
    return [shlex.split(line)[1:] for line in lines]


def smaller(words: list[str]) -> list[str]:
    """The command with the sizes of ``SIZES`` instead of its own."""
    words = list(words)
    flags = dict(zip(*[iter(SIZES.get(words[0], ()))] * 2, strict=True))
    for flag, value in flags.items():
        if flag in words:
            words[words.index(flag) + 1] = value
        else:
            words += [flag, value]
    return words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folder: a table, class folders, sidecars, a target, and some lists."""
    drawn.write_corpus(tmp_path, pictures=150, seed=3)
    (tmp_path / "pictures.csv").rename(tmp_path / "photos.csv")
    with (tmp_path / "photos.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    with (tmp_path / "photos.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, (*rows[0], "licence"))
        writer.writeheader()
        writer.writerows(row | {"licence": "CC-BY-4.0" if place % 3 else ""} for place, row in enumerate(rows))
    (tmp_path / "captioned").mkdir()
    for row in rows[:40]:
        copy = Path(shutil.copy(tmp_path / row["picture"], tmp_path / "captioned"))
        copy.with_suffix(".txt").write_text(row["tags"].replace(";", ","), "utf-8")
    drawn.write_target(tmp_path / "target", train_per_class=4, test_per_class=4, seed=3)
    shutil.copytree(tmp_path / "target" / "train", tmp_path / "by_class")
    drawn.write_new(tmp_path / "new_photos", count=3, seed=3)
    drawn.write_aliases(tmp_path / "aliases.tsv")
    (tmp_path / "deny.txt").write_text("love\ninstagood\n")
    (tmp_path / "opt_out.txt").write_text("user1\npictures/000/000002.jpg\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_p32_every_command_of_the_page_runs_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        for words in commands():
            code = cli.run(smaller(words))
            said = capsys.readouterr()
            assert code == 0, f"{shlex.join(words)}\n{said.out}{said.err}"
            assert said.out, "every verb says what came of it"
    finally:
        signal.signal(signal.SIGTERM, before)
    for promised in (
        *(
            "corpus/card.html",
            "corpus/card.md",
            "corpus/skipped.csv",
            "space.json.fates.csv",
            "tags.csv",
            "report.html",
        ),
        *(f"new_photos/new{number}.txt" for number in range(3)),
    ):
        assert (folder / promised).is_file(), promised


def test_p32_the_page_walks_the_whole_road() -> None:
    verbs = [words[0] for words in commands()]
    assert set(verbs) == {"gather", "labels", "pretrain", "predict", "compare", "report"}
    assert verbs[:4] == ["gather", "gather", "gather", "labels"], "a table, class folders, sidecars"
