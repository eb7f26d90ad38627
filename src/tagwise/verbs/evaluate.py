"""``tagwise evaluate``: how good a model is on labelled or annotated pictures, its published numbers beside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import UsageError
from tagwise.verbs.annotation_flags import AnnotationFlags, Exif, Form, Zero
from tagwise.verbs.evaluate_located import LocatedEvaluateResult, LookFlags, evaluate_located
from tagwise.verbs.lines import read_lines
from tagwise.verbs.planning import refuse_given, refuse_no_workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tagwise.base.views import View
    from tagwise.nets import Weights
    from tagwise.nets.provenance import Score
    from tagwise.pixels.forms import PictureForm
    from tagwise.transfer.evaluation import Scores, Share

SMALL_SIDE = 64
"""Pixels; pictures whose longer side is at most this lose much when they are compressed."""
_TEST_SETS = {"imagenet1k": "ImageNet-1k's validation pictures", "cifar10": "CIFAR-10's test pictures"}
"""What the published numbers of a label set were measured on."""


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """Somebody's accuracy of the same file, and whether it compares with the one measured here."""

    score: Score
    test_set: str
    """What it was measured on, in words."""
    same_view: bool
    """Whether pictures were shown to it as here."""

    def __str__(self) -> str:
        top5 = "" if self.score.top5 is None else f", top-5 {self.score.top5:g}%"
        return f"published by {self.score.by}: top-1 {self.score.top1:g}%{top5} on {self.test_set}"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Pictures whose files are alike."""

    form: PictureForm
    pictures: int


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """Accuracy of a model on labelled pictures."""

    target: str
    model: str
    digest: str
    """Of the model's file."""
    licence: str
    scores: Scores
    view: str
    """How pictures were shown, and by whose rule."""
    view_settings: View
    classes: int
    """Classes of the target."""
    outputs: int
    """Classes that the model chooses between."""
    matched: str
    """How the target's classes were found among the outputs."""
    test_digest: str
    published: tuple[PublishedScore, ...]
    """The publisher's first."""
    files: tuple[Files, ...]
    """The kinds of the test files, the most frequent first."""
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        top1, top5 = self.scores.top1, self.scores.top5
        return "\n".join(
            (
                f"{self.model} on {self.target}: {top1.right:,} of {top1.pictures:,} pictures right, "
                f"{self.classes:,} classes among {self.outputs:,} outputs, matched {self.matched}",
                f"measured here: top-1 {_percent(top1)}{'' if top5 is None else f', top-5 {_percent(top5)}'}, "
                f"mean of the classes {self.scores.class_mean:.2%}",
                f"  view: {self.view}",
                *(line for one in self.published for line in (str(one), f"  view: {one.score.view}")),
                f"files: {'; '.join(_formats(self.files))}",
                *(f"warning: {warning}" for warning in self.warnings),
            )
        )


