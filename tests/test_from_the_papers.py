"""Every block of ``docs/from-the-papers.md`` that says how it is done here is run as it stands there.

Published weights are made instead of downloaded, and trainings are planned, with ``--dry-run``.
"""

from __future__ import annotations

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
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "from-the-papers.md"
SYNSETS = ("n01440764", "n02099601")


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
    monkeypatch.setattr(estimate, "_trial", lambda *_: 0.01)
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
