"""Cai and Vasconcelos 2018, as detectron2 has it (modeling/roi_heads/cascade_rcnn.py)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from tagwise.localise.cascade import CASCADE, RegionHeads, has_area, label
from tagwise.localise.foreign import from_torchvision
from tagwise.localise.pooling import RegionPooling
from tagwise.nets.designs import find_design
from tests.localise.small_detectors import build, pictures, small

OBJECT = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([2])}


def test_l4_three_stages_ask_for_more_overlap_and_finer_boxes() -> None:
    assert [stage.overlap for stage in CASCADE] == [0.5, 0.6, 0.7]
    assert [stage.weights for stage in CASCADE] == [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
    heads = build(small(kind="cascade")).roi_heads
    assert heads.stages == CASCADE
    assert len(heads.box_head) == len(heads.box_predictor) == 3
    assert all(predictor.bbox_pred.out_features == 4 for predictor in heads.box_predictor)


def test_l4_a_proposal_of_overlap_055_is_an_object_in_stage_1_and_background_in_stage_2() -> None:
    boxes_N4 = torch.tensor([[0.0, 0.0, 100.0, 55.0], [0.0, 0.0, 100.0, 65.0], [200.0, 0.0, 300.0, 100.0]])
    labels = [label(boxes_N4, OBJECT, stage.overlap).labels_N.tolist() for stage in CASCADE]
    assert labels == [[2, 2, 0], [0, 2, 0], [0, 0, 0]]
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    assert label(boxes_N4, nothing, 0.5).labels_N.tolist() == [0, 0, 0]


def test_l4_a_stage_sees_the_boxes_of_the_one_before_cut_off_from_the_gradient() -> None:
    torch.manual_seed(0)
    heads, seen = build(small(kind="cascade")).roi_heads.train(), list[list[Tensor]]()
    deltas = list[Tensor]()
    heads.box_roi_pool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    for predictor in heads.box_predictor:
        predictor.register_forward_hook(lambda _module, _inputs, outputs: deltas.append(outputs[1]))
    maps = {str(level): torch.rand(1, 32, 24 // 2**level, 24 // 2**level) for level in range(4)}
    proposals = [torch.tensor([[5.0, 6.0, 50.0, 61.0], [30.0, 10.0, 90.0, 95.0], [0.0, 0.0, 9.0, 9.0]])]
    target = {"boxes": torch.tensor([[6.0, 6.0, 48.0, 60.0]]), "labels": torch.tensor([1])}
    heads(maps, proposals, [(96, 96)], [target])
    assert len(seen) == 3
    for number in (0, 1):
        (after,) = seen[number + 1]
        assert deltas[number].requires_grad
        assert not after.requires_grad
        moved = heads.coders[number].decode_single(deltas[number].detach(), seen[number][0]).clamp(0, 96)
        assert torch.equal(after, moved[has_area(moved)])


@pytest.mark.parametrize(("kind", "share"), [("faster", 1.0), ("cascade", 1 / 3)])
def test_l4_a_third_of_each_stages_gradient_reaches_the_maps(kind: str, share: float) -> None:
    torch.manual_seed(0)
    heads = build(small(kind=kind)).roi_heads
    maps: Any = {
        str(level): torch.rand(1, 32, 24 // 2**level, 24 // 2**level, requires_grad=True) for level in range(4)
    }
    boxes = [torch.tensor([[5.0, 6.0, 50.0, 61.0], [30.0, 10.0, 90.0, 95.0]])]
    heads._predicted(0, maps, boxes)[0].sum().backward()
    scaled, weights = maps["0"].grad, heads.box_predictor[0].cls_score.weight.grad.clone()
    maps["0"].grad = None
    heads.zero_grad()
    heads.box_predictor[0](heads.box_head[0](heads.box_roi_pool(maps, boxes)))[0].sum().backward()
    whole = maps["0"].grad
    assert torch.allclose(scaled, whole * share, atol=1e-7)
    assert torch.equal(weights, heads.box_predictor[0].cls_score.weight.grad)


class _Constant(nn.Module):
    """A predictor that says the same of every region."""

    def __init__(self, logits: list[float], deltas: list[float]) -> None:
        super().__init__()
        self.logits, self.deltas = torch.tensor(logits), torch.tensor(deltas)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits.expand(len(regions), -1), self.deltas.expand(len(regions), -1)


def test_l4_scores_are_averaged_and_the_last_boxes_told() -> None:
    logits = [[0.0, 1.0, -1.0], [2.0, 0.0, 0.0], [0.0, 3.0, 0.0]]
    # To the right by a tenth of the width in each stage, in its own units.
    deltas = [[0.1 * stage.weights[0], 0.0, 0.0, 0.0] for stage in CASCADE]
    predictors = iter([_Constant(*both) for both in zip(logits, deltas, strict=True)])
    heads = RegionHeads(
        small(score_threshold=0.3),
        CASCADE,
        RegionPooling(7, (4, 8, 16, 32), aligned=False),
        nn.Flatten,
        lambda: next(predictors),
    ).eval()
    maps = {str(level): torch.rand(1, 1, 24 // 2**level, 24 // 2**level) for level in range(4)}
    (found,), losses = heads(maps, [torch.tensor([[10.0, 10.0, 30.0, 40.0]])], [(96, 96)])
    assert losses == {}
    assert found["labels"].tolist() == [1]
    assert found["scores"].item() == pytest.approx(torch.tensor(logits).softmax(1).mean(0)[1].item())
    assert torch.allclose(found["boxes"], torch.tensor([[16.0, 10.0, 36.0, 40.0]]))


def test_l4_masks_are_learnt_in_the_first_stages_regions_and_told_in_the_last_boxes() -> None:
    net = build(small(kind="cascade-mask", score_threshold=0.0))
    boxes, masked = list[list[Tensor]](), list[list[Tensor]]()
    net.roi_heads.box_roi_pool.register_forward_pre_hook(lambda _module, inputs: boxes.append(inputs[1]))
    net.roi_heads.mask_roi_pool.register_forward_pre_hook(lambda _module, inputs: masked.append(inputs[1]))
    net.train()(*pictures())
    first = {tuple(box) for box in boxes[0][0].tolist()}
    assert {tuple(box) for box in masked[0][0].tolist()} <= first
    assert len(masked[0][1]) == 0
    with torch.no_grad():
        found = net.eval()(pictures()[0])
    assert torch.equal(masked[1][0], found[0]["boxes"])


def _torchvisions() -> Any:
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 5)
    return FasterRCNN(
        backbone,
        num_classes=3,
        min_size=96,
        max_size=128,
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=40,
        rpn_post_nms_top_n_train=40,
        rpn_pre_nms_top_n_test=20,
        rpn_post_nms_top_n_test=20,
        box_batch_size_per_image=16,
        _skip_resize=True,  # in training, as ours
    )


def test_l4_one_stage_with_a_box_a_class_is_torchvisions_faster_rcnn() -> None:
    theirs = _torchvisions()
    detector = dataclasses.replace(small(), channels=256, box_width=1024, detections=100)
    ours = build(detector, find_design("resnet18"))
    ours.load_state_dict(from_torchvision(theirs.state_dict(), ours))
    losses = []
    for net in (theirs, ours):
        torch.manual_seed(1)  # of the samples of anchors and regions
        losses.append(net.train()(*pictures()))
        torch.autograd.backward(torch.stack(list(losses[-1].values())).sum())
    assert losses[0].keys() == losses[1].keys()
    for name, loss in losses[0].items():
        assert losses[1][name].item() == pytest.approx(loss.item(), rel=1e-5), name
    one, other = (net.backbone.body.conv1.weight.grad for net in (theirs, ours))
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        for found, told in zip(*(net.eval()(pictures()[0]) for net in (theirs, ours)), strict=True):
            assert torch.allclose(found["boxes"], told["boxes"], atol=1e-4)
            assert torch.equal(found["labels"], told["labels"])
            assert torch.allclose(found["scores"], told["scores"], atol=1e-5)
