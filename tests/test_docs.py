"""The pages say what is: generated parts are fresh, commands parse, links lead somewhere."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import tagwise
from bench import curve_docs, curves, record, write_docs, write_models
from tests.conftest import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    *(REPOSITORY / "docs" / f"{name}.md" for name in ("labels", "localisation", "results", "training")),
]
MARKDOWN = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\$?\s*(tagwise [a-z].*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_w20_generated_parts_are_what_the_records_say(page: Path) -> None:
    fresh = write_docs.pages()[page]
    assert page.read_text("utf-8") == fresh, "run: python -m bench.write_docs"


def test_drawings_say_what_the_records_say() -> None:
    """Their words, not their bytes: another matplotlib may set a line a little aside."""
    letters = re.compile(r">([^<]+)<")
    for path, fresh in curve_docs.drawings().items():
        assert letters.findall(path.read_text("utf-8")) == letters.findall(fresh), "run: python -m bench.write_docs"
    drawn = write_models.DRAWING.read_text("utf-8")
    assert letters.findall(drawn) == letters.findall(write_models.drawing()), "run: python -m bench.write_models"


def test_the_page_of_models_is_what_the_tables_say() -> None:
    page = write_models.PAGE.read_text("utf-8")
    assert page == write_models.page(), "run: python -m bench.write_models"
    named = {line.split(" ")[1].replace("\\", "") for line in page.splitlines() if line.startswith("| ")}
    found = tagwise.models()
    assert {row.name for row in (*found.weights, *found.designs)} <= named, "every row has its family"


def curve_record() -> dict[str, Any]:
    """What bench.curves leaves of three seeds, each with 5 and with all 7.5 labelled pictures a class of 4 classes."""
    points = []
    for seed in (0, 1, 2):
        for labelled, pictures, own in ((5, 20, 0.6), (None, 30, 0.4 - 0.01 * seed)):
            scores = {"scratch": 0.5, f"tags{seed}": own}
            facts = {"protocol": "train", "train_pictures": pictures, "test_pictures": 400, "settings": {}}
            rows = [
                {**facts, "model": model, "accuracy": value, "low": value, "high": value, "class_mean": value}
                for model, value in scores.items()
            ]
            points_over = 100 * (own - 0.5)
            gain = {"model": f"tags{seed}", "protocol": "train", "points": points_over}
            gain |= {"low": points_over - 1, "high": points_over + 1}
            points.append({"seed": seed, "labelled": labelled, "rows": rows, "gains": [gain]})
    commands = ["gather a.csv -o a --separator ;", "compare a --model b -o c", "compare a --model b -o d"]
    return {
        "hardware": {"cores": 2, "processor": "a processor"},
        "results": {
            "split": {"pictures": 1234, "found_fraction": 0.5},
            "points": points,
            "commands": [{"command": f"tagwise {line}", "seconds": 60.0} for line in commands],
            "minutes": 3.0,
        },
    }


def test_a_curve_stands_in_the_results_as_soon_as_its_record_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(curve_docs, "RESULTS", tmp_path)
    assert (curve_docs.curve_sections(), curve_docs.drawings()) == ("", {})
    (tmp_path / "curve_clothing.json").write_text(json.dumps(curve_record()), encoding="utf-8")
    text = curve_docs.curve_sections()
    assert text.startswith("## Real tags: `python -m bench.curves ROAD FOLDER_WITH_DATA`")
    assert "### Shop photos to amateur photos: `clothing`" in text
    assert "tags by fine-tuning paid with 5 and cost with 8." in text
    assert "| 8 | tags by fine-tuning | -11.0 ± 1.0 | -13.7 to -8.3 | 39.0 ± 1.0 | 39.0 ± 1.0 | 3 |" in text
    assert "pictures: 1,234; found: 50.0%" in text
    assert "tagwise gather a.csv -o a --separator ';'\ntagwise compare a --model b -o c\n```" in text
    assert "3 min 00 s in all on 2 cores of a processor: gather 1 min 00 s, compare 2 min 00 s" in text
    assert list(curve_docs.drawings()) == [tmp_path / "curve_clothing.svg"]


def test_every_road_of_the_benchmark_has_its_words() -> None:
    assert set(curve_docs.ROADS) == set(curves.ROADS)


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


def test_l21_the_2018_papers_coco_figures_which_nobody_could_read_are_absent_from_the_product() -> None:
    """They are known from the press alone: no paragraph or block of code has one of them beside an AP."""
    texts = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "src").rglob("*.json"), *MARKDOWN]
    blocks = [(path.name, block) for path in texts for block in re.split(r"\n\s*\n", path.read_text("utf-8"))]
    assert any(re.search(r"\bAP 39\.25\b", block) for _, block in blocks), "figures of others are found so"
    figures = r"(?<![\d.])(45\.2|43\.7)(?!\d)"
    assert [name for name, block in blocks if re.search(figures, block) and re.search(r"\bAP\b", block)] == []
