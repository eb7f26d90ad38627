"""What cannot be evaluated is refused with its place; the rest is computed by COCO's rules and without a word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import DataRefused, UsageError
from tagwise.measure.coco import LIBRARIES, LibraryName
from tagwise.measure.matching import Kind, evaluate
from tests.references.coco import a_truth, drawn, goldens, need, told

need("pycocotools")

Spoil = Callable[[dict[str, Any], list[dict[str, Any]]], None]

FAULTS: list[tuple[str, Spoil, str]] = [
    ("a detection without a score", lambda _, found: found[0].pop("score"), "Detection 0 has no score"),
    ("a detection without a box", lambda _, found: found[0].pop("bbox"), "Detection 0 has no bbox"),
    (
        "a detection of an unknown picture",
        lambda _, found: found[0].update(image_id=8),
        "the image_id 8, which the truth does not list; its ids are 1, 2",
    ),
    (
        "a detection of a class counted from 0",
        lambda _, found: found[0].update(category_id=0),
        "the category_id 0, which the truth does not list; its ids are 3, 7, 90",
    ),
    ("a score that is no number", lambda _, found: found[0].update(score=float("nan")), "score nan, .* not finite"),
    ("a box that is not finite", lambda _, found: found[0].update(bbox=[0, 0, 1, np.inf]), "bbox .* not finite"),
    ("a box of three numbers", lambda _, found: found[0].update(bbox=[0, 0, 1]), "3 numbers as its bbox; it needs 4"),
    ("an object without an area", lambda truth, _: truth["annotations"][0].pop("area"), "Object 0 has no area"),
    ("an object of an unknown class", lambda truth, _: truth["annotations"][0].update(category_id=4), "Object 0"),
]


@pytest.mark.parametrize(("spoil", "message"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_what_cannot_be_evaluated_is_refused(spoil: Spoil, message: str) -> None:
    truth, found = a_truth((1, 3, [10, 10, 20, 20]), pictures=2), [told(1, 3, [10, 10, 20, 20], 0.5)]
    spoil(truth, found)
    with pytest.raises(DataRefused, match=message):
        evaluate(truth, found, "bbox")


def test_a_mask_of_another_size_than_its_picture_is_refused() -> None:
    """The libraries would say that it overlaps with nothing."""
    case = copy.deepcopy(next(case for case in goldens()["detection_cases"] if case["name"] == "mask_shift"))
    case["detections"][0]["segmentation"]["size"] = [100, 100]
    with pytest.raises(DataRefused, match=r"mask of 100 by 100 pixels \(height, width\) in a picture of 200 by 200"):
        evaluate(case["gt"], case["detections"], "segm")


@pytest.mark.parametrize("mask", [[[10, 10, 20, 10, 20, 20]], {"size": [200, 200], "counts": [0, 40000]}])
def test_a_detection_has_its_mask_as_compressed_run_lengths(mask: Any) -> None:
    case = copy.deepcopy(next(case for case in goldens()["detection_cases"] if case["name"] == "mask_shift"))
    case["detections"][0]["segmentation"] = mask
    with pytest.raises(DataRefused, match="Detection 0 has no compressed run lengths"):
        evaluate(case["gt"], case["detections"], "segm")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="the nearest is bbox"):
        evaluate(a_truth(), [], "box")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", LIBRARIES)
def test_nothing_is_printed_and_nothing_given_is_changed(
    library: LibraryName, capfd: pytest.CaptureFixture[str]
) -> None:
    need(library)
    cases: list[tuple[Any, Any, Kind]] = [(*drawn(0), "bbox")]
    cases += [(case["gt"], case["detections"], case["iou_type"]) for case in goldens()["detection_cases"][-2:]]
    for truth, found, kind in cases:
        before = copy.deepcopy((truth, found))
        evaluate(truth, found, kind, library=library)
        assert (truth, found) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_object_of_id_0_can_be_found(library: LibraryName) -> None:
    """Pycocotools itself takes a match with it for none."""
    need(library)
    truth = a_truth((1, 3, [10, 10, 20, 20]))
    assert truth["annotations"][0]["id"] == 0
    found = evaluate(truth, [told(1, 3, [10, 10, 20, 20], 0.5)], "bbox", library=library)
    assert found.recalls_TKAM[:, 0, 0, -1].tolist() == [1.0] * 10


@pytest.mark.parametrize("library", LIBRARIES)
def test_l11_oks_of_the_golden_case(library: LibraryName) -> None:
    """It is found up to just this overlap."""
    need(library)
    case = goldens()["keypoints"]
    at = [case["oks"] - 1e-6, case["oks"] + 1e-6]
    found = evaluate(
        case["gt"], case["detections"], "keypoints", library=library, overlaps=at, sigmas=case["sigmas"], by_size=False
    )
    assert found.recalls_TKAM[:, 0, 0, -1].tolist() == [1.0, 0.0]
