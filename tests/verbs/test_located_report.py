"""The report of detectors and segmenters: their numbers in words, truth beside prediction, strangers' names as text."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tagwise
from tagwise.base.errors import UsageError
from tagwise.measure.detection import NAMES as NUMBERS
from tagwise.measure.detection_errors import ERROR_WORDS
from tagwise.verbs.located_pictures import judged, object_pair
from tests.localise.drawn_target import TINY, write_start, write_target
from tests.references.coco import need
from tests.verbs.located_models import HOSTILE
from tests.verbs.road import Done

need("pycocotools")

Here = Callable[..., Done]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A detector and a segmenter of two steps each."""
    folder = tmp_path_factory.mktemp("runs")
    target, start = write_target(folder / "target"), write_start(folder / "start.safetensors", seed=0)
    (target / "LICENSE").write_text("MIT licence\n")
    common: dict[str, Any] = {
        "from_": start,
        "images": "4",
        "batch": 2,
        "resolution": 64,
        "device": "cpu",
        "workers": 1,
    }
    sets = [*TINY, "model_of=last"]
    tagwise.train(target, head="mask", out=folder / "boxes", set_=sets, **common)
    tagwise.train(target, head="fcn", out=folder / "pixels", holdout="0.34", **common)
    return {"boxes": folder / "boxes", "pixels": folder / "pixels"}


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same runs, to be changed."""
    return {
        name: Path(shutil.copytree(run, tmp_path / name, ignore=shutil.ignore_patterns("checkpoints", "*.safetensors")))
        for name, run in runs.items()
    }


def page_of(*folders: Path, to: Path) -> str:
    tagwise.report(list(folders), out=to / "page.html", overwrite=True)
    return (to / "page.html").read_text("utf-8")


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).replace("&#39;", "'").split())


def changed(folder: Path, file: str, change: Callable[[Any], Any]) -> None:
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_l17_a_page_tells_all_that_was_measured(runs: dict[str, Path], tmp_path: Path) -> None:
    page = page_of(*runs.values(), to=tmp_path)
    said = words(page)
    assert "1 detector and 1 segmenter" in said
    assert all(name.replace("_", " ") in said for name in NUMBERS)
    assert "any class" in said
    assert all(kind in said for kind in ERROR_WORDS.values())
    assert "mean over the classes in truth or prediction" in said
    assert "pixel accuracy" in said
    assert "Mean IoU on held-out pictures after each epoch." in said
    assert said.count("Loss on the training part.") == 2
    assert "boxes: licence of data, of weights MIT licence, MIT licence" in said
    assert page.count("<img ") == 2 * 2 * 4, "truth and prediction of four pictures, of each run"
    assert "-1: there is none" in said, "there is no large object"


def test_a_run_alone_needs_no_name_in_its_headings(runs: dict[str, Path], tmp_path: Path) -> None:
    said = words(page_of(runs["boxes"], to=tmp_path))
    assert "The numbers" in said
    assert "boxes: the numbers" not in said
    assert "How it was trained" in said


def test_two_runs_of_one_kind_stand_in_one_table(
    runs: dict[str, Path], copied: dict[str, Path], tmp_path: Path
) -> None:
    other = copied["boxes"].rename(tmp_path / "other")
    said = words(page_of(runs["boxes"], other, to=tmp_path))
    assert "AP of the runs run head of AP AP50 AP75 AP, any class test pictures boxes mask boxes" in said


def test_runs_of_before_and_without_a_test_part_are_told_of(copied: dict[str, Path], tmp_path: Path) -> None:
    for name in ("boxes", "pixels"):
        changed(copied[name], "scores.json", lambda scores: {"loss": scores["loss"], "images": scores["images"]})
        (copied[name] / "found.json").unlink()
    said = words(page_of(*copied.values(), to=tmp_path))
    assert said.count("It had no test part, so nothing was measured") == 2
    assert "licence of data, of weights unknown, unknown" in said


def test_pictures_that_are_gone_or_changed_are_said(copied: dict[str, Path], tmp_path: Path, here: Here) -> None:
    small = tmp_path / "small.png"
    Image.new("RGB", (20, 20)).save(small)

    def moved(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with_object = next(one for one in found if one["truth"]["labels"])
        without = next(one for one in found if one is not with_object)
        return [
            one | {"place": str(small)}
            if one is with_object
            else one | {"place": "gone.png"}
            if one is without
            else one
            for one in found
        ]

    changed(copied["boxes"], "found.json", moved)
    done = here("report", copied["boxes"], "-o", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "The report leaves out val" in done.err
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "2 of 4 pictures cannot be shown any more." in page
    assert page.count("<img ") == 4


def test_names_of_strangers_are_text(copied: dict[str, Path], tmp_path: Path) -> None:
    def named(scores: Any) -> Any:
        for one in scores["boxes"]["categories"] + scores["masks"]["categories"]:
            one["name"] = HOSTILE[1]
        return scores

    changed(copied["boxes"], "scores.json", named)
    changed(
        copied["boxes"],
        "found.json",
        lambda found: [one | {"classes": list(HOSTILE), "name": HOSTILE[1]} for one in found],
    )
    changed(
        copied["pixels"],
        "scores.json",
        lambda scores: scores | {"pixels": scores["pixels"] | {"classes": [HOSTILE[1]] * 3}},
    )
    page = page_of(*copied.values(), to=tmp_path)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no finished run"):
        page_of(tmp_path, to=tmp_path)


def test_each_object_is_found_once_and_by_its_own_class() -> None:
    truth = {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "labels": [0, 1]}
    twice = {"boxes": [[0, 0, 10, 10], [0, 0, 10, 9]], "labels": [0, 0], "scores": [0.9, 0.8]}
    assert judged(truth, twice) == (1, 1)
    other = {"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "labels": [1, 1], "scores": [0.9, 0.8]}
    assert judged(truth, other) == (1, 1)
    half = {"boxes": [[0, 0, 10, 5]], "labels": [0], "scores": [0.5]}
    assert judged(truth, half) == (1, 0), "IoU .5 is enough"
    assert judged(truth, half | {"boxes": [[0, 0, 10, 4.9]]}) == (0, 1)
    assert judged({"boxes": [], "labels": []}, half) == (0, 1)


def test_a_crowd_is_nothing_to_find_and_what_lies_in_it_is_not_wrong() -> None:
    """As pycocotools does: half of a detection in a region of its class is enough, and of several."""
    truth = {"boxes": [[0, 0, 10, 10], [0, 0, 90, 90]], "labels": [0, 0], "crowd": [1], "masks": [], "keypoints": None}
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [80, 80, 100, 90], [81, 80, 101, 90], [50, 50, 60, 60]]
    found = {"boxes": boxes, "labels": [0, 0, 0, 0, 1], "scores": [0.9, 0.8, 0.7, 0.6, 0.5], "masks": []}
    assert judged(truth, found) == (1, 2)
    shown = {"name": "a", "classes": ["cat", "dog"], "truth": truth, "found": found | {"keypoints": None}}
    told = [one.caption for one in object_pair(np.zeros((100, 110, 3), np.uint8), shown)]
    assert told == ["a: 1 object, 1 crowd", "1 of 1 found, 2 wrong"]
