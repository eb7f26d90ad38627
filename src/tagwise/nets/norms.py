"""Norms that stand still or see all processes, and freezing of a net's first parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, distributed, nn

from tagwise.base.errors import UsageError
from tagwise.nets.design import Design

if TYPE_CHECKING:
    from collections.abc import Callable

    from tagwise.nets.backbone import Backbone


class PooledNorm(nn.BatchNorm2d):
    """A norm of pooled vectors; in training it needs two pictures, as each gives one value a channel."""


class FrozenNorm(nn.BatchNorm2d):
    """A norm that uses its running statistics in training too, and leaves them as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - torch's signature
        """Stays in evaluation mode."""
        return super().train(mode=False)


class _Summed(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SynchronisedNorm(nn.BatchNorm2d):
    """A norm that sees the batches of all processes on CPUs; torch's own, which DDP accepts on GPUs alone, does there.

    Outputs, running statistics and gradients of the processes' summed losses are those of one process with the
    whole batch.
    """

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to maps of the same shape; processes may have unlike numbers of pictures."""
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            normed: Tensor = super().forward(maps_BCHW)
            return normed
        summed: Callable[[Tensor], Tensor] = _Summed.apply
        maps = maps_BCHW.float()
        pixels = torch.full((1,), maps.numel() / maps.shape[1], device=maps.device)
        sums = summed(torch.cat([maps.sum((0, 2, 3)), pixels]))
        count = sums[-1].detach().clamp(min=1)  # heads see no region at all where no picture has an object
        mean = sums[:-1] / count
        variance = summed((maps - mean[:, None, None]).square().sum((0, 2, 3))) / count
        if sums[-1] > 0:
            self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (maps * scale[:, None, None] + shift[:, None, None]).to(maps_BCHW.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, unbiased: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased, momentum)


def frozen_parts(design: Design, parts: str) -> list[str]:
    """Names of the modules that ``parts`` means: ``stem``, or ``stem+2`` for the stem and the first two stages.

    Raises:
        UsageError: The design has no such parts.
    """
    stages = len(design.depths)
    match = re.fullmatch(r"stem(\+[1-9]\d*)?", parts)
    count = int(match[1] or 0) if match else -1
    if not 0 <= count <= stages:
        raise UsageError(
            f"Frozen can be 'stem', or as in 'stem+2' the stem and the first of the {stages} stages too, not {parts!r}."
        )
    return ["conv1", "bn1", *(f"layer{number}" for number in range(1, count + 1))]


def freeze(net: Backbone, parts: str) -> None:
    """Freezes parameters and norms of a net's first parts for good; ``net.train()`` leaves them frozen.

    Args:
        net: Changed in place; its optimiser is made afterwards.
        parts: As for ``frozen_parts``.

    Raises:
        UsageError: The net has no such parts.
    """
    frozen = frozen_parts(net.design, parts)
    for name, module in list(net.named_modules()):
        if name.partition(".")[0] in frozen:
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module = _frozen(module)
                net.set_submodule(name, module)
            module.requires_grad_(requires_grad=False)


def freeze_norms(net: nn.Module) -> None:
    """Leaves the norms the statistics that they have; scales and shifts go on learning, but for those of ``freeze``.

    In place, before the optimiser is made. A picture's loss no longer depends on the others of its batch.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, FrozenNorm):
            net.set_submodule(name, _frozen(module))


def synchronise_norms(net: nn.Module) -> None:
    """Lets the norms see the batches of all processes, but for frozen ones.

    In place, on the device where the net will be trained, before the optimiser is made.

    Without it each process norms by its own part of the batch, as the papers' code did.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, FrozenNorm):
            net.set_submodule(name, _synchronised(module))


def _synchronised(norm: nn.BatchNorm2d) -> SynchronisedNorm | nn.SyncBatchNorm:
    state = norm.state_dict()
    kind = nn.SyncBatchNorm if norm.running_mean is not None and norm.running_mean.is_cuda else SynchronisedNorm
    with torch.device("meta"):
        synchronised = kind(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    synchronised.load_state_dict(state, assign=True)
    return synchronised.train(norm.training)


def _frozen(norm: nn.Module) -> FrozenNorm:
    state = norm.state_dict()
    with torch.device("meta"):
        frozen = FrozenNorm(len(state["weight"]))
    frozen.load_state_dict(state, assign=True)
    return frozen
