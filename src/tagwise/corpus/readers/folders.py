"""A tree of pictures: class folders, whose names are the tags, or sidecars, whichever it has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.post import Post
from tagwise.corpus.readers.sidecars import (
    SIDECAR_SUFFIXES,
    SidecarSource,
    find_sidecars,
    open_sidecars,
    refuse_columns,
    sample_lines,
)
from tagwise.corpus.readers.tables import TABLE_SUFFIXES, Columns
from tagwise.pixels.decode import SUFFIXES
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

_FEW_SIDECARS = 0.05  # share of the pictures; below it they are stray files in class folders
_MANY_SIDECARS = 0.5
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """The pictures of a tree of class folders, listed once: each folder below the root is a tag."""

    path: Path
    """The root."""
    pictures: tuple[str, ...]
    """Relative to the root, ``/`` between the parts, sorted."""
    other_files: tuple[str, ...]
    """Visible files whose suffix is no picture's; they are not read."""
    not_read: tuple[str, ...] = ()
    """Lines that tell what else was passed over."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        return {"source": self.path.as_posix(), "form": "folders"}

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        lines = [f"{printable(self.path.name)}: a tree of folders; each folder's name is a tag of what lies under it"]
        lines += sample_lines(self.posts())
        if self.other_files:
            lines.append(f"  not read: {len(self.other_files):,} other files, such as {printable(self.other_files[0])}")
        return [*lines, *self.not_read]

    def posts(self) -> Iterator[Post]:
        """One post for each picture; those at the root have no tag."""
        source = self.path.as_posix()
        for relative in self.pictures:
            tags = tuple(relative.split("/")[:-1])
            yield Post(key=relative, picture=Place(str(self.path / relative)), tags=tags, source=source)


def open_folder(root: Path, columns: Columns, only: Set[str] | None = None) -> FolderSource | SidecarSource:
    """Lists a tree: files with a picture's suffix or none; hidden names and linked folders are passed over.

    Args:
        root: The folder; keys begin below it.
        columns: What the person said; only a separator, and only of sidecars, can be meant.
        only: The pictures to take, relative to the root; None takes all.

    Raises:
        UsageError: There is no picture; a table lies at the root, whose tags would be lost; class folders
            hold sidecars too, of some pictures; or nothing says what the tags are.
        DataRefused: The sidecars are damaged.
    """
    listed, others, linked = _list_files(root)
    _refuse_tables(root, others)
    pictures = [picture for picture in listed if only is None or picture in only]
    if not pictures:
        shards = next((f"its shards as '{root}/*.tar'" for name in others if name.endswith(".tar")), "a table")
        raise UsageError(f"{root} holds no pictures; give the folder whose subfolders are the tags, or {shards}.")
    not_read = _passed_over("linked folders", linked)
    if only is not None:
        not_read = _passed_over(f"of {len(only):,} pictures, hidden or below linked folders", sorted(only - {*listed}))
    sidecars = find_sidecars(pictures, others)
    sidecars_fraction = len(sidecars) / len(pictures)
    has_classes = any("/" in picture for picture in pictures)
    if sidecars_fraction >= _MANY_SIDECARS or (sidecars and not has_classes):
        taken = {name for names in find_sidecars(listed, others).values() for name in names}
        strays = [name for name in others if name.lower().endswith(SIDECAR_SUFFIXES) and name not in taken]
        return open_sidecars(root, pictures, sidecars, strays, columns, not_read)
    if sidecars_fraction >= _FEW_SIDECARS:
        example = next(iter(sidecars.values()))[0]
        raise UsageError(
            f"{root} may be class folders or pictures with files of tags: {len(sidecars):,} of {len(pictures):,} "
            f"pictures have one, such as {printable(example)}; remove these or complete them."
        )
    if not has_classes:
        raise UsageError(
            f"{root} holds {len(pictures):,} pictures and nothing says their tags; put them into folders named "
            f"after the tags, or lay a .txt or .json of tags beside each, or give a table of paths and tags."
        )
    refuse_columns(columns, f"{root} has its tags in the folders' names")
    return FolderSource(path=root, pictures=tuple(pictures), other_files=tuple(others), not_read=not_read)


def _passed_over(what: str, names: list[str]) -> tuple[str, ...]:
    return (f"  not read: {len(names):,} {what}, such as {printable(names[0])}",) if names else ()


def _list_files(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Pictures, other files and linked folders below ``root``, each relative and sorted."""
    pictures: list[str] = []
    others: list[str] = []
    linked: list[str] = []
    for folder, subfolders, names in os.walk(root, onerror=_refuse_unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        linked += [(inside / name).as_posix() for name in subfolders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
        for name in names:
            suffix = Path(name).suffix.lower()
            if not name.startswith(".") and name.lower() not in _OF_THE_SYSTEM:
                (pictures if suffix in SUFFIXES or not suffix else others).append((inside / name).as_posix())
    return sorted(pictures), sorted(others), sorted(linked)


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise DataRefused(
        f"{error.filename} cannot be read ({error.strerror}); allow it, or leave the folder out."
    ) from error


def _refuse_tables(root: Path, others: list[str]) -> None:
    tables = [name for name in others if "/" not in name and name.lower().endswith(TABLE_SUFFIXES)]
    if tables:
        raise UsageError(
            f"{root} holds the table {printable(tables[0])} and may be meant as a tree of pictures too; "
            f"give the table itself, or the pictures without it."
        )
