"""Every form of tagged pictures as posts. A reader trusts nothing: it does not open the pictures."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.corpus.readers.copied import CopiedTable, open_copied
from tagwise.corpus.readers.folders import open_folder
from tagwise.corpus.readers.patterns import NoSource, fixed_part, is_pattern, match, nearest_folder
from tagwise.corpus.readers.shards import SHARD_SUFFIXES, open_shards
from tagwise.corpus.readers.tables import TABLE_SUFFIXES, Columns, TableSource, open_table
from tagwise.pixels.addresses import is_address, public
from tagwise.pixels.decode import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tagwise.corpus.post import Post


class Source(Protocol):
    """Tagged pictures whose form is known."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record; the same when it is opened again."""

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""

    def posts(self) -> Iterator[Post]:
        """One post for each picture, in the same order each time.

        Raises:
            DataRefused: The source is damaged.
        """


@dataclass(frozen=True, kw_only=True)
class JoinedSource:
    """Tables or folders that one pattern matches."""

    name: str
    """The pattern."""
    parts: tuple[Source, ...]
    names: tuple[str, ...]
    """Of each part, below the fixed part of the pattern."""
    has_keys: bool
    """Whether a column was named for the keys: then equal keys mean one picture."""

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        return self.parts[0].form() | {"source": self.name}

    def described(self) -> list[str]:
        """Lines that tell how the first part is understood, with three samples."""
        return [f"{printable(self.name)}: {len(self.parts):,} of one form, the first:", *self.parts[0].described()]

    def posts(self) -> Iterator[Post]:
        """The parts' posts, one part after the other; keys of parts in several folders begin with the folder."""
        met: set[str] = set()
        addresses: dict[str, str] = {}
        for part, name in zip(self.parts, self.names, strict=True):
            table = part if isinstance(part, TableSource | CopiedTable) else None
            folder = f"{name}/" if table is None else name[: name.rfind("/") + 1]
            for post in part.posts() if table is None else table.posts(addresses):
                key = folder + post.key
                # A row's number, or the name that a picture inside a table once had, may come again in another table.
                inside = isinstance(post.picture, bytes) and not self.has_keys
                if table is not None and (re.fullmatch(r"row \d+", post.key) or (inside and key in met)):
                    key = f"{name} {post.key}"
                if inside:
                    met.add(key)
                yield replace(post, key=key)


def open_source(path: str | Path, columns: Columns | None = None) -> Source:
    """Finds out which form a source has.

    Args:
        path: A folder of class folders, of pictures with files of tags beside them, or saved by Hugging Face's
            datasets; a table; a tar shard; a pattern of these or of pictures, ``shards-*.tar``,
            ``photos/**/*.jpg``, ``shards-{000..123}.tar``; or the address of tables or shards, which must
            be a ``str`` (a ``Path`` drops one of its slashes).
        columns: What the person said about a table; the rest is guessed.

    Raises:
        NoSource: Nothing is there.
        UsageError: The form is unknown or ambiguous, a pattern matches several forms, columns were named for a form
            that has none, or an address needs what is not installed.
        DataRefused: The source is damaged.
    """
    name, columns = str(path), columns or Columns()
    if not is_pattern(name):
        return _open_one(name, columns)
    places = match(name)
    forms = {_form_of(place): place for place in reversed(places)}
    if len(forms) > 1:
        found = " and ".join(f"{form} ({printable(public(place))})" for form, place in sorted(forms.items()))
        raise UsageError(f"{public(name)} matches {found}; write a pattern of one form.")
    [form] = forms
    if form == "shards":
        for place in places:
            _refuse_pipe(place)
        return open_shards(public(_absolute(name)), places, columns)
    if form == "pictures":
        base = fixed_part(_absolute(name))
        return open_folder(Path(base), columns, only=frozenset(place.removeprefix(base) for place in places))
    return _open_joined(name, places, columns)


def _form_of(place: str) -> str:
    if not is_address(place) and Path(place).is_dir():
        return "folders"
    file = (urlsplit(place).path if is_address(place) else place).lower()
    if file.endswith(SHARD_SUFFIXES):
        return "shards"
    if file.endswith(TABLE_SUFFIXES):
        return "tables"
    return "pictures" if Path(file).suffix in SUFFIXES else "other files"


def _open_one(name: str, columns: Columns) -> Source:
    place = _absolute(name)
    if not is_address(name) and not os.path.exists(place):  # noqa: PTH110 - Path raises on names that are too long
        raise NoSource(f"There is no {name}; the nearest folder that is there is {nearest_folder(place)}.")
    _refuse_pipe(place)
    form = _form_of(place)
    if form == "shards":
        return open_shards(public(place), [place], columns)
    if form == "tables":
        return _open_table_at(place, columns)
    if form == "folders":
        return _open_folder(Path(place), columns)
    raise UsageError(
        f"{printable(public(name))} is no {'' if is_address(name) else 'folder, no '}tar shard and no table "
        f"({', '.join(TABLE_SUFFIXES)}); give one of these."
    )


def _refuse_pipe(place: str) -> None:
    """Reading one would wait for its writer, and it can be read only once."""
    if not is_address(place) and not (os.path.isfile(place) or os.path.isdir(place)):  # noqa: PTH112, PTH113 - long names
        raise UsageError(f"{printable(place)} is no regular file; give a file that can be read more than once.")


def _open_table_at(place: str, columns: Columns) -> Source:
    if is_address(place):
        return open_copied(place, columns)
    return open_table(Path(place), columns)


def _open_folder(folder: Path, columns: Columns) -> Source:
    if any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        from tagwise.corpus.readers.tables import open_dataset

        return open_dataset(folder, columns)
    return open_folder(folder, columns)


def _open_joined(name: str, places: list[str], columns: Columns) -> JoinedSource:
    """What the first table is found to be holds for the others too."""
    first = _open_one(places[0], columns)
    settled = first.columns if isinstance(first, TableSource | CopiedTable) else columns
    parts = (first, *(_open_one(place, settled) for place in places[1:]))
    for part, place in zip(parts, places, strict=True):
        if part.form()["form"] != first.form()["form"]:
            raise UsageError(
                f"{public(name)} matches {first.form()['form']} ({printable(public(places[0]))}) and "
                f"{part.form()['form']} ({printable(public(place))}); write a pattern of one form."
            )
    names = [place.removeprefix(fixed_part(_absolute(name))) for place in places]
    return JoinedSource(name=public(_absolute(name)), parts=parts, names=tuple(names), has_keys=settled.key is not None)


def _absolute(name: str) -> str:
    return name if is_address(name) else os.path.abspath(name)  # noqa: PTH100 - a text
