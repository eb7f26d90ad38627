"""Each error is blamed for what it is, and costs what its correction gains."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import UsageError
from tagwise.measure.coco import LIBRARIES, LibraryName, coco_library
from tagwise.measure.detection import detection_scores
from tagwise.measure.detection_errors import ERROR_KINDS, ErrorKind, detection_errors
from tagwise.measure.matching import prepare
from tests.references.coco import a_truth, drawn, goldens, need, told

need("pycocotools")

A, B, C = [10.0, 10.0, 100.0, 100.0], [200.0, 10.0, 100.0, 100.0], [10.0, 200.0, 100.0, 100.0]
NEAR_A = [10.0, 10.0, 100.0, 40.0]
"""IoU .4 with A."""

HALF, TWO_THIRDS = 51 / 101, (51 + 50 * 2 / 3) / 101
"""AP of one object of two with nothing wrong; of both with something wrong between."""


def case(*found: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Two objects of a class and one of another; what is said of the class alone counts."""
    return a_truth((1, 3, A), (1, 3, B), (1, 7, C)), [*found, told(1, 7, C, 0.9)]


RIGHT_A, RIGHT_B = told(1, 3, A, 0.9), told(1, 3, B, 0.5)

# What is told, its first error, AP50 of class 3 before, and with each kind put right where that changes it.
CASES: list[tuple[str, list[dict[str, Any]], tuple[str, ...], float, dict[ErrorKind, float]]] = [
    ("nothing is wrong", [RIGHT_A, RIGHT_B], ("right", "right"), 1, {}),
    ("one is missed", [RIGHT_A], ("right",), HALF, {"missed": 1}),
    ("all are missed", [], (), 0, {"missed": 1}),
    (
        "nothing but background",
        [told(1, 3, [300, 300, 50, 50], 0.7)],
        ("background",),
        0,
        {},  # what is left to find would come after it
    ),
    (
        "background between",
        [RIGHT_A, told(1, 3, [300, 300, 50, 50], 0.7), RIGHT_B],
        ("right", "background", "right"),
        TWO_THIRDS,
        {"background": 1},
    ),
    (
        "found twice",
        [RIGHT_A, told(1, 3, [12, 10, 100, 100], 0.7), RIGHT_B],
        ("right", "duplicate", "right"),
        TWO_THIRDS,
        {"duplicate": 1},
    ),
    (
        "off, and found by no other",
        [told(1, 3, NEAR_A, 0.9), RIGHT_B],
        ("place", "right"),
        0.5 * HALF,
        {"place": 1},
    ),
    (
        "off, and found by a better one: taken away",
        [RIGHT_A, told(1, 3, NEAR_A, 0.7), RIGHT_B],
        ("right", "place", "right"),
        TWO_THIRDS,
        {"place": 1},
    ),
    (
        "off, and found by a worse one: takes its place",
        [told(1, 3, A, 0.4), told(1, 3, NEAR_A, 0.7), RIGHT_B],
        ("right", "place", "right"),
        2 / 3,
        {"place": 1},
    ),
    (
        "off by too much",
        [told(1, 3, [10, 10, 100, 9], 0.7), RIGHT_A, RIGHT_B],
        ("background", "right", "right"),
        TWO_THIRDS,
        {"background": 1},
    ),
]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("found", "verdicts", "before", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_an_error_costs_what_its_correction_gains(
    found: list[dict[str, Any]],
    verdicts: tuple[str, ...],
    before: float,
    after: dict[ErrorKind, float],
    library: LibraryName,
) -> None:
    """The other class has AP50 1 throughout, so that half of what class 3 gains is told."""
    need(library)
    split = detection_errors(*case(*found), "bbox", library=library)
    assert split.verdicts == (*verdicts, "right")
    assert split.ap50 == pytest.approx((before + 1) / 2)
    gains = {kind: (value - before) / 2 for kind, value in after.items()}
    for kind in ERROR_KINDS:
        assert split.gains[kind] == pytest.approx(gains.get(kind, 0), abs=1e-9), kind


def test_a_wrong_class_is_put_right_in_both_classes() -> None:
    """B is said to be of class 7 and above the one that is: AP50 of 3 is 51/101, of 7 is .5."""
    split = detection_errors(*case(RIGHT_A, told(1, 7, B, 0.95)), "bbox")
    assert split.verdicts == ("right", "class", "right")
    assert split.ap50 == pytest.approx((HALF + 0.5) / 2)
    assert split.gains["class"] == pytest.approx(1 - split.ap50)
    assert split.counts == {kind: int(kind == "class") for kind in ERROR_KINDS}
    assert split.missed == ()


def test_a_wrong_class_on_an_object_that_a_better_one_finds_is_taken_away() -> None:
    split = detection_errors(*case(RIGHT_A, RIGHT_B, told(1, 7, [12, 10, 100, 100], 0.95)), "bbox")
    assert split.verdicts == ("right", "right", "class", "right")
    # Put right, it is better than the one that finds A: that one goes.
    assert split.gains["class"] == pytest.approx(1 - split.ap50)
    assert split.ap50 == pytest.approx((1 + 0.5) / 2)


@pytest.mark.parametrize(
    ("told_height", "first", "verdict"),
    [(40, None, "place"), (60, told(1, 3, A, 0.95), "class"), (9, None, "class")],
    ids=["own .4", "own .6, found before", "own .09"],
)
def test_what_overlaps_another_class_too_is_named_in_the_order_of_tides_code(
    told_height: int, first: dict[str, Any] | None, verdict: str
) -> None:
    """The detection lies in A, and covers .6 or more of another class's object."""
    box = [10.0, 10.0, 100.0, float(told_height)]
    truth = a_truth((1, 3, A), (1, 7, [10.0, 10.0, 100.0, told_height / 0.6]))
    found = [*([first] if first else []), told(1, 3, box, 0.9)]
    assert detection_errors(truth, found, "bbox").verdicts[-1] == verdict


def test_what_is_off_in_class_and_place_is_only_taken_away() -> None:
    split = detection_errors(*case(RIGHT_A, RIGHT_B, told(1, 7, [200, 10, 100, 40], 0.95)), "bbox")
    assert split.verdicts[2] == "both"
    assert split.gains["both"] == pytest.approx(0.25)


def test_crowds_forgive_their_own_class_and_are_never_missed() -> None:
    truth = a_truth((1, 3, A), (1, 3, B), crowds=(1,))
    found = [told(1, 3, A, 0.9), told(1, 3, [210, 20, 30, 30], 0.8), told(1, 7, [210, 20, 30, 30], 0.8)]
    split = detection_errors(truth, found, "bbox")
    assert split.verdicts == ("right", "ignored", "background")
    assert split.missed == ()
    assert split.ap50 == pytest.approx(1)


def test_what_comes_after_the_hundredth_of_a_class_does_not_count() -> None:
    (golden,) = (one for one in goldens()["detection_cases"] if one["name"] == "max_100")
    split = detection_errors(golden["gt"], golden["detections"], "bbox")
    assert split.verdicts.count("ignored") == 1
    assert split.counts["missed"] == 1


def test_masks_are_judged_by_their_own_overlap() -> None:
    """A triangle told by its bounding square: IoU just below .5, put right by the mask."""
    (golden,) = (one for one in goldens()["detection_cases"] if one["name"] == "mask_polygon_vs_box")
    split = detection_errors(golden["gt"], golden["detections"], "segm")
    assert split.counts["place"] == 1
    assert split.gains["place"] == pytest.approx(1 - split.ap50) == pytest.approx(0.5)


def test_nothing_to_find_gains_nothing() -> None:
    split = detection_errors(a_truth(), [], "bbox")
    assert (split.ap50, max(split.gains.values()), split.said()) == (-1.0, 0.0, "")
    with pytest.raises(UsageError, match="not of keypoints"):
        detection_errors(a_truth(), [], "keypoints")


@pytest.mark.parametrize("seed", range(6))
def test_right_and_ignored_are_those_of_pycocotools(seed: int) -> None:
    truth, found = drawn(seed, crowd_fraction=0.2)
    split = detection_errors(truth, found, "bbox")
    assert split.ap50 == pytest.approx(detection_scores(truth, found, "bbox").numbers["AP50"])
    library = coco_library("pycocotools")
    with redirect_stdout(io.StringIO()):
        run = library.evaluation(*prepare(truth, found, "bbox", library), "bbox")
        run.evaluate()
    verdicts = {}
    for one in run.evalImgs[:]:
        if one is not None and one["aRng"] == [0, 1e10]:
            for number, match, ignored in zip(one["dtIds"], one["dtMatches"][0], one["dtIgnore"][0], strict=True):
                verdicts[number - 1] = "ignored" if ignored else "right" if match else "wrong"
    ours = ["wrong" if verdict in ERROR_KINDS else verdict for verdict in split.verdicts]
    assert ours == [verdicts[number] for number in range(len(found))]


@pytest.mark.parametrize("seed", range(6))
def test_the_kinds_are_those_of_the_definition(seed: int) -> None:
    """Over all pairs of detection and object; what could be put right is not missed."""
    truth, found = drawn(seed, crowd_fraction=0)
    split = detection_errors(truth, found, "bbox")
    for told_of, verdict in zip(found, split.verdicts, strict=True):
        own, others = {-1: 0.0}, {-1: 0.0}
        for number, given in enumerate(truth["annotations"]):
            if given["image_id"] == told_of["image_id"]:
                of_class = own if given["category_id"] == told_of["category_id"] else others
                of_class[number] = overlap(told_of["bbox"], given["bbox"])
        if verdict == "right":
            assert max(own.values()) >= 0.5
        else:
            assert verdict == named(max(own.values()), max(others.values()))
        if verdict in ("class", "place"):
            reached = others if verdict == "class" else own
            assert max(reached, key=lambda number: reached[number]) not in split.missed
    reachable = sum(verdict in ("right", "class", "place") for verdict in split.verdicts)
    assert len(truth["annotations"]) - reachable <= split.counts["missed"] == len(split.missed)
    assert split.counts["missed"] <= len(truth["annotations"]) - split.verdicts.count("right")


def named(own: float, others: float) -> str:
    if 0.1 <= own < 0.5:
        return "place"
    if others >= 0.5:
        return "class"
    return "duplicate" if own >= 0.5 else "both" if others >= 0.1 else "background"


def overlap(first: list[float], second: list[float]) -> float:
    sides = [
        max(0.0, min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]))
        for axis in (0, 1)
    ]
    shared = sides[0] * sides[1]
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


