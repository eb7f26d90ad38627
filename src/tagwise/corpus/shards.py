"""Pictures copied into the corpus as WebDataset shards: tar files that many tools read.

A member is ``000000123.jpg``, beside it ``000000123.json`` with key, tags, owner, licence and hash.
The corpus table points at the bytes inside, so reading them back opens no archive.
"""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tagwise.base.files import open_atomically
from tagwise.pixels.decode import SUFFIXES
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from tagwise.corpus.intake import Verdict
    from tagwise.corpus.post import Post

SHARDS = "shards"
"""The folder inside a corpus."""
SHARD_BYTES = 256 * 2**20
"""A shard that has reached this size is followed by the next."""

_SIGNATURES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


class ShardWriter:
    """Writes one shard after the other, each whole in its place before the next begins; see ``write_corpus``.

    Args:
        folder: Of the corpus.
        stack: Closes the last shard.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._open = folder, stack.enter_context(ExitStack())
        self._number = -1
        self._tar: tarfile.TarFile | None = None

    def add(self, row: int, post: Post, verdict: Verdict, content: bytes) -> Place:
        """Copies a picture; returns its place, whose path is relative to the corpus."""
        if self._tar is None or self._tar.offset > SHARD_BYTES:
            self._begin()
        assert self._tar is not None
        offset = self._member(f"{row:09d}{_suffix(post.key, content)}", content)
        self._member(f"{row:09d}.json", described(post, verdict))
        return Place(f"{SHARDS}/{self._number:06d}.tar", offset, len(content))

    def _begin(self) -> None:
        self._open.close()
        self._number += 1
        path = self._folder / SHARDS / f"{self._number:06d}.tar"
        handle = self._open.enter_context(open_atomically(path))
        self._tar = self._open.enter_context(
            tarfile.open(fileobj=handle, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - the stack closes it
        )

    def _member(self, name: str, content: bytes) -> int:
        """Writes a member; returns where its bytes begin."""
        assert self._tar is not None
        about = tarfile.TarInfo(name)
        about.size = len(content)
        begins = self._tar.offset + tarfile.BLOCKSIZE  # one header block: the names are short and plain
        self._tar.addfile(about, io.BytesIO(content))
        return begins


def described(post: Post, verdict: Verdict, **more: int) -> bytes:
    """What a copy of a picture must not lose, as a line of JSON."""
    facts = {"key": post.key, "tags": list(post.tags), "owner": post.owner, "licence": post.licence}
    return json.dumps({**more, **facts, "sha256": verdict.sha256}, ensure_ascii=True).encode()


def _suffix(key: str, content: bytes) -> str:
    suffix = PurePosixPath(key).suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    return next((ending for start, ending in _SIGNATURES.items() if content.startswith(start)), ".img")
