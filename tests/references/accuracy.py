"""Ranking measures in plain loops."""

from __future__ import annotations


def among_best(scores: list[float], label: int, k: int) -> bool:
    """Fewer than k others score as high."""
    return sum(other >= scores[label] for index, other in enumerate(scores) if index != label) < k


def precision_and_recall_at_k(scores: list[list[float]], truth: list[list[int]], k: int) -> tuple[float, float]:
    precisions, recalls = [], []
    for row, labels in zip(scores, truth, strict=True):
        if labels:
            hits = sum(among_best(row, label, k) for label in labels)
            precisions.append(hits / k)
            recalls.append(hits / len(labels))
    return sum(precisions) / len(precisions), sum(recalls) / len(recalls)
