"""How good: accuracy of classes, ranking of tags.

Equal scores count against the net everywhere: a label is among the best k only if fewer than
k other labels score as high. A net that says the same of all classes is never right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, UsageError

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Ids = NDArray[np.integer[Any]]
Scores = NDArray[np.floating[Any]]


def top_k_right(scores_NC: Scores, truth: Ids, k: int = 1) -> Flags:
    """Whether the true class of each picture is among its k best.

    Args:
        scores_NC: One row a picture, one column a class; a NaN makes its picture wrong.
        truth: Class of each picture.
        k: Below the number of classes.

    Raises:
        UsageError: k is not below the number of classes.
    """
    own = np.take_along_axis(scores_NC, truth[:, None].astype(np.int64), axis=1)[:, 0]
    return own > _best_refused(scores_NC, k)


def accuracy(right: Flags) -> float:
    """Share of pictures that are right, 0..1.

    Raises:
        DataRefused: There is no picture.
    """
    if not len(right):
        raise DataRefused("There is no picture to measure on; give a test set that holds some.")
    return float(np.count_nonzero(right) / len(right))


def class_accuracies(right: Flags, truth: Ids, classes: int) -> Numbers:
    """Accuracy of each class; NaN for classes without pictures."""
    pictures = np.bincount(truth, minlength=classes).astype(np.float64)
    pictures[pictures == 0] = np.nan
    return np.bincount(truth, weights=right, minlength=classes) / pictures


def mean_class_accuracy(right: Flags, truth: Ids, classes: int) -> float:
    """Mean of the accuracies of the classes that have pictures, 0..1.

    Raises:
        DataRefused: There is no picture.
    """
    if not len(right):
        raise DataRefused("There is no picture to measure on; give a test set that holds some.")
    return float(np.nanmean(class_accuracies(right, truth, classes)))


def confusion_counts(truth: Ids, predicted: Ids, classes: int) -> NDArray[np.int64]:
    """Pictures by true class (row) and predicted class (column)."""
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def precision_and_recall_at_k(scores_NV: Scores, ids: Ids, offsets: Ids, k: int) -> tuple[float, float]:
    """How many of the k best tags are true, and how many of the true tags are among them.

    Args:
        scores_NV: One row a picture, one column a label.
        ids: True labels of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``; one more than pictures.
        k: Below the number of labels.

    Returns:
        Precision and recall, each the mean over the pictures that have true labels, 0..1.

    Raises:
        UsageError: k is not below the number of labels.
        DataRefused: No picture has a true label.
    """
    true_labels = np.diff(offsets)
    if not len(ids):
        raise DataRefused(f"None of {len(true_labels)} pictures has a true tag, so nothing can be measured.")
    picture_of_id = np.repeat(np.arange(len(true_labels)), true_labels)
    found = scores_NV[picture_of_id, ids] > _best_refused(scores_NV, k)[picture_of_id]
    hits = np.bincount(picture_of_id, weights=found, minlength=len(true_labels))
    tagged = true_labels > 0
    return float((hits[tagged] / k).mean()), float((hits[tagged] / true_labels[tagged]).mean())


def average_precisions(scores_NV: Scores, ids: Ids, offsets: Ids) -> Numbers:
    """Average precision of each label over all pictures.

    The sum over the distinct scores, from the highest, of precision times the gain in recall;
    not interpolated.

    Args:
        scores_NV: One row a picture, one column a label.
        ids: True labels of all pictures, one after the other.
        offsets: Where each picture begins in ``ids``; one more than pictures.

    Returns:
        One value a label, 0..1; NaN for labels that no picture has.
    """
    by_label = np.argsort(ids, kind="stable")
    picture_of_id = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[by_label]
    ends = np.cumsum(np.bincount(ids, minlength=scores_NV.shape[1]))
    held_by = np.split(picture_of_id, ends[:-1])
    return np.array([_average_precision(scores_NV[:, label], held) for label, held in enumerate(held_by)])


def mean_average_precision(precisions: Numbers) -> float:
    """Mean over the labels that can be measured, 0..1.

    Raises:
        DataRefused: No label can.
    """
    if np.isnan(precisions).all():
        raise DataRefused(f"None of {len(precisions)} labels is on a test picture, so nothing can be measured.")
    return float(np.nanmean(precisions))


def _average_precision(scores: Scores, held_by: NDArray[np.int64]) -> float:
    if not len(held_by):
        return float("nan")
    true = np.zeros(len(scores), np.bool_)
    true[held_by] = True
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # equal scores come in together
    found = np.cumsum(true[order])[ends]
    return float((found / (ends + 1) * np.diff(found, prepend=0)).sum() / len(held_by))


def _best_refused(scores_NC: Scores, k: int) -> Scores:
    """The (k + 1)-th highest score of each picture: what is above it is among the k best."""
    classes = scores_NC.shape[1]
    if not 1 <= k < classes:
        raise UsageError(f"The best {k} of {classes} classes say nothing; ask for 1 to {classes - 1}.")
    return np.partition(scores_NC, classes - 1 - k, axis=1)[:, classes - 1 - k]
