"""Measures equal scikit-learn's and plain loops; equal scores never help a net."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from tagwise.base.errors import DataRefused, UsageError
from tagwise.measure.accuracy import (
    accuracy,
    average_precisions,
    class_accuracies,
    confusion_counts,
    mean_average_precision,
    mean_class_accuracy,
    precision_and_recall_at_k,
    top_k_right,
)
from tests.references import accuracy as reference
from tests.references.sampling import flat

seeds = st.integers(0, 10**6)


@given(seeds, st.integers(1, 4))
def test_top_k_equals_scikit_learn(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores_NC, truth = generator.normal(size=(30, 6)), generator.integers(0, 6, 30)
    expected = metrics.top_k_accuracy_score(truth, scores_NC, k=k, labels=np.arange(6))
    assert accuracy(top_k_right(scores_NC, truth, k)) == pytest.approx(expected)


@given(seeds, st.integers(1, 4))
def test_top_k_with_equal_scores_is_the_loop(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores_NC, truth = generator.integers(0, 3, (20, 5)).astype(np.float32), generator.integers(0, 5, 20)
    expected = [
        reference.among_best(row, label, k) for row, label in zip(scores_NC.tolist(), truth.tolist(), strict=True)
    ]
    assert top_k_right(scores_NC, truth, k).tolist() == expected


@pytest.mark.parametrize("value", [0.0, np.nan, -np.inf, np.inf])
def test_net_that_says_the_same_of_all_classes_is_never_right(value: float) -> None:
    assert not top_k_right(np.full((4, 7), value), np.arange(4), 5).any()


def test_best_of_all_classes_is_no_measure() -> None:
    with pytest.raises(UsageError, match="best 5 of 5"):
        top_k_right(np.zeros((2, 5)), np.zeros(2, np.int64), 5)


@given(seeds)
def test_class_means_and_confusion_equal_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted = np.append(generator.integers(0, 4, 40), range(4)), generator.integers(0, 4, 44)
    right = truth == predicted
    assert mean_class_accuracy(right, truth, 4) == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(4))
    assert confusion_counts(truth, predicted, 4).tolist() == confusion.tolist()


def test_classes_without_pictures_do_not_count() -> None:
    right, truth = np.array([True, False, True]), np.array([0, 0, 2])
    assert np.isnan(class_accuracies(right, truth, 4)).tolist() == [False, True, False, True]
    assert mean_class_accuracy(right, truth, 4) == pytest.approx(0.75)


def test_no_pictures_no_measure() -> None:
    nothing = np.empty(0, np.bool_)
    with pytest.raises(DataRefused):
        accuracy(nothing)
    with pytest.raises(DataRefused):
        mean_class_accuracy(nothing, np.empty(0, np.int64), 3)
    with pytest.raises(DataRefused):
        precision_and_recall_at_k(np.zeros((2, 3)), np.empty(0, np.int64), np.zeros(3, np.int64), 1)
    with pytest.raises(DataRefused):
        mean_average_precision(average_precisions(np.zeros((2, 3)), np.empty(0, np.int64), np.zeros(3, np.int64)))


def tagging(seed: int, levels: int) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Scores of few distinct values, and label sets, some of them empty."""
    generator = np.random.default_rng(seed)
    truth_NV = generator.random((25, 6)) < 0.2
    return generator.integers(0, levels, (25, 6)).astype(np.float64), [np.flatnonzero(row).tolist() for row in truth_NV]


@given(seeds, st.sampled_from([3, 1000]))
def test_average_precision_equals_scikit_learn(seed: int, levels: int) -> None:
    scores_NV, truth = tagging(seed, levels)
    found = average_precisions(scores_NV, *flat(truth))
    for label in range(6):
        held = np.array([label in labels for labels in truth])
        if held.any():
            assert found[label] == pytest.approx(metrics.average_precision_score(held, scores_NV[:, label]))
        else:
            assert np.isnan(found[label])
    assert mean_average_precision(found) == pytest.approx(np.nanmean(found))


@given(seeds, st.integers(1, 5), st.sampled_from([3, 1000]))
def test_precision_and_recall_at_k_are_the_loop(seed: int, k: int, levels: int) -> None:
    scores_NV, truth = tagging(seed, levels)
    expected = reference.precision_and_recall_at_k(scores_NV.tolist(), truth, k)
    assert precision_and_recall_at_k(scores_NV, *flat(truth), k) == pytest.approx(expected)
