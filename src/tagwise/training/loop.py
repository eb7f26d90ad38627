"""The one loop that trains every task.

Nothing in it has a memory but the learner and the count of pictures seen: which pictures come,
how they are augmented and at which rate is computed from that count. So a run that was stopped
anywhere goes on as if it never had been, on as many processes as there are now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tagwise.base import rng
from tagwise.base.errors import Diverged, Interrupted, TagwiseError
from tagwise.base.progress import Ticker, printable, progress, say
from tagwise.base.settings import to_plain
from tagwise.nets.dropblock import set_drop_block
from tagwise.pixels.batches import Request
from tagwise.tags.epoch import EpochIndex, positions_of
from tagwise.training.checkpoints import Keep, keep_checkpoint, kept_checkpoint, newest_checkpoint, save_checkpoint
from tagwise.training.learner import Learner
from tagwise.training.models import ModelFacts
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.runs import HeldOutLine, LogLine, Run
from tagwise.training.schedule import learning_rate
from tagwise.training.signals import stop_signals
from tagwise.training.stream import PictureStream
from tagwise.training.stretch import Stretch
from tagwise.training.tasks import Task

CHECKPOINT_SECONDS = 300
"""A long epoch is saved on its way at least so often."""

CHECK_SECONDS = 60
"""Weights are looked at at least so often, beside each log line and checkpoint: a sick run costs no more."""

LOG_LINES = 100
"""About so many lines a run's log has."""

_NAMED = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What is trained on what."""

    plan: Plan
    task: Task
    """Its net is trained in place."""
    index: EpochIndex
    """Over the rows of the task's pictures."""
    device: torch.device
    ranks: Ranks = field(default_factory=Ranks)
    """The processes that share each batch."""
    names: Sequence[object] = ()
    """Of the pictures, for messages."""
    judge: Callable[[Any], float] | None = None
    """Score of a copy of the net on pictures that were held out, the more the better; asked after each epoch in all
    processes, which have to agree."""
    keep: Keep = field(default_factory=Keep)
    facts: ModelFacts | None = None
    """What is to be known of the net by whoever goes on from a checkpoint of it."""
    run: Run | None = None
    """Where log and checkpoints go; None for a short training whose model alone is wanted."""
    title: str | None = "training"
    """What the progress is called; None for silence."""


def train(job: Job) -> Tensor:
    """Trains the net for the plan's pictures, or what is left of them.

    Returns:
        Pictures with each label that the net has seen, in all processes and since the run began: int64 [V].

    Raises:
        Interrupted: SIGINT or SIGTERM came, to any of the processes; the state is saved.
        Diverged: Loss or weights are no longer finite.
        DataRefused: Too many pictures can no longer be read.
        TagwiseError: Memory is short, or processes that read pictures die again and again.
    """
    try:
        return _Training(job).run()
    except torch.OutOfMemoryError as error:
        raise TagwiseError(_too_small(job)) from error


def _too_small(job: Job) -> str:
    """What helps where the GPU has no more memory."""
    slices, share = job.plan.accumulate, job.ranks.share(job.plan.batch)
    remedies = []
    if slices < share:
        remedies.append(
            f"--set accumulate={min(2 * slices, share)}, which learns from the same batches in smaller slices"
        )
    if not job.plan.recompute:
        remedies.append("--set recompute=true")
    told = " or ".join(remedies) or "a smaller --batch, --design or --resolution"
    goes_on = "; a run that has begun goes on with either" if remedies and job.run is not None else ""
    return f"The GPU has no memory left for {-(-share // slices)} pictures at a time; give {told}{goes_on}."


