"""What every test may use: the place of the real data, and one CPU thread for repeatable numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TAGWISE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it skip where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set TAGWISE_DATA to its folder")
    return DATA
