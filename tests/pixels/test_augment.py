"""Augmentation: what a crop shows is read off a ramp, whose values are the coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.pixels.augment import NUMBERS, Augment, augmented, centred, draw_numbers

SIDE = 32
STILL = Augment(smallest_area_fraction=1.0, aspect=1.0, flip=False)
"""Changes nothing."""


def plain_view(resolution: int, resize: int = SIDE) -> View:
    """Leaves the values as they are, 0..255."""
    return View(resolution=resolution, resize=resize, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))


def noise(pictures: int, side: int = SIDE) -> Tensor:
    return torch.randint(0, 256, (pictures, side, side, 3), generator=torch.Generator().manual_seed(3)).to(torch.uint8)


def numbers_of(**named: float) -> NDArray[np.float32]:
    """One picture's numbers: the middle, not mirrored, but for the named ones."""
    places = ("area", "aspect", "x", "y", "flip", "turn", "light", "warmth")
    values = dict.fromkeys(places, 0.5) | named
    return np.array([[values[place] for place in places]], np.float32)


def boxes(numbers: NDArray[np.float32], augment: Augment) -> dict[str, NDArray[np.float64]]:
    """Left, right, top and bottom of each crop as shares of the side, from the two samples nearest its middle."""
    ramp = torch.arange(SIDE, dtype=torch.uint8)
    picture = torch.stack([ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)], -1)
    pictures = picture.to(torch.uint8).expand(len(numbers), SIDE, SIDE, 3)
    shown = augmented(pictures, numbers, augment, plain_view(8)).double().numpy()
    x, y = shown[:, 0, 4, 3:5], shown[:, 1, 3:5, 4]
    edges = {}
    for low, high, pair in (("left", "right", x), ("top", "bottom", y)):
        middle, half = pair.mean(1) + 0.5, 4 * np.abs(pair[:, 1] - pair[:, 0])
        edges[low], edges[high] = (middle - half) / SIDE, (middle + half) / SIDE
    return edges | {"mirrored": x[:, 1] < x[:, 0]}


def test_still_settings_show_the_whole_picture() -> None:
    images_BHWC, numbers = noise(20), draw_numbers(0, 0, 20)
    shown = augmented(images_BHWC, numbers, STILL, plain_view(SIDE))
    torch.testing.assert_close(shown, images_BHWC.permute(0, 3, 1, 2).float(), rtol=0, atol=0.01)


