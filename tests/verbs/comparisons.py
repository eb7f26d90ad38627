"""Comparisons of our own making, as ``compare`` leaves them on disk."""

from __future__ import annotations

import json
from pathlib import Path

from tagwise.base.settings import to_plain
from tagwise.measure.intervals import wilson
from tagwise.transfer.records import Protocol, ScoreRow

TEST, CLASSES = 400, 4


def write(
    folder: Path,
    per_class: int,
    seed: int,
    right: dict[str, dict[Protocol, int]],
    *,
    test_digest: str = "ab" * 8,
    test_name: str = "",
) -> Path:
    """A comparison in which so many of the 400 test pictures, always the first ones, are right.

    Models that are called the same have the same digest.
    """
    scores = {}
    for model, protocols in right.items():
        for protocol, count in protocols.items():
            low, high = wilson(count, TEST)
            row = ScoreRow(
                model=model, protocol=protocol, train_pictures=per_class * CLASSES, test_pictures=TEST, right=count,
                accuracy=count / TEST, low=low, high=high, class_mean=count / TEST, class_accuracies=(0.5,) * CLASSES,
                hold_out_accuracy=0.5, settings={}, tried=1, seconds=1.0,
            )  # fmt: skip
            answers = {
                "rows": list(range(TEST)),
                "predicted": [0] * TEST,
                "right": [int(n < count) for n in range(TEST)],
            }
            scores[f"{model}/{protocol}"] = {"row": to_plain(row), **answers}
    about = {
        "target": "photos", "classes": list("abcd"), "train_digest": "cd" * 8, "test_digest": test_digest, "seed": seed,
        "models": {model: f"digest of {model}" for model in right if model != "scratch"},
    }  # fmt: skip
    folder.mkdir(parents=True)
    state = {
        "about": about, "test_name": test_name, "scores": scores, "test_looks": len(scores), "examples": [],
    }  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(state), encoding="utf-8")
    return folder
