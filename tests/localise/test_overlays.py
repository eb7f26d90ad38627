"""Colours of labels, and where they lie on a picture."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from tagwise.localise.annotations import IGNORE
from tagwise.localise.overlays import oklab, overlay, palette

# What readers without one kind of cones see, of linear RGB (Machado et al. 2009, table 1, severity 1).
PROTANOPE = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPE = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def seen_by(reader: NDArray[np.float64], colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    srgb = colors / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) @ reader.T
    linear = linear.clip(0, 1)
    return np.rint(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )


def nearest_pair(colors: NDArray[np.uint8]) -> float:
    return min(float(np.linalg.norm(one - other)) for one, other in combinations(oklab(colors), 2))


def grey(height: int, width: int, level: int = 100) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def test_oklab_of_white_black_and_red_is_the_published_one() -> None:
    colors = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    expected = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.62796, 0.22486, 0.12585]]
    assert oklab(colors) == pytest.approx(np.array(expected), abs=2e-4)


def test_all_colours_differ_and_the_ignored_one_is_white() -> None:
    colors = palette()
    assert colors.shape == (256, 3)
    assert colors.dtype == np.uint8
    assert len(np.unique(colors, axis=0)) == 256
    assert colors[IGNORE].tolist() == [255, 255, 255]
    assert nearest_pair(colors) > 0.03
    assert nearest_pair(colors[:20]) > 0.12


def test_the_first_colours_are_told_apart_by_colour_blind_readers() -> None:
    for reader in (PROTANOPE, DEUTERANOPE):
        assert nearest_pair(seen_by(reader, palette()[:7])) > 0.06
    assert nearest_pair(seen_by(DEUTERANOPE, np.array([[220, 50, 50], [130, 110, 40]], np.uint8))) < 0.12


def test_the_palette_is_the_same_each_time_and_cannot_be_changed() -> None:
    assert palette() is palette()
    assert not palette().flags.writeable
    palette.cache_clear()
    assert palette()[[0, 7, 8]].tolist() == [[0, 114, 178], *palette()[[7, 8]].tolist()]


def test_a_label_is_blended_inside_and_full_at_its_border() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:, 4:] = 1
    drawn = overlay(grey(8, 8), labels, opacity=0.5)
    blue, orange = palette()[0].astype(int), palette()[1].astype(int)
    assert (drawn[:, :3] == np.rint((blue + 100) / 2)).all()
    assert (drawn[:, 5:] == np.rint((orange + 100) / 2)).all()
    assert (drawn[:, 3] == blue).all()
    assert (drawn[:, 4] == orange).all()


def test_ignored_pixels_and_the_plain_label_are_left_as_they_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    before = picture.copy()
    labels = np.zeros((6, 9), np.uint8)
    labels[:, 3:6], labels[:, 6:] = 2, IGNORE
    drawn = overlay(picture, labels, plain=0)
    assert (drawn[:, :3] == before[:, :3]).all()
    assert (drawn[:, 6:] == before[:, 6:]).all()
    assert (drawn[:, 3:6] != before[:, 3:6]).any(-1).all()
    assert (picture == before).all()


def test_opacity_0_and_1_are_the_picture_and_the_colours() -> None:
    labels = np.full((4, 4), 3, np.uint8)
    assert (overlay(grey(4, 4), labels, opacity=0) == 100).all()
    assert (overlay(grey(4, 4), labels, opacity=1) == palette()[3]).all()
