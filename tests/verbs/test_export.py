"""P27: what is exported says the same in another engine, or is not written."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import tagwise
from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.hub import export as graphs
from tagwise.localise.locating import detect, segment
from tagwise.localise.semantic import build_segmenter
from tagwise.localise.windows import Windows
from tagwise.nets.grammar import build as build_net
from tagwise.training.heads import DETECTORS, Segmenter, SegmenterKind, Sizing
from tagwise.training.models import ModelFacts, save_model
from tagwise.transfer.features import score
from tests.localise.small_detectors import KEYPOINTS, SIZING, SMALL, VIEW, build, small
from tests.verbs.road import Done

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'tagwise[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'tagwise[onnx]'")

Here = Callable[..., Done]
Picture = NDArray[np.uint8]
CPU = torch.device("cpu")
HOSTILE = ('a "quoted" \\ name', "two\nlines\x00\x1b[31m", "\u202egnirts", "naïve 犬 🐕", "</script>", " ")


def picture(path: Path, height: int = 70, width: int = 90) -> Picture:
    """Noise, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels_HWC = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels_HWC).save(path)
    return pixels_HWC


def detector_file(folder: Path, kind: str = "faster", **settings: Any) -> tuple[Path, Any, ModelFacts]:
    """A detector of two classes that finds something anywhere, in a file."""
    torch.manual_seed(0)
    detector = small(kind=kind, score_threshold=0.0)
    net = build(detector).eval()
    if kind == "retina":  # as it begins, all its scores are the same
        nn.init.normal_(net.head.classification_head.cls_logits.weight, std=0.3)
    keypoints = tuple("abc") if kind == "keypoint" else ()
    assert len(keypoints) in (0, KEYPOINTS)
    facts = ModelFacts(
        **{
            "design": SMALL,
            "view": VIEW,
            "classes": ("cat", "dog"),
            "detector": detector,
            "sizing": SIZING,
            "category_ids": (3, 7),
            "keypoints": keypoints,
            **settings,
        }
    )
    save_model(folder / "model.safetensors", net, facts)
    return folder / "model.safetensors", net, facts


def tagger_file(folder: Path, **settings: Any) -> tuple[Path, Any, ModelFacts]:
    """A classifier of two outputs in a file."""
    torch.manual_seed(0)
    facts = ModelFacts(**{"design": SMALL, "view": View(resolution=64, resize=72), "classes": ("a", "b"), **settings})
    net = build_net(SMALL, num_classes=len(facts.outputs)).eval()
    save_model(folder / "model.safetensors", net, facts)
    return folder / "model.safetensors", net, facts


