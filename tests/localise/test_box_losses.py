from __future__ import annotations

from typing import get_args

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import fastrcnn_loss

from tagwise.localise.box_losses import box_loss
from tagwise.training.heads import BoxLoss, DetectorKind
from tests.localise.small_detectors import build, small, step

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
ANCHORS = torch.tensor([[10.0, 20.0, 50.0, 80.0], [0.0, 0.0, 30.0, 30.0]])
TRUTH = torch.tensor([[14.0, 22.0, 48.0, 90.0], [40.0, 0.0, 60.0, 10.0]])


@pytest.mark.parametrize("kind", get_args(BoxLoss))
def test_l5_a_box_in_its_place_costs_nothing_and_descent_brings_it_there(kind: BoxLoss) -> None:
    right = CODER.encode_single(TRUTH, ANCHORS)
    assert box_loss(kind, right, ANCHORS, TRUTH, CODER).item() == pytest.approx(0, abs=1e-4)
    deltas = torch.zeros(2, 4, requires_grad=True)
    optimiser = torch.optim.Adam([deltas], 0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss = box_loss(kind, deltas, ANCHORS, TRUTH, CODER)
        torch.autograd.backward(loss)
        optimiser.step()
    assert torch.allclose(CODER.decode_single(deltas.detach(), ANCHORS), TRUTH, atol=1.5)


def test_smooth_l1_is_torchvisions_loss_of_faster_rcnn() -> None:
    deltas, labels = torch.randn(2, 12), torch.tensor([1, 2])
    _, theirs = fastrcnn_loss(torch.zeros(2, 3), deltas, [labels], [CODER.encode_single(TRUTH, ANCHORS)])
    chosen = deltas.view(2, 3, 4)[torch.arange(2), labels]
    assert box_loss("smooth_l1", chosen, ANCHORS, TRUTH, CODER) / 2 == pytest.approx(theirs)


def test_giou_of_boxes_apart_is_one_and_the_emptiness_between_them() -> None:
    """Rezatofighi et al. 2019: 1 - IoU + (hull - union) / hull."""
    apart = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[30.0, 0.0, 40.0, 10.0]])
    loss = box_loss("giou", torch.zeros(1, 4), apart[0], apart[1], CODER)
    assert loss.item() == pytest.approx(1 + (400 - 200) / 400)


def test_no_box_costs_nothing() -> None:
    nothing = torch.zeros(0, 4, requires_grad=True)
    for kind in get_args(BoxLoss):
        loss = box_loss(kind, nothing, nothing.detach(), nothing.detach(), CODER)
        assert loss.item() == 0
        assert loss.requires_grad


def test_smooth_l1_is_a_parabola_up_to_beta_and_a_line_from_there() -> None:
    """Girshick 2015, with detectron2's beta: d^2 / (2 beta), then d - beta / 2."""
    still = CODER.encode_single(ANCHORS, ANCHORS)
    for off, costs in ((0.25, 0.25**2 / 2 / 0.5), (2.0, 2.0 - 0.25)):
        moved = still + torch.tensor([[off, 0.0, 0.0, 0.0], [0.0] * 4])
        assert box_loss("smooth_l1", moved, ANCHORS, ANCHORS, CODER, beta=0.5).item() == pytest.approx(costs)


@pytest.mark.parametrize("kind", ["faster", "retina"])
def test_a_detectors_beta_is_that_of_its_loss(kind: DetectorKind) -> None:
    """Of beta 0 smooth L1 is L1."""
    losses = []
    for settings in ({"box_loss": "l1"}, {"box_beta": 0.0}, {"box_beta": 0.5}):
        torch.manual_seed(0)
        told = step(build(small(kind=kind, **settings)))
        losses.append(next(told[name] for name in ("loss_box_reg", "bbox_regression") if name in told))
    assert losses[0] == losses[1] > losses[2]
