"""The members of a tar from strangers, in one pass: nothing is written, followed or believed.

tarfile takes a damaged header for the end of the archive; here it is an error with its position.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.base.progress import printable
from tagwise.pixels.addresses import is_address, open_address, public
from tagwise.pixels.place import MAX_BYTES, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EXTENSIONS = frozenset((tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x", b"g", b"X"))
_MAX_EXTENSION_BYTES = 2**16  # of a member's long name and attributes, which tarfile reads into memory
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file of a tar."""

    name: str
    """Normalised, ``/`` between the parts."""
    place: Place
    """Where its bytes are, if the tar lies uncompressed on this machine."""
    in_place: bool
    """Whether it does."""
    is_safe: bool
    """False for links, devices, sparse files, and names that are absolute or lead out of the tar."""
    read: Callable[[], bytes]
    """The content; to be called before the next member is taken."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.place.length or 0

    def picture(self) -> Place | bytes:
        """Its place, or its bytes where only these can be had; a picture that is too large is refused at its place."""
        return self.place if self.in_place or self.size > MAX_BYTES else self.read()


def read_members(shard: str) -> Iterator[Member]:
    """The visible files of a tar, in their order.

    Args:
        shard: A path or address; one that ends in ``.gz`` or ``.tgz`` is uncompressed on the way.

    Raises:
        DataRefused: It is no tar, or damaged or cut off at the byte that is named; or something follows its end.
        UsageError: The address cannot be opened here.
    """
    is_compressed = public(shard).endswith(("gz", "GZ"))
    in_place = not is_compressed and not is_address(shard)
    with ExitStack() as stack:
        with _damage_named(shard, 0):
            archive = stack.enter_context(_opened(shard, is_compressed, in_place))
        while True:
            with _damage_named(shard, archive.offset):
                header = archive.next()
            if header is None:
                break
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them
            if not header.isdir() and not posixpath.basename(header.name).startswith("."):
                yield _member(shard, archive, header, in_place)
        with _damage_named(shard, archive.offset):
            _refuse_rest(archive)


def _member(shard: str, archive: tarfile.TarFile, header: tarfile.TarInfo, in_place: bool) -> Member:
    def read() -> bytes:
        with _damage_named(shard, header.offset):
            content = archive.extractfile(header)
            assert content is not None, "only regular files are read"
            return content.read()

    leads_out = header.name.startswith("/") or ".." in header.name.split("/")
    return Member(
        name=posixpath.normpath(header.name),
        place=Place(shard, header.offset_data, header.size),
        in_place=in_place,
        is_safe=header.isreg() and not header.issparse() and not leads_out,
        read=read,
    )


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        is_end_mark = len(buf) == tarfile.BLOCKSIZE and not any(buf)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if is_end_mark:
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.type in _EXTENSIONS and not 0 <= header.size <= _MAX_EXTENSION_BYTES:
            raise tarfile.ReadError(f"an extended header of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        header = super().fromtarfile(tarfile)
        if header.size < 0:  # it would lead back to where the reading has been
            raise ValueError("a negative size")
        return header


@contextmanager
def _opened(shard: str, is_compressed: bool, in_place: bool) -> Iterator[tarfile.TarFile]:
    with open_address(shard) if is_address(shard) else Path(shard).open("rb") as handle:
        if in_place:
            with tarfile.open(fileobj=handle, mode="r:", tarinfo=_Header, encoding="utf-8") as archive:
                yield archive
            return
        # gzip checks what it uncompresses, and goes on into joined files; tarfile by itself does neither.
        plain = gzip.GzipFile(fileobj=handle) if is_compressed else handle
        with plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_Header, encoding="utf-8") as archive:
            yield archive


def _refuse_rest(archive: tarfile.TarFile) -> None:
    """Behind the end mark there may be zeros alone: tars joined by ``cat`` would lose all but the first."""
    assert archive.fileobj is not None
    while block := archive.fileobj.read(_BLOCK):
        if block.count(0) < len(block):
            raise tarfile.ReadError("something follows the archive's end; join tars by tar --concatenate")


@contextmanager
def _damage_named(shard: str, offset: int) -> Iterator[None]:
    """tarfile, gzip and the file systems of addresses have no error in common; all become one sentence."""
    try:
        yield
    except TagwiseError:
        raise
    except Exception as error:
        name, reason = printable(public(shard)), printable(str(error) or type(error).__name__)
        what = f"is damaged or cut off from byte {offset:,} of the tar on" if offset else "cannot be read as a tar"
        raise DataRefused(f"{name} {what} ({reason}); make or copy it again.") from error
