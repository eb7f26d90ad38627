"""Recipes against the facts of their sources: rates at published epochs, lengths, what decays."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import UsageError
from tagwise.base.settings import digest, from_plain, to_plain
from tagwise.nets import find_design
from tagwise.pixels.crops import CropReader
from tagwise.pixels.place import Place
from tagwise.training.plans import Plan
from tagwise.training.recipes import RECIPES, find_recipe
from tagwise.training.schedule import drops, learning_rate
from tests.training.tiny import DESIGN, VIEW

CIFAR, IMAGENET = 50_000, 1_281_167

FACTS: list[tuple[str, int, int, int, float, float, str]] = [
    # recipe, pictures, epochs, batch, peak rate, weight decay, on what
    ("fb_imagenet", IMAGENET, 90, 256, 0.1, 1e-4, "all"),
    ("fb_cifar10", CIFAR, 164, 128, 0.1, 1e-4, "all"),
    ("fb_cifar100", CIFAR, 164, 128, 0.1, 1e-4, "all"),
    ("resnext_imagenet", IMAGENET, 100, 256, 0.1, 1e-4, "all"),
    ("resnext_imagenet_paper", IMAGENET, 90, 256, 0.1, 1e-4, "all"),
    ("resnext_cifar10", CIFAR, 300, 128, 0.1, 5e-4, "all"),
    ("resnext_cifar100", CIFAR, 300, 128, 0.1, 5e-4, "all"),
    ("resnext_cifar_paper", CIFAR, 300, 256, 0.1, 5e-4, "all"),
    ("senet", IMAGENET, 100, 256, 0.1, 1e-4, "weights"),
    ("senet_paper", IMAGENET, 100, 1024, 0.6, 1e-4, "weights"),
    ("resnest", IMAGENET, 270, 8192, 3.2, 1e-4, "weights"),
    ("resnest_pytorch", IMAGENET, 270, 512, 8 * 0.025, 1e-4, "weights"),
    ("rsb_a1", IMAGENET, 600, 2048, 5e-3, 0.01, "weights"),
    ("rsb_a2", IMAGENET, 300, 2048, 5e-3, 0.02, "weights"),
    ("rsb_a3", IMAGENET, 100, 2048, 8e-3, 0.02, "weights"),
    ("torchvision_v1", IMAGENET, 90, 256, 0.1, 1e-4, "all"),
    ("torchvision_v2", IMAGENET, 600, 1024, 0.5, 2e-5, "weights"),
    ("akamaster_cifar", CIFAR, 200, 128, 0.1, 1e-4, "all"),
    ("small", 3_000, 30, 64, 0.3, 1e-3, "weights"),
    ("scratch", 3_000, 40, 32, 0.0625, 5e-3, "weights"),
    ("finetune", 3_000, 40, 32, 0.0125, 5e-4, "weights"),
    ("wsl", 1_200_000, 100, 8064, 3.15, 1e-4, "weights"),
    ("wsl_one_machine", 3_500_000_000, 2, 256, 0.1, 1e-4, "weights"),
]

SMALL, CROPPED, BICUBIC = (48, 54, "bilinear"), (224, 256, "bilinear"), (224, 256, "bicubic")
PADDED = (32, 32, "bilinear", "packed")
VIEWS: dict[str, tuple[int, int, str, str]] = {
    # recipe: resolution, resize, its filter, feed
    **dict.fromkeys(("small", "scratch", "finetune"), (*SMALL, "packed")),
    **dict.fromkeys(("wsl", "wsl_one_machine", "wsl_finetune", "wsl_linear"), (*CROPPED, "files")),
    "bit": (480, 512, "bilinear", "files"),
    **dict.fromkeys(("he_cifar", "fb_cifar10", "fb_cifar100", "akamaster_cifar"), PADDED),
    **dict.fromkeys(("resnext_cifar10", "resnext_cifar100", "resnext_cifar_paper"), PADDED),
    **dict.fromkeys(("fb_imagenet", "resnext_imagenet", "resnext_imagenet_paper"), (*BICUBIC, "files")),
    "senet": (*CROPPED, "packed"),
    "senet_paper": (*CROPPED, "files"),
    "resnest": (*CROPPED, "files"),
    "resnest_pytorch": (*CROPPED, "files"),
    "rsb_a1": (224, 236, "bicubic", "files"),
    "rsb_a2": (224, 236, "bicubic", "files"),
    "rsb_a3": (160, 168, "bicubic", "files"),
    "torchvision_v1": (*CROPPED, "files"),
    "torchvision_v2": (176, 182, "bilinear", "files"),
}

RATES: list[tuple[str, int, list[tuple[float, float]]]] = [
    # recipe, pictures, the rate in the middle of epochs that are numbered from 1
    ("fb_imagenet", IMAGENET, [(1, 0.1), (30, 0.1), (31, 0.01), (60, 0.01), (61, 0.001), (90, 0.001)]),
    ("fb_cifar10", CIFAR, [(80, 0.1), (81, 0.01), (121, 0.01), (122, 0.001), (164, 0.001)]),
    ("fb_cifar100", CIFAR, [(80, 0.1), (81, 0.01), (121, 0.01), (122, 0.001)]),
    ("resnext_imagenet", IMAGENET, [(30, 0.1), (31, 0.01), (61, 0.001), (90, 0.001), (91, 1e-4), (100, 1e-4)]),
    ("resnext_imagenet_paper", IMAGENET, [(30, 0.1), (31, 0.01), (61, 0.001), (90, 0.001)]),
    ("resnext_cifar10", CIFAR, [(147, 0.1), (148, 0.01), (222, 0.01), (223, 0.001), (300, 0.001)]),
    ("resnext_cifar100", CIFAR, [(147, 0.1), (148, 0.01), (222, 0.01), (223, 0.001)]),
    ("resnext_cifar_paper", CIFAR, [(150, 0.1), (151, 0.01), (225, 0.01), (226, 0.001)]),
    ("senet", IMAGENET, [(30, 0.1), (31, 0.01), (61, 0.001), (91, 1e-4)]),
    ("senet_paper", IMAGENET, [(30, 0.6), (31, 0.06), (61, 0.006), (91, 6e-4)]),
    ("torchvision_v1", IMAGENET, [(30, 0.1), (31, 0.01), (61, 0.001)]),
    ("akamaster_cifar", CIFAR, [(100, 0.1), (101, 0.01), (150, 0.01), (151, 0.001)]),
    # a line from nothing over five epochs, then half a cosine: half of the peak is in its middle
    ("resnest", IMAGENET, [(0.5, 0.0), (3, 3.2 / 2), (5.5, 3.2), (138, 1.6), (270.5, 0.0)]),
    ("resnest_pytorch", IMAGENET, [(3, 0.1), (5.5, 0.2), (138, 0.1), (270.5, 0.0)]),
    ("rsb_a1", IMAGENET, [(5.5, 5e-3), (303, (5e-3 + 1e-6) / 2), (600.5, 1e-6)]),
    ("rsb_a2", IMAGENET, [(5.5, 5e-3), (153, (5e-3 + 1e-6) / 2), (300.5, 1e-6)]),
    ("rsb_a3", IMAGENET, [(5.5, 8e-3), (53, (8e-3 + 1e-6) / 2), (100.5, 1e-6)]),
    ("torchvision_v2", IMAGENET, [(0.5, 0.005), (5.5, 0.5), (303, 0.25), (600.5, 0.0)]),
]


def plan_of(name: str, pictures: int = IMAGENET, **changes: Any) -> Plan:
    return RECIPES[name](pictures, **{"data": "digest", **changes})


@pytest.mark.parametrize(("name", "pictures", "epochs", "batch", "rate", "decay", "on"), FACTS)
def test_m19_length_rate_and_decay(
    name: str, pictures: int, epochs: int, batch: int, rate: float, decay: float, on: str
) -> None:
    plan = plan_of(name, pictures)
    assert (plan.images, plan.batch, plan.weight_decay, plan.decay_on) == (epochs * pictures, batch, decay, on)
    assert plan.peak_rate == pytest.approx(rate, rel=1e-12)
    assert plan.momentum == 0.9


@pytest.mark.parametrize(("name", "pictures", "rates"), RATES)
def test_m19_rates_at_published_epochs(name: str, pictures: int, rates: list[tuple[float, float]]) -> None:
    plan = plan_of(name, pictures)
    found = [learning_rate(plan, round((epoch - 0.5) * pictures)) for epoch, _ in rates]
    assert found == pytest.approx([rate for _, rate in rates], rel=1e-6, abs=1e-9)


def test_m19_drops_are_at_the_first_picture_of_an_epoch() -> None:
    """fb.resnet.torch counts epochs from 1 and drops where ``epoch >= 81``; ResNeXt's thresholds give 148 and 223."""
    assert drops(plan_of("fb_cifar10", CIFAR)) == [80 * CIFAR, 121 * CIFAR]
    assert drops(plan_of("resnext_cifar10", CIFAR)) == [147 * CIFAR, 222 * CIFAR]
    first = min(epoch for epoch in range(1, 301) if epoch / 300 > 0.49)
    second = min(epoch for epoch in range(1, 301) if epoch / 300 > 0.74)
    assert (first, second) == (148, 223)


