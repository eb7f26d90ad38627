"""What a picture shows, and how often: the wild by Zipf's law, the target evenly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tagwise.corpus.drawn.shapes import SHAPES

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "blue": (43, 108, 196),
    "yellow": (244, 196, 48),
    "green": (46, 152, 84),
    "pink": (240, 120, 170),
    "orange": (240, 128, 40),
    "purple": (128, 70, 172),
    "white": (240, 240, 236),
}

TEXTURES = ("plain", "striped", "dotted", "checked")
BACKGROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "sky": ((150, 196, 232), (228, 240, 248)),
    "night": ((18, 22, 58), (62, 52, 108)),
    "sand": ((222, 196, 146), (186, 150, 104)),
    "meadow": ((176, 206, 132), (84, 134, 76)),
}
"""Colour at the top and at the bottom."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """What N pictures show: indices into the tables above, int64 [N] each."""

    shapes: NDArray[np.int64]
    colours: NDArray[np.int64]
    textures: NDArray[np.int64]
    backgrounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shapes)


def target_classes() -> list[tuple[str, str]]:
    """The ten (shape, texture) pairs that the target asks for, among the ten rarer shapes."""
    rare = list(SHAPES)[2:]
    textures = [TEXTURES[index % len(TEXTURES)] for index in (1, 2, 3, 0, 1, 2, 3, 0, 1, 2)]
    return list(zip(rare, textures, strict=True))


def draw_scenes(count: int, generator: np.random.Generator) -> Scenes:
    """Scenes of the wild: shapes and colours by Zipf's law, textures and backgrounds evenly."""

    def zipf(size: int) -> NDArray[np.int64]:
        weights = 1 / np.arange(1, size + 1)
        return generator.choice(size, count, p=weights / weights.sum()).astype(np.int64)

    return Scenes(
        shapes=zipf(len(SHAPES)),
        colours=zipf(len(COLOURS)),
        textures=generator.integers(len(TEXTURES), size=count),
        backgrounds=generator.integers(len(BACKGROUNDS), size=count),
    )


def draw_target(per_class: int, generator: np.random.Generator) -> tuple[Scenes, NDArray[np.int64]]:
    """Scenes of the target, ``per_class`` of each class, and their class indices, int64 [N]."""
    classes = np.repeat(np.arange(len(target_classes())), per_class)
    pairs = target_classes()
    count = len(classes)
    return Scenes(
        shapes=np.array([list(SHAPES).index(shape) for shape, _ in pairs])[classes],
        colours=generator.integers(len(COLOURS), size=count),
        textures=np.array([TEXTURES.index(texture) for _, texture in pairs])[classes],
        backgrounds=generator.integers(len(BACKGROUNDS), size=count),
    ), classes
