"""DropBlock: units dropped in squares while training (Ghiasi et al. 2018)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 3
"""Of the dropped squares, in pixels of the maps, as ResNeSt's published weights were trained."""


class DropBlock(nn.Module):
    """Drops squares of a map while training, the same ones for all pictures of the batch.

    As in the Gluon code that trained ResNeSt's published weights, but for the size of the maps,
    which is taken from the maps and not fixed when the net is built. Their squares may reach over
    the border, so that small maps lose more than ``probability``: 14 % of 7x7 pixels for 0.1.

    Args:
        probability: About the share of units that is dropped, 0 to below 1; may be set at any time.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps with dropped squares, scaled by units / kept units; in evaluation the maps themselves."""
        if not self.training or self.probability == 0:
            return maps_BCHW
        kept = draw_kept(maps_BCHW, self.probability)
        scale = kept.numel() / kept.sum().clamp(min=1)
        return maps_BCHW * (kept * scale).to(maps_BCHW.dtype)


def draw_kept(maps_BCHW: Tensor, probability: float) -> Tensor:
    """A mask [1, C, H, W] of ones and, in squares, zeros; sides shorter than a square's shorten it."""
    _, channels, height, width = maps_BCHW.shape
    rows, columns = min(SIDE, height), min(SIDE, width)
    places = (height - rows + 1) * (width - columns + 1)
    gamma = probability * height * width / (rows * columns * places)
    centres = (torch.rand(1, channels, height, width, device=maps_BCHW.device) < gamma).float()
    dropped = F.max_pool2d(centres, (rows, columns), stride=1, padding=(rows // 2, columns // 2))
    return 1 - dropped[..., :height, :width]


def set_drop_block(net: nn.Module, probability: float) -> None:
    """Sets the probability of every DropBlock of a net; the authors raise it linearly from 0 to 0.1."""
    for module in net.modules():
        if isinstance(module, DropBlock):
            module.probability = probability
