"""The quickstart's rival is the winner of the committed search, not a choice of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from bench.record import RESULTS
from bench.scratch_search import first_round, plan_of
from tagwise.transfer.comparison import Arena
from tagwise.transfer.drawn import drawn_scratch
from tagwise.transfer.targets import open_target
from tests.transfer.conftest import Fill


def test_the_rival_is_the_winner_of_the_search(tmp_path: Path, fill: Fill) -> None:
    finalists = json.loads((RESULTS / "scratch_search.json").read_text("utf-8"))["results"]["finalists"]
    winner = max(finalists, key=lambda entry: entry["mean"])
    target = open_target(fill(tmp_path / "target", moon=50, star=50))
    arena = Arena(target=target, pixels=tmp_path / "pixels", device=torch.device("cpu"), seed=0)
    found = plan_of(winner, first_round()[0])
    assert drawn_scratch(arena) == replace(found, data=target.train.digest)
