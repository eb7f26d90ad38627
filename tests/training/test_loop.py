"""The loop: a run that was stopped anywhere ends bit for bit as one that never was."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tagwise.base.errors import Diverged, Interrupted
from tagwise.nets import find_design
from tagwise.nets.grammar import ResidualNet
from tagwise.tags.drawing import drawing
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.law_report import sampled_laws
from tagwise.training import learner, loop
from tagwise.training.loop import memory_format, train
from tagwise.training.losses import LOSSES, Loss, LossSettings, LossValue, Truth, tag_loss
from tagwise.training.schedule import learning_rate
from tagwise.training.signals import REPEAT_SECONDS
from tagwise.training.stream import PictureStream
from tests.training.tiny import (
    DESIGN,
    LABELS,
    first_losses,
    log_facts,
    state_bytes,
    tiny_index,
    tiny_job,
    tiny_pictures,
    tiny_plan,
    zipf_job,
)

Result = tuple[dict[str, bytes], list[tuple[float, ...]]]

STEPS = tiny_plan().steps
STRETCH = 4
"""Steps of a log line, once ``few_log_lines`` has acted."""
REMEDY = "no longer finite after .* pictures at a rate of .*; a lower rate or float32 would help"


@pytest.fixture(autouse=True)
def few_log_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that most steps lie inside a stretch."""
    monkeypatch.setattr(loop, "LOG_LINES", STEPS // STRETCH)


@cache
def epoch_ends() -> list[int]:
    stream, batch = PictureStream(tiny_index(), tiny_plan().seed), tiny_plan().batch
    return [step for step in range(STEPS) if stream.epoch_of(step * batch) != stream.epoch_of((step + 1) * batch)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What a run that nobody stopped ends with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_LINES", STEPS // STRETCH)
        return finished(tmp_path_factory.mktemp("undisturbed"))


def finished(folder: Path, **changes: Any) -> Result:
    job = tiny_job(folder, **changes)
    train(job)
    assert job.run is not None
    return state_bytes(job.net), log_facts(job.run)


@contextmanager
def with_loss(hooked: Callable[..., LossValue]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "tag_loss", hooked)
        yield


def act_at(step: int, action: Callable[[], None]) -> AbstractContextManager[None]:
    """Runs ``action`` inside the given step, before its loss."""
    steps = count()

    def hooked(*arguments: Any) -> LossValue:
        if next(steps) == step:
            action()
        return tag_loss(*arguments)

    return with_loss(hooked)


def stop_at(folder: Path, step: int, number: int = signal.SIGTERM, **changes: Any) -> Interrupted:
    """Starts or continues a run and stops it inside the step that is so many steps on."""
    with act_at(step, lambda: signal.raise_signal(number)), pytest.raises(Interrupted) as caught:
        train(tiny_job(folder, **changes))
    return caught.value


def test_two_runs_of_one_plan_are_equal_bit_for_bit(undisturbed: Result, tmp_path: Path) -> None:
    assert finished(tmp_path) == undisturbed
    assert finished(tmp_path / "other", seed=1)[0] != undisturbed[0]


def test_the_log_says_what_was_seen(undisturbed: Result) -> None:
    _, log = undisturbed
    assert [line[0] for line in log] == [8 * step for step in [*range(STRETCH, STEPS, STRETCH), STEPS]]
    assert log[-1][1] == pytest.approx(240 / tiny_index().expected_length)
    assert all(math.isfinite(value) for line in log for value in line)
    assert log[-1][2] < log[0][2], "the loss falls"


@pytest.mark.parametrize(
    "step",
    [0, 1, STRETCH - 1, STRETCH, STEPS // 2, epoch_ends()[0], epoch_ends()[0] + 1, epoch_ends()[-1], STEPS - 1],
)
def test_p12_stopped_and_continued_equals_undisturbed(undisturbed: Result, tmp_path: Path, step: int) -> None:
    error = stop_at(tmp_path, step)
    assert error.exit_code == 143
    assert f"{8 * (step + 1):,} pictures" in str(error)
    newest = max(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert newest == f"{8 * (step + 1):014d}.pt", "P13: saved within the step"
    assert finished(tmp_path) == undisturbed


def test_p12_stopped_again_and_again(undisturbed: Result, tmp_path: Path) -> None:
    for step in (2, 0, 6, 0, 3, 9):
        stop_at(tmp_path, step, signal.SIGINT)
    assert finished(tmp_path) == undisturbed


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "sigmoid"},
        {"precision": "bfloat16"},
        {"decay": "halvings", "halvings": 4, "momentum": 0.0},
        {"design": replace(DESIGN, dropout=0.3)},
        {"design": replace(DESIGN, depths=(2,), stochastic_depth=0.5)},
    ],
    ids=["sigmoid", "bfloat16", "halvings", "dropout", "stochastic depth"],
)
def test_p12_of_any_plan(tmp_path: Path, changes: dict[str, Any]) -> None:
    expected = finished(tmp_path / "undisturbed", **changes)
    stop_at(tmp_path / "stopped", STEPS // 2, **changes)
    assert finished(tmp_path / "stopped", **changes) == expected


def test_p13_ctrl_c_is_130_and_leaves_the_handlers_as_they_were(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert stop_at(tmp_path, 3, signal.SIGINT).exit_code == 130
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_p13_a_second_ctrl_c_stops_at_once(undisturbed: Result, tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(1.1 * REPEAT_SECONDS)
        signal.raise_signal(signal.SIGINT)

    with act_at(epoch_ends()[0] + 2, twice), pytest.raises(KeyboardInterrupt):
        train(tiny_job(tmp_path))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1, "that of the epoch alone"
    assert finished(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_p13_a_signal_that_torchrun_passes_on_once_more_costs_no_checkpoint(
    number: signal.Signals, undisturbed: Result, tmp_path: Path
) -> None:
    def twice() -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)

    with act_at(3, twice), pytest.raises(Interrupted):
        train(tiny_job(tmp_path))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert finished(tmp_path) == undisturbed


def test_p13_a_second_sigterm_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append((number, signal.getsignal(number))))

    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(1.1 * REPEAT_SECONDS)
        signal.raise_signal(signal.SIGTERM)

    with act_at(1, twice), pytest.raises(Interrupted):
        train(tiny_job(tmp_path))
    assert sent == [(signal.SIGTERM, signal.SIG_DFL)]


KILLED = """
import os, signal, sys
from pathlib import Path
from tagwise.training import checkpoints, loop
from tests.training.test_loop import STEPS, STRETCH, act_at
from tests.training.tiny import tiny_job

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_half_way(state, handle):
    saves.append(state)
    if len(saves) == 2:
        handle.write(b"PK half of it")
        handle.flush()
        die()
    save(state, handle)

loop.LOG_LINES, saves, save = STEPS // STRETCH, [], checkpoints.torch.save
step = -1
if sys.argv[2] == "save":
    checkpoints.torch.save = die_half_way
else:
    step = int(sys.argv[2])
with act_at(step, die):
    loop.train(tiny_job(Path(sys.argv[1])))
"""


def test_p12_killed_in_a_step_or_in_a_save_and_continued(undisturbed: Result, tmp_path: Path) -> None:
    """SIGKILL can be neither heard nor answered; the last whole checkpoint stands."""
    moments = [str(epoch_ends()[0] + 3), "save"]
    processes = [subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / moment), moment]) for moment in moments]
    assert [process.wait(timeout=120) for process in processes] == [-signal.SIGKILL] * 2
    assert any(path.suffix != ".pt" for path in (tmp_path / "save" / "checkpoints").iterdir()), "half a file is there"
    for moment in moments:
        assert finished(tmp_path / moment) == undisturbed


