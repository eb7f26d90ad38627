"""Which posts become pictures of a corpus: each post ends in exactly one bucket, with a reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tagwise.corpus.pool import map_in_order
from tagwise.pixels.decode import decode, measure
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tagwise.corpus.post import Post

BUCKETS = ("used", "damaged", "missing", "duplicate", "untagged", "opted out", "licence")
"""Where a post can end. ``damaged``: its picture, its tags or its name; ``duplicate``: an earlier post of its key
is used, or is left alone for its owner's or licence's sake; ``untagged``: no tag is left;
``opted out``: its owner wants it left alone; ``licence``: it is not among the allowed ones."""
ALL_DECODED = 2**64
"""Above every ``key_number``."""
_HEADER_ALONE = "header alone was read"
_WISHES = ("opted out", "licence")


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
    """Pixels, upright; as stored where only the header was read."""
    height: int = 0
    """Pixels, upright; as stored where only the header was read."""
    notes: tuple[str, ...] = ()
    """What decoding did or found; see ``DecodedPicture``."""
    sha256: str = ""
    """Of the file's content."""
    stamp: str = ""
    """Of the place and the file's size and time: while it is the same, the picture is not judged again."""

    @property
    def is_decoded(self) -> bool:
        """Whether the whole picture was looked at, not its header alone."""
        return _HEADER_ALONE not in self.notes


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is honoured before any tag is counted, and how closely pictures are looked at."""

    licences: frozenset[str] | None = None
    """Allowed ones, casefolded; None: all."""
    decoded_below: int = ALL_DECODED
    """Pictures whose ``key_number`` is below this are decoded whole; of the others the header is read."""
    known: Mapping[str, Verdict] = field(default_factory=dict)
    """Verdicts on pictures by stamp, from an earlier gathering; they hold where it looked as closely."""


def judge_posts(
    posts: Iterable[Post], rules: Rules | None = None, workers: int | None = None
) -> Iterator[tuple[Post, Verdict]]:
    """Sorts the posts into buckets, in their order; every picture is read once.

    Of the posts of one key the first that can be used counts: one without tags, or whose picture is missing, takes
    nothing from a later one.

    Args:
        posts: As a reader yields them.
        rules: What is honoured; by default all that can be read is used.
        workers: Threads; by default one for each processor.
    """
    rules = rules or Rules()
    promising, settled = set[str](), set[str]()

    def candidates() -> Iterator[tuple[Post, Verdict | None, bool]]:
        for post in posts:
            verdict = left_out(post, rules)
            yield post, verdict, post.key in promising
            if verdict is None:
                promising.add(post.key)

    def judged(candidate: tuple[Post, Verdict | None, bool]) -> tuple[Post, Verdict | None]:
        post, verdict, waits = candidate
        return post, verdict if verdict or waits else _looked_at(post, rules)

    # A post that waits is looked at only when the earlier ones of its key have failed.
    for post, found in map_in_order(judged, candidates(), workers):
        if post.key in settled and (found is None or found.bucket not in _WISHES):
            found = Verdict(bucket="duplicate", reason="an earlier post has the same key")
        verdict = found or _looked_at(post, rules)
        if verdict.bucket in ("used", *_WISHES):
            settled.add(post.key)
        yield post, verdict


def left_out(post: Post, rules: Rules) -> Verdict | None:
    """Why a post's picture is not looked at: what people want comes first, then what their table says."""
    if post.opted_out:
        return Verdict(bucket="opted out", reason="its owner wants it left alone")
    if rules.licences is not None and (post.licence or "").casefold() not in rules.licences:
        return Verdict(bucket="licence", reason=f"its licence is {post.licence or 'not stated'}")
    if post.damage:
        return Verdict(bucket="damaged", reason=post.damage)
    if not post.tags:
        return Verdict(bucket="untagged", reason="it has no tag")
    if not _is_text(post):
        return Verdict(bucket="damaged", reason="its name or a tag is no valid Unicode")
    return None


def _looked_at(post: Post, rules: Rules) -> Verdict:
    if post.picture is None:
        return Verdict(bucket="used")
    stamp = stamp_of(post.picture)
    if stamp is None:
        return Verdict(bucket="missing", reason="there is no such file")
    is_decoded = key_number(post.key) < rules.decoded_below
    known = rules.known.get(stamp)
    if known is not None and known.is_decoded == is_decoded:
        return known
    notes: tuple[str, ...] = () if is_decoded else (_HEADER_ALONE,)
    try:
        content = post.picture.read() if isinstance(post.picture, Place) else post.picture
    except PictureRefused as refusal:  # no stamp: the network or the rights may be mended when it is asked for again
        return Verdict(bucket="damaged", reason=refusal.reason, notes=notes)
    try:
        if is_decoded:
            picture = decode(content)
            (height, width, _), notes = picture.pixels_HWC.shape, picture.notes
        else:
            height, width = measure(content)
    except PictureRefused as refusal:
        return Verdict(bucket="damaged", reason=refusal.reason, notes=notes, stamp=stamp)
    sha256 = hashlib.sha256(content).hexdigest()
    return Verdict(
        bucket="used", bytes=len(content), width=width, height=height, notes=notes, sha256=sha256, stamp=stamp
    )


def stamp_of(picture: Place | bytes) -> str | None:
    """Changes when the picture may have changed; None where there is no such file."""
    if not isinstance(picture, Place):
        return hashlib.sha256(picture).hexdigest()[:32]
    stamp = picture.stamp()
    if stamp is None:
        return None
    return hashlib.sha256(f"{picture}\0{stamp}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_number(key: str) -> int:
    """A number below 2**64 that looks random and is the key's own, the same in every gathering."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _is_text(post: Post) -> bool:
    """False for lone surrogates: bytes of a file name that are no UTF-8, or a broken JSON escape."""
    path = str(post.picture) if isinstance(post.picture, Place) else ""
    try:
        "".join((post.key, path, post.owner or "", post.licence or "", *post.tags)).encode()
    except UnicodeEncodeError:
        return False
    return True
