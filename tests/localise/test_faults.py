"""L8, L10: what is wrong with annotations is listed with file and annotation, dropped or refused, and never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise import rasters
from tagwise.localise.annotations import Annotations
from tagwise.localise.faults import Kind
from tagwise.localise.opening import open_annotations
from tagwise.localise.pictures import header_of
from tagwise.pixels.decode import decode
from tests.localise.small import ORIENTATION, coco, entry, kinds, opened, picture, write

GOOD = entry(id=9)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"bbox": [4, 6, 0, 12]}, "box without area"),
        ({"bbox": [4, 6, 10, -1]}, "box without area"),
        ({"bbox": [50, 6, 10, 12]}, "box outside the picture"),
        ({"bbox": [-20, 6, 10, 12]}, "box outside the picture"),
        ({"bbox": [4, 6, 1e400, 12]}, "number that is not finite"),
        ({"bbox": [4, 6, "x", 12]}, "number that is not finite"),
        ({"bbox": [4, 6, 10]}, "entry that cannot be read"),
        ({"bbox": None}, "entry that cannot be read"),
        ({"bbox": [1, 2, 3], "segmentation": [[1, 1, 9, 1, 9, 9]]}, "entry that cannot be read"),
        ({"bbox": "all", "segmentation": [[1, 1, 9, 1, 9, 9]]}, "entry that cannot be read"),
        ({"segmentation": 7, "bbox": None}, "mask that cannot be drawn"),
        ({"image_id": 77}, "object of an unknown picture"),
    ],
)
def test_l8_a_bad_object_is_dropped_and_listed_or_stops_the_reading(tmp_path: Path, bad: Any, kind: str) -> None:
    plain = coco(annotations=[entry(**bad), GOOD])
    found = opened(tmp_path, plain)
    assert found.pictures[0].ids == (9,)
    (problem,) = (problem for problem in found.problems if problem.serious)
    assert (problem.kind, problem.file, problem.annotation) == (kind, "train.json", "5")
    with pytest.raises(DataRefused, match=f"^train.json, annotation 5: {kind}"):
        opened(tmp_path, plain, bad="stop")


@pytest.mark.parametrize("area", [120, None])
@pytest.mark.parametrize(
    "mask",
    [[[1, 2, 3, 4]], {"size": [40, 30], "counts": [1200]}, [[1, 1, 1, 1, 1, 1]], [[90, 90, 99, 90, 99, 99]], "outline"],
)
def test_l8_a_bad_mask_drops_its_object_only_where_masks_are_learnt(tmp_path: Path, mask: Any, area: Any) -> None:
    good = entry(id=9, segmentation=[[4, 6, 14, 6, 14, 18]])
    plain = coco(annotations=[entry(segmentation=mask, area=area), good])
    for needs in (None, frozenset({"boxes"})):
        found = opened(tmp_path, plain, needs=needs)
        assert (found.pictures[0].ids, found.pictures[0].masks[0], found.pictures[0].areas_N[0]) == ((5, 9), None, 120)
    found = opened(tmp_path, plain, needs=frozenset({"boxes", "masks"}))
    assert (found.pictures[0].ids, kinds(found)["mask that cannot be drawn"]) == ((9,), ["5"])
    with pytest.raises(DataRefused, match=r"^train.json, annotation 5: mask that cannot be drawn"):
        opened(tmp_path, plain, bad="stop")


def test_l8_without_a_box_the_mask_has_one(tmp_path: Path) -> None:
    found = opened(tmp_path, coco(annotations=[entry(bbox=None, segmentation=[[1, 1, 9, 1, 9, 9]])]))
    assert found.pictures[0].boxes_N4.tolist() == [[1, 1, 9, 9]]
    assert not any(problem.serious for problem in found.problems)


def test_l8_a_part_without_objects_is_refused_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, coco())
    write(tmp_path, coco(annotations=[]), "val.json")
    with pytest.raises(DataRefused, match=r"^The validation part of .* no object .*; annotate its pictures, or take"):
        open_annotations(tmp_path)
    write(tmp_path, coco(annotations=[entry(bbox=[0, 0, 0, 0])]), "val.json")
    with pytest.raises(DataRefused, match=r"^The validation part of .*'tagwise check' lists what was dropped"):
        open_annotations(tmp_path)


def test_l8_a_box_over_the_edge_is_clipped_and_counted(tmp_path: Path) -> None:
    boxes = [[-2, 6, 10, 12], [35, 25, 10, 12], [-0.001, 0, 40.002, 30]]
    found = opened(tmp_path, coco(annotations=[entry(id=number, bbox=box) for number, box in enumerate(boxes, 1)]))
    assert found.pictures[0].boxes_N4.tolist() == [[0, 6, 8, 18], [35, 25, 40, 30], [0, 0, 40, 30]]
    assert kinds(found)["box clipped to the picture"] == ["1", "2"], "rounding is cut without a word"


@pytest.mark.parametrize("category", [0, 2, None, "cat"])
def test_l8_a_class_that_is_not_in_the_list_is_refused_with_file_and_annotation(tmp_path: Path, category: Any) -> None:
    plain = coco(annotations=[GOOD, entry(category_id=category)])
    said = r"^train.json, annotation 5: class that is not in the list .*none of 3, 7; correct it, or add the category"
    with pytest.raises(DataRefused, match=said):
        opened(tmp_path, plain)


def test_l8_pictures_without_objects_are_kept_and_told(tmp_path: Path) -> None:
    picture(tmp_path / "b.png")
    images = [*coco()["images"], {"id": 2, "file_name": "b.png", "width": 40, "height": 30}]
    found = opened(tmp_path, coco(images=images))
    assert [one.boxes_N4.shape for one in found.pictures] == [(1, 4), (0, 4)]
    assert [one.categories_N.dtype for one in found.pictures] == [np.int64] * 2
    assert "picture without objects" in kinds(found)


@pytest.mark.parametrize("mode", ["L", "I;16", "CMYK", "P"])
def test_l8_pictures_of_every_mode_are_read_by_the_loader_of_classification(tmp_path: Path, mode: str) -> None:
    name = "a.tif" if mode in ("CMYK", "I;16") else "a.png"
    values = np.full((30, 40), 40_000 if mode == "I;16" else 9, np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(values)
    (image if mode in ("L", "I;16") else image.convert(mode)).save(tmp_path / name)
    images = [{"id": 1, "file_name": name, "width": 40, "height": 30}]
    found = opened(tmp_path, coco(images=images))
    assert ("16 bits" in kinds(found)) == (mode == "I;16")
    assert decode(found.pictures[0].place).pixels_HWC.shape == (30, 40, 3)


def test_l8_crowd_regions_are_kept_and_counted(tmp_path: Path) -> None:
    found = opened(tmp_path, coco(annotations=[GOOD, entry(iscrowd=1)]))
    assert found.pictures[0].crowd_N.tolist() == [False, True]
    assert kinds(found)["crowd region"] == ["5"]


def test_l10_ids_given_twice(tmp_path: Path) -> None:
    """The same once more is dropped; another object gets an id of its own, as COCO's own reader would mix the two."""
    found = opened(tmp_path, coco(annotations=[entry(), entry(), entry(bbox=[1, 1, 5, 5])]))
    assert found.pictures[0].ids == (5, 6)
    assert kinds(found)["id given twice"] == ["5", "5"]
    images = coco()["images"]
    twice = opened(tmp_path, coco(images=[*images, {**images[0], "file_name": "b.png"}, {**images[0], "id": 2}]))
    assert kinds(twice)["id given twice"] == ["picture 1"]
    assert kinds(twice)["picture annotated twice"] == ["picture 2"]


