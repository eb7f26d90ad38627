"""How large pictures are shown and which part of them: the published rules, by closed forms and counts."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import ScaleJitter

from tagwise.localise.showing import DRAWS, Showing, fitted_size, showings, whole
from tagwise.training.heads import Sizing


def first_showings(sizing: Sizing, height: int = 60, width: int = 80, count: int = 400) -> list[Showing]:
    return [next(showings(height, width, sizing, seed)) for seed in range(count)]


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((427, 1280), (445, 1333)), ((1, 3000), (1, 1333))],
)
def test_the_shorter_side_is_fitted_unless_the_longer_one_would_be_too_long(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    """800 and 1333 as in detectron2's and torchvision's defaults; COCO's usual 480 x 640 becomes 800 x 1067."""
    assert fitted_size(*size, 800, 1333) == fitted


def test_l15_one_of_a_list_takes_each_and_none_between() -> None:
    shorter = [showing.height for showing in first_showings(Sizing(shorter=(32, 48, 64), longest=200))]
    assert set(shorter) == {32, 48, 64}
    assert min(shorter.count(side) for side in (32, 48, 64)) > 100


def test_l15_a_range_takes_every_side_from_end_to_end() -> None:
    found = first_showings(Sizing(shorter=(32, 48), drawn="range", longest=200))
    assert {showing.height for showing in found} == set(range(32, 49))
    assert all(abs(showing.width - showing.height * 80 / 60) <= 0.5 for showing in found)


def test_l15_lsj_has_the_ranges_of_torchvisions_scale_jitter_and_of_its_references_fixed_size_crop() -> None:
    """Large scale jitter (Ghiasi et al. 2021): 0.1 to 2 times a square, to which all is then filled up or cropped."""
    found = first_showings(Sizing(jitter=(0.1, 2.0), base=64, crop=64), count=2000)
    torch.manual_seed(0)
    jitter = ScaleJitter((64, 64), (0.1, 2.0))
    theirs_N2 = np.array([jitter(torch.zeros(1, 60, 80)).shape[1:] for _ in range(2000)])
    ours_N2 = np.array([(showing.height, showing.width) for showing in found])
    assert np.abs(ours_N2.min(0) - theirs_N2.min(0)).max() <= 2
    assert np.abs(ours_N2.max(0) - theirs_N2.max(0)).max() <= 2
    quarters = [np.quantile(sides_N2, (0.25, 0.5, 0.75), axis=0) for sides_N2 in (ours_N2, theirs_N2)]
    assert np.abs(quarters[0] - quarters[1]).max() <= 7
    assert {showing.size for showing in found} == {(64, 64)}
    for place, side in (("x", 1), ("y", 0)):
        corners_N, rooms_N = np.array([getattr(showing, place) for showing in found]), ours_N2[:, side] - 64
        assert (corners_N[rooms_N <= 0] == 0).all(), "filled up at the right and below"
        assert ((corners_N >= 0) & (corners_N <= rooms_N))[rooms_N > 0].all()
        shares_N = (corners_N / np.maximum(rooms_N, 1))[rooms_N > 20]
        assert (shares_N.min(), shares_N.max()) == (0, 1)
        assert shares_N.mean() == pytest.approx(0.5, abs=0.05)


def test_l15_a_crop_lies_anywhere_inside() -> None:
    found = first_showings(Sizing(shorter=(60,), crop=56))
    assert {showing.x for showing in found} == set(range(80 - 56 + 1))
    assert {showing.y for showing in found} == set(range(60 - 56 + 1))


def test_l15_a_part_has_at_least_its_share_of_each_side() -> None:
    """detectron2's ``relative_range``: both sides are drawn on their own, before the picture is resized."""
    found = first_showings(Sizing(shorter=(50,), longest=200, crop_fraction=0.5))
    assert {showing.part_width for showing in found} == set(range(40, 81))
    assert {showing.part_height for showing in found} == set(range(30, 61))
    assert all(showing.left + showing.part_width <= 80 and showing.top + showing.part_height <= 60 for showing in found)
    assert all(min(showing.size) == 50 for showing in found)


def test_every_other_picture_is_mirrored_where_any_is() -> None:
    assert 150 < sum(showing.mirrored for showing in first_showings(Sizing(shorter=(60,)))) < 250
    assert not any(showing.mirrored for showing in first_showings(Sizing(shorter=(60,), mirror=False)))


def test_l15_a_seed_gives_the_same_draws_again_and_none_gives_the_picture_as_it_is() -> None:
    sizing = Sizing(jitter=(0.5, 2.0), base=64, crop=48, crop_fraction=0.7)
    first, again = (list(showings(60, 80, sizing, 5)) for _ in range(2))
    assert first == again
    assert len(set(first)) == len(first) == DRAWS
    assert list(showings(60, 80, sizing, None)) == [whole(60, 80)]


def test_points_and_pixels_move_alike() -> None:
    """The middle of the picture's pixel that is taken lies within half a step of the middle of the pixel shown."""
    sizing = Sizing(jitter=(0.4, 3.0), base=64, crop=48, crop_fraction=0.7)
    for showing in islice((next(showings(60, 80, sizing, seed)) for seed in range(100)), 100):
        columns, rows = showing.columns(), showing.rows()
        assert 0 <= columns.min() <= columns.max() < 80
        assert 0 <= rows.min() <= rows.max() < 60
        corners = np.stack([columns[: len(rows)], rows[: len(columns)]], 1)
        starts, ends = showing.moved(corners.astype(np.float64)), showing.moved(corners.astype(np.float64) + 1)
        middles = np.arange(len(corners))[:, None] + 0.5
        assert (starts <= middles + 1e-9).all()
        assert (middles <= ends + 1e-9).all()
