"""Several processes of one training: they share, agree, wait, and say in a sentence why they cannot."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.multiprocessing.spawn import spawn

from tagwise.base.errors import Interrupted, TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.nets import build
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.batches import Batch, Request
from tagwise.tags.epoch import positions_of
from tagwise.training.learner import Learner
from tagwise.training.loop import train
from tagwise.training.losses import Loss, truth_of
from tagwise.training.ranks import Ranks, join_ranks
from tagwise.training.runs import claim_run
from tagwise.transfer import features
from tagwise.transfer.features import right_answers
from tests.training.tiny import (
    ALONE,
    CPU,
    DESIGN,
    LABELS,
    VIEW,
    first_losses,
    log_facts,
    state_bytes,
    tiny_job,
    tiny_pictures,
    tiny_plan,
    tiny_task,
    zipf_job,
)


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


class Watched:
    """Pictures that note which of them are asked for, and stop the training at a step of theirs."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[list[int]] = []
        self._stop_at = stop_at

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        for request in requests:
            if len(self.rows) == self._stop_at:
                signal.raise_signal(signal.SIGTERM)
            self.rows.append(request.rows.tolist())
            yield tiny_pictures().batch(request.rows)


TRAINED: dict[str, Any] = {"images": 120, "norms": "synchronised", "decay": "halvings", "halvings": 4}
"""15 steps of 8 pictures, with the end of an epoch among them."""
STOPPED = 7


def trained(folder: Path, ranks: Ranks = ALONE, stop_at: int | None = None, **changes: Any) -> dict[str, Any]:
    """A training of noise, or what is left of it, that holds out 23 of its own pictures."""
    watched: Any = Watched(stop_at)
    accuracies: list[float] = []

    def judge(net: ResidualNet) -> float:
        right = right_answers(net, tiny_pictures().images_NHWC[:23], np.arange(23) % LABELS, VIEW, CPU, ranks)
        accuracies.append(float(right.mean()))
        return accuracies[-1]

    job = replace(tiny_job(folder, pictures=watched, ranks=ranks, **(TRAINED | changes)), judge=judge)
    assert job.run is not None
    seen_V: list[int] = []
    with suppress(Interrupted):
        seen_V = train(job).tolist()
    ranks.wait()
    return {
        "rows": watched.rows,
        "log": log_facts(job.run),
        "held_out": [line.seen for line in job.run.held_out()],
        "kept": sorted(path.name for path in (folder / "checkpoints").rglob("best.pt")),
        "accuracies": accuracies,
        "seen": seen_V,
        "net": {name: bits.hex() for name, bits in state_bytes(job.task.net).items()},
    }


def unlike_norms(ranks: Ranks) -> dict[str, Any]:
    """Processes norm their own parts of the batch, and judge one and the same net."""
    plan = tiny_plan()
    task = tiny_task(plan, ranks=ranks)
    learner = Learner(task, plan, ranks)
    batch = tiny_pictures().batch(positions_of(0, plan.batch, ranks.rank, ranks.world))
    images_BCHW = batch.images_BHWC.permute(0, 3, 1, 2).float() / 255
    learner.step(task.sliced(images_BCHW, truth_of(plan.loss, batch.ids, batch.offsets)), rate=0.1)
    nets = learner.net, learner.model()
    return {
        name: {key: bits.hex() for key, bits in state_bytes(net).items()}
        for name, net in zip(("own", "model"), nets, strict=True)
    }


