"""``tagwise train``: a classifier of a target's classes, from scratch or from a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.durations import parse_images
from tagwise.base.errors import UsageError
from tagwise.base.progress import say
from tagwise.verbs.pretrain import SCORES_FILE, RunResult, square_view

if TYPE_CHECKING:
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan
    from tagwise.transfer.targets import Target


def train(
    target: Path,
    *,
    out: Path,
    design: str | None = None,
    from_: str | None = None,
    test: Path | None = None,
    test_fraction: float | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    images: str = "40 epochs",
    batch: int | None = None,
    resolution: int | None = None,
    lr: float | None = None,
    set_: list[str] | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
) -> RunResult:
    """Trains all of a net on labelled pictures; a test part, where there is one, is scored once at the end.

    The same command continues an interrupted run.

    Args:
        target: A folder with train and test, a folder of class folders, or a table.
        out: The run folder.
        design: A name of the family; resnext20_8x4d_small where nothing is said.
        from_: The model to begin from: a run folder, a model file, or published weights.
        test: The test part, where the target has none.
        test_fraction: Share of each class to set aside for the test.
        picture_column: Column of the pictures, where a table leaves it open.
        class_column: Column of the classes of a table.
        images: Pictures seen: 20000, 20k, or '40 epochs' of the training part.
        batch: Pictures a step.
        resolution: Side of the square that the net sees, in pixels.
        lr: Peak learning rate at this batch.
        set_: Any other setting of the plan as name=value.
        seed: Of everything random.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.
        dry_run: Say steps, rates, memory and time, and train nothing.
        overwrite: Begin anew in a folder of another run.

    Raises:
        UsageError: A wrong name, number or folder, or another plan in ``out``.
        DataRefused: Too few classes, parts that differ, too many unreadable pictures.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.base.devices import choose_device
    from tagwise.training.models import load_model
    from tagwise.training.runs import open_run
    from tagwise.transfer.finetune import train_classes
    from tagwise.transfer.targets import open_target, pack_part

    where = choose_device(device)
    opened = open_target(
        target,
        test=test,
        test_fraction=test_fraction,
        picture_column=picture_column,
        class_column=class_column,
        seed=seed,
    )
    start = load_model(from_) if from_ is not None else None
    plan = _plan(
        start,
        where,
        design=design,
        resolution=resolution,
        data=opened.train.digest,
        images=parse_images(images, len(opened.train)),
        batch=min(32, len(opened.train)) if batch is None else batch,
        lr=lr,
        seed=seed,
        settings=set_ or [],
    )
    facts = _facts(plan, opened, start)
    if dry_run:
        from tagwise.training.estimate import estimate

        facts |= estimate(plan, len(opened.classes), len(opened.train), where)
        return RunResult(folder=out, facts=facts, finished=False, scores={})
    run = open_run(out, plan, overwrite=overwrite)
    if not run.finished:
        for name, value in facts.items():
            say(f"{name}: {value}")
        train_part = pack_part(opened.train, plan.view, out / "pixels", workers)
        net = train_classes(
            plan,
            train_part.images_NHWC,
            train_part.truth,
            len(opened.classes),
            device=where,
            start=start.net if start else None,
            run=run,
            title="training",
        )
        _finish(run, net, opened, start, where, workers)
    scores = run.read(SCORES_FILE) or {}
    if "accuracy" in scores:
        facts["accuracy"] = (
            f"{scores['accuracy']:.1%} of {scores['test_pictures']:,} test pictures, "
            f"95 % interval {scores['low']:.1%} to {scores['high']:.1%}; class mean {scores['class_mean']:.1%}"
        )
    return RunResult(folder=out, facts=facts, finished=True, scores=scores)


def _plan(
    start: Model | None,
    device: Any,
    *,
    design: str | None,
    resolution: int | None,
    lr: float | None,
    settings: list[str],
    **facts: Any,
) -> Plan:
    from tagwise.base.devices import native_bf16
    from tagwise.nets import find_design
    from tagwise.training.plans import fine_tuning, from_scratch, replace, with_settings
    from tagwise.training.schedule import REFERENCE_BATCH

    if start is not None and design is not None and find_design(design) != start.facts.design:
        raise UsageError(
            f"--from {start.name} has its own design; leave --design away, or train {design} from scratch."
        )
    recipe = fine_tuning if start else from_scratch
    plan = recipe(
        design=start.facts.design if start else find_design(design or "resnext20_8x4d_small"),
        view=start.facts.view if start and resolution is None else square_view(resolution or 48),
        start=start.digest if start else None,
        precision="bfloat16" if native_bf16(device) else "float32",
        **facts,
    )
    if lr is not None:
        plan = replace(plan, rate_per_256=lr * REFERENCE_BATCH / plan.batch)
    return with_settings(plan, settings) if settings else plan


def _facts(plan: Plan, target: Target, start: Model | None) -> dict[str, str]:
    return {
        "target": f"{len(target.classes)} classes, {len(target.train):,} pictures to train on, "
        f"{target.test_pictures:,} to test",
        "start": start.name if start else "scratch",
        "pictures seen": f"{plan.images:,}, {plan.steps:,} steps of {plan.batch}",
        "learning rate": f"{plan.peak_rate:.4g} = {plan.rate_per_256:g} per 256 x {plan.batch} / 256",
        "view": f"{plan.view.resolution} px of {plan.view.resize} px, {plan.precision}",
    }


def _finish(run: Any, net: Any, target: Target, start: Model | None, device: Any, workers: int | None) -> None:
    from tagwise.training.models import MODEL_FILE, ModelFacts, save_model
    from tagwise.transfer.comparison import score_test

    plan = run.plan
    log = run.log()
    scores: dict[str, Any] = {"loss": log[-1].loss, "images": log[-1].seen}
    if target.test_pictures:
        scores |= score_test(target, net, plan.view, run.folder / "pixels", device, workers)
    run.write(SCORES_FILE, scores)
    facts = ModelFacts(
        design=plan.design,
        view=plan.view,
        classes=target.classes,
        images=plan.images,
        lineage=(*(start.facts.lineage if start else ()), f"{target.name}, {plan.images:,} pictures seen"),
        licence=start.facts.licence if start else "unknown",
    )
    save_model(run.folder / MODEL_FILE, net, facts)
