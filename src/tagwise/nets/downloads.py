"""Files from far away, the right one or none: resumed, checked, and only then given their name.

They lie in torch.hub's folder of checkpoints, where files that torch.hub brought are found too, under
the names they have at their source. Environment variables:

- ``TORCH_HOME``: another place for that folder.
- ``TAGWISE_MIRROR``: an address (``http://...``) or a folder (a path or ``file://...``) that holds the files
  under their own names, asked instead of their source.
- ``TAGWISE_OFFLINE``: when set, nothing is asked of the network.
"""

from __future__ import annotations

import fcntl
import os
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

import torch

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import settle, sha256_of_file
from tagwise.base.progress import say
from tagwise.nets.connections import Refused, download


def fetch(url: str, sha256_prefix: str, *, name: str) -> Path:
    """The path of a file, downloaded if it is not here yet.

    A download that broke off is resumed, by the same call or a later one. Of two processes that want
    one file, the second waits for the first.

    Args:
        url: Its address; the last part is its name.
        sha256_prefix: The first hex digits of its SHA-256. Without any, nothing can be checked but the
            length: the SHA-256 of what came is said instead.
        name: What it is, for messages.

    Raises:
        UsageError: TAGWISE_MIRROR is no address and no folder.
        TagwiseError: The file is not to be had, is not the published one, or cannot be stored.
    """
    file, folder = url.rpartition("/")[2], Path(torch.hub.get_dir()) / "checkpoints"
    mirror = os.environ.get("TAGWISE_MIRROR", "")
    try:
        if (folder / file).is_file():
            return _checked(folder / file, sha256_prefix, name)
        if mirror and not mirror.startswith(("http://", "https://")):
            return _from_folder(_as_folder(mirror) / file, sha256_prefix, name)
        address = f"{mirror.rstrip('/')}/{file}" if mirror else url
        _bring(address, folder / file, sha256_prefix, name)
    except Refused as refusal:
        raise TagwiseError(
            f"{name} cannot be had from {address}: {refusal}; put the file into {folder} by hand, "
            "or set TAGWISE_MIRROR to another source."
        ) from refusal
    except OSError as error:
        raise TagwiseError(
            f"{name} cannot be kept in {folder}: {error.strerror or error}; free some space there, "
            "or set TORCH_HOME to a folder that can be written."
        ) from error
    return folder / file


def _as_folder(mirror: str) -> Path:
    parts = urllib.parse.urlparse(mirror)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if "://" in mirror:
        raise UsageError(f"TAGWISE_MIRROR is {mirror}; give it a folder or an address with http:// or https://.")
    return Path(mirror).expanduser()


def _from_folder(path: Path, sha256_prefix: str, name: str) -> Path:
    if not path.is_file():
        raise TagwiseError(f"TAGWISE_MIRROR holds no {path.name} of {name}; put it into {path.parent}.")
    return _checked(path, sha256_prefix, name)


def _checked(path: Path, sha256_prefix: str, name: str) -> Path:
    found = sha256_of_file(path)[: len(sha256_prefix)] if sha256_prefix else ""
    if found != sha256_prefix:
        raise TagwiseError(
            f"{path} is not the published {name}: its SHA-256 begins with {found}, not {sha256_prefix}; "
            "remove it and try again."
        )
    return path


def _bring(address: str, place: Path, sha256_prefix: str, name: str) -> None:
    """Downloads into ``place.part`` and renames it, one process at a time."""
    if os.environ.get("TAGWISE_OFFLINE", "0") not in ("", "0"):
        raise Refused("TAGWISE_OFFLINE is set")
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name(f"{place.name}.part")
    while not place.is_file():
        with path.open("a+b") as partial:
            _lock(partial, name)
            if place.is_file():  # another process has brought it; ours is then new and empty, or is the file
                if partial.seek(0, os.SEEK_END) == 0:
                    path.unlink(missing_ok=True)
            elif path.exists() and os.path.samestat(os.fstat(partial.fileno()), path.stat()):
                _complete(partial, address, sha256_prefix, name)
                os.fsync(partial.fileno())
                settle(path, place)


def _lock(partial: IO[bytes], name: str) -> None:
    try:
        fcntl.flock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"Another process is downloading {name}; waiting for it.")
        fcntl.flock(partial, fcntl.LOCK_EX)
    except OSError:  # some network file systems know no locks
        pass


def _complete(partial: IO[bytes], address: str, sha256_prefix: str, name: str) -> None:
    """Makes the partial file the whole, checked one; what is no part of it is thrown away."""
    path = Path(partial.name)
    if not sha256_prefix:
        partial.truncate(0)  # nothing tells whether an old part is of this file
        download(partial, address, name)
        say(f"Nobody has published a hash of {name}; the SHA-256 of what came is {sha256_of_file(path)}.")
        return
    resumed = partial.seek(0, os.SEEK_END) > 0
    if resumed and sha256_of_file(path).startswith(sha256_prefix):
        return
    download(partial, address, name)
    found = sha256_of_file(path)[: len(sha256_prefix)]
    if found == sha256_prefix:
        return
    partial.truncate(0)
    if resumed:
        say(f"The part of {name} that was here belongs to another file; starting over.")
        _complete(partial, address, sha256_prefix, name)
        return
    path.unlink()
    raise Refused(f"its SHA-256 begins with {found}, not {sha256_prefix}, so it is not the published file")
