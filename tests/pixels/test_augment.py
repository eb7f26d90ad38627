"""Augmentation: what a crop shows is read off a ramp, whose values are the coordinates."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.pixels.augment import (
    NUMBERS,
    Augment,
    augmented,
    centred,
    draw_numbers,
    normalised,
    picture_seed,
    vary_picture,
)

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


def recorded(images_BHWC: Tensor, numbers: NDArray[np.float32], augment: Augment, view: View) -> Tensor:
    """The formula under which the results in ``docs/results`` were recorded."""
    u = torch.from_numpy(numbers)
    area = augment.smallest_area_fraction + (1 - augment.smallest_area_fraction) * u[:, 0]
    stretch = torch.exp((u[:, 1] - 0.5) * math.log(augment.aspect)).clamp(area.sqrt(), 1 / area.sqrt())
    width, height = area.sqrt() * stretch, area.sqrt() / stretch
    x, y = (2 * u[:, 2] - 1) * (1 - width), (2 * u[:, 3] - 1) * (1 - height)
    width = torch.where(u[:, 4] < 0.5, -width, width) if augment.flip else width
    angle = (2 * u[:, 5] - 1) * math.radians(augment.turn_degrees)
    rows = [angle.cos() * width, -angle.sin() * height, x, angle.sin() * width, angle.cos() * height, y]
    size = [len(u), 3, view.resolution, view.resolution]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), size, align_corners=False)
    images = images_BHWC.permute(0, 3, 1, 2).float()
    cropped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    brightness, warmth = 1 + augment.light * (2 * u[:, 6] - 1), augment.light / 2 * (2 * u[:, 7] - 1)
    lights = torch.stack([brightness + warmth, brightness, brightness - warmth], 1)[:, :, None, None]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (view.mean, view.std))
    return (cropped * lights - mean) / std


@pytest.mark.parametrize(
    "settings",
    [{}, {"smallest_area_fraction": 0.6, "aspect": 1.15, "turn_degrees": 180.0, "light": 0.2}, {"flip": False}],
)
def test_recorded_results_can_be_had_again_bit_for_bit(settings: dict[str, Any]) -> None:
    images_BHWC, numbers, view = noise(40), draw_numbers(5, 2, 40), View(resolution=24, resize=SIDE)
    expected = recorded(images_BHWC, numbers, Augment(**settings), view)
    assert torch.equal(augmented(images_BHWC, numbers, Augment(**settings), view), expected)
    assert draw_numbers(0, 0, 1)[0, :3].tolist() == [0.14421355724334717, 0.2909047603607178, 0.4925486445426941]


def test_pad_is_a_crop_of_the_normalised_picture_between_zeros() -> None:
    """As fb.resnet.torch does it: each of the 9 x 9 places equally often, half of them mirrored, no pixel blended."""
    view, augment = View(resolution=SIDE, resize=SIDE), Augment(smallest_area_fraction=1, aspect=1, pad=4)
    pictures = 3000
    shown = augmented(noise(1).expand(pictures, -1, -1, -1), draw_numbers(1, 0, pictures), augment, view)
    padded = F.pad(centred(noise(1), view)[0], [4] * 4)
    both = torch.stack([padded, padded.flip(2)])
    crops = both.unfold(2, SIDE, 1).unfold(3, SIDE, 1).permute(0, 2, 3, 1, 4, 5).reshape(162, -1)
    places = torch.cdist(shown.flatten(1), crops).argmin(1)
    assert torch.equal(shown.flatten(1), crops[places])
    counts = np.bincount(places.numpy(), minlength=162)
    assert abs(counts[:81].sum() / pictures - 0.5) < 4 * 0.5 / math.sqrt(pictures)
    assert ((counts - pictures / 162) ** 2).sum() / (pictures / 162) < 161 + 4 * math.sqrt(2 * 161), "chi squared"


def test_pad_cuts_from_larger_squares_too() -> None:
    view, augment = View(resolution=20, resize=SIDE), Augment(smallest_area_fraction=1, aspect=1, pad=2, flip=False)
    for place, first in ((0.0, 0), (0.5, 8), (0.999, 16)):
        shown = augmented(noise(1), numbers_of(x=place, y=place), augment, view)
        padded = F.pad(centred(noise(1), View(resolution=SIDE, resize=SIDE)), [2] * 4)
        assert torch.equal(shown, padded[:, :, first : first + 20, first : first + 20])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalised_pictures_are_the_same_however_they_lie_in_memory(layout: torch.memory_format) -> None:
    view = View(resolution=SIDE, resize=SIDE)
    levels_BCHW = noise(3).permute(0, 3, 1, 2).float().contiguous(memory_format=layout)
    found = normalised(levels_BCHW, view)
    assert found.stride() == levels_BCHW.stride()
    for channel, (mean, std) in enumerate(
        zip(255 * torch.tensor(view.mean), 255 * torch.tensor(view.std), strict=True)
    ):
        assert torch.equal(found[:, channel], (levels_BCHW[:, channel] - mean) / std)


BILINEAR = v2.InterpolationMode.BILINEAR
BY_PICTURE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "randaugment": (
        {"policy": "randaugment", "policy_magnitude": 12},
        [v2.RandAugment(2, 12, interpolation=BILINEAR)],
    ),
    "autoaugment": ({"policy": "autoaugment"}, [v2.AutoAugment(interpolation=BILINEAR)]),
    "trivialaugment": ({"policy": "trivialaugment"}, [v2.TrivialAugmentWide(interpolation=BILINEAR)]),
    "jitter": ({"jitter": 0.4}, [v2.ColorJitter(0.4, 0.4, 0.4)]),
    "erase": ({"erase": 0.5}, [v2.RandomErasing(0.5, value=[124, 116, 104])]),
    "together": (
        {"policy": "autoaugment", "jitter": 0.4, "erase": 1.0},
        [
            v2.AutoAugment(interpolation=BILINEAR),
            v2.ColorJitter(0.4, 0.4, 0.4),
            v2.RandomErasing(1.0, value=[124, 116, 104]),
        ],
    ),
}
VIEW = View(resolution=SIDE, resize=SIDE)


@pytest.mark.parametrize("name", BY_PICTURE)
def test_pictures_are_varied_by_torchvision_with_the_same_seed(name: str) -> None:
    settings, transforms = BY_PICTURE[name]
    changed = 0
    for seed in range(12):
        torch.manual_seed(seed)
        expected = v2.Compose(transforms)(noise(1)[0].permute(2, 0, 1)).permute(1, 2, 0)
        varied = vary_picture(noise(1)[0], Augment(**settings), VIEW, seed)
        assert varied.dtype == torch.uint8
        assert torch.equal(varied, expected)
        changed += not torch.equal(varied, noise(1)[0])
    assert changed > 2


def test_the_magnitude_of_each_operation_varies_by_itself() -> None:
    """Recognisable by the angle alone: of torchvision's operations with every magnitude, the drawn one."""
    augment = Augment(policy="randaugment", policy_ops=2, policy_magnitude=21, policy_std=8.0)
    clipped = 0
    for seed in range(20):
        torch.manual_seed(seed)
        expected = noise(1)[0].permute(2, 0, 1)
        for _ in range(2):
            drawn = round(21 + 8 * float(torch.randn(())))
            clipped += drawn > 30
            expected = v2.RandAugment(1, min(max(drawn, 0), 30), interpolation=BILINEAR)(expected)
        assert torch.equal(vary_picture(noise(1)[0], augment, VIEW, seed), expected.permute(1, 2, 0))
    assert clipped > 0


