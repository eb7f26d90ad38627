"""Every command of ``docs/labels.md`` runs in its order, and its Python leaves a sampling index."""

from __future__ import annotations

import csv
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagwise import cli
from tagwise.corpus.table import Corpus
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.laws import LAW_FORMS
from tagwise.tags.noise import KINDS
from tagwise.tags.space import LabelSpace
from tagwise.training import estimate
from tests.conftest import REPOSITORY
from tests.references.wordnet import write_wordnet
from tests.verbs.road import SMALL

TEXT = (REPOSITORY / "docs" / "labels.md").read_text("utf-8")
WORDS = ("#BrownBear", "Ursus arctos", "beagle", "Beagles", "crane", "cat", "kitty", "love", "bruin", "ootd", "ox")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert all(line.startswith("tagwise ") for line in lines), "a reader can copy every block"
    return [shlex.split(line)[1:] for line in lines]


def table(path: Path, pictures: int) -> Path:
    """Picture n has every word whose place divides n, so that few words are frequent."""
    noise = np.random.default_rng(0)
    (path.parent / "p").mkdir(exist_ok=True)
    rows = []
    for number in range(pictures):
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), np.uint8)).save(path.parent / "p" / f"{number}.png")
        held = [word for place, word in enumerate(WORDS, start=1) if number % place == 0]
        rows.append((f"p/{number}.png", ";".join(held), f"person {number % 7}"))
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("picture", "tags", "owner"), *rows])
    return path


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who gave every command and ran the Python."""
    folder, before, patch = tmp_path_factory.mktemp("reader"), signal.getsignal(signal.SIGTERM), pytest.MonkeyPatch()
    write_wordnet(folder / "wordnet")
    (folder / "aliases.tsv").write_text("kitty\tcat\n", "utf-8")
    (folder / "deny.txt").write_text("love\n", "utf-8")
    (folder / "classes.txt").write_text("bear\ndog\ncrane\n", "utf-8")
    with patch.context():
        patch.chdir(folder)
        patch.setattr(estimate, "_trial", lambda *_: 0.01)
        for name, pictures in (("corpus", 120), ("corpus_new", 140)):
            run("gather", str(table(folder / f"{name}.csv", pictures)), "-o", name, "--separator", ";")
        for words in commands():
            run(*words, *(SMALL if words[0] == "pretrain" else ()))
        for block in blocks("python"):
            exec(block, {})  # noqa: S102 - the page's own
    signal.signal(signal.SIGTERM, before)
    patch.undo()
    return folder


def run(*words: str) -> None:
    assert cli.run(list(words)) == 0, shlex.join(words)


def test_every_command_of_the_page_leaves_what_it_promises(walked: Path) -> None:
    [files] = [part for part in TEXT.split("\n\n") if part.startswith("| file | what |")]
    promised = re.findall(r"^\| `(space\.[^`]+)`", files, re.MULTILINE)
    assert len(promised) == 3
    assert {path.name for path in walked.glob("space.*")} == set(promised)
    spaces = {name: LabelSpace.load(walked / f"{name}.json") for name in ("space", "merged", "aimed", "grown")}
    assert spaces["merged"].encode("Ursus arctos") == spaces["merged"].encode("brown bear") is not None
    assert spaces["merged"].encode("bruin") != spaces["merged"].encode("brown bear")
    assert {label.key for label in spaces["aimed"].labels} == {"brownbear", "beagle", "crane"}
    assert spaces["aimed"].encode("bruin") == spaces["aimed"].encode("brown bear"), "at a target of bears"
    assert spaces["grown"].base is not None
    assert not (walked / "runs").exists(), "a dry run trains nothing"


def test_the_python_of_the_page_writes_a_sampling_index(walked: Path) -> None:
    index = EpochIndex.load(walked / "index")
    pictures = len(index.rows)
    assert 0 < pictures <= Corpus.open(walked / "corpus").pictures
    assert index.expected_length == pytest.approx(1.5 * pictures)


def test_the_page_names_every_law_threshold_and_noise() -> None:
    told = set(re.findall(r"`([a-z][a-z:.=0-9-]*)`", TEXT))
    assert set(LAW_FORMS) <= told
    assert {"length=1.5", "tail=0.3", "quantile=0.2", *KINDS} <= told
    assert {"keys", "union", "target", "signature"} <= told


def test_the_page_claims_no_figure_of_a_threshold_that_would_not_be_chosen() -> None:
    """The rows of laws stand for what ``choose_threshold`` gives today."""
    from bench.labels import laws
    from bench.record import read_record

    record = read_record("labels")
    assert record is not None
    for now, told in zip(laws(), record["results"]["laws"], strict=True):
        assert now.keys() == told.keys()
        for name, value in now.items():
            assert told[name] == (pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value), name
