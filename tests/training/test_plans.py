"""Plans: JSON there and back, settings changed by name, and nothing that cannot be carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.base.settings import digest, from_plain, to_plain
from tagwise.nets import find_design
from tagwise.training.plans import (
    IDENTITY,
    PRETRAINING,
    Plan,
    find_recipe,
    fine_tuning,
    from_scratch,
    replace,
    with_settings,
    wsl_pretraining,
)
from tests.training.tiny import DESIGN, VIEW, tiny_plan

RECIPES = (*PRETRAINING.values(), fine_tuning, from_scratch)
FACTS: dict[str, Any] = {"data": "digest", "design": DESIGN, "view": VIEW, "images": 10_000}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_survives_json(recipe: Any) -> None:
    plan = recipe(**FACTS)
    again = from_plain(Plan, json.loads(json.dumps(to_plain(plan))), "plan.json")
    assert again == plan
    assert digest(again) == digest(plan)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_given_wins_over_the_recipe(recipe: Any) -> None:
    plan = recipe(**FACTS, batch=16, weight_decay=0.25)
    assert (plan.batch, plan.weight_decay, plan.images) == (16, 0.25, 10_000)


def test_w15_the_recipe_of_the_paper_scales_to_its_rate() -> None:
    """Mahajan et al. 2018: a batch of 8,064, of which 0.1 per 256 makes 3.15."""
    plan = wsl_pretraining(**(FACTS | {"images": 10**8}), batch=8064)
    assert plan.peak_rate == pytest.approx(3.15, rel=1e-15)
    assert (plan.decay, plan.momentum) == ("halvings", 0.9)
    assert 10 <= plan.halvings <= 20
    assert plan.warmup_images == 2_000_000
    assert plan.steps == 10**8 // 8064


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"batch": 0}, "batch is 1 or more, not 0"),
        ({"images": 7}, "images is at least one batch of 8, not 7"),
        ({"rate_per_256": 0.0}, "rate_per_256 is above 0"),
        ({"rate_per_256": float("nan")}, "rate_per_256 is above 0, not nan"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 0 to below 1"),
        ({"warmup_fraction": float("nan")}, "warmup_fraction"),
        ({"weight_decay": -1e-9}, "weight_decay is 0 or more"),
        ({"halvings": -1}, "halvings is 0 or more"),
        ({"momentum": 1.0}, "momentum is 0 to below 1, not 1.0"),
        ({"momentum": -0.1}, "momentum is 0 to below 1, not -0.1"),
        ({"momentum": float("nan")}, "momentum is 0 to below 1, not nan"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        tiny_plan(**changes)


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("weight_decay=0.0005", "weight_decay", 0.0005),
        ("weight_decay = 1", "weight_decay", 1.0),
        ("precision=bfloat16", "precision", "bfloat16"),
        ('precision="bfloat16"', "precision", "bfloat16"),
        ("loss=sigmoid", "loss", "sigmoid"),
        ("rate_per_256=0.3", "rate_per_256", 0.3),
        ("momentum=0", "momentum", 0.0),
        ("augment.flip=false", "augment.flip", False),
        ("view.mean=[0.5, 0.5, 0.5]", "view.mean", [0.5, 0.5, 0.5]),
        ("halvings=7", "halvings", 7),
    ],
)
def test_settings_by_name(setting: str, name: str, value: object) -> None:
    changed = to_plain(with_settings(tiny_plan(), [setting]))
    expected = to_plain(tiny_plan())
    place = expected
    *path, last = name.split(".")
    for step in path:
        place = place[step]
    assert place[last] != value
    place[last] = value
    assert json.dumps(changed) == json.dumps(expected), "and nothing else changes"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("weight_decya=1", "no setting 'weight_decya' in a plan; the nearest .*weight_decay"),
        ("augment.flipp=true", r"no setting 'augment\.flipp' in a plan; the nearest .*augment\.flip"),
        ("momentum.size=3", r"no setting 'momentum\.size'"),
        ("=3", "no setting ''"),
        ("weight_decay", "wants name=value"),
        ("halvings=many", "--set does not fit"),
        ("halvings=1.5", "--set does not fit"),
        ("momentum=null", "--set does not fit"),
        ("precision=float16", "--set does not fit"),
        ("augment.flip=1", "--set does not fit"),
        ("augment=3", "--set does not fit"),
        ("rate_per_256=0", "rate_per_256 is above 0"),
        ("momentum=1", "momentum is 0 to below 1"),
        ("view.resolution=9999", "resolution is 8 to 4096"),
    ],
)
def test_p1_wrong_settings_are_one_sentence_with_the_nearest_name(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        with_settings(tiny_plan(), [setting])
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*IDENTITY, "design.stem_widths", "design.depths"])
def test_what_says_which_training_it_is_cannot_be_set(name: str) -> None:
    """A run whose plan says another batch, law or seed than its flags would be a run nobody asked for."""
    for setting in (f"{name}=1", f" {name} = null"):
        with pytest.raises(UsageError, match=f"--set cannot change {name}: "):
            with_settings(tiny_plan(), ["momentum=0.8", setting])


def test_what_says_which_training_it_is_are_settings_of_a_plan() -> None:
    assert {*IDENTITY, "momentum"} <= to_plain(tiny_plan()).keys()


@given(st.text(max_size=30))
def test_no_setting_of_a_stranger_is_more_than_wrong_use(text: str) -> None:
    try:
        with_settings(tiny_plan(), [text])
    except UsageError:
        return
    assert "=" in text


def test_recipes_by_name() -> None:
    assert [find_recipe(name) for name in PRETRAINING] == list(PRETRAINING)
    with pytest.raises(UsageError, match="no recipe 'smal'; the nearest are small, wsl"):
        find_recipe("smal")


def test_replace_keeps_what_is_none() -> None:
    plan = replace(tiny_plan(), batch=4, seed=None)
    assert (plan.batch, plan.seed) == (4, tiny_plan().seed)


def test_any_named_design_fits_into_a_plan() -> None:
    plan = tiny_plan(design=find_design("resnest50"))
    assert from_plain(Plan, to_plain(plan), "plan.json") == plan
