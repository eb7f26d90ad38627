"""Several processes of one training: they share, agree, wait, and say in a sentence why they cannot."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing.spawn import spawn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.training.ranks import Ranks, join_ranks, shared_rows

CPU = torch.device("cpu")


def meet(function: Callable[[Ranks, Path], Any], folder: Path, world: int = 2) -> list[Any]:
    """What the function gives in each of the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_process, (function, folder, world, port), nprocs=world)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def _process(rank: int, function: Callable[[Ranks, Path], Any], folder: Path, world: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with join_ranks("cpu") as (ranks, _):
        torch.save(function(ranks, folder), folder / f"{rank}.pt")


def everything(ranks: Ranks, folder: Path) -> dict[str, Any]:
    with ranks.first_alone():
        already_there = (folder / "packed").exists()
        (folder / "packed").touch()
    try:
        ranks.agree(f"plan {ranks.rank}", "plan")
    except UsageError as error:
        refusal = str(error)
    ranks.agree("the same", "corpus")
    return {
        "place": (ranks.rank, ranks.world, ranks.first),
        "already_there": already_there,
        "refusal": refusal,
        "any": [ranks.any(flag) for flag in (False, ranks.rank == 1, True)],
        "mean": ranks.mean(torch.tensor([1.0, float(ranks.rank)])).tolist(),
        "gathered": ranks.gathered(ranks.rank * 10),
        "rows": list(shared_rows(range(5), ranks)),
    }


def test_two_processes_share_agree_and_wait(tmp_path: Path) -> None:
    first, second = meet(everything, tmp_path)
    assert (first["place"], second["place"]) == ((0, 2, True), (1, 2, False))
    assert (first["already_there"], second["already_there"]) == (False, True)
    assert first["refusal"].startswith("Process 1 has another plan than process 0; give all of them one command")
    assert "Process 0 has another plan than process 1" in second["refusal"]
    assert (first["rows"], second["rows"]) == ([0, 2, 4], [1, 3])
    for name, value in {"any": [False, True, True], "mean": [1.0, 0.5], "gathered": [0, 10]}.items():
        assert first[name] == second[name] == value


def test_a_process_alone_waits_for_nobody() -> None:
    with join_ranks("cpu") as (ranks, device):
        assert (ranks, device) == (Ranks(), CPU)
        with ranks.first_alone():
            ranks.agree("plan", "plan")
    assert ranks.any(True)
    assert not ranks.any(False)
    assert ranks.gathered(3) == [3]
    assert ranks.share(7) == 7


def test_a_batch_is_shared_out_evenly_or_refused() -> None:
    assert Ranks(rank=1, world=4).share(256) == 64
    with pytest.raises(UsageError, match="batch of 6 cannot be shared out evenly among 4 processes; give --batch a"):
        Ranks(rank=0, world=4).share(6)


def test_a_port_in_use_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = str(used.getsockname()[1])
        place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(TagwiseError, match=rf"cannot be met at 127.0.0.1:{port} .* if the port is in use"),
            join_ranks("cpu"),
        ):
            pass
