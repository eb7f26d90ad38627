"""``evaluate``: the accuracy with its view and the published one beside, and what it says of the files."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tagwise.base.files import sha256_of_file
from tagwise.nets import build, find_design, find_weights, weights
from tagwise.nets.label_sets import class_names, synsets
from tagwise.nets.weights import WEIGHTS
from tagwise.training.models import ModelFacts, save_model
from tagwise.verbs.evaluate import _scores_of
from tests.references.layouts import akamaster
from tests.training.tiny import DESIGN, VIEW
from tests.verbs.road import Done, Road

Here = Callable[..., Done]
CLASSES = ("kite", "owl", "wren")
CPU = ("--device", "cpu", "--workers", "1")


def write_tree(folder: Path, classes: tuple[str, ...] = CLASSES, suffix: str = "png", side: int = 32) -> Path:
    """Four noisy pictures of each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            image = Image.effect_noise((side, side), 60).convert("RGB")
            image.save(folder / name / f"{number}.{suffix}", quality=75)
    return folder


def write_model(path: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """A net that finds the first class in everything."""
    net = build(DESIGN, num_classes=len(classes))
    torch.nn.init.zeros_(net.fc.weight)
    net.fc.bias.data = -torch.arange(len(classes), dtype=torch.float32)
    save_model(path, net, ModelFacts(design=DESIGN, view=VIEW, classes=classes, licence="CC0-1.0"))
    return path


def write_weights(path: Path, classes: int = 10, design: str = "resnet20_cifar") -> Path:
    torch.manual_seed(0)
    torch.save({"state_dict": akamaster(build(find_design(design), num_classes=classes)), "best_prec1": 99.9}, path)
    return path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Puts a made file in the place of a row's, in a mirror folder."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("TAGWISE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def write(name: str, state: Any) -> None:
        torch.save(state, tmp_path / "file")
        made = tmp_path / "mirror" / f"made-{sha256_of_file(tmp_path / 'file')[:8]}.pth"
        (tmp_path / "file").rename(made)
        row = find_weights(name)
        rows = tuple(
            dataclasses.replace(row, url=f"http://localhost/{made.name}") if known is row else known
            for known in WEIGHTS
        )
        for module in ("tagwise.nets.weights", "tagwise.training.loading"):
            monkeypatch.setattr(f"{module}.WEIGHTS", rows)

    return write


# ---------------------------------------------------------------- what it says


def test_m23_the_accuracy_stands_beside_its_interval_its_view_and_the_files(here: Here, tmp_path: Path) -> None:
    write_tree(tmp_path / "t" / "test")
    write_model(tmp_path / "m.safetensors")
    command = ("evaluate", tmp_path / "t", "--model", tmp_path / "m.safetensors", *CPU)
    done = here(*command)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "m on t: 4 of 12 pictures right, 3 classes among 3 outputs, matched by name"
    assert lines[1].startswith("measured here: top-1 33.33% (95 % interval 13.8% to 60.9%), mean of the classes 33.33%")
    assert lines[2] == "  view: shorter side to 20 bilinear, centre 16"
    assert lines[3:] == ["files: 12 PNG of 32 x 32 px"]
    result = here(*command, "--json").json
    assert (result["scores"]["top1"]["right"], result["scores"]["top5"]) == (4, None)
    assert (result["published"], result["warnings"], result["licence"]) == ([], [], "CC0-1.0")
    assert result["view_settings"]["resize"] == 20


def test_small_lossy_pictures_are_warned_of_with_their_quality(here: Here, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors")
    write_tree(tmp_path / "small", suffix="jpg")
    write_tree(tmp_path / "large", suffix="jpg", side=80)
    done = here("evaluate", tmp_path / "small", "--model", model, *CPU)
    assert "files: 12 JPEG of 32 x 32 px, quality 75" in done.out
    assert "warning: 12 of 12 pictures are lossy (JPEG, quality about 75) and at most 64 px" in done.out
    large = here("evaluate", tmp_path / "large", "--model", model, *CPU)
    assert "quality 75" in large.out
    assert "warning" not in large.out


def test_files_of_many_sizes_and_qualities_are_summed_up_and_listed_in_json(here: Here, tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / "t" / CLASSES[number % 3] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((70 + number, 99 - number), 60).save(path, quality=60 + number)
    Image.effect_noise((8, 9), 60).save(tmp_path / "t" / "owl" / "tiny.png")
    command = ("evaluate", tmp_path / "t", "--model", write_model(tmp_path / "m.safetensors"), *CPU)
    assert "files: 30 JPEG of 70-99 x 70-99 px, quality 60-89; 1 PNG of 8 x 9 px\n" in here(*command).out
    assert len(here(*command, "--json").json["files"]) == 31


def test_every_published_number_has_a_test_set_in_words() -> None:
    scores = [score for row in WEIGHTS for score in _scores_of(row, row.view)]
    assert {score.test_set for score in scores} == {"ImageNet-1k's validation pictures", "CIFAR-10's test pictures"}


def test_m23_published_numbers_stand_beside_with_whose_view_they_had(
    here: Here, tmp_path: Path, published: Callable[[str, Any], None]
) -> None:
    torch.manual_seed(0)
    published("resnet18_swsl", build(find_design("resnet18")).state_dict())
    write_tree(tmp_path / "t", synsets()[:2])
    weights._say_once.cache_clear()  # terms are said once a process, and this one has loaded others
    done = here("evaluate", tmp_path / "t", "--model", "resnet18_swsl", "--batch", "3", *CPU)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].endswith("2 classes among 1,000 outputs, matched by WordNet id")
    assert lines[2:7] == [
        "  view: shorter side to 256 bilinear, centre 224 (the authors' resize and crop)",
        "published by its authors: top-1 73.4%, top-5 91.9% on ImageNet-1k's validation pictures",
        "  view: shorter side to 256 bilinear, centre 224 (the authors' resize and crop)",
        "published by timm: top-1 73.286%, top-5 91.754% on ImageNet-1k's validation pictures",
        "  view: shorter side to 256 bilinear, centre 224 (timm's crop_pct 0.875)",
    ]
    assert "CC-BY-NC-4.0: not for commercial use" in done.err


def test_p25_predict_normalises_crops_and_names_by_itself(
    here: Here, tmp_path: Path, published: Callable[[str, Any], None]
) -> None:
    """A classifier that says golden retriever of everything."""
    torch.manual_seed(0)
    state = build(find_design("resnet18")).state_dict()
    state["fc.weight"].zero_()
    state["fc.bias"].copy_((torch.arange(1000) == 207) * 9.0)
    published("resnet18_imagenet1k_v1", state)
    Image.effect_noise((300, 200), 60).convert("L").save(tmp_path / "dog.jpg")
    done = here("predict", tmp_path / "dog.jpg", "--model", "resnet18", *CPU)
    assert done.code == 0, done.err
    assert "golden retriever 0.8" in done.out


def test_m23_trainings_comparisons_and_their_page_print_the_view_too(road: Road) -> None:
    view = "shorter side to 18 bilinear, centre 16"
    assert road.steps["train"].json["facts"]["view"].startswith(view)
    assert set(road.steps["compare"].json["comparison"]["views"].values()) == {view}
    assert f"Pictures shown: {view}" in (road / "report.html").read_text("utf-8")


def test_a_file_of_others_takes_its_design_and_class_names(here: Here, tmp_path: Path) -> None:
    model = write_weights(tmp_path / "own.th", classes=3)
    (tmp_path / "names.txt").write_text("wren\nkite\nowl\n")
    Image.effect_noise((32, 32), 60).save(tmp_path / "a.png")
    words = ("--model", model, "--design", "resnet20_cifar", "--classes", tmp_path / "names.txt", *CPU)
    predicted = here("predict", tmp_path / "a.png", *words, "--format", "jsonl")
    assert json.loads(predicted.out)["outputs"].keys() == set(CLASSES)
    done = here("evaluate", write_tree(tmp_path / "t"), *words)
    assert done.code == 0, done.err
    assert "matched by name" in done.out
    assert "99.9" not in done.out + done.err, "best_prec1 is nobody's accuracy"


# ---------------------------------------------------------------- bad input


def truncated(folder: Path) -> Path:
    content = write_weights(folder / "whole.th").read_bytes()
    (folder / "cut.th").write_bytes(content[: len(content) // 2])
    return folder / "cut.th"


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("exit 1",)


def hostile(folder: Path) -> Path:
    torch.save({"state_dict": _Hostile()}, folder / "hostile.pth")
    return folder / "hostile.pth"


def lines(folder: Path, *names: str) -> Path:
    (folder / "names.txt").write_text("\n".join(names))
    return folder / "names.txt"


Words = Callable[[Path], tuple[str | Path, ...]]
BAD: dict[str, tuple[Words, int, str]] = {
    "a truncated file": (lambda at: ("--model", truncated(at)), 1, "cut.th cannot be read as PyTorch's weights"),
    "a file whose name promises another hash": (
        lambda at: ("--model", write_weights(at / "resnet20-12fca82f.th")),
        1,
        "is damaged or not what its name says",
    ),
    "a pickle with code": (lambda at: ("--model", hostile(at)), 1, "system to run while it is read, which is refused"),
    "weights of another depth": (
        lambda at: ("--model", write_weights(at / "w.th"), "--design", "resnet32_cifar"),
        1,
        "do not fit resnet32_cifar: ",
    ),
    "weights of another lineage": (
        lambda at: ("--model", write_weights(at / "w.th"), "--design", "resnet20_cifar_end"),
        1,
        "puts the shortcut's zeros on both sides",
    ),
    "a classifier of another size": (
        lambda at: ("--model", write_weights(at / "w.th")),
        3,
        "3 of 3 classes (kite, owl, wren) are none of the model's 10 outputs",
    ),
    "too short a list of classes": (
        lambda at: ("--model", write_weights(at / "w.th"), "--classes", lines(at, "kite", "owl")),
        2,
        "2 classes are named and w.th has 10 outputs; give a name for each",
    ),
    "a list with a name twice": (
        lambda at: ("--model", write_weights(at / "w.th", classes=3), "--classes", lines(at, "kite", "owl", "kite")),
        2,
        "The classes named for w.th hold kite more than once; give each output a name of its own.",
    ),
    "a design for published weights, before any download": (
        lambda _: ("--model", "resnet18_swsl", "--design", "resnet50"),
        2,
        "resnet18_swsl has a design of its own, which is not resnet50; leave --design away.",
    ),
    "classes for published weights, before any download": (
        lambda at: ("--model", "resnet18_swsl", "--classes", lines(at, "kite", "owl")),
        2,
        "resnet18_swsl has classes of its own; leave those that you gave (classes, --classes) away.",
    ),
    "no thread": (lambda _: ("--model", "resnet18_swsl", "--workers", "0"), 2, "--workers is 1 thread or more, not 0"),
    "no list of classes": (
        lambda at: ("--model", write_weights(at / "w.th"), "--classes", at / "none.txt"),
        2,
        "none.txt cannot be read as text: No such file or directory; give one with an item a line.",
    ),
    "an unknown name": (lambda _: ("--model", "resnext101_32x8d_wls"), 2, "resnext101_32x8d_wsl"),
    "an unknown design": (
        lambda at: ("--model", write_weights(at / "w.th"), "--design", "resnet20_cifer"),
        2,
        "resnet20_cifar",
    ),
    "no network": (lambda _: ("--model", "resnet18_swsl"), 1, "resnet18_swsl cannot be had from"),
    "no picture at a time": (lambda _: ("--model", "resnet18_swsl", "--batch", "0"), 2, "--batch is 1 or more, not 0"),
    "a Gluon file": (lambda at: ("--model", write_weights(at / "a.params")), 2, "MXNet (Gluon)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_weights_and_lists_are_one_sentence(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    words, code, told = BAD[what]
    monkeypatch.setenv("TAGWISE_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    done = here("evaluate", write_tree(tmp_path / "t"), "--device", "cpu", *words(tmp_path))
    last = done.err.splitlines()[-1]
    assert (done.code, done.out) == (code, ""), done.err
    assert last.startswith("tagwise: ")
    assert told in last
    assert not (tmp_path / "torch").exists(), "nothing half-written"


def test_a_mirror_with_another_file_is_refused_by_its_hash(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = find_weights("resnet20_cifar_akamaster")
    (tmp_path / "mirror").mkdir()
    write_weights(tmp_path / "mirror" / row.file)
    monkeypatch.setenv("TAGWISE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    done = here("evaluate", write_tree(tmp_path / "t"), "--model", row.name, *CPU)
    assert (done.code, done.out) == (1, "")
    assert f"is not the published {row.name}: its SHA-256 begins with" in done.err.splitlines()[-1]


def test_targets_that_cannot_be_measured_on_are_one_sentence(here: Here, tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors")
    write_tree(tmp_path / "parts" / "train")
    write_tree(tmp_path / "parts" / "val")
    for target, code, told in (
        (tmp_path / "none", 2, "none"),
        (tmp_path / "parts", 2, "has parts and none is a test"),
        (write_tree(tmp_path / "others", ("kite", "robin")), 3, "1 of 2 classes (robin) are none"),
    ):
        done = here("evaluate", target, "--model", model, *CPU)
        assert (done.code, done.out) == (code, "")
        assert told in done.err.splitlines()[-1]


# ---------------------------------------------------------------- real


@pytest.fixture(scope="module")
def cifar10(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real pictures: ``lossless`` with train and test, and the same first test pictures as JPEG in ``jpeg``."""
    folder = tmp_path_factory.mktemp("cifar10")
    with zipfile.ZipFile(real_data / "cifar10" / "lossless.zip") as archive:
        archive.extractall(folder / "lossless")
    with zipfile.ZipFile(real_data / "cifar10" / "test_jpeg_q75.zip") as archive:
        first = [name for name in archive.namelist() if name.endswith(".jpg") and int(Path(name).stem) < 1017]
        archive.extractall(folder / "jpeg", first)
    return folder


@pytest.mark.parametrize(
    ("part", "right", "pictures", "form"),
    [
        ("lossless", 932, 1017, "PNG"),
        ("lossless/train", 2494, 2500, "PNG"),
        ("jpeg", 821, 1017, "JPEG"),
    ],
)
def test_m16_the_published_resnet20_gets_exactly_its_authors_pictures_right(
    here: Here, real_data: Path, cifar10: Path, part: str, right: int, pictures: int, form: str
) -> None:
    weights = real_data / "weights" / "resnet20-12fca82f.th"
    words = ("--model", weights, "--design", "resnet20_cifar", "--json", *CPU)
    result = here("evaluate", cifar10 / part, *words).json
    assert (result["scores"]["top1"]["right"], result["scores"]["top1"]["pictures"]) == (right, pictures)
    assert result["matched"] == "by name"
    assert result["view"] == "shorter side to 32 bilinear, centre 32 (akamaster's, as the pictures are)"
    (published,) = result["published"]
    assert (published["score"]["top1"], published["same_view"]) == (91.73, True), "the README's, not best_prec1"
    (files,) = result["files"]
    quality = 75 if form == "JPEG" else None
    assert (files["form"]["format"], files["form"]["jpeg_quality"]) == (form, quality)
    assert (files["form"]["width"], files["form"]["height"]) == (32, 32)
    assert len(result["warnings"]) == (form == "JPEG")
    if part == "lossless":
        assert result["scores"]["top1"]["low"] < published["score"]["top1"] / 100 < result["scores"]["top1"]["high"]


def test_cifar10s_names_are_the_folders(cifar10: Path) -> None:
    assert tuple(sorted(path.name for path in (cifar10 / "lossless" / "test").iterdir())) == class_names("cifar10")
