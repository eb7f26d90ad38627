"""Every command of ``docs/training.md`` resolves its plan, and a run leaves the files that are promised.

Published weights are made instead of downloaded; torchrun's own flags are read by torchrun's own parser.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from tagwise import cli
from tagwise.base.files import write_json
from tagwise.base.settings import to_plain
from tagwise.corpus.drawn import files as drawn
from tagwise.nets import create
from tagwise.training import estimate
from tagwise.training.recipes.imagenet import fb_imagenet
from tagwise.transfer.opening import open_target
from tests.conftest import REPOSITORY
from tests.test_from_the_papers import SYNSETS, made_weights, picture
from tests.verbs.road import SMALL

PAGE = REPOSITORY / "docs" / "training.md"
TEXT = PAGE.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def lines(script: str) -> list[str]:
    return script.replace("\\\n", " ").splitlines()


def launched(words: list[str]) -> list[str]:
    """What torchrun starts: its own flags have to be torchrun's, and ours stand behind ``-m tagwise``."""
    told = get_args_parser().parse_args(words[words.index("torchrun") + 1 :])
    assert told.module
    assert told.training_script == "tagwise"
    return list(told.training_script_args)


def commands() -> list[list[str]]:
    """All calls of tagwise, without its name and without what starts several processes of it."""
    shell = [shlex.split(line, comments=True) for block in blocks("sh") for line in lines(block)]
    assert all(words[0] in ("tagwise", "torchrun") for words in shell), "a reader can copy every line"
    batch = [shlex.split(line) for block in blocks("bash") for line in lines(block) if line.startswith("srun ")]
    pods = [
        container["command"]
        for block in blocks("yaml")
        for kind in yaml.safe_load_all(block)
        if kind["kind"] == "Job"
        for container in kind["spec"]["template"]["spec"]["containers"]
    ]
    assert len(batch) == len(pods) == 1
    return [launched(words) if "torchrun" in words else words[1:] for words in (*shell, *batch, *pods)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page assumes: a corpus with its space, class folders, finished runs and plans."""
    folder = tmp_path_factory.mktemp("reader")
    drawn.write_corpus(folder / "drawn", pictures=150, seed=3)
    drawn.write_target(folder / "flowers", train_per_class=10, test_per_class=1, seed=3)
    shutil.rmtree(folder / "flowers" / "test")
    for target, part, names in (("imagenet", "train", SYNSETS), ("cifar10", "train", ("airplane", "cat"))):
        for number in range(128):
            picture(folder / target / part / names[number % 2] / f"{number:0{3 + number % 7}}.png", 8)
    [settings] = blocks("toml")
    (folder / "mine.toml").write_text(settings, "utf-8")
    before, patch = signal.getsignal(signal.SIGTERM), pytest.MonkeyPatch()
    with patch.context():
        patch.chdir(folder)
        run("gather", "drawn/pictures.csv", "-o", "corpus", "--separator", ";")
        run("labels", "corpus", "-o", "space.json", "--min-count", "8")
        run("pretrain", "corpus", "--labels", "space.json", "-o", "runs/tags", "--images", "300", *SMALL)
        run("train", "flowers", "-o", "runs/flowers", "--from", "runs/tags", "--images", "2 epochs", "--holdout", "0.2")
        old = fb_imagenet(128, data=open_target(Path("imagenet")).train.digest)
    (folder / "runs" / "h").mkdir()
    write_json(folder / "runs" / "h" / "plan.json", to_plain(old))
    signal.signal(signal.SIGTERM, before)
    patch.undo()
    return folder


def run(*words: str) -> None:
    assert cli.run(list(words)) == 0, shlex.join(words)


@pytest.fixture(autouse=True)
def as_a_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(create, "load_weights", made_weights)
    monkeypatch.setattr(estimate, "_trial", lambda *_: 0.01)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("words", commands(), ids=lambda words: Path(words[words.index("-o") + 1]).name)
def test_every_training_of_the_page_is_planned(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    dry = [] if "--dry-run" in words else ["--dry-run", "--ranks", "1"]  # of more pictures than lie here
    code = cli.run([*words, *dry])
    said = capsys.readouterr()
    assert code == 0, f"{shlex.join(words)}\n{said.out}{said.err}"
    assert "learning rate" in said.out


def test_the_batch_script_is_bash() -> None:
    [script] = blocks("bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_pods_meet_at_the_first_of_them_under_the_name_of_the_service() -> None:
    [block] = blocks("yaml")
    service, job = yaml.safe_load_all(block)
    pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    [container] = pod["containers"]
    told = get_args_parser().parse_args(container["command"][1:])
    assert told.rdzv_endpoint.partition(":")[0] == f"{name}-0.{pod['subdomain']}"
    assert int(told.nnodes) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(told.nproc_per_node) == container["resources"]["limits"]["nvidia.com/gpu"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_table_of_the_runs_folder_names_all_that_is_in_one(folder: Path) -> None:
    part = TEXT.partition("## The run's folder")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)}
    found = {entry.name for run in ("tags", "flowers") for entry in (folder / "runs" / run).iterdir()}
    assert found - {"tensorboard"} == named - {"tensorboard"}
    for line in ("log.jsonl", "held_out.jsonl"):
        [row] = re.findall(rf"^\| `{line}` \| (.*) \|$", part, re.MULTILINE)
        text = (folder / "runs" / "flowers" / line).read_text("utf-8")
        assert all(f'"{word}"' in text for word in re.findall(r"`([a-z_]+)`", row) if word != "train")
