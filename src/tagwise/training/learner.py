"""What a training changes: the net, its optimiser, and what both remember; one step at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tagwise.training.optim import build_optimiser
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import Part, Task


class Learner:
    """A net that learns by a plan, in this process and in all others alike.

    Args:
        task: The net, which is changed in place, and its loss.
        plan: How.
        ranks: The processes that share each batch.
    """

    def __init__(self, task: Task, plan: Plan, ranks: Ranks) -> None:
        self.task, self._plan, self._ranks = task, plan, ranks
        self.net = task.net
        self._judged = task.judged
        if plan.compiled:
            self._judged.compile()
        if ranks.world > 1:
            self._judged = DistributedDataParallel(self._judged)
        self._optimiser = build_optimiser(self.net, plan)
        device = next(self.net.parameters()).device
        self._scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "float16")
        self._mean = {name: tensor.clone() for name, tensor in self.net.state_dict().items()} if plan.ema else None

    def step(self, parts: list[Part], rate: float) -> tuple[Tensor, Tensor]:
        """One step of the optimiser.

        Args:
            parts: This process's share of the batch.
            rate: Learning rate.

        Returns:
            Mean loss of the share, and the least that any net could reach on it; 0 of a share without pictures.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["rate_factor"]
        self._optimiser.zero_grad(set_to_none=True)
        loss, floor = self._backward(parts)
        if self._plan.clip_norm is not None:
            self._scaler.unscale_(self._optimiser)
            nn.utils.clip_grad_norm_(self.net.parameters(), self._plan.clip_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._remember()
        return loss, floor

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "net": self.net.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "mean": self._mean,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what ``state`` gave."""
        if self._ranks.world > 1:
            self._settle_buckets()
        self.net.load_state_dict(state["net"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        for name, tensor in (self._mean or {}).items():
            tensor.copy_(state["mean"][name])

    def result(self) -> dict[str, Tensor]:
        """The state dict that becomes the model: the weights, or their running mean where the plan has one."""
        return self.net.state_dict() if self._mean is None else self._mean

    def model(self) -> nn.Module:
        """A copy of the net with ``result``, the same in all processes, whose norms have seen unlike pictures."""
        net = deepcopy(self.net)
        net.load_state_dict(self.result())
        self._ranks.follow_first(net.buffers())
        return net.eval()

    @property
    def finite(self) -> bool:
        """Whether all weights are numbers, and float16's gradients too: with those that are none no step is taken."""
        # The scale begins at 65,536 and is halved whenever a gradient is no number.
        return self._scaler.get_scale() >= 1 and all(bool(weight.isfinite().all()) for weight in self.net.parameters())

    def _settle_buckets(self) -> None:
        """A step on blank pictures, of which ``restore`` leaves nothing.

        DDP arranges gradients anew after its first backward pass. In which order three or more processes add up
        a gradient depends on its place, so a run that goes on begins with the places that the others have ended with.
        """
        with torch.random.fork_rng(devices=[]):
            self.step(self.task.blank(), rate=0.0)

    def _backward(self, parts: list[Part]) -> tuple[Tensor, Tensor]:
        share = self._ranks.share(self._plan.batch)
        sums = torch.zeros(2, device=next(self.net.parameters()).device)
        for number, part in enumerate(parts, 1):
            with self._silent(number < len(parts)):
                loss, floor = self._judged(*part.inputs)
                # Pictures that could not be read leave their part of the batch empty.
                self._scaler.scale(loss * (self.task.loss_scale * part.pictures / share)).backward()
            sums += torch.stack([loss.detach(), floor]) * part.pictures
        mean = sums / max(sum(part.pictures for part in parts), 1)
        return mean[0], mean[1]

    def _silent(self, more: bool) -> AbstractContextManager[None]:
        """Gradients meet those of other processes with the last slice alone."""
        if more and isinstance(self._judged, DistributedDataParallel):
            context: AbstractContextManager[None] = self._judged.no_sync()
            return context
        return nullcontext()

    def _remember(self) -> None:
        if self._mean is None or self._plan.ema is None:
            return
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point():
                self._mean[name].lerp_(tensor, 1 - self._plan.ema)
            else:
                self._mean[name].copy_(tensor)
