"""One model on one target by one protocol: settings from the training part, then one look at the test."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, Diverged
from tagwise.base.progress import say
from tagwise.base.settings import to_plain
from tagwise.base.views import View
from tagwise.measure.accuracy import accuracy, class_accuracies, mean_class_accuracy, top_k_right
from tagwise.measure.intervals import wilson
from tagwise.nets.grammar import ResidualNet
from tagwise.training.models import Model
from tagwise.training.plans import Plan, replace
from tagwise.transfer.features import embed, score
from tagwise.transfer.finetune import train_classes
from tagwise.transfer.knn import NEIGHBOURS, knn_scores
from tagwise.transfer.linear import PENALTIES, linear_scores
from tagwise.transfer.records import Protocol, ScoreRow
from tagwise.transfer.targets import Part, Pictures, Target, pack_part, stratified_folds

FOLDS = 3
"""A third of the training part is held out to choose settings on."""
FEW_PICTURES = 300
"""Of parts up to this size each third is held out in turn; of larger ones the first says enough."""

Scores = NDArray[np.floating[Any]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A score with the test pictures' answers."""

    row: ScoreRow
    right: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    rows: NDArray[np.int64]
    """Position of each test picture in the test part."""
    test: Part

    def rows_of(self, kind: int) -> list[int]:
        """Positions of the pictures of a class."""
        return [row for row in self.rows.tolist() if self.test.truth[row] == kind]


@dataclass(frozen=True, kw_only=True, eq=False)
class Arena:
    """A target with what every protocol needs to work on it."""

    target: Target
    pixels: Path
    """Folder of packed pictures."""
    device: torch.device
    seed: int
    workers: int | None = None

    def train_pictures(self, view: View) -> Pictures:
        """The training part, packed."""
        return pack_part(self.target.train, view, self.pixels, self.workers)

    def hold_outs(self, view: View) -> list[tuple[Pictures, Pictures]]:
        """Pairs to fit and to choose on, the same for every protocol.

        The target's validation part, else thirds of the training part.
        """
        train = self.train_pictures(view)
        if self.target.validation is not None:
            return [(train, pack_part(self.target.validation, view, self.pixels, self.workers))]
        return [(_rows(train, ~held), _rows(train, held)) for held in _held_out(train, self.seed)]


def judge_features(arena: Arena, name: str, model: Model, protocol: Literal["knn", "linear"]) -> Judged:
    """A vote of neighbours, or a linear probe, on the model's frozen features."""
    began = time.monotonic()
    view, classes, device = model.facts.view, len(arena.target.classes), arena.device
    train = arena.train_pictures(view)
    answer: Callable[..., Scores] = knn_scores if protocol == "knn" else linear_scores
    knob = "k" if protocol == "knn" else "penalty"
    options: Sequence[float] = NEIGHBOURS if protocol == "knn" else PENALTIES

    def embedded(pictures: Pictures) -> tuple[torch.Tensor, NDArray[np.int64]]:
        return embed(model.net, pictures.images_NHWC, view, device), pictures.truth

    with arena.target.searching():
        pairs = [(*embedded(fit), *embedded(held)) for fit, held in arena.hold_outs(view)]

        def held_out(option: float) -> float:
            right = [
                top_k_right(answer(fit, fit_truth, held, **{knob: option}, classes=classes), held_truth)
                for fit, fit_truth, held, held_truth in pairs
            ]
            return accuracy(np.concatenate(right))

        chosen, hold_out = _best(options, held_out)
    part = arena.target.open_test()
    test = pack_part(part, view, arena.pixels, arena.workers)
    scores = answer(*embedded(train), embedded(test)[0], **{knob: chosen}, classes=classes)
    return _judged(arena, name, protocol, train, (part, test), scores, hold_out, {knob: chosen}, len(options), began)


