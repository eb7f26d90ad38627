"""A file of tags beside each picture: ``cat.txt``, ``cat.caption``, ``cat.json``, or ``cat.jpg.txt`` and the like.

A damaged one leaves its picture out, with the reason; when more than 5 % are damaged, the source is refused.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.corpus.readers.written import (
    BLANKS,
    LINES,
    MAX_BYTES,
    SAMPLED,
    TEXT_SUFFIXES,
    WHOLE,
    Damage,
    Tally,
    find_separator,
)
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tagwise.corpus.post import Post
    from tagwise.corpus.readers.tables import Columns

SIDECAR_SUFFIXES = (".json", *TEXT_SUFFIXES)
"""Of files that hold the tags of the picture beside them."""


@dataclass(frozen=True, kw_only=True)
class SidecarSource:
    """The pictures of a tree and the sidecars beside them, listed once."""

    path: Path
    """The root."""
    pictures: tuple[str, ...]
    """Relative to the root, ``/`` between the parts, sorted."""
    sidecars: Mapping[str, tuple[str, ...]]
    """Of the pictures that have any, relative to the root."""
    strays: tuple[str, ...]
    """Files like sidecars, without a picture."""
    separator: str | None
    """Between two tags of a text; None where no text was met."""
    not_read: tuple[str, ...] = ()
    """Lines that tell what else was passed over."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        chosen = {} if self.separator is None else {"separator": self.separator}
        return {"source": self.path.as_posix(), "form": "sidecars"} | chosen

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        name, how = printable(self.path.name), told_separator(self.separator)
        lines = [f"{name}: pictures with a file of tags beside each{how}; the folders' names are no tags"]
        lines += sample_lines(self.posts())
        if without := [picture for picture in self.pictures if picture not in self.sidecars]:
            lines.append(f"  without tags: {len(without):,} pictures, such as {printable(without[0])}")
        if self.strays:
            lines.append(f"  not read: {len(self.strays):,} without a picture, such as {printable(self.strays[0])}")
        return [*lines, *self.not_read]

    def posts(self) -> Iterator[Post]:
        """One post for each picture, without tags where it has no sidecar or, which it says, a damaged one.

        Raises:
            DataRefused: After the last post, when more than 5 % of the sidecars are damaged.
        """
        tally, source = Tally(), self.path.as_posix()
        for picture in self.pictures:
            written = tally.parse(picture, _contents(self.path, self.sidecars.get(picture, ())))
            yield written.post(picture, Place(str(self.path / picture)), source, self.separator)
        tally.refuse(str(self.path))


def open_sidecars(
    root: Path,
    pictures: Iterable[str],
    sidecars: Mapping[str, tuple[str, ...]],
    strays: Iterable[str],
    columns: Columns,
    not_read: tuple[str, ...] = (),
) -> SidecarSource:
    """Finds out what separates the tags of a tree's sidecars.

    Raises:
        UsageError: They hold no tags, or what separates the tags could be two things; a column was named.
        DataRefused: They hold no tags, because they are damaged.
    """
    refuse_columns(columns, f"{root} has its tags in files beside the pictures", "separator")
    tally = Tally()
    sample = [tally.parse(picture, _contents(root, names)) for picture, names in islice(sidecars.items(), SAMPLED)]
    return SidecarSource(
        path=root,
        pictures=tuple(pictures),
        sidecars=sidecars,
        strays=tuple(strays),
        separator=find_separator(str(root), sample, tally, columns.separator),
        not_read=not_read,
    )


def find_sidecars(pictures: Iterable[str], files: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The sidecars of each picture that has any; those that bear its whole name come first and count first.

    Suffixes fold case, as in tars: cameras write ``IMG_1.JPG`` and ``IMG_1.TXT``.
    """
    split = map(os.path.splitext, sorted(files))  # capitals first, so that of a.TXT and a.txt the latter is taken
    by_name = {stem + suffix.lower(): stem + suffix for stem, suffix in split}
    found = {}
    for picture in pictures:
        bases = dict.fromkeys((picture, os.path.splitext(picture)[0]))  # noqa: PTH122 - texts, and a million of them
        names = (by_name.get(base + suffix) for base in bases for suffix in SIDECAR_SUFFIXES)
        if beside := tuple(name for name in names if name is not None):
            found[picture] = beside
    return found


def refuse_columns(columns: Columns, what: str, *allowed: str) -> None:
    """Raises UsageError when something was said that only a table has; ``what`` begins the sentence."""
    said = [field.name for field in fields(columns) if getattr(columns, field.name) != field.default]
    if wrong := [name for name in said if name not in allowed]:
        raise UsageError(f"{what} and has no columns; leave out what was said of {', '.join(wrong)}.")


def sample_lines(posts: Iterator[Post]) -> list[str]:
    """Three posts with tags, as lines for the person."""
    samples = islice((post for post in posts if post.tags), 3)
    return [f"  {printable(post.key)} -> {printable(' | '.join(post.tags))}" for post in samples]


def told_separator(separator: str | None) -> str:
    """How the tags of texts are separated, as a clause behind a comma; empty for None."""
    named = {LINES: "one tag to a line", WHOLE: "one tag to a text", BLANKS: "tags separated by blanks"}
    return "" if separator is None else f", {named.get(separator, f'tags separated by {printable(separator)!r}')}"


def _contents(root: Path, names: Iterable[str]) -> dict[str, bytes | Damage]:
    """Suffix to content, of the first file with that suffix."""
    contents: dict[str, bytes | Damage] = {}
    for path in map(root.joinpath, names):
        if path.suffix.lower() not in contents:
            contents[path.suffix.lower()] = _content(path)
    return contents


def _content(path: Path) -> bytes | Damage:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return Damage(f"{printable(path.name)} is no regular file")
        if status.st_size > MAX_BYTES:
            return Damage(f"{printable(path.name)} has more than {MAX_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        return Damage(f"{printable(path.name)} cannot be read ({error.strerror or error})")