@pytest.mark.parametrize("library", LIBRARIES)
def test_l18_jittered_boxes_blame_the_place_and_permuted_labels_the_class(library: LibraryName) -> None:
    need(library)
    draw = np.random.default_rng(0)
    grid = [(picture, x, y) for picture in range(1, 6) for x in (20, 150, 280) for y in (20, 150, 280)]
    truth = a_truth(*((picture, (3, 7, 90)[(x + y) % 3], [x, y, 80.0, 80.0]) for picture, x, y in grid), pictures=5)
    perfect = [
        told(given["image_id"], given["category_id"], given["bbox"], float(draw.random()))
        for given in truth["annotations"]
    ]
    assert not any(detection_errors(truth, perfect, "bbox", library=library).gains.values())

    shifts = draw.choice([-1, 1], len(perfect)) * draw.uniform(30, 50, len(perfect))
    jittered = [
        {**one, "bbox": [one["bbox"][0] + by, *one["bbox"][1:]]} for one, by in zip(perfect, shifts, strict=True)
    ]
    blamed = detection_errors(truth, jittered, "bbox", library=library)
    assert blamed.gains["place"] == pytest.approx(1 - blamed.ap50)
    assert [kind for kind in ERROR_KINDS if blamed.gains[kind] > 1e-9] == ["place"]
    assert blamed.said().startswith("+1.000 AP50: the place is off (IoU .1 to .5) (45)")

    labels = draw.permutation([one["category_id"] for one in perfect]).tolist()
    permuted = [{**one, "category_id": label} for one, label in zip(perfect, labels, strict=True)]
    blamed = detection_errors(truth, permuted, "bbox", library=library)
    assert blamed.gains["class"] == pytest.approx(1 - blamed.ap50)
    assert [kind for kind in ERROR_KINDS if blamed.gains[kind] > 1e-9] == ["class"]
