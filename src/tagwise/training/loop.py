"""The one loop that trains every task.

Nothing in it has a memory but the net, the optimiser and the count of pictures seen: which
pictures come, how they are augmented and at which rate is computed from that count. So a run that
was stopped anywhere goes on as if it never had been.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from tagwise.base import rng
from tagwise.base.errors import Diverged, Interrupted
from tagwise.base.progress import Ticker, progress, say
from tagwise.nets.dropblock import set_drop_block
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import augmented, draw_numbers
from tagwise.pixels.batches import LabelledPictures
from tagwise.tags.epoch import EpochIndex, positions_of
from tagwise.training.checkpoints import newest_checkpoint, save_checkpoint
from tagwise.training.losses import tag_loss
from tagwise.training.optim import build_sgd
from tagwise.training.plans import Plan
from tagwise.training.runs import LogLine, Run
from tagwise.training.schedule import rate_factor
from tagwise.training.stream import PictureStream

CHECKPOINT_SECONDS = 300
"""A long epoch is saved on its way at least so often."""

LOG_LINES = 100
"""About so many lines a run's log has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What is trained on what."""

    plan: Plan
    net: ResidualNet
    """Trained in place."""
    pictures: LabelledPictures
    index: EpochIndex
    """Over the rows of ``pictures``."""
    device: torch.device
    run: Run | None = None
    """Where log and checkpoints go; None for a short training whose model alone is wanted."""
    title: str | None = "training"
    """What the progress is called; None for silence."""


