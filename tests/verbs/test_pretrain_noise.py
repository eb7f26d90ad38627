"""``pretrain --set noise=KIND:p``: the noise reaches the labels and the laws, belongs to the run, and stays there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagwise
from tagwise.corpus import table as corpus_table
from tagwise.corpus.drawn import files as drawn
from tagwise.corpus.table import Corpus
from tagwise.tags.noise import Noise, with_noise
from tagwise.tags.space import LabelSpace, LexiconFacts
from tagwise.tags.table import text_numbers
from tagwise.transfer import evaluation, features
from tagwise.verbs.noising import add_noise
from tests.verbs.road import SMALL, Done

Here = Callable[..., Done]
Pretrain = Callable[..., Done]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a label space."""
    folder = tmp_path_factory.mktemp("tagged")
    drawn.write_corpus(folder / "drawn", pictures=60, seed=1)
    tagwise.gather([folder / "drawn" / "pictures.csv"], out=folder / "corpus", separator=";")
    tagwise.labels(folder / "corpus", out=folder / "space.json", min_count=4)
    return folder


@pytest.fixture
def pretrain(tagged: Path, here: Here, tmp_path: Path) -> Pretrain:
    """One step of 16 pictures."""

    def give(*flags: str | Path) -> Done:
        step = ("--labels", tagged / "space.json", "--images", "16", "--batch", "16")
        return here("pretrain", tagged / "corpus", "-o", tmp_path / "run", *step, *SMALL, *flags)

    return give


def files(tagged: Path) -> dict[str, bytes]:
    """What noise has to leave alone; packed pixels are no labels."""
    found = (path for path in sorted(tagged.rglob("*")) if path.is_file() and "pixels" not in path.parts)
    return {str(path): path.read_bytes() for path in found}


