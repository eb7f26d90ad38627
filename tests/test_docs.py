"""The pages say what is: generated parts are fresh, commands parse, links lead somewhere."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

import tagwise
from bench import write_docs
from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "docs" / "results.md"]
MARKDOWN = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\$?\s*(tagwise [a-z].*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_w20_generated_parts_are_what_the_records_say(page: Path) -> None:
    fresh = write_docs.pages()[page]
    assert page.read_text("utf-8") == fresh, "run: python -m bench.write_docs"


def commands(page: Path) -> list[str]:
    """The lines of code blocks that call tagwise, without their comments."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in COMMAND.findall(block)]


def flags_of(verb: str) -> set[str]:
    parameters = list(inspect.signature(getattr(tagwise, verb)).parameters.values())
    keywords = [
        parameter.name
        for number, parameter in enumerate(parameters)
        if number or parameter.kind is parameter.KEYWORD_ONLY
    ]
    return {f"--{name.rstrip('_').replace('_', '-')}" for name in keywords} | {"-o", "--json", "--help", "--debug"}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_of_a_page_is_a_verb_with_its_flags(page: Path) -> None:
    for line in commands(page):
        verb, *words = shlex.split(line, comments=True)[1:]
        assert verb in tagwise.VERBS, line
        assert {word for word in words if re.match("-+[a-z]", word)} <= flags_of(verb), line


def test_the_readme_walks_every_verb() -> None:
    assert {line.split()[1] for line in commands(REPOSITORY / "README.md")} == set(tagwise.VERBS)


def test_flags_that_pages_name_in_running_text_exist() -> None:
    known = set().union(*(flags_of(verb) for verb in tagwise.VERBS)) | {"--version"}
    text = re.sub(r"```.*?```", "", (REPOSITORY / "README.md").read_text("utf-8"), flags=re.DOTALL)
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text("utf-8")) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


def test_w19_unconfirmed_figures_are_absent_from_the_product() -> None:
    """A figure that nobody confirmed is not printed with a warning; it is not printed."""
    texts = [path for path in (REPOSITORY / "src").rglob("*") if path.suffix in (".py", ".css", ".html", ".jinja")]
    found = [
        path.relative_to(REPOSITORY)
        for path in [*texts, *MARKDOWN]
        if "unconfirmed" in path.read_text("utf-8").casefold()
    ]
    assert found == []
