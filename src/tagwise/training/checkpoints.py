"""A run's state on disk: written whole or not at all, the newest readable one found again."""

from __future__ import annotations

import errno
import pickle
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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
        for flag, number in (("--keep-last", self.last), ("--keep-every", self.every_epochs)):
            if number is not None and number < 1:
                raise UsageError(f"{flag} is 1 or more, not {number}.")


def save_checkpoint(folder: Path, seen: int, state: dict[str, Any], keep: Keep = Keep()) -> Path:
    """Writes the state after ``seen`` pictures and removes all but the newest checkpoints.

    Those of more pictures go too: a run that comes by here once more could not read them.
    """
    path = folder / f"{seen:014d}.pt"
    with open_atomically(path) as handle:
        _write(state, handle)
    stay = [other for other in sorted(folder.glob("*.pt")) if other.name <= path.name][-keep.last :]
    for other in folder.glob("*.pt"):
        if other not in stay:
            other.unlink()
    return path


def _write(state: dict[str, Any], handle: IO[bytes]) -> None:
    """As torch does, whose complaint at the end of a file that is cut short hides why it was."""
    try:
        torch.save(state, handle)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def keep_checkpoint(folder: Path, seen: int, name: str) -> None:
    """Copies the state after ``seen`` pictures to where nothing removes it."""
    with (folder / f"{seen:014d}.pt").open("rb") as source, open_atomically(folder / KEPT / f"{name}.pt") as handle:
        shutil.copyfileobj(source, handle)


def kept_checkpoint(folder: Path, name: str) -> dict[str, Any] | None:
    """The state that was kept under a name, on the CPU; None where there is none."""
    path = folder / KEPT / f"{name}.pt"
    return _read(path) if path.is_file() else None


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest state that is whole, on the CPU, or None where there is none.

    Raises:
        TagwiseError: There are checkpoints, and none is whole; or the disk does not give one out now.
    """
    paths = sorted(folder.glob("*.pt"), reverse=True)
    for path in paths:
        try:
            return _read(path)
        except _DAMAGED as error:
            _refuse_if_whole(path, error)
            say(f"The checkpoint {path} cannot be read ({type(error).__name__}); the one before it is tried.")
    if paths:
        raise TagwiseError(f"No checkpoint in {folder} can be read; give --overwrite to begin anew.")
    return None


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint that says what its net is; None for any other file.

    Raises:
        TagwiseError: It is damaged.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # files of strangers fail in any way, and their own reader says how
        return None
    if not isinstance(state, dict) or not isinstance(state.get("facts"), str):
        return None
    try:
        return _read(path)
    except _DAMAGED as error:
        raise TagwiseError(f"The checkpoint {path} is damaged; take another one of its run.") from error


def _refuse_if_whole(path: Path, error: Exception) -> None:
    """Raises what says nothing of the file: memory is short, or the disk does not give it out."""
    if isinstance(error, RuntimeError) and "memory" in str(error):  # on the CPU torch has no class for it
        raise error
    # EINVAL is damage: a place before the file's beginning.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        raise TagwiseError(
            f"The checkpoint {path} cannot be read now, and may well be whole ({error.strerror or error}); mend that "
            "and give the same command again."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    """Checks the sums of all tensors first: torch's reader does not, and a flipped bit would go on training."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
