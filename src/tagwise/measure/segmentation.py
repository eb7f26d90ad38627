"""How well pixels are told: IoU and accuracy of classes, out of a confusion matrix.

Three conventions of the mean IoU are in use, and differ where a class is absent: ``truth_or_prediction`` (ours) leaves
out classes that are in neither, ``all_classes`` (PyTorch-Encoding's, encoding/utils/metrics.py) counts them 0, and
``truth`` leaves out those that are not in the truth, so that a class told wrongly costs nothing of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, unknown

Convention = Literal["truth_or_prediction", "all_classes", "truth"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
CONVENTION_WORDS = {
    "truth_or_prediction": "mean over the classes in truth or prediction",
    "all_classes": "mean over all classes, an absent one counts 0",
    "truth": "mean over the classes in the truth",
}

Counts = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]
Numbers = NDArray[np.float64]

IGNORED = 255
"""The label of pixels that count for nothing."""


@dataclass(frozen=True, kw_only=True)
class SegmentationScores:
    """All numbers 0..1; None where nothing can be measured."""

    mean_iou: float | None
    pixel_accuracy: float | None
    class_accuracy: float | None
    """Mean over the classes in the truth."""
    frequency_weighted_iou: float | None
    """IoU of each class, weighted by its pixels in the truth."""
    iou_of_class: tuple[float | None, ...]
    """None: neither in truth nor prediction."""
    accuracy_of_class: tuple[float | None, ...]
    """None: not in the truth."""
    pixels_of_class: tuple[int, ...]
    """In the truth."""
    convention: Convention
    ignored: int
    """The label of pixels that count for nothing."""
    pictures: int | None = None
    """None: pixels of all pictures pooled; else the means over so many pictures."""

    def said(self) -> str:
        """The numbers in a line, with the convention and the ignored label, without which they mean little."""
        pooled = "pixels of all pictures pooled" if self.pictures is None else f"mean over {self.pictures} pictures"
        return (
            f"mIoU {_said(self.mean_iou)} ({CONVENTION_WORDS[self.convention]}; {pooled}; label {self.ignored} "
            "ignored), "
            f"pixel accuracy {_said(self.pixel_accuracy)}, class accuracy {_said(self.class_accuracy)}, "
            f"frequency-weighted IoU {_said(self.frequency_weighted_iou)}"
        )


def pixel_confusion(truth: Labels, predicted: Labels, classes: int, *, ignored: int = IGNORED) -> Counts:
    """Pixels by true class (row) and predicted class (column); those of pictures add up.

    Args:
        truth: Labels 0 to ``classes`` - 1, or ``ignored``; any shape.
        predicted: Of the same shape; what it says of ignored pixels does not matter.
        classes: How many there are.
        ignored: The label of pixels that count for nothing.

    Raises:
        DataRefused: Shapes differ, or a label is of no class.
    """
    if truth.shape != predicted.shape:
        raise DataRefused(f"A map of {predicted.shape} pixels cannot be compared with a truth of {truth.shape}.")
    counted = truth != ignored
    labels, told = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for values, whose in ((labels, "The truth"), (told, "The prediction")):
        strange = np.unique(values[(values < 0) | (values >= classes)])
        if len(strange):
            raise DataRefused(
                f"{whose} has the labels {', '.join(map(str, strange[:5]))}, but there are {classes} classes, 0 to "
                f"{classes - 1}, and {ignored} is ignored; look whether labels were shifted or scaled."
            )
    return np.bincount(labels * classes + told, minlength=classes * classes).reshape(classes, classes)


def segmentation_scores(
    confusion_CC: Counts, *, convention: Convention = "truth_or_prediction", ignored: int = IGNORED
) -> SegmentationScores:
    """Scores of pixels pooled over a set, which is how mIoU is published.

    Args:
        confusion_CC: Sum of ``pixel_confusion`` over the pictures.
        convention: Over which classes the IoU is averaged.
        ignored: Told in the scores.

    Raises:
        UsageError: There is no such convention.
    """
    if convention not in CONVENTIONS:
        raise unknown("convention of mIoU", convention, CONVENTIONS)
    hits, true, told = np.diag(confusion_CC).astype(np.float64), confusion_CC.sum(axis=1), confusion_CC.sum(axis=0)
    iou, accuracy = _share(hits, true + told - hits), _share(hits, true)
    counted = {"truth_or_prediction": iou, "all_classes": np.nan_to_num(iou), "truth": iou[true > 0]}[convention]
    return SegmentationScores(
        mean_iou=_mean(counted) if confusion_CC.any() else None,
        pixel_accuracy=_number(_share(hits.sum(), true.sum())),
        class_accuracy=_mean(accuracy),
        frequency_weighted_iou=_number(_share((true * np.nan_to_num(iou)).sum(), true.sum())),
        iou_of_class=tuple(map(_number, iou)),
        accuracy_of_class=tuple(map(_number, accuracy)),
        pixels_of_class=tuple(true.tolist()),
        convention=convention,
        ignored=ignored,
    )


def scores_per_picture(
    confusions: Sequence[Counts], *, convention: Convention = "truth_or_prediction", ignored: int = IGNORED
) -> SegmentationScores:
    """Means of the scores of single pictures, where a small object weighs as much as a large one.

    Args:
        confusions: ``pixel_confusion`` of each picture; one whose pixels are all ignored is left out.
        convention: Over which classes of a picture the IoU is averaged.
        ignored: Told in the scores.

    Raises:
        DataRefused: There is no picture with a pixel that counts.
        UsageError: There is no such convention.
    """
    each = [segmentation_scores(counts, convention=convention) for counts in confusions if counts.any()]
    if not each:
        raise DataRefused("There is no picture with a pixel that counts, so nothing can be measured.")
    return SegmentationScores(
        mean_iou=_mean([one.mean_iou for one in each]),
        pixel_accuracy=_mean([one.pixel_accuracy for one in each]),
        class_accuracy=_mean([one.class_accuracy for one in each]),
        frequency_weighted_iou=_mean([one.frequency_weighted_iou for one in each]),
        iou_of_class=tuple(map(_mean, zip(*(one.iou_of_class for one in each), strict=True))),
        accuracy_of_class=tuple(map(_mean, zip(*(one.accuracy_of_class for one in each), strict=True))),
        pixels_of_class=tuple(map(sum, zip(*(one.pixels_of_class for one in each), strict=True))),
        convention=convention,
        ignored=ignored,
        pictures=len(each),
    )


def _share(part: Any, whole: Any) -> Numbers:
    """NaN where there is nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(part, np.float64) / np.asarray(whole, np.float64)


def _mean(values: Sequence[float | None] | Numbers) -> float | None:
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else None


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
