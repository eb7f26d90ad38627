"""The quickstart's settings are the winners of the committed searches, not choices of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.quickstart_seeds import LONG_EPOCHS
from bench.record import RESULTS
from bench.scratch_search import first_round, plan_of
from tagwise.training.recipes.small import small_pretraining
from tagwise.transfer.comparison import Arena
from tagwise.transfer.drawn import EPOCHS, drawn_scratch
from tagwise.transfer.opening import open_target
from tagwise.verbs import quickstart
from tests.transfer.conftest import Fill


def results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["results"]
    return found


def test_the_rival_is_the_winner_of_the_search(tmp_path: Path, fill: Fill) -> None:
    searched = results("scratch_search")["finalists"]
    target = open_target(fill(tmp_path / "target", moon=50, star=50))
    arena = Arena(target=target, pixels=tmp_path / "pixels", device=torch.device("cpu"), seed=0)
    for candidates, epochs in ((searched, EPOCHS), (searched + results("scratch_edges")["beyond"], LONG_EPOCHS)):
        found = plan_of(max(candidates, key=lambda entry: entry["mean"]), first_round()[0])
        assert drawn_scratch(arena, epochs) == replace(found, data=target.train.digest)


def test_the_pretraining_has_the_rate_and_decay_of_the_search() -> None:
    winner = max(results("pretraining_search")["finalists"], key=lambda entry: entry["mean"])
    plan = small_pretraining(64, data="")
    assert (plan.rate_per_256, plan.weight_decay) == (winner["rate_per_256"], winner["weight_decay"])


def test_the_quickstart_has_the_resolution_and_length_of_the_search() -> None:
    winner = max(results("resolution_search")["sizes"], key=lambda entry: entry["mean"])
    assert (quickstart.PRETRAINING["resolution"], quickstart.IMAGES) == (winner["resolution"], winner["images"])
