"""What a report tells of trainings is what their logs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tagwise.pages.page import Chart, Table
from tagwise.verbs.report import report
from tagwise.verbs.run_curves import run_blocks

SPEEDS = (100.0, 50.0)
"""Pictures a second of the two lines of a log, of 100 pictures each: one second, then two."""


def run(folder: Path, *, feed: str = "packed", held_out: tuple[float, ...] = ()) -> Path:
    """A finished run that waited for a quarter of its first second and for half of the two others."""
    folder.mkdir()
    lines: list[dict[str, Any]] = [
        {"seen": 100, "excess_loss": 2.0, "rate": 0.2, "images_per_second": SPEEDS[0], "waiting_fraction": 0.25},
        {"seen": 200, "excess_loss": 1.0, "rate": 0.1, "images_per_second": SPEEDS[1], "waiting_fraction": 0.5},
    ]
    files: dict[str, list[Any]] = {
        "plan.json": [
            {"task": "train", "law": "natural", "images": 200, "batch": 10, "feed": feed, "seed": 0, "data": "abc"}
        ],
        "scores.json": [{"loss": 1.5}],
        "log.jsonl": lines,
    }
    if held_out:
        files["held_out.jsonl"] = [{"seen": 100 * epoch, "accuracy": value} for epoch, value in enumerate(held_out, 1)]
    for name, values in files.items():
        (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return folder


def charts(*folders: Path) -> dict[str, Chart]:
    """By the measure that each shows."""
    drawn = [block for block in run_blocks(list(folders), "Loss.") if isinstance(block, Chart)]
    return {chart.svg.partition('aria-label="')[2].partition(" against")[0]: chart for chart in drawn}


def told(chart: Chart) -> list[list[Any]]:
    """The rows of its table that hold anything."""
    return [list(row) for row in chart.table.rows if any(cell is not None for cell in row[1:])]


def test_each_measure_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    packed = run(tmp_path / "packed")
    fed = run(tmp_path / "fed", feed="files")
    judged = run(tmp_path / "judged", held_out=(0.25, 0.5))
    assert set(charts(packed)) == {"excess loss", "learning rate"}
    assert set(charts(packed, fed, judged)) == {
        "excess loss", "held-out accuracy", "learning rate", "waiting for pictures",
    }  # fmt: skip


def test_a_run_keeps_its_colour_where_another_was_not_measured(tmp_path: Path) -> None:
    both = charts(run(tmp_path / "packed"), run(tmp_path / "judged", held_out=(0.25, 0.5)))
    assert both["held-out accuracy"].keys == both["excess loss"].keys[1:]
    assert both["held-out accuracy"].table.columns[1:] == ("judged",)


def test_curves_are_the_numbers_of_the_logs(tmp_path: Path) -> None:
    drawn = charts(run(tmp_path / "a", feed="files", held_out=(0.25, 0.5)))
    assert told(drawn["excess loss"]) == [[100, 2.0], [200, 1.0]]
    assert told(drawn["learning rate"]) == [[100, 0.2], [200, 0.1]]
    assert told(drawn["held-out accuracy"]) == [[100, "25.0%"], [200, "50.0%"]]
    assert told(drawn["waiting for pictures"]) == [[100, "25.0%"], [200, "50.0%"]]


def test_pace_and_waiting_are_means_over_time_and_not_over_lines(tmp_path: Path) -> None:
    """200 pictures in 3 seconds; 0.25 x 1 + 0.5 x 2 = 1.25 of them without pictures."""
    table = run_blocks([run(tmp_path / "a")], "Loss.")[-1]
    assert isinstance(table, Table)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["pictures/s"], row["waiting"]) == (f"{200 / 3:.0f}", f"{100 * 1.25 / 3:.1f}%")
    assert (row["last loss"], row["pictures seen"]) == ("1.500", 200)
    assert "test accuracy" not in row


def test_the_accuracy_of_each_run_stands_in_the_table_with_its_interval(tmp_path: Path) -> None:
    tested, other = run(tmp_path / "tested"), run(tmp_path / "other")
    scores = {"loss": 1.5, "accuracy": 0.75, "low": 0.5, "high": 0.9}
    (tested / "scores.json").write_text(json.dumps(scores), "utf-8")
    table = run_blocks([tested, other], "Loss.")[-1]
    assert isinstance(table, Table)
    columns = [list(table.columns).index(name) for name in ("run", "test accuracy", "95 % interval")]
    told = [[row[column] for column in columns] for row in table.rows]
    assert told == [["tested", "75.0%", "50.0% to 90.0%"], ["other", None, None]]


def test_what_was_held_out_is_told_where_it_was_measured_and_nowhere_else(tmp_path: Path) -> None:
    judged = charts(run(tmp_path / "judged", held_out=(0.25, 0.5, 0.75)))["held-out accuracy"]
    assert judged.table.rows == [[100, "25.0%"], [200, "50.0%"], [300, "75.0%"]]


def test_a_report_on_trainings_alone_has_no_word_of_tags(tmp_path: Path) -> None:
    page = report([run(tmp_path / "a")], out=tmp_path / "a.html").page.read_text("utf-8")
    assert "<h1>How the training went</h1>" in page
    assert "tags" not in page.partition("<body")[2]


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 1.0])
def test_an_accuracy_measured_once_is_a_dot(accuracy: float, tmp_path: Path) -> None:
    once = charts(run(tmp_path / "once", held_out=(accuracy,)))["held-out accuracy"]
    assert once.svg.count("translate(") == 1
    assert f"once ends at {accuracy:.1%}" in once.svg
