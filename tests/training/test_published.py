"""What was published of trainings that say where things are, by the publishers' own tables, and of which plans."""

from __future__ import annotations

from typing import Any

import pytest

from tagwise.base.settings import from_plain, to_plain
from tagwise.training.plans import Plan, with_settings
from tagwise.training.recipes import LOCATING
from tagwise.training.recipes.published import PUBLISHED, published_words

RESNEST = """
                       resnet50       resnet101      resnest50      resnest101     resnest200
resnest_faster         39.25          41.37          42.33          44.72          -
resnest_cascade        42.52          44.03          45.41          47.50          49.03
resnest_mask           39.97/36.05    41.78/37.51    42.81/38.14    45.75/40.65    -
resnest_cascade_mask   43.06/37.19    44.79/38.52    46.19/39.55    48.30/41.56    -
"""
"""The README of ResNeSt's detectron2: box AP, or box and mask AP."""
ENCODING = """
                            resnest50    resnest101   resnest200   resnest269
encoding_ade20k fcn         80.18/42.94  -            -            -
encoding_ade20k deeplabv3   81.17/45.12  82.07/46.91  82.45/48.36  82.62/47.60
encoding_context fcn        79.19/51.98  -            -            -
encoding_context deeplabv3  80.41/53.19  81.91/56.49  82.50/58.37  83.06/58.92
"""
"""PyTorch-Encoding's model zoo and README: pixel accuracy and mean IoU."""


def cells(table: str) -> dict[tuple[str, str], list[str]]:
    """Numbers by recipe and design."""
    head, *lines = table.strip("\n").splitlines()
    designs = head.split()
    rows = [line.rsplit(maxsplit=len(designs)) for line in lines]
    pairs = [(key.strip(), design, cell) for key, *cells in rows for design, cell in zip(designs, cells, strict=True)]
    return {(key, design): cell.split("/") for key, design, cell in pairs if cell != "-"}


def held(data: str) -> dict[tuple[str, str], str]:
    return {(key, design): words for key, rows in PUBLISHED[data].items() for design, words in rows.items()}


def plan_of(name: str, pictures: int = 10_000, **changes: Any) -> Plan:
    return LOCATING[name](pictures, **{"data": "digest", "start": "of ImageNet", **changes})


def test_l7_scores_of_resnests_detectors_are_those_of_their_authors() -> None:
    told = {key: words for key, words in held("COCO val2017").items() if key[0].startswith("resnest")}
    tricks = told.pop(("resnest_cascade_mask_tricks", "resnest200"))
    assert tricks == "box AP 50.54, mask AP 44.21"
    assert told == {
        key: f"box AP {box}" + "".join(f", mask AP {mask}" for mask in masks)
        for key, (box, *masks) in cells(RESNEST).items()
    }


def test_l7_scores_of_segmenters_are_pytorch_encodings() -> None:
    told = held("ADE20K's validation part") | held("Pascal Context's validation part")
    assert told == {key: f"mean IoU {iou}, pixel accuracy {share}" for key, (share, iou) in cells(ENCODING).items()}


def test_what_was_published_is_said_with_its_data_of_every_recipe_and_design() -> None:
    for data, recipes in PUBLISHED.items():
        for key, rows in recipes.items():
            name, _, head = key.partition(" ")
            for design, words in rows.items():
                told: dict[str, Any] = {"head": head} if head else {}
                plan = plan_of(name, design=design, **told)
                assert published_words(name, plan, 10_000) == f"{words} on {data}, from ImageNet weights"
    assert published_words("small_detection", plan_of("small_detection"), 10_000) is None
    assert published_words("resnest_faster", plan_of("resnest_faster", design="resnet18"), 10_000) is None


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"start": None}, [], "from scratch"),
        ({"batch": 8}, [], "other batch"),
        ({"images": 1_000}, [], "other images"),
        ({}, ["detector.channels=64", "weight_decay=0"], "other weight_decay, other detector"),
        ({"start": None, "batch": 4, "images": 400}, [], "from scratch, other batch, other images"),
    ],
)
def test_a_plan_that_is_another_than_the_published_one_says_in_what(
    changes: dict[str, Any], settings: list[str], said: str
) -> None:
    plan = with_settings(plan_of("resnest_faster", **changes), settings)
    words = published_words("resnest_faster", plan, 10_000)
    assert words == f"box AP 42.33 on COCO val2017, from ImageNet weights; this plan differs: {said}"


def test_what_changes_no_step_makes_no_other_plan() -> None:
    plan = with_settings(plan_of("resnest_faster", seed=5), ["accumulate=4", "recompute=true", "compiled=true"])
    again = from_plain(Plan, to_plain(plan), "plan.json")
    assert "differs" not in (published_words("resnest_faster", again, 10_000) or "differs")


def test_a_few_pictures_are_another_training_and_no_fault() -> None:
    plan = plan_of("torchvision_segmentation", 1, batch=1)
    assert (published_words("torchvision_segmentation", plan, 1) or "").endswith("this plan differs: other batch")
