"""Which parameters decay, and the optimiser over them; clipping is the loop's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tagwise.nets.backbone import Backbone
from tagwise.training.plans import Plan

WEIGHTED = (nn.Conv2d, nn.Linear)


def build_optimiser(net: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The plan's optimiser over what is to be trained; the loop sets its rate before each step."""
    groups = parameter_groups(net, plan)
    if plan.optimiser == "lamb":
        return Lamb(groups, momentum=plan.momentum)
    # Fused: one pass over memory instead of four.
    nesterov = plan.nesterov and plan.momentum > 0
    return torch.optim.SGD(groups, lr=0.0, momentum=plan.momentum, nesterov=nesterov, fused=True)


def parameter_groups(net: nn.Module, plan: Plan) -> list[dict[str, Any]]:
    """What decays, and what does not: norms and biases, unless all of the net decays.

    The parameter's role decides, which is its module's type, never its name: a filter by names decays
    norms that stand in a plain sequence.
    """
    trunk = _trunk(net)
    weights = {id(module.weight) for module in net.modules() if isinstance(module, WEIGHTED)}
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    decayed = [p for p in parameters if plan.decay_on == "all" or id(p) in weights]
    kept = {id(parameter) for parameter in decayed}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for parameter in parameters:
        decay = plan.weight_decay if id(parameter) in kept else 0.0
        factor = 1.0 if id(parameter) in trunk else plan.head_rate
        groups.setdefault((decay, factor), []).append(parameter)
    return [
        {"params": members, "weight_decay": decay, "rate_factor": factor} for (decay, factor), members in groups.items()
    ]


def _trunk(net: nn.Module) -> set[int]:
    """The backbone's parameters, without a classifier."""
    trunks = [module for module in net.modules() if isinstance(module, Backbone)]
    return {id(value) for trunk in trunks for name, value in trunk.named_parameters() if not name.startswith("fc.")}


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al. 2020, arXiv 1904.00962, algorithm 2): Adam's direction, as long as the tensor that it moves.

    As in the programs that ResNets were trained with, what does not decay is moved by Adam's step as it is.

    Args:
        groups: Parameters with their ``weight_decay``.
        momentum: Decay of the running mean of gradients.
        second: Decay of the running mean of their squares.
        epsilon: Added to the root of the latter.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, momentum: float = 0.9, second: float = 0.999, epsilon: float = 1e-6
    ) -> None:
        defaults = {"lr": 0.0, "momentum": momentum, "second": second, "epsilon": epsilon, "steps": 0}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        assert closure is None, "the loop has no use for one"
        for group in self.param_groups:
            group["steps"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * self._direction(parameter, group))

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["mean"].lerp_(parameter.grad, 1 - group["momentum"])
        state["square"].mul_(group["second"]).addcmul_(parameter.grad, parameter.grad, value=1 - group["second"])
        mean_share, square_share = (1 - group[name] ** group["steps"] for name in ("momentum", "second"))
        root = state["square"].sqrt().div_(math.sqrt(square_share)).add_(group["epsilon"])
        direction: Tensor = (state["mean"] / mean_share).div_(root)
        if not group["weight_decay"]:
            return direction
        direction.add_(parameter, alpha=group["weight_decay"])
        lengths = parameter.norm(), direction.norm()
        usable = (lengths[0] > 0) & (lengths[1] > 0)
        return direction.mul_(torch.where(usable, lengths[0] / lengths[1], 1.0))
