"""M23: each library's rule of evaluation, against the library itself, on pictures of odd sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from tagwise.base.views import IMAGENET_MEAN, IMAGENET_STD, View, resnest_view, timm_view, torchvision_view
from tagwise.pixels.augment import centred
from tagwise.pixels.decode import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SIZES = [(375, 500), (500, 333), (231, 231), (97, 131), (640, 427), (225, 301), (1021, 257)]


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """A picture with the spectrum of photographs (amplitude 1/f), and burnt-out lights and blacks."""
    rng = np.random.default_rng(height * 1009 + width)
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(y, x), 1 / max(height, width))
    noise = np.fft.fft2(rng.standard_normal((3, height, width)))
    grey = np.fft.ifft2(noise * amplitude).real
    grey /= grey.std(axis=(1, 2), keepdims=True)
    return np.clip(128 + 80 * grey, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def ours(picture_HWC: NDArray[np.uint8], view: View) -> Tensor:
    return centred(torch.from_numpy(fit(picture_HWC, view))[None], view)[0]


def levels_apart(one_CHW: Tensor, other_CHW: Tensor) -> Tensor:
    """Differences in levels of 0..255."""
    assert one_CHW.shape == other_CHW.shape
    return (one_CHW - other_CHW).abs() * torch.tensor(IMAGENET_STD)[:, None, None] * 255


def assert_the_same(one_CHW: Tensor, other_CHW: Tensor) -> None:
    """Equal levels: what is left is the rounding of the normalisation."""
    assert levels_apart(one_CHW, other_CHW).max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", [256, 232])
def test_m23_torchvisions_resize_and_crop(size: tuple[int, int], resize: int) -> None:
    picture_HWC = photo(*size)
    theirs = ImageClassification(crop_size=224, resize_size=resize)(Image.fromarray(picture_HWC))
    assert_the_same(ours(picture_HWC, torchvision_view(224, resize)), theirs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("resolution", "crop_pct", "interpolation"),
    [(224, 0.875, "bilinear"), (224, 0.95, "bicubic"), (320, 0.909, "bicubic"), (256, 0.95, "bicubic")],
)
def test_m23_timms_crop_pct(size: tuple[int, int], resolution: int, crop_pct: float, interpolation: Any) -> None:
    picture_HWC = photo(*size)
    transform = create_transform(resolution, crop_pct=crop_pct, interpolation=interpolation)
    theirs = transform(Image.fromarray(picture_HWC))
    assert_the_same(ours(picture_HWC, timm_view(resolution, crop_pct, interpolation)), theirs)


@pytest.mark.parametrize("size", [*SIZES, (224, 224), (257, 413)])
@pytest.mark.parametrize("resolution", [224, 320])
def test_m23_the_resnest_authors_crop(size: tuple[int, int], resolution: int) -> None:
    """Their script, said again: a square of resolution / (resolution + 32) of the shorter side, cut, then resized."""
    picture_HWC = photo(*size)
    height, width = size
    side = min(size) * resolution / (resolution + 32)
    top, left = round((height - side) / 2), round((width - side) / 2)
    cut = Image.fromarray(picture_HWC[top : round(top + side), left : round(left + side)])
    resized = TF.resize(cut, [resolution, resolution], InterpolationMode.BICUBIC)
    theirs = TF.normalize(TF.to_tensor(resized), list(IMAGENET_MEAN), list(IMAGENET_STD))
    assert_the_same(ours(picture_HWC, resnest_view(resolution)), theirs)


@pytest.mark.parametrize("width", range(90, 106))
@pytest.mark.parametrize("margin", range(5))
def test_m23_the_crop_is_rounded_once_as_in_torchvision(width: int, margin: int) -> None:
    """Square and crop are two steps here, whose roundings must not add up."""
    picture_HWC = photo(80, width)
    theirs = TF.center_crop(Image.fromarray(picture_HWC), [80 - margin, 80 - margin])
    view = View(resolution=80 - margin, resize=80)
    assert_the_same(ours(picture_HWC, view), TF.normalize(TF.to_tensor(theirs), list(view.mean), list(view.std)))


def test_m23_the_three_rules_show_different_pixels() -> None:
    picture_HWC = photo(375, 500)
    views = [torchvision_view(224, 256), timm_view(224, 0.95, "bicubic"), resnest_view(224)]
    shown = [ours(picture_HWC, view) for view in views]
    assert all(levels_apart(shown[i], shown[j]).max() > 10 for i, j in [(0, 1), (1, 2), (0, 2)])


def test_m23_pictures_of_the_right_size_stay_as_they_are() -> None:
    """CIFAR nets see the file's own pixels."""
    picture_HWC = photo(32, 32)
    np.testing.assert_array_equal(fit(picture_HWC, View(resolution=32, resize=32)), picture_HWC)


def test_a_cut_leaves_at_least_a_pixel() -> None:
    view = View(resolution=8, resize=8, crop_fraction=0.1)
    assert fit(photo(3, 40), view).shape == (8, 8, 3)
