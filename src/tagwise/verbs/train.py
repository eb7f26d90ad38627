"""``tagwise train``: a classifier of a target's classes, from scratch or from a model."""

from __future__ import annotations

from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.verbs.annotation_flags import AnnotationFlags, Exif, Form, Zero, refuse_annotations
from tagwise.verbs.planning import PlanFlags, refuse_given, refuse_idle_flags, refuse_no_workers
from tagwise.verbs.run_results import RunResult


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
    colours: Path | str | None = None,
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
        colours: Of coloured maps, a table of lines 'red green blue name'; by default colours.txt beside them.
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

    keep = Keep(last=keep_last, every_epochs=keep_every)
    refuse_no_workers(workers)
    refuse_idle_flags(ranks, rate, dry_run=dry_run)
    annotations = AnnotationFlags.given(
        pictures=pictures,
        maps=maps,
        form=form,
        one_based=one_based,
        exif=exif,
        classes=classes,
        colours=colours,
        ignore=ignore,
        object_value=object_value,
        zero=zero,
        test=test,
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
    target, out = Path(target), Path(out)
    flags = PlanFlags(
        plan=plan, design=design, images=images, batch=batch, resolution=resolution, lr=lr, set_=set_, freeze=freeze
    )
    seed = flags.settings().get("seed", 0) if seed is None else seed
    if head is not None:
        from tagwise.verbs.locate import train_located

        return train_located(
            head,
            target,
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
    from tagwise.verbs.train_labelled import train_labelled

    return train_labelled(
        target,
        out,
        flags,
        test=annotations.test,
        test_fraction=test_fraction,
        holdout=holdout,
        picture_column=picture_column,
        class_column=class_column,
        from_=from_,
        recipe=recipe,
        seed=seed,
        device=device,
        workers=workers,
        keep=keep,
        dry_run=dry_run,
        ranks=ranks,
        rate=rate,
        overwrite=overwrite,
    )
