"""The localisation report tells what from where, and says nothing that seeds cannot show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise.localisation import (
    TRUE_BOX_ACCURACY,
    LocalisationReport,
    compare_localisation,
    numbers_of_run,
    proposal_recall,
)
from tagwise.measure.coco import LIBRARIES, LibraryName
from tagwise.measure.detection import detection_scores
from tagwise.measure.intervals import mean_interval
from tests.references.coco import a_truth, goldens, need, told

need("pycocotools")

GRID = [(picture, x, y) for picture in range(1, 5) for x in (20, 150, 280) for y in (20, 150, 280)]
TRUTH = a_truth(*((picture, (3, 7, 90)[(x + y) % 3], [x, y, 80.0, 80.0]) for picture, x, y in GRID), pictures=4)
NAMES = ("scratch", "tags")


def detections(seed: int, *, off: float = 0.02, mistaken: float = 0.1) -> list[dict[str, Any]]:
    """All objects, moved by a share of their side, and a share of them of another class."""
    draw = np.random.default_rng(seed)
    found = []
    for given in TRUTH["annotations"]:
        moved = np.array(given["bbox"])
        moved[:2] += draw.choice([-1, 1], 2) * off * 80
        other = draw.random() < mistaken
        kind = {3: 7, 7: 90, 90: 3}[given["category_id"]] if other else given["category_id"]
        found.append(told(given["image_id"], kind, moved.tolist(), float(draw.random())))
    return found


def run(seed: int, **changes: float) -> dict[str, float]:
    found = detections(seed, **changes)
    return numbers_of_run(
        [detection_scores(TRUTH, found, "bbox")],
        recall_at={threshold: proposal_recall(TRUTH, found, threshold) for threshold in (0.5, 0.75)},
    )


def report(seeds: tuple[int, ...] = (0, 1, 2), **changes: float) -> LocalisationReport:
    """Draws of the second start are others of the same seed, as its net is another."""
    first = {seed: run(seed) for seed in seeds}
    return compare_localisation(first, {seed: run(seed + 100, **changes) for seed in seeds}, names=NAMES)


def test_l18_jittered_boxes_blame_localisation() -> None:
    found = report(off=0.12, mistaken=0.1)  # IoU .63: still found at .5, lost at .75
    assert found.verdict.startswith("tags against scratch: classification unclear (box AP50 ")
    assert "the intervals overlap), localisation down (class-agnostic box AP " in found.verdict
    assert found.change("box AP75").direction == "down"
    assert found.change("proposal recall at 0.5").difference.mean == 0
    assert found.change("proposal recall at 0.75").difference.mean == -1
    assert found.ratios == {"box": None}


def test_l18_permuted_labels_blame_classification() -> None:
    found = report(off=0.02, mistaken=0.7)
    assert found.verdict.startswith("tags against scratch: classification down (box AP50 ")
    assert "localisation unclear (class-agnostic box AP " in found.verdict
    for threshold in ("0.5", "0.75"):
        assert found.change(f"proposal recall at {threshold}").difference.mean == 0
    assert found.ratios["box"] == pytest.approx(1)


def test_l18_nothing_changed_has_no_verdict() -> None:
    assert report().verdict == (
        "No verdict: the intervals of scratch and tags overlap, of box AP50 and of class-agnostic box AP."
    )


def test_fewer_than_three_seeds_have_no_verdict() -> None:
    assert report((0, 1), off=0.12).verdict == "No verdict: 2 seeds of 3 that it takes at least."
    alone = report((0,), off=0.12)
    assert alone.verdict.startswith("No verdict: 1 seed of 3")
    change = alone.change("box AP")
    assert (change.difference.sd, change.difference.low, change.direction) == (None, None, "unclear")
    assert alone.ratios == {"box": None}


def test_differences_are_taken_seed_by_seed_with_students_interval() -> None:
    """Seeds differ far more than starts do: paired, the gain shows; the starts' own intervals overlap."""
    first = {seed: {"box AP50": value, "box AP75": value - 0.1} for seed, value in ((5, 0.5), (1, 0.3), (9, 0.7))}
    second = {
        1: {"box AP50": 0.35, "box AP75": 0.22},
        5: {"box AP50": 0.56, "box AP75": 0.43},
        9: {"box AP50": 0.75, "box AP75": 0.62},
    }
    found = compare_localisation(first, second, names=NAMES)
    change = found.change("box AP50")
    gains = [0.05, 0.06, 0.05]
    assert found.seeds == (1, 5, 9)
    assert change.difference.mean == pytest.approx(np.mean(gains))
    assert change.difference.sd == pytest.approx(np.std(gains, ddof=1))
    assert (change.difference.low, change.difference.high) == pytest.approx(mean_interval(gains))
    assert (change.first.low, change.first.high) == pytest.approx(mean_interval([0.3, 0.5, 0.7]))
    assert change.direction == "unclear"
    assert found.ratios["box"] == pytest.approx((0.07 / 3) / (0.16 / 3))
    assert found.verdict == "No verdict: AP50 and class-agnostic AP are not both known of all runs."


