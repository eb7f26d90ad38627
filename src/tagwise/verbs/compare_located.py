"""``tagwise compare ANNOTATIONS --head ...``: what a start buys where things are to be told, what and where apart."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError, unknown
from tagwise.base.progress import say
from tagwise.verbs.planning import PlanFlags, plan_facts

if TYPE_CHECKING:
    import torch

    from tagwise.localise.comparisons import LocatedComparison
    from tagwise.localise.contest import Start
    from tagwise.localise.models import LocatedModel
    from tagwise.localise.target import LocatedTarget
    from tagwise.training.models import Model
    from tagwise.verbs.annotation_flags import AnnotationFlags

SEEDS = (0, 1, 2)
LENGTHS = (0.25, 0.5, 1.0)
_SPLIT_SEED = 0
"""Of the validation part, which is the same for all runs."""


@dataclass(frozen=True, kw_only=True)
class LocatedCompareResult:
    """Starts of a detector or segmenter, scratch among them, against each other."""

    folder: Path
    comparison: LocatedComparison

    def __str__(self) -> str:
        from tagwise.pages.tables import text_table
        from tagwise.verbs.compared_starts import length_table, statements

        found = self.comparison
        return "\n".join(
            [
                text_table(length_table(found)),
                *statements(found),
                f"{found.train_pictures:,} pictures to train on, {found.test_pictures:,} test pictures (digest "
                f"{found.test_digest}), {len(found.runs)} runs.",
                f"comparison: {self.folder}",
            ]
        )


def compare_located(
    head: str,
    target: Path,
    out: Path,
    things: Sequence[str | Path],
    flags: PlanFlags,
    annotations: AnnotationFlags,
    *,
    recipe: str | None,
    seeds: Sequence[int] | None,
    lengths: Sequence[float] | None,
    device: str | None,
    workers: int | None,
    overwrite: bool,
) -> LocatedCompareResult:
    """As ``compare``, of what tells where things are.

    Raises:
        UsageError: A wrong name, number or folder, no test part, or another comparison in ``out``.
        DataRefused: Annotations cannot be read, or hold nothing of what the head needs.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.base.devices import choose_device
    from tagwise.localise.contest import LocatedContest
    from tagwise.training.heads import HEADS
    from tagwise.verbs.annotated import open_located
    from tagwise.verbs.locate import scored

    if head not in HEADS:
        raise unknown("head", head, HEADS)
    chosen_seeds, chosen_lengths = _seeds(seeds), _lengths(lengths)
    where = choose_device(device)
    opened = open_located(head, target, annotations, _SPLIT_SEED)
    if opened.test is None:
        raise UsageError(f"{target} has no test part and no validation part; give --test.")
    starts = _starts(head, recipe, opened, things, flags, where)
    facts = plan_facts(starts[0].plan, len(opened.train))
    for name in ("pictures seen", "learning rate", "optimiser"):
        say(f"{name}: {facts[name]}")
    contest = LocatedContest(
        head=head,
        target=opened,
        starts=starts,
        lengths=chosen_lengths,
        seeds=chosen_seeds,
        device=where,
        score=lambda run: scored(run, opened, where),
        workers=workers,
    )
    return LocatedCompareResult(folder=out, comparison=contest.hold(out, overwrite=overwrite))


def _seeds(given: Sequence[int] | None) -> tuple[int, ...]:
    from tagwise.localise.localisation import LEAST_SEEDS

    seeds = tuple(dict.fromkeys(SEEDS if given is None else given))
    if not seeds or min(seeds) < 0:
        raise UsageError(f"--seeds are whole numbers from 0, such as 0 1 2, not {' '.join(map(str, seeds)) or 'none'}.")
    if len(seeds) < LEAST_SEEDS:
        say(f"With {len(seeds)} seed{'s' if len(seeds) > 1 else ''} there will be no verdict; it takes {LEAST_SEEDS}.")
    return seeds


def _lengths(given: Sequence[float] | None) -> tuple[float, ...]:
    lengths = tuple(dict.fromkeys(LENGTHS if given is None else map(float, given)))
    if not lengths or not all(0 < length < float("inf") for length in lengths):
        told = " ".join(f"{length:g}" for length in lengths) or "none"
        raise UsageError(f"--lengths are multiples of the schedule above 0, such as 0.25 0.5 1, not {told}.")
    return lengths


def _starts(
    head: str,
    recipe: str | None,
    opened: LocatedTarget,
    things: Sequence[str | Path],
    flags: PlanFlags,
    device: torch.device,
) -> tuple[Start, ...]:
    """Scratch, once for each design and with the view of its first model, and the models."""
    from tagwise.localise.comparisons import scratch_name
    from tagwise.localise.contest import Start
    from tagwise.nets.designs import DESIGNS
    from tagwise.verbs.compare import model_names
    from tagwise.verbs.locate import FITTED, plan_of, recipe_of, start_of

    models = [model for model in map(start_of, things) if model is not None]
    names = model_names([str(thing) for thing in things], models)
    designs = list(dict.fromkeys(model.facts.design for model in models))
    known = {design: name for name, design in DESIGNS.items()}
    groups = {design: known.get(design, f"design {number}") for number, design in enumerate(designs, start=1)}
    make = recipe_of(head, recipe)

    def start(name: str, like: Model | LocatedModel, model: Model | LocatedModel | None) -> Start:
        made = functools.partial(make, design=like.facts.design, view=like.facts.view)
        plan = plan_of(made, opened, flags, model, device, 0, head=head, fitted=recipe in (None, *FITTED))
        return Start(name=name, model=model, group=groups[plan.design], plan=plan)

    first = {model.facts.design: model for model in reversed(models)}
    return (
        *(start(scratch_name(group, len(groups)), first[design], None) for design, group in groups.items()),
        *(start(name, model, model) for name, model in zip(names, models, strict=True)),
    )
