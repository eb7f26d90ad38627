"""Recipe, model, file and flags come to one plan, and a dry run says what it would cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tagwise.base.errors import UsageError
from tagwise.base.settings import to_plain
from tagwise.base.views import View
from tagwise.corpus.drawn import files as drawn
from tagwise.nets import find_design
from tagwise.training.loading import load
from tagwise.training.models import ModelFacts
from tagwise.training.plans import Plan
from tagwise.training.recipes import RECIPES
from tagwise.verbs.planning import PlanFlags, make_plan
from tests.verbs.road import DESIGN, Done

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


def test_a_recipe_says_where_its_own_view_is_judged_and_no_other(tmp_path: Path) -> None:
    """What a model, a file or a flag says of the view holds for training and judging."""
    larger = plan_of("rsb_a3")
    assert (larger.view.resolution, larger.judged_view.resolution, larger.judged_view.resize) == (160, 224, 236)
    assert larger.judged_view.interpolation == larger.view.interpolation == "bicubic"
    smaller = written(tmp_path, view={"resolution": 96, "resize": 96})
    for plan in (plan_of("rsb_a3", START), plan_of("rsb_a3", plan=smaller), plan_of("rsb_a3", resolution=96)):
        assert plan.judged_view == plan.view
    told = plan_of("rsb_a3", START, set_=["judged_at=[128, 140]"])
    assert (told.judged_view.resolution, told.judged_view.resize, told.judged_view.mean) == (128, 140, VIEW.mean)
    assert plan_of("scratch", pictures=3000, plan=written(tmp_path, **to_plain(larger))).judged_at == (224, 236)
    with pytest.raises(UsageError, match="cannot crop 224 pixels out of resize=200"):
        plan_of("rsb_a3", set_=["judged_at=[224, 200]"])


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


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_on_sixty_pictures_in_a_batch_of_them(
    recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own batch is cut to what there is, which is said, and the rate follows."""
    small, large = (plan_of(recipe, START, pictures=pictures) for pictures in (60, 1_000_000))
    assert small.batch == min(large.batch, 60)
    assert small.rate_per_256 == large.rate_per_256
    said = f"The recipe's batch of {large.batch:,} is cut to the 60 pictures here, and the rate follows."
    assert (said in capsys.readouterr().err) is (large.batch > 60)
    assert plan_of(recipe, START, pictures=60, batch=20).batch == 20


def test_a_frozen_net_has_to_be_given() -> None:
    with pytest.raises(UsageError, match=r"stem\+4 is to stay as it was learnt; give the model with --from"):
        plan_of("wsl_linear")
    with pytest.raises(UsageError, match="what norms know is to stay as it was learnt; give the model with --from"):
        plan_of(set_=["norms=frozen"])
    assert plan_of("finetune", START, set_=["norms=frozen"]).norms == "frozen"
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
    assert "epochs" not in told["pictures seen"], "of which pictures, is not known here"
    assert told["learning rate"].strip() == (
        "0.1 = 0.2 per 256 x 128 / 256; x 0.1 2 times, after 7,350,000, 11,100,000 pictures"
    )
    assert "weight decay 0.0005 on all parameters" in told["optimiser"]
    assert "of 16 pictures, in each of 8 processes" in told["memory"]
    assert told["time"].strip() == "4 h 10 min at 1,000 pictures/s, as given"
    assert not (tmp_path / "run").exists()


def test_a_net_is_judged_scored_and_used_in_the_view_that_the_plan_says(
    target: Path, here: Here, tmp_path: Path
) -> None:
    """Ten pictures held out, ten of the test; torchvision trained at 176 pixels what it measures at 224."""
    flags = ("--design", DESIGN, "--resolution", "16", "--images", "32", "--holdout", "1/class", "--device", "cpu")
    done = here("train", target, "-o", tmp_path, *flags, "--set", "judged_at=[24, 28]", "precision=float32")
    assert done.code == 0, done.err
    view = load(tmp_path).facts.view
    assert (view.resolution, view.resize) == (24, 28)
    shapes = sorted(np.load(path, mmap_mode="r").shape[:2] for path in (tmp_path / "pixels").rglob("*.npy"))
    assert shapes == [(10, 28), (10, 28), (30, 18)]


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
        (("--batch", "128", "--dry-run"), "A batch of 128 is larger than the 40 pictures that there are"),
        (("--batch", "64", "--images", "50"), "A batch of 64 is larger than the 40 pictures that there are"),
        (
            ("--batch", "32", "--images", "20"),
            "images is at least one batch of 32, not 20; give --batch at most 20, or more --images.",
        ),
        (("--recipe", ""), "There is no recipe ''"),
        (("--keep-every", "-1"), "--keep-every is 1 or more, not -1."),
        (("--set", "batch=30"), "--set cannot change batch: give --batch."),
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
