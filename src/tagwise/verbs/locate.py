"""``tagwise train ANNOTATIONS --head ...``: detectors and segmenters on our backbones, by the one loop."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import UsageError, unknown
from tagwise.base.progress import progress, say
from tagwise.localise.target import LocatedTarget, digest_of
from tagwise.verbs.annotated import open_located
from tagwise.verbs.located_facts import anchor_advice, located_facts
from tagwise.verbs.planning import PlanFlags, make_plan
from tagwise.verbs.run_results import SCORES_FILE, RunResult, refuse_other_parts

if TYPE_CHECKING:
    import torch

    from tagwise.localise.models import LocatedModel
    from tagwise.training.checkpoints import Keep
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan
    from tagwise.training.runs import Run
    from tagwise.verbs.annotation_flags import AnnotationFlags

FITTED = ("small_detection",)
"""Recipes whose anchors are fitted to the training part's boxes, where those of the recipe meet fewer."""
DETECTIONS_FILE = "detections.json"
"""What a detector found on the test part, as COCO results."""
FOUND_FILE = "found.json"
"""Pictures of the test part with what is true and what was found, for the report."""


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
        resolved = plan_of(make, opened, flags, start, where, seed, head=head, fitted=recipe in (None, *FITTED))
        facts = located_facts(resolved, opened, start, head, recipe)
        if dry_run:
            return RunResult(folder=out, facts=facts, finished=False, scores={})
        run = claim_run(out, resolved, together, overwrite=overwrite)
        validation, test = (None if part is None else digest_of(part) for part in (opened.validation, opened.test))
        tested_on = annotations.test or target
        refuse_other_parts(run, together, validation=validation, test=test, tested_on=tested_on)
        if not run.finished:
            for name, value in facts.items():
                say(f"{name}: {value}")
            train_run(run, opened, start, where, together, keep=keep, workers=workers)
        if together.first:
            scored(run, opened, where)
        together.wait()
        scores = run.read(SCORES_FILE)
    return RunResult(folder=out, facts=facts | said_scores(scores), finished=True, scores=scores)


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
    head: str,
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
        head: Its kind.
        fitted: Whether anchors are those that the training part's boxes ask for, where the recipe's meet fewer.

    Raises:
        UsageError: As ``make_plan``, or settings are of another head, or it cannot learn from steps of one picture.
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
    kind = getattr(plan.detector or plan.segmenter, "kind", None)
    if kind != head:
        raise UsageError(f"The plan is for --head {kind}, not {head}; leave the head's kind out of --set and --plan.")
    if flags.resolution is not None:
        assert plan.sizing is not None
        plan = dataclasses.replace(plan, sizing=resized(plan.sizing, flags.resolution))
    if fitted and plan.detector is not None and not any("anchor" in text for text in flags.set_ or ()):
        advice = anchor_advice(plan, opened.train)  # type: ignore[arg-type]
        if advice.advised_share > advice.share:
            fitting = dataclasses.replace(plan.detector, anchor_sizes=advice.sizes, anchor_ratios=advice.ratios)
            plan = dataclasses.replace(plan, detector=fitting)
    if plan.segmenter is not None and plan.segmenter.kind == "deeplabv3" and plan.batch // plan.accumulate < 2:
        raise UsageError("deeplabv3 normalises pooled vectors over the pictures of a step; give --batch at least 2.")
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
