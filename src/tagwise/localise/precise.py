"""Precise norms: running statistics taken anew from many batches, before a net is evaluated (Wu and Johnson 2021).

Running means of training lag behind the weights and weigh the last batches alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets.norms import FrozenNorm

_Norm = nn.modules.batchnorm._BatchNorm


@torch.no_grad()
def recompute_norms(net: nn.Module, batches: Iterable[Any], show: Callable[[Any], Any] | None = None) -> None:
    """Gives the norms of a net the mean and variance of all that they see of the batches.

    In place; frozen norms stay as they are. Norms use the statistics of each batch meanwhile, as in training, and
    everything else works as in evaluation: what dropout does to a variance is not part of it. Several processes
    show the same batches, or follow the first afterwards.

    Args:
        net: Any net, in either mode, which it keeps.
        batches: A few hundred, as large as in training; each is shown once.
        show: Shows the net a batch; None: ``net(batch)``.

    Raises:
        UsageError: There is no batch, or a norm sees a single value a channel, of one picture.
    """
    norms = [module for module in net.modules() if isinstance(module, _Norm) and not isinstance(module, FrozenNorm)]
    seen = {norm: _Statistics() for norm in norms}
    hooks = [norm.register_forward_pre_hook(statistics.look) for norm, statistics in seen.items()]
    modes = {module: module.training for module in net.modules()}
    none_shown = True
    try:
        net.eval()
        for norm in norms:
            norm.train()
        for batch in batches:
            (show or net)(batch)
            none_shown = False
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if none_shown:
        raise UsageError("Precise norms need pictures: there was no batch.")
    for norm, statistics in seen.items():
        statistics.write(norm)


class _Statistics:
    """Mean and summed squared deviations of each channel, merged batch by batch (Chan et al. 1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._deviations = torch.zeros((), dtype=torch.float64)

    def look(self, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        """Takes in what a norm is about to see, [B, C, ...]."""
        maps = arguments[0].float()
        count = maps.numel() // maps.shape[1]
        if count == 1:
            raise UsageError("Precise norms need more than one value a channel; give batches of at least 2 pictures.")
        if not count:
            return
        over = [axis for axis in range(maps.dim()) if axis != 1]
        variance, mean = (found.cpu().double() for found in torch.var_mean(maps, over, correction=0))
        total = self._count + count
        change = mean - self._mean
        self._deviations = self._deviations + count * variance + change**2 * (self._count * count / total)
        self._mean = self._mean + change * (count / total)
        self._count = total

    def write(self, norm: _Norm) -> None:
        """Becomes the norm's running statistics, unless it has seen nothing."""
        if self._count and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(self._mean)
            norm.running_var.copy_(self._deviations / (self._count - 1))
