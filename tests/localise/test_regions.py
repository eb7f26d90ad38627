from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.localise.regions import build_detector
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import build as build_net
from tagwise.nets.norms import FrozenNorm, SynchronisedNorm
from tagwise.training.heads import DETECTORS, Sizing
from tests.localise.small_detectors import SIZING, SMALL, VIEW, build, pictures, small, step

LOSSES = {
    "faster": {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
    "retina": {"classification", "bbox_regression"},
}
LOSSES["mask"] = LOSSES["faster"] | {"loss_mask"}
LOSSES["keypoint"] = LOSSES["faster"] | {"loss_keypoint"}
LOSSES["cascade"] = {
    *(f"loss_{part}_stage{number}" for number in (1, 2, 3) for part in ("classifier", "box_reg")),
    *("loss_objectness", "loss_rpn_box_reg"),
}
LOSSES["cascade-mask"] = LOSSES["cascade"] | {"loss_mask"}


@pytest.mark.parametrize("kind", DETECTORS)
def test_l1_a_step_of_every_detector_has_finite_losses_and_gradients_everywhere(kind: str) -> None:
    torch.manual_seed(0)
    net = build(small(kind=kind, score_threshold=0.0), find_design("resnet18"))
    losses = step(net)
    assert losses.keys() == LOSSES[kind]
    assert all(math.isfinite(loss) for loss in losses.values())
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())
    with torch.no_grad():
        found = net.eval()(pictures()[0])
    assert [len(one["boxes"]) for one in found] == [5, 5]
    for one, (height, width) in zip(found, ((96, 96), (80, 96)), strict=True):
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"][:, 2:] <= torch.tensor([width, height]) + 1e-3).all()
        assert (one["scores"].diff() <= 0).all()
        if kind.endswith("mask"):
            assert one["masks"].shape == (5, 1, height, width)
        if kind == "keypoint":
            assert one["keypoints"].shape == (5, 3, 3)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnest14", "skresnet18", "se_resnet18", "plain18"])
def test_l1_a_step_on_other_members_of_the_family(name: str) -> None:
    assert all(math.isfinite(loss) for loss in step(build(small(), find_design(name))).values())


def test_pictures_without_any_object_train() -> None:
    images, targets = pictures()
    for kind in DETECTORS:
        net = build(small(kind=kind, norm="synchronised", box_convs=1))
        losses = net.train()([images[1]] * 2, [targets[1]] * 2)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        assert all(loss.isfinite() for loss in losses.values())
        assert all(value.isfinite().all() for value in net.state_dict().values())
        assert all(value.grad is not None for value in net.parameters())


def test_norms_over_processes_that_see_no_region_keep_their_statistics(tmp_path: Path) -> None:
    norm = SynchronisedNorm(3).train()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    distributed.init_process_group("gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1)
    try:
        normed = norm(torch.zeros(0, 3, 7, 7, requires_grad=True))
        torch.autograd.backward(normed.sum())
    finally:
        distributed.destroy_process_group()
    assert normed.shape == (0, 3, 7, 7)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    assert all(value.grad is not None and not value.grad.any() for value in norm.parameters())


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("none", None),
        ("batch", nn.BatchNorm2d),
        ("synchronised", SynchronisedNorm),
        ("group", nn.GroupNorm),
        ("frozen", FrozenNorm),
    ],
)
@pytest.mark.parametrize("kind", ["mask", "retina"])
def test_l5_the_norm_stands_behind_every_convolution_of_pyramid_and_heads(
    norm: str, expected: type | None, kind: str
) -> None:
    net = build(small(kind=kind, norm=norm, box_convs=4, mask_convs=2))
    heads = [net.backbone.fpn, *net.roi_heads.box_head, net.roi_heads.mask_head] if kind == "mask" else [net.head]
    for head in heads:
        norms = [type(module) for module in head.modules() if "Norm" in type(module).__name__ and "2d" in str(module)]
        found = [module for module in head.modules() if isinstance(module, nn.BatchNorm2d | nn.GroupNorm)]
        convs = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
        last = 2 if kind == "retina" else 0  # logits and boxes
        assert len(found) == (0 if expected is None else len(convs) - last), norms
        assert all(type(module) is expected for module in found)
    assert all(math.isfinite(loss) for loss in step(net).values())


@pytest.mark.parametrize("loss", ["smooth_l1", "l1", "giou", "ciou"])
@pytest.mark.parametrize("kind", ["faster", "cascade", "retina"])
def test_l5_every_box_loss_trains_every_kind(kind: str, loss: str) -> None:
    for agnostic in (False, True):
        net = build(small(kind=kind, box_loss=loss, class_agnostic=agnostic))
        assert all(math.isfinite(value) for value in step(net).values())


