"""DropBlock: how much it drops, where, and when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tagwise.base.errors import UsageError
from tagwise.nets import ResidualNet, create_model
from tagwise.nets import dropblock as room
from tagwise.nets.dropblock import DropBlock, draw_kept, set_drop_block

PROBABILITY = 0.1


def expected_kept_fraction(height: int, width: int, gamma: float) -> float:
    """A unit is kept if none of the centres in its 3x3 neighbourhood, cut at the border, is drawn."""
    neighbours = F.avg_pool2d(torch.ones(1, 1, height, width).double(), 3, 1, 1) * 9
    return ((1 - gamma) ** neighbours).mean().item()


def test_m11_a_million_units_are_kept_as_the_gluon_formula_says() -> None:
    torch.manual_seed(0)
    kept = draw_kept(torch.empty(8, 100, 100, 100), PROBABILITY)
    assert kept.shape == (1, 100, 100, 100)
    gamma = PROBABILITY * 100 * 100 / (9 * 98 * 98)
    assert kept.mean().item() == pytest.approx(expected_kept_fraction(100, 100, gamma), rel=0.002)
    assert kept.mean().item() == pytest.approx(1 - PROBABILITY, rel=0.01)


def test_m11_what_is_dropped_are_squares_of_nine_and_the_mean_is_kept() -> None:
    torch.manual_seed(1)
    layer = DropBlock(0.02).train()
    output = layer(torch.ones(2, 8, 40, 40))
    assert output.mean().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(output[0], output[1])
    dropped = (output[:1] == 0).double()
    # Opening by a 3x3 square, the field's word for erosion and then dilation, changes nothing.
    inside = F.pad(dropped, (1, 1, 1, 1), value=1.0)
    eroded = -F.max_pool2d(-inside, 3, 1)
    assert torch.equal(F.max_pool2d(eroded, 3, 1, 1), dropped)
    assert 0 < dropped.mean().item() < 0.05


def test_m11_nothing_happens_in_evaluation_or_at_zero() -> None:
    maps = torch.randn(2, 3, 5, 5)
    assert DropBlock(0.5).eval()(maps) is maps
    assert DropBlock(0.0).train()(maps) is maps


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 7), (2, 5), (3, 3), (13, 4)])
def test_m11_any_size_of_maps_works(size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    maps = torch.ones(2, 2000, *size, requires_grad=True)
    output = DropBlock(PROBABILITY).train()(maps)
    output.sum().backward()
    assert output.shape == maps.shape
    assert output.mean().item() == pytest.approx(1, abs=1e-5)
    rows, columns = (min(3, side) for side in size)
    gamma = PROBABILITY * size[0] * size[1] / (rows * columns * (size[0] - rows + 1) * (size[1] - columns + 1))
    assert 0 < (output == 0).float().mean().item() < 1 - (1 - gamma) ** 9 + 0.01


def test_m11_small_maps_lose_more_than_nominal_as_the_docstring_says() -> None:
    torch.manual_seed(0)
    lost = 1 - draw_kept(torch.empty(1, 20_000, 7, 7), PROBABILITY).mean().item()
    gamma = PROBABILITY * 49 / (9 * 25)
    assert lost == pytest.approx(1 - expected_kept_fraction(7, 7, gamma), abs=0.003)
    assert lost == pytest.approx(0.14, abs=0.02)


def test_m11_all_units_dropped_give_zeros_and_no_nan() -> None:
    torch.manual_seed(0)
    outputs = torch.stack([DropBlock(0.9).train()(torch.ones(1, 1, 2, 2)) for _ in range(50)])
    assert outputs.isfinite().all()
    assert (outputs == 0).all((1, 2, 3, 4)).any()


def places(net: ResidualNet) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, DropBlock)]


def test_m11_it_stands_three_times_in_the_bottlenecks_of_the_last_two_stages() -> None:
    with torch.device("meta"):
        net = create_model("resnest14", drop_block=0.1)
        basic = create_model("resnet18", drop_block=0.1)
        assert net.state_dict().keys() == create_model("resnest14").state_dict().keys()
    assert places(net) == [f"layer{stage}.0.dropblock{number}" for stage in (3, 4) for number in (1, 2, 3)]
    assert len(places(basic)) == 2 * 2 * 2
    with pytest.raises(UsageError, match="0 in pre-activation nets"):
        create_model("resnext29_1x8d_cifar_preact", drop_block=0.1)


def test_m11_the_probability_is_set_while_training() -> None:
    net = create_model("resnest14", planes=(8, 16, 32, 64), base_width=8, num_classes=2, drop_block=0.1).train()
    images = torch.randn(2, 3, 64, 64)
    set_drop_block(net, 0.0)
    torch.testing.assert_close(net(images), net(images), rtol=0, atol=0)
    set_drop_block(net, 0.3)
    assert (net(images) - net(images)).abs().max() > 1e-3


def test_m11_only_the_branch_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything dropped a block is the ReLU of its shortcut."""
    monkeypatch.setattr(room, "draw_kept", lambda maps, probability: torch.zeros_like(maps[:1]))
    net = create_model("resnet18", planes=(4, 4, 8, 16), num_classes=2, drop_block=0.1).train()
    block: Any = net.stages()[-1].get_submodule("0")
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), F.relu(block.downsample(x)), rtol=0, atol=0)


def test_m6_gradcheck_with_a_frozen_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mask = (torch.rand(1, 3, 4, 5) < 0.7).float()
    monkeypatch.setattr(room, "draw_kept", lambda maps, probability: mask)
    layer = DropBlock(0.3).train()

    def output(x: Tensor) -> Tensor:
        result: Tensor = layer(x)
        return result

    x = torch.randn(2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x,))
    torch.testing.assert_close(output(x), x * mask * (mask.numel() / mask.sum()))
