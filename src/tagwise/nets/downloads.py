"""Files from far away, the right one or none: resumed, checked, and only then given their name.

They lie in torch.hub's folder of checkpoints, where files that torch.hub brought are found too, under
the names they have at their source. Environment variables:

- ``TORCH_HOME``: another place for that folder.
- ``TAGWISE_MIRROR``: an address (``http://...``) or a folder (a path or ``file://...``) that holds the files
  under their own names, asked instead of their source.
- ``TAGWISE_OFFLINE``: when set, nothing is asked of the network.
"""

from __future__ import annotations

import errno
import fcntl
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import settle, sha256_of_file
from tagwise.base.progress import say
from tagwise.nets.connections import Refused, download

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class _File:
    """What is wanted."""

    url: str
    sha256_prefix: str
    name: str
    check: Callable[[Path], object]

    def fault(self, sha256: str) -> str | None:
        """Why the file of this SHA-256 is another one, in words that follow it; None if it is this."""
        if sha256.startswith(self.sha256_prefix):
            return None
        found = sha256[: len(self.sha256_prefix)]
        return f"is not the published {self.name}: its SHA-256 begins with {found}, not {self.sha256_prefix}"


def fetch(url: str, sha256_prefix: str, *, name: str, check: Callable[[Path], object] = lambda _path: None) -> Path:
    """The path of a file, downloaded if it is not here yet.

    A download that broke off is resumed, by the same call or a later one. Of two processes that want
    one file, the second waits for the first.

    Args:
        url: Its address; the last part is its name.
        sha256_prefix: The first hex digits of its SHA-256, empty where nobody has published them.
        name: What it is, for messages.
        check: Raises a TagwiseError for a file that is not this one; asked of a download that no
            published hash proves, before it gets its name.

    Raises:
        UsageError: TAGWISE_MIRROR is no address and no folder.
        TagwiseError: The file is not to be had, is not the published one, or cannot be stored.
    """
    file = _File(url=url, sha256_prefix=sha256_prefix, name=name, check=check)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    mirror = os.environ.get("TAGWISE_MIRROR", "")
    address = f"{mirror.rstrip('/')}/{path.name}" if mirror else url
    try:
        if path.is_file():
            return _proved(file, path, "remove it to have it downloaded again")
        if mirror and not mirror.lower().startswith(("http://", "https://")):
            return _from_folder(file, _as_folder(mirror) / path.name)
        if os.environ.get("TAGWISE_OFFLINE", "0") not in ("", "0"):
            raise TagwiseError(
                f"{name} cannot be had from {address}: TAGWISE_OFFLINE is set; "
                f"put the file at {path} by hand, or unset it."
            )
        _bring(file, address, path)
    except Refused as refusal:
        again = "try again later to go on with what came, " if _part(path).is_file() else ""
        other = "correct TAGWISE_MIRROR" if mirror else "set TAGWISE_MIRROR to another source of it"
        raise TagwiseError(
            f"{name} cannot be had from {address}: {refusal}; {again}put the file at {path} by hand, or {other}."
        ) from refusal
    except OSError as error:
        remedy = "free some space there, or set TORCH_HOME to a folder with room"
        raise TagwiseError(
            f"{name} cannot be kept in {path.parent}: {error.strerror or error}; "
            f"{remedy if error.errno in _FULL else 'set TORCH_HOME to a folder that can be written'}."
        ) from error
    return path


def _as_folder(mirror: str) -> Path:
    parts = urllib.parse.urlparse(mirror)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if "://" in mirror:
        raise UsageError(f"TAGWISE_MIRROR is {mirror}; give it a folder or an address with http:// or https://.")
    return Path(mirror).expanduser()


def _from_folder(file: _File, path: Path) -> Path:
    if not path.is_file():
        raise TagwiseError(
            f"TAGWISE_MIRROR holds no {path.name} of {file.name}; put {file.url} at {path}, or unset TAGWISE_MIRROR."
        )
    return _proved(file, path, "unset TAGWISE_MIRROR")


def _proved(file: _File, path: Path, otherwise: str) -> Path:
    """The path of a file that somebody put there, if it is the published one."""
    try:
        fault = file.fault(sha256_of_file(path)) if file.sha256_prefix else None
    except OSError as error:
        fault = f"cannot be read: {error.strerror or error}"
    if fault:
        raise TagwiseError(f"{path} {fault}; replace it by {file.url}, or {otherwise}.")
    return path


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _bring(file: _File, address: str, path: Path) -> None:
    """Downloads into a part beside the path and renames it, one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    while not path.is_file():
        with part.open("a+b") as partial:
            _lock(partial, file.name)
            try:
                if not path.is_file() and _lies_at(part, partial):  # no other process has brought it meanwhile
                    _complete(file, address, partial)
                    os.fsync(partial.fileno())
                    settle(part, path)
            finally:
                if _size(partial) == 0 and _lies_at(part, partial):
                    part.unlink()


def _lock(partial: IO[bytes], name: str) -> None:
    try:
        fcntl.flock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"Another process is downloading {name}; waiting for it.")
        fcntl.flock(partial, fcntl.LOCK_EX)
    except OSError:  # some network file systems know no locks
        pass


def _lies_at(path: Path, opened: IO[bytes]) -> bool:
    return path.exists() and os.path.samestat(os.fstat(opened.fileno()), path.stat())


def _size(opened: IO[bytes]) -> int:
    return os.fstat(opened.fileno()).st_size


def _complete(file: _File, address: str, partial: IO[bytes]) -> None:
    """Makes the partial file the whole, proved one; what is no part of it is thrown away."""
    path = Path(partial.name)
    if not file.sha256_prefix:
        partial.truncate(0)  # nothing tells whether an old part is of this file
        _complete_unproved(file, address, partial)
        return
    resumed = _size(partial) > 0
    if resumed and file.fault(sha256_of_file(path)) is None:
        return
    download(partial, address, file.name)
    sha256 = sha256_of_file(path)
    fault = file.fault(sha256)
    if fault is None:
        say(f"{file.name} is downloaded; its SHA-256 is {sha256}.")
        return
    partial.truncate(0)
    if not resumed:
        raise Refused(f"what came {fault}")
    say(f"The part of {file.name} that was here belongs to another file; starting over.")
    _complete(file, address, partial)


def _complete_unproved(file: _File, address: str, partial: IO[bytes]) -> None:
    """A file whose hash nobody has published is looked into instead, and a part of it is not kept."""
    path = Path(partial.name)
    try:
        download(partial, address, file.name)
        file.check(path)
    except TagwiseError as error:
        partial.truncate(0)
        raise Refused(str(error).replace(str(path), "what came").rstrip(".")) from error
    except Refused:
        partial.truncate(0)
        raise
    say(f"Nobody has published a hash of {file.name}; the SHA-256 of what came is {sha256_of_file(path)}.")
