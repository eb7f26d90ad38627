"""A table at an address: copied, and read from the copy."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.progress import printable
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

    def posts(self) -> Iterator[Post]:
        """The table's posts; pictures beside it are beside it at its address."""
        for post in self.table.posts():
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
        source = CopiedTable(address=address, copy=copy, table=open_table(copy, columns))
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)
    return source
