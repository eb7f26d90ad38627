"""Pictures read from files while a training runs: worker processes decode and crop, uint8 comes back.

A worker that dies or hangs takes the picture it had in hand out of the training, by name, and
nothing else: a new worker does the rest again.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.base.progress import printable, say
from tagwise.pixels.batches import Batch, Request, label_batch
from tagwise.pixels.place import PictureRefused, Place

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

AHEAD = 2
"""Batches that each worker may be ahead of the training."""
HUNG_SECONDS = 120.0
"""A picture that takes longer is given up."""
MAX_LEFT_OUT_FRACTION = 0.01
"""Of all pictures; when more cannot be read, the corpus is no longer what was gathered."""
_MOST_DEATHS = 3
"""Workers that may die one after the other without having read a single picture."""

Reader = Callable[[Place, int], NDArray[np.uint8]]
"""A picture and the number that varies it, to uint8 [side, side, 3]; what a worker runs."""


def leave_out(row: int, reason: str, places: Sequence[Place], left_out: set[int], remedy: str) -> None:
    """Takes a picture out of a training, once, and says so.

    Args:
        row: Of the picture; it is put into ``left_out``.
        reason: Why, as a clause.
        places: Where all pictures are, by row.
        left_out: Rows that were taken out before.
        remedy: What to do when there are too many, as a command.

    Raises:
        DataRefused: There are too many.
    """
    if row in left_out:
        return
    left_out.add(row)
    say(f"{printable(str(places[row]))} is left out of the training: {reason}.")
    if len(left_out) > max(1, MAX_LEFT_OUT_FRACTION * len(places)):
        raise DataRefused(f"{len(left_out):,} of {len(places):,} pictures can no longer be read; {remedy}.")


@dataclass(kw_only=True, eq=False)
class FilePictures:
    """Labelled pictures in files, decoded and varied as they are asked for.

    Args:
        places: Where they are, by row.
        ids: Label ids of all pictures, one after the other.
        offsets: Where each picture's ids begin; one more than pictures.
        read: Makes a square out of a picture; has to survive pickling.
        side: Of the squares, in pixels.
        workers: Processes.
    """

    places: Sequence[Place]
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    read: Reader
    side: int
    workers: int
    hung_seconds: float = HUNG_SECONDS
    left_out: set[int] = field(default_factory=set)
    """Rows that could not be read."""

    def batches(self, requests: Iterable[Request]) -> Generator[Batch]:
        """The asked batches in order, without the pictures that cannot be read.

        Raises:
            DataRefused: Too many pictures cannot be read.
            TagwiseError: Workers die without reading anything.
        """
        asked: deque[_Task] = deque()
        with self._staff() as staff:
            for request in requests:
                task = _Task(request=request)
                asked.append(task)
                staff.give(task)
                if len(asked) > AHEAD * self.workers:
                    yield self._batch(staff.finished(asked.popleft()))
            while asked:
                yield self._batch(staff.finished(asked.popleft()))

    def leave_out(self, row: int, reason: str) -> None:
        """Takes a picture out of the training, and says so."""
        leave_out(row, reason, self.places, self.left_out, "gather them again")

    def _batch(self, task: _Task) -> Batch:
        assert task.images_BHWC is not None
        return label_batch(task.images_BHWC, self.ids, self.offsets, task.rows)

    @contextmanager
    def _staff(self) -> Iterator[_Staff]:
        staff = _Staff(self)
        try:
            yield staff
        finally:
            staff.dismiss()


@dataclass(kw_only=True, eq=False)
class _Task:
    """A batch on its way."""

    request: Request
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Those that could be read."""
    images_BHWC: Tensor | None = None


class _Worker:
    """A process with room for ``AHEAD`` batches in memory that both sides see."""

    def __init__(self, pictures: FilePictures, most: int) -> None:
        context = multiprocessing.get_context("spawn")
        room = torch.empty(AHEAD, most, pictures.side, pictures.side, 3, dtype=torch.uint8)
        self.room: Tensor = room.share_memory_()  # type: ignore[no-untyped-call]
        self.row = context.Value("q", -1, lock=False)
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, self.room, self.row, pictures.read), daemon=True
        )
        with _deaf():
            self.process.start()
        theirs.close()
        self.tasks: deque[_Task] = deque()
        self.last_sign = time.monotonic()
        self.last_row = -1

    def hangs(self, seconds: float) -> bool:
        """Whether it has been at one picture for too long; before the first one it has to start, which is slow."""
        if self.row.value < 0 or self.row.value != self.last_row:
            self.last_row, self.last_sign = self.row.value, time.monotonic()
        return time.monotonic() - self.last_sign > seconds


