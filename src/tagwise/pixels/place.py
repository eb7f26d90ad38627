"""Where a picture's bytes are: a file here, a stretch of one, or an address that fsspec reads."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable

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
        return "://" in self.path

    def stamp(self) -> str | None:
        """Size and time of change, which say whether it must be read again; None where there is no such file."""
        try:
            if self.remote:
                facts = _filesystem(self.path).info(self.path)
                return f"{facts['size']} {facts.get('ETag') or facts.get('etag') or facts.get('mtime', '')}"
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
        name = printable(str(self))
        try:
            size = self._size(name)
            if size > MAX_BYTES:
                raise PictureRefused(f"its {size:,} bytes are above the limit of {MAX_BYTES:,}", name)
            content = self._read()
        except FileNotFoundError as error:
            raise PictureRefused("there is no such file", name) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PictureRefused(f"the file cannot be read ({reason})", name) from error
        if self.length is not None and len(content) < self.length:
            raise PictureRefused("the archive that holds it is cut off", name)
        return content

    def _size(self, name: str) -> int:
        if self.length is not None:
            return self.length
        if self.remote:
            return int(_filesystem(self.path).info(self.path)["size"])
        status = Path(self.path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureRefused("it is no regular file", name)
        return status.st_size

    def _read(self) -> bytes:
        with _filesystem(self.path).open(self.path, "rb") if self.remote else Path(self.path).open("rb") as handle:
            handle.seek(self.offset)
            content: bytes = handle.read(-1 if self.length is None else self.length)
        return content


def _filesystem(address: str) -> Any:
    try:
        import fsspec

        return fsspec.url_to_fs(address)[0]
    except ImportError as error:
        raise UsageError(
            f"{printable(address)} is an address, which needs {error.name or 'fsspec'}; "
            "install it with: pip install 'tagwise[remote]'"
        ) from error
