"""What a training will cost, said before it begins."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import torch

from tagwise.base.durations import clock
from tagwise.nets import build, count_macs, count_parameters, freeze
from tagwise.pixels.batches import Batch, LabelledPictures, Request
from tagwise.tags.epoch import EpochIndex
from tagwise.training.loop import Job, train
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import LabelTask, memory_format

TRIAL_BATCH = 64
TRIAL_STEPS = 12
"""Steps of the trial that measures the rate; the first third is not counted."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def estimate(
    plan: Plan, outputs: int, pictures: int, device: torch.device, *, ranks: int = 1, rate: float | None = None
) -> dict[str, str]:
    """Parameters, memory, disk and time.

    Args:
        plan: The training.
        outputs: Outputs of the classifier.
        pictures: Pictures that there are.
        device: Where it would run.
        ranks: Processes that share each batch.
        rate: Pictures a second of all processes; None: measured here in a short trial on random pixels.

    Returns:
        Lines for people, by name.

    Raises:
        UsageError: The batch cannot be shared out among the processes.
    """
    parameters = count_parameters(plan.design, outputs)
    macs = count_macs(plan.design, plan.view.resolution, plan.view.resolution, outputs).total
    head = (plan.design.channels[-1] + 1) * outputs
    share = Ranks(world=ranks).share(plan.batch)
    packed = f"{_gigabytes(pictures * 3 * plan.view.resize**2)} of packed pictures, " if plan.feed == "packed" else ""
    return {
        "net": f"{parameters:,} parameters, {head:,} of them in the classifier; {macs / 1e6:,.1f} million mult-adds",
        "memory": _memory(plan, parameters, share) + (f", in each of {ranks} processes" if ranks > 1 else ""),
        "disk": f"{packed}{_gigabytes(3 * _bytes_a_parameter(plan) // 2 * parameters)} of checkpoints",
        "time": _time(plan, share, device, ranks, rate),
    }


def _memory(plan: Plan, parameters: int, share: int) -> str:
    """Of one process, whose part of a batch is ``share``."""
    slice_pictures = -(-share // plan.accumulate)
    return (
        f"{_gigabytes(_bytes_a_parameter(plan) * parameters)} for weights, gradients, momentum and a checkpoint on "
        f"its way, {_gigabytes(share * 3 * plan.view.resize**2 * 5)} for a batch of pixels, about "
        f"{_gigabytes(slice_pictures * kept_bytes(plan))} kept for the backward pass of {slice_pictures:,} pictures"
    )


def _bytes_a_parameter(plan: Plan) -> int:
    """Weight, gradient, momentum and a copy of the weight for a checkpoint; LAMB and a running mean have one more."""
    return 4 * (4 + (plan.optimiser == "lamb") + (plan.ema is not None))


def kept_bytes(plan: Plan) -> int:
    """Bytes that a forward pass keeps for the backward pass, for each picture; nothing is computed.

    Of the whole net, though frozen parts keep less, in the plan's precision.
    """
    with torch.device("meta"):
        net = build(plan.design, num_classes=2).train().to(DTYPES[plan.precision])
        images_BCHW = torch.empty(2, 3, plan.view.resolution, plan.view.resolution, dtype=DTYPES[plan.precision])
    net.set_grad_checkpointing(plan.recompute)
    own = {parameter.untyped_storage()._cdata for parameter in net.parameters()}  # meta tensors have no other address
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(images_BCHW)
    return sum(storage.nbytes() for storage in kept.values()) // 2


def _time(plan: Plan, share: int, device: torch.device, ranks: int, rate: float | None) -> str:
    if rate is not None:
        return f"{clock(plan.images / rate)} at {rate:,.0f} pictures/s, as given"
    tried = dataclasses.replace(plan, batch=-(-share // plan.accumulate), accumulate=1)
    rate = ranks / max(_trial(tried, device), 1e-9)
    beside = f" by {ranks} processes that never wait, each like this one," if ranks > 1 else ""
    steps = f"measured over {TRIAL_STEPS - TRIAL_STEPS // 3} steps"
    return f"{clock(plan.images / rate)} at {rate:,.0f} pictures/s{beside} on {device}, {steps}"


class _Stamped:
    """Pictures that note when each batch was asked for."""

    def __init__(self, pictures: LabelledPictures, device: torch.device) -> None:
        self._pictures, self._device, self.times = pictures, device, list[float]()

    def batches(self, requests: Iterable[Request]) -> Generator[Batch]:
        for request in requests:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self.times.append(time.monotonic())
            yield self._pictures.batch(request.rows)


FASTER = 1.05
"""How much faster a memory format has to be than the usual one to be taken instead."""


def choose_memory_format(plan: Plan, device: torch.device) -> torch.memory_format:
    """The faster one of two short trials; the usual one of such nets unless the other is plainly faster.

    Channels last speeds up most nets, most of all in bfloat16, and slows down some; which, the machine decides.
    """
    usual = memory_format(plan.design)
    other = torch.contiguous_format if usual is torch.channels_last else torch.channels_last
    seconds = {layout: min(_trial(plan, device, layout) for _ in range(2)) for layout in (usual, other)}
    return other if seconds[usual] > FASTER * seconds[other] else usual


def _trial(plan: Plan, device: torch.device, layout: torch.memory_format | None = None) -> float:
    """Seconds a picture: the median step after the first third."""
    side, batch = plan.view.resize, min(plan.batch, TRIAL_BATCH)
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 255, (batch, side, side, 3), np.uint8)
    pictures = LabelledPictures.of_classes(pixels, np.zeros(batch, np.int64))
    index = EpochIndex.build(pictures.ids, pictures.offsets, np.array([batch]), "natural")
    stamped = _Stamped(pictures, device)
    few = TRIAL_STEPS * batch
    short = dataclasses.replace(plan, feed="packed", images=few, batch=batch, law="natural", threshold=None)
    net = build(plan.design, num_classes=2)
    if plan.freeze is not None:
        freeze(net, plan.freeze)
    pictures_and_times: Any = stamped
    train(
        Job(
            plan=short,
            task=LabelTask(short, net, pictures_and_times, device, Ranks(), layout=layout),
            index=index,
            device=device,
            title=None,
        )
    )
    return float(np.median(np.diff(stamped.times)[TRIAL_STEPS // 3 :])) / batch


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