def test_half_of_the_operations_are_done_as_timm_does_them() -> None:
    """``rand-m7-mstd0.5`` leaves each of its two operations out in half of the cases."""
    augment = Augment(policy="randaugment", policy_ops=2, policy_probability=0.5, policy_magnitude=21)
    done = np.zeros(3)
    for seed in range(200):
        torch.manual_seed(seed)
        expected, count = noise(1)[0].permute(2, 0, 1), 0
        for _ in range(2):
            if float(torch.rand(())) < 0.5:
                expected, count = v2.RandAugment(1, 21, interpolation=BILINEAR)(expected), count + 1
        assert torch.equal(vary_picture(noise(1)[0], augment, VIEW, seed), expected.permute(1, 2, 0))
        done[count] += 1
    assert np.abs(done / 200 - [0.25, 0.5, 0.25]).max() < 4 * 0.5 / math.sqrt(200)


def test_lighting_is_noise_along_imagenets_principal_components() -> None:
    """Krizhevsky et al. 2012, with fb.resnet.torch's figures: the covariance of 2,000 shifts of a grey picture."""
    grey = torch.full((4, 4, 3), 128, dtype=torch.uint8)
    varied = torch.stack([vary_picture(grey, Augment(lighting=0.3), VIEW, seed) for seed in range(2000)])
    assert (varied == varied[:, :1, :1]).all(), "the whole picture alike"
    shifts = varied[:, 0, 0].double() - 128
    vectors = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    values = (0.3 * 255 * torch.tensor([0.2175, 0.0188, 0.0045])).square().diag()
    expected = (vectors @ values @ vectors.T).double()
    torch.testing.assert_close(torch.cov(shifts.T), expected, rtol=0.13, atol=0.3)
    assert shifts.mean(0).abs().max() < 4 * 10 / math.sqrt(2000)


