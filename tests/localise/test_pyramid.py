from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from tagwise.base.errors import UsageError
from tagwise.localise.pyramid import Pyramid, level_strides
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import build as build_net
from tagwise.training.heads import Detector
from tests.localise.small_detectors import SMALL, small

DESIGNS = (
    *("resnet18", "resnet34", "resnet50d", "resnet50_msra", "plain18", "wide_resnet50_2", "resnext50_32x4d"),
    *("resnext101_32x8d_wsl", "resnest50", "se_resnet50", "skresnext50_32x4d"),
)


@pytest.mark.parametrize("kind", ["faster", "retina"])
@pytest.mark.parametrize("name", DESIGNS)
def test_l1_channels_and_strides_of_the_design_are_those_of_a_forward_pass(name: str, kind: str) -> None:
    design, detector = find_design(name), Detector(kind=kind)  # type: ignore[arg-type]
    with torch.device("meta"):
        pyramid = Pyramid(design, detector).eval()
        body = pyramid.body(torch.zeros(1, 3, 256, 384))
        levels = pyramid(torch.zeros(1, 3, 256, 384))
    first = 1 if kind == "retina" else 0
    assert [map_BCHW.shape[1] for map_BCHW in body] == list(design.channels[first:])
    assert list(levels) == (["0", "1", "2", "p6", "p7"] if kind == "retina" else ["0", "1", "2", "3", "pool"])
    assert pyramid.strides == ((8, 16, 32, 64, 128) if kind == "retina" else (4, 8, 16, 32, 64))
    assert pyramid.out_channels == 256
    for map_BCHW, stride in zip(levels.values(), pyramid.strides, strict=True):
        assert map_BCHW.shape == (1, 256, 256 // stride, 384 // stride)


@pytest.mark.parametrize("kind", ["faster", "retina"])
@pytest.mark.parametrize("design", [SMALL, dataclasses.replace(SMALL, preactivation=True), find_design("resnest14")])
def test_the_backbone_keeps_its_keys_and_its_maps(design: Design, kind: str) -> None:
    detector = small(kind=kind)
    net = build_net(design, num_classes=7).eval()
    pyramid = Pyramid(net.design, detector).eval()
    pyramid.load_backbone(net)
    assert {f"fc.{part}" for part in ("weight", "bias")} == net.state_dict().keys() - pyramid.body.state_dict().keys()
    images_BCHW = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = net.features(images_BCHW)[-pyramid.stages :]
        for theirs, ours in zip(maps, pyramid.body(images_BCHW), strict=True):
            assert torch.equal(theirs, ours)


def test_a_retinanets_coarsest_levels_come_from_the_pyramid_or_from_the_last_stage() -> None:
    for from_stage, channels in ((False, 32), (True, 64)):
        design = dataclasses.replace(SMALL, planes=(8, 16, 24, 64))
        pyramid = Pyramid(design, small(kind="retina", top_from_stage=from_stage))
        assert pyramid.fpn.extra_blocks.p6.in_channels == channels
    # Of equal widths, which is where torchvision's module would guess:
    pyramid = Pyramid(SMALL, small(kind="retina", top_from_stage=True)).eval()
    nn.init.zeros_(pyramid.fpn.layer_blocks[-1][0].weight)
    assert pyramid(torch.rand(1, 3, 64, 64))["p6"].abs().max() > 0


def test_designs_that_are_no_pyramid_are_refused() -> None:
    dilated = dataclasses.replace(SMALL, output_stride=8)
    with pytest.raises(UsageError, match="strides 4, 8, 8, 8; give a design without output_stride"):
        level_strides(dilated, Detector())
    one = dataclasses.replace(SMALL, depths=(1,), planes=(8,), strides=(1,))
    with pytest.raises(UsageError, match="2 stages or more, and 1"):
        level_strides(one, Detector())
    with pytest.raises(UsageError, match="multiple of 32 channels, not 24"):
        Pyramid(SMALL, small(channels=24, norm="group"))
