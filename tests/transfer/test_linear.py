"""The linear probe is the logistic regression that scikit-learn solves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tagwise.transfer.linear import PENALTIES, linear_scores

CLASSES = 4


def case(train: int = 200, queries: int = 80, width: int = 12, apart: float = 1.0) -> tuple[Any, ...]:
    """Gaussian clouds of unequal spread, and one dead feature, as a ReLU leaves them."""
    generator = np.random.default_rng(0)
    truth = np.concatenate([np.arange(CLASSES), generator.integers(0, CLASSES, train + queries - CLASSES)])
    centres = apart * generator.normal(0, 1, (CLASSES, width))
    vectors = (centres[truth] + generator.normal(0, 1, (len(truth), width))) * np.geomspace(0.01, 100, width)
    vectors[:, 0] = 0.25
    vectors_ND = torch.from_numpy(vectors.astype(np.float32))
    return vectors_ND[:train], truth[:train], vectors_ND[train:], truth[train:]


def scikit_logits(train_ND: Any, truth: Any, query_ND: Any, penalty: float) -> Any:
    centre, spread = train_ND.double().mean(0), train_ND.double().std(0, correction=0)
    spread[spread < 1e-8] = 1
    train, query = (((vectors_ND.double() - centre) / spread).numpy() for vectors_ND in (train_ND, query_ND))
    oracle = LogisticRegression(C=1 / (len(train) * penalty), tol=1e-10, max_iter=20_000).fit(train, truth)
    return oracle.decision_function(query)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("train", [40, 200])
def test_logits_are_scikit_learns(penalty: float, train: int) -> None:
    """Up to a constant a picture, which softmax does not see; C is 1 / (pictures x penalty)."""
    train_ND, truth, query_ND, _ = case(train)
    logits = linear_scores(train_ND, truth, query_ND, penalty=penalty, classes=CLASSES)
    expected = scikit_logits(train_ND, truth, query_ND, penalty)
    logits, expected = (values - values.mean(1, keepdims=True) for values in (logits, expected))
    np.testing.assert_allclose(logits, expected, atol=2e-3 * np.abs(expected).max())
    assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.99


def test_clouds_that_lie_apart_are_told_apart() -> None:
    train_ND, truth, query_ND, query_truth = case(apart=12.0)
    for penalty in PENALTIES:
        logits = linear_scores(train_ND, truth, query_ND, penalty=penalty, classes=CLASSES)
        assert (logits.argmax(1) == query_truth).all()


def test_units_of_a_feature_do_not_matter() -> None:
    train_ND, truth, query_ND, _ = case()
    units = torch.logspace(-3, 3, train_ND.shape[1])
    logits = linear_scores(train_ND, truth, query_ND, penalty=0.01, classes=CLASSES)
    scaled = linear_scores(train_ND * units, truth, query_ND * units, penalty=0.01, classes=CLASSES)
    np.testing.assert_allclose(scaled, logits, atol=1e-3)


def test_a_strong_penalty_leaves_the_prior_in_the_bias() -> None:
    """Biases are not penalised: they are the logarithms of the classes' shares."""
    train_ND, truth, query_ND, _ = case()
    logits = linear_scores(train_ND, truth, query_ND, penalty=1e3, classes=CLASSES)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.bincount(truth, minlength=CLASSES) / len(truth)
    np.testing.assert_allclose(shares, np.broadcast_to(expected, shares.shape), atol=1e-3)


def test_features_that_are_all_dead_give_the_prior_too() -> None:
    truth = np.array([0, 0, 0, 1])
    logits = linear_scores(torch.ones(4, 3), truth, torch.ones(2, 3), penalty=0.1, classes=2)
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], np.log(3), atol=1e-4)


def test_a_class_without_pictures_is_never_the_answer() -> None:
    train_ND, truth, query_ND, _ = case()
    logits = linear_scores(train_ND, truth, query_ND, penalty=0.01, classes=CLASSES + 1)
    assert logits.shape == (len(query_ND), CLASSES + 1)
    assert np.isfinite(logits).all()
    assert (logits.argmax(1) < CLASSES).all()
