"""The one tree of known errors; each carries the exit code of the command that meets it.

0 done, 1 the check or run failed, 2 wrong use, 3 data refused, 130 and 143 interrupted.
A message is one sentence: the thing, the place, the remedy.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class TagwiseError(Exception):
    """A run or check failed for a known reason."""

    exit_code = 1


class Diverged(TagwiseError):  # noqa: N818 - it says what happened
    """A training's loss or weights are no longer finite."""


class UsageError(TagwiseError):
    """The request itself is wrong: an unknown name, a flag out of range, a folder in use."""

    exit_code = 2


class DataRefused(TagwiseError):  # noqa: N818 - it says what happened
    """The data cannot be used honestly: too much is damaged, nothing is left, sets disagree."""

    exit_code = 3


class Interrupted(TagwiseError):  # noqa: N818 - as above
    """A signal stopped the work; what was done is saved.

    Args:
        signal_number: ``signal.SIGINT`` (exit code 130) or ``signal.SIGTERM`` (143).
        message: What was saved and how to go on.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 143 if signal_number == signal.SIGTERM else 130


def nearest(name: str, choices: Iterable[str], most: int = 3) -> list[str]:
    """Up to ``most`` choices that are spelled like ``name``, best first."""
    by_folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=most, cutoff=0.5)
    return [by_folded[folded] for folded in found]


def unknown(kind: str, name: str, choices: Iterable[str], where: str = "") -> UsageError:
    """The error for a name that is not among ``choices``, with its nearest neighbours.

    >>> str(unknown("law", "sqr", ["natural", "sqrt", "uniform"]))
    "There is no law 'sqr'; the nearest is sqrt."
    """
    known = list(choices)
    near = nearest(name, known)
    place = f" in {where}" if where else ""
    if near:
        verb = "is" if len(near) == 1 else "are"
        remedy = f"the nearest {verb} {', '.join(near)}"
    elif len(known) <= 12:
        remedy = f"there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none'}"
    else:
        remedy = f"there are {len(known)}, beginning with {', '.join(known[:3])}"
    return UsageError(f"There is no {kind} {name!r}{place}; {remedy}.")
