"""Files that are never half-written, and folders that are never overwritten by accident."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.progress import joins, say

TEMPORARY_PREFIX = ".tagwise-partial-"


@contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` only when the block ends without an error.

    The bytes go to a temporary file in the same folder, are synced, then renamed over
    ``path``; the folder is synced too, so that the name survives a power cut.

    Raises:
        UsageError: A folder, pipe or device is there, which no file may replace.
        TagwiseError: The disk is full or the folder cannot be written.
    """
    try:
        refuse_no_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, renamed on success
            dir=path.parent, prefix=TEMPORARY_PREFIX, delete=False
        )
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(handle.name)
    try:
        with handle:
            with suppress(OSError):  # some network file systems know no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
        settle(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def refuse_no_file(path: Path) -> None:
    """Refuses what ``-o`` names if it is there and is no file, be it behind a link.

    Raises:
        UsageError: A folder, pipe or device is there.
        OSError: It cannot be looked at.
    """
    if path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "a pipe or a device"
        raise UsageError(f"{path} is {found}, which no file can replace; give -o the name of a file.")


def remove_abandoned(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder that others may be writing into."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError), leftover.open("rb") as handle:  # held by whoever still writes it
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def settle(temporary: Path, path: Path) -> None:
    """Renames a synced file of the same folder to ``path`` and syncs the folder, so that the name lasts.

    Raises:
        OSError: It cannot be renamed.
    """
    temporary.replace(path)
    sync(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes the whole of ``content`` or nothing."""
    with open_atomically(path) as handle:
        handle.write(content)


def write_text(path: Path, content: str) -> None:
    """Writes UTF-8 text, the whole of it or nothing."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON with a final newline; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        TagwiseError: The file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {path}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise TagwiseError(f"{path} cannot be read as JSON: {error}.") from error


def harmless(text: str) -> str:
    r"""Text of strangers for a cell of a CSV file: no spreadsheet takes it for a formula, and it steers no terminal.

    Control, format and bidi characters and lone surrogates are escaped, ``\x1b`` and ``\u202e``; line feeds, tabs, and
    joiners that belong between their letters stay.
    """
    escaped = "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\n\t" and not joins(text, place)
        else character
        for place, character in enumerate(text)
    )
    starts_a_formula = unicodedata.normalize("NFKC", escaped[:1]) in ("=", "+", "-", "@", "\t")  # full-width ones too
    return f"'{escaped}" if starts_a_formula else escaped


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class FolderLock:
    """Keeps other processes from writing into a folder for as long as this object, or its process, lives.

    Args:
        folder: It must exist; the lock is on the folder itself and leaves nothing in it.
        flag: What says where it is, for the message.
        patience_s: Seconds to wait for another process.

    Raises:
        UsageError: Another process holds it.
    """

    def __init__(self, folder: Path, flag: str = "-o", patience_s: float = 0) -> None:
        self._handle: int | None = os.open(folder, os.O_RDONLY)
        if patience_s and not self._locked():
            say(f"Another process is writing into {folder}; waiting for it.")
        deadline = time.monotonic() + patience_s
        while not self._locked():
            if time.monotonic() >= deadline:
                raise UsageError(
                    f"Another process is writing into {folder}; wait until it ends, or give another {flag}."
                )
            time.sleep(0.1)

    def _locked(self) -> bool:
        assert self._handle is not None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # some network file systems know no locks
            return True
        return True

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.__del__()

    def __del__(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def claim_alone(
    folder: Path, marker: str, *, overwrite: bool = False, nested: bool = True, flag: str = "-o"
) -> FolderLock:
    """Makes ``folder`` ours to write in, and keeps other processes out of it: it is new, empty, or holds ``marker``.

    Args:
        folder: Where a verb's ``-o`` points.
        marker: The file that every folder of this kind holds, such as ``corpus.json``.
        overwrite: Remove what an earlier run of the same kind left there first.
        nested: Whether the folders in it are ours too, with what a killed process left half-written there.
        flag: What says where it is, for the messages.

    Raises:
        UsageError: The folder holds something else, is a file, or another process is writing into it.
    """
    try:
        _make_ours(folder, marker, flag)
        lock = FolderLock(folder, flag)
        if overwrite:
            shutil.rmtree(folder)
            folder.mkdir()
            lock = FolderLock(folder, flag)
        every = folder.rglob if nested else folder.glob
        for leftover in every(f"{TEMPORARY_PREFIX}*"):  # of a process that was killed while it wrote
            if leftover.is_file():
                leftover.unlink()
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return lock


def _make_ours(folder: Path, marker: str, flag: str) -> None:
    """Makes the folder, if it is new, empty, or holds ``marker`` from before."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give {flag} a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        leftovers = [entry for entry in folder.iterdir() if not entry.name.startswith(TEMPORARY_PREFIX)]
        if leftovers:
            raise UsageError(
                f"{folder} holds something else (no {marker}, but {leftovers[0].name}); "
                f"give {flag} a new or empty folder."
            )
    folder.mkdir(parents=True, exist_ok=True)


def _cannot_write(path: Path, error: OSError) -> TagwiseError:
    if error.errno == errno.ENOSPC:
        return TagwiseError(f"The disk is full while writing {path}; free some space and give the same command again.")
    return TagwiseError(f"{path} cannot be written: {error.strerror or error}.")


def sync(path: Path) -> None:
    """Waits until a file, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
