"""Sampling laws written like the formulas, over lists of label sets; and the corpora of the goldens."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.tags.drawing import Drawing

Pictures = list[list[int]]

GOLDENS = Path(__file__).parents[1] / "goldens" / "golden-sampling.json"


@cache
def goldens() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GOLDENS.read_text("utf-8"))
    return loaded


def golden_corpus(letter: str) -> dict[str, Any]:
    (corpus,) = (corpus for corpus in goldens()["corpora"] if corpus["name"].startswith(letter))
    found: dict[str, Any] = corpus
    return found


def scheme(name: str) -> tuple[Any, float | None]:
    """``sqrt@t=8`` as law and threshold."""
    law, _, threshold = name.partition("@t=")
    return law, float(threshold) if threshold else None


def flat(pictures: Pictures) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = np.cumsum([0] + [len(labels) for labels in pictures])
    return np.array([label for labels in pictures for label in labels], np.int32), offsets


def golden_arrays(letter: str) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Ids, offsets and counts of a golden corpus, ids in the order of its ``labels``."""
    corpus = golden_corpus(letter)
    number = {label: index for index, label in enumerate(corpus["labels"])}
    ids, offsets = flat([sorted(number[label] for label in labels) for labels in corpus["images"]])
    return ids, offsets, np.array([corpus["frequency"][label] for label in corpus["labels"]])


@cache
def zipf_corpus() -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """20,000 pictures with one to three of 1,000 labels; label j is drawn in proportion to 1 / (j + 1)."""
    generator = np.random.Generator(np.random.PCG64(20180502))
    cumulative = np.cumsum(1 / np.arange(1, 1001))
    cumulative /= cumulative[-1]
    how_many = generator.random(20_000)
    candidates = np.minimum(np.searchsorted(cumulative, generator.random((20_000, 3)), side="right"), 999)
    pictures = [
        sorted(set(row[: 1 if share < 0.5 else 2 if share < 0.8 else 3]))
        for share, row in zip(how_many.tolist(), candidates.tolist(), strict=True)
    ]
    ids, offsets = flat(pictures)
    return ids, offsets, np.bincount(ids, minlength=1000)


def draws_of(drawn: Drawing, ids: Any, offsets: Any) -> NDArray[np.float64]:
    """Expected draws of every picture, out of the blocks."""
    return np.concatenate([np.empty(0), *(draws for *_, draws in drawn.blocks(ids, offsets))])


def counts(pictures: Pictures, labels: int) -> list[int]:
    counted = Counter(label for picture in pictures for label in set(picture))
    return [counted[label] for label in range(labels)]


def label_factor(count: int, law: str, threshold: float | None) -> float:
    if law == "natural" or threshold is None or count == 0:
        return 1.0
    exponent = {"sqrt": 0.5, "uniform": 1.0}.get(law) or float(law.removeprefix("power:"))
    return max(1.0, (threshold / count) ** exponent)


def image_factor(picture: list[int], factors: list[float]) -> float:
    return max((factors[label] for label in picture), default=0.0)


def keep_probability(picture: list[int], counts: list[int], threshold: float) -> float:
    """MetaCLIP's: each label draws by itself, and one success keeps the picture."""
    return 1 - math.prod(1 - min(1.0, threshold / counts[label]) for label in picture)


def raked_weights(pictures: Pictures, target: list[float], rounds: int) -> list[float]:
    """Generalised iterative scaling as the fact sheet writes it; weights have mean 1."""
    logs = [0.0] * len(target)
    for _ in range(rounds + 1):
        weights = [math.exp(sum(logs[label] for label in picture) / len(picture)) for picture in pictures]
        mass = mass_law(pictures, weights, len(target))
        logs = [
            log + math.log(wanted / got) if wanted else log for log, wanted, got in zip(logs, target, mass, strict=True)
        ]
    mean = sum(weights) / len(weights)
    return [weight / mean for weight in weights]


def occurrence_law(pictures: Pictures, weights: list[float], labels: int) -> list[float]:
    expected = [
        sum(weight for picture, weight in zip(pictures, weights, strict=True) if label in picture)
        for label in range(labels)
    ]
    return [value / sum(expected) for value in expected]


def mass_law(pictures: Pictures, weights: list[float], labels: int) -> list[float]:
    pairs = list(zip(pictures, weights, strict=True))
    mass = [sum(weight / len(picture) for picture, weight in pairs if label in picture) for label in range(labels)]
    return [value / sum(weights) for value in mass]


def effective_labels(law: list[float]) -> float:
    return math.exp(-sum(share * math.log(share) for share in law if share > 0))


def threshold_by_bisection(pictures: Pictures, labels: int, law: str, length: float) -> float:
    frequencies = counts(pictures, labels)

    def epoch_length(threshold: float) -> float:
        factors = [label_factor(count, law, threshold) for count in frequencies]
        return sum(image_factor(picture, factors) for picture in pictures)

    low, high = 0.0, 1.0
    while epoch_length(high) < length:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if epoch_length(middle) >= length else (middle, high)
    return high
