"""A table at an address: copied, and read from the copy."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.readers.guess import NoPictures
from tagwise.corpus.readers.tables import Columns, TableSource, open_table
from tagwise.pixels.addresses import open_address, public
from tagwise.pixels.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tagwise.corpus.post import Post


@dataclass(frozen=True, kw_only=True)
class CopiedTable:
    """A table at an address, read from a copy that goes when this object does."""

    address: str
    copy: Path
    table: TableSource

    @property
    def columns(self) -> Columns:
        """With nothing left to guess."""
        return self.table.columns

    def form(self) -> dict[str, str]:
        """What decides how the source is read, for the record."""
        return self.table.form() | {"source": public(self.address), "read": "from a temporary copy"}

    def described(self) -> list[str]:
        """Lines that tell how the source is understood, with three samples."""
        return [*self.table.described(), f"  copied from {printable(public(self.address))} for as long as it is read"]

    def posts(self, addresses: dict[str, str] | None = None) -> Iterator[Post]:
        """The table's posts; pictures beside it are beside it at its address."""
        with _named(self.copy, self.address):
            for post in self.table.posts(addresses):
                yield replace(post, picture=self._beside(post.picture), source=public(self.address))

    def _beside(self, picture: Place | bytes | None) -> Place | bytes | None:
        folder = f"{self.copy.parent}{os.sep}"
        if not isinstance(picture, Place) or not picture.path.startswith(folder):
            return picture
        return replace(picture, path=f"{self.address.rpartition('/')[0]}/{picture.path[len(folder) :]}")


def open_copied(address: str, columns: Columns) -> CopiedTable:
    """Copies a table from its address and opens the copy.

    Raises:
        UsageError: As ``open_address`` and ``open_table``.
        DataRefused: As ``open_address`` and ``open_table``.
    """
    folder = Path(tempfile.mkdtemp(prefix="tagwise-table-"))
    try:
        copy = folder / public(address).rpartition("/")[2]
        with open_address(address) as remote, copy.open("wb") as local:
            shutil.copyfileobj(remote, local)
        with _named(copy, address):
            source = CopiedTable(address=address, copy=copy, table=_opened(copy, address, columns))
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)
    return source


def _opened(copy: Path, address: str, columns: Columns) -> TableSource:
    """The pictures are not beside the copy, so that the ends of their names alone say which column has them."""
    try:
        return open_table(copy, columns)
    except NoPictures as error:
        if len(error.columns) != 1:
            raise UsageError(
                f"No column of {public(address)} alone names pictures; say with --picture-column which one does."
            ) from error
        return open_table(copy, replace(columns, picture=error.columns[0]))


@contextmanager
def _named(copy: Path, address: str) -> Iterator[None]:
    """Errors name the address: nobody knows the copy."""
    try:
        yield
    except (UsageError, DataRefused) as error:
        kind = UsageError if isinstance(error, UsageError) else DataRefused
        raise kind(str(error).replace(str(copy), public(address))) from error
