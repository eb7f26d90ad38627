"""What the results say of speed and kills: the measured numbers beside their targets, reached or missed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import record, training_docs

Write = Callable[[str, Any], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(record, "RESULTS", tmp_path)

    def put(name: str, results: Any) -> None:
        facts = {"hardware": {"cores": 2, "processor": "a processor"}, "results": results}
        (tmp_path / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")

    return put


def speed(median: float) -> dict[str, float]:
    return {"median": median, "least": median - 0.1, "most": median + 0.1}


def case(design: str, rate: float, speeds: dict[str, float]) -> dict[str, Any]:
    """A case of bench.training with the speeds of what it compared."""
    own, other = "ours, bfloat16", "timm, bfloat16"
    return {
        "case": f"{design}, 64 px, batch 32",
        "ways": {own: {"pictures_per_second": speed(rate)}},
        "ratios": {name: {"of": [own, other], "speed": speed(value), "memory": 0.5} for name, value in speeds.items()},
        "kept_bytes_fraction": 0.3,
    }


def test_nothing_measured_is_said(write: Write) -> None:
    assert training_docs.soak_words() == training_docs.feeding_table() == "Not measured yet."
    assert training_docs.training_tables() == "CPU: not measured yet.\n\nGPU: not measured yet."


def test_a_speed_stands_beside_its_target(write: Write) -> None:
    found = {"rounds": 7, "cases": [case("resnet18", 30, {"float32, else alike": 1.2, "recomputed over kept": 0.7})]}
    write("training", {**found, "fused_optimiser_speed": speed(3)})
    text = training_docs.training_tables()
    assert "ours, bfloat16 | timm, bfloat16 | 1.20 (1.10 to 1.30) | 1, reached | 0.5 |" in text
    assert "0.70 (0.60 to 0.80) | 0.75, missed |" in text
    assert "3.00 (2.90 to 3.10), target 2.5, reached" in text
    assert "target 0.35 at most: 0.30 (resnet18, 64 px, batch 32)" in text
    assert "Medians of 7 rounds" in text
    assert text.endswith("GPU: not measured yet.")


def test_on_a_gpu_resnest_is_held_against_resnet(write: Write) -> None:
    cases = [case(name, rate, {"compiled, else alike": 1.1}) for name, rate in (("resnet50", 400), ("resnest50", 100))]
    write("training_gpu", {"rounds": 7, "cases": cases})
    assert "ResNeSt-50 runs at 0.25 of ResNet-50's pictures a second, target 0.5." in training_docs.training_tables()


def test_every_feed_is_told_beside_every_other_road(write: Write) -> None:
    entry = {
        "pictures_per_second": {"ours": speed(200), "torchvision": speed(100)},
        "speed_over": {"torchvision": speed(2)},
        "grey_levels_off": 0.02,
    }
    write("feeding", {"rounds": 7, **dict.fromkeys(training_docs.FEED_TARGETS, entry)})
    text = training_docs.feeding_table()
    assert "| 200 | 100 | 2.00 (1.90 to 2.10) | 1.4, reached | 0.02, target 0.1 at most |" in text
    assert "2.00 (1.90 to 2.10) | 10, missed |" in text


def test_kills_are_counted_and_a_fault_is_told(write: Write) -> None:
    counts = {
        "feed": "packed",
        "kills": 30,
        "runs": 4,
        "steps_a_run": 150,
        "inside_a_checkpoint_write": 12,
        "in_the_start": 5,
    }
    parts = [{"processes": 1, **counts, "faults": []}, {"processes": 2, **counts, "faults": ["run-2-1: model differs"]}]
    write("soak", {"minutes": 9.5, "parts": parts})
    text = training_docs.soak_words()
    told = (
        "One process, feed=packed: 30 kills in 4 runs of 150 steps, 12 of them inside a checkpoint's write and 5 while"
    )
    assert f"- {told}" in text
    assert "every run ended the same." in text.splitlines()[0]
    assert text.splitlines()[1].endswith("run-2-1: model differs.")
