"""Starts are trained alike, once each, in as many sittings as it takes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tagwise.base.errors import UsageError
from tagwise.localise import contest as contests
from tagwise.localise.comparisons import LOST, LocatedComparison, LocatedRun, compares_located, read_located
from tagwise.localise.contest import LocatedContest, Start
from tagwise.localise.localisation import TRUE_BOX_ACCURACY
from tagwise.localise.opening import open_annotations
from tagwise.localise.target import LocatedTarget
from tagwise.training.loading import load
from tagwise.training.recipes.localisation import small_detection
from tagwise.training.runs import read_run
from tagwise.verbs.locate import scored
from tests.localise.drawn_target import write_start, write_target
from tests.localise.small_detectors import SMALL, VIEW, small
from tests.references.coco import need

need("pycocotools")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> LocatedContest:
    """Scratch, and one model under two names; two steps each."""
    folder = tmp_path_factory.mktemp("given")
    opened = open_annotations(write_target(folder / "target", train=4, val=4))
    target = LocatedTarget(train=opened["train"], validation=None, test=opened["validation"])
    model = load(write_start(folder / "model.safetensors", seed=1))
    plan = small_detection(
        4,
        data=target.digest,
        design=SMALL,
        view=VIEW,
        detector=small(proposals=(40, 100)),
        images=4,
        batch=2,
        model_of="last",
    )
    begun = dataclasses.replace(plan, start=model.digest)
    starts = (
        Start(name="scratch", model=None, group="small", plan=plan),
        Start(name="a", model=model, group="small", plan=begun),
        Start(name="b/b", model=model, group="small", plan=begun),
    )
    return LocatedContest(
        head="faster",
        target=target,
        starts=starts,
        lengths=(0.5, 1.0),
        seeds=(0,),
        device=CPU,
        score=lambda run: scored(run, target, CPU),
        workers=1,
    )


@pytest.fixture(scope="module")
def held(given: LocatedContest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LocatedComparison]:
    out = tmp_path_factory.mktemp("held") / "out"
    return out, given.hold(out)


def test_every_start_is_trained_on_every_schedule(held: tuple[Path, LocatedComparison]) -> None:
    out, found = held
    entries = [(run.length, run.start, run.images) for run in found.runs]
    assert entries == [(length, name, round(4 * length)) for length in (0.5, 1) for name in ("scratch", "a", "b/b")]
    assert found.pairs == [("scratch", "a"), ("scratch", "b/b"), ("a", "b/b")]
    assert {*LOST.values(), TRUE_BOX_ACCURACY, "box AP75", "class-agnostic box AP"} <= {*found.runs[0].numbers}
    assert {"proposal recall at 0.5", "proposal recall at 0.75"} <= {*found.runs[0].numbers}
    assert compares_located(out)
    for run in found.runs:
        assert (out / run.folder / "model.safetensors").is_file()
        assert not (out / run.folder / "checkpoints").exists()


def test_starts_differ_in_nothing_but_where_they_begin(held: tuple[Path, LocatedComparison]) -> None:
    """The same model twice: same order, same draws, so the same numbers to the last digit."""
    out, found = held
    assert found.unlike("scratch", "a") == []
    plans = [read_run(out / run.folder).plan for run in found.runs]
    assert len({dataclasses.replace(plan, start=None, images=4) for plan in plans}) == 1
    for length in (0.5, 1):
        alike, other = found.report("a", "b/b", length), found.report("scratch", "a", length)
        assert alike is not None
        assert other is not None
        assert {change.difference.mean for change in alike.changes} == {0}
    losses = [read_run(out / run.folder).log()[-1].loss for run in found.runs]
    assert losses[1::3] == losses[2::3]
    assert losses[0::3] != losses[1::3]


def test_what_is_done_is_not_done_again_and_seeds_may_be_added(
    given: LocatedContest, held: tuple[Path, LocatedComparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = held
    begun: list[Any] = []

    def train_run(run: Any, *_: Any, **__: Any) -> None:
        begun.append((run.plan.seed, run.plan.images))
        raise KeyboardInterrupt

    monkeypatch.setattr(contests, "train_run", train_run)
    assert given.hold(out).runs == found.runs
    assert begun == []
    more = dataclasses.replace(given, seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        more.hold(out)
    assert begun == [(1, 2)]


def test_an_interrupted_comparison_ends_as_the_uninterrupted_one(
    given: LocatedContest, held: tuple[Path, LocatedComparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = dataclasses.replace(given, lengths=(1.0,), starts=given.starts[:2])
    with monkeypatch.context() as patch:
        patch.setattr(contests, "proposals_recall", _stop)  # the first model is there, its numbers are not
        with pytest.raises(KeyboardInterrupt):
            short.hold(tmp_path / "out")
    state = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert state["runs"] == []
    with pytest.raises(UsageError, match="has no run yet; give the same compare command again"):
        read_located(tmp_path / "out")
    numbers = {run.start: run.numbers for run in short.hold(tmp_path / "out").runs}
    whole = {run.start: run.numbers for run in held[1].runs if run.length == 1 and run.start != "b/b"}
    assert numbers == whole


def _stop(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_names_that_differ_in_signs_or_capitals_alone_have_folders_of_their_own(given: LocatedContest) -> None:
    names = ["scratch r18", "a b", "a-b", "A b", "a-b-2"]
    starts = [dataclasses.replace(given.starts[0], name=name) for name in names]
    found = contests._folders(starts)
    assert contests._folders(starts[::-1]) == found
    assert len({folder.casefold() for folder in found.values()}) == len(names)
    assert found["scratch r18"] == "scratch-r18"


def test_another_comparison_is_refused(given: LocatedContest, held: tuple[Path, LocatedComparison]) -> None:
    changed = dataclasses.replace(given.starts[1], plan=dataclasses.replace(given.starts[1].plan, weight_decay=0.5))
    other = dataclasses.replace(given, starts=(given.starts[0], changed, given.starts[2]))
    with pytest.raises(UsageError, match=r"is another comparison \(starts.a.plan.weight_decay: 0.0001 -> 0.5\)"):
        other.hold(held[0])


def test_only_starts_of_one_design_and_only_their_common_seeds_are_compared() -> None:
    def run(start: str, seed: int) -> LocatedRun:
        numbers = {"box AP": 0.1 * seed}
        return LocatedRun(start=start, length=1, seed=seed, images=1, numbers=numbers, folder="", seconds=1)

    found = LocatedComparison(
        head="faster",
        target="t",
        classes=("a",),
        train_pictures=1,
        test_pictures=1,
        test_digest="",
        groups={"scratch r18": "r18", "scratch r50": "r50", "m18": "r18", "m50": "r50"},
        plans={},
        runs=(run("scratch r18", 1), run("m18", 1), run("m18", 2), run("m50", 1)),
    )
    assert found.pairs == [("scratch r18", "m18"), ("scratch r50", "m50")]
    report = found.report("scratch r18", "m18", 1)
    assert report is not None
    assert report.seeds == (1,)
    assert found.reports("scratch r50", "m50") == {}
