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
from numpy.typing import NDArray
from torch import Tensor

from tagwise.base.errors import Diverged, Interrupted, TagwiseError
from tagwise.nets import find_design
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import Augment
from tagwise.pixels.feeding import FilePictures
from tagwise.pixels.mixing import draw_mix, mixed
from tagwise.pixels.place import PictureRefused, Place
from tagwise.tags.drawing import drawing
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.law_report import sampled_laws
from tagwise.training import checkpoints, loop, tasks
from tagwise.training.learner import Learner
from tagwise.training.loop import train
from tagwise.training.losses import LOSSES, Loss, LossSettings, LossValue, Truth, mixed_truth, tag_loss
from tagwise.training.schedule import learning_rate
from tagwise.training.signals import REPEAT_SECONDS
from tagwise.training.stream import PictureStream
from tagwise.training.tasks import Part, memory_format
from tests.references.sampling import draws_of
from tests.training.tiny import (
    DESIGN,
    LABELS,
    PICTURES,
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
    return state_bytes(job.task.net), log_facts(job.run)


@contextmanager
def with_loss(hooked: Callable[..., LossValue]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "tag_loss", hooked)
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
        {"ema": 0.9},
        {"optimiser": "lamb", "clip_norm": 0.1},
        {"precision": "float16"},
        {"accumulate": 3},
        {"mixup": 0.2, "cutmix": 1.0},
        {"repeats": 2},
        {"augment": Augment(policy="randaugment", jitter=0.4, erase=0.5)},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_p12_of_any_plan(undisturbed: Result, tmp_path: Path, changes: dict[str, Any]) -> None:
    expected = finished(tmp_path / "undisturbed", **changes)
    assert expected[0] != undisturbed[0], "the setting is heeded"
    stop_at(tmp_path / "stopped", STEPS // 2, **changes)
    assert finished(tmp_path / "stopped", **changes) == expected


def drawn(place: Place, number: int) -> NDArray[np.uint8]:
    """What a worker makes of a picture of noise."""
    if place.path == "gone":
        raise PictureRefused("it is gone", place.path)
    drawn_HWC = np.random.Generator(np.random.PCG64([int(place.path), number])).integers(0, 256, (16, 16, 3), np.uint8)
    return np.asarray(drawn_HWC)


def test_p12_of_pictures_that_workers_read_one_of_which_is_gone(tmp_path: Path) -> None:
    """Slices of two may be left with one picture, and in one process with none."""

    def job(folder: Path) -> loop.Job:
        noise, places = tiny_pictures(), [Place(str(row)) for row in range(PICTURES)]
        places[PICTURES // 2] = Place("gone")
        fed = FilePictures(places=places, ids=noise.ids, offsets=noise.offsets, read=drawn, side=16, workers=1)
        return tiny_job(folder, pictures=fed, feed="files", accumulate=8, augment=Augment())

    def facts(folder: Path) -> Result:
        resumed = job(folder)
        train(resumed)
        assert resumed.run is not None
        return state_bytes(resumed.task.net), log_facts(resumed.run)

    expected = facts(tmp_path / "undisturbed")
    with act_at(8 * STEPS // 2, lambda: signal.raise_signal(signal.SIGTERM)), pytest.raises(Interrupted):
        train(job(tmp_path / "stopped"))
    assert facts(tmp_path / "stopped") == expected


def shown(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[tuple[Tensor, Truth]]:
    """What the learner is given in each step of a training that moves nothing."""
    given: list[tuple[Tensor, Truth]] = []

    def step(_: Learner, parts: list[Part], rate: float) -> tuple[Tensor, Tensor]:
        assert rate >= 0
        ((images_BCHW, truth),) = (part.inputs for part in parts)
        given.append((images_BCHW.contiguous(), truth))
        return torch.zeros(()), torch.zeros(())

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", step)
        train(tiny_job(**changes))
    return given


@pytest.mark.parametrize("mix", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_pictures_and_their_labels_are_mixed_as_drawn(mix: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, found = shown(monkeypatch), shown(monkeypatch, **mix)
    for step, ((images_BCHW, truth), (mixed_BCHW, mixed_labels)) in enumerate(zip(plain, found, strict=True)):
        drawn_mix = draw_mix(0, step, **({"mixup": 0.0, "cutmix": 0.0} | mix), resolution=16)
        torch.testing.assert_close(mixed_BCHW, mixed(images_BCHW, drawn_mix))
        expected = mixed_truth(truth, drawn_mix.own_fraction)
        assert torch.equal(mixed_labels.weights, expected.weights)
        assert not mixed_labels.hard


def test_repeats_show_a_picture_so_many_times_in_a_batch_each_time_varied_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = PictureStream(tiny_index(), tiny_plan().seed)
    for step, (images_BCHW, truth) in enumerate(shown(monkeypatch, repeats=2)):
        rows = stream.rows(np.arange(4 * step, 4 * step + 4)).repeat(2)
        assert torch.equal(truth.ids, tiny_pictures().batch(rows).ids)
        assert not torch.equal(images_BCHW[0], images_BCHW[1])


def out_of_memory(*_: object) -> float:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")


@pytest.mark.parametrize("where", ["loss", "optimiser", "judge"])
def test_a_gpu_without_memory_is_a_sentence_with_flags_that_the_run_goes_on_with(where: str, tmp_path: Path) -> None:
    job = tiny_job(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        if where == "loss":
            patch.setattr(tasks, "tag_loss", out_of_memory)
        if where == "optimiser":
            patch.setattr(torch.optim.SGD, "step", out_of_memory)
        remedy = (
            r"no memory left for 8 pictures .* --set accumulate=2, .* or --set recompute=true; a run .* goes on with"
        )
        with pytest.raises(TagwiseError, match=remedy):
            train(replace(job, judge=out_of_memory) if where == "judge" else job)


def test_a_gpu_that_is_too_small_for_one_picture_is_told_no_flag_in_vain() -> None:
    with with_loss(out_of_memory), pytest.raises(TagwiseError, match=r"left for 1 pictures .* a smaller --batch, --d"):  # type: ignore[arg-type]
        train(tiny_job(accumulate=8, recompute=True))


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


@pytest.mark.parametrize(("batch", "told"), [(2, r"of a, a;"), (4, r"of a, a, a and 1 more;")])
def test_a_diverged_training_names_the_first_pictures_of_its_step(batch: int, told: str) -> None:
    job = replace(tiny_job(batch=batch, images=30 * batch), names=["a"] * 60)
    with sick_at(1, gradient_only=False), pytest.raises(Diverged, match=told):
        train(job)


def test_a_sick_training_ends_within_a_minute_though_no_line_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_LINES", 1)
    monkeypatch.setattr(loop, "CHECK_SECONDS", -1)
    with sick_at(3, gradient_only=True), pytest.raises(Diverged, match="after 32 pictures"):
        train(tiny_job())


def test_float16_that_takes_no_step_any_more_is_said() -> None:
    def endless(settings: LossSettings, logits_BV: Tensor, truth: Truth) -> LossValue:
        logits_BV.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
        return tag_loss(settings, logits_BV, truth)

    with with_loss(endless), pytest.raises(Diverged, match=REMEDY):
        train(tiny_job(precision="float16"))


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
    factors = draws_of(drawing(ids, offsets, counts, law, threshold), ids, offsets)
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
        job = tiny_job(tmp_path / str(weight), weights_V=torch.full((LABELS,), weight), loss=kind, images=8)
        train(job)
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
    assert state_bytes(job.task.net) == state_bytes(plain.task.net)
    assert len(judged) == len(epoch_ends())
    best = torch.load(tmp_path / "checkpoints" / "kept" / "best.pt")
    assert best["seen"] == 8 * (epoch_ends()[0] + 1)
    assert judged[0] == {name: tensor.contiguous().numpy().tobytes() for name, tensor in best["mean"].items()}
    assert judged[0] != {name: tensor.contiguous().numpy().tobytes() for name, tensor in best["net"].items()}


def test_patience_ends_a_training_and_the_best_becomes_the_model(tmp_path: Path) -> None:
    """The second epoch is no better than the first: with a patience of one it is the last."""

    def trained(folder: Path, *, dies: bool = False) -> tuple[dict[str, bytes], int]:
        judge = lambda net: float(int(net.bn1.num_batches_tracked) == 1 + epoch_ends()[0])  # noqa: E731
        job = replace(tiny_job(folder, patience=1, model_of="best"), judge=judge)
        with pytest.MonkeyPatch.context() as patch:
            if dies:
                patch.setattr(Learner, "result", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            seen_V = train(job)
        return state_bytes(job.task.net), int(seen_V.sum())

    expected, _ = trained(tmp_path / "undisturbed")
    best = torch.load(tmp_path / "undisturbed" / "checkpoints" / "kept" / "best.pt")
    assert best["seen"] == 8 * (epoch_ends()[0] + 1)
    assert expected == {name: tensor.contiguous().numpy().tobytes() for name, tensor in best["net"].items()}
    newest = max((tmp_path / "undisturbed" / "checkpoints").glob("*.pt"))
    assert int(newest.stem) == 8 * (epoch_ends()[1] + 1) < tiny_plan().images
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", dies=True)
    assert trained(tmp_path / "killed")[0] == expected


def test_p12_what_is_kept_is_the_same_if_the_process_dies_between_writing_and_keeping(tmp_path: Path) -> None:
    def kept(folder: Path, *, dies_at: int | None = None) -> dict[str, int]:
        deaths = count()

        def keep_checkpoint(*arguments: Any) -> None:
            if next(deaths) == dies_at:
                raise KeyboardInterrupt
            checkpoints.keep_checkpoint(*arguments)

        judge = lambda net: float(int(net.bn1.num_batches_tracked) == 1 + epoch_ends()[0])  # noqa: E731
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "keep_checkpoint", keep_checkpoint)
            train(replace(tiny_job(folder), judge=judge, keep=checkpoints.Keep(last=1, every_epochs=1)))
        return {path.name: torch.load(path)["seen"] for path in sorted((folder / "checkpoints" / "kept").iterdir())}

    expected = kept(tmp_path / "undisturbed")
    assert list(expected) == ["best.pt", "epoch-1.pt", "epoch-2.pt"]
    for dies_at in range(3):
        folder = tmp_path / str(dies_at)
        with pytest.raises(KeyboardInterrupt):
            kept(folder, dies_at=dies_at)
        assert kept(folder) == expected


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, "norms see other parts of them"),
        (
            {"mixup": 0.2, "design": replace(DESIGN, dropout=0.3)},
            "norms see other parts of them and pictures are mixed with other ones and other units are dropped",
        ),
        ({"norms": "frozen"}, "sums round otherwise"),
    ],
)
def test_p12_a_run_that_goes_on_in_another_number_of_processes_says_what_differs(
    changes: dict[str, Any], differing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_at(tmp_path, STEPS - 2, **changes)
    newest = max((tmp_path / "checkpoints").iterdir())
    state = torch.load(newest)
    torch.save(state | {"stretches": 2 * state["stretches"]}, newest)
    train(replace(tiny_job(tmp_path, **changes), title="training"))
    assert f"1 instead of 2: the batches are the same; {differing}\n" in capsys.readouterr().err


def test_a_training_without_a_run_leaves_nothing_behind(tmp_path: Path, undisturbed: Result) -> None:
    job = tiny_job()
    train(job)
    assert state_bytes(job.task.net) == undisturbed[0]
    assert not job.task.net.training
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
