"""A run's state on disk: written whole or not at all, the newest readable one found again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from tagwise.base.errors import TagwiseError
from tagwise.base.files import open_atomically
from tagwise.base.progress import say

KEPT = 2
"""Checkpoints that stay; the older one is there for the day the newer one cannot be read."""


def save_checkpoint(folder: Path, seen: int, state: dict[str, Any]) -> Path:
    """Writes the state after ``seen`` pictures and removes all but the newest checkpoints."""
    path = folder / f"{seen:014d}.pt"
    with open_atomically(path) as handle:
        torch.save(state, handle)
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state that can be read, or None where there is none.

    Raises:
        TagwiseError: There are checkpoints, and none can be read.
    """
    paths = sorted(folder.glob("*.pt"), reverse=True)
    for path in paths:
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            say(f"The checkpoint {path} cannot be read ({type(error).__name__}); the one before it is tried.")
        else:
            return state
    if paths:
        raise TagwiseError(f"No checkpoint in {folder} can be read; give --overwrite to begin anew.")
    return None
