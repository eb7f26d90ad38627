"""L9: every form of annotations gives the same objects, and what each form hides is met."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise import rasters
from tagwise.localise.annotations import Annotations
from tagwise.localise.faults import Kind
from tagwise.localise.mapping import maps_of, open_maps
from tagwise.localise.opening import open_annotations
from tagwise.localise.readers.guess import objects_form
from tagwise.localise.writing import coco_truth, write_coco
from tests.localise.small import coco, entry, kinds, opened, picture, write

FOLDERS = ("coco", "voc", "yolo_det", "yolo_seg", "labelme", "via", "instance_gray16")
OUTLINED = ("yolo_seg", "labelme", "via", "instance_gray16")


@pytest.fixture(scope="module")
def formats(real_data: Path) -> Path:
    return real_data / "locate" / "formats"


def of_format(formats: Path, name: str) -> Annotations:
    form = "instances" if name == "instance_gray16" else None
    return open_annotations(formats / name, form=form)["train"]


def objects(annotations: Annotations) -> dict[str, list[tuple[str, list[float]]]]:
    """Class and box of each object by its picture, from the left."""
    return {
        one.name: sorted(
            (
                (annotations.categories[kind].name, box)
                for kind, box in zip(one.categories_N, one.boxes_N4.tolist(), strict=True)
            ),
            key=lambda found: found[1],
        )
        for one in annotations.pictures
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_l9_every_folder_of_objects_loads_to_the_same_objects(formats: Path, name: str) -> None:
    truth, found = objects(of_format(formats, "coco")), objects(of_format(formats, name))
    assert found.keys() == truth.keys()
    for file, expected in truth.items():
        assert len(found[file]) == len(expected)
        for (kind, box), (true_kind, true_box) in zip(found[file], expected, strict=True):
            assert kind == (true_kind if name != "instance_gray16" else "object")
            assert np.abs(np.subtract(box, true_box)).max() <= 1


@pytest.mark.parametrize("name", ["semantic_palette", "semantic_gray", "semantic_gray16", "semantic_rgb"])
def test_l9_every_folder_of_maps_equals_the_maps_of_the_masks_outside_ignored_rows(formats: Path, name: str) -> None:
    drawn = {Path(one.name).stem: one.read_map() for one in maps_of(of_format(formats, "coco")).pictures}
    maps = open_maps(formats / name)["train"]
    assert {Path(one.name).stem for one in maps.pictures} == drawn.keys()
    for one in maps.pictures:
        assert np.array_equal(one.read_map()[2:], drawn[Path(one.name).stem][2:])
        assert (one.read_map()[:2] == 255).all()


@pytest.mark.parametrize("name", OUTLINED)
def test_l9_outlines_and_values_give_the_masks_of_the_coco_file(formats: Path, name: str) -> None:
    truth, found = (maps_of(of_format(formats, form)) for form in ("coco", name))
    drawn = {one.name: one.read_map() > 0 for one in truth.pictures}
    for one in found.pictures:
        assert np.mean((one.read_map() > 0) != drawn[one.name]) < 2e-3, "corners are rounded to a millionth at most"


@pytest.mark.parametrize(("name", "most"), [("voc", 0.51), ("yolo_det", 256e-4), ("labelme", 0.51), ("coco", 0)])
def test_l9_written_as_coco_ids_classes_and_boxes_stay(formats: Path, name: str, most: float, tmp_path: Path) -> None:
    truth = json.loads((formats / "coco" / "instances.json").read_text())
    first = of_format(formats, name)
    write_coco(first, tmp_path / "train.json")
    again = open_annotations(tmp_path / "train.json", images=formats / "images")["train"]
    assert objects(again) == objects(first)
    written = json.loads((tmp_path / "train.json").read_text())
    was, now = (np.array(sorted(one["bbox"] for one in plain["annotations"])) for plain in (truth, written))
    assert np.abs(was - now).max() <= most
    if name == "coco":
        for key in ("id", "category_id", "image_id", "area", "iscrowd"):
            assert [one[key] for one in written["annotations"]] == [one[key] for one in truth["annotations"]]
        assert written["categories"] == truth["categories"]
        assert written["images"] == truth["images"]


def test_l9_published_splits_and_counts_of_the_real_sets(real_data: Path) -> None:
    locate = real_data / "locate"
    counted = {
        name: {
            part: (len(found), sum(len(one.ids) for one in found.pictures))
            for part, found in open_annotations(locate / name).items()
        }
        for name in ("cells", "shapes", "shapes/labelme", "nuclei")
    }
    shapes = {"train": (150, 342), "validation": (50, 109)}
    assert counted["cells"] == {"train": (205, 2804), "validation": (87, 1137), "test": (72, 945)}
    assert counted["shapes"] == counted["shapes/labelme"] == shapes
    assert counted["nuclei"] == {"train": (80, 2216), "validation": (40, 1188)}


def test_coco_ids_with_gaps_become_places_and_are_written_back(tmp_path: Path) -> None:
    found = opened(tmp_path, coco())
    assert [(one.id, one.name) for one in found.categories] == [(3, "cat"), (7, "dog")]
    assert found.pictures[0].categories_N.tolist() == [0]
    assert kinds(found) == {"ids with gaps": ["categories"]}
    (back,) = coco_truth(found)["annotations"]
    assert (back["id"], back["category_id"], back["bbox"]) == (5, 3, [4, 6, 10, 12])


def test_coco_several_polygons_crowds_and_both_run_lengths(tmp_path: Path) -> None:
    square, other = [2, 2, 6, 2, 6, 6, 2, 6], [10, 2, 14, 2, 14, 6, 10, 6]
    crowd = {"size": [30, 40], "counts": [0, 30, 1170]}
    text = {"size": [30, 40], "counts": rasters.encode(np.eye(30, 40) > 0)["counts"].decode()}
    shapes = [[square, other], crowd, text]
    entries = [
        entry(id=number, segmentation=shape, iscrowd=int(shape is crowd)) for number, shape in enumerate(shapes, 1)
    ]
    entries[0].pop("area")
    (one,) = opened(tmp_path, coco(annotations=entries)).pictures
    assert [rasters.area(mask) for mask in one.masks if mask is not None] == [32, 30, 30]
    assert one.areas_N.tolist() == [32, 120, 120]
    assert one.crowd_N.tolist() == [False, True, False]


def test_coco_keypoints_keep_their_visibility_and_know_their_mirror(tmp_path: Path) -> None:
    person = {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}
    points = [5, 6, 2, 7, 8, 1, 0, 0, 0]
    entries = [
        entry(category_id=1, keypoints=points),
        entry(id=6, category_id=1),
        entry(id=7, category_id=1, keypoints=[1]),
    ]
    found = opened(tmp_path, coco(categories=[person], annotations=entries))
    assert found.categories[0].mirrored == (0, 2, 1)
    assert found.pictures[0].keypoints_NK3 is not None
    assert found.pictures[0].keypoints_NK3[:, :, 2].tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert kinds(found)["keypoints that do not fit"] == ["7"]


def test_a_keypoint_head_refuses_categories_with_other_keypoints_or_none(tmp_path: Path) -> None:
    person: dict[str, Any] = {"id": 2, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}
    for other, count in (({}, "none"), ({"keypoints": ["a", "b"]}, "2"), ({"keypoints": ["a", "b", "c"]}, "3")):
        plain = coco(
            categories=[{"id": 1, "name": "bag", **other}, person],
            annotations=[entry(category_id=2, keypoints=[5, 6, 2] * 3)],
        )
        with pytest.raises(DataRefused, match=rf"keypoints of their own \(bag {count}, person 3\)"):
            opened(tmp_path, plain, needs=frozenset({"boxes", "keypoints"}))
        assert opened(tmp_path, plain, needs=frozenset({"boxes"})).categories[1].keypoints == tuple(person["keypoints"])
    person["id"] = 1
    both = coco(categories=[person, {**person, "id": 2, "name": "child"}], annotations=plain["annotations"])
    assert len(opened(tmp_path, both, needs=frozenset({"boxes", "keypoints"})).categories) == 2


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (["nose", "left_eye", "right_eye"], None),
        (["tip"], None),
        (["l", "r"], "l, r stay as they are"),
        (["head", "tail"], "head, tail stay as they are"),
        (["nose", "left_eye", "right_eye", "l_ear", "r_ear"], "l_ear, r_ear stay as they are"),
        (["left_eye", "right_eye", "left_ear"], "left_ear stay as they are"),
    ],
)
def test_coco_keypoints_that_the_mirror_leaves_are_told(tmp_path: Path, points: list[str], told: str | None) -> None:
    found = opened(tmp_path, coco(categories=[{"id": 3, "name": "cat", "keypoints": points}]))
    details = [(one.annotation, one.detail) for one in found.problems if one.kind == Kind.UNPAIRED]
    assert [name for name, _ in details] == ["cat"] * (told is not None)
    assert all(told is not None and detail.startswith(told) for _, detail in details)
    assert not any(one.serious for one in found.problems)


NUMBERS: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "area null": ({"area": None}, None, False),
    "area below 0": ({"area": -4}, "area that is none", True),
    "area true": ({"area": True}, "area that is none", True),
    "area not a number": ({"area": float("nan")}, "area that is none", True),
    "area in text": ({"area": "120"}, "number written as text", False),
    "category in text": ({"category_id": "3"}, "number written as text", False),
    "box in text": ({"bbox": [4, "6", 10, 12]}, "number written as text", False),
    "crowd in text": ({"iscrowd": "0"}, "number written as text", False),
    "crowd false": ({"iscrowd": False}, None, False),
    "crowd null": ({"iscrowd": None}, None, False),
}


@pytest.mark.parametrize(("changes", "kind", "serious"), NUMBERS.values(), ids=NUMBERS)
def test_coco_numbers_that_are_none_are_listed_and_the_object_stays(
    tmp_path: Path, changes: dict[str, Any], kind: str | None, serious: bool
) -> None:
    found = opened(tmp_path, coco(categories=[{"id": 3, "name": "cat"}], annotations=[entry(**changes)]))
    assert kinds(found) == ({kind: ["5"]} if kind else {})
    assert any(one.serious for one in found.problems) == serious
    (one,) = found.pictures
    assert (one.boxes_N4.tolist(), one.areas_N.tolist(), one.crowd_N.tolist()) == ([[4, 6, 14, 18]], [120], [False])


@pytest.mark.parametrize("flag", [2, -1, 0.5, "yes"])
def test_coco_a_crowd_flag_that_is_none_is_listed_and_nothing_is_learnt_of_it(tmp_path: Path, flag: Any) -> None:
    found = opened(tmp_path, coco(annotations=[entry(iscrowd=flag), entry(id=6)]))
    assert kinds(found)["crowd flag that is neither 0 nor 1"] == ["5"]
    assert found.pictures[0].crowd_N.tolist() == [True, False]


def test_coco_true_is_no_number_of_a_box_a_polygon_or_a_run(tmp_path: Path) -> None:
    polygon, runs = [True, 2, 9, 2, 9, 9], {"size": [30, 40], "counts": [True, 1199]}
    entries = [entry(), entry(id=6, bbox=[True, 6, 10, 12])]
    entries += [entry(id=7, segmentation=[polygon]), entry(id=8, segmentation=runs)]
    found = opened(tmp_path, coco(annotations=entries))
    assert kinds(found)["number that is not finite"] == ["6"]
    assert kinds(found)["mask that cannot be drawn"] == ["7", "8"]


def test_coco_a_box_far_from_its_mask_is_listed_with_what_is_used(tmp_path: Path) -> None:
    def square(x: float, y: float, side: float) -> list[list[float]]:
        return [[x, y, x + side, y, x + side, y + side, x, y + side]]

    entries = [
        entry(id=1, bbox=[4, 6, 10, 10], segmentation=square(4, 6, 10)),
        entry(id=2, bbox=[4, 6, 10, 10], segmentation=square(24, 16, 10)),
        entry(id=3, bbox=[4.4, 6.4, 1.2, 1.2], segmentation=square(4.4, 6.4, 1.2)),
        entry(id=4, bbox=[-40, 6, 50, 10], segmentation=square(0, 6, 10)),
    ]
    found = opened(tmp_path, coco(annotations=entries))
    assert kinds(found)["box and mask that disagree"] == ["2"]
    (told,) = (one for one in found.problems if one.kind == Kind.APART)
    assert told.detail == "corners 4, 6, 14, 16 and 24, 16, 34, 26; the box is used for boxes, the mask for masks"
    assert told.serious
    assert found.pictures[0].boxes_N4[1].tolist() == [4, 6, 14, 16]


def test_coco_parts_share_classes_by_name_and_keep_the_ids_of_their_files(tmp_path: Path) -> None:
    write(tmp_path, coco())
    other = coco(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], annotations=[entry(category_id=2)])
    write(tmp_path, other, "instances_val2017.json")
    parts = open_annotations(tmp_path)
    assert [[(one.id, one.name) for one in part.categories] for part in parts.values()] == [
        [(3, "cat"), (7, "dog")],
        [(1, "cat"), (2, "dog")],
    ]
    assert parts["validation"].pictures[0].categories_N.tolist() == [1]
    write(tmp_path, coco(categories=[{"id": 1, "name": "dogs"}]), "instances_val2017.json")
    with pytest.raises(
        DataRefused, match=r"validation part .* has the class 'dogs', which train lacks .*nearest is dog"
    ):
        open_annotations(tmp_path)


@pytest.mark.parametrize("key", ["id", "name"])
def test_coco_two_categories_alike_are_refused(tmp_path: Path, key: str) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    categories[1][key] = categories[0][key]
    with pytest.raises(DataRefused, match=f"two categories have the {key}"):
        opened(tmp_path, coco(categories=categories))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(coco())[:-40], "no whole JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("", "no whole JSON"),
        ('{"images": [], "categories": 3}', "no known|known|no COCO"),
        ("[1, 2]", "known"),
    ],
)
def test_a_file_that_is_cut_off_or_none_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((DataRefused, UsageError), match=said):
        opened(tmp_path, text)


def test_huge_ids_and_nan_are_listed_one_by_one(tmp_path: Path) -> None:
    text = json.dumps(coco(annotations=[entry(), entry(id=6, bbox=[1, 2, 3, "NAN"]), entry(id=7, image_id="HUGE")]))
    found = opened(tmp_path, text.replace('"NAN"', "NaN").replace('"HUGE"', "1" + "0" * 400))
    listed = kinds(found)
    assert listed["number that is not finite"] == ["6"]
    assert listed["entry that cannot be read"] == ["7"]
    assert found.pictures[0].ids == (5,)


def voc(folder: Path, *boxes: tuple[float, ...], name: str = "a.png", extra: str = "", size: str = "40 30") -> Path:
    picture(folder / "a.png")
    width, height = size.split()
    objects = "".join(
        f"<object><name>cat</name>{extra}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for x1, y1, x2, y2 in boxes
    )
    path = folder / "a.xml"
    path.write_text(
        f"<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height></size>"
        f"{objects}</annotation>"
    )
    return path


def test_voc_corners_count_from_one_unless_told_otherwise(tmp_path: Path) -> None:
    path = voc(tmp_path, (1, 1, 40, 30), (3.5, 2, 9, 8))
    boxes = [open_annotations(path, one_based=one)["train"].pictures[0].boxes_N4.tolist() for one in (True, False)]
    assert boxes == [[[0, 0, 40, 30], [2.5, 1, 9, 8]], [[1, 1, 40, 30], [3.5, 2, 9, 8]]]
    assert [one.areas_N[0] for one in open_annotations(path)["train"].pictures] == [1200]


def test_voc_corners_at_zero_are_told_and_never_guessed(tmp_path: Path) -> None:
    found = open_annotations(voc(tmp_path, (0, 0, 9, 9)))["train"]
    assert {"corners below 1, counted from 1", "box clipped to the picture"} <= kinds(found).keys()
    assert found.pictures[0].boxes_N4.tolist() == [[0, 0, 9, 9]]


@pytest.mark.parametrize("one_based", [True, False])
def test_voc_corners_that_coincide_have_no_area_however_they_are_counted(tmp_path: Path, one_based: bool) -> None:
    found = open_annotations(voc(tmp_path, (3, 4, 3, 9), (3, 4, 9, 9)), one_based=one_based)["train"]
    assert kinds(found)["box without area"] == ["1"]


def test_voc_parts_of_objects_difficult_ones_and_other_names(tmp_path: Path) -> None:
    extra = "<difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    found = open_annotations(voc(tmp_path, (2, 2, 9, 9), name="before.jpg", extra=extra))["train"]
    assert kinds(found) == {"difficult object": ["1"], "file name differs from the annotation's": [""]}
    assert found.pictures[0].difficult_N.tolist() == [True]
    assert [one.name for one in found.categories] == ["cat"]


def test_voc_without_a_size_takes_the_pictures_and_a_wrong_one_drops_it(tmp_path: Path) -> None:
    assert kinds(open_annotations(voc(tmp_path, (2, 2, 9, 9), size="0 0"))["train"]) == {"size not stated": [""]}
    with pytest.raises(DataRefused, match="no picture that can be used"):
        open_annotations(voc(tmp_path, (2, 2, 9, 9), size="80 60"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_voc_entities_are_never_expanded(tmp_path: Path, encoding: str) -> None:
    voc(tmp_path, (2, 2, 9, 9))
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotation><filename>&y;</filename></annotation>'
    (tmp_path / "b.xml").write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{bomb}'.encode(encoding))
    (tmp_path / "c.xml").write_text("<annotation><object>")
    found = open_annotations(tmp_path)["train"]
    details = {problem.file: problem.detail for problem in found.problems}
    assert "document type" in details["b.xml"]
    assert len(kinds(found)["entry that cannot be read"]) == 2


def yolo(folder: Path, lines: str, names: Any = ("cat", "dog")) -> Path:
    picture(folder / "images" / "a.png")
    (folder / "a.txt").write_text(lines)
    (folder / "data.yaml").write_text(json.dumps({"names": names}))
    return folder


@pytest.mark.parametrize("names", [["cat", "dog"], {"1": "dog", "0": "cat"}])
def test_yolo_centres_become_corners_and_absent_files_empty_pictures(tmp_path: Path, names: Any) -> None:
    picture(tmp_path / "images" / "b.png")
    found = open_annotations(yolo(tmp_path, "1 0.5 0.5 0.5 1.0\n\n0 0 0 1 0 1.0001 1 0 1\n", names))["train"]
    assert found.pictures[0].boxes_N4.tolist() == [[10, 0, 30, 30], [0, 0, 40, 30]]
    assert [found.categories[kind].name for kind in found.pictures[0].categories_N] == ["dog", "cat"]
    assert [len(one.ids) for one in found.pictures] == [2, 0]


@pytest.mark.parametrize(
    "lines", ["0 0.5 0.5 0.2 0.2 0.7\n", "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5\n1 0.5 0.2 0.8 0.5 0.5 0.8 0.2 0.5\n"]
)
def test_yolo_oriented_boxes_are_refused(tmp_path: Path, lines: str) -> None:
    with pytest.raises(DataRefused, match="oriented boxes"):
        open_annotations(yolo(tmp_path, lines))


def test_yolo_classes_beyond_the_list_are_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"a.txt, annotation line 2: class that is not in the list \(class 2"):
        open_annotations(yolo(tmp_path, "0 .5 .5 .1 .1\n2 .5 .5 .1 .1\n"))


def test_yolo_parts_and_folders_of_data_yaml(tmp_path: Path) -> None:
    for part, count in (("train", 2), ("val", 1)):
        for number in range(count):
            picture(tmp_path / "images" / part / f"{number}.png")
            label = tmp_path / "labels" / part / f"{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: images/train\nval: images/val\n")
    for path in (tmp_path, tmp_path / "data.yaml"):
        assert {part: len(found) for part, found in open_annotations(path).items()} == {"train": 2, "validation": 1}
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    assert {part: len(found) for part, found in open_annotations(tmp_path).items()} == {"train": 2, "validation": 1}


def labelme(folder: Path, *shapes: dict[str, Any], **changes: Any) -> Annotations:
    plain = {"shapes": list(shapes), "imagePath": "a.png", "imageWidth": 40, "imageHeight": 30, **changes}
    return open_annotations(write(folder, plain, "a.json"))["train"]


def test_labelme_shapes_of_every_kind(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(small, "PNG")
    found = labelme(
        tmp_path,
        {"label": "cat", "points": [[1, 1], [5, 1], [5, 5]]},
        {"label": "cat", "points": [[8, 9], [2, 3]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[20, 15], [25, 15]], "shape_type": "circle"},
        {
            "label": "cat",
            "points": [[30, 4], [31, 5]],
            "shape_type": "mask",
            "mask": base64.b64encode(small.getvalue()).decode(),
        },
        {"label": "cat", "points": [[1, 1], [5, 1]], "shape_type": "line"},
        {"label": "cat", "points": [[1, 1]], "shape_type": "point"},
        {"label": "Background", "points": [[0, 0], [9, 0], [9, 9]]},
        {"label": "cat", "points": [[1, 1], [5, 1]], "shape_type": "polygon"},
        imageData="AAAA",
    )
    (one,) = found.pictures
    assert np.round(one.boxes_N4).tolist() == [[1, 1, 5, 5], [2, 3, 8, 9], [15, 10, 25, 20], [30, 4, 32, 6]]
    assert one.areas_N[3] == 3
    assert kinds(found) == {"shape without a surface": ["5", "6"], "mask that cannot be drawn": ["8"]}


def test_labelme_groups_are_one_object(tmp_path: Path) -> None:
    left, right = [[1, 1], [5, 1], [5, 5], [1, 5]], [[11, 1], [15, 1], [15, 5], [11, 5]]
    found = labelme(tmp_path, *({"label": "cat", "points": points, "group_id": 1} for points in (left, right)))
    assert found.pictures[0].boxes_N4.tolist() == [[1, 1, 15, 5]]
    assert found.pictures[0].areas_N.tolist() == [32]


def test_labelme_a_group_of_outlines_and_a_mask_is_one_object(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("L", (4, 4), 255).save(small, "PNG")
    mask = {"points": [[11, 1], [14, 4]], "shape_type": "mask", "mask": base64.b64encode(small.getvalue()).decode()}
    outline = {"points": [[1, 1], [5, 1], [5, 5], [1, 5]]}
    for parts in ((mask, outline), (outline, mask)):
        found = labelme(tmp_path, *({"label": "cat", "group_id": 1, **part} for part in parts))
        assert found.pictures[0].boxes_N4.tolist() == [[1, 1, 15, 5]]
        assert found.pictures[0].areas_N.tolist() == [32]


def test_via_regions_may_be_a_list_or_numbered_and_classes_boxes_to_tick(tmp_path: Path) -> None:
    rect = {"name": "rect", "x": 2, "y": 3, "width": 5, "height": 6}
    regions = [
        {"shape_attributes": rect, "region_attributes": {"class": "cat"}},
        {
            "shape_attributes": {"name": "circle", "cx": 20, "cy": 15, "r": 4},
            "region_attributes": {"class": {"dog": True}},
        },
        {"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {"class": "cat"}},
    ]
    for given in (regions, {str(place): region for place, region in enumerate(regions)}):
        plain = {"_via_img_metadata": {"a.png7": {"filename": "a.png", "size": 7, "regions": given}}}
        found = opened(tmp_path, plain)
        assert np.round(found.pictures[0].boxes_N4).tolist() == [[2, 3, 7, 9], [16, 11, 24, 19]]
        assert kinds(found) == {"size not stated": [""], "shape without a surface": ["3"]}


def test_instances_with_holes_touching_and_above_255_are_objects_of_their_own(tmp_path: Path) -> None:
    values = np.zeros((30, 40), np.uint16)
    values[5:15, 5:15], values[8:11, 8:11], values[5:15, 15:20] = 300, 0, 301
    Image.fromarray(values).save(tmp_path / "a.png")
    picture(tmp_path / "images" / "a.jpg")
    found = open_annotations(tmp_path, form="instances", images=tmp_path / "images", classes=("nucleus",))["train"]
    assert found.pictures[0].ids == (300, 301)
    assert found.pictures[0].areas_N.tolist() == [91, 50]
    assert found.categories[0].name == "nucleus"


def test_instances_a_file_an_object(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "images" / "one.png")
    for number in range(3):
        values = np.zeros((30, 40), np.uint8)
        values[number * 5 : number * 5 + 4, 2:9] = 255 * (number < 2)
        (tmp_path / "one" / "masks").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "one" / "masks" / f"{number}.png")
    found = open_annotations(tmp_path)["train"]
    assert (found.form, found.pictures[0].areas_N.tolist()) == ("instances", [28, 28])
    assert kinds(found) == {"mask that cannot be drawn": [""]}


def test_coco_without_categories_is_told_what_it_lacks(tmp_path: Path) -> None:
    plain = {name: value for name, value in coco().items() if name != "categories"}
    with pytest.raises(DataRefused, match=r"train.json has the lists 'images' and 'annotations', but no 'categories'"):
        open_annotations(write(tmp_path, plain).parent)


def test_a_word_for_exif_that_is_none_is_refused(tmp_path: Path) -> None:
    wrong: Any = "sideways"
    with pytest.raises(UsageError, match="--exif is turned or raw, not 'sideways'"):
        opened(tmp_path, coco(), exif=wrong)


@pytest.mark.parametrize("shown", ["cat", "masks", "train"])
def test_class_folders_are_no_annotations(tmp_path: Path, shown: str) -> None:
    """Whatever a class is called, and with a table of pictures in COCO's form beside, as iNaturalist has it."""
    for kind in (shown, "dog"):
        picture(tmp_path / "train" / kind / "images" / "a.png")
        picture(tmp_path / "train" / kind / "masks" / "a.png")
    assert objects_form(tmp_path / "train") is None
    assert objects_form(write(tmp_path, coco()).parent) is ("coco" if shown == "masks" else None)


def test_a_form_that_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    voc(tmp_path, (2, 2, 9, 9))
    write(tmp_path, coco())
    with pytest.raises(UsageError, match="may be of the forms coco and voc; give --form"):
        open_annotations(tmp_path)
    assert open_annotations(tmp_path, form="voc")["train"].form == "voc"
    with pytest.raises(UsageError, match="nearest are coco, yolo"):
        open_annotations(tmp_path, form="coko")
