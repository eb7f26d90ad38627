"""mIoU by its three conventions, pooled and picture by picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix, jaccard_score

from tagwise.base.errors import DataRefused, UsageError
from tagwise.measure.segmentation import Convention, pixel_confusion, scores_per_picture, segmentation_scores
from tests.references.coco import goldens


def maps(case: dict[str, Any], truth: str, predicted: str) -> tuple[Any, Any]:
    return np.asarray(case[truth], np.uint8), np.asarray(case[predicted], np.uint8)


GOLDEN = goldens()["semantic"]
COUNTS = pixel_confusion(*maps(GOLDEN, "ground_truth", "prediction"), 5)


def test_l12_golden_confusion() -> None:
    assert COUNTS.tolist() == GOLDEN["confusion_rows_truth"]


@pytest.mark.parametrize(
    ("convention", "golden"),
    [
        ("truth_or_prediction", "mIoU_over_classes_with_union"),
        ("all_classes", "mIoU_absent_as_zero"),
        ("truth", "mIoU_over_classes_in_truth"),
    ],
)
def test_l12_golden_mean_iou_of_each_convention(convention: Convention, golden: str) -> None:
    assert segmentation_scores(COUNTS, convention=convention).mean_iou == pytest.approx(GOLDEN[golden], abs=1e-6)


def test_l12_golden_scores() -> None:
    scores = segmentation_scores(COUNTS)
    assert scores.convention == "truth_or_prediction"
    assert scores.pixel_accuracy == pytest.approx(GOLDEN["pixel_accuracy"], abs=1e-6)
    assert scores.class_accuracy == pytest.approx(GOLDEN["mean_class_accuracy"], abs=1e-6)
    assert scores.frequency_weighted_iou == pytest.approx(GOLDEN["frequency_weighted_iou"], abs=1e-6)
    for found, golden in (
        (scores.iou_of_class, GOLDEN["iou_per_class"]),
        (scores.accuracy_of_class, GOLDEN["accuracy_per_class"]),
    ):
        assert [value is None for value in found] == [value is None for value in golden]
        assert [value or 0 for value in found] == pytest.approx([value or 0 for value in golden], abs=1e-6)
    assert scores.pixels_of_class == (7, 4, 3, 0, 0)


def test_l12_pooled_and_picture_by_picture_are_two_numbers() -> None:
    case = goldens()["semantic_pooling"]
    confusions = [pixel_confusion(*maps(picture, "truth", "prediction"), 2) for picture in case["images"]]
    pooled, apart = segmentation_scores(sum(confusions, np.zeros((2, 2), np.int64))), scores_per_picture(confusions)
    assert pooled.mean_iou == pytest.approx(case["pooled_mIoU"], abs=1e-6)
    assert apart.mean_iou == pytest.approx(case["mean_of_image_mIoU"], abs=1e-6)
    assert apart.pictures == 2
    assert apart.pixels_of_class == pooled.pixels_of_class


def test_l12_what_the_numbers_are_of_is_said_with_them() -> None:
    assert segmentation_scores(COUNTS).said() == (
        "mIoU 0.431 (mean over the classes in truth or prediction; pixels of all pictures pooled; label 255 ignored), "
        "pixel accuracy 0.714, class accuracy 0.710, frequency-weighted IoU 0.591"
    )
    other = scores_per_picture([COUNTS], convention="all_classes", ignored=254).said()
    assert "mean over all classes, an absent one counts 0; mean over 1 pictures; label 254 ignored" in other


@given(
    arrays(np.uint8, (6, 5), elements=st.sampled_from([0, 1, 2, 3, 255])),
    arrays(np.uint8, (6, 5), elements=st.integers(0, 3)),
)
def test_it_is_scikit_learns_matrix_and_jaccard_index(truth: Any, predicted: Any) -> None:
    counts = pixel_confusion(truth, predicted, 4)
    kept = truth != 255
    if not kept.any():
        assert counts.sum() == 0
        return
    assert (counts == confusion_matrix(truth[kept], predicted[kept], labels=range(4))).all()
    present = sorted({*truth[kept].tolist(), *predicted[kept].tolist()})
    jaccard = jaccard_score(truth[kept], predicted[kept], labels=present, average=None)
    scores = segmentation_scores(counts)
    assert scores.mean_iou == pytest.approx(jaccard.mean())
    assert [scores.iou_of_class[label] for label in present] == pytest.approx(jaccard.tolist())


def test_a_set_of_which_all_is_ignored_has_no_score() -> None:
    nothing = pixel_confusion(np.full((2, 2), 255), np.zeros((2, 2), np.uint8), 3)
    scores = segmentation_scores(nothing)
    assert (scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou) == (None, None, None)
    assert scores.said().startswith("mIoU unknown (")
    assert segmentation_scores(nothing, convention="all_classes").mean_iou is None
    with pytest.raises(DataRefused, match="no picture with a pixel that counts"):
        scores_per_picture([nothing])
    assert scores_per_picture([nothing, COUNTS[:3, :3]]).pictures == 1


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (
            [0, 255, 128],
            [0, 1, 1],
            r"The truth has the labels 128, but there are 2 classes, 0 to 1, and 255 is ignored",
        ),
        ([0, 1, 255], [0, 255, 255], "The prediction has the labels 255"),
        ([-1, 1, 1], [0, 1, 1], "The truth has the labels -1"),
        ([0, 1], [0, 1, 1], r"A map of \(3,\) pixels cannot be compared with a truth of \(2,\)"),
    ],
)
def test_labels_of_no_class_are_refused(truth: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(DataRefused, match=message):
        pixel_confusion(np.array(truth), np.array(predicted), 2)


def test_another_label_may_be_the_ignored_one() -> None:
    assert pixel_confusion(np.array([0, 1, -1]), np.array([0, 0, 9]), 2, ignored=-1).tolist() == [[1, 0], [1, 0]]


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(UsageError, match="convention of mIoU"):
        segmentation_scores(COUNTS, convention="absent")  # type: ignore[arg-type]
