"""P32: a reader begins with a run on drawn pictures, and every command of the README is walked."""

from __future__ import annotations

import re
import shlex

from tests.conftest import REPOSITORY
from tests.verbs.road import Road


def commands_of_the_readme() -> list[list[str]]:
    blocks = re.findall(r"```[a-z]*\n(.*?)```", (REPOSITORY / "README.md").read_text("utf-8"), re.DOTALL)
    lines = re.findall(r"^\$?\s*(tagwise [a-z].*)$", "\n".join(blocks), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_p32_the_readme_begins_with_the_run_on_drawn_pictures() -> None:
    assert commands_of_the_readme()[0] == ["quickstart"]


def test_p32_every_command_of_the_readme_runs(road: Road) -> None:
    """The road walks them, with its own paths and smaller sizes; the quickstart has a smoke test of its own."""
    flags = {verb: {word for word in done.arguments if word.startswith("-")} for verb, done in road.steps.items()}
    for verb, *words in commands_of_the_readme()[1:]:
        assert road.steps[verb].code == 0
        assert {word for word in words if word.startswith("-")} <= flags[verb]
