"""``predict`` of detectors and segmenters: the same objects in every format, and no file of a person is lost."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tagwise
from tagwise.base.errors import DataRefused
from tagwise.base.files import harmless
from tagwise.localise import rasters
from tests.references.coco import need
from tests.verbs.located_models import HOSTILE, NAMES, write_detector, write_segmenter
from tests.verbs.road import Done

need("pycocotools")

Here = Callable[..., Done]
CPU: dict[str, Any] = {"device": "cpu"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    kinds = {kind: write_detector(folder / f"{kind}.safetensors", kind=kind) for kind in ("mask", "keypoint")}
    return kinds | {
        "hostile": write_detector(folder / "hostile.safetensors", HOSTILE),
        "pixels": write_segmenter(folder / "pixels.safetensors"),
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, two of them of one name, and a broken one."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.jpg", "one/b.png", "two/b.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "one" / "broken.jpg").write_bytes(b"no picture")
    return folder


def found(photos: Path, model: Path, **flags: Any) -> Any:
    return tagwise.predict([photos], model=model, threshold=0.0, **flags, **CPU)


def test_all_formats_tell_the_same_objects(photos: Path, models: dict[str, Path], tmp_path: Path) -> None:
    done = found(photos, models["mask"])
    whole = [(one.name, one.score, one.box) for answer in done.answers for one in answer.objects]
    assert len(whole) >= 6, "an untrained detector is unsure of everything"
    lines = [json.loads(line) for line in str(found(photos, models["mask"], format="jsonl")).splitlines()]
    assert [(one["name"], one["score"], tuple(one["box"])) for line in lines for one in line["objects"]] == whole
    rows = [row for row in csv.DictReader(io.StringIO(str(found(photos, models["mask"], format="csv")))) if row["name"]]
    assert [(row["name"], float(row["score"])) for row in rows] == [(name, score) for name, score, _ in whole]
    found(photos, models["mask"], out=tmp_path / "found.json")
    results = json.loads((tmp_path / "found.json").read_text())
    assert [one["score"] for one in results] == pytest.approx([score for _, score, _ in whole], abs=1e-6)


def test_l13_coco_results_have_the_ids_of_the_categories_and_boxes_inside(
    photos: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    done = found(photos, models["mask"], format="coco", out=tmp_path / "found.json")
    assert str(done).startswith("4 pictures, 1 unreadable (first ")
    results = json.loads((tmp_path / "found.json").read_text())
    paths = {number: answer.picture for number, answer in enumerate(done.answers, 1) if answer.problem is None}
    assert {one["image_id"]: one["file_name"] for one in results} == paths
    for one in results:
        with Image.open(one["file_name"]) as image:
            x, y, width, height = one["bbox"]
            assert 0 <= x < x + width <= image.width
            assert 0 <= y < y + height <= image.height
            mask = one["segmentation"]
            drawn = rasters.decode({"size": mask["size"], "counts": mask["counts"].encode()})
            assert drawn.shape == image.size[::-1]
        assert one["category_id"] in (30, 80)


def test_pictures_are_drawn_in_the_folders_that_they_come_from(
    photos: Path, models: dict[str, Path], tmp_path: Path, here: Here
) -> None:
    for kind in ("mask", "keypoint"):
        out = tmp_path / kind
        done = here("predict", photos, "--model", models[kind], "--threshold", "0", "-o", out, "--device", "cpu")
        assert done.code == 0, done.err
        assert "broken.jpg is left out: it is none of the formats read" in done.err
        drawn = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
        assert drawn == ["a.png", "one/b.png", "two/b.png"]
        with Image.open(out / "two/b.png") as image:
            assert image.size == (6 * 50, 6 * 42), "small pictures are enlarged by whole numbers"


def test_pictures_are_never_drawn_over_those_of_a_person(photos: Path, models: dict[str, Path], here: Here) -> None:
    flags = ("--model", models["mask"], "--overwrite", "--device", "cpu")
    before = (photos / "one" / "b.png").read_bytes()
    done = here("predict", photos, "-o", photos, *flags)
    assert (done.code, "would be overwritten by its own drawing" in done.err) == (2, True), done.err
    assert (photos / "one" / "b.png").read_bytes() == before
    twice = here("predict", photos / "one/b.png", photos / "two/b.png", "-o", photos.parent / "out", *flags)
    assert "would both have the drawing" in twice.err


def test_names_of_strangers_are_safe_everywhere(
    photos: Path, models: dict[str, Path], tmp_path: Path, here: Here
) -> None:
    flags = ("--model", models["hostile"], "--threshold", "0", "--device", "cpu")
    table = here("predict", photos, *flags)
    assert table.code == 0, table.err
    assert "\x1b" not in table.out
    done = here("predict", photos, *flags, "--format", "csv")
    names = {row["name"] for row in csv.DictReader(io.StringIO(done.out))} - {""}
    assert names <= {harmless(name) for name in HOSTILE}
    assert not any(name.startswith("=") or "\x1b" in name for name in names)
    drawn = here("predict", photos, *flags, "-o", tmp_path / "drawn")
    assert drawn.code == 0, drawn.err


def test_threshold_and_top_leave_the_surest(photos: Path, models: dict[str, Path]) -> None:
    every = found(photos, models["mask"]).answers[0].objects
    scores = [one.score for one in every]
    assert scores == sorted(scores, reverse=True)
    assert found(photos, models["mask"], top=2).answers[0].objects == every[:2]
    done: Any = tagwise.predict([photos], model=models["mask"], threshold=scores[1], **CPU)
    assert len(done.answers[0].objects) <= 2
    assert "nothing above the threshold" in str(tagwise.predict([photos], model=models["mask"], threshold=1.0, **CPU))


def test_maps_and_their_shares(photos: Path, models: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done: Any = tagwise.predict([photos], model=models["pixels"], out=out, **CPU)
    answer = next(one for one in done.answers if one.picture.endswith("two/b.png"))
    with Image.open(out / "maps/two/b.png") as image:
        labels = np.asarray(image)
    assert image.mode == "P"
    assert labels.shape == (answer.height, answer.width) == (42, 50)
    told = {name: float((labels == place).mean()) for place, name in enumerate(("background", *NAMES))}
    assert dict(answer.pixel_fractions) == pytest.approx({name: share for name, share in told.items() if share})
    assert (out / "overlays/two/b.png").is_file()
    text = str(tagwise.predict([photos], model=models["pixels"], format="csv", mirror=True, scales=[0.5, 1.0], **CPU))
    shares = [float(row["pixel_fraction"]) for row in csv.DictReader(io.StringIO(text)) if row["name"]]
    assert sum(shares) == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "flags", "said"),
    [
        ("pixels", ("--top", "3"), "--top is for boxes; pixels tells the class of each pixel."),
        ("pixels", ("-o", "found.json"), "COCO results are for boxes"),
        ("mask", ("--window", "32"), "--window is for models that tell the class of each pixel"),
        ("mask", ("--format", "txt"), "--format txt is of labels"),
        ("mask", ("--format", "coco"), "--format coco is not printed; say where it goes with -o results.json."),
        ("mask", ("--format", "csv", "-o", "a.jsonl"), "do not go together"),
        ("mask", ("-o", "a.xml"), "a.xml has a suffix of no format"),
        ("mask", ("--top", "0"), "--top is 1 or more, not 0."),
        ("mask", ("--threshold", "2"), "--threshold is 0 to 1, not 2."),
        ("mask", ("--workers", "2"), "--workers does nothing here"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(
    photos: Path, models: dict[str, Path], here: Here, model: str, flags: tuple[str, ...], said: str
) -> None:
    done = here("predict", photos, "--model", models[model], *flags, "--device", "cpu")
    assert (done.code, said in done.err) == (2, True), done.err


def test_no_readable_picture_is_refused(photos: Path, models: dict[str, Path]) -> None:
    with pytest.raises(DataRefused, match=r"None of 1 pictures can be read; .*broken\.jpg: it is none"):
        found(photos / "one" / "broken.jpg", models["mask"])
