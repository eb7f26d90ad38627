"""Outlines as signed distances in units of the shape's radius: below zero inside.

Formulas by construction from half-planes, discs and polygons; they are exact only near the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def _disc(x: Array, y: Array, radius: float = 1.0) -> Array:
    distance: Array = np.hypot(x, y) - np.float32(radius)
    return distance


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.8)


def _folded(x: Array, y: Array, corners: int) -> tuple[Array, Array]:
    """Radius and angle after folding the plane into half of one of ``corners`` sectors."""
    sector = np.float32(2 * np.pi / corners)
    angle = np.arctan2(x, -y)
    return np.hypot(x, y), np.abs(angle - sector * np.round(angle / sector))


def _star(x: Array, y: Array, corners: int = 5, inner: float = 0.45) -> Array:
    radius, angle = _folded(x, y, corners)
    tip, valley = np.array([1.05, 0.0]), inner * np.array([np.cos(np.pi / corners), np.sin(np.pi / corners)])
    along = valley - tip
    normal = np.array([-along[1], along[0]]) / np.hypot(*along)
    px, py = radius * np.cos(angle) - np.float32(tip[0]), radius * np.sin(angle)
    return -(px * np.float32(normal[0]) + py * np.float32(normal[1]))


def _triangle(x: Array, y: Array) -> Array:
    radius, angle = _folded(x, y, 3)
    return radius * np.cos(np.float32(np.pi / 3) - angle) - np.float32(0.55)


def _polygon(*corners: tuple[float, float]) -> Callable[[Array, Array], Array]:
    def distance(x: Array, y: Array) -> Array:
        nearest = np.full_like(x, np.inf)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            ex, ey = np.float32(bx - ax), np.float32(by - ay)
            px, py = x - np.float32(ax), y - np.float32(ay)
            along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            np.minimum(nearest, np.hypot(px - ex * along, py - ey * along), out=nearest)
            crosses = (np.float32(ay) > y) != (np.float32(by) > y)
            if ey:
                inside ^= crosses & (px < ex * py / ey)
        return np.where(inside, -nearest, nearest)

    return distance


def _heart(x: Array, y: Array) -> Array:
    lobes = np.hypot(np.abs(x) - np.float32(0.43), y + np.float32(0.35)) - np.float32(0.52)
    tip = np.maximum(np.abs(x) * np.float32(0.74) + y * np.float32(0.67) - np.float32(0.602), -y)
    return np.minimum(lobes, tip)


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(_disc(x, y), -_disc(x - np.float32(0.5), y, 0.82))


def _cross(x: Array, y: Array) -> Array:
    across, down = np.abs(x), np.abs(y)
    narrow, wide = np.float32(0.3), np.float32(1.0)
    return np.minimum(np.maximum(across - wide, down - narrow), np.maximum(across - narrow, down - wide))


def _flower(x: Array, y: Array) -> Array:
    edge: Array = np.float32(0.74) + np.float32(0.3) * np.cos(6 * np.arctan2(x, y))
    return np.hypot(x, y) - edge


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.28)


def _leaf(x: Array, y: Array) -> Array:
    return np.maximum(_disc(x - np.float32(0.55), y, 1.12), _disc(x + np.float32(0.55), y, 1.12))


_arrow = _polygon((0, -1.1), (0.8, -0.15), (0.34, -0.15), (0.34, 1), (-0.34, 1), (-0.34, -0.15), (-0.8, -0.15))
_bolt = _polygon((0.25, -1.1), (-0.65, 0.2), (-0.1, 0.2), (-0.3, 1.1), (0.65, -0.3), (0.1, -0.3))

SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "cross": _cross,
    "flower": _flower,
    "ring": _ring,
    "leaf": _leaf,
    "arrow": _arrow,
    "bolt": _bolt,
}
"""In the order of their frequency: shape i is drawn with probability ~ 1/(i+1)."""
