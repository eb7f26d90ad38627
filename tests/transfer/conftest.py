"""Class folders of tiny pictures for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Fill = Callable[..., Path]


@pytest.fixture
def fill() -> Fill:
    """Writes class folders of 12-pixel pictures; a class has the colour of its name's place, with noise."""

    def write(folder: Path, seed: int = 0, **classes: int) -> Path:
        generator = np.random.default_rng(seed)
        for place, (name, count) in enumerate(sorted(classes.items())):
            (folder / name).mkdir(parents=True, exist_ok=True)
            base = np.array([60 + 70 * (place % 3), 190 - 90 * (place % 2), 40 * (place + 1) % 250])
            for number in range(count):
                pixels = (base + generator.normal(0, 25, (12, 12, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
        return folder

    return write
