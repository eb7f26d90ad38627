"""What a design costs: parameters, multiply-adds, activations, counted without memory on the meta device."""

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


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a net costs at one size of picture."""

    parameters: int
    """Learned numbers, the classifier's included."""
    macs: Macs
    """Multiply-adds of one picture's forward pass."""
    activations: int
    """Numbers that the convolutions, norms and linear layers give for one picture."""

    @property
    def activation_bytes(self) -> int:
        """The activations in float32; training keeps about as much of a picture for the backward pass."""
        return 4 * self.activations


def count_parameters(design: Design, num_classes: int = 1000) -> int:
    """Learned numbers of the net, its classifier included."""
    return _parameters(_meta_net(design, num_classes))


def count_macs(design: Design, height: int, width: int, num_classes: int = 1000) -> Macs:
    """Multiply-adds for one RGB picture of ``height`` x ``width`` pixels."""
    return count_costs(design, height, width, num_classes).macs


def count_costs(design: Design, height: int, width: int, num_classes: int = 1000) -> Costs:
    """All of a net's costs for one RGB picture of ``height`` x ``width`` pixels, in one pass."""
    net = _meta_net(design, num_classes).eval()
    parameters = _parameters(net)
    outputs, macs = _layers(net, height, width)
    attention = sum(count for name, count in macs.items() if name.rpartition(".")[2] in _ATTENTION_LAYERS)
    total = Macs(total=sum(macs.values()), attention=attention)
    return Costs(parameters=parameters, macs=total, activations=sum(outputs.values()))


def _layers(net: ResidualNet, height: int, width: int) -> tuple[dict[str, int], dict[str, int]]:
    """Outputs of each layer, and multiply-adds of those that have any; the net loses its norms."""
    outputs: dict[str, int] = {}
    macs: dict[str, int] = {}
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(_counter(outputs, name))
            module.register_forward_hook(_counter(macs, name, math.prod(module.weight.shape[1:])))
        elif isinstance(module, nn.BatchNorm2d):
            # What a norm gives is as large as what it gets, and norms take nine tenths of the time on meta.
            instead = nn.Identity()
            instead.register_forward_hook(_counter(outputs, name))
            net.set_submodule(name, instead)
    with torch.inference_mode():
        net(torch.empty(1, 3, height, width, device="meta"))
    return outputs, macs


def _parameters(net: ResidualNet) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _meta_net(design: Design, num_classes: int) -> ResidualNet:
    with torch.device("meta"):
        return build(design, num_classes=num_classes)


def _counter(counts: dict[str, int], name: str, each: int = 1) -> Any:
    """A hook that counts ``each`` for every number of the output; a filter's every number is one product."""

    def count(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        counts[name] = output.numel() * each

    return count
