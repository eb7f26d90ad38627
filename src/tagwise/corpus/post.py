"""What every reader yields: one picture with one person's tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A picture as somebody posted it; nothing in it has been checked yet."""

    key: str
    """Names the post in its corpus, the same on every machine: the picture's path as its source writes it."""
    picture: Path
    """Where the picture should be."""
    tags: tuple[str, ...]
    """Raw, in their order, repeated ones kept."""
    owner: str | None = None
    """Who tagged it, where the source says so."""
    licence: str | None = None
    """The picture's licence, where the source says so."""
    source: str | None = None
    """The table or folder that the post was read from."""
