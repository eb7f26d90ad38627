"""Boxes, masks, keypoints, names and legends are drawn where they belong, whatever the names are."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tagwise.localise.annotations import IGNORE
from tagwise.localise.drawing import DrawnObjects, draw_objects, png, with_legend
from tagwise.localise.overlays import palette


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 100, np.uint8)


def objects(boxes: Sequence[Sequence[float]], labels: list[int] | None = None, **others: Any) -> DrawnObjects:
    return DrawnObjects(
        boxes_N4=np.array(boxes, np.float64).reshape(-1, 4),
        labels_N=np.array(labels if labels is not None else [0] * len(boxes), np.int64),
        **{"names": ["", "", ""], **others},
    )


def painted(drawn: NDArray[np.uint8], color: NDArray[np.uint8]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (drawn == color).all(-1)
    return found


def test_a_boxs_edge_is_the_first_and_last_of_its_pixels() -> None:
    drawn = draw_objects(grey(30, 40), objects([[5, 8, 20, 25]], [1]))
    expected = np.zeros((30, 40), bool)
    expected[8:25, 5:20] = True
    expected[9:24, 6:19] = False
    assert (painted(drawn, palette()[1]) == expected).all()
    assert (drawn[~expected] == 100).all()


def test_scaled_drawings_have_their_boxes_scaled() -> None:
    drawn = draw_objects(grey(30, 40), objects([[5, 8, 20, 25]]), scale=3)
    assert drawn.shape == (90, 120, 3)
    rows, columns = np.nonzero(painted(drawn, palette()[0]))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 74, 15, 59)


def test_boxes_are_cut_off_at_the_picture() -> None:
    boxes: list[list[float]] = [
        [-50, -3, 1000, 12.4],
        [38.2, 20, 39.9, 500],
        [60, 60, 70, 70],
        [float("nan"), 2, float("inf"), 9],
    ]
    drawn = draw_objects(grey(30, 40), objects(boxes, [0, 1, 2, 1]))
    first = painted(drawn, palette()[0])
    assert first[12, 0]
    assert first[12, 39]
    assert painted(drawn, palette()[1])[20, 38]


def test_masks_are_blended_inside_and_full_at_their_border() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:10, 5:12] = True
    drawn = draw_objects(grey(20, 20), objects([[0, 0, 20, 20]], [2], masks_NHW=mask))
    color = palette()[2].astype(int)
    assert (drawn[4, 5:12] == color).all()
    assert (drawn[4:10, 11] == color).all()
    assert (drawn[5:9, 6:11] == np.rint(0.55 * 100 + 0.45 * color)).all()
    assert (drawn[12:19, 2:18] == 100).all()


def test_visible_keypoints_are_dots_hidden_ones_rings_and_others_are_not_drawn() -> None:
    points = np.array([[[20, 20, 2], [60, 20, 1], [20, 60, 0], [np.nan, 3, 2]]], np.float64)
    drawn = draw_objects(grey(80, 80), objects([[0, 0, 80, 80]], keypoints_NK3=points), scale=4)
    filled = painted(drawn, palette()[0])
    assert filled[80, 80]
    assert not filled[80, 240]
    assert filled[78:83, 236:245].any()
    assert not filled[230:250, 70:90].any()


def test_the_surer_of_two_lies_on_top() -> None:
    same = [[5, 5, 25, 25], [5, 5, 25, 25]]
    for scores, top in (([0.9, 0.2], 0), ([0.2, 0.9], 1)):
        drawn = draw_objects(grey(30, 30), objects(same, [0, 1], scores_N=np.array(scores), names=["", ""]))
        assert painted(drawn, palette()[top])[24, 15]


def test_a_name_stands_above_its_box_in_its_colour_and_inside_at_the_upper_edge() -> None:
    named = objects([[10, 60, 90, 95]], [1], names=["cell", "nucleus"], scores_N=np.array([0.87]))
    drawn = painted(draw_objects(grey(100, 200), named), palette()[1])
    assert drawn[46:59, 10].all()
    assert not drawn[:44].any()
    at_top = dataclasses.replace(named, boxes_N4=np.array([[10.0, 2, 90, 95]]))
    assert painted(draw_objects(grey(100, 200), at_top), palette()[1])[3:16, 11].all()


def test_a_name_stands_under_a_low_box_at_the_upper_edge() -> None:
    low = objects([[10, 2, 40, 12]], [1], names=["cell", "nucleus"])
    drawn = painted(draw_objects(grey(100, 200), low), palette()[1])
    assert drawn[12:27, 10].all()
    assert not drawn[3:11, 12:38].any()


def test_names_hide_no_object() -> None:
    """The lower box's name would lie on the small box above it; that one's name has room."""
    crowded = objects([[20, 60, 80, 95], [22, 45, 50, 57]], [0, 1], names=["low", "up"], scores_N=np.array([0.9, 0.8]))
    drawn = draw_objects(grey(100, 200), crowded)
    assert painted(drawn, palette()[1])[30:44, 22].all()
    assert (drawn[47:55, 24:48] == 100).all()


def test_a_name_is_left_away_where_a_surer_ones_is() -> None:
    one = objects([[10, 40, 90, 95]], [0], names=["alpha", "beta"], scores_N=np.array([0.9]))
    both = objects([[12, 42, 90, 95], [10, 40, 90, 95]], [1, 0], names=["alpha", "beta"], scores_N=np.array([0.3, 0.9]))
    above = (slice(0, 40), slice(None))
    assert (draw_objects(grey(100, 200), both)[above] == draw_objects(grey(100, 200), one)[above]).all()


HOSTILE = [
    "",
    "x" * 10_000,
    "\x1b[31mred\x1b[0m\nsecond line\x00",
    "\u202egnp.exe",
    "e" + "\u0301" * 500,
    "雪だるま ☃ \U0001f600",
    "<script>alert(1)</script>",
    "\ud800",
    " " * 50,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_strangers_stay_on_one_short_line_inside_the_picture(name: str) -> None:
    drawn = draw_objects(grey(60, 120), objects([[100, 50, 119, 59]], names=[name], scores_N=np.array([0.5])))
    assert drawn.shape == (60, 120, 3)
    assert (drawn[:30] == 100).all()
    assert with_legend(drawn, [0], [name]).shape[1] == 120


def test_empty_pictures_are_drawn_as_they_are() -> None:
    assert (draw_objects(grey(10, 10), objects([])) == 100).all()


def test_a_legend_shows_colours_and_wraps() -> None:
    names = ["background", "circle", "square", "star", "triangle"]
    drawn = with_legend(grey(40, 200), [1, 2, 3, 4, IGNORE], names)
    assert (drawn[:40] == 100).all()
    assert drawn.shape[0] > 40 + 2 * 20
    for label in (1, 2, 3, 4):
        assert painted(drawn[40:], palette()[label]).sum() >= 13 * 13
    assert with_legend(grey(40, 200), [], names).shape == (40, 200, 3)


def test_png_bytes_are_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(png(picture))) as image:
        assert image.format == "PNG"
        assert (np.asarray(image) == picture).all()
