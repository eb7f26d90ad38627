"""Scores: settings chosen on what was held out of the training part, one look at the test, an honest interval."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.base.views import View
from tagwise.measure.accuracy import mean_class_accuracy
from tagwise.measure.intervals import wilson
from tagwise.nets import build
from tagwise.pixels.augment import Augment
from tagwise.pixels.place import Place
from tagwise.training.models import Model, ModelFacts
from tagwise.training.plans import Plan
from tagwise.transfer import comparison
from tagwise.transfer.comparison import Arena, Judged, judge_features, judge_training, score_test
from tagwise.transfer.finetune import train_classes
from tagwise.transfer.knn import NEIGHBOURS
from tagwise.transfer.linear import PENALTIES
from tagwise.transfer.opening import open_target
from tagwise.transfer.targets import Part, Pictures, Target
from tests.training.tiny import CPU, DESIGN, tiny_plan
from tests.transfer.conftest import Fill

Kind = Literal["knn", "linear", "train"]
KINDS: tuple[Kind, ...] = ("knn", "linear", "train")
VIEW = View(resolution=12, resize=12)
OPTIONS = {"knn": NEIGHBOURS, "linear": PENALTIES, "train": (1.0, 4.0)}


@pytest.fixture
def birds(tmp_path: Path, fill: Fill) -> Target:
    """Three classes that differ in colour."""
    fill(tmp_path / "birds" / "train", kite=12, owl=12, wren=12)
    fill(tmp_path / "birds" / "test", seed=1, kite=8, owl=8, wren=8)
    return open_target(tmp_path / "birds")


def arena_of(target: Target, folder: Path) -> Arena:
    return Arena(target=target, pixels=folder / "pixels", device=CPU, seed=0, workers=1)


def model() -> Model:
    torch.manual_seed(0)
    return Model(
        net=build(DESIGN, num_classes=5), facts=ModelFacts(design=DESIGN, view=VIEW), name="m", digest="0" * 16
    )


def plans(*rates: float) -> list[Plan]:
    still = Augment(smallest_area_fraction=1.0, aspect=1.0)
    return [tiny_plan(task="train", view=VIEW, images=320, rate_per_256=rate, augment=still) for rate in rates]


def judged(kind: Kind, arena: Arena) -> Judged:
    if kind == "train":
        return judge_training(arena, "scratch", plans(*OPTIONS["train"]), None)
    return judge_features(arena, "m", model(), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_consistent_and_says_what_it_chose(kind: Kind, birds: Target, tmp_path: Path) -> None:
    result = judged(kind, arena_of(birds, tmp_path))
    row, test = result.row, birds.open_test()
    assert (row.model, row.protocol) == ("scratch" if kind == "train" else "m", kind)
    assert (row.train_pictures, row.test_pictures) == (36, 24)
    assert row.accuracy == row.right / 24 == result.right.mean()
    assert (row.low, row.high) == wilson(row.right, 24)
    assert row.low <= row.accuracy <= row.high
    assert row.class_mean == pytest.approx(mean_class_accuracy(result.right, test.truth, 3))
    assert row.class_mean == pytest.approx(np.mean([share for share in row.class_accuracies if share is not None]))
    assert ((result.predicted == test.truth) == result.right).all()
    assert result.rows.tolist() == list(range(24))
    knob = {"knn": "k", "linear": "penalty", "train": "rate_per_256"}[kind]
    assert row.settings[knob] in OPTIONS[kind]
    assert row.tried == len(OPTIONS[kind])
    assert row.hold_out_accuracy is not None
    assert 0 <= row.hold_out_accuracy <= 1
    assert row.accuracy > 0.7, "colours are easy"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_score(kind: Kind, birds: Target, tmp_path: Path) -> None:
    rows = [judged(kind, arena_of(birds, tmp_path)).row for _ in range(2)]
    first, second = (dataclasses.replace(row, seconds=0.0) for row in rows)
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_w18_the_test_part_is_opened_once_and_last(
    kind: Kind, birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are gone: everything is searched and trained before anybody notices."""
    done: list[str] = []

    def note(name: str) -> None:
        original = getattr(comparison, name)

        def noted(*arguments: Any, **named: Any) -> Any:
            done.append(arguments[0].name if isinstance(arguments[0], Part) else name)
            return original(*arguments, **named)

        monkeypatch.setattr(comparison, name, noted)

    for name in ("pack_part", "train_classes", "knn_scores", "linear_scores"):
        note(name)
    test = birds.open_test()
    gone = Part(name="test", places=tuple(Place(f"{place.path}.gone") for place in test.places), truth=test.truth)
    target = Target(birds.name, birds.classes, birds.train, test=gone)
    with pytest.raises(DataRefused, match="24 of 24 pictures of the test part cannot be read"):
        judged(kind, arena_of(target, tmp_path))
    assert target.looks == 1
    assert done.count("test") == 1
    assert done[-1] == "test"
    searches = {"knn": 3 * len(NEIGHBOURS), "linear": 3 * len(PENALTIES), "train": 3 * 2 + 1}[kind]
    assert len([name for name in done if name not in ("train", "test")]) == searches


