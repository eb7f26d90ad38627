"""The three ResNeXt forms: one function, one gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets import Design, build, create_model, find_design
from tagwise.nets.blocks import BlockPlace, Bottleneck
from tagwise.nets.forms import PathBottleneck, in_form, to_grouped, to_paths

DESIGN = Design(block="bottleneck", depths=(1, 1), planes=(4, 8), strides=(1, 2), cardinality=4, base_width=3)


def randomise_buffers(module: nn.Module) -> None:
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + ("var" in name))


def by_name(module: nn.Module, output: Tensor, direction: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad((output * direction).sum(), parameters), strict=True))


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("form", ["A", "B"])
def test_m5_the_three_forms_agree_in_value_gradient_and_statistics(form: Any, stride: int, training: bool) -> None:
    torch.manual_seed(0)
    block = Bottleneck(DESIGN, BlockPlace(stage=0, in_channels=16, stride=stride, shrinks=stride > 1)).double()
    randomise_buffers(block.train(training))
    paths = PathBottleneck(block, form).train(training)
    x = torch.randn(3, 16, 6, 5, dtype=torch.double)
    grouped, parted = block(x), paths(x)
    torch.testing.assert_close(parted, grouped, rtol=0, atol=1e-12)
    direction = torch.randn_like(grouped)
    gradients = by_name(block, grouped, direction)
    assert_equal(to_grouped(by_name(paths, parted, direction)), gradients)
    assert_equal(by_name(paths, paths(x), direction), to_paths(gradients, 4, form))
    block(x)
    assert_equal(to_grouped(paths.state_dict()), block.state_dict())


def test_form_a_is_a_sum_over_paths_as_in_figure_3a() -> None:
    torch.manual_seed(0)
    block = Bottleneck(DESIGN, BlockPlace(stage=0, in_channels=16)).double().eval()
    paths = PathBottleneck(block, "A").eval()
    x = torch.randn(2, 16, 4, 4, dtype=torch.double)
    total = torch.zeros(())
    for path in paths.paths:
        assert isinstance(path, nn.Sequential)
        convs = [module for module in path if isinstance(module, nn.Conv2d)]
        assert [(conv.groups, conv.kernel_size) for conv in convs] == [(1, (1, 1)), (1, (3, 3)), (1, (1, 1))]
        y = F.relu(F.conv2d(x, convs[0].weight) / (1 + 1e-5) ** 0.5)
        y = F.relu(F.conv2d(y, convs[1].weight, padding=1) / (1 + 1e-5) ** 0.5)
        total = total + F.conv2d(y, convs[2].weight)
    torch.testing.assert_close(paths(x), F.relu(block.bn3(total) + x), rtol=1e-12, atol=1e-12)


def test_whole_nets_go_from_form_to_form_and_back() -> None:
    torch.manual_seed(0)
    net = build(find_design("resnext20_8x4d_small"), num_classes=3).double()
    randomise_buffers(net.eval())
    images = torch.randn(2, 3, 16, 16, dtype=torch.double)
    changed = in_form(in_form(in_form(net, "B"), "A"), "A")
    torch.testing.assert_close(changed(images), net(images), rtol=1e-12, atol=1e-12)
    assert_equal(dict(in_form(changed, "C").state_dict()), dict(net.state_dict()))


@pytest.mark.parametrize("name", ["resnet18", "resnest14", "skresnet18"])
def test_nets_without_grouped_bottlenecks_have_no_other_form(name: str) -> None:
    with pytest.raises(UsageError, match="have forms A and B"):
        in_form(create_model(name, num_classes=2, planes=(32, 32, 32, 32)), "A")
