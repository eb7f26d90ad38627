"""Which posts become pictures of a corpus: each post ends in exactly one bucket, with a reason."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagwise.corpus.pool import map_in_order
from tagwise.pixels.decode import PictureRefused, decode, read_picture_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tagwise.corpus.post import Post

BUCKETS = ("used", "damaged", "missing", "duplicate", "untagged")
"""Where a post can end. ``duplicate``: its key was met before; ``untagged``: no tag is left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The bucket of one post, and for a used one what its picture is."""

    bucket: str
    """One of ``BUCKETS``."""
    reason: str = ""
    """Why it is not used."""
    bytes: int = 0
    """Size of the file."""
    width: int = 0
    """Pixels, upright."""
    height: int = 0
    """Pixels, upright."""
    notes: tuple[str, ...] = ()
    """What decoding did or found; see ``DecodedPicture``."""
    sha256: str = ""
    """Of the file's content."""


def judge_posts(posts: Iterable[Post], workers: int | None = None) -> Iterator[tuple[Post, Verdict]]:
    """Decodes every picture once and sorts the posts into buckets, in their order.

    Args:
        posts: As a reader yields them.
        workers: Threads; by default one for each processor.
    """
    met: set[str] = set()

    def numbered() -> Iterator[tuple[Post, bool]]:
        for post in posts:
            yield post, post.key in met
            met.add(post.key)

    return map_in_order(_judge, numbered(), workers)


def _judge(candidate: tuple[Post, bool]) -> tuple[Post, Verdict]:
    post, met_before = candidate
    if met_before:
        return post, Verdict(bucket="duplicate", reason="an earlier post has the same key")
    if not post.tags:
        return post, Verdict(bucket="untagged", reason="it has no tag")
    if not _is_text(post):
        return post, Verdict(bucket="damaged", reason="its name or a tag is no valid Unicode")
    if not os.path.isfile(post.picture):  # noqa: PTH113 - Path.is_file raises on names that are too long
        return post, Verdict(bucket="missing", reason="there is no such file")
    try:
        content = read_picture_bytes(post.picture)
        picture = decode(content)
    except PictureRefused as refusal:
        return post, Verdict(bucket="damaged", reason=refusal.reason)
    height, width, _ = picture.pixels_HWC.shape
    return post, Verdict(
        bucket="used",
        bytes=len(content),
        width=width,
        height=height,
        notes=picture.notes,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _is_text(post: Post) -> bool:
    """False for lone surrogates: bytes of a file name that are no UTF-8, or a broken JSON escape."""
    try:
        "".join((post.key, str(post.picture), post.owner or "", post.licence or "", *post.tags)).encode()
    except UnicodeEncodeError:
        return False
    return True
