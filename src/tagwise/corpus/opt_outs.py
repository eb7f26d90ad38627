"""Wishes to be left alone: how a source states them, and the list that a person gives."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING, Any

from tagwise.pixels.addresses import is_address, public
from tagwise.tags.key import canonical_key

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO = ("", "none", "false", "f", "no", "n", "0", "0.0")


def is_opt_out_name(name: str) -> bool:
    """Whether a column or a field of this name states the wish: opt_out, Opted-Out and the like."""
    return canonical_key(name) in ("optout", "optedout")


def is_opt_out(value: Any) -> bool:
    """Whether its value does. Whatever is no clear no is a yes: a wish to be left alone must not be overlooked."""
    return str(value).strip().casefold() not in _NO


class OptOuts:
    """Owners and keys that are to be left alone, and which of them were met.

    ``./photos//x.jpg`` names the key ``photos/x.jpg``, and Unicode's normal forms of a name are one name.

    Args:
        lines: Owners and keys as a person wrote them.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._lines = {line: _canonical(line) for line in lines}
        self._wanted = {*self._lines.values()}
        self._met: set[str] = set()

    def hold(self, *names: str | None) -> bool:
        """Whether one of a post's names is among them."""
        if not self._wanted:
            return False
        found = self._wanted.intersection(_canonical(name) for name in names if name is not None)
        self._met |= found
        return bool(found)

    @property
    def lines(self) -> list[str]:
        """The lines, each once, sorted."""
        return sorted(self._lines)

    def unmet(self) -> list[str]:
        """The lines that named nobody so far."""
        return [line for line in self.lines if self._lines[line] not in self._met]


def _canonical(name: str) -> str:
    return unicodedata.normalize("NFC", public(name) if is_address(name) else os.path.normpath(name))
