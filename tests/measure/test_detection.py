"""COCO's numbers: the golden cases, the libraries' own road, and what -1 means."""

from __future__ import annotations

import copy
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import UsageError
from tagwise.measure.coco import LIBRARIES, LibraryName, coco_library, coco_masks
from tagwise.measure.detection import KEYPOINT_NAMES, NAMES, UNIFORM_SIGMA, detection_scores, said
from tagwise.measure.matching import KINDS, Kind
from tests.references.coco import a_truth, drawn, goldens, need, told

need("pycocotools")

BOX = [10.0, 10.0, 20.0, 20.0]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", goldens()["detection_cases"], ids=lambda case: case["name"])
def test_l11_golden_cases(case: dict[str, Any], library: LibraryName) -> None:
    need(library)
    scores = detection_scores(case["gt"], case["detections"], case["iou_type"], library=library)
    assert list(scores.numbers) == goldens()["stats_order"] == list(NAMES)
    assert list(scores.numbers.values()) == pytest.approx(case["stats"], abs=1e-6)
    for category in scores.categories:
        golden = case["per_category"][str(category.id)]
        assert (category.ap, category.ap50) == pytest.approx((golden["AP"], golden["AP50"]), abs=1e-6)
    assert scores.library.startswith(f"{library} ")


@pytest.mark.parametrize("library", LIBRARIES)
def test_l11_golden_keypoints(library: LibraryName) -> None:
    need(library)
    case = goldens()["keypoints"]
    scores = detection_scores(case["gt"], case["detections"], "keypoints", library=library, sigmas=case["sigmas"])
    assert list(scores.numbers) == goldens()["keypoint_stats_order"] == list(KEYPOINT_NAMES)
    assert list(scores.numbers.values()) == pytest.approx(case["stats10"], abs=1e-6)
    assert scores.sigmas == tuple(case["sigmas"])
    assert scores.class_agnostic["AR"] == scores.numbers["AR"]


def test_keypoints_that_are_not_cocos_have_one_spread_and_the_scores_hold_it() -> None:
    case = goldens()["keypoints"]
    assert detection_scores(case["gt"], case["detections"], "keypoints").sigmas == (UNIFORM_SIGMA,) * 3
    with pytest.raises(UsageError, match="2 sigmas for 3 keypoints"):
        detection_scores(case["gt"], case["detections"], "keypoints", sigmas=[0.1, 0.1])


def test_an_object_without_keypoints_is_no_miss() -> None:
    case = copy.deepcopy(goldens()["keypoints"])
    bare = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 2000.0}
    case["gt"]["annotations"].append(bare)
    scores = detection_scores(case["gt"], case["detections"], "keypoints", sigmas=case["sigmas"])
    assert list(scores.numbers.values()) == pytest.approx(case["stats10"], abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_l11_both_libraries_agree_and_say_what_pycocotools_itself_sums_up(seed: int) -> None:
    for library in LIBRARIES:
        need(library)
    truth, found = drawn(seed)
    first, second = (detection_scores(truth, found, "bbox", library=library) for library in LIBRARIES)
    assert list(first.numbers.values()) == pytest.approx(list(second.numbers.values()), abs=1e-9)
    assert first.class_agnostic == pytest.approx(second.class_agnostic, abs=1e-9)
    assert list(first.numbers.values()) == pytest.approx(summed_up(truth, found, "bbox"), abs=1e-12)


def summed_up(truth: dict[str, Any], found: list[dict[str, Any]], kind: Kind) -> list[float]:
    """As pycocotools' own example does it; only ids begin at 1."""
    numbered = [{**given, "id": given["id"] + 1} for given in truth["annotations"]]
    library = coco_library("pycocotools")
    with redirect_stdout(io.StringIO()):
        objects = library.dataset()
        objects.dataset = copy.deepcopy({**truth, "annotations": numbered})
        objects.createIndex()
        run = library.evaluation(objects, objects.loadRes(copy.deepcopy(found)), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats: list[float] = run.stats.tolist()
    return stats


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_find_is_minus_one_everywhere(kind: Kind, library: LibraryName) -> None:
    need(library)
    for truth in (a_truth(), a_truth() | {"categories": []}, a_truth() | {"images": []}):
        scores = detection_scores(truth, [], kind, library=library)
        assert {*scores.numbers.values(), *scores.class_agnostic.values()} == {-1.0}
        assert [(one.ap, one.objects, one.precisions_50) for one in scores.categories] == [
            (-1.0, 0, ()) for _ in truth["categories"]
        ]
    assert detection_scores(a_truth(), [], "bbox", library=library).said().startswith("AP -1: no object in the truth, ")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_picture_without_detections_costs_recall(library: LibraryName) -> None:
    need(library)
    truth = a_truth((1, 3, BOX), (2, 3, BOX), pictures=2)
    assert detection_scores(truth, [], "bbox", library=library).numbers["AP"] == 0
    scores = detection_scores(truth, [told(1, 3, BOX, 0.5)], "bbox", library=library)
    assert scores.numbers["AP"] == pytest.approx(51 / 101)
    assert scores.numbers["AR_100"] == 0.5


def test_categories_keep_their_ids_and_names_through_gaps() -> None:
    scores = detection_scores(a_truth((1, 90, BOX), (1, 90, BOX)), [told(1, 3, BOX, 0.5)], "bbox")
    assert [(one.id, one.name, one.objects, one.detections) for one in scores.categories] == [
        (3, "kind 3", 0, 1),
        (7, "kind 7", 0, 0),
        (90, "kind 90", 2, 0),
    ]
    assert [one.ap for one in scores.categories] == [-1.0, -1.0, 0.0]


def test_class_agnostic_numbers_forgive_a_wrong_class() -> None:
    truth = a_truth((1, 3, BOX), (1, 7, [100, 100, 40, 40]))
    found = [told(1, 7, BOX, 0.9), told(1, 3, [100, 100, 40, 40], 0.8)]
    scores = detection_scores(truth, found, "bbox")
    assert scores.numbers["AP"] == 0
    assert scores.class_agnostic == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1, "AR_100": 1})


