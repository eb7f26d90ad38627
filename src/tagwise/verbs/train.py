"""``tagwise train``: a classifier of a target's classes, from scratch or from a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import UsageError
from tagwise.base.progress import say
from tagwise.verbs.annotation_flags import AnnotationFlags, Exif, Form, Zero, refuse_annotations
from tagwise.verbs.planning import (
    PlanFlags,
    feed_files,
    make_plan,
    memory_format_of,
    plan_facts,
    refuse_given,
    refuse_idle_flags,
    refuse_no_workers,
)
from tagwise.verbs.pretrain import SCORES_FILE, RunResult

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


def train(
    target: Path | str,
    *,
    out: Path | str,
    head: str | None = None,
    design: str | None = None,
    from_: str | Path | None = None,
    test: Path | str | None = None,
    test_fraction: float | None = None,
    holdout: str | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    pictures: Path | str | None = None,
    maps: Path | str | None = None,
    form: Form | None = None,
    one_based: bool = True,
    exif: Exif | None = None,
    classes: Path | str | None = None,
    ignore: int | None = None,
    object_value: int | None = None,
    zero: Zero = "background",
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
    keep_last: int = 2,
    keep_every: int | None = None,
    dry_run: bool = False,
    ranks: int | None = None,
    rate: float | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Trains all of a net on labelled pictures, or with --head on annotated ones.

    A test part, where there is one, is scored once at the end.

    The same command continues an interrupted run.

    Args:
        target: A folder with train and test, a folder of class folders, ImageNet as it was handed out, a table, or
            cifar10 or cifar100. With --head annotations: COCO, VOC, YOLO, LabelMe or VIA, masks or label maps.
        out: The run folder.
        head: What tells where things are: faster, cascade, retina, mask, cascade-mask, keypoint; or the class of each
            pixel: fcn, deeplabv3.
        design: A name of the family, such as resnext50_32x4d; by default the recipe's.
        from_: The model to begin from: a run folder, a model file, or published weights.
        test: The test part, where the target has none.
        test_fraction: Share of each class to set aside for the test.
        holdout: What to set aside of the training part and measure after each epoch: '50/class', or a share such
            as 0.1; where the target has no validation part.
        picture_column: Column of the pictures, where a table leaves it open.
        class_column: Column of the classes of a table.
        pictures: With --head, the folder of the pictures, where they are not beside their annotations.
        maps: With --head fcn or deeplabv3, the folder of label maps; target then says which pictures.
        form: With --head, coco, voc, yolo, labelme, via, instances or maps, where it is not clear.
        one_based: VOC's corners are counted from 1 and the last pixel is inside, as the original has it.
        exif: What annotations see of pictures that EXIF turns, turned or raw, where their size does not tell.
        classes: With --head, names in the order of their numbers, or of the values of maps: a file, one a line.
        ignore: Value of maps' pixels that count for nothing; by default 255, where there are other classes than 0.
        object_value: Value of the objects in maps of one class, such as 255.
        zero: What 0 is in maps: background, or ignore, and 1 is the first class, as in ADE20K.
        recipe: A name of docs/training.md; by default finetune with --from, scratch without, and one of
            docs/localisation.md with --head.
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
        keep_last: Newest checkpoints that stay.
        keep_every: Epochs after each of which a checkpoint stays for good; the best on held-out pictures always does.
        dry_run: Say steps and rates, and without --head memory and time; train nothing.
        ranks: Processes that a dry run without --head reckons with.
        rate: Pictures a second, of all processes, that a dry run without --head reckons with; by default it is measured
            here.
        overwrite: Begin anew in a folder of another run.

    Raises:
        UsageError: A wrong name, number or folder, or another plan in ``out``.
        DataRefused: Too few classes, parts that differ, too many unreadable pictures.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.training.checkpoints import Keep
    from tagwise.training.loading import load
    from tagwise.training.ranks import join_ranks
    from tagwise.training.recipes import find_recipe
    from tagwise.training.runs import claim_run
    from tagwise.transfer.opening import open_target

    keep = Keep(last=keep_last, every_epochs=keep_every)
    refuse_no_workers(workers)
    refuse_idle_flags(ranks, rate, dry_run=dry_run)
    annotations = AnnotationFlags(
        pictures=None if pictures is None else Path(pictures),
        maps=None if maps is None else Path(maps),
        form=form,
        one_based=one_based,
        exif=exif,
        classes=None if classes is None else Path(classes),
        ignore=ignore,
        object_value=object_value,
        zero=zero,
        test=None if test is None else Path(test),
        holdout=holdout,
    )
    labelled = {"test_fraction": test_fraction, "picture_column": picture_column, "class_column": class_column}
    if head is None:
        refuse_annotations(Path(target))
        annotations.refuse("without --head the target's pictures are labelled as a whole", but=("test", "holdout"))
    else:
        refuse_given(labelled | {"ranks": ranks, "rate": rate}, f"--head {head} tells where things are")
    if freeze is not None and from_ is None:
        raise UsageError("--freeze keeps what a model has learnt; give the model with --from.")
    out = Path(out)
    flags = PlanFlags(
        plan=plan, design=design, images=images, batch=batch, resolution=resolution, lr=lr, set_=set_, freeze=freeze
    )
    seed = flags.settings().get("seed", 0) if seed is None else seed
    if head is not None:
        from tagwise.verbs.locate import train_located

        return train_located(
            head,
            Path(target),
            out,
            flags,
            annotations,
            from_=from_,
            recipe=recipe,
            seed=seed,
            device=device,
            workers=workers,
            keep=keep,
            dry_run=dry_run,
            overwrite=overwrite,
        )
    make = find_recipe(recipe if recipe is not None else "scratch" if from_ is None else "finetune")
    with join_ranks(device) as (together, where):
        opened = open_target(
            Path(target),
            test=None if test is None else Path(test),
            test_fraction=test_fraction,
            holdout=holdout,
            picture_column=picture_column,
            class_column=class_column,
            seed=seed,
        )
        start = load(from_, design=design) if from_ is not None else None
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
        facts = _facts(resolved, opened, start, here=ranks is None or images is None)
        if dry_run:
            from tagwise.training.estimate import estimate

            facts |= estimate(resolved, len(opened.classes), len(opened.train), where, ranks=ranks or 1, rate=rate)
            return RunResult(folder=out, facts=facts, finished=False, scores={})
        run = claim_run(out, resolved, together, overwrite=overwrite)
        if run.finished:
            _refuse_other_test(run, opened, target if test is None else test)
        else:
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


def _refuse_other_test(run: Run, target: Target, tested_on: Path | str) -> None:
    """A finished run's score is that of one test part, and says nothing of another."""
    measured = (run.read(SCORES_FILE) or {}).get("test_digest")
    if measured is not None and target.test_digest not in (None, measured):
        raise UsageError(
            f"{run.folder} was scored on another test part ({measured}) than this one ({target.test_digest}); "
            f"`tagwise evaluate {tested_on} --model {run.folder}` scores it here, --overwrite trains anew."
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
