"""Terms that forbid commercial use go with the weights into all that is trained from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tagwise
from tagwise.nets import build, find_weights, weights
from tagwise.training.models import ModelFacts, save_model
from tests.training.tiny import DESIGN, VIEW
from tests.verbs.road import Done, Road

Here = Callable[..., Done]
ROW = find_weights("resnext101_32x8d_wsl")
TOLD = f"Weights that come from {ROW.origin} are licensed CC-BY-NC-4.0: not for commercial use."
SHORT = ("--images", "64", "--set", "precision=float32")


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A small model that says that it came from such weights."""
    torch.manual_seed(0)
    facts = ModelFacts(design=DESIGN, view=VIEW, classes=("kite", "owl"), lineage=(ROW.origin,), licence=ROW.licence)
    save_model(tmp_path / "start.safetensors", build(DESIGN, num_classes=2), facts)
    return tmp_path / "start.safetensors"


def test_p24_terms_are_inherited_through_generations_and_said_once_by_every_verb(
    here: Here, road: Road, tmp_path: Path, start: Path
) -> None:
    tagger, classifier, target = tmp_path / "tagger", tmp_path / "classifier", road / "target"
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("pretrain", road / "corpus", "--labels", road / "space.json", "--from", start, "-o", tagger, *SHORT),
        ("train", target, "--from", tagger, "-o", classifier, *SHORT),
        ("evaluate", target, "--model", classifier),
        ("predict", road / "new", "--model", classifier),
        ("compare", target, "--model", classifier, "--by", "knn", "--epochs", "1", "-o", tmp_path / "comparison"),
    )
    for command in commands:
        weights._say_once.cache_clear()
        done = here(*command, "--device", "cpu")
        assert done.code == 0, done.err
        assert done.err.count(TOLD) == 1, command
    facts = tagwise.load(classifier).facts
    assert (facts.licence, facts.lineage[0], len(facts.lineage)) == ("CC-BY-NC-4.0", ROW.origin, 3)
    assert here("evaluate", target, "--model", classifier, "--device", "cpu", "--json").json["licence"] == facts.licence


def test_p24_what_may_be_sold_says_nothing(road: Road, capsys: pytest.CaptureFixture[str]) -> None:
    tagwise.load(road / "runs" / "a")
    assert capsys.readouterr().err == ""
