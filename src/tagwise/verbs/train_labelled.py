"""``tagwise train TARGET``: a classifier of whole pictures on our backbones, by the one loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.progress import say
from tagwise.verbs.planning import PlanFlags, feed_files, make_plan, memory_format_of, plan_facts
from tagwise.verbs.run_results import SCORES_FILE, RunResult, refuse_other_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tagwise.nets.grammar import ResidualNet
    from tagwise.pixels.batches import LabelledPictures
    from tagwise.pixels.feeding import FilePictures
    from tagwise.pixels.place import Place
    from tagwise.training.checkpoints import Keep
    from tagwise.training.models import Model, ModelFacts
    from tagwise.training.plans import Plan
    from tagwise.training.ranks import Ranks
    from tagwise.training.runs import Run
    from tagwise.transfer.targets import Target


def train_labelled(
    target: Path,
    out: Path,
    flags: PlanFlags,
    *,
    test: Path | None,
    test_fraction: float | None,
    holdout: str | None,
    picture_column: str | None,
    class_column: str | None,
    from_: str | Path | None,
    recipe: str | None,
    seed: int,
    device: str | None,
    workers: int | None,
    keep: Keep,
    dry_run: bool,
    ranks: int | None,
    rate: float | None,
    overwrite: bool,
) -> RunResult:
    """As ``train``, of pictures that are labelled as a whole.

    Raises:
        UsageError: A wrong name, number or folder, or another plan in ``out``.
        DataRefused: Too few classes, parts that differ, too many unreadable pictures.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.training.loading import load
    from tagwise.training.ranks import join_ranks
    from tagwise.training.recipes import find_recipe
    from tagwise.training.runs import claim_run
    from tagwise.transfer.opening import open_target

    make = find_recipe(recipe if recipe is not None else "scratch" if from_ is None else "finetune")
    with join_ranks(device) as (together, where):
        opened = open_target(
            target,
            test=test,
            test_fraction=test_fraction,
            holdout=holdout,
            picture_column=picture_column,
            class_column=class_column,
            seed=seed,
        )
        start = load(from_, design=flags.design) if from_ is not None else None
        resolved = make_plan(
            make,
            len(opened.train),
            flags,
            start,
            where,
            elsewhere=ranks is not None,
            task="train",
            data=opened.train.digest,
            seed=seed,
        )
        facts = _facts(resolved, opened, start, here=ranks is None or flags.images is None)
        if dry_run:
            from tagwise.training.estimate import estimate

            facts |= estimate(resolved, len(opened.classes), len(opened.train), where, ranks=ranks or 1, rate=rate)
            return RunResult(folder=out, facts=facts, finished=False, scores={})
        run = claim_run(out, resolved, together, overwrite=overwrite)
        refuse_other_parts(
            run,
            together,
            validation=None if opened.validation is None else opened.validation.digest,
            test=opened.test_digest if run.finished else None,
            tested_on=test or target,
        )
        if not run.finished:
            _train(run, opened, start, where, together, keep, workers, facts)
        if together.first and _unscored(run, opened):
            _score(run, opened, where, workers)
        together.wait()
        scores = run.read(SCORES_FILE)
    if "accuracy" in scores:
        facts["accuracy"] = (
            f"{scores['accuracy']:.1%} of {scores['test_pictures']:,} test pictures, "
            f"95 % interval {scores['low']:.1%} to {scores['high']:.1%}; class mean {scores['class_mean']:.1%}"
        )
    return RunResult(folder=out, facts=facts, finished=True, scores=scores)


