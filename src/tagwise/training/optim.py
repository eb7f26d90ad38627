"""Which parameters decay, and the optimiser over them."""

from __future__ import annotations

import torch
from torch import nn

WEIGHTED = (nn.Conv2d, nn.Linear)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups by the parameter's role: weights of convolutions and linear layers decay, all else does not.

    Roles are the types of the modules, never names: a filter by names decays norms that stand in
    a plain sequence.
    """
    decayed = {id(module.weight) for module in net.modules() if isinstance(module, WEIGHTED)}
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]


def build_sgd(net: nn.Module, *, weight_decay: float, momentum: float) -> torch.optim.SGD:
    """SGD with Nesterov momentum, fused: one pass over memory instead of four."""
    groups = parameter_groups(net, weight_decay)
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=momentum > 0, fused=True)