class _Staff:
    """The workers, and which batch each of them has in hand."""

    def __init__(self, pictures: FilePictures) -> None:
        self._pictures = pictures
        self._workers: list[_Worker] = []
        self._waiting: deque[_Task] = deque()
        self._most = 0
        self._deaths = 0

    def give(self, task: _Task) -> None:
        self._most = max(self._most, len(task.request.rows))
        while len(self._workers) < self._pictures.workers:
            self._workers.append(_Worker(self._pictures, self._most))
        self._waiting.append(task)
        self._hand_out()

    def finished(self, task: _Task) -> _Task:
        """Waits until the task is done."""
        while task.images_BHWC is None:
            self._hand_out()
            ready = wait([worker.connection for worker in self._workers], timeout=0.2)
            for worker in list(self._workers):
                if worker.connection in ready:
                    self._receive(worker)
                elif worker.hangs(self._pictures.hung_seconds):
                    worker.process.kill()
                    self._replace(worker, f"reading it took more than {self._pictures.hung_seconds:.0f} s")
        return task

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()

    def _hand_out(self) -> None:
        while self._waiting:
            worker = min(self._workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= AHEAD:
                return
            task = self._waiting.popleft()
            wanted = [row not in self._pictures.left_out for row in task.request.rows.tolist()]
            task.rows, numbers = task.request.rows[wanted], task.request.numbers[wanted]
            places = [self._pictures.places[row] for row in task.rows.tolist()]
            worker.tasks.append(task)
            try:
                worker.connection.send((places, task.rows.tolist(), numbers.tolist()))
            except OSError:
                self._replace(worker, "the process that read it died")

    def _receive(self, worker: _Worker) -> None:
        try:
            slot, refused = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            code = worker.process.exitcode
            self._replace(worker, f"the process that read it died ({_cause(code)})")
            return
        self._deaths = 0
        task = worker.tasks.popleft()
        good = [place for place in range(len(task.rows)) if place not in refused]
        for place, reason in refused.items():
            self._pictures.leave_out(int(task.rows[place]), reason)
        task.images_BHWC = worker.room[slot, : len(task.rows)][good].clone()
        task.rows = task.rows[good]

    def _replace(self, worker: _Worker, reason: str) -> None:
        """A new worker for one that is lost; what it had in hand is done again, without the picture it failed at."""
        row = worker.row.value
        if row >= 0:
            self._pictures.leave_out(row, reason)
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            raise TagwiseError(
                f"{self._deaths} processes that read pictures died one after the other ({reason}); "
                "give fewer --workers if memory is short."
            )
        self._waiting.extendleft(reversed(worker.tasks))
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        self._workers[self._workers.index(worker)] = _Worker(self._pictures, self._most)


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started here hears no SIGINT or SIGTERM from its first instant on.

    torchrun, schedulers and terminals send them to whole groups of processes; what they mean the training decides.
    """
    resource_tracker.ensure_running()  # which the first start would do, and let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(code: int | None) -> str:
    if code == -9:
        return "killed, as the system does when memory runs out"
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _work(connection: Connection, room: Tensor, row: Any, read: Reader) -> None:
    """A worker's life: batches in, squares into the shared room, in turn; ends when nobody asks any more."""
    torch.set_num_threads(1)
    slot = 0
    while True:
        try:
            places, rows, numbers = connection.recv()
        except EOFError:
            return
        refused: dict[int, str] = {}
        for at, (place, number) in enumerate(zip(places, numbers, strict=True)):
            row.value = rows[at]
            try:
                room[slot, at] = torch.from_numpy(read(place, number))
            except PictureRefused as refusal:
                refused[at] = refusal.reason
        row.value = -1
        connection.send((slot, refused))
        slot = (slot + 1) % AHEAD
