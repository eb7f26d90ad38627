"""Settings: plain values and back, strictly."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.base.settings import difference, digest, from_plain, read_plain, to_plain


@dataclass(frozen=True, kw_only=True)
class Crop:
    area: float = 0.5
    sides: tuple[int, int] = (8, 8)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    rate: float = 0.1
    steps: int = 10
    crop: Crop | None = None
    flips: tuple[bool, ...] = ()
    norm: Literal["batch", "group"] | None = None
    words: dict[str, str] = field(default_factory=dict)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
CROPS = st.builds(Crop, area=FINITE, sides=st.tuples(st.integers(), st.integers()))
RECIPES = st.builds(
    Recipe,
    name=st.text(),
    rate=FINITE,
    steps=st.integers(-(2**60), 2**60),
    crop=st.none() | st.builds(Crop, area=FINITE, sides=st.tuples(st.integers(0, 99), st.integers(0, 99))),
    flips=st.lists(st.booleans()).map(tuple),
)


@given(RECIPES)
def test_settings_come_back_from_json_as_they_went(recipe: Recipe) -> None:
    assert from_plain(Recipe, json.loads(json.dumps(to_plain(recipe))), "plan.json") == recipe


@given(RECIPES, RECIPES)
def test_a_digest_is_that_of_the_values(one: Recipe, other: Recipe) -> None:
    same = json.dumps(to_plain(one), sort_keys=True) == json.dumps(to_plain(other), sort_keys=True)
    assert (digest(one) == digest(other)) is same
    assert len(digest(one)) == 16


def test_a_digest_is_pinned() -> None:
    """It names files of users; the order of keys is no matter."""
    assert digest({"b": 1, "a": [True, None, "é"]}) == digest({"a": [True, None, "é"], "b": 1}) == "17c8c6f7f948ee1c"


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ({"name": "a", "stepps": 3}, "There is no setting 'stepps' in plan.json; the nearest is steps."),
        (
            {"name": "a", "crop": {"aera": 1.0}},
            "There is no setting 'crop.aera' in plan.json; the nearest are crop.area, crop.sides.",
        ),
        ({"name": "a", "steps": "3"}, 'plan.json does not fit: steps is a whole number, not "3".'),
        ({"name": "a", "steps": 1.5}, "plan.json does not fit: steps is a whole number, not 1.5."),
        ({"name": "a", "rate": "fast"}, 'plan.json does not fit: rate is a number such as 0.0005, not "fast".'),
        (
            {"name": "a", "norm": "bach"},
            'plan.json does not fit: norm is batch or group or null, not "bach"; the nearest is batch.',
        ),
        ({"name": "a", "flips": [True, 1]}, "plan.json does not fit: flips[1] is true or false, not 1."),
        (
            {"name": "a", "crop": {"sides": [1]}},
            "plan.json does not fit: crop.sides is a list such as [2, 2], not [1].",
        ),
        (
            {"name": "a", "crop": 5},
            "plan.json does not fit: crop is a group of settings such as crop.area or null, not 5.",
        ),
        ({"name": "a", "words": {"b": 5}}, "plan.json does not fit: words[...]: Expected str, got int."),
        ({}, "plan.json does not fit: name is missing."),
        ([], "plan.json does not fit: it has to be a table of settings."),
        ("a", "plan.json does not fit: it has to be a table of settings."),
    ],
)
def test_p1_what_does_not_fit_is_told_with_its_place(plain: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_plain(Recipe, plain, "plan.json")
    assert str(caught.value) == told


def test_a_difference_names_each_setting_once_with_its_path() -> None:
    old = Recipe(name="a", crop=Crop(area=0.5))
    assert difference(old, old) == []
    assert difference(old, Recipe(name="b", crop=Crop(area=0.25))) == ["crop.area: 0.5 -> 0.25", 'name: "a" -> "b"']
    assert difference(old, Recipe(name="a")) == ['crop: {"area": 0.5, "sides": [8, 8]} -> null']
    (long,) = difference(old, Recipe(name="x" * 200, crop=Crop(area=0.5)))
    assert len(long) < 90


def test_p31_yaml_without_its_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("batch: 64", "utf-8")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(UsageError, match=r"mine\.yaml needs another package: pip install 'tagwise\[yaml\]'; or give "):
        read_plain(tmp_path / "mine.yaml")
