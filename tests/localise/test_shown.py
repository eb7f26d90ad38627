"""Pictures with boxes, masks, keypoints and maps: all of them are moved as one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from tagwise.base.errors import DataRefused
from tagwise.localise.annotations import IGNORE
from tagwise.localise.opening import open_annotations
from tagwise.localise.showing import fitted_size, showings
from tagwise.localise.shown import Sample, mirrored, shown
from tagwise.pixels.decode import decode
from tagwise.pixels.place import PictureRefused
from tagwise.training.heads import Sizing
from tests.localise.discs import CATEGORIES, annotated, bright, mapped, rle

RANGE = Sizing(shorter=(30, 120), drawn="range", longest=400)
ONE_OF = Sizing(shorter=(32, 64, 96), longest=90 * 2)
CROP = Sizing(shorter=(60, 90), crop=50)
PART = Sizing(shorter=(64,), longest=200, crop_fraction=0.5)
JITTER = Sizing(jitter=(0.4, 2.0), base=64, crop=64)
SIZINGS = {"range": RANGE, "one of": ONE_OF, "crop": CROP, "part": PART, "large scale jitter": JITTER}
AS_IS = Sizing()

seeds = st.integers(0, 2**62)


def random_of(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def assert_same(first: Sample, second: Sample) -> None:
    for field in fields(Sample):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, other, rtol=0, atol=0, msg=field.name)
        else:
            assert one == other, field.name


@settings(max_examples=30)
@given(seed=seeds, count=st.integers(0, 4))
def test_l15_mirrored_twice_is_as_before(seed: int, count: int) -> None:
    picture, image_HWC = annotated(random_of(seed), count=count)
    sample = shown(picture, image_HWC, AS_IS, None, masks=True, keypoints=True, categories=CATEGORIES)
    once = mirrored(sample, CATEGORIES)
    assert (
        not torch.equal(once.image_CHW, sample.image_CHW) or not count or bool((image_HWC == image_HWC[:, ::-1]).all())
    )
    assert_same(mirrored(once, CATEGORIES), sample)


def test_l15_a_map_mirrored_twice_is_as_before() -> None:
    sample = shown(*mapped(random_of(0).integers(0, 3, (20, 30), np.uint8)), AS_IS, None)
    once = mirrored(sample, ())
    assert once.map_HW is not None
    assert sample.map_HW is not None
    assert torch.equal(once.map_HW, sample.map_HW.flip(-1))
    assert_same(mirrored(once, ()), sample)


def test_the_mirror_is_torchvisions_and_swaps_left_and_right_where_a_category_says_so() -> None:
    picture, image_HWC = annotated(random_of(3), count=4)
    picture = replace(picture, categories_N=np.array([0, 1, 0, 1]))
    sample = shown(picture, image_HWC, AS_IS, None, masks=True, keypoints=True, categories=CATEGORIES)
    once = mirrored(sample, CATEGORIES)
    boxes = tv_tensors.BoundingBoxes(sample.boxes_N4, format="XYXY", canvas_size=(60, 80))
    assert torch.equal(once.image_CHW, v2.functional.horizontal_flip(sample.image_CHW))
    assert torch.equal(once.boxes_N4, v2.functional.horizontal_flip(boxes).as_subclass(torch.Tensor))
    assert sample.keypoints_NK3 is not None
    assert once.keypoints_NK3 is not None
    flipped = sample.keypoints_NK3 * torch.tensor([-1.0, 1, 1]) + torch.tensor([80.0, 0, 0])
    flipped = torch.where(sample.keypoints_NK3[..., 2:] == 0, torch.zeros(()), flipped)
    assert torch.equal(once.keypoints_NK3[0::2], flipped[0::2, [0, 2, 1]])
    assert torch.equal(once.keypoints_NK3[1::2], flipped[1::2])


@pytest.mark.parametrize("name", SIZINGS)
@settings(max_examples=30)
@given(seed=seeds)
def test_l15_the_box_of_a_mask_is_within_a_pixel_of_the_box(name: str, seed: int) -> None:
    picture, image_HWC = annotated(random_of(seed), count=4)
    sample = shown(picture, image_HWC, SIZINGS[name], seed, masks=True)
    assert sample.masks_NHW is not None
    assert len(sample.boxes_N4) == len(sample.labels_N) == len(sample.masks_NHW) == 4 - sample.lost
    height, width = sample.image_CHW.shape[1:]
    assert sample.masks_NHW.shape[1:] == (height, width)
    assert (sample.boxes_N4 >= 0).all()
    assert (sample.boxes_N4 <= torch.tensor([width, height, width, height])).all()
    around = masks_to_boxes(sample.masks_NHW) + torch.tensor([0, 0, 1, 1])
    assert ((around - sample.boxes_N4).abs() <= 1).all()


@pytest.mark.parametrize("shorter", [(192, 320), (256, 512)])
def test_l15_nuclei_keep_their_boxes_around_their_masks(real_data: Path, shorter: tuple[int, int]) -> None:
    """Real outlines have tips thinner than a pixel, which a smaller picture no longer shows: 1 % may lose one."""
    sizing = Sizing(shorter=shorter, drawn="range")
    pictures = open_annotations(real_data / "locate" / "nuclei")["train"].pictures[:40]
    away: list[float] = []
    for seed, picture in enumerate(pictures):
        sample = shown(picture, decode(picture.place).pixels_HWC, sizing, seed, masks=True)
        assert sample.masks_NHW is not None
        away += (masks_to_boxes(sample.masks_NHW) + torch.tensor([0, 0, 1, 1]) - sample.boxes_N4).abs().amax(1).tolist()
    assert len(away) > 800
    assert np.mean(np.array(away) <= 1) >= 0.99


@pytest.mark.parametrize("name", SIZINGS)
@settings(max_examples=20)
@given(seed=seeds)
def test_l15_masks_and_maps_lie_where_the_picture_is_bright(name: str, seed: int) -> None:
    """Whatever is done, a bright thing's mask covers its bright pixels, but for those that its edge runs through."""
    sizing = SIZINGS[name]
    picture, image_HWC = annotated(random_of(seed), count=3)
    sample = shown(picture, image_HWC, sizing, seed, masks=True)
    assert sample.masks_NHW is not None
    labels = (image_HWC[:, :, 0] > 0).astype(np.uint8)
    of_map = shown(*mapped(labels), sizing, seed)
    assert of_map.map_HW is not None
    drawn = next(showings(60, 80, sizing, seed))
    if of_map.image_CHW.shape == sample.image_CHW.shape:
        assert torch.equal(of_map.image_CHW, sample.image_CHW)
    inside = of_map.map_HW != IGNORE
    assert inside.sum() == drawn.down * drawn.across
    sure_bright, sure_black = ((sample.image_CHW[0] == level) & inside for level in (255, 0))
    assert (of_map.map_HW[sure_bright] == 1).all()
    assert (of_map.map_HW[sure_black] == 0).all()
    if not sample.lost:
        assert torch.equal(sample.masks_NHW.any(0)[inside], (of_map.map_HW == 1)[inside])