@dataclass
class _Stretch:
    """Sums since the last log line; they are part of a checkpoint."""

    loss: Tensor
    excess: Tensor
    steps: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Time that its steps took."""
        return max(time.monotonic() - self.began, 1e-9)


def train(job: Job) -> None:
    """Trains the net for the plan's pictures, or what is left of them.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
        Diverged: Loss or weights are no longer finite.
    """
    plan, device = job.plan, job.device
    job.net.to(device).to(memory_format=memory_format(job.net))
    optimiser = build_sgd(job.net, weight_decay=plan.weight_decay, momentum=plan.momentum)
    stretch = _Stretch(loss=torch.zeros((), device=device), excess=torch.zeros((), device=device))
    first = _restore(job, optimiser, stretch)
    stream = PictureStream(job.index, plan.seed)
    job.net.train()
    with (
        torch.random.fork_rng(devices=[]),
        _signals(job.run is not None) as stopped,
        _shown(job, first) as ticker,
        _tensorboard(job.run) as board,
    ):
        saved = time.monotonic()
        for step in range(first, plan.steps):
            stretch = _advance(job, optimiser, stream, stretch, step, ticker, board)
            stop, seen = stopped[:1], (step + 1) * plan.batch  # a signal may come between any two lines
            due = stop or step + 1 == plan.steps or time.monotonic() - saved > CHECKPOINT_SECONDS
            if job.run is not None and (due or _ends_epoch(stream, step, plan)):
                _save(job, optimiser, stretch, seen)
                saved = time.monotonic()
            if stop:
                raise Interrupted(
                    stop[0], f"Stopped after {seen:,} pictures, all saved; give the same command to go on."
                )
    job.net.eval()


def memory_format(net: ResidualNet) -> torch.memory_format:
    """Channels last, but for nets that split channels and weigh them, which it slows by up to a fifth."""
    attention = net.design.attention
    split = attention is not None and attention.kind in ("sk", "split")
    return torch.contiguous_format if split else torch.channels_last


def _advance(
    job: Job,
    optimiser: torch.optim.Optimizer,
    stream: PictureStream,
    stretch: _Stretch,
    step: int,
    ticker: Ticker | None,
    board: Any,
) -> _Stretch:
    """One step, and a log line where a stretch ends."""
    plan = job.plan
    rate = plan.peak_rate * rate_factor(
        step * plan.batch + plan.batch // 2,
        images=plan.images,
        warmup_images=plan.warmup_images,
        decay=plan.decay,
        halvings=plan.halvings,
    )
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss, excess = _step(job, optimiser, stream, step)
    stretch.loss += loss
    stretch.excess += excess
    stretch.steps += 1
    if ticker is not None:
        ticker.advance(plan.batch)
    if (step + 1) % max(1, plan.steps // LOG_LINES) and step + 1 < plan.steps:
        return stretch
    line = _log_line(job, stretch, step, rate)
    if job.run is not None:
        job.run.append(line)
        if board is not None:
            for name in ("loss", "excess_loss", "rate", "images_per_second"):
                board.add_scalar(name, getattr(line, name), line.seen)
    if ticker is not None:
        ticker.advance(0, loss=line.loss)
    return _Stretch(loss=torch.zeros_like(stretch.loss), excess=torch.zeros_like(stretch.excess))


def _step(job: Job, optimiser: torch.optim.Optimizer, stream: PictureStream, step: int) -> tuple[Tensor, Tensor]:
    plan = job.plan
    torch.manual_seed(rng.stream_seed(plan.seed, "dropped units", step))
    if plan.design.drop_block:
        set_drop_block(job.net, plan.design.drop_block * (step + 1) / plan.steps)
    batch = job.pictures.batch(stream.rows(positions_of(step, plan.batch))).to(job.device)
    numbers = draw_numbers(plan.seed, step, plan.batch)
    images_BCHW = augmented(batch.images_BHWC, numbers, plan.augment, plan.view)
    images_BCHW = images_BCHW.contiguous(memory_format=memory_format(job.net))
    with torch.autocast(job.device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
        logits_BV = job.net(images_BCHW)
    value = tag_loss(plan.loss, logits_BV, batch.ids, batch.offsets)
    optimiser.zero_grad(set_to_none=True)
    value.mean.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    loss = value.mean.detach()
    return loss, loss - value.floor


def _log_line(job: Job, stretch: _Stretch, step: int, rate: float) -> LogLine:
    seen = (step + 1) * job.plan.batch
    loss = float(stretch.loss) / stretch.steps
    if not math.isfinite(loss):
        raise _diverged(job, seen, rate)
    return LogLine(
        seen=seen,
        epoch=seen / job.index.expected_length,
        loss=loss,
        excess_loss=float(stretch.excess) / stretch.steps,
        rate=rate,
        images_per_second=stretch.steps * job.plan.batch / stretch.seconds,
    )


def _diverged(job: Job, seen: int, rate: float) -> Diverged:
    saved = job.run is not None and any(job.run.checkpoints.glob("*.pt"))
    return Diverged(
        f"Loss or weights are no longer finite after {seen:,} pictures at a rate of {rate:.3g}"
        f"{f' (the last healthy state is in {job.run.checkpoints})' if job.run and saved else ''}; "
        "a lower rate or float32 would help."
    )


def _ends_epoch(stream: PictureStream, step: int, plan: Plan) -> bool:
    return stream.epoch_of(step * plan.batch) != stream.epoch_of((step + 1) * plan.batch)


def _save(job: Job, optimiser: torch.optim.Optimizer, stretch: _Stretch, seen: int) -> None:
    assert job.run is not None
    # A sick state would push out the last healthy one; weights fall ill a step before the loss shows it.
    if not all(bool(tensor.isfinite().all()) for tensor in (stretch.loss, *job.net.parameters())):
        raise _diverged(job, seen, optimiser.param_groups[0]["lr"])
    state = {
        "seen": seen,
        "net": job.net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "stretch": {"loss": stretch.loss, "excess": stretch.excess, "steps": stretch.steps, "seconds": stretch.seconds},
    }
    save_checkpoint(job.run.checkpoints, seen, state)


def _restore(job: Job, optimiser: torch.optim.Optimizer, stretch: _Stretch) -> int:
    """Takes up the newest checkpoint; returns the first step that is left."""
    state = newest_checkpoint(job.run.checkpoints, job.device) if job.run is not None else None
    if state is None:
        if job.run is not None:
            job.run.cut_log(0)
        return 0
    assert job.run is not None
    job.net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    stretch.loss, stretch.excess, stretch.steps = (state["stretch"][name] for name in ("loss", "excess", "steps"))
    stretch.began -= state["stretch"]["seconds"]
    job.run.cut_log(state["seen"])
    if job.title is not None:
        say(f"{job.title}: going on after {state['seen']:,} pictures")
    return int(state["seen"]) // job.plan.batch


@contextmanager
def _signals(wanted: bool) -> Iterator[list[int]]:
    """A list that receives SIGINT or SIGTERM; the same signal again then acts as it always does."""
    received: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        say("Stopping after this step; once more stops at once.")

    try:
        for number in before:
            signal.signal(number, receive)
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown(job: Job, first: int) -> Iterator[Ticker | None]:
    if job.title is None:
        yield None
        return
    with progress(job.title, job.plan.steps * job.plan.batch, done=first * job.plan.batch) as ticker:
        yield ticker


def _tensorboard(run: Run | None) -> AbstractContextManager[Any]:
    """A writer for TensorBoard where it is installed, else None."""
    if run is not None:
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter(run.folder / "tensorboard", flush_secs=10)
    return nullcontext()
