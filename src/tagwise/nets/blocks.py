"""Residual blocks: a shortcut plus a branch of two or three convolutions.

Module names are torchvision's (``conv1, bn1, ..., downsample``); blocks with selective kernels
have timm's, which keep a convolution and its norm in one module.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets.attention import SelectiveKernel, SplitAttention, SqueezeExcitation, conv_norm
from tagwise.nets.design import Design
from tagwise.nets.dropblock import DropBlock
from tagwise.nets.norms import FrozenNorm, PooledNorm


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


@dataclass(frozen=True, kw_only=True)
class BlockPlace:
    """Where in a net a block stands, and what follows from it."""

    stage: int
    """Counted from 0."""
    in_channels: int
    stride: int = 1
    shrinks: bool = False
    """Whether it strides, or would if its stage did not dilate instead."""
    first_dilation: int = 1
    """Of the block's first 3x3 convolution."""
    dilation: int = 1
    """Of its other one, in basic blocks."""
    drop: float = 0.0
    """Probability that its branch is dropped while training."""
    first: bool = False
    """Whether it is the net's first."""


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


class NoShortcut(nn.Module):
    """Zero, whatever comes in: the block is its branch alone."""

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """A zero of the maps' type."""
        return maps_BCHW.new_zeros(())


class Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, design: Design, place: BlockPlace) -> None:
        super().__init__()
        channels = design.channels[place.stage]
        self.conv1, self.bn1, self.act1 = _spatial(design, place, place.in_channels, channels, place.stride)
        self.dropblock1, self.dropblock2 = (_drop_block(design, place) for _ in range(2))
        self.conv2, self.bn2 = _with_norm(design, _conv3x3(channels, channels, dilation=place.dilation))
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, place)
        self.drop = StochasticDepth(place.drop)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        branch = self.act1(self.dropblock1(self.bn1(self.conv1(maps_BCHW))))
        branch = self.se(self.dropblock2(self.bn2(self.conv2(branch))))
        return F.relu(self.drop(branch) + self.downsample(maps_BCHW), inplace=True)


class Bottleneck(nn.Module):
    """A 1x1, a grouped or attended 3x3, and a 1x1 convolution; form C of Xie et al. 2017, figure 3."""

    def __init__(self, design: Design, place: BlockPlace) -> None:
        super().__init__()
        width, channels = design.widths[place.stage], design.channels[place.stage]
        narrow = width // design.reduce_first
        stride1 = place.stride if design.stride_at == "1x1" else 1
        stride2 = place.stride if design.stride_at == "3x3" else 1
        self.conv1, self.bn1 = _with_norm(design, _conv1x1(place.in_channels, narrow, stride1))
        self.act1 = nn.ReLU(inplace=True)
        self.dropblock1, self.dropblock2, self.dropblock3 = (_drop_block(design, place) for _ in range(3))
        self.avd_first = _average(design, place) if design.stride_at == "avd_first" else nn.Identity()
        self.conv2, self.bn2, self.act2 = _spatial(design, place, narrow, width, stride2)
        self.avd_last = _average(design, place) if design.stride_at == "avd_last" else nn.Identity()
        self.conv3, self.bn3 = _with_norm(design, _conv1x1(width, channels))
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, place)
        self.drop = StochasticDepth(place.drop)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        branch = self.avd_first(self.act1(self.dropblock1(self.bn1(self.conv1(maps_BCHW)))))
        branch = self.avd_last(self.act2(self.dropblock2(self.bn2(self.conv2(branch)))))
        branch = self.se(self.dropblock3(self.bn3(self.conv3(branch))))
        return F.relu(self.drop(branch) + self.downsample(maps_BCHW), inplace=True)


class PreActivation(nn.Module):
    """Norm and ReLU before each convolution, basic or bottleneck (He et al. 2016b, figure 4e).

    Where the shape changes, and in the net's first block, the first activation also feeds the
    shortcut (the paper's appendix, and its code); elsewhere the shortcut is the untouched input.
    """

    def __init__(self, design: Design, place: BlockPlace) -> None:
        super().__init__()
        width, channels = design.widths[place.stage], design.channels[place.stage]
        if design.block == "basic":
            convs = [
                _conv3x3(place.in_channels, channels, place.stride, dilation=place.first_dilation),
                _conv3x3(channels, channels, dilation=place.dilation),
            ]
        else:
            stride1, stride2 = (place.stride, 1) if design.stride_at == "1x1" else (1, place.stride)
            convs = [
                _conv1x1(place.in_channels, width, stride1),
                _conv3x3(width, width, stride2, groups=design.cardinality, dilation=place.first_dilation),
                _conv1x1(width, channels),
            ]
        for number, conv in enumerate(convs, 1):
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.in_channels))
            self.add_module(f"conv{number}", conv)
        self.se = _excitation(design, channels)
        self.downsample = _shortcut(design, place, norm=False)
        self.drop = StochasticDepth(place.drop)
        self.convs = len(convs)
        self.shares_activation = place.first or not isinstance(self.downsample, nn.Identity)

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


