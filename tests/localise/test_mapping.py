"""L10: what values of maps mean is told by the files or by a person, and each pitfall of such files is met."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise.mapping import maps_of, open_maps
from tagwise.localise.opening import open_annotations
from tagwise.localise.writing import write_palette_png
from tests.localise.small import coco, entry, kinds, opened, picture, value_map, write

VALUES = np.zeros((30, 40), np.uint8)
VALUES[:10], VALUES[10:12], VALUES[20:, :7] = 1, 255, 2


def mapped(folder: Path, values: object = VALUES, mode: str = "L", name: str = "a.png") -> Path:
    picture(folder / "images" / "a.jpg")
    value_map(folder / "maps" / name, values, mode)
    return folder / "maps"


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_l10_indices_and_values_are_read_as_they_were_written(tmp_path: Path, mode: str) -> None:
    found = open_maps(mapped(tmp_path, VALUES, mode))["train"]
    assert np.array_equal(found.pictures[0].read_map(), VALUES)
    assert found.classes == ("background", "class 1", "class 2")
    expected = {"L": [], "P": ["palette map, read by index"], "I;16": ["16 bits"]}[mode]
    assert list(kinds(found)) == ["pixels that count for nothing", *expected]


def test_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    values = np.array(VALUES, np.uint16)
    values[0, 0] = 513
    found = open_maps(mapped(tmp_path, values, "I;16"), classes=("a", "b", "c"))["train"]
    assert kinds(found)["values that are no class"] == [""]
    assert found.pictures[0].read_map()[0, 0] == 255, "not 513 - 512 = 1"


def test_four_bit_values_are_not_stretched(tmp_path: Path) -> None:
    """Pillow multiplies them by 17."""
    rows = b"".join(b"\0" + bytes([0x01, 0x22]) for _ in range(2))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 4, 2, 4, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    picture(tmp_path / "images" / "a.jpg", 4, 2)
    assert open_maps(tmp_path / "maps")["train"].pictures[0].read_map().tolist() == [[0, 1, 2, 2]] * 2


def test_l10_masks_of_0_and_255_are_a_question(tmp_path: Path) -> None:
    path = mapped(tmp_path, np.where(VALUES == 1, 255, 0))
    with pytest.raises(DataRefused, match="give --object-value 255, or --ignore 255"):
        open_maps(path)
    found = open_maps(path, object_value=255, classes=("nucleus",))["train"]
    assert found.classes == ("background", "nucleus")
    assert np.array_equal(found.pictures[0].read_map(), VALUES == 1)
    ignored = open_maps(path, ignore=255)["train"]
    assert set(np.unique(ignored.pictures[0].read_map())) == {0, 255}


def test_another_value_may_be_ignored(tmp_path: Path) -> None:
    found = open_maps(mapped(tmp_path, np.where(VALUES == 255, 254, VALUES)), ignore=254)["train"]
    assert np.array_equal(found.pictures[0].read_map(), VALUES)


def test_a_label_zero_that_is_ignored_shifts_the_others_exactly_once(tmp_path: Path) -> None:
    path = mapped(tmp_path)
    (one,) = open_maps(path, zero="ignore", classes=("wall", "sky"))["train"].pictures
    expected = np.select([VALUES == 1, VALUES == 2], [0, 1], 255)
    assert np.array_equal(one.read_map(), expected)
    assert np.array_equal(one.read_map(), expected), "also when it is read anew"
    value_map(path / "a.png", expected)
    with pytest.raises(DataRefused, match="shifted before; leave --zero away"):
        open_maps(path, zero="ignore", classes=("wall", "sky"))


def test_words_for_zero_and_exif_that_are_none_are_refused(tmp_path: Path) -> None:
    words: tuple[dict[str, Any], ...] = ({"zero": "bogus"}, {"exif": "sideways"})
    for wrong in words:
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))} is .* not '{next(iter(wrong.values()))}'"):
            open_maps(mapped(tmp_path), **wrong)


def test_l10_values_that_are_no_class_are_counted_and_ignored(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[15, :5] = 77
    found = open_maps(mapped(tmp_path, values), classes=("ground", "sky", "tree"))["train"]
    (problem,) = (problem for problem in found.problems if problem.serious)
    assert (problem.kind, problem.file) == ("values that are no class", "a.png")
    assert problem.detail.startswith("5 pixels of 77")
    assert (found.pictures[0].read_map()[15, :5] == 255).all()
    with pytest.raises(DataRefused, match="with gaps; name the classes"):
        open_maps(tmp_path / "maps")


def test_too_many_of_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="none of the 1 classes, such as 1, 2; name all classes, the background too"):
        open_maps(mapped(tmp_path), classes=("sky",))


def test_coloured_maps_need_a_table(tmp_path: Path) -> None:
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 0, 200]], np.uint8)
    path = mapped(tmp_path, np.zeros((30, 40)))
    Image.fromarray(np.where((VALUES == 255)[..., None], np.uint8(255), colours[VALUES % 3])).save(path / "a.png")
    with pytest.raises(DataRefused, match="coloured; give --colours"):
        open_maps(path)
    table = tmp_path / "table.txt"
    table.write_text("10 20 30 ground\n200 0 0 sky\n0 0 200 tall tree\n255 255 255 Void\n")
    found = open_maps(path, colours=table)["train"]
    assert found.classes == ("ground", "sky", "tall tree")
    assert np.array_equal(found.pictures[0].read_map(), VALUES)
    ordered = open_maps(path, colours=table, classes=("tall tree", "sky", "ground"))["train"]
    assert np.array_equal(ordered.pictures[0].read_map(), np.select([VALUES < 3], [2 - VALUES], 255))
    with pytest.raises(DataRefused, match="differ, in 'sky'"):
        open_maps(path, colours=table, classes=("tall tree", "ground"))
    with pytest.raises(UsageError, match="leave --colours away"):
        open_maps(mapped(tmp_path / "grey"), colours=table)
    table.write_text("10 20 300 ground\n")
    with pytest.raises(DataRefused, match="line 1"):
        open_maps(path, colours=table)


def test_l10_a_map_of_another_size_is_dropped_and_listed(tmp_path: Path) -> None:
    path = mapped(tmp_path)
    picture(tmp_path / "images" / "b.jpg")
    value_map(path / "b.png", VALUES[:20])
    found = open_maps(path)["train"]
    assert [one.name for one in found.pictures] == ["a.jpg"]
    assert [problem.file for problem in found.problems if problem.serious] == ["b.png"]
    with pytest.raises(DataRefused, match="map of another size than its picture"):
        open_maps(path, bad="stop")


def test_l10_maps_of_the_stored_picture_turn_with_it(tmp_path: Path) -> None:
    path = mapped(tmp_path)
    picture(tmp_path / "images" / "a.jpg", orientation=6)
    (one,) = open_maps(path)["train"].pictures
    assert (one.width, one.height) == (30, 40)
    assert np.array_equal(one.read_map(), np.rot90(VALUES, -1))


def test_trees_of_ade20k_and_cityscapes(tmp_path: Path) -> None:
    for part in ("training", "validation"):
        picture(tmp_path / "ade" / "images" / part / "x.jpg")
        value_map(tmp_path / "ade" / "annotations" / part / "x.png", VALUES)
    for part in ("train", "val"):
        picture(tmp_path / "city" / "leftImg8bit" / part / "bonn" / "bonn_0_leftImg8bit.png")
        for kind in ("labelTrainIds", "labelIds"):
            value_map(tmp_path / "city" / "gtFine" / part / "bonn" / f"bonn_0_gtFine_{kind}.png", VALUES)
    for name, zero in (("ade", "ignore"), ("city", "background")):
        found = open_maps(tmp_path / name, zero=zero)  # type: ignore[arg-type]
        assert {part: len(one) for part, one in found.items()} == {"train": 1, "validation": 1}
        assert str(tmp_path / name) in found["validation"].pictures[0].place.path
        assert "/val" in found["validation"].pictures[0].place.path


def test_parts_and_names_may_come_from_the_objects_of_the_same_pictures(tmp_path: Path) -> None:
    path = mapped(tmp_path, np.where(VALUES == 255, 0, VALUES))
    picture(tmp_path / "images" / "b.jpg")
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate("ab", 1)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    plain = coco(images=images, categories=categories, annotations=[entry(category_id=1)])
    listing = open_annotations(write(tmp_path, plain))
    found = open_maps(path, listing=listing)["train"]
    assert found.classes == ("background", "cat", "dog")
    assert len(found) == 1
    assert [problem.file for problem in found.problems if problem.kind == "picture without a map"] == ["b.jpg"]


def test_maps_drawn_from_masks_have_smaller_objects_on_top_and_crowds_below(tmp_path: Path) -> None:
    def square(left: int, side: int) -> list[list[int]]:
        return [[left, left, left + side, left, left + side, left + side, left, left + side]]

    entries = [
        entry(id=1, category_id=3, segmentation=square(6, 4)),
        entry(id=2, category_id=7, segmentation=square(4, 10)),
        entry(id=3, category_id=7, iscrowd=1, segmentation=square(12, 8)),
    ]
    found = maps_of(opened(tmp_path, coco(annotations=entries)))
    labels = found.pictures[0].read_map()
    assert found.classes == ("background", "cat", "dog")
    assert (labels[0, 0], labels[5, 5], labels[7, 7], labels[13, 13], labels[17, 17]) == (0, 2, 1, 2, 255)
    alone = maps_of(opened(tmp_path, coco(annotations=[entries[0], entry(iscrowd=1)]))).pictures[0].read_map()
    assert (alone[7, 7], alone[17, 13], alone[18, 13]) == (1, 255, 0), "a crowd may have a box alone"
    with pytest.raises(DataRefused, match="annotation 5: it has a box alone"):
        maps_of(opened(tmp_path, coco()))


def test_a_palette_png_holds_the_labels(tmp_path: Path) -> None:
    write_palette_png(VALUES, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), VALUES)
        palette = image.getpalette()
    assert palette is not None
    assert [palette[3 * label : 3 * label + 3] for label in (0, 1, 2, 255)] == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [224, 224, 192],
    ]


def test_a_damaged_map_is_listed_as_what_it_is(tmp_path: Path) -> None:
    path = mapped(tmp_path)
    picture(tmp_path / "images" / "b.jpg")
    for content, why in ((b"broken", "none of the formats read"), (b"", "the file is empty")):
        (path / "b.png").write_bytes(content)
        (told,) = (one for one in open_maps(path)["train"].problems if one.serious)
        assert (told.kind, told.file) == ("map that cannot be read", "b.png")
        assert why in told.detail
        assert "0x" not in told.detail


def test_no_map_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="holds no map"):
        open_maps(tmp_path)
    path = mapped(tmp_path)
    (path / "a.png").write_bytes(io.BytesIO(b"broken").read())
    with pytest.raises(DataRefused, match=r"No map of .* has a picture"):
        open_maps(path)
