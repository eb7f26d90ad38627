"""The grammar of the residual family: a ``Design`` becomes a net."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets.attention import PooledNorm
from tagwise.nets.blocks import Basic, Bottleneck, PreActivation, last_norm
from tagwise.nets.design import Design

__all__ = ["Design", "ResidualNet", "build", "new_classifier"]


class ResidualNet(nn.Module):
    """A net of the residual family; use ``build``.

    Attributes:
        design: What it was built from.
        channels: Channels of each stage's maps.
        strides: Input pixels to a pixel of each stage's maps (4, 8, 16, 32 in the ImageNet form).
        fc: The classifier, a plain linear layer over the pooled vector.
    """

    def __init__(self, design: Design, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.design = design
        self.channels = design.channels
        self.strides = _total_strides(design)
        self.conv1 = _stem(design, in_channels)
        if not design.preactivation:
            self.bn1 = nn.BatchNorm2d(design.stem_widths[-1])
        self.maxpool = _stem_pool(design)
        for number, stage in enumerate(_stages(design), 1):
            self.add_module(f"layer{number}", stage)
        if design.preactivation:
            self.norm = nn.BatchNorm2d(design.channels[-1])
        self.fc = new_classifier(design.channels[-1], num_classes)
        self._initialise()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, in_channels, H, W], H and W at least 32 pixels."""
        pooled_BD = F.dropout(self.embed(images_BCHW), self.design.dropout, self.training)
        logits_BC: Tensor = self.fc(pooled_BD)
        return logits_BC

    def embed(self, images_BCHW: Tensor) -> Tensor:
        """The pooled vectors [B, channels[-1]] that the classifier reads."""
        return self.features(images_BCHW)[-1].mean((2, 3))

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of every stage, [B, channels[s], H / strides[s], W / strides[s]] rounded up.

        Raises:
            UsageError: One picture in training mode, where attention normalises over the batch.
        """
        if self.training and images_BCHW.shape[0] == 1:
            self._refuse_one_picture()
        maps_BCHW = self.conv1(images_BCHW)
        if not self.design.preactivation:
            maps_BCHW = F.relu(self.bn1(maps_BCHW), inplace=True)
        maps_BCHW = self.maxpool(maps_BCHW)
        features = []
        for stage in self.stages():
            maps_BCHW = stage(maps_BCHW)
            features.append(maps_BCHW)
        if self.design.preactivation:
            features[-1] = F.relu(self.norm(features[-1]))
        return features

    def stages(self) -> list[nn.Module]:
        """The stages, ``layer1`` first; each is a sequence of blocks."""
        return [self.get_submodule(f"layer{number}") for number in range(1, len(self.design.depths) + 1)]

    def _initialise(self) -> None:
        """He's normal weights by fan-out, groups not divided out; norms 1 and 0; ``fc`` as torch makes it.

        Runs after everything is made, so that nothing refills the zeroed norms.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if self.design.zero_init_last:
            for stage in self.stages():
                for block in stage.children():
                    nn.init.zeros_(last_norm(block).weight)

    def _refuse_one_picture(self) -> None:
        if any(isinstance(module, PooledNorm) and module.training for module in self.modules()):
            raise UsageError(
                "This net's attention normalises pooled vectors over the batch and cannot train on one "
                "picture; give --batch at least 2 a rank, or set its norms to evaluation."
            )


def build(design: Design, *, num_classes: int = 1000, in_channels: int = 3) -> ResidualNet:
    """A freshly initialised net; random numbers come from torch's current generator.

    Raises:
        UsageError: There is no class or no input channel.
    """
    if in_channels < 1:
        raise UsageError(f"A net has at least 1 input channel, not {in_channels}.")
    return ResidualNet(design, num_classes, in_channels)


def new_classifier(features: int, num_classes: int) -> nn.Linear:
    """A fresh linear layer from pooled vectors [B, features] to logits [B, num_classes].

    Raises:
        UsageError: There is no class.
    """
    if num_classes < 1:
        raise UsageError(f"A net has at least 1 class, not {num_classes}.")
    return nn.Linear(features, num_classes)


def _stem(design: Design, in_channels: int) -> nn.Module:
    """The stem's convolutions; the norm and ReLU after the last are the net's ``bn1``."""
    kernel, layers = design.stem_kernel, list[nn.Module]()
    stride = design.stem_stride
    for width in design.stem_widths:
        if layers:
            layers += [nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, bias=False))
        in_channels, stride = width, 1
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _stem_pool(design: Design) -> nn.Module:
    if design.stem_pool is None:
        return nn.Identity()
    ceil = design.stem_pool == "ceil"
    return nn.MaxPool2d(3, 2, padding=0 if ceil else 1, ceil_mode=ceil)


def _stages(design: Design) -> Iterator[nn.Sequential]:
    in_channels, number, last = design.stem_widths[-1], 0, max(sum(design.depths) - 1, 1)
    for stage, depth in enumerate(design.depths):
        blocks = []
        for position in range(depth):
            stride = design.strides[stage] if position == 0 else 1
            drop = design.stochastic_depth * number / last
            blocks.append(_block(design, stage, in_channels, stride, drop, first=number == 0))
            in_channels = design.channels[stage]
            number += 1
        yield nn.Sequential(*blocks)


def _block(design: Design, stage: int, in_channels: int, stride: int, drop: float, *, first: bool) -> nn.Module:
    if design.preactivation:
        return PreActivation(design, stage, in_channels, stride, drop, first=first)
    kind = Basic if design.block == "basic" else Bottleneck
    return kind(design, stage, in_channels, stride, drop)


def _total_strides(design: Design) -> tuple[int, ...]:
    total = design.stem_stride * (1 if design.stem_pool is None else 2)
    return tuple(total := total * stride for stride in design.strides)
