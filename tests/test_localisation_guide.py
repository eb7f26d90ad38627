"""Every command of ``docs/localisation.md`` runs in its order, small, and leaves what the page promises."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from tagwise import cli
from tagwise.localise.readers.guess import FORMS
from tagwise.training.heads import DETECTORS, SEGMENTERS
from tagwise.training.recipes import LOCATING
from tests.conftest import REPOSITORY
from tests.localise.drawn_target import write_start, write_target
from tests.localise.small_detectors import SMALL
from tests.references.coco import need

need("pycocotools")

TEXT = (REPOSITORY / "docs" / "localisation.md").read_text("utf-8")
DESIGN = "resnet18"
SHORT = ("--images", "4", "--batch", "2", "--resolution", "64", "--device", "cpu")
NARROW = (
    *("--set", "detector.channels=16", "--set", "detector.box_width=16", "--set", "detector.regions_sampled=8"),
    *("--set", "detector.detections=5", "--set", "detector.mask_convs=1"),
)


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("pip install")]
    assert all(line.startswith("tagwise ") for line in lines), "a reader can copy every block"
    return [shlex.split(line)[1:] for line in lines]


def made_small(words: list[str]) -> list[str]:
    """The page's command with the smallest net and two steps."""
    if words[0] not in ("train", "compare"):
        return ["64" if word == "480" else word for word in words]
    small = list(SHORT) if "--recipe" not in words else []
    if words[words.index("--head") + 1] in DETECTORS and small:
        small += NARROW
    if words[0] == "compare":
        small += ["--seeds", "0", "--lengths", "1"]
    return [*words, *small]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who gave every command."""
    folder, before, patch = tmp_path_factory.mktemp("reader"), signal.getsignal(signal.SIGTERM), pytest.MonkeyPatch()
    target = write_target(folder / "shapes", train=9, val=4)
    (target / "images").mkdir()
    for picture in target.glob("*.png"):
        shutil.move(picture, target / "images")
    (folder / "runs" / "tags").mkdir(parents=True)
    write_start(folder / "runs" / "tags" / "model.safetensors", seed=0, design=SMALL)
    write_others(folder)
    with patch.context():
        patch.chdir(folder)
        for words in map(made_small, commands()):
            assert cli.run(words) == 0, shlex.join(words)
    signal.signal(signal.SIGTERM, before)
    patch.undo()
    return folder


def write_others(folder: Path) -> None:
    """A detector of torchvision, the names of its classes, and a picture."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    torch.save(FasterRCNN(backbone, num_classes=3).state_dict(), folder / "detector.pth")
    (folder / "names.txt").write_text("square\ndisc\n")
    Image.new("RGB", (60, 40)).save(folder / "street.jpg")


def test_every_command_of_the_page_leaves_what_it_promises(walked: Path) -> None:
    for run in ("boxes", "masks", "pixels"):
        scores = json.loads((walked / "runs" / run / "scores.json").read_text())
        assert scores["test_pictures"] == 4
    assert not (walked / "runs" / "coco").exists(), "a dry run trains nothing"
    results = json.loads((walked / "found.json").read_text())
    assert all(result["category_id"] in (3, 8) for result in results), "ids as the annotations had them"
    assert len(list((walked / "drawn").rglob("*.png"))) == 13
    assert (walked / "boxes.onnx").is_file()
    for page in ("report.html", "bought.html"):
        assert "<html" in (walked / page).read_text("utf-8")


def test_the_page_names_every_head_form_and_recipe() -> None:
    told = set(re.findall(r"`([a-z][a-z0-9_-]*)`", TEXT))
    assert {*DETECTORS, *SEGMENTERS, *FORMS, "maps"} <= told
    assert all(name.replace("_", "\\_") in TEXT for name in LOCATING)
