"""Masks: COCO's rule, and no file that reaches past pycocotools' buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tagwise.localise import rasters
from tagwise.localise.rasters import ShapeRefused
from tagwise.pixels.decode import UPRIGHT

masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda bits: np.array(bits).reshape(size)
    )
)


def runs(mask_HW: NDArray[np.bool_]) -> list[int]:
    """Run lengths as the format has them: columns first, beginning with zeros."""
    flat, counts, last = mask_HW.T.reshape(-1).tolist(), [0], False
    for bit in flat:
        if bit != last:
            counts.append(0)
            last = bit
        counts[-1] += 1
    return counts


@given(masks)
def test_run_lengths_are_columns_first_and_both_spellings_are_the_same_mask(mask_HW: NDArray[np.bool_]) -> None:
    height, width = mask_HW.shape
    packed = rasters.encode(mask_HW)
    plain = {"size": [height, width], "counts": runs(mask_HW)}
    text = {"size": [height, width], "counts": packed["counts"].decode()}
    for shape in (plain, text):
        assert np.array_equal(rasters.decode(rasters.draw(shape, height, width)), mask_HW)
    assert rasters.area(packed) == mask_HW.sum()


def test_a_square_covers_the_pixels_between_its_corners() -> None:
    mask = rasters.draw([[2, 1, 5, 1, 5, 4, 2, 4]], 6, 8)
    assert rasters.bounds(mask) == (2, 1, 5, 4)
    assert rasters.area(mask) == 9


def test_several_polygons_are_one_object_and_count_shared_pixels_once() -> None:
    left, right = [0, 0, 4, 0, 4, 4, 0, 4], [2, 0, 6, 0, 6, 4, 2, 4]
    assert rasters.area(rasters.draw([left, right], 4, 8)) == 24


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_mask_turns_as_the_picture_does(orientation: int) -> None:
    mask_HW = np.random.default_rng(1).random((4, 6)) < 0.5
    turned = np.array(Image.fromarray(mask_HW.astype(np.uint8)).transpose(UPRIGHT[orientation])) > 0
    assert np.array_equal(rasters.decode(rasters.turn(rasters.encode(mask_HW), orientation)), turned)


@pytest.mark.parametrize(
    "shape",
    [
        [[1, 1, 2, 2]],
        [[1, 1, 2, 2, 3]],
        [[1, 1, 2, 2, 3, float("nan")]],
        [[1, 1, 2, 2, 3, 1e9]],
        [[1, 1, 2, 2, 3, "4"]],
        [],
        ["abcdefgh"],
        [{"size": [4, 4]}],
        {"size": [4, 4], "counts": [3, 4]},
        {"size": [4, 4], "counts": [20, -4]},
        {"size": [4, 4], "counts": [1e300]},
        {"size": [5, 4], "counts": [20]},
        {"size": [4, 4], "counts": "0" * 40},
        {"size": [4, 4], "counts": "oooooooooooo"},
        {"size": [4, 4], "counts": "\ud800"},
        {"size": [4, 4], "counts": "P"},
        {"size": None, "counts": None},
        {},
    ],
)
def test_a_shape_that_nobody_can_draw_is_refused(shape: Any) -> None:
    with pytest.raises(ShapeRefused):
        rasters.draw(shape, 4, 4)


@given(st.text(max_size=12))
def test_no_text_of_run_lengths_does_worse_than_be_refused(text: str) -> None:
    try:
        mask = rasters.draw({"size": [4, 4], "counts": text}, 4, 4)
    except ShapeRefused:
        return
    assert rasters.decode(mask).shape == (4, 4)