def test_lighting_stays_within_the_grey_levels() -> None:
    for value in (0, 255):
        flat = torch.full((1, 1, 3), value, dtype=torch.uint8)
        shifts = [vary_picture(flat, Augment(lighting=1.0), VIEW, seed).int() - value for seed in range(20)]
        assert all(abs(int(shift.abs().max())) < 200 for shift in shifts), "nothing wraps around"


def test_the_batch_is_varied_picture_by_picture_after_its_crop() -> None:
    augment, numbers = Augment(policy="trivialaugment", jitter=0.2, lighting=0.1, erase=0.3), draw_numbers(0, 5, 12)
    view = plain_view(24)
    seeds = [picture_seed(7, position) for position in range(60, 72)]
    cropped = augmented(noise(12), numbers, Augment(), view).round().byte().permute(0, 2, 3, 1)
    expected = torch.stack([vary_picture(*pair) for pair in ((cropped[b], augment, view, seeds[b]) for b in range(12))])
    whole = augmented(noise(12), numbers, augment, view, seeds)
    torch.testing.assert_close(whole, expected.permute(0, 3, 1, 2).float(), rtol=0, atol=1e-4)
    parts = [
        augmented(noise(12)[share], numbers[share], augment, view, seeds[share])
        for share in (slice(0, 1), slice(1, 8), slice(8, 12))
    ]
    assert torch.equal(whole, torch.cat(parts)), "any slicing"


def test_w15_a_picture_is_varied_by_run_seed_and_position_alone() -> None:
    assert len({picture_seed(seed, position) for seed in range(3) for position in range(100)}) == 300
    augment = Augment(policy="trivialaugment", lighting=0.1)
    torch.manual_seed(1)
    first = vary_picture(noise(1)[0], augment, VIEW, picture_seed(0, 3))
    after = torch.rand(2)
    torch.manual_seed(2)
    assert torch.equal(vary_picture(noise(1)[0], augment, VIEW, picture_seed(0, 3)), first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), after), "torch's own numbers are left alone"


def test_torchvision_is_imported_only_when_it_is_used() -> None:
    code = "import sys, tagwise.pixels.augment; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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
        {"pad": -1},
        {"pad": 4},
        {"pad": 4, "smallest_area_fraction": 1.0},
        {"policy_magnitude": 12},
        {"policy": "trivialaugment", "policy_std": 0.5},
        {"policy": "randaugment", "policy_magnitude": 31},
        {"policy": "randaugment", "policy_ops": 0},
        {"policy": "randaugment", "policy_probability": 0.0},
        {"policy_probability": 0.5},
        {"policy": "randaugment", "policy_std": float("nan")},
        {"jitter": 1.1},
        {"lighting": -0.1},
        {"erase": float("nan")},
    ],
)
def test_augmentation_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Augmentation needs"):
        Augment(**settings)
