"""Channel attention against formulas written index by index."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets.attention import SelectiveKernel, SplitAttention, SqueezeExcitation

M = TypeVar("M", bound=nn.Module)
RADIX = (1, 2, 4)
CARDINALITY = (1, 2, 4)


def randomised(module: M, seed: int = 0) -> M:
    """The module in double and evaluation mode, no number left at a symmetric default."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.double().eval()


def norm(x: Tensor, bn: nn.BatchNorm2d) -> Tensor:
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return (x - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]


def grouped_1x1(x: Tensor, conv: nn.Conv2d, groups: int) -> Tensor:
    """[B, K, I] to [B, K, O] by K separate matrices."""
    assert conv.bias is not None
    weight = conv.weight.reshape(groups, -1, x.shape[2])
    return torch.einsum("bki,koi->bko", x, weight) + conv.bias.reshape(groups, -1)


def split_attention_by_index(module: SplitAttention, x: Tensor, *, transpose: bool = True) -> Tensor:
    """Split attention group by group, the splits found by their channel number r*C + k*C/K + j."""
    groups, radix, channels = module.cardinality, module.radix, x.shape[1]
    width = channels // groups
    splits = torch.relu(norm(F.conv2d(x, module.conv.weight, padding=1, groups=groups * radix), module.bn0))
    r, k, j = torch.meshgrid(torch.arange(radix), torch.arange(groups), torch.arange(width), indexing="ij")
    by_split = splits[:, r * channels + k * width + j]  # [B, R, K, J, H, W]
    pooled = torch.einsum("brkjhw->bkj", by_split) / (x.shape[2] * x.shape[3])
    hidden = grouped_1x1(pooled, module.fc1, groups)
    hidden = torch.relu(norm(hidden.reshape(len(x), -1, 1, 1), module.bn1)).reshape(len(x), groups, -1)
    scores = grouped_1x1(hidden, module.fc2, groups)
    by_group = scores.reshape(len(x), groups, radix, width)
    if not transpose:
        by_group = scores.reshape(len(x), radix, groups, width).transpose(1, 2)
    weights = by_group.softmax(2) if radix > 1 else by_group.sigmoid()
    return torch.einsum("bkrj,brkjhw->bkjhw", weights, by_split).flatten(1, 2)


@pytest.mark.parametrize("cardinality", CARDINALITY)
@pytest.mark.parametrize("radix", RADIX)
def test_m4_split_attention_equals_its_indices(radix: int, cardinality: int) -> None:
    module = randomised(SplitAttention(16, hidden=8, radix=radix, cardinality=cardinality))
    x = torch.randn(2, 16, 5, 7, dtype=torch.double)
    torch.testing.assert_close(module(x), split_attention_by_index(module, x), rtol=1e-12, atol=1e-12)


def test_m4_without_the_transposition_one_group_cannot_tell_and_two_can() -> None:
    """The authors' own test has constant fc weights and sees neither."""
    x = torch.randn(2, 16, 5, 7, dtype=torch.double)
    errors = []
    for cardinality in (1, 2):
        module = randomised(SplitAttention(16, hidden=8, radix=2, cardinality=cardinality))
        errors.append((module(x) - split_attention_by_index(module, x, transpose=False)).abs().max().item())
    assert errors[0] < 1e-12
    assert errors[1] > 1e-3


def test_split_attention_weights_of_the_splits_sum_to_one() -> None:
    module = SplitAttention(8, hidden=8, radix=4, cardinality=2)
    weights = module._weights(torch.randn(3, 32, 1, 1))
    torch.testing.assert_close(weights.sum(1), torch.ones(3, 8, 1, 1))


@pytest.mark.parametrize("cardinality", CARDINALITY)
@pytest.mark.parametrize("radix", RADIX)
def test_m6_gradcheck_of_split_attention(radix: int, cardinality: int) -> None:
    check_gradient(SplitAttention(16, hidden=4, radix=radix, cardinality=cardinality), channels=16)


@pytest.mark.parametrize("split_input", [False, True])
def test_m6_gradcheck_of_selective_kernels(split_input: bool) -> None:
    module = SelectiveKernel(4, 4, hidden=3, stride=1, groups=2, split_input=split_input)
    check_gradient(module, channels=4)


def test_m6_gradcheck_of_squeeze_and_excitation() -> None:
    check_gradient(SqueezeExcitation(4, 2), channels=4)


def check_gradient(module: nn.Module, channels: int) -> None:
    """Numerical gradients of the input and of every parameter, in training mode."""
    randomised(module).train()
    names, parameters = zip(*module.named_parameters(), strict=True)

    def output(x: Tensor, *values: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))
        return result

    torch.manual_seed(1)
    x = torch.randn(2, channels, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x, *parameters), fast_mode=True)


def test_squeeze_and_excitation_is_a_gate_for_each_channel() -> None:
    module = randomised(SqueezeExcitation(6, 3))
    x = torch.randn(2, 6, 4, 5, dtype=torch.double)
    means = x.mean((2, 3))
    assert module.fc1.bias is not None
    assert module.fc2.bias is not None
    hidden = torch.relu(means @ module.fc1.weight.flatten(1).T + module.fc1.bias)
    gates = torch.sigmoid(hidden @ module.fc2.weight.flatten(1).T + module.fc2.bias)
    torch.testing.assert_close(module(x), torch.einsum("bchw,bc->bchw", x, gates), rtol=1e-12, atol=1e-12)


def test_selective_kernels_second_path_sees_five_pixels() -> None:
    """An impulse reaches two pixels through the dilated kernel, one through the other."""
    module = SelectiveKernel(2, 2, hidden=2, stride=1, groups=1, split_input=True).eval()
    impulse = torch.zeros(1, 2, 9, 9)
    impulse[..., 4, 4] = 1
    reaches = []
    for path, seen in zip(module.paths, impulse.chunk(2, 1), strict=True):
        assert isinstance(path, nn.Sequential)
        nn.init.ones_(path.get_submodule("conv").weight)  # type: ignore[arg-type]
        reaches.append((path(seen)[0, 0, 4] > 0).nonzero().flatten().tolist())
    assert reaches == [[3, 4, 5], [2, 4, 6]]