def judge_training(
    arena: Arena,
    name: str,
    plans: Sequence[Plan],
    start: Model | None,
    *,
    variations: Sequence[Callable[[Plan], Plan]] = (),
    title: str | None = None,
) -> Judged:
    """Trains by each plan on a part of the training part, then by the best on all of it.

    Args:
        arena: The target.
        name: Of what is judged.
        plans: Those that the hold-out decides between; on fewer pictures they keep their epochs.
        start: The net to begin from; None: from scratch.
        variations: Tried in turn on the best plan so far, and kept where the hold-out likes them better.
        title: What the progress is called; None for silence.
    """
    began = time.monotonic()
    view, classes = plans[0].view, len(arena.target.classes)
    tried = len(plans) + len(variations)
    train = arena.train_pictures(view)
    net = None if start is None else start.net

    def trained(plan: Plan, part: Pictures, what: str) -> ResidualNet:
        shown = None if title is None else f"{title}, {what}"
        plan = replace(plan, images=max(plan.batch, plan.images * len(part.truth) // len(train.truth)))
        return train_classes(plan, part.images_NHWC, part.truth, classes, device=arena.device, start=net, title=shown)

    with arena.target.searching():
        chosen, hold_out, lengths = plans[0], None, [plan.images for plan in plans]
        if tried > 1:
            pairs = arena.hold_outs(view)

            def held_out(plan: Plan) -> float:
                right = []
                for fit, held in pairs:
                    try:
                        tried = trained(plan, fit, "search")
                    except Diverged as error:
                        say(f"{error} The search goes on without this plan.")
                        return 0.0
                    right.append(top_k_right(score(tried, held.images_NHWC, view, arena.device), held.truth))
                return accuracy(np.concatenate(right))

            chosen, hold_out = _best(plans, held_out)
            for vary in variations:
                varied = vary(chosen)
                lengths.append(varied.images)
                found = held_out(varied)
                chosen, hold_out = (varied, found) if found > hold_out else (chosen, hold_out)
        final = trained(chosen, train, "final run")
    part = arena.target.open_test()
    test = pack_part(part, view, arena.pixels, arena.workers)
    scores = score(final, test.images_NHWC, view, arena.device)
    settings = {
        "images": chosen.images,
        "rate_per_256": chosen.rate_per_256,
        "weight_decay": chosen.weight_decay,
        "augment": to_plain(chosen.augment),
    }
    longest = min(lengths) < chosen.images == max(lengths)
    return _judged(arena, name, "train", train, (part, test), scores, hold_out, settings, tried, began, longest)


def _best(options: Sequence[T], held_out: Callable[[T], float]) -> tuple[T, float]:
    """The option of the best hold-out accuracy, the first of equals."""
    results = [held_out(option) for option in options]
    best = int(np.argmax(results))
    return options[best], results[best]


def _held_out(train: Pictures, seed: int) -> list[NDArray[np.bool_]]:
    """Which pictures each fold holds out; a class of two pictures is in two of three folds."""
    fold_of = stratified_folds(train.truth, FOLDS, seed)
    used = FOLDS if len(train.truth) <= FEW_PICTURES else 1
    masks = [fold_of == fold for fold in range(used) if (fold_of == fold).any()]
    if not masks:
        raise DataRefused(
            "No class has two training pictures, so nothing can be held out to choose settings on; "
            "give more pictures, or a validation part."
        )
    return masks


def _judged(
    arena: Arena,
    model: str,
    protocol: Protocol,
    train: Pictures,
    opened: tuple[Part, Pictures],
    scores: Scores,
    hold_out: float | None,
    settings: dict[str, Any],
    tried: int,
    began: float,
    longest: bool = False,
) -> Judged:
    classes = len(arena.target.classes)
    part, test = opened
    right = top_k_right(scores, test.truth)
    low, high = wilson(int(right.sum()), len(right))
    row = ScoreRow(
        model=model,
        protocol=protocol,
        train_pictures=len(train.truth),
        test_pictures=len(test.truth),
        right=int(right.sum()),
        accuracy=accuracy(right),
        low=low,
        high=high,
        class_mean=mean_class_accuracy(right, test.truth, classes),
        class_accuracies=tuple(
            value if np.isfinite(value) else None for value in class_accuracies(right, test.truth, classes).tolist()
        ),
        hold_out_accuracy=hold_out,
        settings=settings,
        tried=tried,
        longest=longest,
        seconds=round(time.monotonic() - began, 2),
    )
    return Judged(row=row, right=right, predicted=scores.argmax(1), rows=test.rows, test=part)


def _rows(pictures: Pictures, mask: NDArray[np.bool_]) -> Pictures:
    return dataclasses.replace(
        pictures, images_NHWC=pictures.images_NHWC[mask], truth=pictures.truth[mask], rows=pictures.rows[mask]
    )


def score_test(
    target: Target, net: ResidualNet, view: View, pixels: Path, device: torch.device, workers: int | None = None
) -> dict[str, Any]:
    """Scores a finished classifier on the target's test part, which is opened once."""
    test = pack_part(target.open_test(), view, pixels, workers)
    right = top_k_right(score(net, test.images_NHWC, view, device), test.truth)
    low, high = wilson(int(right.sum()), len(right))
    return {
        "accuracy": accuracy(right),
        "low": low,
        "high": high,
        "class_mean": mean_class_accuracy(right, test.truth, len(target.classes)),
        "right": int(right.sum()),
        "test_pictures": len(right),
        "test_digest": target.test_digest,
        "test_looks": target.looks,
    }