def test_w14_evaluation_sees_nothing_of_the_noise(
    pretrain: Pretrain, here: Here, tagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean and a noisy run of one seed are judged on the same bits, even on the pictures that they learnt from."""
    corpus, space = Corpus.open(tagged / "corpus"), LabelSpace.load(tagged / "space.json")
    clean = space.encode_table(corpus.tag_table())
    for row, place in enumerate(corpus.picture_places()):
        for label in clean.ids[clean.offsets[row] : clean.offsets[row + 1]][-1:].tolist():
            (tmp_path / "target" / space.labels[label].key).mkdir(parents=True, exist_ok=True)
            (tmp_path / "target" / space.labels[label].key / f"{row}.jpg").write_bytes(place.read())

    seen: list[bytes] = []
    score, scores = features.score, evaluation._scores

    def scored(net: Any, pixels: Any, *rest: Any) -> Any:
        seen.append(pixels.tobytes())
        return score(net, pixels, *rest)

    def compared(logits: Any, truth: Any) -> Any:
        seen.append(truth.tobytes())
        return scores(logits, truth)

    monkeypatch.setattr(evaluation, "score", scored)
    monkeypatch.setattr(evaluation, "_scores", compared)
    judged, examples = [], []
    for noise in ((), ("--set", "noise=uniform:0.9")):
        assert pretrain(*noise, "--seed", "5", "--overwrite").code == 0
        done = here("evaluate", tmp_path / "target", "--model", tmp_path / "run", "--device", "cpu", "--json")
        assert done.code == 0, done.err
        judged.append((done.json["test_digest"], *seen))
        read = json.loads((tmp_path / "run" / "examples.json").read_text())
        examples.append([{name: value for name, value in example.items() if name != "said"} for example in read])
        seen.clear()
    assert len(judged[0]) > 2
    assert judged[0] == judged[1]
    assert examples[0] == examples[1]


def test_w14_noise_is_counted_reported_and_of_the_run(pretrain: Pretrain, tagged: Path, tmp_path: Path) -> None:
    before = files(tagged)
    noisy = ("--set", "noise=marginal:0.25", "--seed", "5")
    done = pretrain(*noisy)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["noise"] == "marginal:0.25"
    laws = json.loads((tmp_path / "run" / "laws.json").read_text())
    assert f"noise: marginal:0.25: {laws['noise']['changed']}" in done.err

    corpus, space = Corpus.open(tagged / "corpus"), LabelSpace.load(tagged / "space.json")
    clean = space.encode_table(corpus.tag_table())
    records = text_numbers(corpus.columns("key")["key"])
    found = with_noise(clean.ids, clean.offsets, records, Noise("marginal", 0.25), labels=len(space), seed=5)
    assert laws["noise"]["changed"] == found.changed > 0
    share = np.repeat(1 / np.maximum(np.diff(found.assignment.offsets), 1), np.diff(found.assignment.offsets))
    mass = np.bincount(found.assignment.ids, weights=share, minlength=len(space))
    assert laws["laws"]["natural"] == pytest.approx((mass / mass.sum()).tolist()), "laws are those of the noise"

    keys = {label.key for label in space.labels}
    for example in json.loads((tmp_path / "run" / "examples.json").read_text()):
        encoded = {space.encode(tag) for tag in example["written"]} - {None}
        assert {space.labels[label].key for label in encoded if label is not None} == set(example["labels"]) <= keys
    assert files(tagged) == before, "corpus and space stay as they were"

    page = tmp_path / "report.html"
    tagwise.report([tmp_path / "run"], out=page)
    told = page.read_text("utf-8")
    for words in ("Noise in the labels", "marginal, expected", "marginal-with-self, expected"):
        assert words in told

    again = pretrain(*noisy)
    assert (again.code, "is finished: it has this very plan" in again.err) == (0, True)
    for other in (("--set", "noise=marginal:0.5", "--seed", "5"), ("--seed", "5")):
        refused = pretrain(*other)
        assert (refused.code, "is the run of another plan (noise: " in refused.err) == (2, True), refused.err


def test_w4_tags_that_outgrow_the_memory_give_the_same_run(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, names = ("--set", "noise=dropped:0.5"), ("plan.json", "laws.json", "examples.json", "exposures.json")
    assert pretrain(*flags).code == 0
    few = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    shutil.rmtree(tmp_path / "run")
    monkeypatch.setattr(corpus_table, "IN_MEMORY_TAGS", 0)
    monkeypatch.setattr(Corpus, "tag_table", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    done = pretrain(*flags)
    assert done.code == 0, done.err
    assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == few
    assert not any((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("noise", "code", "message"),
    [
        ("marginl:0.1", 2, "There is no noise 'marginl'; the nearest"),
        ("marginal:nan", 2, "above 0 and below 1; write for instance marginal:0.25"),
        ("0.25", 2, "The noise 0.25 has no kind; write for instance noise=marginal:0.25"),
        ("synonym:0.5", 3, "No label of this space has a synset"),
        ("confusable:0.5", 3, "tagwise labels --lexicon"),
    ],
)
def test_a_dry_run_refuses_noise_that_cannot_be_meant(
    pretrain: Pretrain, tmp_path: Path, noise: str, code: int, message: str
) -> None:
    done = pretrain("--set", f"noise={noise}", "--dry-run", "--rate", "100")
    assert (done.code, message in done.err) == (code, True), done.err
    assert not (tmp_path / "run").exists()


def test_noise_of_a_file_is_that_of_the_plan_and_the_flag_wins(pretrain: Pretrain, tmp_path: Path) -> None:
    (tmp_path / "noisy.toml").write_text('noise = "dropped:0.5"\n', "utf-8")
    dry = ("--plan", tmp_path / "noisy.toml", "--dry-run", "--rate", "100")
    assert "dropped:0.5: " in pretrain(*dry).out
    assert "uniform:0.1: " in pretrain(*dry, "--set", "noise=uniform:0.1").out
    assert "labels changed" not in pretrain(*dry, "--set", "noise=null").out


def test_noise_reads_the_keys_of_the_pictures_without_a_list(tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, space = Corpus.open(tagged / "corpus"), LabelSpace.load(tagged / "space.json")
    clean = space.encode_table(corpus.tag_table())
    monkeypatch.setattr(Corpus, "columns", None)
    assert add_noise("uniform:0.5", 1, corpus, space, clean)[1].changed > 0


@pytest.mark.parametrize(("noise", "groups"), [("confusable:0.9", 2), ("synonym:0.9", 3)])
def test_w14_neighbours_are_those_of_the_space(tagged: Path, noise: str, groups: int) -> None:
    """Labels by turns of three synsets, those under two parents; the last has none and stays."""
    space = LabelSpace.load(tagged / "space.json")
    last = len(space) - 1
    labels = [replace(label, synsets=(f"n{i % 3}",) if i < last else ()) for i, label in enumerate(space.labels)]
    facts = LexiconFacts(version="mine", digest="", parents={"n0": ("p0",), "n1": ("p1",), "n2": ("p0",)})
    corpus, space = Corpus.open(tagged / "corpus"), replace(space, labels=tuple(labels), lexicon=facts)
    clean = space.encode_table(corpus.tag_table())
    noisy, told = add_noise(noise, 1, corpus, space, clean)
    group_of = np.array([-1 if i == last else i % 3 % groups for i in range(len(space))])
    rows = np.repeat(np.arange(corpus.pictures), np.diff(clean.offsets))
    by_row = [np.sort(rows * 9 + group_of[ids]).tolist() for ids in (clean.ids, noisy.ids)]
    assert by_row[0] == by_row[1]
    assert told.changed > told.unchangeable > 0


def test_noise_is_for_tags_alone(here: Here, tmp_path: Path) -> None:
    drawn.write_target(tmp_path / "target", train_per_class=2, test_per_class=1, seed=1)
    done = here("train", tmp_path / "target", "-o", tmp_path / "run", "--set", "noise=uniform:0.1", "--dry-run", *SMALL)
    assert (done.code, "noise is for the tags of a pretraining, and task is train" in done.err) == (2, True), done.err
