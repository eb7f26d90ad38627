"""``tagwise train ANNOTATIONS --head ...``: detectors and segmenters on our backbones, by the one loop."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagwise.base import rng
from tagwise.base.errors import UsageError, unknown
from tagwise.base.progress import progress, say
from tagwise.localise.annotations import Category
from tagwise.localise.target import LocatedTarget, digest_of
from tagwise.verbs.planning import PlanFlags, make_plan, plan_facts
from tagwise.verbs.pretrain import SCORES_FILE, RunResult

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tagwise.localise.anchors import AnchorAdvice
    from tagwise.localise.annotations import Annotations
    from tagwise.localise.models import LocatedModel
    from tagwise.training.checkpoints import Keep
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan
    from tagwise.training.runs import Run

FITTED = ("small_detection",)
"""Recipes whose anchors are fitted to the training part's boxes, where those of the recipe meet fewer."""
DETECTIONS_FILE = "detections.json"
"""What a detector found on the test part, as COCO results."""
FOUND_FILE = "found.json"
"""Pictures of the test part with what is true and what was found, for the report."""


@dataclass(frozen=True, kw_only=True)
class AnnotationFlags:
    """How annotations are read; see ``open_annotations`` and ``open_maps``."""

    pictures: Path | None = None
    maps: Path | None = None
    form: str | None = None
    one_based: bool = True
    exif: str | None = None
    classes: Path | None = None
    ignore: int | None = None
    object_value: int | None = None
    zero: str = "background"
    test: Path | None = None
    holdout: str | None = None


