"""What every test may use: the place of the real data, and one CPU thread for repeatable numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parents[1]

# Torch reads the first at its import; both hold for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])
settings.register_profile("tagwise", deadline=None)
settings.load_profile("tagwise")

DATA = Path(os.environ.get("TAGWISE_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it skip where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set TAGWISE_DATA to its folder")
    return DATA
