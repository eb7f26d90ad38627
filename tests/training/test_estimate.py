"""What a training is said to cost: every line there, counts exact, a rate that was measured."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc
from typing import Any

import pytest
import torch

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.nets import build, count_parameters, find_design
from tagwise.pixels.augment import Augment
from tagwise.training import estimate as estimates
from tagwise.training.estimate import TRIAL_BATCH, TRIAL_STEPS, estimate, kept_bytes
from tagwise.training.loop import Job, train
from tagwise.training.plans import Plan
from tests.training.tiny import CPU, DESIGN, VIEW, tiny_plan

OUTPUTS = 1000
PICTURES = 50_000


def test_p15_every_line_is_there_and_the_counts_are_exact() -> None:
    lines = estimate(tiny_plan(), OUTPUTS, PICTURES, CPU)
    assert list(lines) == ["net", "memory", "disk", "time"]
    head = (DESIGN.channels[-1] + 1) * OUTPUTS
    assert f"{count_parameters(DESIGN, OUTPUTS):,} parameters, {head:,} of them in the classifier" in lines["net"]
    assert "60.0 MB of packed pictures" in lines["disk"], "50,000 of 20 x 20 pixels and three bytes"
    assert "weights, gradients, momentum" in lines["memory"]
    assert "packed" not in estimate(tiny_plan(feed="files", augment=Augment()), OUTPUTS, PICTURES, CPU)["disk"]


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


def test_p15_a_rate_that_is_given_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.5 billion pictures at the rate that the WSL paper's 22 days imply."""
    monkeypatch.setattr(estimates, "_trial", None)
    plan = tiny_plan(images=3_500_000_000, batch=8064)
    told = estimate(plan, OUTPUTS, PICTURES, CPU, ranks=336, rate=1840.0)
    assert told["time"] == "22.0 days at 1,840 pictures/s, as given"
    assert told["memory"].endswith("kept for the backward pass of 24 pictures, in each of 336 processes")
    with pytest.raises(UsageError, match="cannot be shared out evenly among 5 processes"):
        estimate(plan, OUTPUTS, PICTURES, CPU, ranks=5, rate=1840.0)


def test_p15_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Plan] = []

    def trial(plan: Plan, _: torch.device) -> float:
        tried.append(plan)
        return 0.01

    monkeypatch.setattr(estimates, "_trial", trial)
    told = estimate(tiny_plan(images=10**9), OUTPUTS, PICTURES, CPU, ranks=4)["time"]
    assert "at 400 pictures/s by 4 processes that never wait, each like this one, on cpu" in told
    assert [plan.batch for plan in tried] == [2]


def test_what_is_kept_is_what_autograd_keeps() -> None:
    """Counted on no data at all, and on true pictures."""
    plan = tiny_plan(design=find_design("seresnet18"), view=VIEW)
    net = build(plan.design, num_classes=2).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(torch.rand(2, 3, VIEW.resolution, VIEW.resolution))
    assert kept_bytes(plan) == pytest.approx(sum(storage.nbytes() for storage in kept.values()) / 2, rel=0.02)


def test_less_is_kept_in_half_precision_and_where_it_is_computed_again() -> None:
    plan = tiny_plan(design=find_design("resnext50_32x4d"), view=View(resolution=64, resize=72))
    whole = kept_bytes(plan)
    assert kept_bytes(dataclasses.replace(plan, precision="bfloat16")) == pytest.approx(whole / 2, rel=0.05)
    assert kept_bytes(dataclasses.replace(plan, recompute=True)) < 0.4 * whole
    sliced = estimate(dataclasses.replace(plan, accumulate=3), OUTPUTS, PICTURES, CPU, rate=1.0)["memory"]
    assert sliced.endswith("kept for the backward pass of 3 pictures")


def test_each_further_copy_of_the_weights_is_counted() -> None:
    parameters = count_parameters(DESIGN, 100_000)
    for changes, copies in (({}, 4), ({"ema": 0.9}, 5), ({"optimiser": "lamb", "ema": 0.9}, 6)):
        told = estimate(tiny_plan(**changes), 100_000, PICTURES, CPU, rate=1.0)["memory"]
        assert told.startswith(f"{4 * copies * parameters / 1e6:,.1f} MB for weights"), told


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
