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


def flags_of(words: list[str]) -> frozenset[str]:
    return frozenset(word for word in words if word.startswith("-"))


def of_the_guide() -> set[tuple[str, frozenset[str]]]:
    """Verbs and flags of docs/localisation.md."""
    text = (REPOSITORY / "docs" / "localisation.md").read_text("utf-8")
    lines = [shlex.split(line)[1:] for line in re.findall(r"^tagwise [a-z].*$", text, re.MULTILINE)]
    return {(verb, flags_of(words)) for verb, *words in lines}


def test_p32_the_readme_begins_with_the_run_on_drawn_pictures() -> None:
    assert commands_of_the_readme()[0] == ["quickstart"]


def test_p32_every_command_of_the_readme_runs(road: Road) -> None:
    """The road walks them, with its own paths and smaller sizes; the quickstart has a smoke test of its own."""
    flags = {verb: {word for word in done.arguments if word.startswith("-")} for verb, done in road.steps.items()}
    for verb, *words in commands_of_the_readme()[1:]:
        if verb == "check" or "--head" in words:
            assert (verb, flags_of(words)) in of_the_guide(), "tests/test_localisation_guide.py walks these"
            continue
        assert road.steps[verb].code == 0
        assert {word for word in words if word.startswith("-")} <= flags[verb]
