"""Where a picture's bytes are: a file here, a stretch of one, or an address that fsspec reads."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tagwise.base.errors import DataRefused
from tagwise.base.progress import printable
from tagwise.pixels.addresses import NothingThere, Unreachable, is_address, open_address, public, reaching

MAX_BYTES = 256 * 2**20
"""Size above which a file is refused; checked before it is read."""


class PictureRefused(DataRefused):
    """A file that cannot honestly be read as a picture.

    Args:
        reason: Why, as a clause: ``"the file is empty"``.
        name: The file, as the sentence should call it.
    """

    def __init__(self, reason: str, name: str = "this picture") -> None:
        super().__init__(reason, name)
        self.reason = reason
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is refused: {self.reason}."


@dataclass(frozen=True, slots=True)
class Place:
    """A whole file, or a member of an uncompressed archive.

    Attributes:
        path: A local path, or an address such as ``s3://bucket/cat.jpg``.
        offset: First byte.
        length: Bytes, None: to the end of the file.
    """

    path: str
    offset: int = 0
    length: int | None = None

    def __str__(self) -> str:
        return self.path if self.length is None else f"{self.path}[{self.offset}+{self.length}]"

    @property
    def remote(self) -> bool:
        """Whether it is an address of another machine."""
        return is_address(self.path)

    def absolute(self) -> Place:
        """The same from any folder."""
        return self if self.remote else Place(str(Path(self.path).absolute()), self.offset, self.length)

    def stamp(self) -> str | None:
        """Size and time of change, which say whether it must be read again; None where there is no such file.

        Raises:
            UsageError: fsspec, or what it needs for this address, is not installed.
        """
        if self.remote:
            return _remote_stamp(self.path)
        try:
            status = Path(self.path).stat()
        except (OSError, ValueError):
            return None
        return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None

    def read(self) -> bytes:
        """The bytes.

        Raises:
            PictureRefused: It is missing, no regular file, unreadable, shorter than the stretch, or
                larger than ``MAX_BYTES``.
            UsageError: fsspec, or what it needs for this address, is not installed.
        """
        name = printable(public(str(self)))
        try:
            content = self._read(name)
        except (FileNotFoundError, NothingThere) as error:
            raise PictureRefused("there is no such file", name) from error
        except Unreachable as error:
            raise PictureRefused(error.reason, name) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PictureRefused(f"the file cannot be read ({reason})", name) from error
        if self.length is not None and len(content) < self.length:
            raise PictureRefused("the archive that holds it is cut off", name)
        return content

    def _read(self, name: str) -> bytes:
        if self.remote:
            with open_address(self.path) as handle:
                return self._stretch(handle, getattr(handle, "size", None), name)
        status = Path(self.path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureRefused("it is no regular file", name)
        with Path(self.path).open("rb") as handle:
            return self._stretch(handle, status.st_size, name)

    def _stretch(self, handle: IO[bytes], file_bytes: int | None, name: str) -> bytes:
        """What is wanted of a file, whose size a server may not tell."""
        wanted = file_bytes if self.length is None else self.length
        if wanted is not None and wanted > MAX_BYTES:
            raise PictureRefused(f"its {wanted:,} bytes are above the limit of {MAX_BYTES:,}", name)
        handle.seek(self.offset)
        content = _up_to(handle, MAX_BYTES + 1 if wanted is None else wanted)
        if len(content) > MAX_BYTES:
            raise PictureRefused(f"it has more bytes than the limit of {MAX_BYTES:,}", name)
        return content


def _up_to(handle: IO[bytes], most: int) -> bytes:
    """A stream over HTTP gives fewer bytes at a time than it is asked for."""
    parts: list[bytes] = []
    while most > 0 and (part := handle.read(most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _remote_stamp(address: str) -> str | None:
    try:
        with reaching(address) as (system, path):
            facts = system.info(path)
    except NothingThere:
        return None
    except Unreachable:
        return "unreachable"  # the reading will say why
    return f"{facts['size']} {facts.get('ETag') or facts.get('etag') or facts.get('mtime', '')}"