@pytest.mark.parametrize("kept_fraction", [0.0, 0.5, 0.99])
def test_p12_a_torn_newest_checkpoint_gives_way_to_the_one_before(
    undisturbed: Result, tmp_path: Path, kept_fraction: float, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(tmp_path, epoch_ends()[0] + 3)
    older, newest = sorted((tmp_path / "checkpoints").iterdir())
    os.truncate(newest, int(newest.stat().st_size * kept_fraction))
    assert finished(tmp_path) == undisturbed
    assert f"{newest} cannot be read" in capsys.readouterr().err
    assert older.name == f"{8 * (epoch_ends()[0] + 1):014d}.pt"


def test_p12_a_torn_log_line_is_written_again(undisturbed: Result, tmp_path: Path) -> None:
    stop_at(tmp_path, STEPS // 2)
    with (tmp_path / "log.jsonl").open("a") as handle:
        handle.write('{"seen": 160, "epo')
    assert finished(tmp_path) == undisturbed


def test_a_log_without_checkpoint_begins_anew(undisturbed: Result, tmp_path: Path) -> None:
    stop_at(tmp_path, STEPS // 2)
    shutil.rmtree(tmp_path / "checkpoints")
    assert finished(tmp_path) == undisturbed


def sick_at(step: int, *, gradient_only: bool) -> AbstractContextManager[None]:
    """Makes the loss of one step NaN, or its gradient alone."""
    steps = count()

    def hooked(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> LossValue:
        if next(steps) != step:
            return tag_loss(settings, logits_BV, truth)
        if not gradient_only:
            return tag_loss(settings, logits_BV * math.nan, truth)
        logits_BV.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
        return tag_loss(settings, logits_BV, truth)

    return with_loss(hooked)


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("step", [0, STRETCH - 1, epoch_ends()[0], epoch_ends()[0] + 1, STEPS - 1])
def test_a_loss_that_is_no_number_stops_the_run_and_no_checkpoint_holds_it(
    tmp_path: Path, step: int, gradient_only: bool
) -> None:
    with sick_at(step, gradient_only=gradient_only), pytest.raises(Diverged, match=REMEDY) as caught:
        train(tiny_job(tmp_path))
    assert caught.value.exit_code == 1
    saved = list((tmp_path / "checkpoints").glob("*.pt"))
    assert bool(saved) == (step > epoch_ends()[0])
    assert (str(tmp_path / "checkpoints") in str(caught.value)) == bool(saved), "named where there is one to go on from"
    for path in saved:
        state = torch.load(path, weights_only=True)
        assert all(torch.isfinite(tensor).all() for tensor in state["net"].values())
        assert state["seen"] <= 8 * step


def test_a_signal_in_a_sick_step_does_not_say_that_all_is_saved(tmp_path: Path) -> None:
    def sick(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> LossValue:
        signal.raise_signal(signal.SIGTERM)
        return tag_loss(settings, logits_BV * math.nan, truth)

    with with_loss(sick), pytest.raises(Diverged, match=REMEDY) as caught:
        train(tiny_job(tmp_path))
    assert "checkpoints" not in str(caught.value)
    assert not list(tmp_path.rglob("*.pt"))


def test_a_training_without_a_run_says_that_it_diverged() -> None:
    with sick_at(1, gradient_only=False), pytest.raises(Diverged, match=REMEDY):
        train(tiny_job())


def test_w15_the_rate_of_each_line_is_that_of_its_last_steps_middle(undisturbed: Result) -> None:
    plan = tiny_plan()
    expected = [learning_rate(plan, int(line[0]) - 4) for line in undisturbed[1]]
    assert [line[4] for line in undisturbed[1]] == expected


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_w13_first_loss_of_a_net_is_the_entropy_of_its_law(kind: Loss, tmp_path: Path) -> None:
    job = zipf_job(kind, tmp_path)
    train(job)
    assert job.run is not None
    (line,) = job.run.log()
    entropy, floor = first_losses(kind)
    assert line.loss == pytest.approx(entropy, abs=1e-3)
    assert line.loss - line.excess_loss == pytest.approx(floor, abs=1e-4), "W12: excess loss logged"


@pytest.mark.parametrize(("law", "threshold"), [("natural", None), ("sqrt", 40.0), ("uniform", 20.0)])
def test_p16_each_tag_is_seen_as_often_as_its_law_expects(law: str, threshold: float | None) -> None:
    """Three epochs, in each of which a picture is drawn its factor times, rounded down or up."""
    ids, offsets = tiny_pictures().ids, tiny_pictures().offsets
    counts = np.bincount(ids, minlength=LABELS)
    factors = drawing(ids, offsets, counts, law, threshold).draws(ids, offsets)
    index = EpochIndex.build(ids, offsets, counts, law, threshold)
    stream = PictureStream(index, tiny_plan().seed)
    images = next(length for length in count(int(3 * index.expected_length) - 3) if stream.epoch_of(length) == 3)
    job = tiny_job(images=images, batch=images, law=law, threshold=threshold)
    seen_V = train(replace(job, index=index)).numpy()
    expected_V = sampled_laws(ids, offsets, counts, law, threshold).drawn_fraction * images
    rounded = np.repeat(factors % 1 != 0, np.diff(offsets))
    assert (np.abs(seen_V - expected_V) <= 3 * np.bincount(ids[rounded], minlength=LABELS) + 0.5).all()
    assert seen_V.sum() == pytest.approx(expected_V.sum(), rel=0.03)


@pytest.mark.parametrize("kind", LOSSES)
def test_p17_losses_go_by_name_and_weigh_each_tag(kind: Loss, tmp_path: Path) -> None:
    def first(weight: float) -> float:
        job = tiny_job(tmp_path / str(weight), loss=kind, images=8)
        train(replace(job, tag_weights=torch.full((LABELS,), weight)))
        assert job.run is not None
        return job.run.log()[0].loss

    assert first(1.0) == pytest.approx(first(0.5) * 2, rel=1e-5)


def test_p12_tags_seen_are_counted_across_a_stop(tmp_path: Path) -> None:
    stop_at(tmp_path, STEPS // 2)
    assert train(tiny_job(tmp_path)).tolist() == train(tiny_job()).tolist()


def test_what_is_judged_is_the_model_that_would_come_of_it_and_the_net_is_left_alone(tmp_path: Path) -> None:
    """Under a running mean that is the mean, which hardly moves here while the net does."""
    judged: list[dict[str, bytes]] = []

    def judge(net: ResidualNet) -> float:
        assert not net.training
        judged.append(state_bytes(net.to(memory_format=torch.contiguous_format)))
        return float(len(judged) == 1)

    job = replace(tiny_job(tmp_path, ema=0.5), judge=judge)
    train(job)
    plain = tiny_job(ema=0.5)
    train(plain)
    assert state_bytes(job.net) == state_bytes(plain.net)
    assert len(judged) == len(epoch_ends())
    best = torch.load(tmp_path / "checkpoints" / "kept" / "best.pt")
    assert best["seen"] == 8 * (epoch_ends()[0] + 1)
    assert judged[0] == {name: tensor.contiguous().numpy().tobytes() for name, tensor in best["mean"].items()}
    assert judged[0] != {name: tensor.contiguous().numpy().tobytes() for name, tensor in best["net"].items()}


def test_a_training_without_a_run_leaves_nothing_behind(tmp_path: Path, undisturbed: Result) -> None:
    job = tiny_job()
    train(job)
    assert state_bytes(job.net) == undisturbed[0]
    assert not job.net.training
    assert not list(tmp_path.iterdir())


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    job = tiny_job(design=replace(DESIGN, dropout=0.3), images=16)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(job)
    assert torch.equal(torch.rand(3), expected)


def test_p12_a_continued_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_at(tmp_path, 9)
    train(replace(tiny_job(tmp_path), title="pretraining"))
    assert "pretraining: going on after 80 pictures" in capsys.readouterr().err


def test_only_weighing_nets_are_trained_channels_first() -> None:
    formats = {name: memory_format(find_design(name)) for name in ("resnet18", "skresnet18")}
    assert formats == {"resnet18": torch.channels_last, "skresnet18": torch.contiguous_format}


def test_the_numbers_of_a_run_are_in_its_tensorboard_where_that_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    finished(tmp_path)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert content.count(b"excess_loss") == len(range(STRETCH, STEPS, STRETCH)) + 1


def test_the_tiny_corpus_has_what_the_tests_need() -> None:
    assert len(epoch_ends()) >= 2
    assert epoch_ends()[0] + 3 < STEPS // 2 + 2
    assert set(tiny_pictures().ids.tolist()) == set(range(LABELS))
