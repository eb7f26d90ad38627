"""The processes of one training, as torchrun starts them: which one this is, and what all of them agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from tagwise.base.errors import TagwiseError, UsageError

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long the others wait for one that packs pictures; torchrun itself notices who has died."""


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
        if self.world == 1:
            return flag
        flags = torch.tensor(int(flag))
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The values' mean over the processes."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.world
        return values

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
            self._wait()
        yield
        if self.first:
            self._wait()

    def _wait(self) -> None:
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Meets the other processes that torchrun started; yields this one's place and its own device.

    Outside torchrun there is nobody to meet. Gloo connects CPUs, NCCL GPUs.

    Raises:
        UsageError: There are more processes than GPUs on this machine.
        TagwiseError: They cannot be met.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(), device
        return
    if device.type == "cuda":
        device = _own_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise TagwiseError(
            f"The other processes cannot be met at {place} ({str(error).splitlines()[0]}); "
            "start all of them with torchrun, and give it another --rdzv-endpoint if the port is in use."
        ) from error
    try:
        yield Ranks(rank=distributed.get_rank(), world=distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()


def _own_gpu(local: int) -> torch.device:
    found = torch.cuda.device_count()
    if local >= found:
        raise UsageError(f"There are more processes here than GPUs ({found}); give torchrun --nproc-per-node {found}.")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def shared_rows(rows: Sequence[int], ranks: Ranks) -> Sequence[int]:
    """This process's part of pictures that are evaluated: each belongs to exactly one process."""
    return rows[ranks.rank :: ranks.world]
