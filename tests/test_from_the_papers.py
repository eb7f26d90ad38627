"""Every block of ``docs/from-the-papers.md`` that says how it is done here is run as it stands there.

Published weights are made instead of downloaded, and trainings are planned, with ``--dry-run``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tagwise import cli
from tagwise.corpus.drawn import files as drawn
from tagwise.nets import Weights, build, create, find_design
from tagwise.nets.label_sets import class_names
from tagwise.training import estimate
from tagwise.training.plans import Plan
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "from-the-papers.md"
SYNSETS = ("n01440764", "n02099601")
COMMANDS = {
    "wsl_finetuned": ("resnext101_32x8d", 512, 0.0015, None, 0.0),
    "wsl_linear": ("resnext101_32x8d", 512, 0.1, None, 0.0),
    "resnest50": ("resnest50", 8192, 0.05 * 64 / 8192 * 256, 270, 1e-4),
    "resnest50_pytorch": ("resnest50", 256, 0.025 * 4, 270, 1e-4),
    "resnext50": ("resnext50_32x4d", 256, 0.1, 100, 1e-4),
    "resnext29": ("resnext29_16x64d_cifar", 128, 0.2, 300, 5e-4),
    "resnext29_64": ("resnext29_16x64d_cifar", 64, 0.2, 300, 5e-4),
    "resnet20": ("resnet20_cifar_end", 128, 0.2, 164, 1e-4),
    "resnet50": ("resnet50", 256, 0.1, 90, 1e-4),
    "se_resnet50": ("se_resnet50", 256, 0.1, 100, 1e-4),
    "akamaster": ("resnet20_cifar", 128, 0.2, 200, 1e-4),
    "rsb_a2": ("resnet50", 2048, 5e-3 / 8, 300, 0.02),
    "torchvision_v1": ("resnet50", 256, 0.1, 90, 1e-4),
    "torchvision_v2": ("resnet50", 1024, 0.5 / 4, 600, 2e-5),
}
"""What the original of a training on classes asks for: net, batch, rate per 256, epochs, weight decay."""


def blocks() -> Iterator[tuple[str, str, str]]:
    """The heading, language and text of each block of ours."""
    heading = side = ""
    text = PAGE.read_text("utf-8")
    for found in re.finditer(
        r"^## ([^\n]*)$|^(There|Here)\b|^```(python|sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        heading, side = found[1] or heading, found[2] or ("" if found[1] else side)
        if found[3]:
            assert side, f"a block under {heading} is neither There nor Here"
            if side == "Here":
                yield heading, found[3], found[4]


BLOCKS = list(blocks())


@functools.cache
def made_state(design: str, classes: int) -> dict[str, Tensor]:
    """Tensors of the right names and shapes, at the cost of no memory."""
    with torch.device("meta"):
        state = build(find_design(design), num_classes=classes).state_dict()
    return {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in state.items()}


def made_weights(row: Weights) -> dict[str, Tensor]:
    return dict(made_state(row.design, len(class_names(row.label_set))))


def picture(path: Path, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.Generator(np.random.PCG64(len(str(path)))).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page assumes: a picture, ImageNet and CIFAR-10 in class folders, tagged photos, a file, a checkout."""
    folder = tmp_path_factory.mktemp("reader")
    picture(folder / "dog.jpg", 256)
    for part in ("train", "val"):
        for synset in SYNSETS:
            picture(folder / "imagenet" / part / synset / f"{part}.png", 64)
    for part in ("train", "test"):
        for name in ("airplane", "cat"):
            for number in range(64 if part == "train" else 1):
                picture(folder / "cifar10" / part / name / f"{part}{name}{number}.png", 32)
    for number in range(300):
        synset = SYNSETS[number % 2]
        picture(folder / "imagenet" / "train" / synset / f"{number:04}.png", 8 + number % 5)
    drawn.write_corpus(folder, pictures=150, seed=3)
    (folder / "pictures.csv").rename(folder / "photos.csv")
    state = {
        f"module.{key.replace('fc.', 'linear.')}": value for key, value in made_state("resnet20_cifar", 10).items()
    }
    torch.save({"state_dict": state, "best_prec1": 91.78}, folder / "resnet20.th")
    (folder / "checkout").symlink_to(REPOSITORY)
    return folder


@pytest.fixture(autouse=True)
def as_a_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(create, "load_weights", made_weights)
    monkeypatch.setattr(estimate, "estimate", lambda *_, **__: {})
    yield
    signal.signal(signal.SIGTERM, before)


def numbered(heading: str, number: int) -> str:
    return f"{heading.partition(' ')[0]}-{number}"


def run_block(language: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs Python as it stands, commands one by one, trainings planned."""
    if language == "python":
        names: dict[str, Any] = {}
        exec(text, names)  # noqa: S102 - the pages are ours
        return
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "tagwise", "a reader can copy every line"
        planned = ["--dry-run"] if words[1] in ("train", "pretrain") else []
        code = cli.run([*words[1:], *planned])
        said = capsys.readouterr()
        assert code == 0, f"{line}\n{said.out}{said.err}"
        assert said.out


@pytest.mark.parametrize(
    ("language", "text"),
    [pytest.param(language, text, id=numbered(name, place)) for place, (name, language, text) in enumerate(BLOCKS)],
)
def test_what_the_page_says_runs_here(language: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_block(language, text, capsys)


def test_trainings_are_planned_as_their_originals_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are fewer pictures than the original's batch, all of them are one."""
    planned: list[tuple[Plan, int]] = []

    def keep(plan: Plan, _: int, pictures: int, *__: object, **___: object) -> dict[str, str]:
        planned.append((plan, pictures))
        return {}

    monkeypatch.setattr(estimate, "estimate", keep)
    lines = [line for _, language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    trainings = [shlex.split(line)[1:] for line in lines if line.startswith("tagwise train ")]
    assert {words[-1].removeprefix("runs/") for words in trainings} == set(COMMANDS)
    for words in trainings:
        assert cli.run([*words, "--dry-run"]) == 0
        design, batch, rate_per_256, epochs, weight_decay = COMMANDS[words[-1].removeprefix("runs/")]
        plan, pictures = planned[-1]
        begun = {name: getattr(plan.design, name) for name in ("drop_block", "stochastic_depth", "zero_init_last")}
        assert plan.design == dataclasses.replace(find_design(design), **begun), words
        assert plan.batch == min(batch, pictures), words
        assert plan.rate_per_256 == pytest.approx(rate_per_256), words
        assert epochs is None or plan.images == epochs * pictures, words
        assert plan.weight_decay == weight_decay, words


def test_the_readmes_lines_about_published_models_run(capsys: pytest.CaptureFixture[str]) -> None:
    part = (REPOSITORY / "README.md").read_text("utf-8").partition("## Published models")[2]
    found = re.findall(r"^```(python|)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in found] == ["", "python"]
    for language, text in found:
        run_block(language, text, capsys)


def test_every_repository_of_the_papers_has_its_part() -> None:
    parts = {heading.partition(" ")[0] for heading, _, _ in BLOCKS}
    assert parts == {
        "WSL-Images",
        "Semi-supervised",
        "ResNeSt",
        "ResNeXt",
        "SENet",
        "akamaster's",
        "timm",
        "torchvision",
        "Out",
    }