def evaluate(
    target: Path | str,
    *,
    model: str | Path,
    design: str | None = None,
    classes: Path | str | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    pictures: Path | str | None = None,
    maps: Path | str | None = None,
    form: Form | None = None,
    one_based: bool = True,
    exif: Exif | None = None,
    colours: Path | str | None = None,
    ignore: int | None = None,
    object_value: int | None = None,
    zero: Zero = "background",
    scales: list[float] | None = None,
    mirror: bool = False,
    window: int | None = None,
    summed: Literal["probabilities", "exponentials"] | None = None,
    convention: str | None = None,
    batch: int | None = None,
    out: Path | str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> EvaluateResult | LocatedEvaluateResult:
    """Measures a finished model on labelled pictures, or a detector or segmenter on annotated ones.

    What was published of a model stands beside, with its view. Categories of annotations are found by their names
    among those of the model.

    Args:
        target: A folder with a test part, a folder of class folders, ImageNet's flat validation folder, a table, or
            cifar10 or cifar100. Of a detector or segmenter annotations, as ``train --head`` takes them; their test
            part, else their validation part, else all.
        model: A run folder, a file of ours or of others, or published weights.
        design: What the net is, for a file of others that leaves it open.
        classes: A file that names the outputs, one a line, for a file of others; or the classes of annotations in the
            order of their numbers.
        picture_column: Column of the pictures, where a table leaves it open.
        class_column: Column of the classes of a table.
        pictures: The folder of annotated pictures, where they are not beside their annotations.
        maps: The folder of label maps; target then says which pictures.
        form: coco, voc, yolo, labelme, via, instances or maps, where it is not clear.
        one_based: VOC's corners are counted from 1 and the last pixel is inside, as the original has it.
        exif: What annotations see of pictures that EXIF turns, turned or raw, where their size does not tell.
        colours: Of coloured maps, a table of lines 'red green blue name'; by default colours.txt beside them.
        ignore: Value of maps' pixels that count for nothing; by default 255, where there are other classes than 0.
        object_value: Value of the objects in maps of one class, such as 255.
        zero: What 0 is in maps: background, or ignore, and 1 is the first class, as in ADE20K.
        scales: Sizes at which a segmenter sees pictures, against its own, such as 0.5 1 1.5.
        mirror: A segmenter sees pictures in the mirror too.
        window: Side of square windows through which a segmenter sees pictures, in pixels.
        summed: Of all that a segmenter saw: probabilities, or exponentials of logits as PyTorch-Encoding does.
        convention: Over which classes the IoU is averaged: truth_or_prediction, all_classes or truth.
        batch: Pictures that the net sees at a time; by default 64.
        out: A .json file for a detector's COCO results, or a folder for a segmenter's maps.
        overwrite: Replace these.
        device: cpu, cuda or mps.
        workers: Threads that decode pictures.

    Raises:
        UsageError: No such target, model or design, a list of classes of another length, or a flag of the other kind
            of model.
        DataRefused: The classes are not the model's, or too many pictures cannot be read.
        TagwiseError: The weights cannot be had, are damaged or do not fit.
    """
    from tagwise.base.devices import choose_device
    from tagwise.localise.released import tells_where
    from tagwise.training.loading import load
    from tagwise.transfer.evaluation import forms, judge_classifier, match_classes
    from tagwise.transfer.opening import open_labelled

    refuse_no_workers(workers)
    look = LookFlags(scales=scales, mirror=mirror, window=window, summed=summed, convention=convention)
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
    )
    if tells_where(model):
        labelled = {"picture_column": picture_column, "class_column": class_column, "batch": batch}
        refuse_given(labelled | {"workers": workers}, f"{model} tells where things are")
        place = None if out is None else Path(out)
        return evaluate_located(
            Path(target), annotations, look, model=model, design=design, out=place, overwrite=overwrite, device=device
        )
    why = f"{model} tells labels of whole pictures"
    annotations.refuse(why, but=("classes",))
    refuse_given(vars(look) | {"out": out}, why)
    batch = 64 if batch is None else batch
    if batch < 1:
        raise UsageError(f"--batch is 1 or more, not {batch}.")
    target, where = Path(target), choose_device(device)
    names, part = open_labelled(target, picture_column=picture_column, class_column=class_column)
    chosen = load(model, design=design, classes=None if classes is None else read_lines(classes, "--classes"))
    facts = chosen.facts
    columns, matched = match_classes(names, facts.outputs)
    found = Counter(forms(part, workers))
    return EvaluateResult(
        target=target.resolve().name,
        model=chosen.name,
        digest=chosen.digest,
        licence=facts.licence,
        scores=judge_classifier(chosen, part, columns, where, batch=batch, workers=workers),
        view=str(facts.view),
        view_settings=facts.view,
        classes=len(names),
        outputs=len(facts.outputs),
        matched=matched,
        test_digest=part.digest,
        published=_scores_of(chosen.published, facts.view),
        files=tuple(Files(form=form, pictures=count) for form, count in found.most_common()),
        warnings=_warnings(found),
    )


def _scores_of(row: Weights | None, view: View) -> tuple[PublishedScore, ...]:
    if row is None:
        return ()
    return tuple(
        PublishedScore(score=score, test_set=_TEST_SETS[row.label_set], same_view=score.view == view)
        for score in row.scores
    )


def _warnings(found: Counter[PictureForm]) -> tuple[str, ...]:
    small = [form for form in found if form.lossy and max(form.width, form.height) <= SMALL_SIDE]
    if not small:
        return ()
    pictures = sum(found[form] for form in small)
    return (
        f"{pictures:,} of {found.total():,} pictures are lossy ({_encodings(small)}) and at most {SMALL_SIDE} px; "
        "where the originals are not, this costs accuracy: eleven points at JPEG's quality 75 on CIFAR-10.",
    )


def _formats(files: Sequence[Files]) -> list[str]:
    """The files of each format in few words, the commonest format first."""
    pictures: Counter[str] = Counter()
    for kind in files:
        pictures[kind.form.format] += kind.pictures
    told = []
    for name, count in pictures.most_common():
        forms = [kind.form for kind in files if kind.form.format == name]
        size = f"{_span([form.width for form in forms])} x {_span([form.height for form in forms])} px"
        told.append(f"{count:,} {name} of {size}{_quality(forms, ', quality')}")
    return told


def _encodings(forms: Sequence[PictureForm]) -> str:
    return ", ".join(sorted({form.format for form in forms})) + _quality(forms, ", quality about")


def _quality(forms: Sequence[PictureForm], words: str) -> str:
    """The JPEGs' qualities behind ``words``; nothing where none is known."""
    qualities = [form.jpeg_quality for form in forms if form.jpeg_quality is not None]
    return f"{words} {_span(qualities)}" if qualities else ""


def _span(numbers: Sequence[int]) -> str:
    """``75``, or ``60-95`` where they differ."""
    return "-".join(f"{end:,}" for end in sorted({min(numbers), max(numbers)}))


def _percent(share: Share) -> str:
    return f"{share.accuracy:.2%} (95 % interval {share.low:.1%} to {share.high:.1%})"
