"""The nearest neighbours' vote on frozen features."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = (1, 3, 5, 10, 20)
"""What the search tries."""
BLOCK = 1024


def knn_scores(
    train_ND: Tensor, truth_N: NDArray[np.int64], query_ND: Tensor, *, k: int, classes: int
) -> NDArray[np.float64]:
    """Votes of the k nearest training vectors by cosine similarity.

    Vectors are centred on the training mean. A vote weighs ``exp(similarity / 0.07)``, as in
    Wu et al. 2018 (arXiv 1805.01978, section 3.4).

    Args:
        train_ND: float32 [N, D].
        truth_N: Class of each.
        query_ND: float32 [M, D].
        k: Neighbours that vote; at most N count.
        classes: Number of classes.

    Returns:
        Votes, float64 [M, classes].
    """
    centre = train_ND.mean(0)
    train_ND, query_ND = F.normalize(train_ND - centre, dim=1), F.normalize(query_ND - centre, dim=1)
    truth = torch.from_numpy(truth_N)
    votes = torch.zeros(len(query_ND), classes, dtype=torch.float64)
    for first in range(0, len(query_ND), BLOCK):
        block = slice(first, first + BLOCK)
        similarity, nearest = (query_ND[block] @ train_ND.T).topk(min(k, len(train_ND)), dim=1)
        votes[block].scatter_add_(1, truth[nearest], (similarity.double() / 0.07).exp())
    return votes.numpy()
