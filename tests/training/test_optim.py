"""Weight decay falls on the weights of convolutions and linear layers, and on nothing else, in every design."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tagwise.nets import build, find_design
from tagwise.training.optim import build_sgd, parameter_groups

KINDS = (
    "resnet18",
    "resnet50d",
    "resnet50_msra",
    "resnet20_cifar",
    "resnet20_cifar_b",
    "resnext50_32x4d",
    "resnext29_8x64d_cifar_preact",
    "resnext20_8x4d_small",
    "wide_resnet50_2",
    "seresnet18",
    "se_resnext50_32x4d",
    "skresnet18",
    "skresnext50_32x4d",
    "resnest14",
    "resnest50_fast_1s4x24d",
    "senet154",
)
"""A design of each kind that the grammar has."""


def net_of(name: str) -> nn.Module:
    with torch.device("meta"):
        return build(find_design(name), num_classes=7)


@pytest.mark.parametrize("name", KINDS)
def test_matrices_and_filters_decay_and_vectors_do_not(name: str) -> None:
    """A norm's weight and every bias are vectors; that is the oracle, where the code asks the module's type."""
    net = net_of(name)
    decayed, free = parameter_groups(net, 0.01)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    decayed_names, free_names = ({names[id(parameter)] for parameter in group["params"]} for group in (decayed, free))  # type: ignore[attr-defined]
    assert decayed_names == {name for name, parameter in net.named_parameters() if parameter.ndim >= 2}
    assert free_names == {name for name, parameter in net.named_parameters() if parameter.ndim < 2}
    assert {name for name in free_names if not name.endswith(".bias")}, "norms have weights"


@pytest.mark.parametrize("name", KINDS)
def test_the_groups_hold_each_parameter_once(name: str) -> None:
    net = net_of(name)
    grouped = [id(p) for group in parameter_groups(net, 0.01) for p in group["params"]]  # type: ignore[attr-defined]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in net.parameters()}


def test_frozen_parameters_are_in_no_group() -> None:
    net = net_of("resnet18")
    net.requires_grad_(requires_grad=False)
    net.get_submodule("fc").requires_grad_()
    decayed, free = parameter_groups(net, 0.01)
    assert [tuple(p.shape) for p in decayed["params"]] == [(7, 512)]  # type: ignore[attr-defined]
    assert [tuple(p.shape) for p in free["params"]] == [(7,)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_nesterovs(momentum: float) -> None:
    """Two steps by hand: v = m v + g + d w; w = w - rate (g + d w + m v), the bias without decay."""
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 3.0)
    optimiser = build_sgd(layer, weight_decay=0.5, momentum=momentum)
    expected, speeds = [2.0, 3.0], [0.0, 0.0]
    for gradients in ([1.0, -1.0], [0.5, 2.0]):
        layer.weight.grad, layer.bias.grad = torch.tensor([[gradients[0]]]), torch.tensor([gradients[1]])
        for group in optimiser.param_groups:
            group["lr"] = 0.1
        optimiser.step()
        for place, decay in enumerate((0.5, 0.0)):
            pull = gradients[place] + decay * expected[place]
            speeds[place] = momentum * speeds[place] + pull
            expected[place] -= 0.1 * (pull + momentum * speeds[place])
    assert [float(layer.weight.detach()), float(layer.bias.detach())] == pytest.approx(expected, rel=1e-6)
