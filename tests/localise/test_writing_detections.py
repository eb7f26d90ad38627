"""Detections are written as COCO's tools read them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import DataRefused
from tagwise.localise.annotations import AnnotatedPicture, Annotations, Category, Rle
from tagwise.localise.writing import coco_truth
from tagwise.localise.writing_detections import Detections, coco_detections, write_detections
from tagwise.measure.coco import coco_library, coco_masks
from tagwise.measure.detection import detection_scores
from tagwise.pixels.place import Place
from tests.references.coco import need

need("pycocotools")


def rle(rows: slice, columns: slice) -> Rle:
    mask = np.zeros((40, 60), np.uint8, order="F")
    mask[rows, columns] = 1
    encoded: Rle = coco_masks().encode(mask)
    return encoded


MASKS = (rle(slice(2, 12), slice(5, 25)), rle(slice(20, 40), slice(30, 60)))


def a_picture(number: int, *, objects: int = 2, keypoints: bool = False) -> AnnotatedPicture:
    return AnnotatedPicture(
        place=Place(f"{number}.png"),
        name=f"{number}.png",
        id=number,
        width=60,
        height=40,
        boxes_N4=np.array([[5.0, 2, 25, 12], [30, 20, 60, 40]])[:objects],
        categories_N=np.array([1, 2])[:objects],
        ids=("a", 7)[:objects],
        areas_N=np.array([123.5, 600])[:objects],
        crowd_N=np.array([False, True])[:objects],
        difficult_N=np.zeros(objects, np.bool_),
        masks=MASKS[:objects],
        keypoints_NK3=np.array([[[5.0, 2, 2], [6, 3, 0]], [[30, 20, 1], [0, 0, 0]]])[:objects] if keypoints else None,
    )


def annotated(*pictures: AnnotatedPicture) -> Annotations:
    """Ids have gaps; a picture without objects comes first."""
    categories = tuple(Category(id=number, name=f"kind {number}") for number in (11, 13, 90))
    return Annotations(name="three kinds", form="coco", categories=categories, pictures=pictures)


ANNOTATIONS = annotated(a_picture(104, objects=0), a_picture(3))

FOUND = (
    Detections(boxes_N4=np.zeros((0, 4)), scores_N=np.zeros(0), labels_N=np.zeros(0, np.int64), masks=()),
    Detections(
        boxes_N4=np.array([[30.0, 20, 61.5, 44], [5, 2, 25, 12], [-3, -2, 5, 2], [70, 10, 80, 20]], np.float32),
        scores_N=np.array([0.5, 0.9, 0.5, 0.8], np.float32),
        labels_N=np.array([2, 1, 0, 0]),
        masks=(MASKS[1], MASKS[0], MASKS[0], MASKS[0]),
    ),
)


def test_l13_results_have_the_categories_own_ids_in_order_of_score_inside_the_picture() -> None:
    results = coco_detections(FOUND, ANNOTATIONS)
    assert [(one["image_id"], one["category_id"], one["score"]) for one in results] == [
        (3, 13, pytest.approx(0.9)),
        (3, 90, 0.5),
        (3, 11, 0.5),
    ]
    assert [one["bbox"] for one in results] == [[5, 2, 20, 10], [30, 20, 30, 20], [0, 0, 5, 2]]


def test_l13_a_written_file_loads_in_pycocotools(tmp_path: Path) -> None:
    results = coco_detections(FOUND, ANNOTATIONS)
    write_detections(tmp_path / "detections.json", results)
    assert json.loads((tmp_path / "detections.json").read_text("utf-8")) == results
    library = coco_library("pycocotools")
    with redirect_stdout(io.StringIO()):
        objects = library.dataset()
        objects.dataset = coco_truth(ANNOTATIONS)
        objects.createIndex()
        loaded = objects.loadRes(str(tmp_path / "detections.json"))
        run = library.evaluation(objects, loaded, "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    given = loaded.loadAnns(loaded.getAnnIds())
    assert [one["category_id"] for one in given] == [13, 90, 11]
    assert [one["score"] for one in given] == sorted((one["score"] for one in given), reverse=True)
    for one, mask in zip(given, (MASKS[0], MASKS[1], MASKS[0]), strict=True):
        assert one["segmentation"]["counts"].encode() == mask["counts"]
        assert one["segmentation"]["size"] == [40, 60]
    assert run.stats[0] == pytest.approx(1)
    assert detection_scores(coco_truth(ANNOTATIONS), results, "segm").numbers["AP"] == pytest.approx(1)


def test_the_truth_that_is_evaluated_against_has_crowds_and_areas_as_given() -> None:
    truth = coco_truth(ANNOTATIONS)
    assert [(one["area"], one["iscrowd"], one["category_id"]) for one in truth["annotations"]] == [
        (123.5, 0, 13),
        (600, 1, 90),
    ]
    scores = detection_scores(truth, coco_detections(FOUND, ANNOTATIONS), "bbox")
    assert [(one.id, one.objects, one.ap) for one in scores.categories] == [
        (11, 0, -1),
        (13, 1, pytest.approx(1)),
        (90, 0, -1),
    ]


def test_keypoints_are_written_as_x_y_and_score() -> None:
    points = np.array([[[5.0, 2, 0.7], [6, 3, 0.1]]])
    found = Detections(
        boxes_N4=np.array([[5.0, 2, 25, 12]]), scores_N=np.array([0.9]), labels_N=np.array([1]), keypoints_NK3=points
    )
    annotations = annotated(a_picture(3, objects=1, keypoints=True))
    (result,) = coco_detections([found], annotations)
    assert result["keypoints"] == [5, 2, 0.7, 6, 3, 0.1]
    assert "segmentation" not in result
    assert detection_scores(coco_truth(annotations), [result], "keypoints").numbers["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels_N": np.array([3])}, r"on 3.png has the label 3, but there are 3 categories, 0 to 2; the background"),
        ({"labels_N": np.array([-1])}, "has the label -1"),
        ({"scores_N": np.array([np.nan])}, "on 3.png is not finite"),
        ({"boxes_N4": np.array([[0, 0, np.inf, 1]])}, "on 3.png is not finite"),
    ],
)
def test_what_cannot_be_written_is_refused(change: dict[str, Any], message: str) -> None:
    right = {"boxes_N4": np.array([[0.0, 0, 1, 1]]), "scores_N": np.array([0.5]), "labels_N": np.array([0])}
    with pytest.raises(DataRefused, match=message):
        coco_detections([Detections(**(right | change))], annotated(a_picture(3)))


def test_detections_of_other_pictures_are_refused() -> None:
    with pytest.raises(DataRefused, match=r"detections of 1 pictures, but three kinds has 2; give one entry for each"):
        coco_detections(FOUND[:1], ANNOTATIONS)
