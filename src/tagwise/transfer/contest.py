"""A comparison of several models, held in as many sittings as it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagwise.base.devices import native_bf16
from tagwise.base.files import claim_alone, write_json
from tagwise.base.progress import say
from tagwise.base.settings import to_plain
from tagwise.base.views import View
from tagwise.nets.design import Design
from tagwise.training.models import Model
from tagwise.training.plans import Plan, replace
from tagwise.training.recipes.small import VIVID, fine_tuning, from_scratch
from tagwise.transfer.comparison import Arena, Judged, judge_features, judge_training
from tagwise.transfer.records import (
    COMPARISON_FILE,
    NAMES,
    SCRATCH,
    Comparison,
    Protocol,
    open_comparison,
    read_comparison,
)
from tagwise.transfer.targets import Target

FINE_TUNING_RATES = (0.05, 0.15)
SCRATCH_RATES = (0.3, 0.8)
LONGER = 4
BATCH = 32
EPOCHS = 20
LEAST_IMAGES = 4_000
"""Pictures that a fine-tuning sees at least: with fewer steps a net has hardly left its start."""
EXAMPLES = 20
"""Test pictures that a report shows."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Which models are scored how."""

    arena: Arena
    models: dict[str, Model]
    by: tuple[Protocol, ...]
    fine_tuning: dict[str, list[Plan]]
    """Plans that each model's fine-tuning tries."""
    scratch: list[Plan]
    """Plans that the net from scratch tries."""
    variations: tuple[Callable[[Plan], Plan], ...] = ()
    """What the best plan is tried with too, one after the other."""

    def hold(self, out: Path, *, overwrite: bool = False) -> Comparison:
        """Scores what is not scored yet, and writes after every score.

        Raises:
            UsageError: ``out`` holds something else, or another comparison.
        """
        with claim_alone(out, COMPARISON_FILE, overwrite=overwrite):
            self._score(out)
        return read_comparison(out)

    def _score(self, out: Path) -> None:
        state = self._open(out)

        def look() -> None:
            state["test_looks"] += 1
            write_json(out / COMPARISON_FILE, state)

        self.arena.target.on_look = look
        for name, protocol in self._left(state):
            say(f"{name}, {NAMES[protocol] if name != SCRATCH else 'a net that saw nothing else'}")
            judged = self._judge(name, protocol)
            state["scores"][f"{name}/{protocol}"] = kept_of(judged)
            state["examples"] = state["examples"] or _examples(judged, self.arena.target)
            write_json(out / COMPARISON_FILE, state)

    def _left(self, state: dict[str, Any]) -> list[tuple[str, Protocol]]:
        entries: list[tuple[str, Protocol]] = [(SCRATCH, "train")]
        entries += [(name, protocol) for name in self.models for protocol in self.by]
        return [entry for entry in entries if "/".join(entry) not in state["scores"]]

    def _judge(self, name: str, protocol: Protocol) -> Judged:
        if name == SCRATCH:
            title = "training from scratch"
            return judge_training(self.arena, name, self.scratch, None, variations=self.variations, title=title)
        model = self.models[name]
        if protocol == "train":
            plans, title = self.fine_tuning[name], f"fine-tuning {name}"
            return judge_training(self.arena, name, plans, model, variations=self.variations, title=title)
        return judge_features(self.arena, name, model, protocol)

    def _open(self, out: Path) -> dict[str, Any]:
        target = self.arena.target
        about = {
            "target": target.name,
            "classes": list(target.classes),
            "train_digest": target.train.digest,
            "test_digest": target.test_digest,
            "models": {name: model.digest for name, model in self.models.items()},
            "plans": {name: _told(plans) for name, plans in {**self.fine_tuning, SCRATCH: self.scratch}.items()},
            "variations": [vary.__name__ for vary in self.variations],
            "seed": self.arena.seed,
        }
        empty: dict[str, Any] = {"scores": {}, "test_looks": 0, "examples": [], "test_name": target.test_name}
        state = open_comparison(out, about, empty)
        if state["scores"]:
            say(f"{out} is {'continued' if self._left(state) else 'finished'}: it is this very comparison.")
        return state


def vivid(plan: Plan) -> Plan:
    """The plan with stronger crops and light."""
    return replace(plan, augment=VIVID)


def longer(plan: Plan) -> Plan:
    """The plan at ``LONGER`` times its length."""
    return replace(plan, images=LONGER * plan.images)


def _told(plans: list[Plan]) -> dict[str, Any]:
    """The plans as a difference between two comparisons names them; the data is told by its own digest."""
    return {f"plan {number}": to_plain(plan) | {"data": None} for number, plan in enumerate(plans, start=1)}


def usual_epochs(pictures: int) -> int:
    """Length of a fine-tuning, in epochs: few pictures are seen more often."""
    return max(EPOCHS, -(-LEAST_IMAGES // pictures))


def fine_tuning_plans(arena: Arena, model: Model, epochs: int) -> list[Plan]:
    """The fine-tunings that the hold-out decides between: two rates."""
    facts = {"design": model.facts.design, "view": model.facts.view, "start": model.digest}
    pictures = len(arena.target.train)
    return [fine_tuning(pictures, **_facts(arena, epochs), **facts, rate_per_256=rate) for rate in FINE_TUNING_RATES]


def scratch_plans(arena: Arena, design: Design, view: View, epochs: int) -> list[Plan]:
    """The trainings from scratch that the hold-out decides between: two rates."""
    facts = {**_facts(arena, epochs), "design": design, "view": view}
    return [from_scratch(len(arena.target.train), **facts, rate_per_256=rate) for rate in SCRATCH_RATES]


def _facts(arena: Arena, epochs: int) -> dict[str, Any]:
    pictures = len(arena.target.train)
    return {
        "data": arena.target.train.digest,
        "images": epochs * pictures,
        "batch": min(BATCH, pictures),
        "precision": "bfloat16" if native_bf16(arena.device) else "float32",
        "seed": arena.seed,
    }


def _examples(judged: Judged, target: Target) -> list[tuple[dict[str, Any], int, int]]:
    """A few test pictures of each class for the report; they are named, not opened."""
    per_class = max(1, EXAMPLES // len(target.classes))
    chosen = [row for kind in range(len(target.classes)) for row in judged.rows_of(kind)[:per_class]]
    places = judged.test.places
    return [(to_plain(places[row].absolute()), int(judged.test.truth[row]), row) for row in chosen[:EXAMPLES]]


def kept_of(judged: Judged) -> dict[str, Any]:
    """A score as the comparison's file has it."""
    return {
        "row": to_plain(judged.row),
        "rows": judged.rows.tolist(),
        "predicted": judged.predicted.tolist(),
        "right": judged.right.astype(int).tolist(),
    }