def test_what_each_recipe_sees_and_where_its_crops_come_from() -> None:
    plans = {name: plan_of(name) for name in RECIPES}
    views = {name: (plan.view.resolution, plan.view.resize, plan.view.interpolation) for name, plan in plans.items()}
    assert {name: (*view, plans[name].feed) for name, view in views.items()} == VIEWS


def test_two_are_judged_at_a_larger_size_than_they_trained_at() -> None:
    """torchvision's ``--val-resize-size 232`` with its crop of 224; timm's A3 at 224 with a crop of 0.95."""
    judged = {name: plan.judged_at for name in RECIPES if (plan := plan_of(name)).judged_at}
    assert judged == {"rsb_a3": (224, 236), "torchvision_v2": (224, 232)}


def test_m19_torchvisions_running_mean_follows_batch_and_length() -> None:
    """Its ``train.py`` moves the mean every 32 steps by (1 - 0.99998) x batch x 32 / epochs."""
    for batch, epochs in ((1024, 600), (256, 600), (256, 90)):
        plan = plan_of("torchvision_v2", batch=batch, images=epochs * IMAGENET)
        assert plan.ema is not None
        assert 32 * (1 - plan.ema) == pytest.approx(2e-5 * batch * 32 / epochs, rel=1e-9)
    assert plan_of("torchvision_v2", ema=0.5).ema == 0.5
    assert plan_of("torchvision_v2", batch=1024, images=1024).ema is None, "there too the mean is the last weights"