def outputs(file: Path, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """As somebody else would run it."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: images}), strict=True))


def metadata(file: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def planes(pixels_HWC: Picture) -> NDArray[np.float32]:
    return np.float32(1 / 255) * pixels_HWC.transpose(2, 0, 1)


@pytest.mark.parametrize("kind", DETECTORS)
def test_p27_every_detector_finds_there_what_it_finds_here(kind: str, tmp_path: Path) -> None:
    """On a picture that is larger than any that it was exported with, and is shrunk in the file."""
    model, net, facts = detector_file(tmp_path, kind)
    result = tagwise.export(model, to="onnx", out=tmp_path / "a.onnx")
    for check, how in zip(result.checks, ("whole", "its left part"), strict=True):
        assert check.startswith(f"{how}: 5 objects, boxes within ")
    pixels_HWC = picture(tmp_path / "a.png", 220, 150)
    assert facts.detector is not None
    here = detect(net, pixels_HWC, facts.detector, CPU)
    there = outputs(tmp_path / "a.onnx", planes(pixels_HWC))
    np.testing.assert_allclose(there["boxes"], here.boxes_N4, atol=0.1)
    np.testing.assert_allclose(there["scores"], here.scores_N, atol=1e-3)
    np.testing.assert_array_equal(there["labels"], here.labels_N)
    if here.masks is not None:
        from tagwise.localise import rasters

        ours = np.stack([rasters.decode(mask) for mask in here.masks]).astype(bool)
        assert there["masks"].shape == (5, 220, 150)
        assert ((there["masks"] >= 0.5) ^ ours).mean() < 1e-3
    if here.keypoints_NK3 is not None:
        np.testing.assert_allclose(there["keypoints"], here.keypoints_NK3, atol=0.1)


@pytest.mark.parametrize("kind", get_args(SegmenterKind))
def test_p27_a_segmenter_says_there_the_class_of_each_pixel(kind: SegmenterKind, tmp_path: Path) -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(kind=kind, channels=16)
    sizing = Sizing(shorter=(64,), longest=96, test_shorter=64, test_longest=96)
    facts = ModelFacts(design=SMALL, view=VIEW, classes=("x", "y", "z"), segmenter=segmenter, sizing=sizing)
    net = build_segmenter(SMALL, segmenter, 3).eval()
    save_model(tmp_path / "model.safetensors", net, facts)
    tagwise.export(tmp_path / "model.safetensors", to="onnx", out=tmp_path / "a.onnx")
    pixels_HWC = picture(tmp_path / "a.png", 64, 80)
    batch_BCHW = np.stack([planes(pixels_HWC)] * 3)
    (logits_BCHW,) = outputs(tmp_path / "a.onnx", batch_BCHW).values()
    assert logits_BCHW.shape == (3, 3, 64, 80)
    here_HW = segment(net, pixels_HWC, VIEW, sizing, Windows(), CPU)
    assert (logits_BCHW[2].argmax(0) == here_HW).mean() > 0.999
    assert "shorter side 64, longer at most 96" in metadata(tmp_path / "a.onnx")["resize"]


@pytest.mark.parametrize(("loss", "word"), [("softmax", "softmax"), ("sigmoid", "sigmoid")])
def test_p25_a_classifier_takes_batches_and_normalises_by_itself(loss: str, word: str, tmp_path: Path) -> None:
    model, net, facts = tagger_file(tmp_path, loss=loss)
    tagwise.export(model, to="onnx", out=str(tmp_path / "a.onnx"))
    images_NHWC = np.random.default_rng(0).integers(0, 256, (3, 72, 72, 3), np.uint8)
    inside = np.stack([planes(image_HWC[4:68, 4:68]) for image_HWC in images_NHWC])
    (logits,) = outputs(tmp_path / "a.onnx", inside).values()
    np.testing.assert_allclose(logits, score(net, images_NHWC, facts.view, CPU), atol=1e-3)
    assert f"their {word} gives scores" in metadata(tmp_path / "a.onnx")["output"]


@pytest.mark.parametrize("antialiased", [True, False])
def test_p25_the_file_says_what_its_user_has_to_know(antialiased: bool, tmp_path: Path) -> None:
    lineage = ("resnet18_x by somebody", "cats, 64 pictures seen")
    sizing = dataclasses.replace(SIZING, antialiased=antialiased)
    model, _, _ = detector_file(tmp_path, "keypoint", licence="Apache-2.0", lineage=lineage, sizing=sizing)
    tagwise.export(model, to="onnx", out=tmp_path / "a.onnx")
    told = metadata(tmp_path / "a.onnx")
    assert json.loads(told["classes"]) == ["cat", "dog"]
    assert json.loads(told["category_ids"]) == [3, 7]
    assert json.loads(told["keypoints"]) == ["a", "b", "c"]
    assert (json.loads(told["mean"]), json.loads(told["std"])) == (list(VIEW.mean), list(VIEW.std))
    assert (told["licence"], json.loads(told["lineage"])) == ("Apache-2.0", list(lineage))
    assert told["task"] == "keypoint detector"
    assert told["input"].startswith("image: float32 [3, height, width], RGB, 0 to 1; ")
    smoothed = ", antialiased" if antialiased else ""
    assert told["resize"] == f"inside: shorter side 96, longer at most 128, bilinear{smoothed}"
    assert told["output"].startswith("boxes: float32 [objects, 4], x1, y1, x2, y2 in pixels of the picture as it went")


def test_hostile_names_come_back_from_the_metadata(tmp_path: Path) -> None:
    model, _, _ = tagger_file(tmp_path, classes=HOSTILE, licence="odd\nterms \x1b[31m", lineage=HOSTILE[:3])
    tagwise.export(model, to="onnx", out=tmp_path / "a.onnx")
    told = metadata(tmp_path / "a.onnx")
    assert json.loads(told["classes"]) == list(HOSTILE)
    assert json.loads(told["lineage"]) == list(HOSTILE[:3])
    assert all(text.isascii() for name, text in told.items() if name in ("classes", "lineage"))
    assert "\x1b" not in told["licence"]


def test_a_run_is_checked_on_a_test_picture_with_objects(tmp_path: Path) -> None:
    detector_file(tmp_path)
    picture(tmp_path / "pictures" / "b.png")
    rows = [
        {"place": str(tmp_path / "a.png"), "name": "a.png", "found": {"scores": []}},
        {"place": str(tmp_path / "gone.png"), "name": "gone.png", "found": {"scores": [0.5]}},
        {"place": str(tmp_path / "pictures" / "b.png"), "name": "b.png", "found": {"scores": [0.5]}},
    ]
    (tmp_path / "found.json").write_text(json.dumps(rows))
    assert tagwise.export(tmp_path, to="onnx", out=tmp_path / "a.onnx").picture == "b.png"


def test_m13_weights_that_forbid_commerce_need_a_word(tmp_path: Path, here: Here) -> None:
    model, _, _ = tagger_file(tmp_path, licence="Apache-2.0; CC-BY-NC-4.0", lineage=("resnext_wsl by Facebook",))
    words = ("export", model, "--to", "onnx", "-o", tmp_path / "a.onnx")
    refused = here(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "comes from resnext_wsl by Facebook, licensed Apache-2.0; CC-BY-NC-4.0: not for commercial" in refused.err
    assert "--accept-license" in refused.err
    assert not (tmp_path / "a.onnx").exists()
    done = here(*words, "--accept-license", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["licence"] == "Apache-2.0; CC-BY-NC-4.0"


@pytest.mark.parametrize("make", [detector_file, tagger_file])
def test_p27_a_file_that_says_something_else_is_not_written(
    make: Callable[[Path], tuple[Path, Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = graphs.onnx_outputs
    monkeypatch.setattr(
        graphs,
        "onnx_outputs",
        lambda *given: [{name: values + 1 for name, values in one.items()} for one in truly(*given)],
    )
    model, _, _ = make(tmp_path)
    with pytest.raises(TagwiseError, match=r"^onnxruntime [0-9.]+ and torch disagree on noise: ") as caught:
        tagwise.export(model, to="onnx", out=tmp_path / "a.onnx")
    assert caught.value.exit_code == 1
    (tmp_path / "a.onnx").write_bytes(b"older")
    with pytest.raises(TagwiseError, match="disagree"):
        tagwise.export(model, to="onnx", out=tmp_path / "a.onnx", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.onnx", "model.safetensors"}
    assert (tmp_path / "a.onnx").read_bytes() == b"older"


def test_where_nothing_is_found_nothing_is_proved(tmp_path: Path) -> None:
    model, _, _ = detector_file(tmp_path, detector=small(score_threshold=0.99))
    with pytest.raises(UsageError, match=r"finds nothing on noise, so nothing can be compared; give a --picture\.$"):
        tagwise.export(model, to="onnx", out=tmp_path / "a.onnx")


def test_wrong_use_is_one_sentence_before_any_work(tmp_path: Path) -> None:
    model, _, _ = detector_file(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"")
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no picture")
    given: dict[str, Any] = {"to": "onnx", "out": tmp_path / "a.onnx"}
    for error, said, flags in (
        (UsageError, "ends in .onnx", {"out": tmp_path / "a.pt"}),
        (UsageError, "ends in .onnx", {"out": tmp_path / "folder.onnx", "overwrite": True}),
        (UsageError, "is there already; give --overwrite", {"out": tmp_path / "there.onnx"}),
        (UsageError, "There is no form 'timm'", {"to": "timm"}),
        (UsageError, "leave --design and --classes away", {"design": "resnet18"}),
        (DataRefused, "bad.png", {"picture": tmp_path / "bad.png"}),
        (DataRefused, "gone.png", {"picture": tmp_path / "gone.png"}),
    ):
        with pytest.raises(error, match=said):
            tagwise.export(model, **given | flags)
    with pytest.raises(UsageError, match="There is no model 'resnet18_wls'"):
        tagwise.export("resnet18_wls", to="onnx", out=tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_p31_without_onnxruntime_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here
) -> None:
    model, _, _ = tagger_file(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = here("export", model, "--to", "onnx", "-o", tmp_path / "a.onnx")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("pip install 'tagwise[onnx]'.\n")
