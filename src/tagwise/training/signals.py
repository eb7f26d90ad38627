"""SIGINT and SIGTERM while something is trained that can be saved."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tagwise.base.progress import say

REPEAT_SECONDS = 0.5
"""A signal that comes again sooner is the same one by another way."""


@contextmanager
def stop_signals(wanted: bool) -> Iterator[list[int]]:
    """A list that receives SIGINT or SIGTERM; the same signal some time later then acts as it always does.

    Sooner it is no second one: torchrun and schedulers pass on what the whole group of processes got already.
    """
    received: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    came: dict[int, float] = {}

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        if number not in came:
            came[number] = time.monotonic()
            say("Stopping after this step; once more stops at once.")
        elif time.monotonic() - came[number] > REPEAT_SECONDS:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    try:
        for number in before:
            signal.signal(number, receive)
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
