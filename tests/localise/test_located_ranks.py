"""Detectors and segmenters in two processes: one net, stopped and continued as undisturbed, and judged alike."""

from __future__ import annotations

import dataclasses
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tagwise.base.errors import Interrupted
from tagwise.localise import learning
from tagwise.localise.feeding import LocatedBatch
from tagwise.localise.mapping import maps_of
from tagwise.localise.models import new_located
from tagwise.localise.opening import open_annotations
from tagwise.localise.target import LocatedTarget
from tagwise.pixels.batches import Request
from tagwise.training.learner import Learner
from tagwise.training.plans import Plan, with_settings
from tagwise.training.ranks import Ranks
from tagwise.training.runs import claim_run
from tests.localise.drawn_target import write_target
from tests.localise.test_task import CPU, job_of, plan_of
from tests.references.coco import need
from tests.training.test_ranks import meet

need("pycocotools")

HEADS = ("faster", "fcn")
BATCH, STEPS = 4, 3


def shared_plan(head: str, **changes: Any) -> Plan:
    """Whose norms see both processes' pictures, those of the pyramid too, and are measured anew."""
    plan = plan_of(head, norms="synchronised", precise_batches=2, **changes)
    plan = dataclasses.replace(plan, batch=BATCH, images=STEPS * BATCH)
    return with_settings(plan, ["detector.norm=synchronised"]) if plan.detector is not None else plan


def parts_of(target: Path, plan: Plan) -> LocatedTarget:
    opened: Any = open_annotations(target)
    if plan.segmenter is not None:
        opened = {name: maps_of(part) for name, part in opened.items()}
    return LocatedTarget(train=opened["train"], validation=opened["validation"], test=None)


def trained(folder: Path, target: Path, plan: Plan, ranks: Ranks, stop_at: int | None = None) -> dict[str, Any]:
    """A training, or what is left of it, and the net that each process ends with."""
    run = claim_run(folder, plan, ranks)
    nets: list[Any] = []
    steps, plain, new = iter(range(STEPS)), Learner.step, new_located

    def step(learner: Learner, *arguments: Any, **named: Any) -> Any:
        if next(steps) == stop_at and ranks.rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain(learner, *arguments, **named)

    def new_net(*arguments: Any) -> Any:
        nets.append(new(*arguments))
        return nets[-1]

    with pytest.MonkeyPatch.context() as patch, suppress(Interrupted):
        if stop_at is not None:
            patch.setattr(Learner, "step", step)
        patch.setattr(learning, "new_located", new_net)
        learning.train_run(run, parts_of(target, plan), None, CPU, ranks, workers=1, title="training")
    ranks.wait()
    return {
        "log": [(line.seen, line.loss, line.rate) for line in run.log()],
        "held_out": [(line.seen, line.score) for line in run.held_out()],
        "finished": run.finished,
        "net": {name: value.numpy().tobytes().hex() for name, value in nets[0].state_dict().items()},
    }


def missing(head: str, target: Path, ranks: Ranks) -> dict[str, Any]:
    """Weights after two steps of which the second process could read nothing; it goes along all the same."""
    plan = shared_plan(head)
    job = job_of(target, plan, ranks=ranks)
    learner, task = Learner(job.task, plan, ranks), job.task
    whole = next(task.batches([Request(rows=np.array([2, 3]), numbers=np.arange(2))]))
    batch = whole if ranks.first else LocatedBatch(samples=[], rows=np.zeros(0, np.int64))
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(float(learner.step(task.parts(0, batch), rate=0.01)[0]))
    return {"losses": losses, "net": {name: value.clone() for name, value in learner.net.state_dict().items()}}


def everything(ranks: Ranks, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for head in HEADS:
        plan, target = shared_plan(head), folder / "target"
        facts[head] = {
            "missing": missing(head, target, ranks),
            "whole": trained(folder / head / "whole", target, plan, ranks),
            "begun": trained(folder / head / "stopped", target, plan, ranks, stop_at=1),
            "continued": trained(folder / head / "stopped", target, plan, ranks),
        }
    return facts


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_target(folder / "target", val=2)
    return folder


@pytest.fixture(scope="module")
def two(shared_folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = meet(everything, shared_folder)
    return found


@pytest.mark.parametrize("head", HEADS)
def test_l15_stopped_and_continued_equals_undisturbed_at_two_processes(
    two: list[dict[str, Any]], head: str, shared_folder: Path
) -> None:
    for facts in two:
        assert not facts[head]["begun"]["finished"]
        assert facts[head]["continued"] == facts[head]["whole"]
    models = [(shared_folder / head / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert models[0] == models[1]


@pytest.mark.parametrize("head", HEADS)
def test_two_processes_end_with_one_net_and_one_judgement(two: list[dict[str, Any]], head: str) -> None:
    """The first measures on what is held out, once an epoch; precise norms are all processes' alike."""
    first, second = (facts[head]["whole"] for facts in two)
    assert first["net"] == second["net"]
    assert first["held_out"] == second["held_out"]
    assert len(first["held_out"]) == STEPS * BATCH // 6
    assert len(first["log"]) == STEPS


@pytest.mark.parametrize("head", HEADS)
def test_a_process_without_a_readable_picture_waits_for_the_others_norms(two: list[dict[str, Any]], head: str) -> None:
    first, second = (facts[head]["missing"] for facts in two)
    assert all(loss > 0 for loss in first["losses"])
    assert second["losses"] == [0, 0]
    for name, value in first["net"].items():
        # Norms of a segmenter's head are each process's own.
        assert torch.equal(value, second["net"][name]) or (head == "fcn" and "classifier" in name), name
        assert bool(second["net"][name].isfinite().all()), name
