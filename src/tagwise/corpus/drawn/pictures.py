"""Scenes to pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tagwise.corpus.drawn.scenes import BACKGROUNDS, COLOURS, TEXTURES, Scenes
from tagwise.corpus.drawn.shapes import SHAPES, Array

SIDE = 64
"""Side of a drawn picture in pixels."""


def draw_pictures(scenes: Scenes, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draws every scene at a random place, size and rotation.

    Returns:
        RGB pictures, uint8 [N, SIDE, SIDE, 3].
    """
    pictures = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(scenes), 128):
        chunk = slice(start, start + 128)
        part = Scenes(
            shapes=scenes.shapes[chunk],
            colours=scenes.colours[chunk],
            textures=scenes.textures[chunk],
            backgrounds=scenes.backgrounds[chunk],
        )
        pictures[chunk] = _draw_chunk(part, generator)
    return pictures


def _draw_chunk(scenes: Scenes, generator: np.random.Generator) -> NDArray[np.uint8]:
    n = len(scenes)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + np.float32(0.5)
    canvas = _backgrounds(scenes.backgrounds, generator)
    for _ in range(5):
        _add_distractors(canvas, x, y, generator)
    radius = generator.uniform(0.24, 0.40, (n, 1, 1)).astype(np.float32) * SIDE
    centre = (generator.uniform(-1, 1, (2, n, 1, 1)) * (0.47 * SIDE - radius).clip(2) + SIDE / 2).astype(np.float32)
    turn = generator.uniform(0, 2 * np.pi, (n, 1, 1)).astype(np.float32)
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    u, v = _bent(dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn), generator)
    distance = _distances(scenes.shapes, u, v)
    shadow = _distances(scenes.shapes, *_shifted(u, v, turn, -0.12))
    canvas *= 1 - 0.38 * np.clip(0.5 - shadow * 6, 0, 1)[..., None]
    ink = _inks(scenes, u, v, radius, generator)
    coverage = np.clip(0.5 - distance * radius, 0, 1)[..., None]
    canvas = canvas * (1 - coverage) + ink * coverage
    canvas += generator.normal(0, 4, canvas.shape).astype(np.float32)
    return canvas.clip(0, 255).astype(np.uint8)


def _bent(u: Array, v: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Stretched, sheared and waved coordinates: no two things of a kind have quite the same outline."""
    n = len(u)
    stretch, shear, wave, phase = (
        generator.uniform(low, high, (n, 1, 1)).astype(np.float32)
        for low, high in ((0.72, 1.38), (-0.35, 0.35), (0.0, 0.16), (0.0, 2 * np.pi))
    )
    return u * stretch + shear * v + wave * np.sin(3 * v + phase), v / stretch + wave * np.sin(3 * u - phase)


def _shifted(u: Array, v: Array, turn: Array, by: float) -> tuple[Array, Array]:
    """The shape's coordinates for a shadow that always falls down and to the right."""
    return u + np.float32(by) * (np.cos(turn) + np.sin(turn)), v + np.float32(by) * (np.cos(turn) - np.sin(turn))


def _distances(shapes: NDArray[np.int64], u: Array, v: Array) -> Array:
    distances = np.empty_like(u)
    for index, distance in enumerate(SHAPES.values()):
        chosen = shapes == index
        if chosen.any():
            distances[chosen] = distance(u[chosen], v[chosen])
    return distances


def _backgrounds(kinds: NDArray[np.int64], generator: np.random.Generator) -> Array:
    ends = np.array(list(BACKGROUNDS.values()), np.float32)[kinds]
    height = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None, None]
    canvas = ends[:, None, None, 0] * (1 - height) + ends[:, None, None, 1] * height
    coarse = generator.normal(0, 1, (len(kinds), 8, 8, 1)).astype(np.float32)
    clouds = np.repeat(np.repeat(coarse, SIDE // 8, 1), SIDE // 8, 2)
    for axis in (1, 2):
        clouds = np.mean([np.roll(clouds, shift, axis) for shift in range(-4, 5)], axis=0)
    canvas = np.broadcast_to(canvas, (len(kinds), SIDE, SIDE, 3)) + 16 * clouds
    light = generator.uniform(0.85, 1.1, (len(kinds), 1, 1, 1)).astype(np.float32)
    return canvas * light


def _add_distractors(canvas: Array, x: Array, y: Array, generator: np.random.Generator) -> None:
    """One small blob in about two thirds of the pictures, drawn in place."""
    n = len(canvas)
    radius = generator.uniform(1.5, 6.0, (n, 1, 1)).astype(np.float32) * (generator.random((n, 1, 1)) < 0.66)
    cx, cy = generator.uniform(0, SIDE, (2, n, 1, 1)).astype(np.float32)
    stretch = generator.uniform(0.6, 1.6, (n, 1, 1)).astype(np.float32)
    coverage = np.clip(radius - np.hypot((x - cx) * stretch, y - cy), 0, 1)[..., None] * (radius > 0)[..., None]
    colour = np.array(list(COLOURS.values()), np.float32)[generator.integers(len(COLOURS), size=n)][:, None, None]
    canvas += coverage * (colour - canvas)


def _inks(scenes: Scenes, u: Array, v: Array, radius: Array, generator: np.random.Generator) -> Array:
    """The colour of each pixel of the shape: the base colour and its texture, [n, SIDE, SIDE, 3]."""
    base = np.array(list(COLOURS.values()), np.float32)[scenes.colours]
    base = (base + generator.normal(0, 10, base.shape)).astype(np.float32)[:, None, None]
    bright = base.mean(-1, keepdims=True) > 150
    second = np.where(bright, base * np.float32(0.42), base * np.float32(0.3) + np.float32(172))
    contrast = generator.uniform(0.45, 1.0, (len(scenes), 1, 1, 1)).astype(np.float32)
    second = base + (second - base) * contrast
    frequency = generator.uniform(5.5, 10.0, (len(scenes), 1, 1)).astype(np.float32)
    waves = {
        "plain": np.full_like(u, -1),
        "striped": np.sin(frequency * u),
        "dotted": np.cos(frequency * u) + np.cos(frequency * v) - np.float32(0.75),
        "checked": np.sin(frequency * np.float32(0.8) * u) * np.sin(frequency * np.float32(0.8) * v) * 2,
    }
    wave = np.choose(scenes.textures[:, None, None], [waves[name] for name in TEXTURES])
    share = np.clip(0.5 + wave * radius / frequency, 0, 1)[..., None]
    return base * (1 - share) + second * share
