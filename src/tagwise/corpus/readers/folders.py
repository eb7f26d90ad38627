"""A tree of class folders: each folder below the root is one tag of the pictures in and under it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.corpus.post import Post
from tagwise.corpus.readers.tables import TABLE_SUFFIXES
from tagwise.pixels.decode import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """The pictures of a tree, listed once."""

    path: Path
    """The root."""
    pictures: tuple[str, ...]
    """Relative to the root, ``/`` between the parts, sorted."""
    other_files: tuple[str, ...]
    """Visible files whose suffix is no picture's; they are not read."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        return {"source": self.path.as_posix(), "form": "folders"}

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        lines = [f"{printable(self.path.name)}: a tree of folders; each folder's name is a tag of what lies under it"]
        lines += [f"  {printable(post.key)} -> {printable(' | '.join(post.tags))}" for post in _firsts(self.posts(), 3)]
        if self.other_files:
            lines.append(f"  not read: {len(self.other_files):,} other files, such as {printable(self.other_files[0])}")
        return lines

    def posts(self) -> Iterator[Post]:
        """One post for each picture; those at the root have no tag."""
        for relative in self.pictures:
            tags = tuple(relative.split("/")[:-1])
            yield Post(key=relative, picture=self.path / relative, tags=tags, source=self.path.as_posix())


def open_folder(root: Path) -> FolderSource:
    """Lists a tree: files with a picture's suffix or none; hidden names and linked folders are passed over.

    Raises:
        UsageError: There is no picture, or a table lies at the root, whose tags would be lost.
    """
    pictures: list[str] = []
    others: list[str] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        for name in names:
            suffix = Path(name).suffix.lower()
            if not name.startswith("."):
                (pictures if suffix in SUFFIXES or not suffix else others).append((inside / name).as_posix())
    tables = [name for name in others if "/" not in name and Path(name).suffix.lower() in TABLE_SUFFIXES]
    if tables:
        raise UsageError(
            f"{root} holds the table {printable(min(tables))} and may be meant as a tree of class folders too; "
            f"give the table itself, or the pictures without it."
        )
    if not pictures:
        raise UsageError(f"{root} holds no pictures; give the folder whose subfolders are the tags, or a table.")
    return FolderSource(path=root, pictures=tuple(sorted(pictures)), other_files=tuple(sorted(others)))


def _firsts(posts: Iterator[Post], count: int) -> list[Post]:
    return [post for post, _ in zip(posts, range(count), strict=False)]
