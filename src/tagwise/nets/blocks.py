"""Residual blocks: a shortcut plus a branch of two or three convolutions.

Module names are torchvision's (``conv1, bn1, ..., downsample``); blocks with selective kernels
have timm's, which keep a convolution and its norm in one module.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets.attention import SelectiveKernel, SplitAttention, SqueezeExcitation, conv_norm
from tagwise.nets.design import Design


class StochasticDepth(nn.Module):
    """Drops the whole branch of a picture while training (Huang et al. 2016).

    Args:
        probability: Of a drop, 0 to 1; what is kept is scaled so that the expectation stays.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch_BCHW: Tensor) -> Tensor:
        """The branch, zero for the dropped pictures; in evaluation the branch itself."""
        if not self.training or self.probability == 0:
            return branch_BCHW
        kept_fraction = 1 - self.probability
        kept = torch.rand(branch_BCHW.shape[0], 1, 1, 1, device=branch_BCHW.device) < kept_fraction
        return branch_BCHW * (kept.to(branch_BCHW.dtype) / max(kept_fraction, 1e-12))


class PadShortcut(nn.Module):
    """Option A of He et al. 2016: every ``stride``-th pixel, and zeros for the new channels.

    Args:
        new_channels: How many channels of zeros.
        stride: Pixels from one kept pixel to the next.
        center: Half the zeros before the old channels (akamaster's), else all after (fb.resnet.torch's).
    """

    def __init__(self, new_channels: int, stride: int, *, center: bool) -> None:
        super().__init__()
        self.stride = stride
        before = new_channels // 2 if center else 0
        self.padding = (0, 0, 0, 0, before, new_channels - before)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to [B, C + new_channels, H / stride, W / stride]."""
        return F.pad(maps_BCHW[:, :, :: self.stride, :: self.stride], self.padding)


class Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, design: Design, stage: int, in_channels: int, stride: int, drop: float) -> None:
        super().__init__()
        channels = design.channels[stage]
        self.conv1, self.bn1, self.act1 = _spatial(design, in_channels, channels, stride)
        self.conv2, self.bn2 = _with_norm(design, _conv3x3(channels, channels))
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, in_channels, channels, stride)
        self.drop = StochasticDepth(drop)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        branch = self.act1(self.bn1(self.conv1(maps_BCHW)))
        branch = self.se(self.bn2(self.conv2(branch)))
        return F.relu(self.drop(branch) + self.downsample(maps_BCHW), inplace=True)


class Bottleneck(nn.Module):
    """A 1x1, a grouped or attended 3x3, and a 1x1 convolution; form C of Xie et al. 2017, figure 3."""

    def __init__(self, design: Design, stage: int, in_channels: int, stride: int, drop: float) -> None:
        super().__init__()
        width, channels = design.widths[stage], design.channels[stage]
        narrow = width // design.reduce_first
        stride1 = stride if design.stride_at == "1x1" else 1
        stride2 = stride if design.stride_at == "3x3" else 1
        self.conv1, self.bn1 = _with_norm(design, _conv1x1(in_channels, narrow, stride1))
        self.act1 = nn.ReLU(inplace=True)
        self.avd_first = _pool(stride if design.stride_at == "avd_first" else 1)
        self.conv2, self.bn2, self.act2 = _spatial(design, narrow, width, stride2)
        self.avd_last = _pool(stride if design.stride_at == "avd_last" else 1)
        self.conv3, self.bn3 = _with_norm(design, _conv1x1(width, channels))
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, in_channels, channels, stride)
        self.drop = StochasticDepth(drop)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        branch = self.avd_first(self.act1(self.bn1(self.conv1(maps_BCHW))))
        branch = self.avd_last(self.act2(self.bn2(self.conv2(branch))))
        branch = self.se(self.bn3(self.conv3(branch)))
        return F.relu(self.drop(branch) + self.downsample(maps_BCHW), inplace=True)


class PreActivation(nn.Module):
    """Norm and ReLU before each convolution, basic or bottleneck (He et al. 2016b, figure 4e).

    Where the shape changes, and in the net's first block, the first activation also feeds the
    shortcut (the paper's appendix, and its code); elsewhere the shortcut is the untouched input.
    """

    def __init__(self, design: Design, stage: int, in_channels: int, stride: int, drop: float, *, first: bool) -> None:
        super().__init__()
        width, channels = design.widths[stage], design.channels[stage]
        if design.block == "basic":
            convs = [_conv3x3(in_channels, channels, stride), _conv3x3(channels, channels)]
        else:
            stride1, stride2 = (stride, 1) if design.stride_at == "1x1" else (1, stride)
            convs = [
                _conv1x1(in_channels, width, stride1),
                _conv3x3(width, width, stride2, groups=design.cardinality),
                _conv1x1(width, channels),
            ]
        for number, conv in enumerate(convs, 1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.in_channels))
            self.add_module(f"conv{number}", conv)
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, in_channels, channels, stride, norm=False)
        self.drop = StochasticDepth(drop)
        self.convs = len(convs)
        self.shares_activation = first or not isinstance(self.downsample, nn.Identity)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        branch = F.relu(self.get_submodule("bn1")(maps_BCHW))
        shortcut: Tensor = self.downsample(branch if self.shares_activation else maps_BCHW)
        branch = self.get_submodule("conv1")(branch)
        for number in range(2, self.convs + 1):
            branch = F.relu(self.get_submodule(f"bn{number}")(branch), inplace=True)
            branch = self.get_submodule(f"conv{number}")(branch)
        total: Tensor = shortcut + self.drop(self.se(branch))
        return total


def last_norm(block: nn.Module) -> nn.BatchNorm2d:
    """The norm whose weight, set to zero, silences the block's branch."""
    norms = [
        module
        for name, module in block.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not name.startswith("downsample")
    ]
    return norms[-1]


def _conv1x1(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, stride, bias=False)


def _conv3x3(in_channels: int, channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, padding=1, groups=groups, bias=False)


def _with_norm(design: Design, conv: nn.Conv2d) -> tuple[nn.Module, nn.Module]:
    """A convolution and its norm; one module and nothing in nets with selective kernels."""
    if design.attention is not None and design.attention.kind == "sk":
        return conv_norm(conv), nn.Identity()
    return conv, nn.BatchNorm2d(conv.out_channels)


def _spatial(design: Design, in_channels: int, channels: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The 3x3 convolution, its norm and its ReLU, or the attention that holds all three."""
    attention, groups = design.attention, design.cardinality
    if attention is None or attention.kind == "se":
        conv = _conv3x3(in_channels, channels, stride, groups)
        return conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    hidden = attention.hidden(channels)
    attended: nn.Module
    if attention.kind == "split":
        attended = SplitAttention(channels, hidden=hidden, radix=attention.radix, cardinality=groups, stride=stride)
    else:
        attended = SelectiveKernel(
            in_channels, channels, hidden=hidden, stride=stride, groups=groups, split_input=attention.split_input
        )
    return attended, nn.Identity(), nn.Identity()


def _excitation(design: Design, channels: int) -> nn.Module:
    if design.attention is None or design.attention.kind != "se":
        return nn.Identity()
    return SqueezeExcitation(channels, design.attention.hidden(channels))


def _pool(stride: int) -> nn.Module:
    # The released weights were trained with the padding counted: without it the logits move by 6 %.
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=True) if stride > 1 else nn.Identity()


def _shortcut(design: Design, in_channels: int, channels: int, stride: int, *, norm: bool = True) -> nn.Module:
    kind = design.shortcut
    if stride == 1 and in_channels == channels and kind != "conv_all":
        return nn.Identity()
    if kind in ("pad_end", "pad_center"):
        return PadShortcut(channels - in_channels, stride, center=kind == "pad_center")
    if kind == "avg":
        # Without a stride the place stays, so that the convolution keeps its index in the state dict.
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        layers: list[nn.Module] = [pool, _conv1x1(in_channels, channels)]
    elif kind == "conv3x3" and stride > 1:
        layers = [_conv3x3(in_channels, channels, stride)]
    else:
        layers = [_conv1x1(in_channels, channels, stride)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(channels)] if norm else []))
