"""Detectors and segmenters on the one loop: stopped and continued equals undisturbed; slices; nothing to read."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tagwise.base.errors import Interrupted
from tagwise.localise.feeding import LocatedBatch, LocatedPictures
from tagwise.localise.mapping import maps_of
from tagwise.localise.models import new_located
from tagwise.localise.opening import open_annotations
from tagwise.localise.task import LocatedTask, backbone_of
from tagwise.nets.norms import FrozenNorm
from tagwise.tags.epoch import EpochIndex
from tagwise.training.heads import DETECTORS, SEGMENTERS
from tagwise.training.learner import Learner
from tagwise.training.loop import Job, train
from tagwise.training.models import ModelFacts
from tagwise.training.plans import Plan, with_settings
from tagwise.training.ranks import Ranks
from tagwise.training.recipes import LOCATING
from tagwise.training.runs import Run
from tests.localise.drawn_target import TINY, write_target
from tests.localise.small_detectors import SMALL
from tests.references.coco import need

need("pycocotools")

CPU = torch.device("cpu")
STEPS, BATCH = 6, 2
HEADS = [head for head in (*DETECTORS, *SEGMENTERS) if head != "keypoint"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_target(tmp_path_factory.mktemp("target"))


def plan_of(head: str, **changes: Any) -> Plan:
    name = "small_segmentation" if head in SEGMENTERS else "small_detection"
    plan = LOCATING[name](6, head=head, data="drawn", design=SMALL, batch=BATCH, images=STEPS * BATCH)
    plan = dataclasses.replace(plan, model_of="last", **changes)
    sizing = ["sizing.shorter=[48,64]", "sizing.test_shorter=64", "sizing.longest=64"]
    crop = ["sizing.crop=64"] if head in SEGMENTERS else TINY
    return with_settings(plan, [*sizing, *crop])


def job_of(target: Path, plan: Plan, folder: Path | None = None, ranks: Ranks = Ranks()) -> Job:  # noqa: B008
    """From the first weights; its run goes on where ``folder`` says that it was."""
    part: Any = open_annotations(target)["train"]
    names = tuple(one.name for one in part.categories)
    if plan.segmenter is not None:
        part = maps_of(part)
        names = part.classes
    facts = ModelFacts(
        design=plan.design,
        view=plan.view,
        classes=names,
        detector=plan.detector,
        segmenter=plan.segmenter,
        sizing=plan.sizing,
    )
    assert plan.sizing is not None
    pictures = LocatedPictures(
        pictures=part.pictures,
        sizing=plan.sizing,
        seed=plan.seed,
        workers=2,
        masks=plan.detector is not None and plan.detector.has_masks,
        categories=getattr(part, "categories", ()),
    )
    task = LocatedTask(plan, new_located(plan, facts, None), pictures, len(names), CPU, ranks)
    every = np.arange(len(part) + 1)
    index = EpochIndex.build(np.zeros(len(part), np.int32), every, np.array([len(part)]), "natural")
    run = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(folder=folder, plan=plan)
    return Job(plan=plan, task=task, index=index, device=CPU, ranks=ranks, run=run, title=None)


def result(
    target: Path, plan: Plan, folder: Path
) -> tuple[dict[str, bytes], list[tuple[int, float, float]], list[int]]:
    job = job_of(target, plan, folder)
    seen_V = train(job)
    assert job.run is not None
    log = [(line.seen, line.loss, line.rate) for line in job.run.log()]
    state = {name: tensor.numpy().tobytes() for name, tensor in job.task.net.state_dict().items()}
    return state, log, seen_V.tolist()


@pytest.mark.parametrize("head", ["mask", "fcn"])
@pytest.mark.parametrize("at", [1, STEPS // 2])
def test_p12_l15_stopped_and_continued_equals_undisturbed(target: Path, tmp_path: Path, head: str, at: int) -> None:
    plan = plan_of(head)
    expected = result(target, plan, tmp_path / "undisturbed")
    steps, plain = iter(range(STEPS)), Learner.step

    def step(learner: Learner, *arguments: Any, **named: Any) -> Any:
        if next(steps) == at:
            signal.raise_signal(signal.SIGTERM)
        return plain(learner, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", step)
        with pytest.raises(Interrupted):
            result(target, plan, tmp_path / "stopped")
    assert result(target, plan, tmp_path / "stopped") == expected


@pytest.mark.parametrize("head", HEADS)
def test_a_step_of_every_head_moves_the_backbone_and_the_head(target: Path, head: str) -> None:
    job = job_of(target, plan_of(head, images=BATCH))
    before = {name: value.detach().clone() for name, value in job.task.net.named_parameters()}
    train(job)
    moved = {name for name, value in job.task.net.named_parameters() if not torch.equal(value, before[name])}
    trunk = {id(value) for value in backbone_of(job.task.net).parameters()}
    assert any(id(value) in trunk and name in moved for name, value in job.task.net.named_parameters())
    assert any(id(value) not in trunk and name in moved for name, value in job.task.net.named_parameters())
    assert all(bool(value.isfinite().all()) for value in job.task.net.parameters())


@pytest.mark.parametrize("head", ["faster", "fcn"])
def test_a_batch_of_which_nothing_could_be_read_costs_nothing(target: Path, head: str) -> None:
    """Other processes wait for its gradients all the same, so that there are some: zeros."""
    job = job_of(target, plan_of(head))
    task: Any = job.task
    (part,) = task.parts(0, LocatedBatch(samples=[], rows=np.zeros(0, np.int64)))
    loss, floor = task.judged.train()(*part.inputs)
    loss.backward()
    assert (part.pictures, float(loss.detach()), float(floor)) == (0, 0, 0)
    assert all(not value.grad.any() for value in task.net.parameters() if value.requires_grad)


def test_slices_of_a_batch_have_all_its_pictures(target: Path) -> None:
    task: Any = job_of(target, plan_of("faster", accumulate=2)).task
    parts = task.blank()
    assert [part.pictures for part in parts] == [1, 1]


def test_what_a_plan_says_of_norms_is_said_of_the_backbone(target: Path) -> None:
    """Frozen ones keep their statistics; those of the pyramid's heads are the detector's own."""
    plan = with_settings(plan_of("faster", norms="frozen"), ["detector.norm=batch"])
    job = job_of(target, plan)
    norms = [module for module in job.task.net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    inside = set(map(id, backbone_of(job.task.net).modules()))
    assert all(isinstance(norm, FrozenNorm) == (id(norm) in inside) for norm in norms)
    assert {id(norm) in inside for norm in norms} == {True, False}
    before = {name: value.clone() for name, value in backbone_of(job.task.net).named_buffers()}
    train(job)
    for name, value in backbone_of(job.task.net).named_buffers():
        assert torch.equal(value, before[name]), name
