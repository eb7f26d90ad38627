"""Named streams of one seed: every use of randomness has a name, so none disturbs another."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and every name, the same on every machine.

    Args:
        seed: The run's one seed.
        names: What the stream is for, from the general to the special: ``"epoch", 3``.
    """
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for the named use (PCG64)."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, *names)))
