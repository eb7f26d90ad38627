"""L7: the published settings of what tells where things are, number by number."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tagwise import cli
from tagwise.base.errors import UsageError
from tagwise.base.settings import digest, from_plain, to_plain
from tagwise.localise.showing import fitted_size
from tagwise.nets import find_design
from tagwise.training.plans import Plan
from tagwise.training.recipes import LOCATING, find_recipe
from tagwise.training.schedule import drops, learning_rate
from tests.localise.drawn_target import write_target
from tests.references.coco import need

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
    assert (plan.batch, plan.images) == (16, epochs * 10_000)
    assert plan.peak_rate == pytest.approx(rate)
    assert (plan.momentum, plan.weight_decay, plan.head_rate, plan.decay, plan.power) == (0.9, 1e-4, 10.0, "poly", 0.9)
    assert learning_rate(plan, plan.images // 2) == pytest.approx(rate * 0.5**0.9)
    assert (plan.segmenter.output_stride, plan.segmenter.auxiliary, plan.segmenter.align_corners) == (8, 0.2, True)
    assert (plan.sizing.base, plan.sizing.jitter, plan.sizing.crop, plan.sizing.mirror) == (520, (0.5, 2.0), 480, True)
    for height, width in ((300, 400), (1000, 700), (520, 100)):
        assert max(fitted_size(height, width, plan.sizing.test_shorter, plan.sizing.test_longest)) == 520


@pytest.mark.parametrize(
    ("design", "epochs"), [("resnest50", 120), ("resnest101", 180), ("resnest200", 180), ("resnest269", 120)]
)
def test_l7_deeper_resnests_learn_ade20k_for_longer(design: str, epochs: int) -> None:
    """PyTorch-Encoding's commands: ``--epochs 180`` for 101 and 200 layers, the usual 120 for the others."""
    for told in (design, find_design(design)):
        assert plan_of("encoding_ade20k", design=told).images == epochs * 10_000
        assert plan_of("encoding_context", design=told).images == 80 * 10_000
    assert plan_of("encoding_ade20k", design=design, images=500).images == 500


@pytest.mark.parametrize(
    ("head", "proposals", "loss"),
    [
        ("faster", 1000, ("l1",)),
        ("retina", 1000, ("l1",)),
        ("mask", 1000, ("l1",)),
        ("cascade-mask", 2000, ("l1",)),
        ("keypoint", 1500, ("smooth_l1", 0.5)),
    ],
)
def test_detectron2s_configs_of_each_head(head: str, proposals: int, loss: tuple[Any, ...]) -> None:
    """``Base-RCNN-FPN``, ``Base-RetinaNet`` (``SMOOTH_L1_LOSS_BETA: 0.0``), ``Base-Keypoint-RCNN-FPN``, ``Misc``."""
    detector = plan_of("detectron2_1x", head=head).detector
    assert detector is not None
    assert detector.proposals == (proposals, 1000)
    assert (detector.box_loss, detector.box_beta)[: len(loss)] == loss


@pytest.mark.parametrize("name", [*RESNEST, "detectron2_1x", "detectron2_3x", "torchvision_detection"])
@pytest.mark.parametrize("batch", [2, 16])
def test_detectors_rates_rise_from_a_thousandth_of_the_peak_at_any_batch(name: str, batch: int) -> None:
    """Detectron2's ``WARMUP_FACTOR``, torchvision's ``warmup_factor``."""
    plan = plan_of(name, batch=batch)
    assert learning_rate(plan, 0) == pytest.approx(plan.peak_rate / 1000)
    assert plan_of(name, batch=batch, warmup_rate=0.0).warmup_rate == 0


def test_a_retinanets_rate_rises_from_a_thousandth_too() -> None:
    assert plan_of("detectron2_1x", head="retina").warmup_rate == pytest.approx(1e-5)


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
        assert (plan.images, plan.batch) == (epochs * 10_000, 16)
        assert plan.peak_rate == pytest.approx(rate)
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


