"""What a training is said to cost: every line there, counts exact, a rate that was measured."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import pytest

from tagwise.base.views import View
from tagwise.nets import count_parameters
from tagwise.training import estimate as estimates
from tagwise.training.estimate import TRIAL_BATCH, TRIAL_STEPS, estimate
from tagwise.training.loop import Job, train
from tests.training.tiny import CPU, DESIGN, tiny_plan

OUTPUTS = 1000
PICTURES = 50_000


def test_p15_every_line_is_there_and_the_counts_are_exact() -> None:
    lines = estimate(tiny_plan(), OUTPUTS, PICTURES, CPU)
    assert list(lines) == ["net", "memory", "disk", "time"]
    head = (DESIGN.channels[-1] + 1) * OUTPUTS
    assert f"{count_parameters(DESIGN, OUTPUTS):,} parameters, {head:,} of them in the classifier" in lines["net"]
    assert "60.0 MB of packed pictures" in lines["disk"], "50,000 of 20 x 20 pixels and three bytes"
    assert "weights, gradients, momentum" in lines["memory"]


def test_p15_the_rate_is_positive_and_finite_and_gives_the_time() -> None:
    told = estimate(tiny_plan(images=10**12), OUTPUTS, PICTURES, CPU)["time"]
    match = re.match(r"([\d.]+) days at ([\d,]+) pictures/s on cpu, measured", told)
    assert match is not None, told
    days, rate = (float(number.replace(",", "")) for number in match.groups())
    assert 1 <= rate < 1e8
    assert days * 86400 == pytest.approx(1e12 / rate, rel=0.05), "the rate is told in whole pictures"


@pytest.mark.parametrize(
    "changes", [{"loss": "sigmoid"}, {"law": "uniform", "threshold": None}, {"precision": "bfloat16"}]
)
def test_p15_any_plan_can_be_tried(changes: dict[str, Any]) -> None:
    assert "pictures/s" in estimate(tiny_plan(**changes), OUTPUTS, PICTURES, CPU)["time"]


def test_p15_a_batch_of_100_000_is_counted_not_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Job] = []

    def noted(job: Job) -> Any:
        tried.append(job)
        return train(job)

    monkeypatch.setattr(estimates, "train", noted)
    plan = tiny_plan(batch=100_000, images=10**6, view=View(resolution=32, resize=40))
    tracemalloc.start()
    try:
        lines = estimate(plan, OUTPUTS, PICTURES, CPU)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    batch = 100_000 * 3 * 40 * 40
    assert f"{5 * batch / 1e9:,.2f} GB for a batch of pixels" in lines["memory"]
    assert peak < batch / 10, "numpy tells of its arrays"
    assert [(job.plan.batch, job.plan.steps, job.run) for job in tried] == [(TRIAL_BATCH, TRIAL_STEPS, None)]
