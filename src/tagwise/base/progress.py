"""Talk while working: on stderr, a bar on a terminal, plain lines in a pipe.

Results never pass through here; they go to stdout.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tagwise.base.durations import clock

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines about the same work."""


def printable(text: str, most: int = 200) -> str:
    """Text of strangers made safe for a terminal: no control, format or bidi characters but joiners that belong there.

    Args:
        text: A tag, a caption, a file name.
        most: Characters kept; a longer text ends in ``...``.
    """
    cut = text if len(text) <= most else text[: most - 3] + "..."
    if cut.isprintable():
        return cut
    return "".join(
        character if unicodedata.category(character)[0] != "C" or joins(cut, place) else "\N{REPLACEMENT CHARACTER}"
        for place, character in enumerate(cut)
    )


def counted(count: int, noun: str) -> str:
    """A count with what is counted, given in the singular: ``1 label``, ``2,000 labels``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def joins(text: str, place: int) -> bool:
    """Whether a zero width (non-)joiner at this place shapes what people see, as in emoji, Persian and Hindi.

    It stands between two letters, marks, numbers or symbols; between two of ASCII it would only be hidden.
    """
    beside = text[place - 1 : place] + text[place + 1 : place + 2]
    return (
        text[place] in "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
        and len(beside) == 2
        and not beside.isascii()
        and all(unicodedata.category(character)[0] in "LMNS" for character in beside)
    )


def printable_lines(text: str) -> str:
    """Whole lines made safe for a terminal."""
    return "\n".join(printable(line, len(line)) for line in text.split("\n"))


def talks() -> bool:
    """Whether this process speaks for all that torchrun started: it is the first of them, or alone."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str = "") -> None:
    """Lines of talk; names of strangers in them cannot steer the terminal, and work goes on when nobody listens."""
    if not talks():
        return
    try:
        print(printable_lines(text), file=sys.stderr, flush=True)
    except OSError:
        lead_nowhere(sys.stderr)


def lead_nowhere(stream: TextIO) -> None:
    """Lets a stream whose reader has left swallow what it holds and all that follows."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def fancy() -> bool:
    """Whether stderr is a terminal that may be redrawn, and there is what redraws it: the hub has torch alone."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return talks() and not plain and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None


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
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total, completed=done, facts="")
    bar.start()
    try:
        yield Ticker(what, total, unit, (bar, task), done)
    finally:
        try:
            bar.stop()
            sys.stderr.flush()
        except OSError:  # the terminal is gone, and what is left for it would fail at the end
            lead_nowhere(sys.stderr)
