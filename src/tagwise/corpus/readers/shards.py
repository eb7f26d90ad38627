"""Tar shards as WebDataset and img2dataset write them: the files of one name follow each other, ``a.jpg a.json``.

Nothing is unpacked to disk. A picture of an uncompressed tar on this machine is a stretch of the tar;
out of any other tar it comes as bytes, in one pass.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.readers.sidecars import SIDECAR_SUFFIXES, refuse_columns, sample_lines, told_separator
from tagwise.corpus.readers.tars import read_members
from tagwise.corpus.readers.written import CLASS_SUFFIX, MAX_BYTES, SAMPLED, Damage, Tally, Written, find_separator
from tagwise.pixels.addresses import public
from tagwise.pixels.decode import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tagwise.corpus.post import Post
    from tagwise.corpus.readers.tables import Columns
    from tagwise.corpus.readers.tars import Member
    from tagwise.pixels.place import Place

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""Of files that are read as shards."""

_TAG_SUFFIXES = (*SIDECAR_SUFFIXES, CLASS_SUFFIX)
_MAX_UNSAFE_FRACTION = 0.05
_UNSAFE = "it is a link or no plain file, or its name leads out of the tar"
_UNSAFE_PICTURE = Written(damage=_UNSAFE)


@dataclass(frozen=True, kw_only=True)
class ShardSource:
    """Tar shards, read one after the other."""

    name: str
    """As the person gave it."""
    shards: tuple[str, ...]
    """Absolute paths or addresses, sorted."""
    separator: str | None
    """Between two tags of a text; None where no text was met."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        chosen = {} if self.separator is None else {"separator": self.separator}
        return {"source": self.name, "form": "shards"} | chosen

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        how, count = told_separator(self.separator), len(self.shards)
        shards = "a tar shard" if count == 1 else f"{count:,} tar shards"
        lines = [f"{printable(self.name)}: {shards} with files of tags beside the pictures{how}"]
        return [*lines, *sample_lines(self.posts())]

    def posts(self) -> Iterator[Post]:
        """One post for each picture, up to the place where a shard is cut or damaged.

        Of a link, or a name that leads out of the tar, the post says so and holds no picture.

        Raises:
            DataRefused: A shard is no tar, or cut or damaged, at the byte that is named; a picture's tags do not
                follow it; after the last post, when more than 5 % of the members are links or lead out of the
                tar, or of the files of tags are damaged.
        """
        tally, unsafe, pictures = Tally(), list[str](), 0
        for shard in self.shards:
            for name, picture, written in _read_pictures(shard, tally, unsafe):
                pictures += picture is not None
                yield written.post(name, picture, public(shard), self.separator)
        tally.refuse(self.name)
        if len(unsafe) > _MAX_UNSAFE_FRACTION * (pictures + len(unsafe)):
            raise DataRefused(
                f"{self.name} holds {len(unsafe):,} links or names that lead out of the tar beside {pictures:,} "
                f"pictures, first {printable(unsafe[0])}; put the files themselves in, under relative names."
            )


def open_shards(name: str, shards: Iterable[str], columns: Columns) -> ShardSource:
    """Finds out, from the first 1,000 pictures, what separates the tags.

    Args:
        name: As the person gave it: a path, a pattern or an address.
        shards: Absolute paths or addresses.
        columns: Only a separator can be meant.

    Raises:
        UsageError: There are no pictures or no tags, or what separates the tags could be two things.
        DataRefused: Nothing can be read, as of a file that is no tar; or the files of tags are damaged.
    """
    refuse_columns(columns, f"{name} has its tags in files beside the pictures", "separator")
    ordered, tally = tuple(sorted(shards)), Tally()
    sample = _sample(ordered, tally)
    if not sample:
        raise UsageError(
            f"{name} holds no pictures; give tars of pictures, each followed by a .json or .txt of its tags."
        )
    if not tally.read:
        raise UsageError(
            f"{name} holds no file of tags among its first {len(sample):,} pictures; put a .json, .txt or .cls behind "
            "each, or unpack it where the folders' names are the tags."
        )
    separator = find_separator(name, sample, tally, columns.separator)
    return ShardSource(name=name, shards=ordered, separator=separator)


def _sample(shards: tuple[str, ...], tally: Tally) -> list[Written]:
    sample: list[Written] = []
    for shard in shards:
        try:
            for _, _, written in _read_pictures(shard, tally, []):
                sample.append(written)
                if len(sample) == SAMPLED:
                    return sample
        except DataRefused:  # comes again in its place among the posts
            if not sample:
                raise
            return sample
    return sample


@dataclass(kw_only=True)
class _Group:
    """Members that follow each other and agree up to the first dot."""

    key: str
    pictures: dict[str, Place | bytes | None] = field(default_factory=dict)
    """None: a link, or one that leads out of the tar."""
    files: dict[str, bytes | Damage] = field(default_factory=dict)

    def add(self, member: Member) -> None:
        stem, suffix = posixpath.splitext(member.name)
        if suffix.lower() in SUFFIXES:
            self.pictures[member.name] = member.picture() if member.is_safe else None
        elif not member.is_safe:
            self.files[stem + suffix.lower()] = Damage(f"{printable(member.name)}: {_UNSAFE}")
        elif member.size > MAX_BYTES:
            self.files[stem + suffix.lower()] = Damage(f"{printable(member.name)} has more than {MAX_BYTES:,} bytes")
        else:
            self.files[stem + suffix.lower()] = member.read()

    def files_of(self, picture: str) -> dict[str, bytes | Damage]:
        """Those named after the whole picture, its stem or the group, the nearest name first.

        ``IMG.1.jpg`` and ``IMG.2.jpg`` are one group and may have tags of their own.
        """
        bases = (picture, posixpath.splitext(picture)[0], self.key)
        found: dict[str, bytes | Damage] = {}
        for base in bases:
            for suffix in _TAG_SUFFIXES:
                if base + suffix in self.files:
                    found.setdefault(suffix, self.files[base + suffix])
        return found


def _read_pictures(shard: str, tally: Tally, unsafe: list[str]) -> Iterator[tuple[str, Place | bytes | None, Written]]:
    """Name, picture and what is written of it; names of links and what leads out of the tar join ``unsafe``."""
    untagged, strays = set[str](), set[str]()
    for group in _read_groups(shard, unsafe):
        if not group.files:
            untagged.add(group.key)
        if not group.pictures:
            strays.add(group.key)
        if not (group.files and group.pictures) and group.key in untagged & strays:
            raise DataRefused(
                f"{shard}: the picture and the tags of {printable(group.key)} do not follow each other; "
                "write the tar in the order of the names, as tar --sort=name does."
            )
        for name, picture in group.pictures.items():
            yield name, picture, tally.parse(name, group.files_of(name)) if picture is not None else _UNSAFE_PICTURE


def _read_groups(shard: str, unsafe: list[str]) -> Iterator[_Group]:
    group: _Group | None = None
    for member in read_members(shard):
        folder, base = posixpath.split(member.name)
        if posixpath.splitext(base)[1].lower() not in SUFFIXES.union(_TAG_SUFFIXES):
            continue
        unsafe += [] if member.is_safe else [member.name]
        key = posixpath.join(folder, base.partition(".")[0])
        if group is None or key != group.key or member.name in group.pictures or member.name in group.files:
            if group is not None:
                yield group
            group = _Group(key=key)
        group.add(member)
    if group is not None:
        yield group
