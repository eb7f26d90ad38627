"""Work on many pictures at once; Pillow gives up the interpreter lock while it decodes and resizes."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from tagwise.base.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 16  # items a worker may be ahead of the reader: enough to hide slow files, little memory


def map_in_order(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Yields ``function(item)`` for every item, in order, computed by threads a few items ahead.

    Args:
        function: Called in a thread; its exceptions come out at its item's place.
        items: Taken only as far as the work needs them.
        workers: Threads; by default one for each processor.

    Raises:
        UsageError: ``workers`` is below one.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 1:
        raise UsageError(f"Work needs at least one worker, not {count}.")
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
