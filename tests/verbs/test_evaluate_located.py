"""``evaluate`` of detectors and segmenters: COCO's numbers and IoU of pixels, under the names of the classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tagwise
from tagwise.base.errors import UsageError
from tagwise.localise.mapping import maps_of
from tagwise.localise.opening import open_annotations
from tagwise.measure.detection import NAMES as NUMBERS
from tests.localise.drawn_target import write_target
from tests.references.coco import need
from tests.verbs.located_models import HOSTILE, all_knowing, write_detector, write_segmenter
from tests.verbs.road import Done
from tests.verbs.test_evaluate import write_model

need("pycocotools")

Here = Callable[..., Done]
CPU: dict[str, Any] = {"device": "cpu"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_target(tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("model") / "boxes.safetensors")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmenter(tmp_path_factory.mktemp("model") / "pixels.safetensors")


def renamed(target: Path, folder: Path, names: dict[int, str], file: str = "val.json") -> Path:
    """One part of the target, whose categories are called otherwise."""
    plain = json.loads((target / file).read_text())
    for category in plain["categories"]:
        category["name"] = names[category["id"]]
    path = folder / "renamed.json"
    path.write_text(json.dumps(plain))
    return path


def test_l13_what_is_written_gives_the_same_numbers_in_pycocotools_under_the_ids_of_the_annotations(
    target: Path, detector: Path, tmp_path: Path
) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    done: Any = tagwise.evaluate(target, model=detector, out=tmp_path / "found.json", **CPU)
    truth = COCO(str(target / "val.json"))
    run = COCOeval(truth, truth.loadRes(str(tmp_path / "found.json")), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert [done.scores["boxes"]["numbers"][name] for name in NUMBERS] == pytest.approx(run.stats.tolist(), abs=1e-9)
    assert {one["category_id"] for one in json.loads((tmp_path / "found.json").read_text())} <= {3, 8}


def test_classes_are_found_by_their_names_whatever_their_ids_and_order(
    target: Path, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = renamed(target, tmp_path, {3: "disc", 8: "square"})
    part = open_annotations(swapped, images=target)["train"]
    monkeypatch.setattr("tagwise.localise.locating.detect", all_knowing(part))
    done: Any = tagwise.evaluate(swapped, model=detector, pictures=target, **CPU)
    assert done.scores["boxes"]["numbers"]["AP"] == done.scores["boxes"]["class_agnostic"]["AP"] == pytest.approx(1)
    assert {one["name"]: one["id"] for one in done.scores["boxes"]["categories"]} == {"disc": 3, "square": 8}
    assert (done.absent, done.part) == ((), "train")


def test_a_class_that_the_model_lacks_is_one_sentence(target: Path, detector: Path, tmp_path: Path, here: Here) -> None:
    odd = renamed(target, tmp_path, {3: "square", 8: "disk"})
    done = here("evaluate", odd, "--model", detector, "--pictures", target, "--device", "cpu")
    assert (done.code, done.out) == (3, "")
    said = f"{odd} has the class 'disk', which boxes lacks (the nearest is disc); correct the name, or name all with"
    assert done.err == f"tagwise: {said} --classes.\n"


def test_l21_what_cannot_be_measured_is_said_in_words(
    target: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_detector(tmp_path / "three.safetensors", ("square", "disc", "star"), (1, 2, 3))
    part = open_annotations(target)["validation"]
    monkeypatch.setattr("tagwise.localise.locating.detect", all_knowing(part))
    done = here("evaluate", target, "--model", model, "--device", "cpu")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert "three on " in said
    assert "6 objects of 3 classes" in said
    assert "AP large -1 \N{EN DASH} of larger objects; -1: there is none" in said
    assert "not in the annotations: star" in said
    assert "-1: no object in the truth" in said
    assert "computed by pycocotools " in said
    assert "licence of the data: unknown; of the model: CC0-1.0" in said
    assert all(name.replace("_", " ") in said for name in NUMBERS)
    assert "an object is missed" in said


def test_the_same_as_json(target: Path, detector: Path, here: Here) -> None:
    told = here("evaluate", target, "--model", detector, "--device", "cpu", "--json").json
    assert set(told["scores"]["boxes"]["numbers"]) == set(NUMBERS)
    assert (told["part"], told["scores"]["test_pictures"], len(told["test_digest"])) == ("validation", 4, 16)


def test_names_of_strangers_do_not_steer_a_terminal(target: Path, tmp_path: Path, here: Here) -> None:
    model = write_detector(tmp_path / "odd.safetensors", HOSTILE)
    odd = renamed(target, tmp_path, {3: HOSTILE[0], 8: HOSTILE[1]})
    done = here("evaluate", odd, "--model", model, "--pictures", target, "--device", "cpu")
    assert done.code == 0, done.err
    assert HOSTILE[0] in done.out
    assert "\x1b" not in done.out + done.err


def test_maps_that_are_written_give_the_same_numbers(target: Path, segmenter: Path, tmp_path: Path, here: Here) -> None:
    out = tmp_path / "maps"
    done: Any = tagwise.evaluate(target, model=segmenter, out=out, **CPU)
    part = maps_of(open_annotations(target)["validation"])
    confusion = np.zeros((3, 3), np.int64)
    for picture in part.pictures:
        with Image.open(out / Path(picture.name).with_suffix(".png")) as image:
            assert image.mode == "P"
            np.add.at(confusion, (picture.read_map().ravel(), np.asarray(image).ravel()), 1)
    pixels = done.scores["pixels"]
    assert pixels["confusion"] == confusion.tolist()
    iou = np.diag(confusion) / (confusion.sum(0) + confusion.sum(1) - np.diag(confusion))
    assert pixels["mean_iou"] == pytest.approx(np.nanmean(iou))
    assert "mean over the classes in truth or prediction" in str(done)
    assert "label 255 ignored" in str(done)
    again = here("evaluate", target, "--model", segmenter, "-o", out, "--device", "cpu")
    assert again.code == 2
    assert "is there already" in again.err


def test_maps_are_compared_under_the_names_of_the_model(target: Path, segmenter: Path, tmp_path: Path) -> None:
    """Of a model whose classes stand in another order, the same net tells the same pixels."""
    turned = write_segmenter(tmp_path / "turned.safetensors", ("background", "disc", "square"))
    one: Any = tagwise.evaluate(target, model=segmenter, **CPU)
    other: Any = tagwise.evaluate(target, model=turned, **CPU)
    order = [0, 2, 1]
    truth = np.array(one.scores["pixels"]["confusion"])[order]
    assert other.scores["pixels"]["confusion"] == truth.tolist()


def test_how_a_segmenter_looks_is_told(target: Path, segmenter: Path, here: Here) -> None:
    flags = ("--scales", "0.5", "1", "--mirror", "--window", "48", "--summed", "exponentials")
    done = here("evaluate", target, "--model", segmenter, *flags, "--convention", "all_classes", "--device", "cpu")
    assert done.code == 0, done.err
    assert "scales 0.5, 1, mirrored too, windows of 48, exponentials of logits summed" in done.out
    assert "mean over all classes, an absent one counts 0" in done.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--mirror",), "--mirror is for models that tell the class of each pixel; boxes tells boxes."),
        (("--design", "resnet18"), "has a design and classes of its own; leave --design and --classes away"),
        (("--batch", "8"), "--batch does nothing here"),
        (("-o", "found.csv"), "found.csv is no name of COCO results; end it in .json."),
    ],
)
def test_flags_of_other_models_are_refused(
    target: Path, detector: Path, here: Here, flags: tuple[str, ...], said: str
) -> None:
    done = here("evaluate", target, "--model", detector, *flags, "--device", "cpu")
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.parametrize("flags", [{"form": "coco"}, {"scales": [1.0]}, {"out": "found.json"}])
def test_flags_of_annotations_are_refused_for_labels(tmp_path: Path, flags: dict[str, Any]) -> None:
    model = write_model(tmp_path / "labels.safetensors")
    with pytest.raises(UsageError, match=f"--{next(iter(flags))} does nothing here"):
        tagwise.evaluate(tmp_path, model=model, **flags, **CPU)


@pytest.mark.parametrize(
    ("model", "out", "said"),
    [("retinanet_resnet50_fpn", "n", "end it in .json"), ("fcn_resnet50", "n.json", "no folder")],
)
def test_a_wrong_place_is_refused_before_a_model_is_downloaded(
    target: Path, monkeypatch: pytest.MonkeyPatch, model: str, out: str, said: str
) -> None:
    monkeypatch.setattr("tagwise.localise.models.fetch", lambda *_, **__: pytest.fail("nothing is fetched"))
    with pytest.raises(UsageError, match=said):
        tagwise.evaluate(target, model=model, out=out, **CPU)


def test_a_wrong_number_is_refused_before_the_annotations_are_read(segmenter: Path, tmp_path: Path) -> None:
    for flags, said in (
        ({"window": 0}, "side is at least 1"),
        ({"scales": [0.0]}, "scales"),
        ({"convention": "x"}, "x"),
    ):
        with pytest.raises(UsageError, match=said):
            tagwise.evaluate(tmp_path / "nowhere", model=segmenter, **flags, **CPU)
