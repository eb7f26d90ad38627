"""What a training of ``train --head`` decided, in words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tagwise.base.progress import say
from tagwise.localise.target import LocatedTarget
from tagwise.verbs.planning import plan_facts

if TYPE_CHECKING:
    from tagwise.localise.anchors import AnchorAdvice
    from tagwise.localise.annotations import Annotations
    from tagwise.localise.models import LocatedModel
    from tagwise.training.models import Model
    from tagwise.training.plans import Plan

_NORMS = {
    "process": "of each process's pictures",
    "synchronised": "synchronised over the processes",
    "frozen": "frozen",
}


def located_facts(
    plan: Plan, opened: LocatedTarget, start: Model | LocatedModel | None, head: str, recipe: str | None
) -> dict[str, str]:
    """What was decided, in words; what was published of the recipe with this head and design stands beside."""
    from tagwise.localise.learning import model_facts
    from tagwise.localise.models import LocatedModel, carried, new_located
    from tagwise.nets.designs import DESIGNS
    from tagwise.training.recipes.published import published_words

    sizing = plan.sizing
    assert sizing is not None
    name = next((name for name, design in DESIGNS.items() if design == plan.design), "a design without a name")
    validation = f", {len(opened.validation):,} to choose by" if opened.validation is not None else ""
    plural = "es" if len(opened.classes) > 1 else ""
    told = {
        "target": f"{len(opened.classes)} class{plural}, {len(opened.train):,} pictures to train on{validation}, "
        f"{len(opened.test) if opened.test is not None else 0:,} to test",
        "net": f"{head} on {name}; {_head_words(plan)}",
        "start": (start.name if start else "scratch") + (f", {plan.freeze} frozen" if plan.freeze else ""),
        "backbone norms": _norm_words(plan),
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
    published = published_words(recipe, plan, len(opened.train)) if recipe is not None else None
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


def _norm_words(plan: Plan) -> str:
    anew = f", measured anew over {plan.precise_batches} batches in the end" if plan.precise_batches else ""
    return f"{_NORMS[plan.norms]}{anew}"


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
    return f"{sizes}{crop}{mirror}; in use {sizing.used}"


def anchor_advice(plan: Plan, train: Annotations) -> AnchorAdvice:
    """How well a detector's anchors meet the boxes that it would learn, and which would be better."""
    from tagwise.localise.anchors import advise_anchors
    from tagwise.localise.pyramid import level_strides

    assert plan.detector is not None
    assert plan.sizing is not None
    return advise_anchors(train, plan.detector, plan.sizing, level_strides(plan.design, plan.detector))


def _anchor_words(plan: Plan, train: Annotations) -> str:
    assert plan.detector is not None
    advice = anchor_advice(plan, train)
    if advice.warning is not None:
        say(f"anchors: {advice.warning}")
    sizes = ", ".join(f"{size:g}" for size in plan.detector.anchor_sizes)
    return f"{sizes}; {advice.share:.1%} of {advice.objects:,} objects have one of IoU 0.5 or more"