def _conv3x3(in_channels: int, channels: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, dilation, dilation, groups=groups, bias=False)


def _with_norm(design: Design, conv: nn.Conv2d) -> tuple[nn.Module, nn.Module]:
    """A convolution and its norm; one module and nothing in nets with selective kernels."""
    if design.attention is not None and design.attention.kind == "sk":
        return conv_norm(conv), nn.Identity()
    return conv, nn.BatchNorm2d(conv.out_channels)


def _spatial(
    design: Design, place: BlockPlace, in_channels: int, channels: int, stride: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The 3x3 convolution, its norm and its ReLU, or the attention that holds all three."""
    attention, groups, dilation = design.attention, design.cardinality, place.first_dilation
    if attention is None or attention.kind == "se":
        conv = _conv3x3(in_channels, channels, stride, groups, dilation)
        return conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    hidden = attention.hidden(channels)
    norm = FrozenNorm if design.attention_norm == "frozen" else PooledNorm
    attended: nn.Module
    if attention.kind == "split":
        attended = SplitAttention(
            channels,
            hidden=hidden,
            radix=attention.radix,
            cardinality=groups,
            stride=stride,
            dilation=dilation,
            norm=norm,
        )
    else:
        attended = SelectiveKernel(
            in_channels,
            channels,
            hidden=hidden,
            stride=stride,
            groups=groups,
            split_input=attention.split_input,
            dilation=dilation,
            norm=norm,
        )
    return attended, nn.Identity(), nn.Identity()


def _excitation(design: Design, channels: int) -> nn.Module:
    if design.attention is None or design.attention.kind != "se":
        return nn.Identity()
    attention = design.attention
    return SqueezeExcitation(channels, attention.hidden(channels), rectified=attention.rectified)


def _drop_block(design: Design, place: BlockPlace) -> nn.Module:
    last_stages = place.stage >= len(design.depths) - 2
    return DropBlock(design.drop_block) if design.drop_block and last_stages else nn.Identity()


def _average(design: Design, place: BlockPlace) -> nn.Module:
    """The 3x3 average beside the 3x3 convolution; in a dilated stage the authors keep it, at stride 1."""
    if place.stride == 1 and not (place.shrinks and design.dilation_rule == "authors"):
        return nn.Identity()
    # The released weights were trained with the padding counted: without it the logits move by 6 %.
    return nn.AvgPool2d(3, place.stride, padding=1, count_include_pad=True)


def _shortcut(design: Design, place: BlockPlace, *, norm: bool = True) -> nn.Module:
    kind, in_channels, channels = design.shortcut, place.in_channels, design.channels[place.stage]
    if kind == "none":
        return NoShortcut()
    if not place.shrinks and in_channels == channels and kind != "conv_all":
        return nn.Identity()
    if kind in ("pad_end", "pad_center"):
        return PadShortcut(channels - in_channels, place.stride, center=kind == "pad_center")
    if kind == "avg":
        # Without a pool its place stays, so that the convolution keeps its index in the state dict.
        layers: list[nn.Module] = [_shortcut_pool(design, place), _conv1x1(in_channels, channels)]
    elif kind == "conv3x3" and place.shrinks:
        layers = [_conv3x3(in_channels, channels, place.stride, dilation=place.first_dilation)]
    else:
        layers = [_conv1x1(in_channels, channels, place.stride)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(channels)] if norm else []))


def _shortcut_pool(design: Design, place: BlockPlace) -> nn.Module:
    if place.stride > 1:
        return nn.AvgPool2d(place.stride, place.stride, ceil_mode=True, count_include_pad=False)
    if place.shrinks and design.dilation_rule == "timm":
        # timm pads by zeros behind and counts them.
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 1))
    return nn.Identity()