def test_a_recipe_of_other_things_is_refused_with_the_flag() -> None:
    with pytest.raises(UsageError, match="resnest_faster is for boxes, masks or pixels; give --head"):
        find_recipe("resnest_faster")
    with pytest.raises(UsageError, match="he_cifar is for labels of whole pictures; leave --head away"):
        find_recipe("he_cifar", locating=True)
    with pytest.raises(UsageError, match=r"no recipe 'resnest_fast'; the nearest .*resnest_faster"):
        find_recipe("resnest_fast", locating=True)
    with pytest.raises(UsageError, match="encoding_voc is for fcn, deeplabv3, not for mask"):
        plan_of("encoding_voc", head="mask")


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target with a batch of pictures."""
    need("pycocotools")
    return write_target(tmp_path_factory.mktemp("target") / "shapes", train=16, val=2)


RESNEST_TOLD = {
    "net": "norm synchronised",
    "learning rate": "0.02 = 0.32 per 256 x 16 / 256; warm-up 16,000 pictures from 2e-05",
    "pictures seen": "90,000 steps of 16",
    "optimiser": "SGD, momentum 0.9, weight decay 0.0001 on weights, not on norms and biases",
    "anchors": "32, 64, 128, 256, 512;",
}
ONE_OF_SIX = {"pictures": "shorter side 640, 672, 704, 736, 768, 800, longer at most 1333"}
CONTEXT = {"pictures seen": "80.0 epochs", "published": "mean IoU 51.98, pixel accuracy 79.19 on Pascal Context"}
FOR_180 = {"pictures seen": "180.0 epochs", "published": "mean IoU 48.36, pixel accuracy 82.45"}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            "--head faster --recipe resnest_faster",
            {**RESNEST_TOLD, "pictures": "shorter side 640 to 800, longer at most 1333", "published": "box AP 42.33"},
        ),
        (
            "--head cascade --recipe resnest_cascade",
            {**RESNEST_TOLD, "net": "box_convs 4, box_loss l1, class_agnostic True"},
        ),
        ("--head mask --recipe resnest_mask", {**RESNEST_TOLD, **ONE_OF_SIX}),
        (
            "--head cascade-mask --recipe resnest_cascade_mask_tricks",
            {
                "net": "mask_convs 8",
                "pictures": "shorter side 640 to 864, longer at most 1440, sides cut to 0.9 or more",
                "pictures seen": "270,000 steps of 16",
                "learning rate": "after 3,840,000, 4,080,000 pictures",
                "published": "box AP 50.54, mask AP 44.21 on COCO val2017, from ImageNet weights",
            },
        ),
        (
            "--head faster --recipe resnest_faster --batch 8",
            {
                "learning rate": "0.01 = 0.32 per 256 x 8 / 256; warm-up 16,000 pictures from 1e-05",
                "published": "this plan differs: from scratch, other batch",
            },
        ),
        (
            "--head deeplabv3 --recipe encoding_ade20k",
            {
                "net": "auxiliary 0.2, align_corners True",
                "pictures": "longer side 520 x 0.5 to 2, crops of 480, mirrored; in use longer side 520",
                "pictures seen": "120.0 epochs",
                "learning rate": "0.01 = 0.16 per 256 x 16 / 256; to 0 by the power 0.9 of the share that is left",
                "optimiser": "SGD, momentum 0.9, weight decay 0.0001",
                "published": "mean IoU 45.12, pixel accuracy 81.17 on ADE20K's validation part, from ImageNet weights",
            },
        ),
        ("--head deeplabv3 --recipe encoding_ade20k --design resnest200", FOR_180),
        ("--head fcn --recipe encoding_context", {"learning rate": "0.001 = 0.016 per 256", **CONTEXT}),
    ],
)
def test_l7_a_dry_run_prints_the_published_numbers(
    sixteen: Path, flags: str, told: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = sixteen.parent / "run"
    assert cli.run(["train", str(sixteen), *flags.split(), "--device", "cpu", "--dry-run", "-o", str(out)]) == 0
    lines = [re.split(r" {2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    facts = {line[0]: line[1] for line in lines if len(line) == 2}
    assert {name: words for name, words in told.items() if words not in facts[name]} == {}
    assert not out.exists()
