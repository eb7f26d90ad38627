"""A comparison in several sittings: scores are kept, looks are on record, other pictures are another comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tagwise.base.errors import UsageError
from tagwise.base.files import read_json
from tagwise.base.views import View
from tagwise.nets import build
from tagwise.training.models import Model, ModelFacts
from tagwise.transfer import comparison
from tagwise.transfer import contest as contests
from tagwise.transfer.comparison import Arena
from tagwise.transfer.contest import Contest
from tagwise.transfer.opening import open_target
from tagwise.transfer.records import COMPARISON_FILE
from tagwise.transfer.targets import Part, pack_part
from tests.training.tiny import CPU, DESIGN, tiny_plan
from tests.transfer.conftest import Fill

VIEW = View(resolution=12, resize=12)


@pytest.fixture
def birds(tmp_path: Path, fill: Fill) -> Path:
    fill(tmp_path / "birds" / "train", owl=6, wren=6)
    fill(tmp_path / "birds" / "test", seed=1, owl=4, wren=4)
    return tmp_path / "birds"


def contest(folder: Path, test: Path | None = None) -> Contest:
    """The target as it lies there now, a model's vote, and one plan for the net from scratch."""
    torch.manual_seed(0)
    net = build(DESIGN, num_classes=5)
    model = Model(net=net, facts=ModelFacts(design=DESIGN, view=VIEW), name="m", digest="0" * 16)
    target = open_target(folder, test=test)
    arena = Arena(target=target, pixels=folder.parent / "pixels", device=CPU, seed=0, workers=1)
    plan = tiny_plan(task="train", data=target.train.digest, view=VIEW, images=64)
    return Contest(arena=arena, models={"m": model}, by=("knn",), fine_tuning={}, scratch=[plan])


def test_p14_a_finished_comparison_is_read_not_scored_again(
    birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = contest(birds).hold(tmp_path / "out")
    again = contest(birds)
    assert again.hold(tmp_path / "out") == first
    assert (first.test_looks, again.arena.target.looks) == (2, 0)
    assert "is finished" in capsys.readouterr().err


def test_a_comparison_names_its_test_which_may_be_called_anything(birds: Path, tmp_path: Path) -> None:
    """The same pictures under another name are the same comparison."""
    assert contest(birds).hold(tmp_path / "own").tested_on == "the test part of birds"
    first = contest(birds / "train", (birds / "test").rename(tmp_path / "unseen")).hold(tmp_path / "out")
    assert first.tested_on == "unseen"
    moved = (tmp_path / "unseen").rename(tmp_path / "elsewhere")
    assert contest(birds / "train", moved).hold(tmp_path / "out") == first


@pytest.mark.parametrize("part", ["train", "test"])
def test_p14_scores_are_not_served_for_pictures_that_changed(
    birds: Path, tmp_path: Path, fill: Fill, part: str
) -> None:
    """One picture under its old name is enough."""
    first = contest(birds).hold(tmp_path / "out")
    fill(birds / part, seed=2, owl=1)
    changed = contest(birds)
    with pytest.raises(UsageError, match=rf"is another comparison \(.*{part}_digest: .* -> .*--overwrite"):
        changed.hold(tmp_path / "out")
    assert changed.arena.target.looks == 0
    again = changed.hold(tmp_path / "out", overwrite=True)
    assert again.test_looks == 2
    digests = {name: getattr(first, name) != getattr(again, name) for name in ("train_digest", "test_digest")}
    assert digests == {f"{name}_digest": name == part for name in ("train", "test")}


def test_w18_a_look_is_on_disk_before_the_test_pictures_are_read(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies over the test part has looked, and says so when it goes on."""

    def dying(part: Part, *rest: Any) -> Any:
        if part.name == "test":
            raise KeyboardInterrupt
        return pack_part(part, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "pack_part", dying)
        for looks in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                contest(birds).hold(tmp_path / "out")
            state = read_json(tmp_path / "out" / COMPARISON_FILE)
            assert (state["test_looks"], state["scores"]) == (looks, {})
    assert contest(birds).hold(tmp_path / "out").test_looks == 2 + 2


def test_p14_a_stopped_comparison_scores_only_what_is_left(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(contests, "judge_features", stopped)
        with pytest.raises(KeyboardInterrupt):
            contest(birds).hold(tmp_path / "out")
    assert list(read_json(tmp_path / "out" / COMPARISON_FILE)["scores"]) == ["scratch/train"]
    again = contest(birds)
    rows = again.hold(tmp_path / "out").rows
    assert [(row.model, row.protocol) for row in rows] == [("scratch", "train"), ("m", "knn")]
    assert again.arena.target.looks == 1