def missing(norms: str, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Weights after steps on four pictures of eight: the first process's; the others could read none of theirs."""
    plan = tiny_plan(norms=norms, accumulate=2)
    task = tiny_task(plan, ranks=ranks)
    learner = Learner(task, plan, ranks)
    for _ in range(3):
        batch = tiny_pictures().batch(np.arange(4 if ranks.first else 0))
        images_BCHW = batch.images_BHWC.permute(0, 3, 1, 2).float() / 255
        loss, _ = learner.step(task.sliced(images_BCHW, truth_of(plan.loss, batch.ids, batch.offsets)), rate=0.1)
    return {"loss": float(loss), **{name: tensor.tolist() for name, tensor in learner.net.named_parameters()}}


def evaluated(ranks: Ranks = ALONE) -> dict[str, Any]:
    """Which of 23 numbered pictures this process scores, and what all of them are told."""
    numbered = np.random.default_rng(3).integers(0, 256, (23, 20, 20, 3), dtype=np.uint8)
    numbered[:, 0, 0, 0] = np.arange(23)
    scored: list[int] = []

    def score(net: ResidualNet, images_NHWC: NDArray[np.uint8], view: View, device: torch.device) -> Any:
        scored.extend(images_NHWC[:, 0, 0, 0].tolist())
        return features_score(net, images_NHWC, view, device)

    features_score = features.score
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(1)
        net = build(DESIGN, num_classes=3)
        patch.setattr(features, "BATCH", 4)
        patch.setattr(features, "score", score)
        right = right_answers(net, numbered, np.arange(23) % 3, VIEW, CPU, ranks)
    return {"scored": scored, "right": right.tolist()}


def sharing(ranks: Ranks, folder: Path) -> dict[str, Any]:
    with ranks.first_alone():
        already_there = (folder / "packed").exists()
        (folder / "packed").touch()
    refusals = []
    for what in ("plan", "newest checkpoint"):
        try:
            ranks.agree(f"{what} {ranks.rank}", what)
        except UsageError as error:
            refusals.append(str(error))
    ranks.agree("the same", "corpus")
    plans = tiny_plan(), tiny_plan(seed=ranks.rank, weight_decay=0.5 * ranks.rank)
    for own, plan in zip((folder / f"of {ranks.rank}", folder / "never"), plans, strict=True):
        try:
            claim_run(own, plan, ranks)
        except UsageError as error:
            refusals.append(str(error))
    ranks.agree(claim_run(folder / "claimed", tiny_plan(), ranks).folder.name, "folder")
    return {
        "place": (ranks.rank, ranks.world, ranks.first),
        "already_there": already_there,
        "refusals": refusals,
        "any": [ranks.any(flag) for flag in (False, ranks.rank == 1, True)],
        "largest": ranks.largest(15 * ranks.rank, 7 - ranks.rank, False),
        "total": ranks.total(torch.tensor([1.0, float(ranks.rank)])).tolist(),
        "gathered": ranks.gathered(ranks.rank * 10),
    }


SOFT_LOSSES: tuple[Loss, ...] = ("softmax", "sigmoid")


def first_line(kind: Loss, folder: Path, ranks: Ranks) -> tuple[float, ...]:
    job = zipf_job(kind, folder, ranks=ranks)
    train(job)
    assert job.run is not None
    (line,) = log_facts(job.run)
    return line


def everything(ranks: Ranks, folder: Path) -> dict[str, Any]:
    facts = {
        "sharing": sharing(ranks, folder),
        "evaluated": evaluated(ranks),
        "unlike norms": unlike_norms(ranks),
        "missing": {norms: missing(norms, ranks) for norms in ("process", "synchronised")},
        "whole": trained(folder / "whole", ranks),
        "sigmoid": trained(folder / "sigmoid", ranks, loss="sigmoid"),
        "begun": trained(folder / "stopped", ranks, stop_at=STOPPED if ranks.rank == 1 else None),
    }
    with ranks.first_alone():
        if ranks.first:
            shutil.copytree(folder / "stopped", folder / "moved")
    facts["continued"] = trained(folder / "stopped", ranks)
    facts["first lines"] = {kind: first_line(kind, folder / "zipf" / kind, ranks) for kind in SOFT_LOSSES}
    return facts


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(shared_folder: Path) -> list[dict[str, Any]]:
    """What was found out in each of two processes; starting them is what takes its time."""
    found: list[dict[str, Any]] = meet(everything, shared_folder)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same training in one process."""
    return trained(tmp_path_factory.mktemp("alone"))


def test_two_processes_share_agree_and_wait(two: list[dict[str, Any]], shared_folder: Path) -> None:
    first, second = (facts["sharing"] for facts in two)
    assert (first["place"], second["place"]) == ((0, 2, True), (1, 2, False))
    assert (first["already_there"], second["already_there"]) == (False, True)
    assert first["refusals"][0].startswith("Process 1 has another plan than process 0; give all of them one command")
    assert "Process 0 has another newest checkpoint than process 1" in second["refusals"][1]
    assert first["refusals"][2:] == [
        f"Process 1 does not see {shared_folder / 'of 0'}, which process 0 writes; give all of them one -o, and have "
        "it, the corpus and the label space on a file system that all machines see.",
        "Process 1 has another plan than process 0 (seed: 0 -> 1; weight_decay: 0.0 -> 0.5); give all of them one "
        "command, the same files and the same version.",
    ]
    assert second["refusals"][3] == first["refusals"][3]
    assert not (shared_folder / "never").exists(), "it is said before anything is written"
    assert [path.name for path in (shared_folder / "claimed").iterdir()] == ["plan.json"]
    for name, value in {
        "any": [False, True, True],
        "largest": [15, 7, 0],
        "total": [2.0, 1.0],
        "gathered": [0, 10],
    }.items():
        assert first[name] == second[name] == value


def test_an_odd_number_of_pictures_is_evaluated_each_once_at_two_processes(two: list[dict[str, Any]]) -> None:
    one = evaluated()
    first, second = (facts["evaluated"] for facts in two)
    assert sorted(first["scored"] + second["scored"]) == one["scored"] == list(range(23))
    assert first["scored"]
    assert second["scored"]
    assert first["right"] == second["right"] == one["right"]
    assert 0 < sum(one["right"]) < 23


def test_all_processes_judge_the_first_ones_net(two: list[dict[str, Any]]) -> None:
    first, second = (facts["unlike norms"] for facts in two)
    assert first["own"] != second["own"], "their norms have seen unlike pictures"
    assert first["model"] == second["model"] == first["own"]
    accuracies = [facts["whole"]["accuracies"] for facts in two]
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize("norms", ["process", "synchronised"])
def test_a_process_without_a_readable_picture_goes_along(two: list[dict[str, Any]], norms: str) -> None:
    """Half of the batch is gone, be it another process's or half of one's own."""
    one, (first, second) = missing(norms), (facts["missing"][norms] for facts in two)
    assert second.pop("loss") == 0
    assert first.pop("loss") == pytest.approx(one.pop("loss"), rel=1e-4)
    assert first == second
    for name, values in one.items():
        np.testing.assert_allclose(first[name], values, rtol=1e-3, atol=1e-5)


def test_what_is_held_out_is_noted_once_and_the_best_is_kept_at_two_processes(
    two: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for facts in two:
        assert facts["whole"]["held_out"] == alone["held_out"]
        assert facts["whole"]["kept"] == alone["kept"] == ["best.pt"]


def test_w10_global_batches_at_two_processes_are_those_of_one_also_after_a_stop(
    two: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    parts = [facts["whole"]["rows"] for facts in two]
    assert [first + second for first, second in zip(*parts, strict=True)] == alone["rows"]
    for facts, rows in zip(two, parts, strict=True):
        assert facts["begun"]["rows"] == rows[: STOPPED + 1]
        assert facts["begun"]["rows"] + facts["continued"]["rows"] == rows


@pytest.mark.parametrize("kind", SOFT_LOSSES)
def test_w12_loss_and_gradient_at_two_processes_are_those_of_one(
    two: list[dict[str, Any]], alone: dict[str, Any], kind: Loss, tmp_path: Path
) -> None:
    """Loss and excess loss of every step: each depends on the gradients of all steps before."""
    one = alone if kind == "softmax" else trained(tmp_path, loss="sigmoid")
    log = two[0]["whole" if kind == "softmax" else "sigmoid"]["log"]
    assert len(log) == 15
    assert [line[2:4] for line in log] == [pytest.approx(line[2:4], rel=1e-4) for line in one["log"]]


@pytest.mark.parametrize("kind", SOFT_LOSSES)
def test_w13_first_loss_at_two_processes_is_the_entropy(two: list[dict[str, Any]], kind: Loss) -> None:
    _, _, loss, excess_loss, _ = two[0]["first lines"][kind]
    entropy, floor = first_losses(kind)
    assert loss == pytest.approx(entropy, abs=1e-3)
    assert loss - excess_loss == pytest.approx(floor, abs=1e-4)


def test_w15_rates_at_two_processes_and_after_a_stop_with_another_number_are_those_of_one(
    two: list[dict[str, Any]], alone: dict[str, Any], shared_folder: Path
) -> None:
    rates = [(line[0], line[4]) for line in alone["log"]]
    assert len({rate for _, rate in rates}) > 5, "warm-up and halvings are among them"
    moved = trained(shared_folder / "moved")
    assert len(moved["rows"]) == 15 - STOPPED - 1, "it goes on where two have been"
    for found in (two[0]["whole"], two[0]["continued"], moved):
        assert [(line[0], line[4]) for line in found["log"]] == rates


def test_p12_two_processes_stopped_and_continued_equal_undisturbed(two: list[dict[str, Any]]) -> None:
    for facts in two:
        assert facts["continued"]["net"] == facts["whole"]["net"]
        assert facts["continued"]["log"] == facts["whole"]["log"]


def test_p16_tags_seen_are_counted_in_all_processes(two: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    """Also across a stop."""
    for facts in two:
        assert facts["whole"]["seen"] == facts["continued"]["seen"] == alone["seen"]
    assert sum(alone["seen"]) > 120


def resumed(ranks: Ranks, folder: Path) -> list[dict[str, Any]]:
    plan: dict[str, Any] = {"batch": 9, "images": 90, "norms": "process"}
    whole = trained(folder / "whole", ranks, **plan)
    trained(folder / "stopped", ranks, stop_at=4 if ranks.rank == 2 else None, **plan)
    return [whole, trained(folder / "stopped", ranks, **plan)]


def test_p12_three_processes_stopped_and_continued_equal_undisturbed(tmp_path: Path) -> None:
    """With three, what a gradient adds up to depends on the order."""
    whole, continued = meet(resumed, tmp_path, world=3)[0]
    assert (len(whole["rows"]), len(continued["rows"])) == (10, 5)
    assert continued["log"] == whole["log"]
    assert continued["net"] == whole["net"]


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
            pytest.raises(TagwiseError, match=rf"cannot be met at 127.0.0.1:{port} .* if the port is in use") as caught,
            join_ranks("cpu"),
        ):
            pass
    assert caught.value.exit_code == 2