def test_class_agnostic_numbers_count_objects_of_all_classes_once() -> None:
    """A crowd of any class forgives."""
    truth = a_truth((1, 3, BOX), (1, 7, [200, 200, 100, 100]), crowds=(1,))
    found = [told(1, 3, [220, 220, 30, 30], 0.9), told(1, 3, BOX, 0.5)]
    scores = detection_scores(truth, found, "bbox")
    assert scores.numbers["AP50"] == pytest.approx(0.5)
    assert scores.class_agnostic["AP50"] == pytest.approx(1)


def test_the_curve_is_the_best_precision_at_each_recall_or_beyond() -> None:
    """Of two objects: found, nothing, found (IoU .6)."""
    truth = a_truth((1, 3, BOX), (1, 3, [100, 100, 100, 100]))
    found = [told(1, 3, BOX, 0.9), told(1, 3, [300, 300, 9, 9], 0.8), told(1, 3, [100, 100, 100, 60], 0.7)]
    (curve,) = (one for one in detection_scores(truth, found, "bbox").categories if one.id == 3)
    assert curve.precisions_50 == pytest.approx((1.0,) * 51 + (2 / 3,) * 50)
    assert curve.precisions_75 == pytest.approx((1.0,) * 51 + (0.0,) * 50)
    assert np.mean(curve.precisions_50) == pytest.approx(curve.ap50)


def test_minus_one_is_said_in_words() -> None:
    assert said(0.41234) == "0.412"
    assert said(0.0, "AP_small") == "0.000"
    assert said(-1, "AP50") == "-1: no object in the truth"
    assert said(-1, "AR_medium") == "-1: no medium object in the truth"
    assert said(-1, "AR_10") == "-1: no object in the truth"


@pytest.mark.parametrize(("name", "kind"), [("cells", "bbox"), ("shapes", "segm"), ("nuclei", "segm")])
def test_the_truth_itself_scores_1(name: str, kind: Kind, real_data: Path) -> None:
    truth = json.loads((real_data / "locate" / name / "val.json").read_text("utf-8"))
    scores = detection_scores(truth, as_results(truth), kind)
    assert scores.numbers["AP"] == pytest.approx(1)
    assert scores.class_agnostic["AP"] == pytest.approx(1)
    if name == "nuclei":  # one detection of a picture finds one of many objects
        assert (scores.numbers["AR_1"], scores.numbers["AR_10"]) == pytest.approx((0.034, 0.327), abs=5e-4)


def as_results(truth: dict[str, Any]) -> list[dict[str, Any]]:
    masks, sizes = coco_masks(), {given["id"]: (given["height"], given["width"]) for given in truth["images"]}
    results = []
    for given in truth["annotations"]:
        mask = given.get("segmentation")
        if isinstance(mask, list):
            mask = masks.merge(masks.frPyObjects(mask, *sizes[given["image_id"]]))
        fields = {"image_id", "category_id", "bbox"}
        results.append({name: given[name] for name in fields} | {"score": 0.5, "segmentation": mask})
    return results
