"""A digest tells whether a part is the same: its pictures, and where things are in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagwise.localise.annotations import Category, LabelMaps
from tagwise.localise.mapping import maps_of, open_maps
from tagwise.localise.target import digest_of
from tagwise.verbs.annotated import under_classes
from tests.localise.small import coco, entry, opened, picture, value_map

VALUES = np.zeros((30, 40), np.uint8)
VALUES[:10], VALUES[20:, :7] = 1, 2
SQUARE, CORNER = [4, 6, 14, 6, 14, 18, 4, 18], [4, 6, 14, 6, 14, 18]
POINTS = {"id": 3, "name": "cat", "keypoints": ["nose"]}
BOXES, MASKS, KEYPOINTS = (frozenset({"boxes", need}) for need in ("boxes", "masks", "keypoints"))


def mapped(folder: Path, values: Any, mode: str = "L", **flags: Any) -> LabelMaps:
    picture(folder / "images" / "a.jpg")
    value_map(folder / "maps" / "a.png", values, mode)
    return open_maps(folder / "maps", **flags)["train"]


def test_maps_are_told_by_their_labels_and_not_by_their_bytes(tmp_path: Path) -> None:
    digest = digest_of(mapped(tmp_path, VALUES))
    assert digest_of(mapped(tmp_path, VALUES, "P")) == digest
    assert digest_of(mapped(tmp_path, VALUES[::-1])) != digest, "as many pixels of each class elsewhere"


def test_values_that_mean_something_else_are_other_maps(tmp_path: Path) -> None:
    values = np.where(VALUES == 1, 1, 2)
    one, other = (mapped(tmp_path, values, classes=("a", "b", "c"), ignore=ignore) for ignore in (None, 2))
    assert one.classes == other.classes
    assert digest_of(one) != digest_of(other)


def test_maps_under_the_classes_of_others_are_other_maps(tmp_path: Path) -> None:
    known = [Category(id=place, name=name) for place, name in enumerate("cab")]
    parts = [mapped(tmp_path, VALUES, classes=tuple(names)) for names in ("abc", "cab", "bac")]
    assert len({digest_of(under_classes(part, known, tmp_path, "the model")) for part in parts}) == 3


def test_maps_that_are_drawn_are_told_by_the_masks(tmp_path: Path) -> None:
    one, other = (
        opened(tmp_path, coco(annotations=[entry(segmentation=[shape])]), needs=MASKS) for shape in (SQUARE, CORNER)
    )
    assert digest_of(maps_of(one)) != digest_of(maps_of(other))


@pytest.mark.parametrize(
    ("needs", "before", "after"),
    [
        (MASKS, {"segmentation": [SQUARE]}, {"segmentation": [CORNER]}),
        (KEYPOINTS, {"keypoints": [5, 7, 2]}, {"keypoints": [6, 7, 2]}),
    ],
)
def test_every_head_tells_the_same_first_digits_of_the_same_objects(
    tmp_path: Path, needs: frozenset[str], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """A detector of masks tells what a detector of boxes does, and behind it what only itself sees."""

    def digest(shape: dict[str, Any], needs: frozenset[str]) -> str:
        plain = coco(annotations=[entry(**shape)], categories=[POINTS])
        return digest_of(opened(tmp_path, plain, needs=needs))

    boxes = digest(before, BOXES)
    assert len(boxes) == 16
    assert digest(after, BOXES) == boxes
    found = [digest(shape, needs).split("-") for shape in (before, after)]
    assert [first for first, _ in found] == [boxes, boxes]
    assert found[0][1] != found[1][1]


def test_a_box_that_moves_is_told_by_the_first_digits(tmp_path: Path) -> None:
    one, other = (opened(tmp_path, coco(annotations=[entry(bbox=[x, 6, 10, 12])])) for x in (4, 5))
    assert digest_of(one)[:16] != digest_of(other)[:16]
