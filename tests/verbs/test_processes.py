"""One command in two processes, as torchrun starts it: each picture once, the same after a kill as without one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tagwise.training.runs import read_run
from tests.verbs.road import SMALL, Road

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
MODEL = "model.safetensors"


DIES_IN_A_WRITE = """
import os, signal, sys
from pathlib import Path
from tagwise.cli import main
from tagwise.training import checkpoints

died, save = Path(sys.argv.pop(1)), checkpoints.torch.save

def save_half(state, handle, **settings):
    seen = state.get("seen", 0) if isinstance(state, dict) else 0  # else tensors for another process
    if seen < 600 or died.exists():
        return save(state, handle, **settings)
    died.touch()
    handle.write(b"PK half of it")
    handle.flush()
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    checkpoints.torch.save = save_half
    main()
"""
"""The command, but the first time that a checkpoint of 600 pictures or more is half-written its process dies."""


TELLS_WHO_IS_LEFT = """
import atexit, sys
from pathlib import Path
from tagwise.cli import main

def tell():
    left = [name for name in Path("/proc/self/task").glob("*/comm") if "gloo" in name.read_text()]
    sys.stderr.write(f"{len(left)} threads left\\n")

if __name__ == "__main__":
    atexit.register(tell)
    main()
"""
"""The command; as it ends, it tells how many threads that talk to the others are still there.

Such a thread aborts the process if it wants the interpreter's lock when that is being taken down.
"""


def start(
    *arguments: str | Path, restarts: int = 0, program: tuple[str | Path, ...] = ("-m", "tagwise")
) -> subprocess.Popen[str]:
    words = [*TORCHRUN, "--max-restarts", str(restarts), *map(str, program), *map(str, arguments)]
    return subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


def pretrain(road: Road, out: Path) -> tuple[str | Path, ...]:
    """Six epochs of 150 pictures: a checkpoint after each."""
    images = ("--images", "1800", "--batch", "12")
    return "pretrain", road / "corpus", "--labels", road / "space.json", "-o", out, *images, *SMALL, "--json"


def losses(folder: Path) -> list[tuple[int, float, float]]:
    return [(line.seen, line.loss, line.rate) for line in read_run(folder).log()]


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


@pytest.fixture(scope="module")
def undisturbed(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("two")
    folder, program = place / "run", place / "program.py"
    program.write_text(TELLS_WHO_IS_LEFT)
    out, err = finish(start(*pretrain(road, folder), program=(program,)))
    result = json.loads(out)  # one process talks, once
    assert result["finished"]
    assert err.count("0 threads left") == 2
    assert err.count("learning rate:") == 1
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a launcher in /proc")
def test_p12_killed_at_a_random_instant_and_in_a_write_the_job_comes_back_and_the_end_is_the_same(
    road: Road, undisturbed: Path, tmp_path: Path
) -> None:
    """torchrun starts all processes again; they go on from the last checkpoint."""
    folder, died, program = tmp_path / "run", tmp_path / "died", tmp_path / "program.py"
    program.write_text(DIES_IN_A_WRITE)
    launcher = start(*pretrain(road, folder), restarts=3, program=(program, died))
    until = time.monotonic() + 120
    while not list(folder.glob("checkpoints/*.pt")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(random.uniform(0, 1))
    for worker in workers_of(launcher.pid)[1:]:  # of which there are none while torchrun starts them again
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    _, err = finish(launcher)
    assert died.exists()
    assert "going on after" in err
    assert losses(folder) == losses(undisturbed)
    assert (folder / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()


def test_p13_a_signal_to_one_process_stops_all_with_everything_saved(
    road: Road, undisturbed: Path, tmp_path: Path
) -> None:
    folder, program = tmp_path / "run", tmp_path / "program.py"
    program.write_text(TELLS_WHO_IS_LEFT)
    launcher = start(*pretrain(road, folder), program=(program,))
    while not list(folder.glob("checkpoints/*.pt")):
        time.sleep(0.05)
        assert launcher.poll() is None
    os.kill(workers_of(launcher.pid)[0], signal.SIGTERM)
    _, err = finish(launcher, code=1)  # torchrun has a code of its own
    assert " threads left" in err
    assert err.count(" threads left") == err.count("\n0 threads left")
    assert "all saved; give the same command to go on" in err
    finish(start(*pretrain(road, folder)))
    assert losses(folder) == losses(undisturbed)
    assert (folder / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()


def test_p12_one_process_goes_on_where_two_have_been(road: Road, undisturbed: Path, tmp_path: Path) -> None:
    """The same pictures at the same rates; norms see other parts, which is said."""
    folder = tmp_path / "run"
    launcher = start(*pretrain(road, folder))
    while not list(folder.glob("checkpoints/*.pt")):
        time.sleep(0.05)
    os.kill(workers_of(launcher.pid)[0], signal.SIGTERM)
    finish(launcher, code=1)
    alone = [sys.executable, "-m", "tagwise", *map(str, pretrain(road, folder))]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=240, check=True)
    assert "with another number of processes, 1 instead of 2: the batches are the same" in done.stderr
    assert [line[::2] for line in losses(folder)] == [line[::2] for line in losses(undisturbed)]


def test_bad_use_of_several_processes_is_a_sentence(road: Road, tmp_path: Path) -> None:
    arguments = pretrain(road, tmp_path / "run")
    odd = tuple("13" if word == "12" else word for word in arguments)
    _, err = finish(start(*odd), code=1)
    assert "A batch of 13 cannot be shared out evenly among 2 processes; give --batch a multiple of 2." in err
    assert 'Traceback (most recent call last):\n  File "' + str(Path(__file__).parents[2] / "src") not in err
