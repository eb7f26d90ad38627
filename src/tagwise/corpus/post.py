"""What every reader yields: one picture with one person's tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tagwise.pixels.place import Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A picture as somebody posted it; nothing in it has been checked yet."""

    key: str
    """Names the post in its corpus, the same on every machine: the picture's path as its source writes it."""
    picture: Place | bytes | None
    """Where it should be, or its bytes where a table holds them; None in a table of tags alone."""
    tags: tuple[str, ...]
    """Raw, in their order, repeated ones kept."""
    owner: str | None = None
    """Who tagged it, where the source says so."""
    licence: str | None = None
    """The picture's licence, where the source says so."""
    opted_out: bool = False
    """Whether a column of the source says that its owner wants it left alone."""
    source: str | None = None
    """The table or folder that the post was read from."""

    @property
    def where(self) -> str:
        """Where its picture is, in words."""
        if isinstance(self.picture, bytes):
            return f"{len(self.picture)} bytes in a table"
        return "" if self.picture is None else str(self.picture)
