"""Published weights: every row of the table against the libraries' own, by every name, and loaded."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from timm.models import get_pretrained_cfg, list_pretrained
from timm.models._registry import _deprecated_models
from torch import Tensor

import tagwise.nets.weights as table
from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.nets import build, create_model, find_design
from tagwise.nets.designs import DESIGNS, canonical_name
from tagwise.nets.weights import WEIGHTS, Score, Weights, find_weights, load_weights

TIMM_NAMES = {alias: row for row in WEIGHTS for alias in row.aliases if "." in alias}
NOT_IN_TIMM = {"resnext101_32x48d.fb_wsl_ig1b_ft_in1k"}
SAVED_AGAIN_BY_TIMM = {"legacy_seresnext50_32x4d", "legacy_seresnext101_32x4d", "legacy_senet154"}
"""The same tensors in files of another hash."""
TESTED_AT_224 = {f"{name}.a3_in1k" for name in DESIGNS}
"""timm's default for them is the training size, 160; the paper's and its results' number is of 224."""


def timms(name: str) -> Any:
    """timm's own configuration of its weights."""
    return get_pretrained_cfg(name)


def test_m13_every_row_is_whole_and_unique() -> None:
    for row in WEIGHTS:
        assert row.design in DESIGNS
        assert find_design(row.name) == DESIGNS[row.design], "the name of weights is also a model's name"
        assert re.fullmatch(r"[0-9a-f]{8}", row.sha256_prefix) or row.file.endswith(".t7")
        assert row.url.startswith("https://") or row.tag == "cadene"
        assert (67 < row.top1 < 86) if row.label_set == "imagenet1k" else (91 < row.top1 < 94)
        for score in row.scores:
            assert abs(score.top1 - row.top1) < 1.5
            assert score.top5 is None or score.top1 < score.top5 < 98
        assert row.licence in {"BSD-3-Clause", "BSD-2-Clause", "Apache-2.0", "CC-BY-NC-4.0"}
    assert len({row.name for row in WEIGHTS}) == len({row.url for row in WEIGHTS}) == len(WEIGHTS) == 144


def test_m14_timms_old_names_are_those_of_its_new_ones() -> None:
    """But for the three ResNeXts whose old names timm 1.0.31 leads to the 32x8d."""
    checked = 0
    for old, new in _deprecated_models.items():
        if new in TIMM_NAMES and old not in {f"ig_resnext101_32x{width}d" for width in (16, 32, 48)}:
            assert find_weights(old) is TIMM_NAMES[new]
            checked += 1
    assert checked == 39


def test_m13_no_file_of_timm_is_missing() -> None:
    """Of our designs, with an address of their own, whose name carries the hash."""
    ours = [name for name in list_pretrained() if canonical_name(name) in DESIGNS]
    assert len(ours) > 100
    assert {name for name in ours if timms(name).url} <= TIMM_NAMES.keys()


def test_m13_torchvision_rows_are_torchvisions_own() -> None:
    """Address, accuracies and view, asked of the library itself."""
    rows = [row for row in WEIGHTS if row.who == "torchvision"]
    assert len(rows) == 17
    for row in rows:
        theirs = torchvision.models.get_model_weights(row.design)[row.tag.upper()]
        assert theirs.url == row.url
        metrics = theirs.meta["_metrics"]["ImageNet-1K"]
        assert (metrics["acc@1"], metrics["acc@5"]) == (row.top1, row.top5)
        shown = theirs.transforms()
        assert (shown.crop_size, shown.resize_size) == ([row.view.resolution], [row.view.resize])
        assert shown.interpolation.value == row.view.interpolation
        assert (tuple(shown.mean), tuple(shown.std)) == (row.view.mean, row.view.std)


@pytest.mark.parametrize("name", sorted(TIMM_NAMES.keys() - NOT_IN_TIMM))
def test_m13_rows_agree_with_timms_own_configuration(name: str) -> None:
    """Address or hash, licence, classes, normalisation, and the view of timm's score."""
    row, theirs = TIMM_NAMES[name], timms(name)
    address = (theirs.url or "").replace(
        "//github.com/rwightman/pytorch-image", "//github.com/huggingface/pytorch-image"
    )
    if address and name.partition(".")[0] not in SAVED_AGAIN_BY_TIMM:
        assert row.url == address
    assert row.licence.lower() == theirs.license
    assert (theirs.num_classes, row.label_set) == (1000, "imagenet1k")
    score = next((score for score in row.scores if score.by == "timm"), None)
    if score is None:
        assert row.who == "torchvision"
        return
    assert (score.view.mean, score.view.std) == (theirs.mean, theirs.std)
    assert score.view.interpolation == theirs.interpolation
    side = theirs.test_input_size[-1] if name in TESTED_AT_224 else theirs.input_size[-1]
    assert (score.view.resolution, score.view.resize) == (side, math.floor(side / theirs.crop_pct))
    assert score.view.origin == f"timm's crop_pct {theirs.crop_pct}"


def test_m13_addresses_licences_and_accuracies_are_those_of_the_sources() -> None:
    """Read from the publishers' pages and from timm's results, not from the table; Cadene's without their hosts."""
    path = Path(__file__).parents[1] / "goldens" / "golden-published.csv"
    expected = {tuple(line) for line in csv.reader(path.read_text("utf-8").splitlines()[1:])}
    found = set()
    for row in WEIGHTS:
        name = next((alias for alias in row.aliases if "." in alias), "")
        for score in row.scores:
            file = {"timm": name, "Cadene, who ported it": row.file}.get(score.by, row.url)
            top5 = "" if score.top5 is None else f"{score.top5:.3f}"
            found.add((file, "" if score.by == "timm" else row.licence, score.by, f"{score.top1:.3f}", top5))
    assert {line for line in found if line[2] != "torchvision"} == expected