def train_located(
    head: str,
    target: Path,
    out: Path,
    flags: PlanFlags,
    annotations: AnnotationFlags,
    *,
    from_: str | Path | None,
    recipe: str | None,
    seed: int,
    device: str | None,
    workers: int | None,
    keep: Keep,
    dry_run: bool,
    overwrite: bool,
) -> RunResult:
    """As ``train``, of what tells where things are.

    Raises:
        UsageError: A wrong name, number or folder, or another plan in ``out``.
        DataRefused: Annotations cannot be read, or hold nothing of what the head needs.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.localise.learning import train_run
    from tagwise.training.heads import HEADS
    from tagwise.training.ranks import join_ranks
    from tagwise.training.runs import claim_run

    if head not in HEADS:
        raise unknown("head", head, HEADS)
    make = recipe_of(head, recipe)
    with join_ranks(device) as (together, where):
        opened = open_located(head, target, annotations, seed)
        start = start_of(from_)
        resolved = plan_of(make, opened, flags, start, where, seed, fitted=recipe in (None, *FITTED))
        facts = _facts(resolved, opened, start, head, recipe)
        if dry_run:
            return RunResult(folder=out, facts=facts, finished=False, scores={})
        run = claim_run(out, resolved, together, overwrite=overwrite)
        if not run.finished:
            for name, value in facts.items():
                say(f"{name}: {value}")
            train_run(run, opened, start, where, together, keep=keep, workers=workers)
        if together.first:
            scored(run, opened, where)
        together.wait()
        scores = run.read(SCORES_FILE)
    return RunResult(folder=out, facts=facts | said_scores(scores), finished=True, scores=scores)


def open_located(head: str, path: Path, flags: AnnotationFlags, seed: int) -> LocatedTarget:
    """The parts of annotated pictures; a validation part without a test part is the test part.

    Raises:
        UsageError: There is nothing of that kind, or flags exclude each other.
        DataRefused: Nothing in it can be used.
    """
    parts = dict(open_parts(head, path, flags))
    if flags.test is not None:
        if "test" in parts:
            raise UsageError(f"{path} has a test part of its own; leave --test away.")
        tested = open_parts(head, flags.test, dataclasses.replace(flags, test=None))
        train = parts["train"]
        known = getattr(train, "categories", None) or tuple(Category(id=0, name=name) for name in train.classes)
        parts["test"] = under_classes(tested.get("test") or tested["train"], known, flags.test, "the training part")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        say(f"{path} has a validation part and no test part: it is the test part.")
    if flags.holdout is not None:
        if "validation" in parts:
            raise UsageError(f"{path} has a validation part of its own; leave --holdout away.")
        parts["train"], parts["validation"] = _held_out(parts["train"], flags.holdout, seed)
    return LocatedTarget(train=parts["train"], validation=parts.get("validation"), test=parts.get("test"))


def open_parts(head: str, path: Path, flags: AnnotationFlags) -> dict[str, Any]:
    """Objects, or for a segmenter label maps, by the part that they are of.

    Raises:
        UsageError: There is nothing of that kind, or flags exclude each other.
        DataRefused: Nothing in it can be used.
    """
    from tagwise.localise.mapping import maps_of, open_maps
    from tagwise.localise.opening import open_annotations
    from tagwise.localise.readers.guess import guess_form
    from tagwise.training.heads import SEGMENTERS

    values: dict[str, Any] = {
        "classes": flags.classes,
        "ignore": flags.ignore,
        "object_value": flags.object_value,
        "zero": flags.zero,
        "exif": flags.exif,
    }
    if head in SEGMENTERS and flags.maps is None and (flags.form or guess_form(path)) == "maps":
        return dict(open_maps(path, images=flags.pictures, **values))
    needs = {"mask": "masks", "cascade-mask": "masks", "keypoint": "keypoints", "fcn": "masks", "deeplabv3": "masks"}
    if flags.maps is not None:
        needs = {}
    opened = open_annotations(
        path,
        images=flags.pictures,
        form=flags.form,
        one_based=flags.one_based,
        classes=flags.classes if flags.maps is None else None,
        exif=flags.exif,  # type: ignore[arg-type]
        needs=frozenset({"boxes", needs.get(head, "boxes")}),
    )
    if head not in SEGMENTERS:
        return dict(opened)
    if flags.maps is None:
        return {name: maps_of(part) for name, part in opened.items()}
    return dict(open_maps(flags.maps, listing=opened, **values))


def under_classes(part: Any, known: Sequence[Category], path: Path, whose: str) -> Any:
    """A part under the classes of another or of a model, found by name; ids of categories stay its own.

    Args:
        part: Annotations or label maps.
        known: The classes, in their order.
        path: Of the part, for messages.
        whose: The classes are, for messages.

    Raises:
        UsageError: The part has a class of another name.
    """
    names, own = [one.name for one in known], _class_names(part)
    strange = next((name for name in own if name not in names), None)
    if strange is not None:
        raise unknown("class", strange, names, f"{whose}, and {path} has it")
    new = np.array([names.index(name) for name in own], np.int64)
    if hasattr(part, "classes"):
        if own == names:
            return part
        table = np.concatenate([new, np.arange(len(own), 256)]).astype(np.uint8)
        mapped = (
            dataclasses.replace(picture, read_map=functools.partial(_read_under, picture.read_map, table))
            for picture in part.pictures
        )
        return dataclasses.replace(part, classes=tuple(names), pictures=tuple(mapped))
    ids = {one.name: one.id for one in part.categories}
    free = itertools.count(max([*ids.values(), *(one.id for one in known)]) + 1)
    taken = set(ids.values())
    categories = tuple(
        dataclasses.replace(one, id=ids.get(one.name, one.id if one.id not in taken else next(free))) for one in known
    )
    pictures = tuple(dataclasses.replace(picture, categories_N=new[picture.categories_N]) for picture in part.pictures)
    return dataclasses.replace(part, categories=categories, pictures=pictures)


def _class_names(part: Any) -> list[str]:
    return [one.name for one in part.categories] if hasattr(part, "categories") else list(part.classes)


def _read_under(read_map: Callable[[], NDArray[np.uint8]], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map with the labels that a table has in place of its own; ``IGNORE`` stays."""
    return table[read_map()]


def _held_out(part: Any, holdout: str, seed: int) -> tuple[Any, Any]:
    """A share of the pictures."""
    try:
        share = float(holdout)
    except ValueError:
        share = -1.0
    count = round(share * len(part))
    if not 0 < share < 1 or not 0 < count < len(part):
        raise UsageError(
            f"--holdout is a share of the {len(part):,} pictures such as 0.1, which leaves some on both sides, "
            f"not {holdout}."
        )
    drawn = rng.stream(seed, "validation part").permutation(len(part))
    rows = sorted(drawn[count:].tolist()), sorted(drawn[:count].tolist())
    kept, aside = (
        dataclasses.replace(part, pictures=tuple(part.pictures[row] for row in chosen), problems=()) for chosen in rows
    )
    return kept, aside


