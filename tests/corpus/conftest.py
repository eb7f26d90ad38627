"""Small pictures and tables for the tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def draw() -> Callable[[Path, int], Path]:
    """Writes a plain 20 x 12 picture of one grey level."""

    def write(path: Path, level: int = 128) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 12), (level, level, level)).save(path, "PNG")
        return path

    return write