def _train(
    run: Run,
    target: Target,
    start: Model | None,
    device: torch.device,
    together: Ranks,
    keep: Keep,
    workers: int | None,
    facts: dict[str, str],
) -> None:
    """Trains, and writes the model; the facts are told once the pictures are there."""
    from tagwise.training.loop import Job, train
    from tagwise.training.models import MODEL_FILE, save_model
    from tagwise.training.tasks import LabelTask
    from tagwise.transfer.finetune import class_index, class_net

    plan, classes = run.plan, len(target.classes)
    pictures, truth, places = _pictures(run, target, together, workers)
    judge = _judge(run, target, device, together, workers)
    for name, value in facts.items():
        say(f"{name}: {value}")
    of_model = _model_facts(plan, target, start)
    net = class_net(plan, classes, start.net if start else None)
    task = LabelTask(plan, net, pictures, device, together, layout=memory_format_of(run, device, together))
    train(
        Job(
            plan=plan,
            task=task,
            index=class_index(truth, classes),
            device=device,
            ranks=together,
            names=places,
            judge=judge,
            keep=keep,
            facts=of_model,
            run=run,
            title="training",
        )
    )
    if together.first:
        save_model(run.folder / MODEL_FILE, net, of_model)
    together.wait()


def _pictures(
    run: Run, target: Target, together: Ranks, workers: int | None
) -> tuple[LabelledPictures | FilePictures, NDArray[np.int64], list[Place]]:
    """The training part, packed by the first process, or read from its files as it is needed."""
    import numpy as np

    from tagwise.pixels.batches import LabelledPictures
    from tagwise.transfer.targets import pack_part

    part = target.train
    places = list(part.places)
    if run.plan.feed == "files":
        offsets = np.arange(len(part) + 1)
        return feed_files(run.plan, places, part.truth.astype(np.int32), offsets, workers), part.truth, places
    with together.first_alone():
        packed = pack_part(part, run.plan.view, run.folder / "pixels", workers)
    pictures = LabelledPictures.of_classes(packed.images_NHWC, packed.truth)
    return pictures, packed.truth, [places[row] for row in packed.rows.tolist()]


def _judge(
    run: Run, target: Target, device: torch.device, together: Ranks, workers: int | None
) -> Callable[[ResidualNet], float] | None:
    """Accuracy on the validation part, where the target has one."""
    from tagwise.measure.accuracy import accuracy
    from tagwise.transfer.features import right_answers
    from tagwise.transfer.targets import pack_part

    if target.validation is None:
        return None
    view = run.plan.judged_view
    with together.first_alone():
        held = pack_part(target.validation, view, run.folder / "pixels", workers)
    return lambda net: accuracy(right_answers(net, held.images_NHWC, held.truth, view, device, together))


def _facts(plan: Plan, target: Target, start: Model | None, *, here: bool) -> dict[str, str]:
    return {
        "target": f"{len(target.classes)} classes, {len(target.train):,} pictures to train on, "
        f"{target.test_pictures:,} to test",
        "start": (start.name if start else "scratch") + (f", {plan.freeze} frozen" if plan.freeze else ""),
    } | plan_facts(plan, len(target.train) if here else None)


def _model_facts(plan: Plan, target: Target, start: Model | None) -> ModelFacts:
    from tagwise.training.models import ModelFacts

    return ModelFacts(
        design=plan.design,
        view=plan.judged_view,
        classes=target.classes,
        images=plan.seen,
        lineage=(*(start.facts.lineage if start else ()), f"{target.name}, {plan.seen:,} pictures seen"),
        licence=start.facts.licence if start else "unknown",
    )


def _unscored(run: Run, target: Target) -> bool:
    """Whether scores are missing, if only those of a test part that the run did not have so far."""
    scores = run.read(SCORES_FILE)
    return scores is None or (target.test_pictures > 0 and "test_digest" not in scores)


def _score(run: Run, target: Target, device: torch.device, workers: int | None) -> dict[str, Any]:
    """Writes the scores, after the model: a test part that fails costs no training."""
    from tagwise.training.loading import load
    from tagwise.transfer.comparison import score_test

    last = run.log()[-1]
    scores: dict[str, Any] = {"loss": last.loss, "images": last.seen}
    if target.test_pictures:
        net = load(run.folder).net
        scores |= score_test(target, net, run.plan.judged_view, run.folder / "pixels", device, workers)
    run.write(SCORES_FILE, scores)
    return scores
