"""One command in two processes, as torchrun starts it: each picture once, the same after a kill as without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tagwise.training.runs import read_run
from tests.verbs.road import SMALL, Road

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
MODEL = "model.safetensors"


def start(*arguments: str | Path, restarts: int = 0) -> subprocess.Popen[str]:
    words = [*TORCHRUN, "--max-restarts", str(restarts), "-m", "tagwise", *map(str, arguments)]
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
    folder = tmp_path_factory.mktemp("two") / "run"
    out, err = finish(start(*pretrain(road, folder)))
    result = json.loads(out)  # one process talks, once
    assert result["finished"]
    assert err.count("learning rate:") == 1
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a launcher in /proc")
def test_p12_a_killed_worker_brings_the_job_back_and_the_end_is_the_same(
    road: Road, undisturbed: Path, tmp_path: Path
) -> None:
    """torchrun starts all processes again; they go on from the last checkpoint."""
    folder = tmp_path / "run"
    launcher = start(*pretrain(road, folder), restarts=3)
    until = time.monotonic() + 120
    while len(list(folder.glob("checkpoints/*.pt"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    workers = workers_of(launcher.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    _, err = finish(launcher)
    assert "going on after" in err
    assert losses(folder) == losses(undisturbed)
    assert (folder / MODEL).read_bytes() == (undisturbed / MODEL).read_bytes()


def test_p13_a_signal_to_one_process_stops_all_with_everything_saved(
    road: Road, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    launcher = start(*pretrain(road, folder))
    while not list(folder.glob("checkpoints/*.pt")):
        time.sleep(0.05)
        assert launcher.poll() is None
    os.kill(workers_of(launcher.pid)[0], signal.SIGTERM)
    _, err = finish(launcher, code=1)  # torchrun has a code of its own
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
