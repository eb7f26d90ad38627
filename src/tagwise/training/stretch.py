"""What a training sums up between two lines of its log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

NEVER = 2**62
"""A step that does not come."""


@dataclass
class Stretch:
    """Sums since the last log line; they are part of a checkpoint."""

    loss: Tensor
    excess: Tensor
    sick: Tensor
    """The first step whose loss was no number."""
    steps: int = 0
    waited: float = 0.0
    """Seconds without pictures to learn from."""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time that its steps took."""
        return max(time.monotonic() - self.began, 1e-9)

    def state(self) -> dict[str, Any]:
        """On the CPU, for a checkpoint."""
        sums = {name: getattr(self, name).cpu() for name in ("loss", "excess", "sick")}
        return {**sums, "steps": self.steps, "waited": self.waited, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's."""
        for name in ("loss", "excess", "sick"):
            getattr(self, name).copy_(state[name])
        self.steps, self.waited = state["steps"], state["waited"]
        self.began = time.monotonic() - state["seconds"]

    @classmethod
    def on(cls, device: torch.device) -> Stretch:
        """An empty one whose sums lie there."""
        zero = torch.zeros((), device=device)
        return cls(loss=zero, excess=zero.clone(), sick=torch.full((), NEVER, device=device))
