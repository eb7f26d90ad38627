"""What a training changes: the net, its optimiser, and what both remember; one step at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tagwise.nets import freeze_norms, synchronise_norms
from tagwise.nets.grammar import ResidualNet
from tagwise.training.losses import LossSettings, LossValue, Truth, chunked_tag_loss, tag_loss, truth_of
from tagwise.training.optim import build_optimiser
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks

CHUNKED_LABELS = 100_000
"""From so many labels on the logits take more memory than most nets, and are never all alive."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Learner:
    """A net that learns by a plan, in this process and in all others alike.

    Args:
        net: On its device; changed in place.
        plan: How.
        ranks: The processes that share each batch.
        weights_V: What each label's part of the loss is multiplied by; None: 1.
        memory_format: Of pictures and filters.
    """

    def __init__(
        self,
        net: ResidualNet,
        plan: Plan,
        ranks: Ranks,
        weights_V: Tensor | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.net, self.memory_format = net, memory_format
        net.to(memory_format=memory_format)
        if plan.norms == "synchronised":
            synchronise_norms(net)
        elif plan.norms == "frozen":
            freeze_norms(net)
        net.set_grad_checkpointing(plan.recompute)
        self._plan, self._ranks = plan, ranks
        self._judged: nn.Module = _Judged(net, plan, weights_V)
        if plan.compiled:
            self._judged.compile()
        if ranks.world > 1:
            self._judged = DistributedDataParallel(self._judged)
        self._optimiser = build_optimiser(net, plan)
        # timm's LAMB learns from the mean over the labels; its epsilon and the length it clips to are told for that.
        summed = plan.optimiser == "lamb" and plan.loss != "softmax"
        self._loss_scale = 1 / net.num_classes if summed else 1.0
        device = next(net.parameters()).device
        self._scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "float16")
        self._mean = {name: tensor.clone() for name, tensor in net.state_dict().items()} if plan.ema else None

    def step(self, images_BCHW: Tensor, truth: Truth, rate: float) -> tuple[Tensor, Tensor]:
        """One step of the optimiser.

        Args:
            images_BCHW: This process's part of the batch.
            truth: Its labels.
            rate: Learning rate.

        Returns:
            Mean loss of the part, and the least that any net could reach on it; 0 of a part without pictures.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        loss, floor = self._backward(images_BCHW, truth)
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

    def model(self) -> ResidualNet:
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
        share, side = self._ranks.share(self._plan.batch), self._plan.view.resolution
        device = next(self.net.parameters()).device
        blank_BCHW = torch.zeros(share, 3, side, side, device=device).contiguous(memory_format=self.memory_format)
        ids, offsets = torch.zeros(share, dtype=torch.int64, device=device), torch.arange(share + 1, device=device)
        with torch.random.fork_rng(devices=[]):
            self.step(blank_BCHW, truth_of(self._plan.loss, ids, offsets), rate=0.0)

    def _backward(self, images_BCHW: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
        share = self._ranks.share(self._plan.batch)
        sums = torch.zeros(2, device=images_BCHW.device)
        slices = images_BCHW.tensor_split(self._plan.accumulate)
        first = 0
        for number, part_BCHW in enumerate(slices, 1):
            own = truth if len(slices) == 1 else truth.of_pictures(first, len(part_BCHW))
            with self._silent(number < len(slices)):
                loss, floor = self._judged(part_BCHW, own)
                # Pictures that could not be read leave their part of the batch empty.
                self._scaler.scale(loss * (self._loss_scale * len(part_BCHW) / share)).backward()
            sums += torch.stack([loss.detach(), floor]) * len(part_BCHW)
            first += len(part_BCHW)
        mean = sums / max(truth.batch, 1)
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


class _Judged(nn.Module):
    """A net with its loss: what processes share is the gradient of one forward pass."""

    def __init__(self, net: ResidualNet, plan: Plan, weights_V: Tensor | None) -> None:
        super().__init__()
        self.net = net
        self._settings = LossSettings(
            kind=plan.loss, label_smoothing=plan.label_smoothing, focus=plan.focus, weights_V=weights_V
        )
        self._dtype = _DTYPES[plan.precision]

    def forward(self, images_BCHW: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
        device = images_BCHW.device.type
        with torch.autocast(device, self._dtype, enabled=self._dtype != torch.float32):
            if not truth.batch:  # none could be read; other processes wait for its norms and gradients all the same
                nothing = self.net(images_BCHW).float().sum()
                return nothing, nothing.detach()
            if self.net.num_classes > CHUNKED_LABELS:
                features_BD = F.dropout(self.net.embed(images_BCHW), self.net.design.dropout, self.training)
                value: LossValue = chunked_tag_loss(self._settings, features_BD, self.net.fc, truth)
                return value.mean, value.floor
            logits_BV = self.net(images_BCHW)
        value = tag_loss(self._settings, logits_BV, truth)
        return value.mean, value.floor
