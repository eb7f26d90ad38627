from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from tagwise.base.errors import Diverged
from tagwise.localise.pooling import RegionPooling

STRIDES = (4, 8, 16, 32)


def _ramps(strides: tuple[int, ...], side: int) -> OrderedDict[str, Tensor]:
    """Maps whose value at the centre of a pixel is 0.3 x - 0.7 y + 5 of its column and row."""
    maps = OrderedDict()
    for level, stride in enumerate(strides):
        y, x = torch.meshgrid(*(torch.arange(side // stride, dtype=torch.float32) for _ in range(2)), indexing="ij")
        maps[str(level)] = (0.3 * x - 0.7 * y + 5)[None, None]
    return maps


@pytest.mark.parametrize("aligned", [False, True])
def test_l6_on_a_ramp_pooled_values_are_the_ramp_at_the_bins_centres(aligned: bool) -> None:
    """Bilinear samples of a ramp are exact, so their mean is its value in the bin's middle."""
    boxes_N4 = torch.tensor([[70.0, 60.0, 141.0, 163.0], [50.0, 40.5, 301.0, 402.0], [100.0, 33.0, 117.0, 60.0]])
    pooling = RegionPooling(7, STRIDES, aligned=aligned)
    pooled_NHW = pooling(_ramps(STRIDES, 512), [boxes_N4])[:, 0]
    for box, level, pooled_HW in zip(boxes_N4, pooling.levels(boxes_N4), pooled_NHW, strict=True):
        x1, y1, x2, y2 = box / STRIDES[level] - (0.5 if aligned else 0)
        middles = (torch.arange(7) + 0.5) / 7
        expected_HW = 0.3 * (x1 + (x2 - x1) * middles)[None] - 0.7 * (y1 + (y2 - y1) * middles)[:, None] + 5
        assert torch.allclose(pooled_HW, expected_HW, atol=1e-5)


def test_unaligned_it_is_torchvisions_pooling() -> None:
    torch.manual_seed(0)
    maps = OrderedDict(
        (str(level), torch.rand(2, 3, 256 // stride, 320 // stride)) for level, stride in enumerate(STRIDES)
    )
    maps["pool"] = torch.rand(2, 3, 4, 5)
    boxes = [torch.rand(count, 4) * 120 for count in (40, 0)]
    for some in boxes:
        some[:, 2:] = some[:, :2] + some[:, 2:] * torch.rand(len(some), 2) * 2
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)(maps, boxes, [(256, 320), (250, 300)])
    assert torch.equal(RegionPooling(7, STRIDES, aligned=False)(maps, boxes), theirs)


def test_regions_go_to_the_level_of_their_size() -> None:
    """Lin et al. 2017, equation 1: 224 pixels belong to stride 16, half of that to half of it."""
    sides = torch.tensor([1.0, 55.9, 56.0, 111.9, 112.0, 223.9, 224.0, 447.9, 448.0, 2000.0])
    boxes_N4 = torch.stack([torch.zeros(10), torch.zeros(10), 2 * sides, sides / 2], 1)
    levels = RegionPooling(7, STRIDES, aligned=True).levels(boxes_N4)
    assert levels.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    flat_N4 = torch.tensor([[5.0, 5.0, 5.0, 9.0]])
    assert RegionPooling(7, STRIDES, aligned=True).levels(flat_N4).tolist() == [0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_never_reaches_the_operator(value: float) -> None:
    boxes_N4 = torch.tensor([[0.0, 0.0, 8.0, 8.0], [1.0, 2.0, value, 8.0]])
    with pytest.raises(Diverged, match="no longer finite"):
        RegionPooling(7, STRIDES, aligned=False)(_ramps(STRIDES, 64), [boxes_N4])


def test_half_precision_maps_do_not_move_boxes() -> None:
    boxes_N4 = torch.tensor([[300.3, 201.7, 333.1, 240.9]])
    pooling = RegionPooling(7, STRIDES, aligned=True)
    maps = _ramps(STRIDES, 512)
    halved = OrderedDict((name, map_BCHW.bfloat16()) for name, map_BCHW in maps.items())
    whole, half = pooling(maps, [boxes_N4]), pooling(halved, [boxes_N4])
    assert half.dtype == torch.float32
    assert (whole - half).abs().max() < 0.2
