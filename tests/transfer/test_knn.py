"""The neighbours' vote equals a loop over all pairs and scikit-learn's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from tagwise.transfer import knn
from tagwise.transfer.knn import NEIGHBOURS, knn_scores

CLASSES = 4


def case(seed: int, train: int = 30, queries: int = 9, width: int = 5) -> tuple[torch.Tensor, Any, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = np.random.default_rng(seed).integers(0, CLASSES, train)
    vectors = torch.randn(train + queries, width, generator=generator) + 2  # off the origin, as ReLU features are
    return vectors[:train], truth, vectors[train:]


def brute_force(train: Any, truth: Any, query: Any, k: int) -> NDArray[np.float64]:
    """Wu et al. 2018, section 3.4, in loops."""
    centre = np.mean(train, axis=0)
    votes = np.zeros((len(query), CLASSES))
    for place, own in enumerate(query - centre):
        similarity = [
            float(own @ (other - centre)) / (np.linalg.norm(own) * np.linalg.norm(other - centre)) for other in train
        ]
        for neighbour in sorted(range(len(train)), key=lambda row: -similarity[row])[:k]:
            votes[place, truth[neighbour]] += math.exp(similarity[neighbour] / 0.07)
    return votes


@given(st.integers(0, 10**6), st.sampled_from([*NEIGHBOURS, 7]))
def test_votes_are_those_of_the_loop(seed: int, k: int) -> None:
    train_ND, truth, query_ND = case(seed)
    votes = knn_scores(train_ND, truth, query_ND, k=k, classes=CLASSES)
    expected = brute_force(train_ND.double().numpy(), truth, query_ND.double().numpy(), k)
    np.testing.assert_allclose(votes, expected, rtol=1e-4)


@pytest.mark.parametrize("k", NEIGHBOURS)
def test_votes_are_scikit_learns(k: int) -> None:
    train_ND, truth, query_ND = case(1, train=300, queries=100, width=16)
    oracle = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    centre = train_ND.mean(0)
    oracle.fit((train_ND - centre).double().numpy(), truth)
    expected = oracle.predict_proba((query_ND - centre).double().numpy())
    votes = knn_scores(train_ND, truth, query_ND, k=k, classes=CLASSES)
    np.testing.assert_allclose(votes / votes.sum(1, keepdims=True), expected, atol=1e-5)


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train_ND, truth, query_ND = case(2, queries=50)
    whole = knn_scores(train_ND, truth, query_ND, k=3, classes=CLASSES)
    monkeypatch.setattr(knn, "BLOCK", 7)
    np.testing.assert_allclose(knn_scores(train_ND, truth, query_ND, k=3, classes=CLASSES), whole, rtol=1e-5)


def test_more_neighbours_than_pictures_are_all_of_them() -> None:
    train_ND, truth, query_ND = case(3, train=6)
    votes = [knn_scores(train_ND, truth, query_ND, k=k, classes=CLASSES) for k in (6, 20)]
    assert votes[0].tolist() == votes[1].tolist()


def test_scale_and_place_of_the_features_do_not_matter() -> None:
    train_ND, truth, query_ND = case(4)
    votes = knn_scores(train_ND, truth, query_ND, k=5, classes=CLASSES)
    moved = knn_scores(3 * train_ND + 7, truth, 3 * query_ND + 7, k=5, classes=CLASSES)
    np.testing.assert_allclose(moved, votes, rtol=1e-3)


def test_a_picture_is_its_own_nearest_neighbour() -> None:
    train_ND, truth, _ = case(5)
    votes = knn_scores(train_ND, truth, train_ND, k=1, classes=CLASSES)
    assert votes.argmax(1).tolist() == truth.tolist()
    assert votes.max(1) == pytest.approx(math.exp(1 / 0.07), rel=1e-4)
    assert (np.count_nonzero(votes, axis=1) == 1).all()