def test_l5_class_agnostic_boxes_are_one_for_all_classes() -> None:
    net = build(small(class_agnostic=True, score_threshold=0.0, overlap=1.0, detections=40, proposals=(40, 10)))
    assert net.roi_heads.box_predictor[0].bbox_pred.out_features == 4
    with torch.no_grad():
        found = net.eval()(pictures()[0])[0]
    by_class = [{tuple(box.tolist()) for box in found["boxes"][found["labels"] == label]} for label in (1, 2)]
    assert by_class[0] == by_class[1]


@pytest.mark.parametrize(("convs", "layers"), [(0, 2), (4, 1)])
def test_l5_two_layers_or_four_convolutions_and_one_layer(convs: int, layers: int) -> None:
    head = build(small(box_convs=convs)).roi_heads.box_head[0]
    assert sum(isinstance(module, nn.Conv2d) for module in head.modules()) == convs
    assert sum(isinstance(module, nn.Linear) for module in head.modules()) == layers


def test_the_plans_numbers_arrive() -> None:
    detector = small(kind="mask", rpn_convs=2, anchors_sampled=32, overlap=0.4, score_threshold=0.2, aligned=True)
    detector = replace(detector, candidates=(50, 30), proposals=(40, 20))
    net = build(detector)
    assert len(net.rpn.head.conv) == 2
    assert net.rpn.fg_bg_sampler.batch_size_per_image == 32
    assert (net.rpn.pre_nms_top_n(), net.rpn.eval().post_nms_top_n()) == (50, 20)
    assert net.roi_heads.fg_bg_sampler.batch_size_per_image == 16
    heads = net.roi_heads
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.2, 0.4, 5)
    assert heads.box_roi_pool.aligned
    assert heads.mask_roi_pool.aligned


def test_pictures_are_resized_in_use_alone() -> None:
    net = build_detector(
        SMALL,
        small(),
        2,
        View(resolution=64, resize=64, mean=(0.1, 0.2, 0.3)),
        Sizing(test_shorter=64, test_longest=80),
    )
    image_CHW = torch.full((3, 48, 100), 0.5)
    sizes = {}
    for training in (True, False):
        batch, _ = net.train(training).transform([image_CHW])
        sizes[training] = (tuple(batch.image_sizes[0]), tuple(batch.tensors.shape[2:]))
    assert sizes == {True: ((48, 100), (64, 128)), False: ((38, 80), (64, 96))}
    batch, _ = net.transform([image_CHW])
    expected = (0.5 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor(VIEW.std)
    assert torch.allclose(batch.tensors[0, :, 5, 5], expected)


def test_l16_frozen_parts_stay_and_the_rest_learns() -> None:
    backbone = build_net(SMALL, num_classes=0)
    with torch.no_grad():
        backbone.train()(torch.rand(4, 3, 64, 64))  # statistics of their own
    net = build(small(), backbone=backbone, freeze="stem+1")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert all(torch.equal(before[f"backbone.body.{name}"], value) for name, value in backbone.state_dict().items())
    step(net)
    frozen = ("backbone.body.conv1.", "backbone.body.bn1.", "backbone.body.layer1.")
    for name, value in net.state_dict().items():
        changed = not torch.equal(before[name], value)
        assert changed != name.startswith(frozen), name


def test_l16_freezing_random_weights_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Random weights cannot be frozen \(stem\+1\).*--from"):
        build(small(), freeze="stem+1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"detector": {"anchor_sizes": (8, 16)}}, "5 levels and needs one anchor size above 0 for each"),
        ({"detector": {"anchor_sizes": (8, 16, 32, 64, 0)}}, "above 0"),
        ({"detector": {"anchor_ratios": ()}}, "a ratio above 0"),
        ({"num_classes": 0}, "1 class or more, not 0"),
        ({"detector": {"kind": "keypoint"}}, "how many an object has"),
        ({"num_keypoints": 3}, "faster detector tells no keypoints"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], message: str) -> None:
    detector = small(**settings.pop("detector", {}))
    with pytest.raises(UsageError, match=message):
        build_detector(SMALL, detector, settings.pop("num_classes", 2), VIEW, SIZING, **settings)


def test_three_stages_make_a_pyramid_of_four_levels() -> None:
    design = Design(block="basic", depths=(1, 1, 1), planes=(8, 16, 24), strides=(1, 2, 2), stem_widths=(8,))
    net = build(small(anchor_sizes=(8, 16, 32, 64)), design)
    assert net.backbone.strides == (4, 8, 16, 32)
    assert all(math.isfinite(loss) for loss in step(net).values())


def test_half_precision_keeps_anchors_and_proposals_in_place() -> None:
    for kind in ("cascade-mask", "retina"):
        net = build(small(kind=kind)).eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            levels = net.backbone(torch.rand(1, 3, 96, 96))
            found = net(pictures()[0])
        assert {map_BCHW.dtype for map_BCHW in levels.values()} == {torch.float32}
        assert found[0]["boxes"].dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            losses = net.train()(*pictures())
        assert all(loss.isfinite() for loss in losses.values())