def recipe_of(head: str, name: str | None) -> Callable[..., Plan]:
    """The recipe with the head in it, where it leaves that open."""
    from tagwise.training.heads import SEGMENTERS
    from tagwise.training.recipes import find_recipe

    usual = "small_segmentation" if head in SEGMENTERS else "small_detection"
    make = find_recipe(name or usual, locating=True)
    if "head" in inspect.signature(make).parameters:
        return functools.partial(make, head=head)
    own = make(1, data="")
    kind = (own.detector or own.segmenter).kind  # type: ignore[union-attr]
    if kind != head:
        raise UsageError(f"The recipe {name} is for --head {kind}, not {head}.")
    return make


def start_of(thing: str | Path | None) -> Model | LocatedModel | None:
    """The model to begin from: of labels of whole pictures, or one that tells already where things are.

    Raises:
        UsageError: There is no such model.
    """
    from tagwise.localise.models import load_located
    from tagwise.localise.released import tells_where
    from tagwise.training.loading import load

    if thing is None:
        return None
    return load_located(thing) if tells_where(thing) else load(thing)


def plan_of(
    make: Callable[..., Plan],
    opened: LocatedTarget,
    flags: PlanFlags,
    start: Model | LocatedModel | None,
    device: torch.device,
    seed: int,
    *,
    fitted: bool,
) -> Plan:
    """The recipe's plan for a target, with what flags and the model to begin from change.

    Args:
        make: Of ``recipe_of``.
        opened: The target.
        flags: Of the command.
        start: The model to begin from.
        device: Where.
        seed: Of everything random.
        fitted: Whether anchors are those that the training part's boxes ask for, where the recipe's meet fewer.

    Raises:
        UsageError: As ``make_plan``.
    """
    plain = dataclasses.replace(flags, resolution=None)
    plan = make_plan(
        make,
        len(opened.train),
        plain,
        start,  # type: ignore[arg-type]
        device,
        task="locate",
        data=opened.digest,
        seed=seed,
    )
    if flags.resolution is not None:
        assert plan.sizing is not None
        plan = dataclasses.replace(plan, sizing=resized(plan.sizing, flags.resolution))
    if fitted and plan.detector is not None and not any("anchor" in text for text in flags.set_ or ()):
        advice = _advice(plan, opened.train)  # type: ignore[arg-type]
        if advice.advised_share > advice.share:
            fitting = dataclasses.replace(plan.detector, anchor_sizes=advice.sizes, anchor_ratios=advice.ratios)
            plan = dataclasses.replace(plan, detector=fitting)
    if plan.model_of == "best" and opened.validation is None:
        plan = dataclasses.replace(plan, model_of="last")
    return plan


def resized(sizing: Any, shorter: int) -> Any:
    """The sizing with all its pixels in proportion, so that the shorter side in use becomes ``shorter``."""

    def scaled(pixels: int) -> int:
        return max(1, round(pixels * shorter / sizing.test_shorter))

    return dataclasses.replace(
        sizing,
        shorter=tuple(map(scaled, sizing.shorter)),
        longest=scaled(sizing.longest),
        base=scaled(sizing.base),
        crop=None if sizing.crop is None else scaled(sizing.crop),
        test_shorter=shorter,
        test_longest=max(scaled(sizing.test_longest), shorter),
    )


def _facts(
    plan: Plan, opened: LocatedTarget, start: Model | LocatedModel | None, head: str, recipe: str | None
) -> dict[str, str]:
    """What was decided, in words; what was published of the recipe with this head and design stands beside."""
    from tagwise.localise.learning import model_facts
    from tagwise.localise.models import LocatedModel, carried, new_located
    from tagwise.nets.designs import DESIGNS
    from tagwise.training.recipes.localisation import published_score

    sizing = plan.sizing
    assert sizing is not None
    name = next((name for name, design in DESIGNS.items() if design == plan.design), "a design of your own")
    validation = f", {len(opened.validation):,} to choose by" if opened.validation is not None else ""
    told = {
        "target": f"{len(opened.classes)} classes, {len(opened.train):,} pictures to train on{validation}, "
        f"{len(opened.test) if opened.test is not None else 0:,} to test",
        "net": f"{head} on {name}; {_head_words(plan)}",
        "start": (start.name if start else "scratch") + (f", {plan.freeze} frozen" if plan.freeze else ""),
        "pictures": _size_words(sizing),
    } | {key: value for key, value in plan_facts(plan, len(opened.train)).items() if key != "view"}
    if isinstance(start, LocatedModel):
        facts = model_facts(plan, opened, start)
        taken = carried(new_located(plan, facts, None), start)
        told["start"] += f", {taken:,} of its {len(start.net.state_dict()):,} tensors fit"
    if plan.head_rate != 1:
        told["learning rate"] += f"; x {plan.head_rate:g} for the head"
    if plan.detector is not None:
        told["anchors"] = _anchor_words(plan, opened.train)  # type: ignore[arg-type]
    published = published_score(recipe or "", head, name)
    if published is not None:
        told["published"] = published
    if opened.train.problems:
        serious = sum(problem.serious for problem in opened.train.problems)
        told["problems"] = (
            f"{serious:,} dropped or changed, {len(opened.train.problems) - serious:,} to know; `tagwise check` lists "
            "them"
        )
    if opened.train.licence != "unknown":
        told["licence of the data"] = opened.train.licence
    return told


