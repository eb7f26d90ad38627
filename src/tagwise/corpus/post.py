"""What every reader yields: one picture with one person's tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagwise.pixels.addresses import public

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
    """Whether its source, or the list that a person gave, says that its owner wants it left alone."""
    damage: str = ""
    """Why it cannot be used, where its reader knows: its tags are damaged, or it is a link in a tar."""
    source: str | None = None
    """The table or folder that the post was read from."""

    @property
    def where(self) -> str:
        """Where its picture is, in words that may be passed on."""
        if isinstance(self.picture, bytes):
            return f"{len(self.picture)} bytes in a table"
        return "" if self.picture is None else public(str(self.picture))
