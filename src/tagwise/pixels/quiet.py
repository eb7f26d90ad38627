"""Silence about odd metadata and damage while any thread decodes; what matters of them is told as notes and reasons."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_depth = 0
_filters: warnings.catch_warnings[None] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Pillow's warnings silent in the block, whichever threads are in it.

    ``catch_warnings`` swaps a list that all threads share: the first one in swaps, the last one out swaps back.
    """
    global _depth, _filters
    with _lock:
        if _depth == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.simplefilter("ignore")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _filters is not None:
                _filters.__exit__(None, None, None)
                _filters = None


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps off the terminal what C libraries, libtiff first of all, say there of damaged pictures; Python still talks.

    All threads share the one stderr, so this stands around the work on many pictures and not around each.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    encoding = getattr(sys.stderr, "encoding", None)
    with open(terminal, "w", encoding=encoding, errors="backslashreplace") as talk:  # noqa: PTH123 - a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            with redirect_stderr(talk if sys.stderr is sys.__stderr__ else sys.stderr):
                yield
        finally:
            os.dup2(terminal, 2)
