"""The same training once more: its score is that of the test part that is asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagwise.base.files import read_json
from tagwise.localise import learning
from tagwise.training.loading import load
from tests.localise.drawn_target import TINY, write_target
from tests.references.coco import need
from tests.verbs.road import DESIGN, Done

Here = Callable[..., Done]


def birds(folder: Path, seed: int) -> Path:
    """Six pictures of noise in each of two classes."""
    generator = np.random.default_rng(seed)
    for kind in ("owl", "wren"):
        (folder / kind).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture
def given(tmp_path: Path) -> tuple[str | Path, ...]:
    """A training of four steps, which holds pictures out and has no test part."""
    small = ("--design", DESIGN, "--resolution", "16", "--images", "2 epochs", "--batch", "4", "--device", "cpu")
    return "train", birds(tmp_path / "birds", 0), "-o", tmp_path / "run", "--holdout", "2/class", *small


def test_a_finished_run_is_never_scored_by_another_test_part(
    given: tuple[str | Path, ...], here: Here, tmp_path: Path
) -> None:
    one, other = birds(tmp_path / "one", 1), birds(tmp_path / "other", 2)
    scores = tmp_path / "run" / "scores.json"
    assert "accuracy" not in here(*given).out
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    first = here(*given, "--test", one)
    assert "of 12 test pictures" in first.out, "a part that was not there before is scored now"
    kept = read_json(scores)
    assert here(*given, "--test", one).out == first.out
    done = here(*given, "--test", other)
    assert (done.code, done.out) == (2, "")
    assert f"was scored on another test part ({kept['test_digest']}) than this one (" in done.err
    assert f"`tagwise evaluate {other} --model {tmp_path / 'run'}` scores it here, --overwrite trains anew" in done.err
    assert read_json(scores) == kept
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == model


def test_a_detector_is_never_told_by_the_score_of_another_test_part(here: Here, tmp_path: Path) -> None:
    need("pycocotools")
    target = write_target(tmp_path / "target", train=2, val=2)
    small = ("--images", "2", "--batch", "2", "--resolution", "64", "--device", "cpu", "--set", *TINY)
    command = ("train", target, "--head", "faster", "-o", tmp_path / "run", *small)
    first = here(*command)
    assert first.code == 0, first.err
    assert here(*command).out == first.out
    other = write_target(tmp_path / "other", train=2, val=3, seed=1)
    for path in other.glob("val*"):
        path.replace(target / path.name)
    done = here(*command)
    assert (done.code, done.out) == (2, "")
    assert f"`tagwise evaluate {target} --model {tmp_path / 'run'}` scores it here" in done.err


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_is_judged_by_one_validation_part(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    need("pycocotools")
    target = write_target(tmp_path / "target", train=2, val=2)
    other = write_target(tmp_path / "other", train=2, val=3, seed=1)
    small = ("--images", "2", "--batch", "2", "--resolution", "64", "--device", "cpu", "--set", *TINY)
    command = ("train", target, "--head", "faster", "-o", tmp_path / "run", "--test", other / "train.json", *small)
    if finished:
        assert here(*command).code == 0
    else:
        with monkeypatch.context() as patch:
            patch.setattr(learning, "train_run", _killed)
            with pytest.raises(ZeroDivisionError):
                here(*command)
    for path in other.glob("val*"):
        path.replace(target / path.name)
    done = here(*command)
    assert (done.code, done.out) == (2, "")
    assert "is judged by another validation part (" in done.err
    assert "give the former one, or --overwrite to train anew" in done.err


def _killed(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_the_best_checkpoint_is_a_model_to_go_on_from(
    given: tuple[str | Path, ...], here: Here, tmp_path: Path
) -> None:
    assert here(*given).code == 0
    best, last = load(tmp_path / "run/checkpoints/kept/best.pt").facts, load(tmp_path / "run").facts
    assert (best.view, best.classes, best.design) == (last.view, ("owl", "wren"), last.design)
    done = here("evaluate", birds(tmp_path / "new", 3), "--model", tmp_path / "run/checkpoints/kept/best.pt")
    assert done.code == 0, done.err


def test_unreadable_pictures_are_told_before_the_plan(
    given: tuple[str | Path, ...], here: Here, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / "birds" / "owl" / f"{number}.png").write_bytes(f"no picture {number}".encode())
    done = here(*given)
    assert done.code == 3
    assert "cannot be read" in done.err
    assert "learning rate" not in done.err