def _head_words(plan: Plan) -> str:
    settings = plan.detector or plan.segmenter
    assert settings is not None
    shown = {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if name != "kind" and value != getattr(type(settings)(kind=settings.kind), name)  # type: ignore[arg-type]
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "torchvision's settings"


def _size_words(sizing: Any) -> str:
    if sizing.jitter is not None:
        low, high = sizing.jitter
        sizes = f"longer side {sizing.base} x {low:g} to {high:g}"
    else:
        sides = (" to " if sizing.drawn == "range" else ", ").join(map(str, sizing.shorter))
        sizes = f"shorter side {sides}, longer at most {sizing.longest}"
    crop = f", crops of {sizing.crop}" if sizing.crop else ""
    crop += f", sides cut to {sizing.crop_fraction:g} or more" if sizing.crop_fraction < 1 else ""
    mirror = ", mirrored" if sizing.mirror else ""
    return f"{sizes}{crop}{mirror}; in use shorter side {sizing.test_shorter}, longer at most {sizing.test_longest}"


def _advice(plan: Plan, train: Annotations) -> AnchorAdvice:
    from tagwise.localise.anchors import advise_anchors
    from tagwise.localise.pyramid import level_strides

    assert plan.detector is not None
    assert plan.sizing is not None
    return advise_anchors(train, plan.detector, plan.sizing, level_strides(plan.design, plan.detector))


def _anchor_words(plan: Plan, train: Annotations) -> str:
    assert plan.detector is not None
    advice = _advice(plan, train)
    if advice.warning is not None:
        say(f"anchors: {advice.warning}")
    sizes = ", ".join(f"{size:g}" for size in plan.detector.anchor_sizes)
    return f"{sizes}; {advice.share:.1%} of {advice.objects:,} objects have one of IoU 0.5 or more"


def scored(run: Run, opened: LocatedTarget, device: torch.device) -> dict[str, Any]:
    """Scores of a finished run, measured where they are missing, if only those of a test part that it did not have."""
    scores: dict[str, Any] | None = run.read(SCORES_FILE)
    if scores is None or (opened.test is not None and "test_digest" not in scores):
        _score(run, opened, device)
        scores = run.read(SCORES_FILE)
    assert scores is not None
    return scores


def _score(run: Run, opened: LocatedTarget, device: torch.device) -> None:
    """Measures the test part and keeps what a report shows of it."""
    from tagwise.localise.models import load_located
    from tagwise.verbs.located_scores import score_boxes, score_pixels

    last, model = run.log()[-1], load_located(run.folder)
    licences = {"data": opened.train.licence, "model": model.facts.licence}
    scores: dict[str, Any] = {"loss": last.loss, "images": last.seen, "licences": licences}
    if opened.test is not None:
        with progress("testing", len(opened.test)) as ticker:
            measure = score_boxes if run.plan.detector is not None else score_pixels
            found = measure(model, opened.test, device, ticker.advance)  # type: ignore[arg-type]
        scores |= found.scores | {"test_digest": digest_of(opened.test)}
        if found.results is not None:
            run.write(DETECTIONS_FILE, found.results)
        run.write(FOUND_FILE, found.shown)
    run.write(SCORES_FILE, scores)


def said_scores(scores: dict[str, Any]) -> dict[str, str]:
    """Scores of a test part in words, by what they are of."""
    return dict(scores.get("said", {}))
