"""Channel attention: squeeze-and-excitation, selective kernels, split attention.

Module names are those of the published state dicts, so that weights copy straight over.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets.norms import FrozenNorm, PooledNorm

PooledNormType = type[PooledNorm] | type[FrozenNorm]


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate that sees all channels' means (Hu et al. 2018, section 3).

    Args:
        channels: Channels coming in and going out.
        hidden: Channels of the gate's hidden layer.
        rectified: The maps go through a ReLU first.
    """

    def __init__(self, channels: int, hidden: int, *, rectified: bool = False) -> None:
        super().__init__()
        self.rectified = rectified
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to maps of the same shape."""
        if self.rectified:
            maps_BCHW = F.relu(maps_BCHW)
        pooled = maps_BCHW.mean((2, 3), keepdim=True)
        return maps_BCHW * torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))


class _KernelChoice(nn.Module):
    """Softmax weights over the kernels, for each channel; from [B, K, C, H, W] to [B, K, C, 1, 1]."""

    def __init__(self, channels: int, hidden: int, norm: PooledNormType) -> None:
        super().__init__()
        self.fc_reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = norm(hidden)
        self.fc_select = nn.Conv2d(hidden, 2 * channels, 1, bias=False)

    def forward(self, stacked: Tensor) -> Tensor:
        pooled = stacked.sum(1).mean((2, 3), keepdim=True)
        scores: Tensor = self.fc_select(F.relu(self.bn(self.fc_reduce(pooled)), inplace=True))
        return _split(scores, 2).softmax(1)


class SelectiveKernel(nn.Module):
    """A 3x3 and a dilated (5x5) convolution, weighed channel by channel (Li et al. 2019, section 3.1).

    Args:
        in_channels: Channels coming in; even where ``split_input``.
        channels: Channels going out.
        hidden: Channels of the attention's hidden layer.
        stride: Of both convolutions.
        groups: Of both convolutions.
        split_input: The first kernel sees the first half of the channels, the second the other.
        dilation: Of the 3x3 convolution; the other's is twice that.
        norm: Of the attention's hidden layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int,
        stride: int,
        groups: int,
        split_input: bool,
        dilation: int = 1,
        norm: PooledNormType = PooledNorm,
    ) -> None:
        super().__init__()
        self.split_input = split_input
        seen = in_channels // 2 if split_input else in_channels
        self.paths = nn.ModuleList(
            conv_norm(
                nn.Conv2d(seen, channels, 3, stride, padding=reach, dilation=reach, groups=groups, bias=False)
            ).append(nn.ReLU(inplace=True))
            for reach in (dilation, 2 * dilation)
        )
        self.attn = _KernelChoice(channels, hidden, norm)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, in_channels, H, W] to [B, channels, H / stride, W / stride]."""
        inputs = maps_BCHW.chunk(2, 1) if self.split_input else (maps_BCHW, maps_BCHW)
        stacked = torch.stack([path(seen) for path, seen in zip(self.paths, inputs, strict=True)], 1)
        weights: Tensor = self.attn(stacked)
        return (stacked * weights).sum(1)


class SplitAttention(nn.Module):
    """A grouped 3x3 convolution into ``radix`` splits and their attended sum (Zhang et al. 2022, section 3).

    The convolution's channels are radix-major (r, k, j): split, group, channel in the group. The
    grouped ``fc2`` gives its scores cardinality-major (k, r, j), hence the transposition, which
    nets of one group cannot miss and all others must not.

    Args:
        channels: Channels in and out.
        hidden: Channels of the attention's hidden layer, a multiple of ``cardinality``.
        radix: Splits, at least 1; one split is gated by a sigmoid.
        cardinality: Groups.
        stride: Of the 3x3 convolution.
        dilation: Of the 3x3 convolution.
        norm: Of the attention's hidden layer.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        radix: int,
        cardinality: int,
        stride: int = 1,
        dilation: int = 1,
        norm: PooledNormType = PooledNorm,
    ) -> None:
        super().__init__()
        self.radix = radix
        self.cardinality = cardinality
        splits = channels * radix
        groups = cardinality * radix
        self.conv = nn.Conv2d(channels, splits, 3, stride, dilation, dilation, groups=groups, bias=False)
        self.bn0 = nn.BatchNorm2d(splits)
        self.fc1 = nn.Conv2d(channels, hidden, 1, groups=cardinality)
        self.bn1 = norm(hidden)
        self.fc2 = nn.Conv2d(hidden, splits, 1, groups=cardinality)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to [B, C, H / stride, W / stride]."""
        splits = _split(F.relu(self.bn0(self.conv(maps_BCHW)), inplace=True), self.radix)
        pooled = splits.sum(1).mean((2, 3), keepdim=True)
        scores: Tensor = self.fc2(F.relu(self.bn1(self.fc1(pooled)), inplace=True))
        return (splits * self._weights(scores)).sum(1)

    def _weights(self, scores: Tensor) -> Tensor:
        """Scores [B, K*R*C/K, 1, 1] to weights [B, R, C, 1, 1]."""
        if self.radix == 1:
            return scores.sigmoid().unsqueeze(1)
        channels = scores.shape[1] // (self.cardinality * self.radix)
        by_group = scores.view(scores.shape[0], self.cardinality, self.radix, channels)
        return by_group.transpose(1, 2).softmax(1).flatten(2)[..., None, None]


def _split(maps_BCHW: Tensor, parts: int) -> Tensor:
    """Maps [B, parts * C, H, W] to [B, parts, C, H, W]."""
    batch, channels, height, width = maps_BCHW.shape
    return maps_BCHW.reshape(batch, parts, channels // parts, height, width)


def conv_norm(conv: nn.Conv2d) -> nn.Sequential:
    """A convolution and its norm as one module, with timm's names ``conv`` and ``bn``."""
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(conv.out_channels)))