@pytest.mark.parametrize("shorter", [32, 60, 90])
def test_pictures_and_boxes_are_resized_as_torchvision_does(shorter: int) -> None:
    picture, _ = annotated(random_of(1))
    image_HWC = random_of(2).integers(0, 256, (60, 80, 3), np.uint8)
    sample = shown(picture, image_HWC, Sizing(shorter=(shorter,), mirror=False), 0)
    size = list(fitted_size(60, 80, shorter, 1333))
    expected = v2.functional.resize(torch.from_numpy(image_HWC).permute(2, 0, 1), size, antialias=True)
    boxes = tv_tensors.BoundingBoxes(torch.from_numpy(picture.boxes_N4), format="XYXY", canvas_size=(60, 80))
    assert torch.equal(sample.image_CHW, expected)
    torch.testing.assert_close(sample.boxes_N4.double(), v2.functional.resize(boxes, size).as_subclass(torch.Tensor))


def test_boxes_are_scaled_by_the_true_ratio_of_the_sides() -> None:
    """50 x 33 becomes 24 x 16: widths by 24/50, heights by 16/33, and not both by one rounded factor."""
    picture, image_HWC = annotated(random_of(1), height=33, width=50, count=1)
    picture = replace(picture, boxes_N4=np.array([[0.0, 0, 50, 33]]))
    sample = shown(picture, image_HWC, Sizing(shorter=(16,)), 0)
    assert sample.boxes_N4.tolist() == [[0, 0, 24, 16]]
    assert sample.image_CHW.shape == (3, 16, 24)


