"""``tagwise train``: a classifier of a target's classes, from scratch or from a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import UsageError
from tagwise.base.progress import say
from tagwise.verbs.planning import (
    PlanFlags,
    make_plan,
    plan_facts,
    refuse_idle_flags,
    refuse_large_batch,
    refuse_no_workers,
)
from tagwise.verbs.pretrain import SCORES_FILE, RunResult

if TYPE_CHECKING:
    import torch

    from tagwise.training.models import Model, ModelFacts
    from tagwise.training.plans import Plan
    from tagwise.training.runs import Run
    from tagwise.transfer.targets import Target


def train(
    target: Path | str,
    *,
    out: Path | str,
    design: str | None = None,
    from_: str | Path | None = None,
    test: Path | str | None = None,
    test_fraction: float | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    recipe: str | None = None,
    plan: Path | str | None = None,
    images: str | None = None,
    batch: int | None = None,
    resolution: int | None = None,
    lr: float | None = None,
    freeze: str | None = None,
    set_: list[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    ranks: int | None = None,
    rate: float | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Trains all of a net on labelled pictures; a test part, where there is one, is scored once at the end.

    The same command continues an interrupted run.

    Args:
        target: A folder with train and test, a folder of class folders, or a table.
        out: The run folder.
        design: A name of the family, such as resnext50_32x4d; by default the recipe's.
        from_: The model to begin from: a run folder, a model file, or published weights.
        test: The test part, where the target has none.
        test_fraction: Share of each class to set aside for the test.
        picture_column: Column of the pictures, where a table leaves it open.
        class_column: Column of the classes of a table.
        recipe: A name of docs/training.md; by default finetune with --from, scratch without.
        plan: A JSON, YAML or TOML file of settings, such as a run's plan.json; flags win over it.
        images: Pictures seen: 20000, 20k, or '40 epochs' of the training part; by default the recipe's.
        batch: Pictures a step, over all processes.
        resolution: Side of the square that the net sees, in pixels.
        lr: Peak learning rate at this batch.
        freeze: With --from, what stays as it is: stem, or stem+2 for the stem and the first two stages.
        set_: Any other setting of the plan as name=value.
        seed: Of everything random; by default 0.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.
        dry_run: Say steps, rates, memory and time, and train nothing.
        ranks: Processes that a dry run reckons with.
        rate: Pictures a second, of all processes, that a dry run reckons with; by default it is measured here.
        overwrite: Begin anew in a folder of another run.

    Raises:
        UsageError: A wrong name, number or folder, or another plan in ``out``.
        DataRefused: Too few classes, parts that differ, too many unreadable pictures.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.base.devices import choose_device
    from tagwise.training.loading import load
    from tagwise.training.models import MODEL_FILE, save_model
    from tagwise.training.recipes import find_recipe
    from tagwise.training.runs import open_run
    from tagwise.transfer.finetune import train_classes
    from tagwise.transfer.opening import open_target
    from tagwise.transfer.targets import pack_part

    refuse_no_workers(workers)
    refuse_idle_flags(ranks, rate, dry_run=dry_run)
    out = Path(out)
    flags = PlanFlags(
        plan=plan, design=design, images=images, batch=batch, resolution=resolution, lr=lr, set_=set_, freeze=freeze
    )
    seed = flags.settings().get("seed", 0) if seed is None else seed
    where = choose_device(device)
    make = find_recipe(recipe or ("scratch" if from_ is None else "finetune"))
    opened = open_target(
        Path(target),
        test=None if test is None else Path(test),
        test_fraction=test_fraction,
        picture_column=picture_column,
        class_column=class_column,
        seed=seed,
    )
    start = load(from_, design=design) if from_ is not None else None
    if freeze is not None and start is None:
        raise UsageError("--freeze keeps what a model has learnt; give the model with --from.")
    resolved = make_plan(
        make, len(opened.train), flags, start, where, task="train", data=opened.train.digest, seed=seed
    )
    facts = _facts(resolved, opened, start)
    if dry_run:
        from tagwise.training.estimate import estimate

        facts |= estimate(resolved, len(opened.classes), len(opened.train), where, ranks=ranks or 1, rate=rate)
        return RunResult(folder=out, facts=facts, finished=False, scores={})
    refuse_large_batch(resolved, len(opened.train))
    run = open_run(out, resolved, overwrite=overwrite)
    if not run.finished:
        for name, value in facts.items():
            say(f"{name}: {value}")
        train_part = pack_part(opened.train, resolved.view, out / "pixels", workers)
        net = train_classes(
            resolved,
            train_part.images_NHWC,
            train_part.truth,
            len(opened.classes),
            device=where,
            start=start.net if start else None,
            run=run,
            title="training",
        )
        save_model(out / MODEL_FILE, net, _model_facts(resolved, opened, start))
    scores = run.read(SCORES_FILE) or _score(run, opened, where, workers)
    if "accuracy" in scores:
        facts["accuracy"] = (
            f"{scores['accuracy']:.1%} of {scores['test_pictures']:,} test pictures, "
            f"95 % interval {scores['low']:.1%} to {scores['high']:.1%}; class mean {scores['class_mean']:.1%}"
        )
    return RunResult(folder=out, facts=facts, finished=True, scores=scores)


def _facts(plan: Plan, target: Target, start: Model | None) -> dict[str, str]:
    return {
        "target": f"{len(target.classes)} classes, {len(target.train):,} pictures to train on, "
        f"{target.test_pictures:,} to test",
        "start": (start.name if start else "scratch") + (f", {plan.freeze} frozen" if plan.freeze else ""),
    } | plan_facts(plan, len(target.train))


def _model_facts(plan: Plan, target: Target, start: Model | None) -> ModelFacts:
    from tagwise.training.models import ModelFacts

    return ModelFacts(
        design=plan.design,
        view=plan.view,
        classes=target.classes,
        images=plan.images,
        lineage=(*(start.facts.lineage if start else ()), f"{target.name}, {plan.images:,} pictures seen"),
        licence=start.facts.licence if start else "unknown",
    )


def _score(run: Run, target: Target, device: torch.device, workers: int | None) -> dict[str, Any]:
    """Writes the scores, after the model: a test part that fails costs no training."""
    from tagwise.training.loading import load
    from tagwise.transfer.comparison import score_test

    last = run.log()[-1]
    scores: dict[str, Any] = {"loss": last.loss, "images": last.seen}
    if target.test_pictures:
        net = load(run.folder).net
        scores |= score_test(target, net, run.plan.view, run.folder / "pixels", device, workers)
    run.write(SCORES_FILE, scores)
    return scores
