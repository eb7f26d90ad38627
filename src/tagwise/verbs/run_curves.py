"""How trainings went, for a report: curves over pictures seen and a table, read from run folders without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tagwise.base.files import read_json
from tagwise.pages import charts
from tagwise.pages.marks import percent
from tagwise.pages.page import Block, Chart, Table
from tagwise.verbs.run_results import SCORES_FILE

FURTHEST = 10
"""Tags in the table of what the net saw of each."""

Log: TypeAlias = list[dict[str, Any]]


def run_blocks(folders: list[Path], caption: str, *, score: str = "accuracy") -> list[Block]:
    """Loss, score on held-out pictures where it was measured, learning rate, waiting, and a table of the runs.

    Time without pictures is drawn of runs that read them from their files: packed ones hardly wait.

    Args:
        folders: Finished runs.
        caption: Of the losses.
        score: What held-out pictures were judged by, one for all.
    """
    plans = {folder.name: read_json(folder / "plan.json") for folder in folders}
    logs = {folder.name: _lines(folder / "log.jsonl") for folder in folders}
    judged = {folder.name: list(map(_judged, _lines(folder / "held_out.jsonl"))) for folder in folders}
    fed = {name: lines if plans[name]["feed"] == "files" else [] for name, lines in logs.items()}
    loss = "excess loss" if score == "accuracy" else "loss"
    blocks: list[Block] = [_chart(logs, "excess_loss", caption=caption, measure=loss)]
    if any(judged.values()):
        told = f"{score[:1].upper()}{score[1:]} on held-out pictures after each epoch."
        blocks.append(_chart(judged, "score", caption=told, measure=f"held-out {score}", fractions=score == "accuracy"))
    blocks.append(_chart(logs, "rate", caption="Learning rate.", measure="learning rate"))
    if any(fed.values()):
        told = "Share of the time without pictures to learn from."
        blocks.append(_chart(fed, "waiting_fraction", caption=told, measure="waiting for pictures", fractions=True))
    return [*blocks, _run_table(folders, plans, logs)]


def pictures_seen(plan: Mapping[str, Any]) -> int:
    """Those of a run's whole steps; what is left of its length is less than one."""
    return int(plan["images"] // plan["batch"] * plan["batch"])


def exposure_table(run: str, exposures: dict[str, Any]) -> Table:
    """Pictures of each tag that the net saw beside those that the law expects, as a table of the report."""
    expected_V, seen_V = np.array(exposures["expected"]), np.array(exposures["seen"])
    furthest = np.argsort(-np.abs(seen_V - expected_V) / np.sqrt(np.maximum(expected_V, 1)), kind="stable")[:FURTHEST]
    rows = [
        (exposures["labels"][label], f"{expected_V[label]:,.1f}", f"{seen_V[label]:,}") for label in furthest.tolist()
    ]
    return Table(
        columns=("tag", "pictures expected by the law", "pictures seen"),
        rows=rows,
        caption=f"{run}: the tags seen furthest from what the law expects, of {len(seen_V):,}.",
        numeric=("pictures expected by the law", "pictures seen"),
    )


def _chart(logs: Mapping[str, Log], name: str, *, caption: str, measure: str, fractions: bool = False) -> Chart:
    series = {run: ([line["seen"] for line in lines], [line[name] for line in lines]) for run, lines in logs.items()}
    return charts.curve_chart(series, caption=caption, measure=measure, fractions=fractions)


def _judged(line: dict[str, Any]) -> dict[str, Any]:
    """A line of held_out.jsonl; runs before there were detectors call the score their accuracy."""
    return {"seen": line["seen"], "score": line["score"] if "score" in line else line["accuracy"]}


def _run_table(folders: list[Path], plans: Mapping[str, Any], logs: Mapping[str, Log]) -> Table:
    rows = []
    scores = {folder.name: read_json(folder / SCORES_FILE) for folder in folders}
    tested = any("accuracy" in score for score in scores.values())
    for folder in folders:
        score = scores[folder.name]
        plan, (speed, waiting) = plans[folder.name], _pace(logs[folder.name])
        facts = {"run": folder.name} | ({"law": plan["law"]} if plan["task"] == "pretrain" else {})
        rows.append(
            facts
            | {"pictures seen": pictures_seen(plan), "batch": plan["batch"]}
            | {"last loss": f"{score['loss']:.3f}"}
            | (_accuracy(score) if tested else {})
            | {"pictures/s": f"{speed:,.0f}", "waiting": percent(waiting)}
        )
    numeric = ("last loss", *(("test accuracy", "95 % interval") if tested else ()), "pictures/s", "waiting")
    return Table(columns=list(rows[0]), rows=[list(row.values()) for row in rows], numeric=numeric)


def _accuracy(score: Mapping[str, Any]) -> dict[str, str | None]:
    """On the test part, where the run had one."""
    if "accuracy" not in score:
        return {"test accuracy": None, "95 % interval": None}
    return {
        "test accuracy": percent(score["accuracy"]),
        "95 % interval": f"{percent(score['low'])} to {percent(score['high'])}",
    }


def _pace(log: Log) -> tuple[float, float]:
    """Pictures a second, and the share of the time without any, over the whole run."""
    starts = [0, *(line["seen"] for line in log)]
    seconds = [(line["seen"] - start) / line["images_per_second"] for line, start in zip(log, starts, strict=False)]
    waited = sum(line["waiting_fraction"] * time for line, time in zip(log, seconds, strict=True))
    return log[-1]["seen"] / sum(seconds), waited / sum(seconds)


def _lines(path: Path) -> Log:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
