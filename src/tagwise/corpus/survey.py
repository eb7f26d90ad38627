"""A first look over the posts of a gathering: how many, whether they have changed, which ones will be decoded."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tagwise.corpus.intake import ALL_DECODED, Rules, key_number, left_out, stamp_of
from tagwise.corpus.pool import map_in_order
from tagwise.corpus.post import Post


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known of posts before a picture is opened."""

    posts: int
    digest: str
    """Of the posts and of the sizes and times of their files: whether gathering again could change anything."""
    decoded_below: int
    """For ``Rules``: as many pictures are decoded whole as was asked."""


def survey_posts(
    posts: Iterable[Post], rules: Rules | None = None, decoded: int | None = None, workers: int | None = None
) -> Survey:
    """Goes once over all posts.

    Of the keys whose pictures will be looked at, those with the ``decoded`` smallest numbers are chosen. Each key's
    number is its own, so new posts can only take places among the chosen: no other picture joins them.

    Args:
        posts: As a reader yields them.
        rules: What is honoured; what they leave out is not chosen.
        decoded: How many pictures to decode whole; None: all.
        workers: Threads that ask for sizes and times, which another machine may take long to tell; by default one
            for each processor.
    """
    rules = rules or Rules()
    digest, count, numbers = hashlib.sha256(), 0, array("Q")
    for count, (post, stamp) in enumerate(map_in_order(_stamped, posts, workers), start=1):  # noqa: B007 - a result
        said = (post.owner, post.licence, str(post.opted_out), post.damage)
        feed(digest, post.key, post.where, stamp, *said, *post.tags)
        if decoded is not None and left_out(post, rules) is None:
            numbers.append(key_number(post.key))
    below = ALL_DECODED if decoded is None else _below(numbers, decoded)
    return Survey(posts=count, digest=digest.hexdigest()[:16], decoded_below=below)


def _stamped(post: Post) -> tuple[Post, str | None]:
    return post, None if post.picture is None else stamp_of(post.picture)


def _below(numbers: array[int], chosen: int) -> int:
    """What the ``chosen`` smallest numbers lie below; a key that comes again counts once."""
    ordered = np.unique(np.array(numbers, np.uint64))
    return int(ordered[chosen]) if chosen < len(ordered) else ALL_DECODED


def feed(digest: hashlib._Hash, *texts: str | None) -> None:
    """Adds texts to a digest.

    Lengths keep ``("ab", "c")`` and ``("a", "bc")`` apart, the count keeps posts apart.
    """
    digest.update(len(texts).to_bytes(4, "little"))
    for text in texts:
        content = b"" if text is None else text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