def test_smaller_pictures_are_filled_up_with_the_mean_and_maps_with_what_is_ignored() -> None:
    sizing = Sizing(shorter=(20,), crop=40, mirror=False)
    sample = shown(*mapped(np.ones((20, 30), np.uint8)), sizing, 0, mean=(0.2, 0.4, 0.6))
    assert sample.map_HW is not None
    assert sample.map_HW.shape == (40, 40)
    assert (sample.map_HW[:20, :30] == 1).all()
    assert (sample.map_HW[20:] == IGNORE).all()
    assert (sample.map_HW[:, 30:] == IGNORE).all()
    assert (sample.image_CHW[:, :20, :30] == 255).all()
    assert sample.image_CHW[:, 30, 10].tolist() == sample.image_CHW[:, 5, 39].tolist() == [51, 102, 153]


def test_nothing_is_learnt_from_crowd_regions() -> None:
    picture, image_HWC = annotated(random_of(4), count=3)
    picture = replace(picture, crowd_N=np.array([False, True, False]), categories_N=np.array([0, 1, 0]))
    sample = shown(picture, image_HWC, AS_IS, None, masks=True, keypoints=True, categories=CATEGORIES)
    assert sample.labels_N.tolist() == [1, 1]
    assert sample.lost == 0
    assert sample.masks_NHW is not None
    assert sample.keypoints_NK3 is not None
    assert len(sample.masks_NHW) == len(sample.keypoints_NK3) == 2


def test_objects_below_a_pixel_are_dropped_and_counted() -> None:
    picture, image_HWC = annotated(random_of(4), count=2)
    picture = replace(picture, boxes_N4=np.array([[10, 10, 40, 13], [10, 10, 40, 18.0]]))
    sample = shown(picture, image_HWC, Sizing(shorter=(10,), mirror=False), 0)
    assert sample.lost == 1
    assert sample.boxes_N4.tolist() == [[pytest.approx(10 * 13 / 80), pytest.approx(10 / 6), 6.5, 3]]


def test_a_picture_without_objects_has_targets_of_torchvisions_empty_shapes() -> None:
    picture, image_HWC = annotated(random_of(0), count=0)
    for keypoints_NK3 in (picture.keypoints_NK3, None):
        picture = replace(picture, keypoints_NK3=keypoints_NK3)
        sample = shown(picture, image_HWC, JITTER, 1, masks=True, keypoints=True, categories=CATEGORIES)
        assert sample.masks_NHW is not None
        assert sample.keypoints_NK3 is not None
        shapes = [tuple(values.shape) for values in (sample.boxes_N4, sample.labels_N, sample.masks_NHW)]
        assert shapes == [(0, 4), (0,), (0, 64, 64)]
        assert sample.keypoints_NK3.shape == (0, 3, 3)


def test_keypoints_that_are_cut_away_are_unlabelled() -> None:
    picture, image_HWC = annotated(random_of(0), count=1)
    points = np.array([[[5.0, 5, 2], [79, 59, 1], [30, 20, 0]]])
    picture = replace(picture, boxes_N4=np.array([[0.0, 0, 80, 60]]), keypoints_NK3=points)
    sizing = Sizing(shorter=(60,), crop=59, mirror=False)
    seed = seed_of_crop(sizing, 0, 0)
    sample = shown(picture, image_HWC, sizing, seed, keypoints=True, categories=CATEGORIES)
    assert sample.keypoints_NK3 is not None
    assert sample.keypoints_NK3.tolist() == [[[5, 5, 2], [0, 0, 0], [0, 0, 0]]]


def seed_of_crop(sizing: Sizing, x: int, y: int) -> int:
    draws = ((seed, next(showings(60, 80, sizing, seed))) for seed in range(9999))
    return next(seed for seed, draw in draws if (draw.x, draw.y) == (x, y))


def test_a_cut_object_gets_the_box_of_what_is_left_of_its_mask() -> None:
    """Of an L whose upright stands on the left, a crop to the right keeps the flat part alone."""
    picture, _ = annotated(random_of(0), count=1)
    mask = np.zeros((60, 80), bool)
    mask[10:50, 0:4] = mask[46:50, 0:60] = True
    picture = replace(picture, masks=(rle(mask),), boxes_N4=np.array([[0.0, 10, 60, 50]]))
    sizing = Sizing(shorter=(60,), crop=60, mirror=False)
    seed = seed_of_crop(sizing, 20, 0)
    assert shown(picture, bright(mask), sizing, seed, masks=True).boxes_N4.tolist() == [[0, 46, 40, 50]]
    assert shown(picture, bright(mask), sizing, seed).boxes_N4.tolist() == [[0, 10, 40, 50]]


