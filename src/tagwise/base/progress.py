"""Talk while working: on stderr, a bar on a terminal, plain lines in a pipe.

Results never pass through here; they go to stdout.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tagwise.base.durations import clock

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines about the same work."""


def printable(text: str, most: int = 200) -> str:
    """Text of strangers made safe for a terminal: no control, format or bidi characters.

    Args:
        text: A tag, a caption, a file name.
        most: Characters kept; a longer text ends in ``...``.
    """
    kept = "".join(
        character if unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in text[: most + 1]
    )
    return kept if len(kept) <= most else kept[: most - 3] + "..."


def printable_lines(text: str) -> str:
    """Whole lines made safe for a terminal."""
    return "\n".join(printable(line, len(line)) for line in text.split("\n"))


def say(text: str = "") -> None:
    """Lines of talk; names of strangers in them cannot steer the terminal."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def fancy() -> bool:
    """Whether stderr is a terminal that may be redrawn."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Ticker:
    """What a loop tells of its progress; see ``progress``."""

    def __init__(self, what: str, total: int, unit: str, bar: Any, done: int) -> None:
        self._what, self._total, self._unit, self._bar = what, total, unit, bar
        self._done = self._start_done = done
        self._start = self._last_line = time.monotonic()

    def advance(self, count: int = 1, **facts: float) -> None:
        """Says that ``count`` more are done; ``facts`` are shown beside the rate (``loss=1.2``)."""
        self._done += count
        now = time.monotonic()
        rate = (self._done - self._start_done) / max(now - self._start, 1e-9)
        described = "".join(f"  {name} {value:.4g}" for name, value in facts.items())
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=self._done, facts=f"{rate:,.0f} {self._unit}/s{described}")
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            left = clock((self._total - self._done) / max(rate, 1e-9))
            say(
                f"{self._what}: {self._done:,} of {self._total:,} {self._unit}, "
                f"{rate:,.0f} {self._unit}/s, {left} left{described}"
            )


@contextmanager
def progress(what: str, total: int, unit: str = "pictures", done: int = 0) -> Iterator[Ticker]:
    """Shows how far a loop is.

    Args:
        what: The work, as a noun or verb phrase: ``"pretraining"``.
        total: How many there are in all.
        unit: What is counted, in the plural.
        done: How many were done before (a continued run).
    """
    if not fancy():
        yield Ticker(what, total, unit, None, done)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, facts="")
        yield Ticker(what, total, unit, (bar, task), done)
