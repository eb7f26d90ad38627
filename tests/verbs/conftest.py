"""The road from tagged pictures to a report, walked once; and commands given in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tagwise import cli
from tagwise.corpus.drawn import files as drawn
from tests.verbs.road import SMALL, Done, Road, tagwise

Here = Callable[..., Done]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Gives a command in this process: torch is loaded only once."""

    def give(*arguments: str | Path) -> Done:
        words = [str(argument) for argument in arguments]
        before = signal.getsignal(signal.SIGTERM)
        capsys.readouterr()
        try:
            code = cli.run(words)
        finally:
            signal.signal(signal.SIGTERM, before)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Done(arguments=tuple(words), code=code, out=said.out, err=said.err)

    return give


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    """150 tagged pictures, ten classes of four; a picture that is to be tagged is broken."""
    folder = tmp_path_factory.mktemp("road")
    drawn.write_corpus(folder / "drawn", pictures=150, seed=1)
    drawn.write_aliases(folder / "aliases.tsv")
    drawn.write_target(folder / "target", train_per_class=4, test_per_class=4, seed=1)
    drawn.write_new(folder / "new", count=3, seed=1)
    (folder / "new" / "broken.jpg").write_bytes(b"no picture")
    corpus, space, run = folder / "corpus", folder / "space.json", folder / "runs" / "a"
    labels = ("--min-count", "8", "--aliases", folder / "aliases.tsv")
    commands: dict[str, tuple[str | Path, ...]] = {
        "gather": (folder / "drawn" / "pictures.csv", "-o", corpus, "--separator", ";"),
        "labels": (corpus, "-o", space, *labels),
        "pretrain": (corpus, "--labels", space, "-o", run, "--images", "640", "--lr", "0.1", *SMALL),
        "compare": (folder / "target", "--model", run, "-o", folder / "comparison", "--epochs", "1", "--device", "cpu"),
        "train": (
            *(folder / "target", "--from", run, "-o", folder / "runs" / "b", "--images", "64"),
            *("--set", "precision=float32", "--device", "cpu"),
        ),
        "evaluate": (folder / "target", "--model", folder / "runs" / "b", "--device", "cpu"),
        "predict": (folder / "new", "--model", run, "--device", "cpu"),
        "models": ("wsl",),
        "export": (run, "--to", "onnx", "-o", folder / "tagger.onnx"),
        "report": (run, folder / "runs" / "b", folder / "comparison", "-o", folder / "report.html"),
    }
    steps = {}
    for verb, arguments in commands.items():
        steps[verb] = tagwise(verb, *arguments, "--json")
        assert steps[verb].code == 0, steps[verb].err
    return Road(folder=folder, steps=steps)