def ignored_but(corner: int, side: int = 60) -> NDArray[np.uint8]:
    map_HW = np.full((side, side), IGNORE, np.uint8)
    map_HW[:corner, :corner] = 1
    return map_HW


def test_a_crop_of_ignored_pixels_alone_is_drawn_again() -> None:
    """A third of the crops meet the corner that counts; of ten, some nearly always does."""
    sizing = Sizing(shorter=(60,), crop=30, mirror=False)
    maps = [shown(*mapped(ignored_but(18)), sizing, seed).map_HW for seed in range(60)]
    firsts = [
        ignored_but(18)[first.rows()][:, first.columns()] for seed in range(60) for first in [drawn(sizing, seed)]
    ]
    assert sum((first != IGNORE).any() for first in firsts) < 40
    assert sum(bool((found != IGNORE).any()) for found in maps if found is not None) > 55


def drawn(sizing: Sizing, seed: int):  # type: ignore[no-untyped-def]
    return next(showings(60, 60, sizing, seed))


def test_a_map_that_is_ignored_everywhere_is_shown_all_the_same() -> None:
    sample = shown(*mapped(ignored_but(0)), Sizing(shorter=(60,), crop=30), 0)
    assert sample.map_HW is not None
    assert (sample.map_HW == IGNORE).all()
    assert sample.ids.tolist() == []


def test_ids_are_categories_of_objects_and_classes_of_pixels() -> None:
    picture, image_HWC = annotated(random_of(4), count=3)
    sample = shown(replace(picture, categories_N=np.array([1, 0, 1])), image_HWC, AS_IS, None)
    assert sample.labels_N.tolist() == [2, 1, 2]
    assert sample.ids.tolist() == [1, 0, 1]
    assert shown(*mapped(np.array([[3, 0], [IGNORE, 3]], np.uint8)), AS_IS, None).ids.tolist() == [0, 3]


@pytest.mark.parametrize("name", SIZINGS)
def test_l15_a_seed_shows_exactly_the_same_again(name: str) -> None:
    picture, image_HWC = annotated(random_of(5), count=4)
    first, again, other = (
        shown(picture, image_HWC, SIZINGS[name], seed, masks=True, keypoints=True, categories=CATEGORIES)
        for seed in (11, 11, 12)
    )
    assert_same(first, again)
    assert first.image_CHW.shape != other.image_CHW.shape or not torch.equal(first.image_CHW, other.image_CHW)


def test_without_a_seed_the_picture_is_as_it_is_and_a_copy() -> None:
    picture, image_HWC = annotated(random_of(6))
    before = image_HWC.copy()
    sample = shown(picture, image_HWC, JITTER, None)
    assert torch.equal(sample.image_CHW.permute(1, 2, 0), torch.from_numpy(before))
    assert sample.boxes_N4.tolist() == picture.boxes_N4.tolist()
    sample.image_CHW.zero_()
    assert (image_HWC == before).all()


def test_a_picture_of_another_size_than_its_annotations_is_refused() -> None:
    picture, image_HWC = annotated(random_of(6))
    with pytest.raises(PictureRefused, match="it has 60 x 80 pixels, and what is known of it is for 80 x 60"):
        shown(picture, image_HWC.transpose(1, 0, 2), AS_IS, None)
    of_map, pixels_HWC = mapped(np.ones((20, 30), np.uint8))
    with pytest.raises(PictureRefused, match="its map has 30 x 10 pixels"):
        shown(replace(of_map, read_map=lambda: np.ones((10, 30), np.uint8)), pixels_HWC, AS_IS, None)


def test_an_object_without_a_mask_stops_a_training_on_masks() -> None:
    picture, image_HWC = annotated(random_of(6), count=2)
    picture = replace(picture, masks=(picture.masks[0], None))
    assert len(shown(picture, image_HWC, AS_IS, None).boxes_N4) == 2
    with pytest.raises(DataRefused, match=r"The object 101 of a\.png has a box and no mask"):
        shown(picture, image_HWC, AS_IS, None, masks=True)
