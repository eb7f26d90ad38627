"""What a design costs: parameters and multiply-adds, counted without memory on the meta device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tagwise.nets.design import Design
from tagwise.nets.grammar import ResidualNet, build

_ATTENTION_LAYERS = ("fc1", "fc2", "fc_reduce", "fc_select")


@dataclass(frozen=True, kw_only=True)
class Macs:
    """Multiply-adds of one forward pass of one picture.

    Counted: every convolution, ``outputs * in_channels / groups * k * k``, and the classifier. Not
    counted: biases, norms, activations, pools and element-wise work. This is what the tables of He,
    Xie and Mahajan et al. call FLOPs.
    """

    total: int
    """All of them."""
    attention: int
    """The part of ``total`` in the attention's 1x1 layers over pooled vectors."""


def count_parameters(design: Design, num_classes: int = 1000) -> int:
    """Learned numbers of the net, its classifier included."""
    return sum(parameter.numel() for parameter in _meta_net(design, num_classes).parameters())


def count_macs(design: Design, height: int, width: int, num_classes: int = 1000) -> Macs:
    """Multiply-adds for one RGB picture of ``height`` x ``width`` pixels."""
    net = _meta_net(design, num_classes).eval()
    macs: dict[str, int] = {}
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(_counter(macs, name))
        elif isinstance(module, nn.BatchNorm2d):
            # Norms are not counted, and take nine tenths of the time on the meta device.
            net.set_submodule(name, nn.Identity())
    with torch.inference_mode():
        net(torch.empty(1, 3, height, width, device="meta"))
    attention = sum(count for name, count in macs.items() if name.rpartition(".")[2] in _ATTENTION_LAYERS)
    return Macs(total=sum(macs.values()), attention=attention)


def _meta_net(design: Design, num_classes: int) -> ResidualNet:
    with torch.device("meta"):
        return build(design, num_classes=num_classes)


def _counter(macs: dict[str, int], name: str) -> Any:
    def count(module: nn.Conv2d | nn.Linear, _inputs: Any, output: Tensor) -> None:
        # A weight is [out, in / groups, *kernel]: each output value takes one product with a filter's every number.
        macs[name] = output.numel() * math.prod(module.weight.shape[1:])

    return count
