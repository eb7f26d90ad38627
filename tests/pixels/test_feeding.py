"""Pictures read by worker processes: the same as read at once, and without those that kill or hang a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwise.base.errors import DataRefused, TagwiseError
from tagwise.pixels.batches import LabelledPictures, Request
from tagwise.pixels.feeding import FilePictures
from tagwise.pixels.place import PictureRefused, Place

SIDE = 4


def pixels(name: str, number: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), (int(name) * 7 + number) % 256, np.uint8)


def read(place: Place, number: int) -> NDArray[np.uint8]:
    """What a worker runs in these tests; names of pictures say what becomes of it."""
    kind, _, name = place.path.rpartition("/")
    if kind == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "endless":
        time.sleep(1000)
    if kind == "signalling":
        os.killpg(0, signal.SIGTERM)
    if kind == "broken":
        raise PictureRefused("it is broken", place.path)
    return pixels(name, number)


def pictures(kinds: dict[int, str], count: int = 200, **settings: object) -> FilePictures:
    places = [Place(f"{kinds[row]}/{row}" if row in kinds else str(row)) for row in range(count)]
    sizes = np.arange(count) % 3 + 1
    return FilePictures(
        **{
            "places": places,
            "ids": np.arange(sizes.sum(), dtype=np.int32),
            "offsets": np.concatenate([[0], np.cumsum(sizes)]),
            "read": read,
            "side": SIDE,
            "workers": 2,
            **settings,
        }  # type: ignore[arg-type]
    )


def requests(batches: int, batch: int = 5, count: int = 200) -> list[Request]:
    rows = np.random.Generator(np.random.PCG64(0)).integers(0, count, (batches, batch))
    return [Request(rows=row, numbers=100 * step + np.arange(batch)) for step, row in enumerate(rows)]


def test_workers_give_what_reading_at_once_gives() -> None:
    fed = pictures({})
    wanted = requests(9)
    found = list(fed.batches(wanted))
    assert len(found) == 9
    for request, batch in zip(wanted, found, strict=True):
        squares = [pixels(str(row), number) for row, number in zip(request.rows, request.numbers, strict=True)]
        whole = np.zeros((200, SIDE, SIDE, 3), np.uint8)
        plain = LabelledPictures(images_NHWC=whole, ids=fed.ids, offsets=fed.offsets).batch(request.rows)
        assert batch.images_BHWC.tolist() == np.stack(squares).tolist()
        assert batch.ids.tolist() == plain.ids.tolist()
        assert batch.offsets.tolist() == plain.offsets.tolist()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("deadly", "killed, as the system does when memory runs out"), ("endless", "more than"), ("broken", "is broken")],
)
def test_a_picture_that_harms_a_worker_is_named_and_the_rest_goes_on(
    kind: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fed = pictures({3: kind}, hung_seconds=20.0 if kind != "endless" else 1.0)
    rows = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7], [3, 8, 9]])
    wanted = [Request(rows=row, numbers=np.zeros(3, np.int64)) for row in rows]
    found = list(fed.batches(wanted))
    kept = [[row for row in request.rows.tolist() if row != 3] for request in wanted]
    assert [batch.images_BHWC[:, 0, 0, 0].tolist() for batch in found] == [[row * 7 for row in part] for part in kept]
    assert fed.left_out == {3}
    said = capsys.readouterr().err
    assert said.count(f"{kind}/3 is left out of the training") == 1
    assert reason in said


SIGNALLED = """
import os, signal
from tagwise.pixels import feeding
from tests.pixels.test_feeding import pictures, requests

def asked():
    for request in requests(6):
        yield request
        os.killpg(0, signal.SIGTERM)  # from the second on; workers have just been started

heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
feeding._Staff._replace = None  # nobody dies
fed = pictures(dict.fromkeys(range(0, 200, 5), "signalling"))
batches = fed.batches(asked())
found = [next(batches) for _ in range(6)]
print([len(batch.images_BHWC) for batch in found], fed.left_out, bool(heard), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_p13_a_signal_to_the_whole_group_takes_no_picture_out_and_workers_end_with_the_training() -> None:
    """torchrun, SLURM and terminals signal groups. What is said ends when the last process that could say it does."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=120, start_new_session=True
    )
    assert done.stdout == "[5, 5, 5, 5, 5, 5] set() True\n", done.stderr
    assert done.returncode == -signal.SIGKILL


def test_too_many_unreadable_pictures_are_no_training() -> None:
    fed = pictures(dict.fromkeys(range(20), "broken"))
    with pytest.raises(DataRefused, match="can no longer be read; gather them again"):
        list(fed.batches([Request(rows=np.arange(20), numbers=np.zeros(20, np.int64))]))


class Deadly:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)

    def __call__(self, place: Place, number: int) -> NDArray[np.uint8]:
        raise AssertionError((place, number))


def test_workers_that_never_live_end_the_training_with_a_sentence() -> None:
    fed = pictures({}, read=Deadly(), workers=1)
    with pytest.raises(TagwiseError, match="give fewer --workers if memory is short"):
        list(fed.batches(requests(2)))