def test_the_middle_of_the_numbers_is_the_central_crop() -> None:
    """A quarter of the area in the middle, at half the side: every second pixel's neighbours are asked for alone."""
    augment = Augment(smallest_area_fraction=0.25, aspect=1.0, flip=False)
    shown = augmented(noise(1), numbers_of(area=0.0), augment, plain_view(SIDE // 2))
    torch.testing.assert_close(shown, centred(noise(1), plain_view(SIDE // 2)), rtol=0, atol=0.01)


def test_flip_is_a_mirror() -> None:
    given_numbers = [numbers_of(flip=flip, area=0.3, x=0.7, y=0.1, aspect=0.9) for flip in (0.49, 0.51)]
    mirrored, straight = (augmented(noise(1), numbers, Augment(), plain_view(16)) for numbers in given_numbers)
    torch.testing.assert_close(mirrored, straight.flip(3), rtol=0, atol=0.01)
    never = Augment(flip=False)
    assert torch.equal(augmented(noise(1), given_numbers[0], never, plain_view(16)), straight)


@pytest.mark.parametrize(
    ("turn", "quarters"),
    [(0.0, 1), (0.5, 0), (1.0, -1)],
    ids=["a quarter to the left", "none", "a quarter to the right"],
)
def test_turns_are_rotations(turn: float, quarters: int) -> None:
    augment = Augment(smallest_area_fraction=1.0, aspect=1.0, flip=False, turn_degrees=90.0)
    turned = augmented(noise(1), numbers_of(turn=turn), augment, plain_view(SIDE))
    whole = noise(1).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(turned, torch.rot90(whole, -quarters, (2, 3)), rtol=0, atol=0.01)


@given(
    st.floats(0.05, 1.0),
    st.floats(1.0, 3.0),
    st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=NUMBERS, max_size=NUMBERS),
)
def test_crops_keep_inside_the_picture_and_their_promises(smallest: float, aspect: float, drawn: list[float]) -> None:
    box = boxes(np.array([drawn], np.float32), Augment(smallest_area_fraction=smallest, aspect=aspect))
    assert min(box["left"][0], box["top"][0]) >= -1e-3
    assert max(box["right"][0], box["bottom"][0]) <= 1 + 1e-3
    width, height = box["right"] - box["left"], box["bottom"] - box["top"]
    assert smallest - 1e-3 <= width * height <= 1 + 1e-3
    assert 1 / aspect - 1e-3 <= width / height <= aspect + 1e-3


def test_areas_places_and_mirrors_are_even() -> None:
    """2,000 crops: area uniform over its range, places over what the size leaves, half mirrored; within 4 sigma."""
    pictures, sigma = 2000, 4 / np.sqrt(2000)
    box = boxes(draw_numbers(9, 0, pictures), Augment())
    width, height = box["right"] - box["left"], box["bottom"] - box["top"]
    area = (width * height - 0.35) / 0.65
    roomy = width * height < 0.7
    places = (box["left"][roomy] / (1 - width[roomy]), box["top"][roomy] / (1 - height[roomy]))
    for uniform in (area, *places):
        assert abs(uniform.mean() - 0.5) < sigma * np.sqrt(pictures / len(uniform) / 12)
        assert uniform.min() < 0.02
        assert uniform.max() > 0.98
    assert abs(box["mirrored"].mean() - 0.5) < sigma / 2
    assert abs((width > height).mean() - 0.5) < sigma / 2


def test_light_scales_brightness_and_leans_red_against_blue() -> None:
    grey = torch.full((500, SIDE, SIDE, 3), 100, dtype=torch.uint8)
    augment = Augment(smallest_area_fraction=1.0, aspect=1.0, light=0.4)
    factors = augmented(grey, draw_numbers(2, 0, 500), augment, plain_view(8))[:, :, 0, 0].double().numpy() / 100
    brightness, warmth = factors[:, 1], (factors[:, 0] - factors[:, 2]) / 2
    for value, most in ((brightness - 1, 0.4), (warmth, 0.2)):
        assert np.abs(value).max() <= most + 1e-6
        assert np.abs(value).max() > 0.98 * most
        assert abs(value.mean()) < 4 * most / np.sqrt(3 * 500)
    np.testing.assert_allclose(factors[:, 0] + factors[:, 2], 2 * brightness, atol=1e-5)


def test_the_same_numbers_give_the_same_batch_and_pictures_do_not_see_each_other() -> None:
    """So a batch may be split over processes."""
    images_BHWC, numbers, augment = noise(12), draw_numbers(0, 5, 12), Augment(turn_degrees=30.0, light=0.2)
    view, before = View(resolution=24, resize=SIDE), images_BHWC.clone()
    whole = augmented(images_BHWC, numbers, augment, view)
    assert torch.equal(whole, augmented(images_BHWC, numbers, augment, view))
    parts = [
        augmented(images_BHWC[first : first + 3], numbers[first : first + 3], augment, view)
        for first in range(0, 12, 3)
    ]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(images_BHWC, before)
    assert (whole.shape, whole.dtype) == ((12, 3, 24, 24), torch.float32)


def test_w15_numbers_are_a_function_of_seed_and_step() -> None:
    numbers = draw_numbers(3, 7, 64)
    assert numbers.shape == (64, NUMBERS)
    assert numbers.dtype == np.float32
    assert 0 <= numbers.min() < numbers.max() < 1
    assert numbers.tobytes() == draw_numbers(3, 7, 64).tobytes()
    others = [draw_numbers(3, 8, 64), draw_numbers(4, 7, 64)]
    assert all(abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.2 for other in others)


@pytest.mark.parametrize(("resolution", "resize"), [(32, 32), (24, 32), (16, 33), (16, 19), (8, 31)])
def test_centred_is_torchvisions_central_crop_normalised(resolution: int, resize: int) -> None:
    view = View(resolution=resolution, resize=resize)
    images_BHWC = noise(3, resize)
    expected = tv.normalize(
        tv.center_crop(images_BHWC.permute(0, 3, 1, 2), [resolution, resolution]).float() / 255,
        list(view.mean),
        list(view.std),
    )
    torch.testing.assert_close(centred(images_BHWC, view), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"smallest_area_fraction": 0.0},
        {"smallest_area_fraction": 1.01},
        {"smallest_area_fraction": float("nan")},
        {"aspect": 0.99},
        {"aspect": float("nan")},
        {"light": 1.0},
        {"light": -0.1},
    ],
)
def test_augmentation_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Augmentation needs"):
        Augment(**settings)