def test_the_accuracy_in_true_boxes_says_what_where_it_is_known() -> None:
    runs = [
        {
            seed: {"box AP50": 0.5, "class-agnostic box AP": 0.4, TRUE_BOX_ACCURACY: accuracy + seed / 1000}
            for seed in range(3)
        }
        for accuracy in (0.6, 0.8)
    ]
    found = compare_localisation(runs[0], runs[1], names=NAMES)
    assert found.verdict == (
        "tags against scratch: classification up (class accuracy in true boxes 0.601 to 0.801), "
        "localisation unclear (class-agnostic box AP 0.400 to 0.400; the intervals overlap)."
    )


def test_numbers_have_the_name_of_their_part() -> None:
    masked = goldens()["detection_cases"][-1]
    keyed = goldens()["keypoints"]
    numbers = numbers_of_run(
        [
            detection_scores(masked["gt"], masked["detections"], "segm"),
            detection_scores(keyed["gt"], keyed["detections"], "keypoints"),
        ],
        true_box_accuracy=0.5,
    )
    assert numbers["mask AP75"] == pytest.approx(1)
    assert {"mask AR_100", "class-agnostic mask AP", "keypoint AP", "keypoint AR", TRUE_BOX_ACCURACY} <= {*numbers}


def test_what_a_run_could_not_measure_is_not_compared() -> None:
    runs = {seed: {"box AP": 0.5, "mask AP": -1.0} for seed in range(3)}
    found = compare_localisation(runs, runs, names=NAMES)
    assert [change.name for change in found.changes] == ["box AP"]
    with pytest.raises(UsageError, match="'mask AP' was not compared; there are box AP"):
        found.change("mask AP")
    with pytest.raises(DataRefused, match="no number in common"):
        compare_localisation(runs, {seed: {"mask AP": 0.5} for seed in range(3)}, names=NAMES)


def test_runs_of_other_seeds_are_refused() -> None:
    with pytest.raises(DataRefused, match=r"scratch was run with the seeds \[0\], tags with \[1\]"):
        compare_localisation({0: {"box AP": 0.5}}, {1: {"box AP": 0.5}}, names=NAMES)


@pytest.mark.parametrize("library", LIBRARIES)
def test_proposals_find_objects_whatever_their_class_but_no_more_than_a_hundred_count(library: LibraryName) -> None:
    need(library)
    box, other = [10.0, 10.0, 100.0, 100.0], [200.0, 10.0, 100.0, 100.0]
    truth = a_truth((1, 3, box), (1, 90, other))
    proposals = [
        {"image_id": 1, "bbox": [10.0, 10.0, 100.0, 60.0], "score": 0.9},
        {"image_id": 1, "bbox": other, "score": 0.1},
    ]
    assert proposal_recall(truth, proposals, 0.5, library=library) == 1
    assert proposal_recall(truth, proposals, 0.75, library=library) == 0.5
    empty = [{"image_id": 1, "bbox": [0.0, 300.0, 5.0, 5.0], "score": 0.5}] * 99
    assert proposal_recall(truth, [*proposals, *empty], 0.5, library=library) == 0.5
    assert proposal_recall(truth, [], 0.5, library=library) == 0
    assert proposal_recall(a_truth(), proposals, 0.5, library=library) == -1
