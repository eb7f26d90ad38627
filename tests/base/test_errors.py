"""Errors: one tree, each with the exit code of the command that meets it; unknown names hear their neighbours."""

from __future__ import annotations

import inspect
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base import errors
from tagwise.base.errors import DataRefused, Interrupted, TagwiseError, UsageError, nearest, unknown

LAWS = ["natural", "sqrt", "uniform"]


@pytest.mark.parametrize(
    ("error", "code"), [(TagwiseError("a"), 1), (errors.Diverged("a"), 1), (UsageError("a"), 2), (DataRefused("a"), 3)]
)
def test_p2_each_error_has_its_exit_code(error: TagwiseError, code: int) -> None:
    assert error.exit_code == code
    assert str(error) == "a"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_p2_an_interrupted_command_ends_as_a_shell_expects(number: int, code: int) -> None:
    assert Interrupted(number, "saved").exit_code == code == 128 + number


def test_every_error_is_of_the_one_tree() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(classes) >= 5
    assert all(issubclass(kind, TagwiseError) for kind in classes)


@pytest.mark.parametrize(
    ("name", "near"), [("sqr", ["sqrt"]), ("SQRT", ["sqrt"]), ("unifrom", ["uniform"]), ("zebra", [])]
)
def test_p1_near_matches_forgive_slips_and_case(name: str, near: list[str]) -> None:
    assert nearest(name, LAWS) == near


@given(st.text(), st.lists(st.text()))
def test_p1_at_most_three_near_matches_and_each_is_a_choice(name: str, choices: list[str]) -> None:
    found = nearest(name, choices)
    assert len(found) <= 3
    assert set(found) <= set(choices)
    if name and name in choices:
        assert name.casefold() == found[0].casefold()


def test_p1_an_unknown_name_is_wrong_use_and_hears_what_is_possible() -> None:
    assert str(unknown("law", "sqr", LAWS)) == "There is no law 'sqr'; the nearest is sqrt."
    assert str(unknown("law", "zebra", LAWS)) == "There is no law 'zebra'; there are natural, sqrt, uniform."
    assert str(unknown("law", "zebra", [], "plan.json")) == "There is no law 'zebra' in plan.json; there are none."
    many = [f"{letter}{letter}" for letter in "abcdefghijklmnop"]
    assert str(unknown("law", "zebra", many)).endswith("there are 16, beginning with aa, bb, cc.")
    assert unknown("law", "sqr", LAWS).exit_code == 2
