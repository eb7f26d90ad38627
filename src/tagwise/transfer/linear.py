"""A linear probe: multinomial logistic regression on frozen, standardised features."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the squared norm that the search tries."""


def linear_scores(
    train_ND: Tensor, truth_N: NDArray[np.int64], query_ND: Tensor, *, penalty: float, classes: int
) -> NDArray[np.float64]:
    """Logits of the probe that minimises mean cross-entropy + penalty / 2 * |weights|^2.

    The biases are not penalised. Features are standardised by the training part; the minimum is
    unique and found by L-BFGS in float64.

    Args:
        train_ND: float32 [N, D].
        truth_N: Class of each.
        query_ND: float32 [M, D].
        penalty: Above 0.
        classes: Number of classes.

    Returns:
        float64 [M, classes].
    """
    centre, spread = train_ND.double().mean(0), train_ND.double().std(0, correction=0)
    spread = torch.where(spread > 1e-8, spread, torch.ones_like(spread))
    inputs, truth = (train_ND.double() - centre) / spread, torch.from_numpy(truth_N)
    weight = torch.zeros(inputs.shape[1], classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(inputs @ weight + bias, truth) + penalty / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    logits = ((query_ND.double() - centre) / spread) @ weight.detach() + bias.detach()
    scores: NDArray[np.float64] = logits.numpy()
    return scores
