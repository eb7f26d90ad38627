"""L7: the published settings of what tells where things are, number by number."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from tagwise.base.errors import UsageError
from tagwise.base.settings import digest, from_plain, to_plain
from tagwise.nets import find_design
from tagwise.training.plans import Plan
from tagwise.training.recipes import LOCATING, find_recipe
from tagwise.training.recipes.localisation import PUBLISHED, published_score
from tagwise.training.schedule import drops, learning_rate

STEP = 16
RESNEST = [name for name in LOCATING if name.startswith("resnest")]
ENCODING = [name for name in LOCATING if name.startswith("encoding")]


def plan_of(name: str, pictures: int = 10_000, **changes: Any) -> Plan:
    return LOCATING[name](pictures, **{"data": "digest", **changes})


@pytest.mark.parametrize("name", RESNEST)
def test_l7_what_all_resnest_detectors_have(name: str) -> None:
    plan = plan_of(name)
    assert plan.detector is not None
    assert (plan.batch, plan.peak_rate, plan.momentum, plan.weight_decay, plan.nesterov) == (16, 0.02, 0.9, 1e-4, False)
    assert plan.decay_on == "weights"
    assert plan.warmup_images == 1000 * STEP
    assert (plan.detector.channels, plan.detector.box_convs, plan.detector.norm) == (256, 4, "synchronised")
    assert (plan.norms, plan.precise_batches > 0) == ("synchronised", True)
    assert (plan.detector.anchor_sizes, plan.detector.anchor_ratios) == ((32, 64, 128, 256, 512), (0.5, 1, 2))
    assert plan.detector.candidates[0] == 2000
    assert plan.detector.proposals == (2000 if plan.detector.cascaded else 1000, 1000)
    assert [round(255 * value, 3) for value in plan.view.mean] == [123.68, 116.779, 103.939]
    assert [round(255 * value, 3) for value in plan.view.std] == [58.393, 57.12, 57.375]


@pytest.mark.parametrize(
    ("name", "steps", "falls", "kind"),
    [
        ("resnest_faster", 90_000, [60_000, 80_000], "faster"),
        ("resnest_cascade", 90_000, [60_000, 80_000], "cascade"),
        ("resnest_mask", 90_000, [60_000, 80_000], "mask"),
        ("resnest_cascade_mask", 90_000, [60_000, 80_000], "cascade-mask"),
        ("resnest_cascade_mask_tricks", 270_000, [240_000, 255_000], "cascade-mask"),
        ("detectron2_1x", 90_000, [60_000, 80_000], "faster"),
        ("detectron2_3x", 270_000, [210_000, 250_000], "faster"),
    ],
)
def test_l7_steps_and_where_the_rate_falls(name: str, steps: int, falls: list[int], kind: str) -> None:
    plan = plan_of(name)
    assert plan.detector is not None
    assert (plan.steps, plan.detector.kind) == (steps, kind)
    assert [drop // STEP for drop in drops(plan)] == falls
    for number, fall in enumerate(falls, start=1):
        assert learning_rate(plan, fall * STEP) == pytest.approx(0.02 * 0.1**number)
        assert learning_rate(plan, fall * STEP - 1) == pytest.approx(0.02 * 0.1 ** (number - 1))


def test_l7_sizes_of_pictures() -> None:
    sizes = {name: plan.sizing for name in RESNEST if (plan := plan_of(name)).sizing}
    shown = {name: (size.shorter, size.drawn, size.longest, size.crop_fraction) for name, size in sizes.items()}
    detection = ((640, 800), "range", 1333, 1.0)
    instances = ((640, 672, 704, 736, 768, 800), "one", 1333, 1.0)
    assert shown == {
        "resnest_faster": detection,
        "resnest_cascade": detection,
        "resnest_mask": instances,
        "resnest_cascade_mask": instances,
        "resnest_cascade_mask_tricks": ((640, 864), "range", 1440, 0.9),
    }
    tricks = plan_of("resnest_cascade_mask_tricks")
    assert tricks.detector is not None
    assert tricks.detector.mask_convs == 8
    assert tricks.design == find_design("resnest200")


@pytest.mark.parametrize(
    ("name", "rate", "epochs"),
    [
        ("encoding_ade20k", 0.01, 120),
        ("encoding_cityscapes", 0.01, 240),
        ("encoding_context", 0.001, 80),
        ("encoding_coco", 0.004, 30),
        ("encoding_voc_aug", 0.001, 80),
        ("encoding_voc", 0.0001, 50),
    ],
)
@pytest.mark.parametrize("head", ["fcn", "deeplabv3"])
def test_l7_pytorch_encodings_settings(name: str, rate: float, epochs: int, head: str) -> None:
    plan = plan_of(name, head=head)
    assert plan.segmenter is not None
    assert plan.sizing is not None
    assert (plan.batch, plan.peak_rate, plan.images) == (16, pytest.approx(rate), epochs * 10_000)
    assert (plan.momentum, plan.weight_decay, plan.head_rate, plan.decay, plan.power) == (0.9, 1e-4, 10.0, "poly", 0.9)
    assert learning_rate(plan, plan.images // 2) == pytest.approx(rate * 0.5**0.9)
    assert (plan.segmenter.output_stride, plan.segmenter.auxiliary, plan.segmenter.align_corners) == (8, 0.2, True)
    assert (plan.sizing.base, plan.sizing.jitter, plan.sizing.crop, plan.sizing.mirror) == (520, (0.5, 2.0), 480, True)


def test_l7_another_batch_takes_the_rate_with_it() -> None:
    assert plan_of("resnest_faster", batch=8).peak_rate == pytest.approx(0.01)
    assert plan_of("encoding_ade20k", batch=64).peak_rate == pytest.approx(0.04)


def test_torchvisions_references() -> None:
    for head, epochs, falls, rate in (
        ("faster", 26, [16, 22], 0.02),
        ("retina", 26, [16, 22], 0.01),
        ("keypoint", 46, [36, 43], 0.02),
    ):
        plan = plan_of("torchvision_detection", head=head)
        assert (plan.images, plan.batch, plan.peak_rate) == (epochs * 10_000, 16, pytest.approx(rate))
        assert [drop // 10_000 for drop in drops(plan)] == falls


def test_what_is_frozen_is_frozen_of_a_model_alone() -> None:
    """From random weights there is nothing worth keeping."""
    for name in ("detectron2_1x", "detectron2_3x", "torchvision_detection"):
        assert (plan_of(name).norms, plan_of(name).freeze) == ("process", None)
        given = plan_of(name, start="a model")
        assert (given.norms, given.freeze) == ("frozen", "stem+1")


@pytest.mark.parametrize("name", LOCATING)
def test_a_recipe_is_a_plan_that_json_keeps(name: str) -> None:
    plan = plan_of(name)
    again = from_plain(Plan, json.loads(json.dumps(to_plain(plan))), "plan.json")
    assert again == plan
    assert digest(again) == digest(plan)
    assert plan.task == "locate"
    first = (inspect.getdoc(LOCATING[name]) or "").split("\n")[0]
    assert first.endswith(".")
    assert 30 < len(first) <= 120


def test_every_published_score_is_of_a_recipe_and_a_design_that_there_are() -> None:
    for key, rows in PUBLISHED.items():
        name, _, head = key.partition(" ")
        assert plan_of(name, **({"head": head} if head else {}))
        for design, words in rows.items():
            assert find_design(design)
            assert published_score(name, head, design) == words
    assert published_score("resnest_faster", "faster", "resnest50") == "box AP 42.33"
    assert published_score("small_detection", "faster", "resnet18") is None


def test_a_recipe_of_other_things_is_refused_with_the_flag() -> None:
    with pytest.raises(UsageError, match="resnest_faster is for boxes, masks or pixels; give --head"):
        find_recipe("resnest_faster")
    with pytest.raises(UsageError, match="he_cifar is for labels of whole pictures; leave --head away"):
        find_recipe("he_cifar", locating=True)
    with pytest.raises(UsageError, match=r"no recipe 'resnest_fast'; the nearest .*resnest_faster"):
        find_recipe("resnest_fast", locating=True)
    with pytest.raises(UsageError, match="encoding_voc is for fcn, deeplabv3, not for mask"):
        plan_of("encoding_voc", head="mask")
