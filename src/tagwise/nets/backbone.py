"""Stem and stages of a net, laid out from its ``Design``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.nets.blocks import Basic, BlockPlace, Bottleneck, PreActivation, last_norm
from tagwise.nets.design import Design
from tagwise.nets.norms import PooledNorm

DEFAULT_VIEW = View(resolution=224, resize=256)
"""Of nets without published weights."""


class Backbone(nn.Module):
    """Stem and stages.

    Attributes:
        design: What it was built from.
        channels: Channels of each stage's maps.
        strides: Input pixels to a pixel of each stage's maps (4, 8, 16, 32 in the ImageNet form).
        view: How pictures were shown to the published weights in it, if there are such.
    """

    view: View | None = None

    def __init__(self, design: Design, in_chans: int) -> None:
        super().__init__()
        if not isinstance(in_chans, SupportsIndex) or in_chans < 1:
            raise UsageError(f"A net has at least 1 input channel, not {in_chans!r}.")
        self.design = design
        self.channels = design.channels
        self.strides = design.reductions[1:]
        self.grad_checkpointing = False
        self.conv1 = _stem(design, in_chans)
        if not design.preactivation:
            self.bn1 = nn.BatchNorm2d(design.stem_widths[-1])
            self.act1 = nn.ReLU(inplace=True)
        self.maxpool = _stem_pool(design)
        for number, stage in enumerate(_stages(design), 1):
            self.add_module(f"layer{number}", stage)
        if design.preactivation:
            self.norm = nn.BatchNorm2d(design.channels[-1])
            self.act = nn.ReLU(inplace=True)

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """Its view under timm's keys, where ``timm.data.resolve_data_config({}, model=net)`` looks for it."""
        return timm_config(self.view)

    default_cfg = pretrained_cfg

    def stages(self) -> list[nn.Module]:
        """The stages, ``layer1`` first; each is a sequence of blocks."""
        return [stage for name, stage in self.named_children() if name.startswith("layer")]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keeps only the blocks' inputs for the backward pass, which computes the rest again.

        Memory falls, time grows by about a third; outputs, gradients and running statistics are the same.
        """
        self.grad_checkpointing = enable

    def _maps(self, images_BCHW: Tensor) -> list[Tensor]:
        """The maps of the stem, before its pool, and of every stage."""
        if self.training and images_BCHW.shape[0] == 1:
            self._refuse_one_picture(images_BCHW)
        maps_BCHW = self.conv1(images_BCHW)
        if not self.design.preactivation:
            maps_BCHW = self.act1(self.bn1(maps_BCHW))
        maps = [maps_BCHW]
        maps_BCHW = self.maxpool(maps_BCHW)
        for stage in self.stages():
            maps_BCHW = self._through(stage, maps_BCHW)
            maps.append(maps_BCHW)
        if self.design.preactivation and len(maps) > len(self.design.depths):
            maps[-1] = self.act(self.norm(maps[-1]))
        return maps

    def _through(self, stage: nn.Module, maps_BCHW: Tensor) -> Tensor:
        if not (self.grad_checkpointing and self.training and torch.is_grad_enabled()):
            output: Tensor = stage(maps_BCHW)
            return output
        for block in stage.children():
            maps_BCHW = checkpoint(block, maps_BCHW, use_reentrant=False, context_fn=_only_once(block))
        return maps_BCHW

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

    def _refuse_one_picture(self, images_BCHW: Tensor) -> None:
        if any(isinstance(module, PooledNorm) and module.training for module in self.modules()):
            raise UsageError(
                "This net's attention normalises pooled vectors over the batch and cannot train on one picture; "
                'give --batch at least 2 a rank, or build the net with attention_norm="frozen".'
            )
        one_pixel = self.design.reductions[len(self.stages())]
        if self.design.stem_pool == "ceil":  # Caffe's pool rounds odd sides down, the others up
            one_pixel += self.design.stem_stride
        if max(images_BCHW.shape[2:]) <= one_pixel and any(norm.training for norm in self._last_norms()):
            raise UsageError(
                "This net's last maps of so small a picture are single pixels, and its norms cannot train on one; "
                f"give --batch at least 2 a rank, pictures above {one_pixel} pixels, or freeze the norms."
            )

    def _last_norms(self) -> list[nn.Module]:
        """Those that see the last maps, without synchronised ones, which see other processes' too."""
        last = [module for name, module in self.named_children() if name in ("norm", f"layer{len(self.stages())}")]
        return [norm for module in last for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)]


def timm_config(view: View | None) -> dict[str, Any]:
    """A view under timm's keys; without one that of nets without published weights."""
    view = view or DEFAULT_VIEW
    return {
        "input_size": (3, view.resolution, view.resolution),
        "interpolation": view.interpolation,
        "mean": view.mean,
        "std": view.std,
        "crop_pct": view.crop_fraction * view.resolution / view.resize,
        "crop_mode": "border" if view.fit == "pad" else "center",
    }


def _stem(design: Design, in_channels: int) -> nn.Module:
    """The stem's convolutions; the norm and ReLU after the last are the net's ``bn1`` and ``act1``."""
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
    kind = Basic if design.block == "basic" else Bottleneck
    places = _places(design)
    for depth in design.depths:
        blocks = ((PreActivation if design.preactivation else kind)(design, next(places)) for _ in range(depth))
        yield nn.Sequential(*blocks)


def _places(design: Design) -> Iterator[BlockPlace]:
    """Where each block stands, from the first to the last."""
    # Every second pixel of a dilated stage is to be what the striding one gives: what comes after
    # the stride sees the new dilation, and the first 3x3 comes after it if the 1x1 strides.
    late = design.stride_at != "1x1" and design.dilation_rule != "detectron2"
    in_channels, number, last = design.stem_widths[-1], 0, max(sum(design.depths) - 1, 1)
    for stage, depth in enumerate(design.depths):
        before, dilation = design.dilations[stage : stage + 2]
        for position in range(depth):
            first = position == 0
            yield BlockPlace(
                stage=stage,
                in_channels=in_channels,
                stride=design.reductions[stage + 1] // design.reductions[stage] if first else 1,
                shrinks=first and design.strides[stage] > 1,
                first_dilation=before if first and late else dilation,
                dilation=dilation,
                drop=design.stochastic_depth * number / last,
                first=number == 0,
            )
            in_channels = design.channels[stage]
            number += 1


def _only_once(block: nn.Module) -> Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
    """Contexts of a block's first and second computation: the second leaves running statistics alone."""

    @contextmanager
    def second() -> Iterator[None]:
        norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(norms, before, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count

    return lambda: (nullcontext(), second())
