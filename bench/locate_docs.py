"""The generated parts of docs/localisation.md: published recipes, and what was measured here."""

from __future__ import annotations

from typing import Any

from bench.record import machine, read_record, spread
from tagwise.base.settings import from_plain
from tagwise.localise.comparisons import LocatedComparison
from tagwise.pages.markdown import table_lines
from tagwise.pages.page import Table
from tagwise.training.plans import Plan
from tagwise.training.recipes import LOCATING
from tagwise.training.recipes.published import PUBLISHED
from tagwise.verbs.compared_starts import length_table, statements

_PICTURES = 10_000
"""That recipes of epochs are told for; only ratios are shown."""
_SETS = {
    "shapes": "150 webcam pictures of drawn shapes, 4 classes and background",
    "cells": "205 pictures of blood cells, 3 classes",
    "nuclei": "80 pictures of cell nuclei, 1 class and background",
}
_STARTS = {
    "scratch": "a detector from scratch reaches",
    "tags": "from a net of shop photos and their words",
    "classes": "from one of their kinds of article",
}
_MEASURES = {"boxes": "AP50 of boxes", "pixels": "mean IoU"}


def recipe_table() -> str:
    """Every recipe: its length, rate, sizes, and the published scores by net."""
    rows = [row for name in LOCATING for row in _rows(name)]
    columns = ("recipe", "head", "length", "rate", "pictures", "published")
    return table_lines(Table(columns=columns, rows=rows))


def _rows(name: str) -> list[list[str]]:
    told = {
        key.partition(" ")[2]: (data, scores)
        for data, recipes in PUBLISHED.items()
        for key, scores in recipes.items()
        if key.partition(" ")[0] == name
    }
    return [_row(name, head, data, scores) for head, (data, scores) in (told or {"": ("", {})}).items()]


def _row(name: str, head: str, data: str, scores: dict[str, str]) -> list[str]:
    plans = [_plan(name, head, design) for design in scores] or [_plan(name, head)]
    settings = plans[0].detector or plans[0].segmenter
    assert settings is not None
    lengths = dict.fromkeys(_length(name, plan) for plan in plans)
    published = f"{'; '.join(f'{design} {words}' for design, words in scores.items())} on {data}" if scores else ""
    return [name, settings.kind, " or ".join(lengths), _rate(plans[0]), _sizes(plans[0]), published]


def _plan(name: str, head: str, design: str | None = None) -> Plan:
    told = {"head": head, "design": design}
    return LOCATING[name](_PICTURES, data="", **{key: value for key, value in told.items() if value})


def _length(name: str, plan: Plan) -> str:
    """In epochs, or in steps where it does not grow with the set."""
    longer = LOCATING[name](2 * _PICTURES, data="").images > LOCATING[name](_PICTURES, data="").images
    return f"{plan.images / _PICTURES:g} epochs" if longer else f"{plan.steps:,} steps of {plan.batch}"


def _rate(plan: Plan) -> str:
    falls = {
        "cosine": "cosine",
        "poly": f"power {plan.power:g}",
        "steps": f"x {plan.step_factor:g} at {' and '.join(f'{share:.0%}' for share in plan.milestones)}",
    }[plan.decay]
    return (
        f"{plan.peak_rate:g} for {plan.batch}{f', head x {plan.head_rate:g}' if plan.head_rate != 1 else ''}; {falls}"
    )


def _sizes(plan: Plan) -> str:
    sizing = plan.sizing
    assert sizing is not None
    if sizing.jitter is not None:
        return f"longer {sizing.base} x {sizing.jitter[0]:g} to {sizing.jitter[1]:g}, crops of {sizing.crop}"
    between = " to " if sizing.drawn == "range" else ", "
    return f"shorter {between.join(map(str, sizing.shorter))}"


def measured_table() -> str:
    """What small sets reach from scratch in minutes."""
    record = read_record("locate")
    if record is None:
        return "Not measured yet."
    rows = [_measured(name, found) for name, found in record["results"].items()]
    columns = ("set", "command", "measure", "mean of three seeds", "least", "threshold", "minutes", "processor's")
    told = (
        "The last four have about the processor's time of first trials by hand, whose single scores are their "
        "thresholds. "
        f"On {machine(record)}; `python -m bench.locate FOLDER_WITH_DATA` does it again."
    )
    return f"{table_lines(Table(columns=columns, rows=rows, numeric=columns[3:]))}\n\n{told}"


def _measured(name: str, found: dict[str, Any]) -> list[str]:
    data, measured = name.split("-")[:2]
    value, minutes, cpu = (found[key] for key in ("value", "minutes", "cpu_minutes"))
    command = found["runs"][0]["command"].partition(" --seed")[0]
    return [
        _SETS[data],
        command,
        _MEASURES[measured],
        f"{value['mean']:.3f} ± {value['sd']:.3f}",
        f"{min(value['values']):.3f}",
        f"{found['threshold']:g}, {'reached' if found['reached'] else 'missed'}",
        f"{minutes['mean']:.1f}",
        f"{cpu['mean']:.1f}",
    ]


def finding_words() -> str:
    """The finding in a sentence."""
    record = read_record("locate_finding")
    if record is None:
        return "Not measured yet."
    comparison = _comparison(record)
    length = max(comparison.lengths)
    told = []
    for start in comparison.groups:
        runs = [run for run in comparison.runs if (run.start, run.length) == (start, length)]
        ap, ap50 = (_told(spread([run.numbers[f"box {name}"] for run in runs])) for name in ("AP", "AP50"))
        told.append(f"{_STARTS[start]} AP {ap} (AP50 {ap50})")
    return (
        f"On {comparison.train_pictures} pictures of drawn shapes, with {runs[0].images:,} seen in training and "
        f"{len(runs)} seeds, {'; '.join(told)}. [More](docs/localisation.md#the-finding-repeated)."
    )


def _comparison(record: dict[str, Any]) -> LocatedComparison:
    return from_plain(LocatedComparison, record["results"]["steps"][-1]["result"]["comparison"], "the record")


def finding_text() -> str:
    """What starting from tags and from classes did to a detector."""
    record = read_record("locate_finding")
    if record is None:
        return "Not measured yet."
    results, comparison = record["results"], _comparison(record)
    gains = length_table(comparison)
    minutes = sum(step["cpu_seconds"] for step in results["steps"]) / 60
    commands = "\n".join(step["command"] for step in results["steps"])
    told = [
        f"The commands, on {machine(record)}, {minutes:.0f} minutes of one processor together; "
        "`python -m bench.locate_finding FOLDER_WITH_DATA` does it again:",
        f"```text\n{commands}\n```",
        table_lines(gains),
        gains.caption.replace("*", "\\*"),
        "\n".join(f"- {statement}" for statement in statements(comparison)),
        *_whole_schedule(),
    ]
    return "\n\n".join(told)


def _whole_schedule() -> list[str]:
    """What a start is held against that trains long enough to need none."""
    found = (read_record("locate") or {"results": {}})["results"].get("shapes-boxes")
    if found is None:
        return []
    numbers = [run["scores"]["boxes"]["numbers"] for run in found["runs"]]
    told = (f"{name} {_told(spread([number[name] for number in numbers]))}" for name in ("AP", "AP50", "AP75"))
    return [f"The same detector from scratch on the whole schedule reaches {', '.join(told)} ({len(numbers)} seeds)."]


def _told(score: dict[str, Any] | None) -> str:
    assert score is not None
    return f"{score['mean']:.2f} ± {score['sd']:.2f}"
