"""What a predicted box costs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import complete_box_iou_loss, generalized_box_iou_loss

from tagwise.training.heads import SMOOTH_L1_BETA, BoxLoss


def box_loss(
    kind: BoxLoss,
    deltas_N4: Tensor,
    anchors_N4: Tensor,
    truth_N4: Tensor,
    coder: BoxCoder,
    beta: float = SMOOTH_L1_BETA,
) -> Tensor:
    """The summed loss of boxes, each said as what moves an anchor or proposal.

    Args:
        kind: ``smooth_l1`` and ``l1`` compare what moves the anchors; ``giou`` (Rezatofighi et al. 2019) and ``ciou``
            (Zheng et al. 2020) the boxes themselves.
        deltas_N4: Predicted: shift and logarithm of the growth, in the coder's units.
        anchors_N4: What they move; x1, y1, x2, y2 in pixels, of an area above 0.
        truth_N4: Where objects are.
        coder: From boxes to deltas and back.
        beta: Below which smooth L1 is a parabola, in the coder's units.
    """
    loss: Tensor
    if kind in ("smooth_l1", "l1"):
        wanted_N4 = coder.encode_single(truth_N4, anchors_N4)
        if kind == "l1":
            return F.l1_loss(deltas_N4, wanted_N4, reduction="sum")
        return F.smooth_l1_loss(deltas_N4, wanted_N4, reduction="sum", beta=beta)
    boxes_N4 = coder.decode_single(deltas_N4, anchors_N4)
    overlap_loss = generalized_box_iou_loss if kind == "giou" else complete_box_iou_loss
    loss = overlap_loss(boxes_N4, truth_N4, reduction="sum")
    return loss
