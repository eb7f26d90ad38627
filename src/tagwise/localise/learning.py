"""A training of what tells where things are, from the plan of a run folder to its model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import nn

from tagwise.base import rng
from tagwise.localise.annotations import Annotations, LabelMaps
from tagwise.localise.feeding import LocatedPictures
from tagwise.localise.locating import box_ap, evaluate_pixels, shown_to_norms
from tagwise.localise.models import LocatedModel, new_located
from tagwise.localise.precise import recompute_norms
from tagwise.localise.target import LocatedTarget
from tagwise.localise.task import LocatedTask
from tagwise.localise.windows import Windows
from tagwise.pixels.batches import Request
from tagwise.tags.epoch import EpochIndex
from tagwise.training.checkpoints import Keep
from tagwise.training.loop import Job, train
from tagwise.training.models import MODEL_FILE, Model, ModelFacts, save_model
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.runs import Run


def train_run(
    run: Run,
    target: LocatedTarget,
    start: Model | LocatedModel | None,
    device: torch.device,
    ranks: Ranks,
    *,
    keep: Keep | None = None,
    workers: int | None = None,
    title: str = "training",
) -> None:
    """Trains by the run's plan, measures the norms anew where the plan says so, and writes the model.

    Args:
        run: Its folder and plan; a run that was interrupted goes on.
        target: Its validation part, where there is one, judges every epoch.
        start: The model to begin from; None: from scratch.
        device: Where.
        ranks: The processes that share each batch.
        keep: Which checkpoints stay.
        workers: Threads that decode pictures; by default one for each processor, shared among the machine's ranks.
        title: What the progress is called.

    Raises:
        Interrupted: SIGINT or SIGTERM; the state is saved.
        Diverged: Loss or weights are no longer finite.
        DataRefused: Too many pictures cannot be read.
    """
    plan, part = run.plan, target.train
    assert plan.sizing is not None
    pictures = LocatedPictures(
        pictures=part.pictures,
        sizing=plan.sizing,
        seed=plan.seed,
        workers=workers or max((os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1),
        masks=plan.detector is not None and plan.detector.has_masks,
        keypoints=plan.detector is not None and plan.detector.kind == "keypoint",
        categories=getattr(part, "categories", ()),
        mean=plan.view.mean,
    )
    net = new_located(plan, model_facts(plan, target, start), start)
    task = LocatedTask(plan, net, pictures, len(target.classes), device, ranks)
    every = np.arange(len(part) + 1)
    train(
        Job(
            plan=plan,
            task=task,
            index=EpochIndex.build(np.zeros(len(part), np.int32), every, np.array([len(part)]), "natural"),
            device=device,
            ranks=ranks,
            names=[picture.name for picture in part.pictures],
            judge=_judge(plan, target, task, pictures, device, ranks),
            keep=keep or Keep(),
            facts=model_facts(plan, target, start),
            run=run,
            title=title,
        )
    )
    _measure_norms(net, plan, task, pictures, ranks)
    if ranks.first:
        save_model(run.folder / MODEL_FILE, net, model_facts(plan, target, start, run.log()[-1].seen))
    ranks.wait()


def model_facts(plan: Plan, target: LocatedTarget, start: Model | LocatedModel | None, images: int = 0) -> ModelFacts:
    """What stands in the model's file beside its tensors."""
    train = target.train
    categories = getattr(train, "categories", ())
    licences = [one for one in (start.facts.licence if start else None, train.licence) if one not in (None, "unknown")]
    return ModelFacts(
        design=plan.design,
        view=plan.view,
        classes=target.classes,
        detector=plan.detector,
        segmenter=plan.segmenter,
        sizing=plan.sizing,
        category_ids=tuple(one.id for one in categories),
        keypoints=categories[0].keypoints if categories else (),
        mirrored=categories[0].mirrored if categories else (),
        images=images or plan.seen,
        lineage=(*(start.facts.lineage if start else ()), f"{train.name}, {images or plan.seen:,} pictures seen"),
        licence="; ".join(dict.fromkeys(licences)) or "unknown",
    )


def _judge(
    plan: Plan,
    target: LocatedTarget,
    task: LocatedTask,
    pictures: LocatedPictures,
    device: torch.device,
    ranks: Ranks,
) -> Callable[[nn.Module], float] | None:
    """AP or mean IoU on the validation part, which the first process measures."""
    held = target.validation
    if held is None:
        return None

    def judge(net: nn.Module) -> float:
        score = 0.0
        _measure_norms(net, plan, task, pictures, ranks)
        if ranks.first and plan.detector is not None:
            score = box_ap(net, cast("Annotations", held), plan.detector, device)
        elif ranks.first:
            assert plan.sizing is not None
            found = evaluate_pixels(net, cast("LabelMaps", held), plan.view, plan.sizing, Windows(), device)
            score = found.scores.mean_iou or 0.0
        return ranks.gathered(score)[0]

    return judge


def _measure_norms(net: nn.Module, plan: Plan, task: LocatedTask, pictures: LocatedPictures, ranks: Ranks) -> None:
    """Precise norms of pictures drawn from the training part, the same in all processes."""
    if not plan.precise_batches:
        return
    drawn = rng.stream(plan.seed, "precise norms").integers(
        len(pictures.pictures), size=(plan.precise_batches, ranks.share(plan.batch))
    )
    share = drawn.shape[1]
    requests = (Request(rows=rows, numbers=np.arange(share) + place * share) for place, rows in enumerate(drawn))
    inputs = (part.inputs for batch in pictures.batches(requests) for part in task.parts(0, batch) if part.pictures)
    recompute_norms(net, inputs, shown_to_norms(net))
