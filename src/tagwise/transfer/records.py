"""What a comparison leaves on disk, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import UsageError
from tagwise.base.files import read_json, write_json
from tagwise.base.settings import difference, from_plain
from tagwise.base.views import View
from tagwise.measure.intervals import paired_difference
from tagwise.pixels.place import Place

COMPARISON_FILE = "comparison.json"

Protocol = Literal["knn", "linear", "train"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

NAMES: dict[Protocol, str] = {"knn": "kNN", "linear": "linear probe", "train": "fine-tuning"}
"""Protocols as people read them."""

SCRATCH = "scratch"
"""The rival's name: a net trained on the target alone."""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """What a model reached on a target."""

    model: str
    """Name of the model, ``scratch`` for none."""
    protocol: Protocol
    train_pictures: int
    test_pictures: int
    right: int
    """Test pictures whose class was found."""
    accuracy: float
    low: float
    """Wilson's 95 % interval for ``accuracy``: chance of these test pictures alone, not of seeds."""
    high: float
    class_mean: float
    """Mean of the classes' accuracies."""
    class_accuracies: tuple[float | None, ...]
    """None for a class whose test pictures are all unreadable."""
    hold_out_accuracy: float | None
    """Of the chosen settings, on the part that chose them; None where there was nothing to choose."""
    settings: dict[str, Any]
    """What the search chose."""
    tried: int
    """Settings that the search tried."""
    seconds: float
    longest: bool = False
    """Whether the search chose the longest training that it tried: one that is longer still may be better."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A score less that of the rival, on the same test pictures."""

    model: str
    protocol: Protocol
    points: float
    """Percentage points."""
    low: float
    """Of the paired 95 % interval, points."""
    high: float
    p_value: float
    """McNemar's exact test."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of models on a target."""

    target: str
    test_name: str
    """Folder or table of the test part, where it is not the target's own."""
    models: dict[str, str]
    """Digest of each: comparisons with the same one share its pretraining."""
    classes: tuple[str, ...]
    train_digest: str
    test_digest: str
    """Two comparisons can be set side by side only where it is equal."""
    seed: int
    """Of the comparison, which draws few labelled pictures, hold-outs and orders."""
    test_looks: int
    """How often the test part was opened: once a score, and once more for each that was interrupted after it."""
    views: dict[str, str]
    """How each model was shown pictures, and by whose rule."""
    rows: tuple[ScoreRow, ...]
    gains: tuple[Gain, ...]
    answers: dict[str, dict[str, list[int]]]
    """Of each ``model/protocol``: position in the test part, predicted class, and 1 where right."""
    examples: tuple[tuple[Place, int, int], ...]
    """Some test pictures: place, class, position in the test part."""

    @property
    def tested_on(self) -> str:
        """``test.csv``, ``the test part of photos``."""
        return self.test_name or f"the test part of {self.target}"


def open_comparison(folder: Path, about: dict[str, Any], empty: dict[str, Any]) -> dict[str, Any]:
    """The comparison's file as it is there, or a new one.

    Args:
        folder: Of the comparison.
        about: What makes it this comparison and no other.
        empty: What the file has beside ``about`` before anything was measured.

    Raises:
        UsageError: Another comparison is there.
    """
    path = folder / COMPARISON_FILE
    if not path.is_file():
        state = {"about": about, **empty}
        write_json(path, state)
        return state
    state = read_json(path)
    if changes := difference(state["about"], about):
        raise UsageError(
            f"{folder} is another comparison ({'; '.join(changes[:6])}); give another -o, or --overwrite to begin anew."
        )
    return state


def read_comparison(folder: Path) -> Comparison:
    """The scores that ``compare`` left in a folder.

    Raises:
        UsageError: There is no comparison in it, or no score yet.
    """
    state = read_json(folder / COMPARISON_FILE)
    if not state["scores"]:
        raise UsageError(f"{folder} has no score yet; give the same compare command again to go on.")
    scores = state["scores"]
    return Comparison(
        target=state["about"]["target"],
        test_name=state.get("test_name", ""),
        models=state["about"].get("models", {}),
        classes=tuple(state["about"]["classes"]),
        train_digest=state["about"]["train_digest"],
        test_digest=state["about"]["test_digest"],
        seed=state["about"]["seed"],
        test_looks=state["test_looks"],
        views={name: _view(plans, folder) for name, plans in state["about"].get("plans", {}).items()},
        rows=tuple(from_plain(ScoreRow, score["row"], str(folder)) for score in scores.values()),
        gains=tuple(_gains({entry: np.array(score["right"], bool) for entry, score in scores.items()})),
        answers={
            entry: {name: score[name] for name in ("rows", "predicted", "right")} for entry, score in scores.items()
        },
        examples=tuple((Place(**place), truth, row) for place, truth, row in state["examples"]),
    )


def _view(plans: dict[str, Any], folder: Path) -> str:
    """All plans of a model have its view."""
    return str(from_plain(View, next(iter(plans.values()))["view"], str(folder)))


def _gains(right: dict[str, NDArray[np.bool_]]) -> list[Gain]:
    rival = right.pop(f"{SCRATCH}/train", None)
    if rival is None:
        return []
    gains = []
    for entry, own in right.items():
        model, _, protocol = entry.rpartition("/")
        difference = paired_difference(own, rival)
        gains.append(
            Gain(
                model=model,
                protocol=protocol,  # type: ignore[arg-type]
                points=100 * difference.difference,
                low=100 * difference.low,
                high=100 * difference.high,
                p_value=difference.p_value,
            )
        )
    return gains
