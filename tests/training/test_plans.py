"""Plans: JSON there and back, files of settings, changes by name, and nothing that cannot be carried out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.base.settings import from_plain, to_plain
from tagwise.nets import find_design
from tagwise.training.plans import IDENTITY, Plan, merged, read_settings, replace, with_settings
from tests.training.tiny import VIEW, tiny_plan


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"batch": 0}, "batch is 1 or more, not 0"),
        ({"images": 7}, "images is at least one batch of 8, not 7; give --batch at most 7, or more --images"),
        ({"rate_per_256": 0.0}, "rate_per_256 is above 0"),
        ({"rate_per_256": float("nan")}, "rate_per_256 is above 0, not nan"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 0 to below 1"),
        ({"warmup_fraction": float("nan")}, "warmup_fraction"),
        ({"weight_decay": -1e-9}, "weight_decay is 0 or more"),
        ({"halvings": -1}, "halvings is 0 or more"),
        ({"momentum": 1.0}, "momentum is 0 to below 1, not 1.0"),
        ({"momentum": -0.1}, "momentum is 0 to below 1, not -0.1"),
        ({"momentum": float("nan")}, "momentum is 0 to below 1, not nan"),
        ({"accumulate": 0}, "accumulate is 1 or more, not 0"),
        ({"accumulate": 9}, "a batch of 8 cannot be cut into 9 slices"),
        ({"repeats": 0}, "repeats is 1 or more, not 0"),
        ({"clip_norm": 0.0}, "clip_norm is above 0, not 0.0"),
        ({"ema": 1.0}, "ema is above 0 and below 1, not 1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing is 0 to below 1"),
        ({"mixup": -0.1}, "mixup is 0 or more"),
        ({"cutmix": float("inf")}, "cutmix is 0 or more, not inf"),
        ({"step_factor": 1.0}, "step_factor is above 0 and below 1"),
        ({"final_fraction": float("nan")}, "final_fraction is 0 to 1, not nan"),
        ({"final_fraction": 0.1, "decay": "halvings"}, "final_fraction is where a cosine ends, and decay is halvings"),
        ({"warmup_rate": 0.1, "warmup_fraction": 0.0}, "warmup_rate is where warm-up begins, and warmup_fraction is 0"),
        ({"milestones": (0.5,)}, "milestones are given where decay is steps, and only there; decay is cosine"),
        ({"decay": "steps"}, "milestones are given where decay is steps"),
        ({"decay": "steps", "milestones": (0.5, 0.4)}, "milestones ascend between the end of warm-up, 0.08, and 1"),
        ({"decay": "steps", "milestones": (0.05,)}, "milestones ascend"),
        ({"decay": "steps", "milestones": (1.0,)}, "milestones ascend"),
        ({"decay": "steps", "milestones": (float("nan"),)}, "milestones ascend"),
        ({"loss": "focal", "mixup": 0.2}, "the focal loss knows a label as held or not"),
        ({"loss": "focal", "focus": 0.5}, "focus is 1 or more, not 0.5"),
        ({"focus": 2.0}, "focus is of asymmetric and focal, and loss is softmax"),
        ({"loss": "asymmetric", "label_smoothing": 0.1}, "the asymmetric loss knows a label as held or not"),
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
        ("ema=0.999", "ema", 0.999),
        ("compiled=true", "compiled", True),
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
        ("precision=float8", "--set does not fit"),
        ("rounding=stochastic", "--set does not fit"),
        ("milestones=[0.5]", "decay is cosine"),
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
        with pytest.raises(UsageError, match=f"--set cannot change {name}: ") as caught:
            with_settings(tiny_plan(), ["momentum=0.8", setting])
        assert IDENTITY[name.split(".")[0]] in str(caught.value), "the flag is named"


def test_what_says_which_training_it_is_are_settings_of_a_plan() -> None:
    assert {*IDENTITY, "momentum"} <= to_plain(tiny_plan()).keys()


@given(st.text(max_size=30))
def test_no_setting_of_a_stranger_is_more_than_wrong_use(text: str) -> None:
    try:
        with_settings(tiny_plan(), [text])
    except UsageError:
        return
    assert "=" in text


def test_a_plans_law_is_one_and_its_rounding_is_for_tags() -> None:
    assert tiny_plan(law="raked:0.3", rounding="independent").law == "raked:0.3"
    with pytest.raises(UsageError, match="no law 'sqr'; the nearest is sqrt"):
        tiny_plan(law="sqr")
    with pytest.raises(UsageError, match="rounding is for the sampling law of a pretraining"):
        tiny_plan(task="train", rounding="independent")


def test_replace_keeps_what_is_none() -> None:
    plan = replace(tiny_plan(), batch=4, seed=None)
    assert (plan.batch, plan.seed) == (4, tiny_plan().seed)


def test_any_named_design_fits_into_a_plan() -> None:
    plan = tiny_plan(design=find_design("resnest50"))
    assert from_plain(Plan, to_plain(plan), "plan.json") == plan


def test_a_runs_own_plan_is_given_back(tmp_path: Path) -> None:
    plan = tiny_plan(decay="steps", milestones=(0.5, 0.75), ema=0.9, design=find_design("resnest50"))
    (tmp_path / "plan.json").write_text(json.dumps(to_plain(plan)), "utf-8")
    settings = read_settings(tmp_path / "plan.json")
    nested = {name: settings.pop(name) for name in ("view", "augment")}
    assert merged(Plan(**settings, view=VIEW), nested, "plan.json") == plan


FILES = {
    "plan.json": '{"design": "resnext50_32x4d", "weight_decay": 5e-4, "milestones": [0.5], "augment": {"flip": false}}',
    "plan.toml": 'design = "resnext50_32x4d"\nweight_decay = 5e-4\nmilestones = [0.5]\naugment.flip = false\n',
    "plan.yaml": "design: resnext50_32x4d\nweight_decay: 0.0005\nmilestones: [0.5]\naugment: {flip: false}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_some_settings_of_a_file_in_three_formats(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], "utf-8")
    assert read_settings(tmp_path / name) == {
        "design": find_design("resnext50_32x4d"),
        "weight_decay": 0.0005,
        "milestones": (0.5,),
        "augment": {"flip": False},
    }


def test_nested_settings_change_one_by_one() -> None:
    plan = merged(tiny_plan(), {"augment": {"flip": False}, "view": {"resize": 24}}, "plan.json")
    assert (plan.augment.flip, plan.augment.turn_degrees, plan.view.resize, plan.view.resolution) == (False, 10, 24, 16)
    with pytest.raises(UsageError, match=r"plan\.json does not fit: augment\.flip is true or false, not "):
        merged(tiny_plan(), {"augment": {"flip": 3}}, "plan.json")
    with pytest.raises(UsageError, match=r"plan\.json does not fit"):
        merged(tiny_plan(), {"augment": 3}, "plan.json")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", '{"weight_dcay": 1}', r"no setting 'weight_dcay' in .*p\.json; the nearest .*weight_decay"),
        ("p.toml", "augment.flp = true", r"no setting 'augment\.flp' in .*p\.toml; the nearest .*augment\.flip"),
        ("p.yaml", "design: {dephts: [1]}", r"no setting 'design\.dephts' in .*p\.yaml; the nearest .*design\.depths"),
        ("p.json", '{"design": "resnext50_32x4"}', "no design 'resnext50_32x4'; the nearest .*resnext50_32x4d"),
        ("p.json", '{"design": {"block": "basic"}}', "does not fit: depths is missing"),
        ("p.json", '{"seed": "1"}', 'does not fit: seed is a whole number, not "1"'),
        ("p.json", '{"law": 5}', "does not fit: law is text, not 5"),
        ("p.json", "[]", "has to be a table of settings"),
        ("p.yaml", "[", "cannot be read: "),
        ("p.toml", "a", "cannot be read: "),
        ("p.json", "{", "cannot be read: "),
        ("p.ini", "", r"is none of \.json, \.toml, \.yaml, \.yml"),
    ],
)
def test_p1_wrong_files_are_one_sentence_with_the_path(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(UsageError, match=message) as caught:
        read_settings(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"There is no file .*gone\.json"):
        read_settings(tmp_path / "gone.json")