class _Training:
    """A training under way; see ``train``."""

    def __init__(self, job: Job) -> None:
        self._job, self._plan = job, job.plan
        self._learner = Learner(job.task, job.plan, job.ranks)
        self._stream = PictureStream(job.index, job.plan.seed)
        self._stretch = Stretch.on(job.device)
        self._exposures_V = torch.zeros(job.task.labels, dtype=torch.int64)
        self._best, self._stale = -1.0, 0
        self._saved = self._checked = time.monotonic()

    def run(self) -> Tensor:
        job, plan = self._job, self._plan
        job.task.net.train()
        first = self._restore()
        with (
            torch.random.fork_rng(devices=[]),
            stop_signals(job.run is not None) as stopped,
            _shown(job, first) as ticker,
            _tensorboard(job.run if job.ranks.first else None) as board,
            closing(job.task.batches(map(self._request, range(first, plan.steps)))) as batches,
        ):
            for step in range(first, plan.steps):
                if self._at_rest:
                    break
                self._step(step, batches)
                if ticker is not None:
                    ticker.advance(plan.batch)
                if (step + 1) % max(1, plan.steps // LOG_LINES) == 0 or step + 1 == plan.steps:
                    self._log(step, ticker, board)
                self._after(step, stopped)
        job.task.net.load_state_dict(self._result())
        job.task.net.eval()
        return job.ranks.total(self._exposures_V)

    @property
    def _at_rest(self) -> bool:
        """Whether held-out pictures say that more is of no use."""
        return self._plan.patience is not None and self._stale >= self._plan.patience

    def _result(self) -> dict[str, Tensor]:
        """The model's tensors: the last ones, or those that were best on held-out pictures."""
        run = self._job.run
        self._job.ranks.wait()  # the first process may be writing the best one still
        if self._plan.model_of == "best" and run is not None and (best := kept_checkpoint(run.checkpoints, "best")):
            self._learner.restore(best)
        return self._learner.result()

    def _request(self, step: int) -> Request:
        positions = positions_of(step, self._plan.batch, self._job.ranks.rank, self._job.ranks.world)
        return Request(rows=self._stream.rows(positions // self._plan.repeats), numbers=positions)

    def _step(self, step: int, batches: Iterator[Any]) -> None:
        plan, rank = self._plan, self._job.ranks.rank
        began = time.monotonic()
        batch = next(batches)
        self._stretch.waited += time.monotonic() - began
        ids = self._job.task.labels_of(batch)
        self._exposures_V.index_add_(0, ids, torch.ones_like(ids))
        torch.manual_seed(rng.stream_seed(plan.seed, "dropped units", step, *([rank] if rank else [])))
        if plan.design.drop_block:
            set_drop_block(self._job.task.net, plan.design.drop_block * (step + 1) / plan.steps)
        loss, floor = self._learner.step(self._job.task.parts(step, batch), self._rate(step))
        self._stretch.loss += loss
        self._stretch.excess += loss - floor
        self._stretch.sick = torch.where(loss.isfinite(), self._stretch.sick, self._stretch.sick.clamp(max=step))
        self._stretch.steps += 1

    def _rate(self, step: int) -> float:
        return learning_rate(self._plan, step * self._plan.batch + self._plan.batch // 2)

    def _after(self, step: int, stopped: list[int]) -> None:
        """Saves where it is due, and stops where a signal came to any of the processes."""
        job, seen, now = self._job, (step + 1) * self._plan.batch, time.monotonic()
        stop, late, unchecked = job.ranks.largest(
            next(iter(stopped), 0), now - self._saved > CHECKPOINT_SECONDS, now - self._checked > CHECK_SECONDS
        )
        if unchecked:
            self._check(step)
        epoch_ends = self._epoch(step) != self._epoch(step + 1)
        kept = self._kept(step, seen) if epoch_ends else []
        ends = step + 1 == self._plan.steps or self._at_rest
        if job.run is not None and (stop or late or epoch_ends or ends):
            self._save(step, kept)
        if stop:
            job.ranks.wait()  # the launcher kills the others as soon as one has ended
            raise Interrupted(stop, f"Stopped after {seen:,} pictures, all saved; give the same command to go on.")

    def _epoch(self, step: int) -> int:
        return self._stream.epoch_of(step * self._plan.batch // self._plan.repeats)

    def _kept(self, step: int, seen: int) -> list[str]:
        """Under which names the checkpoint at the end of an epoch stays for good."""
        every, epochs = self._job.keep.every_epochs, self._epoch(step + 1)
        periodic = [f"epoch-{epochs}"] if every and epochs % every == 0 else []
        return ["best", *periodic] if self._judged(seen) else periodic

    def _judged(self, seen: int) -> bool:
        """Whether the model that would come of it now is better than it ever was on what was held out."""
        job = self._job
        if job.judge is None:
            return False
        score = job.judge(self._learner.model())
        if job.run is not None and job.ranks.first:
            job.run.append(HeldOutLine(seen=seen, epoch=seen / self._epoch_length, score=score))
        better = score > self._best
        self._best, self._stale = max(score, self._best), 0 if better else self._stale + 1
        return better

    @property
    def _epoch_length(self) -> float:
        return self._job.index.expected_length * self._plan.repeats

    def _log(self, step: int, ticker: Ticker | None, board: Any) -> None:
        self._check(step)
        job, stretch, seen = self._job, self._stretch, (step + 1) * self._plan.batch
        sums = torch.stack([stretch.loss, stretch.excess]).cpu()
        loss, excess = (job.ranks.total(sums) / (stretch.steps * job.ranks.world)).tolist()
        line = LogLine(
            seen=seen,
            epoch=seen / self._epoch_length,
            loss=loss,
            excess_loss=excess,
            rate=self._rate(step),
            images_per_second=stretch.steps * self._plan.batch / stretch.seconds,
            waiting_fraction=min(stretch.waited / stretch.seconds, 1.0),
        )
        if job.run is not None and job.ranks.first:
            job.run.append(line)
        if board is not None:
            for name in ("loss", "excess_loss", "rate", "images_per_second", "waiting_fraction"):
                board.add_scalar(name, getattr(line, name), line.seen)
        if ticker is not None:
            ticker.advance(0, loss=line.loss, waiting=line.waiting_fraction)
        self._stretch = Stretch.on(job.device)

    def _check(self, step: int) -> None:
        """Ends a training whose weights fell ill, a step before the loss shows it, or later."""
        self._checked = time.monotonic()
        if self._job.ranks.any(not (bool(self._stretch.loss.isfinite()) and self._learner.finite)):
            raise self._diverged(step)

    def _diverged(self, step: int) -> Diverged:
        """What happened, where, and which pictures had been looked at."""
        job = self._job
        sick = min(*job.ranks.gathered(int(self._stretch.sick)), step)
        rows = self._stream.rows(positions_of(sick, self._plan.batch) // self._plan.repeats)
        names = [printable(str(job.names[row])) for row in rows[:_NAMED].tolist()] if job.names else []
        more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        of = f" of {', '.join(names)}{more}" if names else ""
        saved = job.run is not None and any(job.run.checkpoints.glob("*.pt"))
        healthy = f" (the last healthy state is in {job.run.checkpoints})" if job.run and saved else ""
        return Diverged(
            f"Loss, weights or gradients are no longer finite after {(step + 1) * self._plan.batch:,} pictures at a "
            f"rate of {self._rate(sick):.3g}, since step {sick:,}{of}{healthy}; a lower rate or float32 would help."
        )

    def _save(self, step: int, kept: list[str]) -> None:
        """Writes a checkpoint, and copies of it under names that stay."""
        assert self._job.run is not None
        self._check(step)  # a sick state would push out the last healthy one
        self._saved = time.monotonic()
        stretches = self._job.ranks.gathered(self._stretch.state())
        exposures_V = self._job.ranks.total(self._exposures_V)
        if not self._job.ranks.first:
            return
        seen = (step + 1) * self._plan.batch
        state = {
            "seen": seen,
            "best": self._best,
            "stale": self._stale,
            "kept": kept,
            "stretches": stretches,
            "exposures": exposures_V,
        }
        state |= self._learner.state()
        if self._job.facts is not None:
            state["facts"] = json.dumps(to_plain(self._job.facts))
        save_checkpoint(self._job.run.checkpoints, seen, state, self._job.keep)
        self._keep(state)

    def _keep(self, state: dict[str, Any]) -> None:
        """Copies a checkpoint that is there under the names that it has to stay by."""
        for name in state["kept"]:
            assert self._job.run is not None
            keep_checkpoint(self._job.run.checkpoints, state["seen"], name)

    def _restore(self) -> int:
        """Takes up the newest checkpoint; returns the first step that is left."""
        job = self._job
        state = newest_checkpoint(job.run.checkpoints) if job.run is not None else None
        job.ranks.agree(str(state and state["seen"]), "newest checkpoint")
        if job.run is not None and job.ranks.first:
            job.run.cut_log(state["seen"] if state else 0)
        if state is None:
            return 0
        self._learner.restore(state)
        stretches = state["stretches"]
        self._stretch.restore(stretches[job.ranks.rank % len(stretches)])
        if job.ranks.first:
            self._exposures_V.copy_(state["exposures"])
            self._keep(state)  # the process may have died before it had
        self._best, self._stale = state["best"], state["stale"]
        if job.title is not None:
            say(f"{job.title}: going on after {state['seen']:,} pictures{self._other_world(len(stretches))}")
        return int(state["seen"]) // self._plan.batch

    def _other_world(self, world: int) -> str:
        plan, design, sliced = self._plan, self._plan.design, self._plan.accumulate > 1
        if world == self._job.ranks.world:
            return ""
        differing = [
            told
            for told, differs in (
                ("norms see other parts of them", plan.norms == "process" or (plan.norms != "frozen" and sliced)),
                ("pictures are mixed with other ones", plan.mixup or plan.cutmix),
                ("other units are dropped", design.dropout or design.stochastic_depth or design.drop_block),
            )
            if differs
        ]
        return (
            f", with another number of processes, {self._job.ranks.world} instead of {world}: the batches are the "
            f"same; {' and '.join(differing) or 'sums round otherwise'}"
        )


@contextmanager
def _shown(job: Job, first: int) -> Iterator[Ticker | None]:
    if job.title is None or not job.ranks.first:
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
