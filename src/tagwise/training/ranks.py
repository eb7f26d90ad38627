"""The processes of one training, as torchrun starts them: which one this is, and what all of them agree on."""

from __future__ import annotations

import gc
import importlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from tagwise.base.devices import choose_device
from tagwise.base.errors import TagwiseError, UsageError

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long the others wait for one that packs pictures; torchrun itself notices who has died."""
_ASKED = "tagwise asks"
_LOST = ("Connection closed", "Connection reset", "gloo", "NCCL", "Broken pipe")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of the training; alone unless torchrun started it."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that talks and writes."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Pictures of a global batch that each process works on.

        Raises:
            UsageError: They cannot be shared out evenly.
        """
        if batch % self.world:
            raise UsageError(
                f"A batch of {batch} cannot be shared out evenly among {self.world} processes; "
                f"give --batch a multiple of {self.world}."
            )
        return batch // self.world

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.largest(flag)[0])

    def largest(self, *numbers: int) -> list[int]:
        """Of each number the largest that any process has."""
        values = torch.tensor(numbers, dtype=torch.int64)
        if self.world > 1:
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
        found: list[int] = values.tolist()
        return found

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The values' sum over the processes."""
        values = values.clone()
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def follow_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Gives all processes what the first one's tensors hold, in place."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gathered(self, value: T) -> list[T]:
        """Every process's value, in the order of their ranks."""
        values: list[Any] = [value] * self.world
        if self.world > 1:
            distributed.all_gather_object(values, value)
        return values

    def agree(self, digest: str, what: str) -> None:
        """Makes sure that all processes were given the same.

        Raises:
            UsageError: One of them was not.
        """
        for rank, other in enumerate(self.gathered(digest)):
            if other != digest:
                raise UsageError(
                    f"Process {rank} has another {what} than process {self.rank}; give all of them one command, "
                    "the same files and the same version."
                )

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The block is run by the first process while the others wait, then by the others.

        For what leaves files behind that all then read. An error of the first ends the others too.
        """
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wait(self) -> None:
        """Goes on when all processes have come here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_ranks(device: str | None = None) -> Iterator[tuple[Ranks, torch.device]]:
    """Meets the other processes that torchrun started; yields this one's place among them, and its device.

    Outside torchrun there is nobody to meet. Gloo connects CPUs, NCCL GPUs.

    Args:
        device: As for ``choose_device``; of several GPUs each process has its own.

    Raises:
        UsageError: The device is not here, there are more processes than GPUs on this machine, or the port is in use.
        TagwiseError: The others cannot be met.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(), choose_device(device)
        return
    if device in (None, "cuda") and torch.cuda.is_available():
        device = _own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    chosen = choose_device(device)
    importlib.import_module("torch._dynamo")  # DDP imports it, and what it finds then it keeps: the group for good
    try:
        store, rank, world = next(distributed.rendezvous("env://", timeout=PATIENCE))  # type: ignore[attr-defined]
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo",
            store=_of_this_attempt(store, rank, world),
            rank=rank,
            world_size=world,
            timeout=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        kind = UsageError if "EADDRINUSE" in str(error) else TagwiseError
        raise kind(
            f"The other processes cannot be met at {place} ({str(error).splitlines()[0]}); "
            "start all of them with torchrun, and give it another --rdzv-endpoint if the port is in use."
        ) from error
    ranks = Ranks(rank=distributed.get_rank(), world=distributed.get_world_size())
    try:
        yield ranks, chosen
        ranks.wait()  # a process whose neighbour has left already may abort as it ends
    except RuntimeError as error:
        if not any(word in str(error) for word in _LOST):
            raise
        raise TagwiseError(
            f"Process {ranks.rank} has lost the others, one of which has ended and says why; the same command goes on "
            "from the last checkpoint."
        ) from error
    finally:
        gc.collect()  # the group's threads end with the last reference to it; later they would abort the process
        distributed.destroy_process_group()


def _of_this_attempt(store: Any, rank: int, world: int) -> Any:
    """The launcher's store without what it holds of earlier attempts.

    torchrun gives restarted processes the store of those that died, and with it addresses at which nobody listens
    any more. How often each machine has restarted is known to itself alone; so the first process names the attempt,
    and answers whoever asks until all have heard it.
    """
    name = uuid.uuid4().hex
    if rank:
        store.append(_ASKED, name)
        name = store.get(f"tagwise answers {name}").decode()
        store.add(f"{name} is heard", 1)
    else:
        store.append(_ASKED, "")
        while store.add(f"{name} is heard", 0) < world - 1:
            asked = store.get(_ASKED).decode()
            for first in range(0, len(asked), len(name)):
                store.set(f"tagwise answers {asked[first : first + len(name)]}", name)
            time.sleep(0.05)
    return distributed.PrefixStore(name, store)  # type: ignore[attr-defined]


def _own_gpu(local: int) -> str:
    found = torch.cuda.device_count()
    if local >= found:
        raise UsageError(f"There are more processes here than GPUs ({found}); give torchrun --nproc-per-node {found}.")
    torch.cuda.set_device(local)
    return f"cuda:{local}"
