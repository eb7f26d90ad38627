"""A run folder: the same plan goes on, another is refused with the difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.training.models import MODEL_FILE
from tagwise.training.ranks import Ranks, T
from tagwise.training.runs import PLAN_FILE, LogLine, claim_run, open_run, read_run
from tests.training.tiny import DESIGN, tiny_plan


def line(seen: int) -> LogLine:
    return LogLine(seen=seen, epoch=seen / 64, loss=1 / 3, excess_loss=0.1, rate=0.01, images_per_second=100.5)


def test_p14_the_same_plan_continues_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    open_run(folder, tiny_plan()).append(line(8))
    assert capsys.readouterr().err == ""
    run = open_run(folder, tiny_plan())
    assert f"{folder} is continued" in capsys.readouterr().err
    assert not run.finished
    assert run.log() == [line(8)]


def test_p14_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_run(tmp_path, tiny_plan())
    (tmp_path / MODEL_FILE).touch()
    assert open_run(tmp_path, tiny_plan()).finished
    assert f"{tmp_path} is finished" in capsys.readouterr().err


def test_p14_another_plan_is_refused_with_the_difference(tmp_path: Path) -> None:
    open_run(tmp_path, tiny_plan())
    other = tiny_plan(seed=3, weight_decay=0.5, design=replace(DESIGN, dropout=0.5))
    with pytest.raises(UsageError) as caught:
        open_run(tmp_path, other)
    message = str(caught.value)
    for difference in ("design.dropout: 0.0 -> 0.5", "seed: 0 -> 3", "weight_decay: 0.0001 -> 0.5", "--overwrite"):
        assert difference in message
    assert "momentum" not in message
    assert read_run(tmp_path).plan == tiny_plan()


def test_p14_overwrite_begins_anew(tmp_path: Path) -> None:
    run = open_run(tmp_path, tiny_plan())
    run.append(line(8))
    run.checkpoints.mkdir()
    (tmp_path / MODEL_FILE).touch()
    del run  # and with it its hold on the folder
    run = open_run(tmp_path, tiny_plan(seed=1), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [PLAN_FILE]
    assert (run.log(), run.finished, read_run(tmp_path).plan.seed) == ([], False, 1)


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"recompute": True}])
def test_p14_a_run_goes_on_with_less_memory_and_says_so_unless_it_is_finished(
    tmp_path: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a GPU without memory is told to be given."""
    open_run(tmp_path, tiny_plan()).append(line(8))
    with pytest.raises(UsageError, match="run of another plan"):
        open_run(tmp_path, tiny_plan(seed=1, **changes))
    assert open_run(tmp_path, tiny_plan(**changes)).log() == [line(8)]
    assert f"continued: but for {next(iter(changes))}: " in capsys.readouterr().err
    assert read_run(tmp_path).plan == tiny_plan(**changes)
    (tmp_path / MODEL_FILE).touch()
    with pytest.raises(UsageError, match="run of another plan"):
        open_run(tmp_path, tiny_plan())


def test_shares_that_cannot_be_cut_into_slices_are_refused_before_the_folder_is_touched(tmp_path: Path) -> None:
    plan = tiny_plan(batch=8, accumulate=4)
    with pytest.raises(UsageError, match=r"The 2 pictures .* into 4 slices; give --set accumulate=2 at most"):
        claim_run(tmp_path / "run", plan, Agreeing(world=4))
    assert not (tmp_path / "run").exists()
    assert claim_run(tmp_path / "run", plan, Agreeing()).plan == plan


class Agreeing(Ranks):
    """Processes that are not there, and agree."""

    def gathered(self, value: T) -> list[T]:
        return [value] * self.world


def test_a_folder_of_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"holds something else .*thesis\.txt"):
            open_run(tmp_path, tiny_plan(), overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_log_lines_are_one_json_object_each(tmp_path: Path) -> None:
    run = open_run(tmp_path, tiny_plan())
    for seen in (8, 16):
        run.append(line(seen))
    objects = [json.loads(text) for text in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [found["seen"] for found in objects] == [8, 16]
    assert objects[0]["loss"] == 1 / 3, "numbers survive to the last bit"


@pytest.mark.parametrize("torn", ["", '{"seen": 24', '{"seen": 24}', "null", "\N{SNOWMAN}"])
def test_a_torn_last_line_is_left_out(tmp_path: Path, torn: str) -> None:
    run = open_run(tmp_path, tiny_plan())
    run.append(line(8))
    run.append(line(16))
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as handle:
        handle.write(torn)
    assert run.log() == [line(8), line(16)]
    run.cut_log(8)
    run.append(line(24))
    assert run.log() == [line(8), line(24)]


def test_json_files_of_a_run(tmp_path: Path) -> None:
    run = open_run(tmp_path, tiny_plan())
    run.write("scores.json", {"accuracy": 0.5})
    assert run.read("scores.json") == {"accuracy": 0.5}
    assert run.read("none.json") is None


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no run: it holds no plan\.json"):
        read_run(tmp_path)
    (tmp_path / PLAN_FILE).write_text("{torn")
    with pytest.raises(TagwiseError, match="cannot be read as JSON"):
        read_run(tmp_path)
