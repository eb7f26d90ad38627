"""Verdicts on pictures, kept while a corpus is gathered, so that a kill costs no picture a second look."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.base.settings import from_plain, to_plain
from tagwise.corpus.intake import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 5.0
"""So much work is lost at most."""


def read_journal(path: Path) -> dict[str, Verdict]:
    """The verdicts by stamp; a torn or foreign line ends the reading."""
    known: dict[str, Verdict] = {}
    try:
        with path.open(encoding="utf-8") as handle:
            for line in handle:
                verdict = from_plain(Verdict, json.loads(line), str(path))
                known[verdict.stamp] = verdict
    except (OSError, ValueError, UsageError):
        pass
    return known


@contextmanager
def write_journal(path: Path, known: dict[str, Verdict]) -> Iterator[Callable[[Verdict], None]]:
    """Appends each new verdict that a picture was read for.

    Args:
        path: Of the journal; what is readable in it is written anew, without a torn end.
        known: Its verdicts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as handle:
        flushed = time.monotonic()

        def note(verdict: Verdict) -> None:
            nonlocal flushed
            if not verdict.stamp or known.get(verdict.stamp) == verdict:
                return
            handle.write(json.dumps(to_plain(verdict)) + "\n")
            if time.monotonic() - flushed > SECONDS:
                handle.flush()
                flushed = time.monotonic()

        for verdict in known.values():
            handle.write(json.dumps(to_plain(verdict)) + "\n")
        handle.flush()
        yield note