def test_l10_missing_pictures_are_listed_and_all_of_them_refused(tmp_path: Path) -> None:
    other = {"id": 2, "file_name": "gone/b.png", "width": 40, "height": 30}
    found = opened(tmp_path, coco(images=[*coco()["images"], other]))
    assert len(found) == 1
    assert "gone/b.png" in next(problem.detail for problem in found.problems if problem.kind == "picture missing")
    with pytest.raises(DataRefused, match="give --pictures, their folder"):
        opened(tmp_path, coco(images=[other]))


def test_l10_damaged_pictures_are_listed(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = opened(tmp_path, coco(images=[*coco()["images"], {"id": 2, "file_name": "b.png"}]))
    assert "picture that cannot be read" in kinds(found)


def test_pictures_are_found_in_images_beside_or_where_told(tmp_path: Path) -> None:
    for place, flags in (("images/a.png", {}), ("far/a.png", {"images": tmp_path / "far"}), ("train/a.png", {})):
        path = write(tmp_path, coco())
        (tmp_path / "a.png").rename(picture(tmp_path / place))
        found = open_annotations(path, **flags)["train"]  # type: ignore[arg-type]
        assert found.pictures[0].place.path == str(tmp_path / place)
        (tmp_path / place).unlink()


def test_names_with_folders_are_different_pictures(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{at}/a.png"} for number, at in enumerate("xy", 1)]
    for at in "xy":
        picture(tmp_path / "images" / at / "a.png")
    found = opened(tmp_path, coco(images=images, annotations=[entry(image_id=2)]))
    assert [(Path(one.place.path).parent.name, len(one.ids)) for one in found.pictures] == [("x", 0), ("y", 1)]


@pytest.mark.parametrize(
    ("name", "used"),
    [("images/b.png", None), ("other/b.png", "images/b.png"), ("b.jpg", "images/b.png"), ("./images/b.png", None)],
)
def test_a_picture_of_another_name_or_folder_is_told(tmp_path: Path, name: str, used: str | None) -> None:
    picture(tmp_path / "images" / "b.png")
    found = opened(tmp_path, coco(images=[{"id": 1, "file_name": name, "width": 40, "height": 30}]))
    told = [(one.annotation, one.detail) for one in found.problems if one.kind == Kind.OTHER_NAME]
    assert told == ([(name, f"it names {name}; {used} is used")] if used else [])


def named(folder: Path, name: str, **flags: Any) -> Annotations:
    """A set with its own a.png and a picture of this name, which may be in linked, a link to a folder elsewhere."""
    picture(folder / "outside" / "b.png")
    picture(folder / "set" / "images" / "c.png")
    (folder / "set" / "linked").symlink_to(folder / "outside")
    file_name = name.format(at=folder)
    images = [*coco()["images"], {"id": 2, "file_name": file_name, "width": 40, "height": 30}]
    entries = [entry(), entry(id=6, image_id=2)]
    return open_annotations(write(folder / "set", coco(images=images, annotations=entries)), **flags)["train"]


@pytest.mark.parametrize(
    "name", ["../outside/b.png", "images/../../outside/b.png", "{at}/outside/b.png", "linked/../../outside/b.png"]
)
def test_a_name_never_leads_out_of_the_set(tmp_path: Path, name: str) -> None:
    """Else a stranger's file picks the pictures of a report that is shared."""
    found = named(tmp_path, name)
    assert [Path(one.place.path).name for one in found.pictures] == ["a.png"]
    (told,) = (one for one in found.problems if one.serious)
    assert told.kind == Kind.MISSING
    assert "leads out of the set and is not opened" in told.detail


@pytest.mark.parametrize(
    ("name", "images"),
    [("linked/b.png", None), ("../set/images/c.png", None), ("{at}/set/images/c.png", None), ("b.png", "outside")],
)
def test_a_name_inside_the_set_its_links_or_the_folder_of_pictures_is_opened(
    tmp_path: Path, name: str, images: str | None
) -> None:
    found = named(tmp_path, name, images=tmp_path / images if images else None)
    assert Path(found.pictures[-1].place.path).name == Path(name).name
    assert Kind.OTHER_NAME not in kinds(found)


def test_a_name_longer_than_any_files_is_a_missing_picture(tmp_path: Path) -> None:
    images = [*coco()["images"], {"id": 2, "file_name": "x" * 5000}]
    assert "picture missing" in kinds(opened(tmp_path, coco(images=images)))


def test_names_of_strangers_steer_no_terminal(tmp_path: Path) -> None:
    found = opened(tmp_path, coco(images=[*coco()["images"], {"id": 2, "file_name": "\x1b[31m\u202eb\0.png"}]))
    text = "".join(problem.file + problem.annotation + problem.detail for problem in found.problems)
    assert not {"\x1b", "\u202e", "\0"} & set(text)


def turned(folder: Path, orientation: int, stated: tuple[int, int], name: str = "a.jpg") -> Path:
    """A picture stored as 40 x 30 with one object at its upper left, 4 wide and 8 high, as the file sees it."""
    picture(folder / name, orientation=orientation)
    images = [{"id": 1, "file_name": name, "width": stated[0], "height": stated[1]}]
    square = [[0, 0, 4, 0, 4, 8, 0, 8]]
    return write(folder, coco(images=images, annotations=[entry(bbox=[0, 0, 4, 8], segmentation=square)]))


@pytest.mark.parametrize(
    ("orientation", "box"), [(5, [0, 0, 8, 4]), (6, [22, 0, 30, 4]), (7, [22, 36, 30, 40]), (8, [0, 36, 8, 40])]
)
def test_l10_exif_boxes_of_the_stored_picture_turn_with_it(tmp_path: Path, orientation: int, box: list[int]) -> None:
    """The stated size fits only the stored picture; the marked pixels then are where decoding puts them."""
    found = open_annotations(turned(tmp_path, orientation, (40, 30)))["train"]
    (one,) = found.pictures
    assert (one.width, one.height, one.boxes_N4.tolist()) == (30, 40, [box])
    assert one.masks[0] is not None
    assert rasters.bounds(one.masks[0]) == tuple(box)
    assert decode(one.place).pixels_HWC.shape == (40, 30, 3)
    assert "turned by EXIF" in kinds(found)


def test_l10_exif_boxes_of_the_shown_picture_stay(tmp_path: Path) -> None:
    found = open_annotations(turned(tmp_path, 6, (30, 40)))["train"]
    assert found.pictures[0].boxes_N4.tolist() == [[0, 0, 4, 8]]


def test_l10_exif_that_leaves_it_open_is_asked(tmp_path: Path) -> None:
    path = turned(tmp_path, 3, (40, 30))
    with pytest.raises(
        DataRefused, match=r"^train.json, annotation a.jpg: turned by EXIF, .*give --exif turned, or --exif raw"
    ):
        open_annotations(path)
    boxes = [open_annotations(path, exif=exif)["train"].pictures[0].boxes_N4.tolist() for exif in ("turned", "raw")]
    assert boxes == [[[0, 0, 4, 8]], [[36, 22, 40, 30]]]


def test_l10_shares_of_a_turned_picture_are_a_question_and_turn_with_it(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg", orientation=6)
    (tmp_path / "a.txt").write_text("0 0.05 0.1 0.1 0.2\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(DataRefused, match="give --exif"):
        open_annotations(tmp_path)
    boxes = [open_annotations(tmp_path, exif=exif)["train"].pictures[0].boxes_N4 for exif in ("turned", "raw")]
    assert np.allclose(boxes, [[[0, 0, 3, 8]], [[24, 0, 30, 4]]])


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_header_tells_the_size_that_decoding_gives(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.new("RGB", (40, 30)).save(tmp_path / name, exif=exif)
    header = header_of(tmp_path / name)
    assert (header.width, header.height, header.orientation) == (40, 30, orientation)
    assert header.shown == decode(tmp_path / name).pixels_HWC.shape[1::-1]


def test_l10_another_size_without_exif_drops_the_picture(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}]
    with pytest.raises(DataRefused, match="no picture that can be used"):
        opened(tmp_path, coco(images=images))


@pytest.mark.parametrize(("size", "kind"), [({}, Kind.NO_SIZE), ({"width": 80, "height": 60}, Kind.OTHER_SIZE)])
def test_what_is_said_of_a_size_names_the_picture(tmp_path: Path, size: dict[str, int], kind: Kind) -> None:
    picture(tmp_path / "b.png")
    found = opened(tmp_path, coco(images=[*coco()["images"], {"id": 2, "file_name": "b.png", **size}]))
    assert kinds(found)[kind] == ["b.png"]


def test_a_head_that_needs_masks_or_keypoints_asks_for_them(tmp_path: Path) -> None:
    for what, said in (("masks", "no mask, which this head needs"), ("keypoints", "no keypoints")):
        with pytest.raises(DataRefused, match=said):
            opened(tmp_path, coco(), needs=frozenset({"boxes", what}))
    square = [[2, 2, 6, 2, 6, 6, 2, 6]]
    plain = coco(annotations=[entry(segmentation=square), GOOD])
    found = opened(tmp_path, plain, needs=frozenset({"boxes", "masks"}))
    assert (found.pictures[0].ids, kinds(found)["object without a mask"]) == ((5,), ["9"])
    assert opened(tmp_path, plain, needs=frozenset({"boxes"})).pictures[0].masks == (None, None)


def test_classes_by_name_and_their_mistakes(tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_text("dog\ncat\n")
    found = opened(tmp_path, coco(), classes=names)
    assert [(one.id, one.name) for one in found.categories] == [(7, "dog"), (3, "cat")]
    with pytest.raises(DataRefused, match=r"which --classes lacks .*nearest is dogs"):
        opened(tmp_path, coco(), classes=("dogs", "cat"))
    with pytest.raises(UsageError, match="cat twice"):
        opened(tmp_path, coco(), classes=("cat", "cat"))


def test_the_licence_is_carried_where_it_is_stated(tmp_path: Path) -> None:
    assert opened(tmp_path, coco()).licence == "unknown"
    assert opened(tmp_path, coco(licenses=[{"id": 1, "name": "CC BY 4.0"}])).licence == "CC BY 4.0"
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright ...")
    assert opened(tmp_path, coco()).licence == "MIT License"
    assert opened(tmp_path / "below", coco()).licence == "unknown", "what lies above may be of something else"
