"""A finished classifier on labelled pictures: its answers against the truth, class by class of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused
from tagwise.base.progress import printable, progress, say
from tagwise.corpus.pack import fitted
from tagwise.corpus.pool import map_in_order
from tagwise.measure.accuracy import accuracy, mean_class_accuracy, top_k_right
from tagwise.measure.intervals import wilson
from tagwise.nets.label_sets import class_names, synsets
from tagwise.pixels.forms import PictureForm, read_form
from tagwise.pixels.quiet import quiet_libraries
from tagwise.training.models import Model
from tagwise.transfer.features import score
from tagwise.transfer.targets import MAX_UNREADABLE_FRACTION, Part

TOP = 5
_NUMBERED = re.compile(r"(class )?\d+")


@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of the pictures, with the 95 % interval of the share."""

    right: int
    pictures: int
    accuracy: float
    """0..1."""
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a classifier got right."""

    top1: Share
    top5: Share | None
    """None where it has no more than five outputs."""
    class_mean: float
    """Mean of the classes' top-1 accuracies, 0..1."""


def match_classes(names: Sequence[str], outputs: Sequence[str]) -> tuple[NDArray[np.int64], str]:
    """The output that stands for each class of a target.

    Args:
        names: The target's classes; where an output is not called so to the letter, case, hyphens, underscores
            and blanks do not count.
        outputs: Names of a model's outputs, no two the same.

    Returns:
        Positions among the outputs, and how they were found, in words: by name, by WordNet id for
        ImageNet's classes, or, where either side has numbers for names and there are equally many, by order.

    Raises:
        DataRefused: Some of the classes, or all, are none of the model's, or two of them are one of its.
    """
    ways = {"by name": outputs}
    if tuple(outputs) == class_names("imagenet1k"):
        ways["by WordNet id"] = synsets()
    for how, words in ways.items():
        found = _places(names, words)
        unknown = [name for name, place in zip(names, found, strict=True) if place is None]
        if not unknown:
            _refuse_merged(names, found, outputs)
            return np.array(found, np.int64), how
        if len(unknown) < len(names):
            raise DataRefused(_misfit(unknown, names, outputs))
    numbers, nameless = all(name.isdecimal() for name in names), all(_NUMBERED.fullmatch(name) for name in outputs)
    if len(names) != len(outputs) or not (numbers or nameless):
        raise DataRefused(_misfit(names, names, outputs))
    order = sorted(range(len(names)), key=lambda index: int(names[index]) if numbers else names[index])
    return np.argsort(order), f"by order, {printable(names[order[0]], 40)} to {printable(outputs[0], 40)} and so on"


def judge_classifier(
    model: Model, part: Part, columns: NDArray[np.int64], device: torch.device, *, batch: int, workers: int | None
) -> Scores:
    """Scores of a model on labelled pictures, which are decoded batch by batch and kept nowhere.

    Args:
        model: All its outputs compete, whatever classes the pictures have.
        part: The pictures; ``truth`` counts their own classes.
        columns: The output of each class, from ``match_classes``.
        device: Where the net runs.
        batch: Pictures that the net sees at a time.
        workers: Threads that decode.

    Raises:
        DataRefused: More than ``MAX_UNREADABLE_FRACTION`` of the pictures are unreadable.
    """
    truth, view = columns[part.truth], model.facts.view
    logits, rows = [], []
    with quiet_libraries(), progress("evaluating", len(part)) as ticker:
        for first in range(0, len(part), batch):
            places = part.places[first : first + batch]
            squares = list(map_in_order(lambda place: fitted(place, view), places, workers))
            good = [(first + row, square) for row, square in enumerate(squares) if not isinstance(square, str)]
            for place, square in zip(places, squares, strict=True):
                if isinstance(square, str):
                    say(f"{printable(str(place))} is left out: {printable(square)}")
            if good:
                rows += [row for row, _ in good]
                logits.append(score(model.net, np.stack([square for _, square in good]), view, device))
            ticker.advance(len(places))
    _refuse_unreadable(len(part) - len(rows), part)
    return _scores(np.concatenate(logits), truth[rows])


def forms(part: Part, workers: int | None) -> list[PictureForm]:
    """The forms of a part's readable files, in their order."""
    read = map_in_order(read_form, part.places, workers)
    return [form for form in read if form is not None]


def _scores(logits_NV: NDArray[np.float32], truth: NDArray[np.int64]) -> Scores:
    right = top_k_right(logits_NV, truth)
    outputs = logits_NV.shape[1]
    return Scores(
        top1=_share(right),
        top5=_share(top_k_right(logits_NV, truth, TOP)) if outputs > TOP else None,
        class_mean=mean_class_accuracy(right, truth, outputs),
    )


def _share(right: NDArray[np.bool_]) -> Share:
    low, high = wilson(int(right.sum()), len(right))
    return Share(right=int(right.sum()), pictures=len(right), accuracy=accuracy(right), low=low, high=high)


def _refuse_unreadable(unreadable: int, part: Part) -> None:
    if unreadable > MAX_UNREADABLE_FRACTION * len(part):
        raise DataRefused(
            f"{unreadable} of {len(part)} pictures of the {part.name} part cannot be read, above "
            f"{MAX_UNREADABLE_FRACTION:.0%}; mend or remove them."
        )


def _places(names: Sequence[str], words: Sequence[str]) -> list[int | None]:
    """Where each name stands among the words: to the letter, else folded, unless several words fold to it."""
    exact = {word: place for place, word in enumerate(words)}
    times = Counter(map(_folded, words))
    alike = {_folded(word): place for word, place in exact.items() if times[_folded(word)] == 1}
    return [exact.get(name, alike.get(_folded(name))) for name in names]


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _refuse_merged(names: Sequence[str], found: Sequence[int | None], outputs: Sequence[str]) -> None:
    first: dict[int | None, str] = {}
    for name, place in zip(names, found, strict=True):
        if place is not None and first.setdefault(place, name) != name:
            raise DataRefused(
                f"The classes {printable(first[place], 40)} and {printable(name, 40)} are both the model's output "
                f"{printable(outputs[place], 40)}; merge them, or rename the one that is something else."
            )


def _misfit(unknown: Sequence[str], names: Sequence[str], outputs: Sequence[str]) -> str:
    shown = ", ".join(printable(name, 40) for name in unknown[:3])
    return (
        f"{len(unknown):,} of {len(names):,} classes ({shown}) are none of the model's {len(outputs):,} outputs "
        f"({', '.join(printable(name, 40) for name in outputs[:3])}, ...); name the folders as the outputs are named, "
        "give --classes, the outputs' true names in their order, or a model of these classes."
    )
