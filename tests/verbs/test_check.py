"""L10: ``tagwise check`` lists what is wrong with annotations, by file and annotation; its exit code says whether."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagwise
from tagwise.base.errors import DataRefused, UsageError
from tagwise.cli import run
from tagwise.localise.opening import open_annotations
from tests.localise.small import coco, entry, picture, value_map, write


@pytest.fixture(scope="module")
def locate(real_data: Path) -> Path:
    return real_data / "locate"


def test_l10_two_boxes_without_area_in_the_cells(locate: Path) -> None:
    for one_based in (True, False):
        found = tagwise.check(locate / "cells" / "voc", one_based=one_based)
        assert found.counts["box without area"] == 2
        assert found.exit_code == 1
    flat = [problem for problem in found.problems if problem.kind == "box without area"]
    assert all(problem.file.endswith(".xml") and problem.annotation for problem in flat)
    assert found.counts["box without area"] == sum(problem.serious for problem in found.problems), "nothing else is"


def test_l10_empty_pictures_of_the_shapes_and_gaps_in_the_ids_are_no_fault(locate: Path) -> None:
    shapes, gaps = tagwise.check(locate / "shapes"), tagwise.check(locate / "formats" / "coco")
    assert sum(part.empty_pictures or 0 for part in shapes.parts) == 29
    assert (shapes.counts, shapes.exit_code) == ({"picture without objects": 29}, 0)
    assert gaps.counts["ids with gaps"] == 1
    assert gaps.exit_code == 0
    assert "11->1, 13->2, 17->3, 90->4" in str(gaps)


def test_l10_masks_of_0_and_255_are_reported(locate: Path) -> None:
    found = tagwise.check(locate / "nuclei" / "semantic")
    assert found.exit_code == 1
    assert "--object-value 255" in str(found)
    assert tagwise.check(locate / "nuclei" / "semantic", object_value=255).exit_code == 0


def planted(folder: Path) -> Path:
    """A file with one of everything that objects may have wrong."""
    picture(folder / "turned.jpg", orientation=3)
    images = [
        *coco()["images"],
        {"id": 2, "file_name": "turned.jpg", "width": 40, "height": 30},
        {"id": 3, "file_name": "gone.jpg", "width": 40, "height": 30},
    ]
    entries = [entry(id=1), entry(id=1, bbox=[0, 0, 5, 5]), entry(id=2, image_id=9), entry(id=3, category_id=99)]
    return write(folder, coco(images=images, annotations=entries))


def test_l10_planted_faults_are_each_reported(tmp_path: Path) -> None:
    found = tagwise.check(planted(tmp_path))
    assert list(found.counts) == [
        "class that is not in the list",
        "turned by EXIF, the boxes may be too",
        "picture missing",
        "id given twice",
        "object of an unknown picture",
        "ids with gaps",
    ]
    table = str(found)
    for words in (
        "class that is not in the list: 1",
        "train.json  3",
        "gone.jpg",
        "ids with gaps, for your information",
    ):
        assert words in table


def test_l10_planted_faults_of_maps_are_each_reported(tmp_path: Path) -> None:
    values = np.zeros((30, 40), np.uint8)
    values[:9] = np.arange(9)[:, None] % 3
    for name, mode in (("a", "P"), ("b", "I;16"), ("c", "L"), ("d", "L")):
        picture(tmp_path / "images" / f"{name}.jpg")
        value_map(tmp_path / "maps" / f"{name}.png", values[:20] if name == "c" else values, mode)
    (tmp_path / "images" / "d.jpg").unlink()
    found = tagwise.check(tmp_path / "maps")
    assert list(found.counts) == [
        "picture missing",
        "map of another size than its picture",
        "palette map, read by index",
        "16 bits",
    ]
    assert found.classes == ("background", "class 1", "class 2")


def test_l10_the_command_prints_tables_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = planted(tmp_path)
    assert run(["check", str(path)]) == 1
    assert capsys.readouterr().out.endswith("5 problems.\n")
    assert run(["check", str(path), "--json"]) == 1
    plain: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert plain["counts"]["picture missing"] == 1
    assert {"kind", "file", "annotation", "detail", "serious"} == plain["problems"][0].keys()
    good = write(tmp_path, coco())
    assert run(["check", str(good)]) == 0
    assert capsys.readouterr().out.endswith("No problems.\n")
    good.write_text(good.read_text()[:-9])
    assert run(["check", str(good)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_flags_of_maps_are_refused_for_objects(tmp_path: Path) -> None:
    path = write(tmp_path, coco())
    with pytest.raises(UsageError, match="--object-value does nothing here, because it is of maps"):
        tagwise.check(path, object_value=255)
    with pytest.raises(UsageError, match="--no-one-based does nothing here, because it is of VOC"):
        tagwise.check(path, one_based=False)
    with pytest.raises(UsageError, match="There is no file or folder"):
        tagwise.check(tmp_path / "nothing")
    with pytest.raises(DataRefused, match="no COCO JSON"):
        tagwise.check(write(tmp_path, [1]), form="coco")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [], "annotations": []}, "no picture can be used"),
        ({"annotations": []}, "no picture has an object that can be used"),
    ],
)
def test_what_training_refuses_as_a_whole_is_a_problem(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = write(tmp_path, coco(**changes))
    with pytest.raises(DataRefused):
        open_annotations(path)
    found = tagwise.check(path)
    assert (found.exit_code, found.counts["part without anything to learn"]) == (1, 1)
    assert f"train       {said}" in str(found)


def test_masks_of_many_values_may_be_objects(locate: Path) -> None:
    with pytest.raises(DataRefused, match="give --form instances if each value is an object"):
        tagwise.check(locate / "formats" / "instance_gray16")


def test_objects_are_counted_as_a_head_of_boxes_learns_them(tmp_path: Path) -> None:
    path = write(tmp_path, coco(annotations=[entry(segmentation=[[1, 2, 3, 4]])]))
    found, (learnt,) = tagwise.check(path), open_annotations(path, needs=frozenset({"boxes"}))["train"].pictures
    assert (found.parts[0].objects, found.parts[0].empty_pictures) == (len(learnt.ids), 0) == (1, 0)
    assert "train: 1 picture, 0 of them empty, 1 object\n" in str(found)
    assert "dropped where masks are learnt" in str(found)
    assert str(found).endswith("\n1 problem.")


def test_names_of_strangers_stay_on_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, coco(categories=[{"id": 3, "name": "a\n\x1b[2Jcat"}]))
    assert "1 class: a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2Jcat\n" in str(tagwise.check(path))


def test_a_long_table_says_what_it_leaves_out(tmp_path: Path) -> None:
    entries = [entry(id=number, bbox=[1, 1, 0, 0]) for number in range(1, 31)]
    assert "10 more; --json lists all." in str(tagwise.check(write(tmp_path, coco(annotations=entries))))