def test_bits_crops_of_a_photo_are_not_all_the_same(tmp_path: Path) -> None:
    """No square is 88 % of a photo of 4 x 3: from one that is asked for squares the middle would come each time."""
    levels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(levels).resize((400, 300)).save(tmp_path / "photo.png")
    plan = plan_of("bit")
    read = CropReader(augment=plan.augment, view=plan.view, seed=0)
    crops = {read(Place(str(tmp_path / "photo.png")), number).tobytes() for number in range(20)}
    assert len(crops) > 10


def test_m19_he_counts_steps() -> None:
    plan = plan_of("he_cifar", 45_000)
    assert (plan.steps, plan.batch, plan.peak_rate) == (64_000, 128, 0.1)
    assert [drop // 128 for drop in drops(plan)] == [32_000, 48_000]
    assert (plan.nesterov, plan.decay_on, plan.weight_decay) == (False, "weights", 1e-4)


NESTEROV = {"fb_imagenet", "fb_cifar10", "resnext_imagenet", "resnext_cifar10", "resnest"}
PLAIN = {
    "he_cifar",
    "senet",
    "senet_paper",
    "wsl_finetune",
    "akamaster_cifar",
    "resnest_pytorch",
    "torchvision_v1",
    "torchvision_v2",
    "bit",
}


def test_whose_momentum_looks_ahead() -> None:
    assert {plan_of(name).nesterov for name in NESTEROV} == {True}
    assert {plan_of(name).nesterov for name in PLAIN} == {False}


@pytest.mark.parametrize(
    ("pictures", "steps", "rise", "falls", "mixup"),
    [
        (19_999, 500, 100, [200, 300, 400], 0.0),
        (20_000, 10_000, 500, [3_000, 6_000, 9_000], 0.1),
        (499_999, 10_000, 500, [3_000, 6_000, 9_000], 0.1),
        (500_000, 20_000, 500, [6_000, 12_000, 18_000], 0.1),
    ],
)
def test_m19_bits_rule(pictures: int, steps: int, rise: int, falls: list[int], mixup: float) -> None:
    plan = plan_of("bit", pictures)
    assert (plan.steps, plan.batch, plan.mixup, plan.weight_decay) == (steps, 512, mixup, 0.0)
    assert plan.warmup_images == 512 * rise
    assert drops(plan) == [512 * fall for fall in falls]
    assert learning_rate(plan, plan.warmup_images) == pytest.approx(0.003)
    assert learning_rate(plan, 512 * falls[0]) == pytest.approx(0.0003)


@pytest.mark.parametrize(
    ("pictures", "images"),
    [
        (1_000, 100_000),
        (1_200_000, 120_000_000),
        (3_500_000_000, 7_000_000_000),
        (1_750_600_000, 3_560_000_000),  # half-way between the two
        (7_000_000_000, 14_000_000_000),
    ],
)
def test_m19_wsl_is_as_long_as_its_line_says(pictures: int, images: int) -> None:
    assert plan_of("wsl", pictures, batch=256).images == images


def test_w15_wsl_rises_from_a_tenth_and_is_halved_ten_times() -> None:
    """0.1 per 256 pictures at 8,064 is 3.15; another batch takes the rate with it."""
    plan = plan_of("wsl", 3_500_000_000, images=3_500_000_000)
    assert learning_rate(plan, 0) == pytest.approx(0.1)
    assert learning_rate(plan, plan.warmup_images) == pytest.approx(3.15)
    assert plan.warmup_images == 70_000_000
    assert len(drops(plan)) == 10
    for number, drop in enumerate(drops(plan), start=1):
        assert learning_rate(plan, drop) == pytest.approx(3.15 / 2**number)
        assert learning_rate(plan, drop - 1) == pytest.approx(3.15 / 2 ** (number - 1))
    assert plan_of("wsl", batch=1024).peak_rate == pytest.approx(0.4)


def test_a_linear_classifier_stands_on_a_frozen_net() -> None:
    assert plan_of("wsl_linear").freeze == "stem+4"
    assert plan_of("wsl_linear", design=find_design("resnext29_8x64d_cifar")).freeze == "stem+3"
    assert plan_of("wsl_finetune").freeze is None


def test_what_mixes_smooths_and_varies() -> None:
    told = {
        name: (plan.mixup, plan.cutmix, plan.label_smoothing, plan.augment.policy, plan.loss, plan.optimiser)
        for name in RECIPES
        if (plan := plan_of(name)).augment.policy != "none"
    }
    assert told == {
        "resnest": (0.2, 0.0, 0.1, "autoaugment", "softmax", "sgd"),
        "resnest_pytorch": (0.2, 0.0, 0.1, "randaugment", "softmax", "sgd"),
        "rsb_a1": (0.2, 1.0, 0.1, "randaugment", "sigmoid", "lamb"),
        "rsb_a2": (0.1, 1.0, 0.0, "randaugment", "sigmoid", "lamb"),
        "rsb_a3": (0.1, 1.0, 0.0, "randaugment", "sigmoid", "lamb"),
        "torchvision_v2": (0.2, 1.0, 0.1, "trivialaugment", "softmax", "sgd"),
    }
    assert {name: plan_of(name).repeats for name in told if plan_of(name).repeats > 1} == {
        "rsb_a1": 3,
        "rsb_a2": 3,
        "torchvision_v2": 4,
    }
    assert {plan_of(name).augment.pad for name in RECIPES if "cifar" in name} == {4}
    half = {name for name in told if plan_of(name).augment.policy_probability == 0.5}
    assert half == {"resnest_pytorch", "rsb_a1", "rsb_a2", "rsb_a3"}
    assert {name for name in RECIPES if plan_of(name).clip_norm == 1.0} == {"rsb_a1", "rsb_a2", "rsb_a3"}, "timm's LAMB"


def test_what_a_recipe_says_of_the_net_holds_for_new_nets() -> None:
    """DropBlock and dropped branches are part of a design; a net that is given has one of its own."""
    assert plan_of("resnest", design=find_design("resnest101")).design.drop_block == 0.1
    assert plan_of("resnest", design=find_design("resnest101"), start="given").design == find_design("resnest101")
    assert [plan_of(name).design.stochastic_depth for name in ("rsb_a1", "rsb_a2", "rsb_a3")] == [0.05, 0.05, 0.0]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_plan_that_json_keeps_and_changes_win(name: str) -> None:
    plan = plan_of(name)
    again = from_plain(Plan, json.loads(json.dumps(to_plain(plan))), "plan.json")
    assert again == plan
    assert digest(again) == digest(plan)
    changed = plan_of(name, batch=16, weight_decay=0.25, images=9_999, design=DESIGN, view=VIEW, task="pretrain")
    assert (changed.batch, changed.weight_decay, changed.images, changed.view) == (16, 0.25, 9_999, VIEW)
    assert changed.design.depths == DESIGN.depths
    assert changed.rate_per_256 == plan.rate_per_256, "so the rate follows the batch"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_in_a_line(name: str) -> None:
    first = (inspect.getdoc(RECIPES[name]) or "").split("\n")[0]
    assert first.endswith(".")
    assert 30 < len(first) <= 120


def test_recipes_by_name() -> None:
    assert find_recipe("small") is RECIPES["small"]
    with pytest.raises(UsageError, match=r"no recipe 'smal'; the nearest .*small"):
        find_recipe("smal")
    with pytest.raises(UsageError, match="no recipe 'resnxt_cifar'; the nearest are resnext_cifar"):
        find_recipe("resnxt_cifar")
