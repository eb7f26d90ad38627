"""``tagwise compare``: what pretraining bought on a target, with scratch always beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError, unknown
from tagwise.verbs.annotation_flags import AnnotationFlags, Exif, Form, Zero, refuse_annotations
from tagwise.verbs.compare_located import LocatedCompareResult, compare_located
from tagwise.verbs.planning import PlanFlags, refuse_given, refuse_no_workers, several

if TYPE_CHECKING:
    from tagwise.localise.models import LocatedModel
    from tagwise.pages.page import Table
    from tagwise.training.models import Model
    from tagwise.transfer.records import Comparison


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """Scores of models on a target, scratch among them."""

    folder: Path
    comparison: Comparison

    def __str__(self) -> str:
        from tagwise.pages.tables import text_table

        first = self.comparison.rows[0]
        return "\n".join(
            [
                text_table(comparison_table(self.comparison)),
                f"{first.train_pictures:,} labelled pictures, {first.test_pictures:,} test pictures "
                f"(digest {self.comparison.test_digest}), opened {self.comparison.test_looks} times "
                f"for {len(self.comparison.rows)} scores.",
                f"comparison: {self.folder}",
            ]
        )


def compare(
    target: Path | str,
    *,
    model: Sequence[str | Path],
    out: Path | str,
    head: str | None = None,
    by: list[str] | None = None,
    test: Path | str | None = None,
    test_fraction: float | None = None,
    holdout: str | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    per_class: int | None = None,
    scratch_design: str | None = None,
    epochs: int | None = None,
    seeds: list[int] | None = None,
    lengths: list[float] | None = None,
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
    set_: list[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> CompareResult | LocatedCompareResult:
    """Scores models on a target by kNN, linear probe and fine-tuning, beside a net from scratch.

    Every hyper-parameter is chosen on a hold-out of the training part (or the target's own
    validation part); then the test part is opened once a score. Given again, it goes on.

    With --head detectors or segmenters begin from each model and from scratch, with the same plan, and what they
    know of what and of where is compared apart, by seeds and by lengths of the schedule.

    Args:
        target: A folder with train and test, a folder of class folders, ImageNet as it was handed out, a table, or
            cifar10 or cifar100. With --head annotations: COCO, VOC, YOLO, LabelMe or VIA, masks or label maps.
        model: Models: run folders, model files, or published weights.
        out: Where the comparison goes.
        head: What tells where things are: faster, cascade, retina, mask, cascade-mask, keypoint; or the class of each
            pixel: fcn, deeplabv3.
        by: knn, linear, train; all where nothing is said.
        test: The test part, where the target has none.
        test_fraction: Share of each class to set aside for the test.
        holdout: With --head, what to set aside of the training part to choose the best checkpoint by, as a share such
            as 0.1, where the target has no validation part.
        picture_column: Column of the pictures, where a table leaves it open.
        class_column: Column of the classes of a table.
        per_class: Learn from so many labelled pictures of each class, drawn by the seed; the test part stays.
        scratch_design: The rival's net; the first model's where nothing is said.
        epochs: Length of a training in epochs of the training part, by default 20, or as many as make
            4,000 pictures seen; fine-tuning and scratch also try stronger crops and light, and four
            times as long.
        seeds: With --head, a training each; by default 0 1 2. More can be added to a comparison later.
        lengths: With --head, multiples of the schedule, a training each; by default 0.25 0.5 1.
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
        recipe: With --head, a name of docs/localisation.md.
        plan: With --head, a JSON, YAML or TOML file of settings; flags win over it.
        images: With --head, pictures seen on the whole schedule: 20000, 20k, or '40 epochs' of the training part.
        batch: With --head, pictures a step.
        resolution: With --head, what the shorter side becomes, in pixels.
        lr: With --head, peak learning rate at this batch.
        set_: With --head, any other setting of the plan as name=value.
        seed: Of everything random, 0 by default; with --head give --seeds.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.
        overwrite: Begin anew in a folder of another comparison.

    Raises:
        UsageError: A wrong name, number or folder, no test part, or another comparison in ``out``.
        DataRefused: Too few classes, parts that differ, too many unreadable pictures.
    """
    from tagwise.base.devices import choose_device
    from tagwise.nets import find_design
    from tagwise.training.loading import load
    from tagwise.transfer.comparison import Arena
    from tagwise.transfer.contest import Contest, fine_tuning_plans, longer, scratch_plans, usual_epochs, vivid
    from tagwise.transfer.opening import open_target
    from tagwise.transfer.records import PROTOCOLS

    refuse_no_workers(workers)
    target, out, things = Path(target), Path(out), several(model)
    labelled = {
        "by": by,
        "test_fraction": test_fraction,
        "picture_column": picture_column,
        "class_column": class_column,
        "per_class": per_class,
        "scratch_design": scratch_design,
        "epochs": epochs,
        "seed": seed,
    }
    located = {
        "seeds": seeds,
        "lengths": lengths,
        "recipe": recipe,
        "plan": plan,
        "images": images,
        "batch": batch,
        "resolution": resolution,
        "lr": lr,
        "set": set_,
    }
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
    if head is None:
        refuse_annotations(target)
        why = "without --head the target's pictures are labelled as a whole"
        refuse_given(located, why)
        annotations.refuse(why, but=("test",))
    else:
        refuse_given(labelled, f"--head {head} tells where things are")
        return compare_located(
            head,
            target,
            out,
            things,
            PlanFlags(plan=plan, design=None, images=images, batch=batch, resolution=resolution, lr=lr, set_=set_),
            annotations,
            recipe=recipe,
            seeds=seeds,
            lengths=lengths,
            device=device,
            workers=workers,
            overwrite=overwrite,
        )
    seed = seed or 0
    if by is not None and not by:
        raise UsageError(f"--by names nothing; give some of {', '.join(PROTOCOLS)}, or leave it away for all.")
    for protocol in by or ():
        if protocol not in PROTOCOLS:
            raise unknown("protocol", protocol, PROTOCOLS, "--by")
    where = choose_device(device)
    opened = open_target(
        target,
        test=annotations.test,
        test_fraction=test_fraction,
        picture_column=picture_column,
        class_column=class_column,
        seed=seed,
    )
    if not opened.test_pictures:
        raise UsageError(
            f"{target} has no test part; put pictures in {target}/test, or give --test or --test-fraction."
        )
    if per_class is not None:
        opened = opened.few_labelled(per_class, seed)
    models = [load(thing) for thing in things]
    names = model_names([str(thing) for thing in things], models)
    design = find_design(scratch_design) if scratch_design else models[0].facts.design
    length = epochs if epochs is not None else usual_epochs(len(opened.train))
    arena = Arena(target=opened, pixels=out / "pixels", device=where, seed=seed, workers=workers)
    contest = Contest(
        arena=arena,
        models=dict(zip(names, models, strict=True)),
        by=tuple(protocol for protocol in PROTOCOLS if protocol in (by or PROTOCOLS)),
        fine_tuning={name: fine_tuning_plans(arena, model, length) for name, model in zip(names, models, strict=True)},
        scratch=scratch_plans(arena, design, models[0].facts.view, length),
        variations=(vivid, longer),
    )
    return CompareResult(folder=out, comparison=contest.hold(out, overwrite=overwrite))


def comparison_table(comparison: Comparison) -> Table:
    """The scores as a table of the report."""
    from tagwise.pages.page import Table
    from tagwise.transfer.records import NAMES, SCRATCH

    gains = {(gain.model, gain.protocol): gain for gain in comparison.gains}
    rows = []
    for row in comparison.rows:
        gain = gains.get((row.model, row.protocol))
        against = f"{gain.points:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})" if gain else "the rival"
        name = NAMES[row.protocol] if row.model != SCRATCH else "trained from scratch"
        accuracy = f"{row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%})"
        rows.append([row.model, name, accuracy, f"{row.class_mean:.1%}", against, f"{row.seconds:,.0f}"])
    caption = ". ".join(filter(None, (_views(comparison.views), _edges(comparison))))
    columns = ("model", "protocol", "accuracy, 95 % interval", "class mean", "points over scratch", "seconds")
    return Table(columns=columns, rows=rows, caption=caption, numeric=columns[2:])


def _views(views: dict[str, str]) -> str:
    """Whose view it was, a model each where they differ."""
    told = [next(iter(views.values()))] if len(set(views.values())) == 1 else [f"{n}: {v}" for n, v in views.items()]
    return f"Pictures shown: {'; '.join(told)}" if told else ""


def _edges(comparison: Comparison) -> str:
    """Whose search ended at its edge."""
    names = [row.model for row in comparison.rows if row.longest]
    if not names:
        return ""
    told = f"{'Searches' if len(names) > 1 else 'The search'} of {', '.join(names)} ended with the longest training"
    return f"{told}: a longer one may be better; --epochs sets where lengths begin"


def model_names(things: list[str], models: Sequence[Model | LocatedModel]) -> list[str]:
    """Each model's own name, or what was typed where two are called the same.

    Raises:
        UsageError: There is no model, what was typed is the same too, or one is called as the rival is.
    """
    from tagwise.transfer.records import SCRATCH

    if not models:
        raise UsageError("There is nothing to compare; give --model with a run folder or the name of weights.")
    names = [model.name for model in models]
    names = names if len(set(names)) == len(names) else things
    if len(set(names)) < len(names) or SCRATCH in names:
        raise UsageError(f"--model names {', '.join(things)} are not different, or one is called {SCRATCH}.")
    return names
