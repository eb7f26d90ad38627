"""Scores that were published of trainings that say where things are, and whether a plan is such a training."""

from __future__ import annotations

import dataclasses
from typing import Any

from tagwise.nets.designs import find_design
from tagwise.training.plans import Plan
from tagwise.training.recipes import LOCATING

PUBLISHED: dict[str, dict[str, dict[str, str]]] = {
    "COCO val2017": {
        "resnest_faster": {
            "resnet50": "box AP 39.25",
            "resnet101": "box AP 41.37",
            "resnest50": "box AP 42.33",
            "resnest101": "box AP 44.72",
        },
        "resnest_cascade": {
            "resnet50": "box AP 42.52",
            "resnet101": "box AP 44.03",
            "resnest50": "box AP 45.41",
            "resnest101": "box AP 47.50",
            "resnest200": "box AP 49.03",
        },
        "resnest_mask": {
            "resnet50": "box AP 39.97, mask AP 36.05",
            "resnet101": "box AP 41.78, mask AP 37.51",
            "resnest50": "box AP 42.81, mask AP 38.14",
            "resnest101": "box AP 45.75, mask AP 40.65",
        },
        "resnest_cascade_mask": {
            "resnet50": "box AP 43.06, mask AP 37.19",
            "resnet101": "box AP 44.79, mask AP 38.52",
            "resnest50": "box AP 46.19, mask AP 39.55",
            "resnest101": "box AP 48.30, mask AP 41.56",
        },
        "resnest_cascade_mask_tricks": {"resnest200": "box AP 50.54, mask AP 44.21"},
        "detectron2_1x faster": {"resnet50": "box AP 37.9"},
        "detectron2_1x retina": {"resnet50": "box AP 37.4"},
        "detectron2_1x mask": {"resnet50": "box AP 38.6, mask AP 35.2"},
        "detectron2_1x cascade-mask": {"resnet50": "box AP 42.1, mask AP 36.4"},
        "detectron2_1x keypoint": {"resnet50": "box AP 53.6, keypoint AP 64.0"},
        "detectron2_3x faster": {
            "resnet50": "box AP 40.2",
            "resnet101": "box AP 42.0",
            "resnext101_32x8d": "box AP 43.0",
        },
        "detectron2_3x retina": {"resnet50": "box AP 38.7", "resnet101": "box AP 40.4"},
        "detectron2_3x mask": {
            "resnet50": "box AP 41.0, mask AP 37.2",
            "resnet101": "box AP 42.9, mask AP 38.6",
            "resnext101_32x8d": "box AP 44.3, mask AP 39.5",
        },
        "detectron2_3x cascade-mask": {"resnet50": "box AP 44.3, mask AP 38.5"},
        "detectron2_3x keypoint": {
            "resnet50": "box AP 55.4, keypoint AP 65.5",
            "resnet101": "box AP 56.4, keypoint AP 66.1",
            "resnext101_32x8d": "box AP 57.3, keypoint AP 66.0",
        },
        "torchvision_detection faster": {"resnet50": "box AP 37.0"},
        "torchvision_detection retina": {"resnet50": "box AP 36.4"},
        "torchvision_detection mask": {"resnet50": "box AP 37.9, mask AP 34.6"},
        "torchvision_detection keypoint": {"resnet50": "box AP 54.6, keypoint AP 65.0"},
    },
    "COCO val2017 with VOC's classes": {
        "torchvision_segmentation fcn": {
            "resnet50": "mean IoU 60.5, pixel accuracy 91.4",
            "resnet101": "mean IoU 63.7, pixel accuracy 91.9",
        },
        "torchvision_segmentation deeplabv3": {
            "resnet50": "mean IoU 66.4, pixel accuracy 92.4",
            "resnet101": "mean IoU 67.4, pixel accuracy 92.4",
        },
    },
    "ADE20K's validation part": {
        "encoding_ade20k fcn": {"resnest50": "mean IoU 42.94, pixel accuracy 80.18"},
        "encoding_ade20k deeplabv3": {
            "resnest50": "mean IoU 45.12, pixel accuracy 81.17",
            "resnest101": "mean IoU 46.91, pixel accuracy 82.07",
            "resnest200": "mean IoU 48.36, pixel accuracy 82.45",
            "resnest269": "mean IoU 47.60, pixel accuracy 82.62",
        },
    },
    "Pascal Context's validation part": {
        "encoding_context fcn": {"resnest50": "mean IoU 51.98, pixel accuracy 79.19"},
        "encoding_context deeplabv3": {
            "resnest50": "mean IoU 53.19, pixel accuracy 80.41",
            "resnest101": "mean IoU 56.49, pixel accuracy 81.91",
            "resnest200": "mean IoU 58.37, pixel accuracy 82.50",
            "resnest269": "mean IoU 58.92, pixel accuracy 83.06",
        },
    },
    "Cityscapes' validation part": {
        "encoding_cityscapes deeplabv3": {"resnest200": "mean IoU 82.7"},
    },
}
"""By data set, then recipe, or recipe and head, then design; backbones began from ImageNet's labels."""
_FREE = {
    *("data", "view", "judged_at", "seed", "precision", "accumulate", "recompute", "compiled"),
    *("model_of", "patience"),
}
"""Settings that follow from the data, the machine and the model to begin from, or that change no step."""
_MANY = 1_000_000
"""Pictures that are enough for any recipe's batch."""


def published_words(recipe: str, plan: Plan, pictures: int) -> str | None:
    """What was published of a recipe with a plan's head and design, and in which settings the plan is another.

    Args:
        recipe: Name of what the plan was made by.
        plan: The training, as flags left it.
        pictures: That an epoch shows.

    Returns:
        The scores, their data set, and where the backbone came from; None where nothing was published.
    """
    settings = plan.detector or plan.segmenter
    assert settings is not None
    for data, recipes in PUBLISHED.items():
        for key in (recipe, f"{recipe} {settings.kind}"):
            for design, scores in recipes.get(key, {}).items():
                if find_design(design) == plan.design:
                    head = {"head": settings.kind} if key != recipe else {}
                    others = _others(plan, recipe, pictures, head)
                    differs = f"; this plan differs: {', '.join(others)}" if others else ""
                    return f"{scores} on {data}, from ImageNet weights{differs}"
    return None


def _others(plan: Plan, recipe: str, pictures: int, head: dict[str, Any]) -> list[str]:
    """What the recipe has otherwise, by the plan's names."""
    told = {"data": plan.data, "design": plan.design, "start": plan.start, **head}
    batch = LOCATING[recipe](_MANY, **told).batch
    usual = LOCATING[recipe](pictures, batch=plan.batch, **told)
    names = [field.name for field in dataclasses.fields(Plan) if field.name not in _FREE]
    others = ["batch"] if plan.batch != batch else []
    others += [name for name in names if getattr(plan, name) != getattr(usual, name)]
    return [*(["from scratch"] if plan.start is None else []), *(f"other {name}" for name in others)]
