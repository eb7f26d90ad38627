"""Recipe, model, file and flags come to one plan, and a dry run says what it would cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tagwise.base.errors import UsageError
from tagwise.base.settings import to_plain
from tagwise.base.views import View
from tagwise.corpus.drawn import files as drawn
from tagwise.nets import find_design
from tagwise.training.models import ModelFacts
from tagwise.training.plans import Plan
from tagwise.training.recipes import RECIPES
from tagwise.verbs.planning import PlanFlags, make_plan
from tests.verbs.road import Done

Here = Callable[..., Done]
VIEW = View(resolution=64, resize=72, mean=(0.5, 0.5, 0.5))
START: Any = SimpleNamespace(
    digest="abc", facts=ModelFacts(design=find_design("resnet20_cifar"), view=VIEW), net=None, name="a"
)


def plan_of(recipe: str = "scratch", start: Any = None, pictures: int = 1000, **flags: Any) -> Plan:
    given = dict.fromkeys(("plan", "design", "images", "batch", "resolution", "lr", "set_"))
    facts: dict[str, Any] = {"task": "train", "data": "digest", "seed": 3}
    return make_plan(RECIPES[recipe], pictures, PlanFlags(**{**given, **flags}), start, torch.device("cpu"), **facts)


def written(folder: Path, **settings: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(settings), "utf-8")
    return path


def test_without_flags_the_recipe_holds() -> None:
    plan = plan_of("fb_cifar10")
    assert plan == RECIPES["fb_cifar10"](1000, data="digest", seed=3, precision=plan.precision)


def test_the_model_to_begin_from_brings_its_design_and_view() -> None:
    plan = plan_of("bit", START)
    assert (plan.design, plan.view, plan.start) == (START.facts.design, VIEW, "abc")
    smaller = plan_of("bit", START, resolution=32).view
    assert (smaller.resolution, smaller.resize, smaller.mean) == (32, 36, VIEW.mean)


def test_pictures_that_are_padded_are_seen_whole_at_any_resolution() -> None:
    view = plan_of("fb_cifar10", resolution=64).view
    assert (view.resolution, view.resize) == (64, 64)


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path: Path) -> None:
    settings = {"batch": 64, "images": 9_000, "weight_decay": 0.5, "augment": {"flip": False}, "momentum": 0.5}
    path = written(tmp_path, **settings)
    plan = plan_of("fb_cifar10", plan=path, batch=16, images="2 epochs", set_=["momentum=0.7"])
    assert (plan.batch, plan.images, plan.momentum) == (16, 2_000, 0.7)
    assert (plan.weight_decay, plan.augment.flip, plan.augment.pad, plan.decay_on) == (0.5, False, 4, "all")
    assert plan.peak_rate == pytest.approx(0.1 * 16 / 128)
    assert plan_of("fb_cifar10", plan=path, lr=0.3).peak_rate == pytest.approx(0.3)


@pytest.mark.parametrize("recipe", ["scratch", "resnest", "rsb_a3", "fb_cifar10", "wsl"])
def test_a_runs_own_plan_is_given_back(recipe: str, tmp_path: Path) -> None:
    plan = plan_of(recipe, pictures=100_000, batch=128, resolution=40)
    assert plan_of("scratch", pictures=100_000, plan=written(tmp_path, **to_plain(plan))) == plan


@pytest.mark.parametrize(
    ("settings", "start", "message"),
    [
        ({"data": "other"}, None, "its data is other, here it is digest; leave data away"),
        ({"task": "pretrain"}, None, "its task is pretrain, here it is train"),
        ({"start": "abc"}, None, "its start is abc, here it is None"),
        ({"start": None}, START, "its start is None, here it is abc"),
        ({"design": "resnet50"}, START, "its design is Design"),
        ({"weight_decay": -1.0}, None, "weight_decay is 0 or more"),
        ({"decay": "steps"}, None, "milestones are given where decay is steps"),
    ],
)
def test_a_file_of_another_training_is_refused(
    settings: dict[str, Any], start: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of("scratch", start, plan=written(tmp_path, **settings))


def test_a_frozen_net_has_to_be_given() -> None:
    with pytest.raises(UsageError, match=r"stem\+4 is to stay as it was learnt; give the model with --from"):
        plan_of("wsl_linear")
    assert plan_of("wsl_linear", START).freeze == "stem+3"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned") / "target"
    drawn.write_target(folder, train_per_class=4, test_per_class=1, seed=1)
    return folder


def facts(done: Done) -> dict[str, str]:
    assert done.code == 0, done.err
    return dict(line.split("  ", 1) for line in done.out.splitlines() if "  " in line)


def test_p15_a_dry_run_by_a_papers_recipe(target: Path, here: Here, tmp_path: Path) -> None:
    arguments = ("--recipe", "resnext_cifar10", "--images", "15e6", "--rate", "1000", "--ranks", "8", "--dry-run")
    told = facts(here("train", target, "-o", tmp_path / "run", "--device", "cpu", *arguments))
    assert "14,999,936" in told["pictures seen"]
    assert "117,187 steps of 128" in told["pictures seen"]
    assert told["learning rate"].strip() == (
        "0.1 = 0.2 per 256 x 128 / 256; x 0.1 2 times, after 7,350,000, 11,100,000 pictures"
    )
    assert "weight decay 0.0005 on all parameters" in told["optimiser"]
    assert "of 16 pictures, in each of 8 processes" in told["memory"]
    assert told["time"].strip() == "4 h 10 min at 1,000 pictures/s, as given"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--ranks", "2"), "--ranks and --rate are for --dry-run; to train in several processes start it with"),
        (("--rate", "2"), "--ranks and --rate are for --dry-run"),
        (("--ranks", "0", "--dry-run"), "--ranks is 1 process or more, not 0."),
        (("--rate", "nan", "--dry-run"), "--rate is above 0 pictures a second, not nan."),
        (("--ranks", "3", "--dry-run", "--rate", "1"), "cannot be shared out evenly among 3 processes"),
        (("--recipe", "resnxt_cifar10"), "There is no recipe 'resnxt_cifar10'; the nearest are resnext_cifar10"),
        (
            ("--recipe", "fb_cifar10", "--batch", "128"),
            "A batch of 128 is larger than the 40 pictures that there are; give --batch at most",
        ),
        (("--recipe", "wsl_linear"), "stem+4 is to stay as it was learnt; give the model with --from."),
        (("--plan", "gone.toml"), "There is no file gone.toml."),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_written(
    target: Path, here: Here, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    done = here("train", target, "-o", tmp_path / "run", "--device", "cpu", *flags)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "run").exists()


def test_p15_the_papers_training_as_a_dry_run(here: Here, tmp_path: Path) -> None:
    """336 GPUs, 3.5 billion pictures, about 22 days (Mahajan et al. 2018): 1,840 pictures a second."""
    drawn.write_corpus(tmp_path / "drawn", pictures=80, seed=1)
    corpus, space = tmp_path / "corpus", tmp_path / "space.json"
    here("gather", tmp_path / "drawn" / "pictures.csv", "-o", corpus, "--separator", ";")
    here("labels", corpus, "-o", space, "--min-count", "3")
    common = (corpus, "--labels", space, "-o", tmp_path / "run", "--device", "cpu", "--dry-run", "--rate", "1840")
    told = facts(here("pretrain", *common, "--recipe", "wsl", "--images", "3.5e9", "--ranks", "336"))
    assert "434,027 steps of 8064" in told["pictures seen"]
    assert told["learning rate"].strip() == (
        "3.15 = 0.1 per 256 x 8064 / 256; warm-up 70,000,000 pictures from 0.1, then halved 10 times, "
        "after 381,818,182, 693,636,364, ..., 3,188,181,818 pictures"
    )
    assert "of 24 pictures, in each of 336 processes" in told["memory"]
    assert told["time"].strip() == "22.0 days at 1,840 pictures/s, as given"
    (tmp_path / "p.toml").write_text('law = "natural"\nseed = 4\nimages = 6400\n', "utf-8")
    given = facts(here("pretrain", *common, "--recipe", "small", "--plan", tmp_path / "p.toml"))
    assert given["sampling law"].strip().startswith("natural: ")
    assert "100 steps of 64" in given["pictures seen"]
