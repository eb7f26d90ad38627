"""``pretrain --tag-weights``: the weights reach the loss, and belong to the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tagwise
from tagwise.corpus.drawn import files as drawn
from tagwise.tags.space import LabelSpace
from tests.verbs.road import SMALL, Done

Here = Callable[..., Done]
Pretrain = Callable[..., Done]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a label space."""
    folder = tmp_path_factory.mktemp("tagged")
    drawn.write_corpus(folder / "drawn", pictures=40, seed=1)
    tagwise.gather([folder / "drawn" / "pictures.csv"], out=folder / "corpus", separator=";")
    tagwise.labels(folder / "corpus", out=folder / "space.json", min_count=4)
    return folder


@pytest.fixture
def pretrain(tagged: Path, here: Here, tmp_path: Path) -> Pretrain:
    """One step of 16 pictures."""

    def give(name: str, weights: str | None, *flags: str | Path) -> Done:
        path = tmp_path / "weights.csv"
        path.write_text(weights or "", "utf-8")
        weighed = () if weights is None else ("--tag-weights", path)
        step = ("--labels", tagged / "space.json", "--images", "16", "--batch", "16")
        return here("pretrain", tagged / "corpus", "-o", tmp_path / name, *step, *SMALL, *weighed, *flags)

    return give


def all_weights(tagged: Path, weight: float) -> list[str]:
    return [f"{label.key},{weight}\n" for label in LabelSpace.load(tagged / "space.json").labels]


def test_the_weights_reach_the_loss_and_belong_to_the_run(pretrain: Pretrain, tagged: Path, tmp_path: Path) -> None:
    """A loss whose labels all weigh 3 is three times as large; a run goes on with its own weights alone."""
    thrice = all_weights(tagged, 3)
    losses = []
    for name, weights in (("plain", None), ("weighed", "".join(thrice))):
        done = pretrain(name, weights)
        assert done.code == 0, done.err
        losses.append(json.loads((tmp_path / name / "scores.json").read_text())["first_loss"])
    assert losses[1] == pytest.approx(3 * losses[0], rel=1e-5)
    assert f"tag weights: {len(thrice)} other than 1, 3 to 3" in done.err

    again = pretrain("weighed", "tag,weight\n" + "".join(reversed(thrice)))
    assert (again.code, "is finished: it has this very plan" in again.err) == (0, True)
    for others in ("".join([*thrice[1:], thrice[0].replace("3", "2")]), None):
        refused = pretrain("weighed", others)
        assert refused.code == 2
        assert "is the run of another plan (tag_weights: " in refused.err


def test_a_plan_with_weights_is_given_back_with_them(pretrain: Pretrain, tagged: Path, tmp_path: Path) -> None:
    weights = "".join(all_weights(tagged, 2))
    assert pretrain("run", weights).code == 0
    plan = ("--plan", tmp_path / "run" / "plan.json", "--dry-run", "--rate", "100")
    assert pretrain("other", weights, *plan).code == 0
    refused = pretrain("other", None, *plan)
    assert (refused.code, "its tag_weights is " in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("weights", "code", "message"),
    [
        ("circle,nan\n", 2, "line 1: 'circle' weighs nan; give a number above 0"),
        ("circle,1\nred,-2\n", 2, "line 2: 'red' weighs -2; give a number above 0"),
        ("cirkle,2\n", 3, "None of the 1 tags of"),
        ("", 2, "holds no weights"),
    ],
)
def test_a_dry_run_refuses_weights_that_cannot_be_meant(
    pretrain: Pretrain, tmp_path: Path, weights: str, code: int, message: str
) -> None:
    done = pretrain("run", weights, "--dry-run", "--rate", "100")
    assert (done.code, message in done.err) == (code, True), done.err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_says_the_weights(pretrain: Pretrain) -> None:
    done = pretrain("run", "circles,2\nno such tag,3\n", "--dry-run", "--rate", "100")
    assert done.code == 0, done.err
    assert "1 other than 1, 2 to 2" in done.out
    assert "1 tags of weights.csv are no labels" in done.err
