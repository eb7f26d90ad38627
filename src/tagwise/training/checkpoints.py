"""A run's state on disk: written whole or not at all, the newest readable one found again."""

from __future__ import annotations

import pickle
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import open_atomically
from tagwise.base.progress import say

KEPT = "kept"
"""The folder inside that of the checkpoints of those that nothing removes."""

_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, KeyError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which checkpoints stay, beside the best one on what was held out."""

    last: int = 2
    """The newest; the older of them are there for the day the newest cannot be read."""
    every_epochs: int | None = None
    """That of each so many epochs; None: of none."""

    def __post_init__(self) -> None:
        if self.last < 1 or (self.every_epochs is not None and self.every_epochs < 1):
            raise UsageError(f"--keep-last and --keep-every are 1 or more, not {self.last} and {self.every_epochs}.")


def save_checkpoint(folder: Path, seen: int, state: dict[str, Any], keep: Keep = Keep()) -> Path:
    """Writes the state after ``seen`` pictures and removes all but the newest checkpoints."""
    path = folder / f"{seen:014d}.pt"
    with open_atomically(path) as handle:
        torch.save(state, handle)
    for old in sorted(folder.glob("*.pt"))[: -keep.last]:
        old.unlink()
    return path


def keep_checkpoint(folder: Path, seen: int, name: str) -> None:
    """Copies the state after ``seen`` pictures to where nothing removes it."""
    with (folder / f"{seen:014d}.pt").open("rb") as source, open_atomically(folder / KEPT / f"{name}.pt") as handle:
        shutil.copyfileobj(source, handle)


def newest_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest state that can be read, or None where there is none.

    Raises:
        TagwiseError: There are checkpoints, and none can be read.
    """
    paths = sorted(folder.glob("*.pt"), reverse=True)
    for path in paths:
        try:
            return _read(path, device)
        except _DAMAGED as error:
            say(f"The checkpoint {path} cannot be read ({type(error).__name__}); the one before it is tried.")
    if paths:
        raise TagwiseError(f"No checkpoint in {folder} can be read; give --overwrite to begin anew.")
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """Checks the sums of all tensors first: torch's reader does not, and a flipped bit would go on training."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