@pytest.mark.parametrize("kind", KINDS)
def test_w18_a_search_that_touches_the_test_part_fails(
    kind: Kind, birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peeking(*_: Any, **__: Any) -> None:
        birds.open_test()

    for name in ("knn_scores", "linear_scores", "train_classes"):
        monkeypatch.setattr(comparison, name, peeking)
    with pytest.raises(TagwiseError, match="opened during a search"):
        judged(kind, arena_of(birds, tmp_path))
    assert birds.looks == 0


def answers_of(monkeypatch: pytest.MonkeyPatch, best_held_out: int) -> None:
    """A vote that is right on held-out pictures for one k alone, and on the test for every other k alone."""

    def vote(train_ND: Any, truth: Any, query_ND: Any, *, k: int, classes: int) -> Any:
        searching = len(query_ND) != 24
        right = (k == best_held_out) == searching
        # the queries of a fold or of the test come class by class, so that their truth is known here
        expected = np.repeat(np.arange(classes), -(-len(query_ND) // classes))[: len(query_ND)]
        return np.eye(classes)[expected if right else (expected + 1) % classes]

    monkeypatch.setattr(comparison, "knn_scores", vote)


@pytest.mark.parametrize("best", NEIGHBOURS)
def test_w18_what_is_best_held_out_is_chosen_though_it_be_worst_on_the_test(
    best: int, birds: Target, tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "birds" / "val", seed=2, kite=5, owl=5, wren=5)
    answers_of(monkeypatch, best)
    row = judge_features(arena_of(open_target(tmp_path / "birds"), tmp_path), "m", model(), "knn").row
    assert (row.settings, row.hold_out_accuracy, row.accuracy) == ({"k": best}, 1.0, 0.0)


def test_a_validation_part_decides_where_there_is_one(tmp_path: Path, birds: Target, fill: Fill) -> None:
    """And nothing of the training part is held out then."""
    fill(tmp_path / "birds" / "val", seed=2, kite=5, owl=5, wren=5)
    target = open_target(tmp_path / "birds")
    ((fit, held),) = arena_of(target, tmp_path).hold_outs(VIEW)
    assert (len(fit.truth), len(held.truth)) == (36, 15)


def test_folds_partition_the_training_part(birds: Target, tmp_path: Path) -> None:
    pairs = arena_of(birds, tmp_path).hold_outs(VIEW)
    assert [(len(fit.truth), np.bincount(held.truth).tolist()) for fit, held in pairs] == [(24, [4, 4, 4])] * 3
    assert sorted(np.concatenate([held.rows for _, held in pairs]).tolist()) == list(range(36))
    for fit, held in pairs:
        assert not set(fit.rows.tolist()) & set(held.rows.tolist())


def test_of_many_pictures_one_third_is_held_out_once(
    birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "FEW_PICTURES", 35)
    pairs = arena_of(birds, tmp_path).hold_outs(VIEW)
    assert [(len(fit.truth), len(held.truth)) for fit, held in pairs] == [(24, 12)]


def test_the_final_run_sees_the_whole_training_part_and_the_better_plan(
    birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate of next to nothing loses."""
    seen: list[tuple[float, int]] = []

    def noted(plan: Plan, images: Any, *rest: Any, **named: Any) -> Any:
        seen.append((plan.rate_per_256, len(images)))
        return train_classes(plan, images, *rest, **named)

    monkeypatch.setattr(comparison, "train_classes", noted)
    row = judge_training(arena_of(birds, tmp_path), "scratch", plans(1e-9, 4.0), None).row
    assert seen == [(1e-9, 24)] * 3 + [(4.0, 24)] * 3 + [(4.0, 36)]
    assert row.settings["rate_per_256"] == 4.0


def test_a_plan_that_diverges_loses_and_the_search_goes_on(
    birds: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = judge_training(arena_of(birds, tmp_path), "scratch", plans(1e30, 4.0), None).row
    assert (row.settings["rate_per_256"], row.tried) == (4.0, 2)
    assert "would help. The search goes on without this plan." in capsys.readouterr().err


def test_a_single_plan_needs_no_search(birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    def noted(plan: Plan, images: Any, *rest: Any, **named: Any) -> Any:
        runs.append(len(images))
        return train_classes(plan, images, *rest, **named)

    monkeypatch.setattr(comparison, "train_classes", noted)
    row = judge_training(arena_of(birds, tmp_path), "scratch", plans(0.4), None).row
    assert (row.hold_out_accuracy, row.tried, runs) == (None, 1, [36])


def test_fine_tuning_leaves_the_model_as_it_was(birds: Target, tmp_path: Path) -> None:
    start = model()
    before = {name: tensor.clone() for name, tensor in start.net.state_dict().items()}
    judge_training(arena_of(birds, tmp_path), "m", plans(0.4), start)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.net.state_dict().items())


def test_one_picture_a_class_leaves_nothing_to_choose_on(tmp_path: Path, fill: Fill) -> None:
    """Said as data, not as a crash; a training of one plan chooses nothing and goes on."""
    fill(tmp_path / "t" / "train", kite=1, owl=1, wren=1)
    fill(tmp_path / "t" / "test", seed=1, kite=2, owl=2, wren=2)
    arena = arena_of(open_target(tmp_path / "t"), tmp_path)
    with pytest.raises(DataRefused, match="nothing can be held out"):
        judge_features(arena, "m", model(), "knn")
    with pytest.raises(DataRefused, match="nothing can be held out"):
        judge_training(arena, "scratch", plans(0.1, 0.4), None)
    assert arena.target.looks == 0
    assert judge_training(arena, "scratch", plans(0.4), None).row.test_pictures == 6


def test_two_pictures_a_class_always_hold_some_out(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "t" / "train", kite=2, owl=2)
    target = open_target(tmp_path / "t")
    for seed in range(30):
        arena = dataclasses.replace(arena_of(target, tmp_path), seed=seed)
        pairs: list[tuple[Pictures, Pictures]] = arena.hold_outs(VIEW)
        assert all(len(held.truth) > 0 for _, held in pairs)


def test_w18_a_finished_classifier_is_scored_with_one_look(birds: Target, tmp_path: Path) -> None:
    net = build(DESIGN, num_classes=3)
    result = score_test(birds, net, VIEW, tmp_path / "pixels", CPU)
    assert (result["test_looks"], result["test_digest"], result["test_pictures"]) == (1, birds.test_digest, 24)
    assert (result["low"], result["high"]) == wilson(result["right"], 24)


def test_the_better_plan_is_varied_and_folds_keep_its_epochs(
    birds: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 36 pictures each fold fits on 24 and sees two thirds as many; a variation is of the best so far."""
    seen: list[tuple[float, float, int, int]] = []

    def watched(plan: Plan, images_NHWC: Any, *rest: Any, **more: Any) -> Any:
        seen.append((plan.rate_per_256, plan.augment.light, plan.images, len(images_NHWC)))
        return train_classes(plan, images_NHWC, *rest, **more)

    def dark(plan: Plan) -> Plan:
        return dataclasses.replace(plan, augment=dataclasses.replace(plan.augment, light=0.9))

    def longer(plan: Plan) -> Plan:
        return dataclasses.replace(plan, images=3 * plan.images)

    monkeypatch.setattr(comparison, "train_classes", watched)
    arena, usual = arena_of(birds, tmp_path), plans(4.0)[0].images
    row = judge_training(arena, "scratch", plans(1e-9, 4.0), None, variations=(dark, longer)).row
    rate, light, images, _ = seen[-1]
    folds = [(tried, 0.0, usual * 24 // 36, 24) for tried in (1e-9, 4.0) for _ in range(3)]
    folds += [(rate, 0.9, usual * 24 // 36, 24)] * 3 + [(rate, light, 3 * usual * 24 // 36, 24)] * 3
    assert seen == [*folds, (rate, light, images, 36)]
    settings = row.settings
    assert (rate, light, images) == (settings["rate_per_256"], settings["augment"]["light"], settings["images"])
    assert images in (usual, 3 * usual)
    assert row.tried == 4
    assert row.longest == (images == 3 * usual), "then nobody knows what a longer one would reach"