def test_m13_licences_that_forbid_commercial_use() -> None:
    """Facebook's WSL, SSL and SWSL nets, and the ResNeXt authors' files with Cadene's ports of two of them."""
    closed = Counter(row.tag for row in WEIGHTS if not row.commercial)
    assert closed == {"wsl": 4, "ssl": 6, "swsl": 6, "authors": 3, "cadene": 2}


def test_m23_whose_view_stands_beside_each_number() -> None:
    wsl, resnest = find_weights("resnext101_32x8d_wsl"), find_weights("resnest101e")
    assert [str(score) for score in wsl.scores] == [
        "82.2 / 96.4 by its authors: shorter side to 256 bilinear, centre 224 (the authors' resize and crop)",
        "82.72 / 96.624 by timm: shorter side to 256 bilinear, centre 224 (timm's crop_pct 0.875)",
    ]
    assert str(resnest.view) == "centre 0.889 of the shorter side to 256 bicubic (the ResNeSt authors' crop)"
    assert str(resnest.scores[1].view) == "shorter side to 292 bilinear, centre 256 (timm's crop_pct 0.875)"
    assert all(score.view.origin for row in WEIGHTS for score in row.scores)


def test_find_weights_by_tag_by_default_and_by_others_names() -> None:
    assert find_weights("resnet50", "swsl").name == "resnet50_swsl"
    assert find_weights("resnet50", "IMAGENET1K_V1").top1 == 76.130
    assert find_weights("resnet50", "a1_in1k").name == "resnet50_a1"
    assert find_weights("resnet50").tag == "imagenet1k_v2"
    assert find_weights("resnest50").tag == "authors"
    assert find_weights("resnet20_cifar").label_set == "cifar10"
    assert find_weights("ig_resnext101_32x48d").sha256_prefix == "3e41cc8a"
    assert find_weights("resnext50_32x4d", "authors").sha256_prefix == ""


def test_unknown_weights_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="There is no tag 'swls' in the table for resnet50; the nearest are swsl"):
        find_weights("resnet50", "swls")
    with pytest.raises(
        UsageError, match=r"There is no tag 'a7_in1k' in the table for resnet50; the nearest "
    ) as caught:
        find_weights("resnet50.a7_in1k")
    assert str(caught.value).count(",") == 2
    with pytest.raises(UsageError, match="There is no design 'resnet50_a7'; the nearest are resnet50_"):
        find_weights("resnet50_a7")


@pytest.mark.parametrize("name", ["skresnet50", "skresnet18.ra_in1k", "resnext38_24x10d"])
def test_a_design_without_weights_is_said_to_be_one(name: str) -> None:
    design = name.partition(".")[0]
    remedy = rf"give a file of them with --design {design}, in Python load\(FILE, design='{design}'\)\.$"
    with pytest.raises(UsageError, match=f"The table has no weights of the design {design}; {remedy}"):
        create_model(name, pretrained=True)


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, state: object, *, lie: bool = False, note: str = "") -> Weights:
    """A file of tensors in a folder that is the mirror, under its true or a false hash."""
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    monkeypatch.setenv("TAGWISE_MIRROR", str(folder))
    table._say_once.cache_clear()
    torch.save(state, folder / "new")
    digest = "0" * 8 if lie else hashlib.sha256((folder / "new").read_bytes()).hexdigest()[:8]
    (folder / "new").rename(folder / f"own-{digest}.pth")
    return Weights(
        design="resnet18",
        tag="ssl",
        who="a test",
        url=f"https://nowhere.invalid/own-{digest}.pth",
        licence="CC-BY-NC-4.0",
        scores=(Score(by="nobody", top1=72.8, view=View(resolution=224, resize=256)),),
        note=note,
    )


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build(find_design("resnet18"), num_classes=10).state_dict()


def test_m13_a_true_file_loads_and_its_terms_and_faults_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    row = put(
        tmp_path, monkeypatch, {"state_dict": {f"module.{key}": value for key, value in state.items()}}, note="odd"
    )
    for _ in range(2):
        loaded = load_weights(row)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    talk = capsys.readouterr()
    assert (
        talk.err.count(
            "Weights that come from resnet18_ssl by a test are licensed CC-BY-NC-4.0: not for commercial use."
        )
        == 1
    )
    assert talk.err.count("Of resnet18_ssl: odd.") == 1
    assert talk.out == ""


def test_a_file_of_another_hash_of_another_design_or_with_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]
) -> None:
    with pytest.raises(TagwiseError, match="is not the published resnet18_ssl"):
        load_weights(put(tmp_path, monkeypatch, state, lie=True))
    other = build(find_design("resnet20_cifar")).state_dict()
    with pytest.raises(TagwiseError, match="do not fit resnet18"):
        load_weights(put(tmp_path, monkeypatch, other))
    with pytest.raises(TagwiseError):
        load_weights(put(tmp_path, monkeypatch, {"x": View}))


def test_m16_the_published_cifar_net_is_loaded_with_its_true_hash(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("TAGWISE_MIRROR", str(real_data / "weights"))
    loaded = load_weights(find_weights("resnet20_cifar"))
    net = build(find_design("resnet20_cifar"), num_classes=10)
    net.load_state_dict(loaded)
    assert loaded["fc.weight"].shape == (10, 64)


@pytest.mark.parametrize("pretrained", [None, False])
def test_nothing_is_downloaded_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretrained: bool | None
) -> None:
    """timm's habit: the name of weights alone builds their design."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    assert create_model("resnet18_swsl", pretrained=pretrained).fc.out_features == 1000
    assert not (tmp_path / "hub").exists()
