"""Channel attention against formulas written index by index."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import nullcontext
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets import Design
from tagwise.nets.attention import SelectiveKernel, SplitAttention, SqueezeExcitation
from tagwise.nets.blocks import BlockPlace, Bottleneck

M = TypeVar("M", bound=nn.Module)
RADIX = (0, 1, 2, 4)
CARDINALITY = (1, 2, 4, 8)
CHANNELS = 32


def randomised(module: M, seed: int = 0) -> M:
    """The module in double and evaluation mode, no number left at a symmetric default."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.double().eval()


def spatial(radix: int, cardinality: int) -> nn.Module:
    """What stands in the place of a bottleneck's 3x3; without splits a grouped convolution, norm and ReLU."""
    if radix:
        return SplitAttention(CHANNELS, hidden=16, radix=radix, cardinality=cardinality)
    design = Design(
        block="bottleneck",
        depths=(1,),
        planes=(16,),
        strides=(1,),
        cardinality=cardinality,
        base_width=32 // cardinality,
    )
    block = Bottleneck(design, BlockPlace(stage=0, in_channels=16))
    return nn.Sequential(OrderedDict(conv=block.conv2, bn0=block.bn2, act=block.act2))


def norm(x: Tensor, bn: nn.Module) -> Tensor:
    """Of [B, C, ...], by the batch in training and by running statistics in evaluation."""
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mean, var = bn.running_mean, bn.running_var
    if bn.training:
        mean = x.transpose(0, 1).flatten(1).mean(1)
        var = x.transpose(0, 1).flatten(1).var(1, unbiased=False)
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = bn.weight / (var + bn.eps).sqrt()
    return (x - mean.reshape(shape)) * scale.reshape(shape) + bn.bias.reshape(shape)


def grouped_3x3(x: Tensor, conv: nn.Module, groups: int) -> Tensor:
    """[B, C, H, W] to [B, G, O, H, W] by one einsum over the windows of each group."""
    assert isinstance(conv, nn.Conv2d)
    batch, _, height, width = x.shape
    windows = F.unfold(x, 3, padding=1).reshape(batch, groups, -1, 9, height, width)
    weight = conv.weight.reshape(groups, -1, windows.shape[2], 9)
    return torch.einsum("bgcnhw,gocn->bgohw", windows, weight)


def grouped_1x1(x: Tensor, conv: nn.Module, groups: int) -> Tensor:
    """[B, K, I] to [B, K, O] by K separate matrices."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    weight = conv.weight.reshape(groups, -1, x.shape[2])
    return torch.einsum("bki,koi->bko", x, weight) + conv.bias.reshape(groups, -1)


def split_attention_by_index(module: nn.Module, x: Tensor, radix: int, groups: int) -> Tensor:
    """Split attention group by group, the splits found by their channel number r*C + k*C/K + j."""
    parts: Any = module
    channels, width = x.shape[1], x.shape[1] // groups
    maps = grouped_3x3(x, parts.conv, groups * max(radix, 1)).flatten(1, 2)
    splits = torch.relu(norm(maps, parts.bn0))
    if radix == 0:
        return splits
    r, k, j = torch.meshgrid(torch.arange(radix), torch.arange(groups), torch.arange(width), indexing="ij")
    by_split = splits[:, r * channels + k * width + j]  # [B, R, K, J, H, W]
    pooled = torch.einsum("brkjhw->bkj", by_split) / (x.shape[2] * x.shape[3])
    hidden = grouped_1x1(pooled, parts.fc1, groups).flatten(1)
    hidden = torch.relu(norm(hidden, parts.bn1)).reshape(len(x), groups, -1)
    scores = grouped_1x1(hidden, parts.fc2, groups).reshape(len(x), groups, radix, width)
    weights = scores.softmax(2) if radix > 1 else scores.sigmoid()
    return torch.einsum("bkrj,brkjhw->bkjhw", weights, by_split).flatten(1, 2)


def assert_equals_its_indices(radix: int, cardinality: int, *, training: bool) -> None:
    """Output and all gradients, with random weights throughout."""
    module = randomised(spatial(radix, cardinality)).train(training)
    torch.manual_seed(1)
    x = torch.randn(3, CHANNELS, 4, 5, dtype=torch.double, requires_grad=True)
    direction = torch.randn(3, CHANNELS, 4, 5, dtype=torch.double)
    inputs = [x, *module.parameters()]
    expected = split_attention_by_index(module, x, radix, cardinality)
    output = module(x)
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
    ours, theirs = (torch.autograd.grad((value * direction).sum(), inputs) for value in (output, expected))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cardinality", CARDINALITY)
@pytest.mark.parametrize("radix", RADIX)
def test_m4_split_attention_equals_its_indices_forward_and_backward(
    radix: int, cardinality: int, training: bool
) -> None:
    assert_equals_its_indices(radix, cardinality, training=training)


@pytest.mark.parametrize("cardinality", CARDINALITY)
@pytest.mark.parametrize("radix", [2, 4])
def test_m4_a_wrong_channel_order_fails_the_same_test(
    radix: int, cardinality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the transposition one group cannot tell, all others can; constant fc weights would hide it."""

    def without_transposition(self: SplitAttention, scores: Tensor) -> Tensor:
        return scores.view(len(scores), self.radix, -1).softmax(1)[..., None, None]

    monkeypatch.setattr(SplitAttention, "_weights", without_transposition)
    wrong = pytest.raises(AssertionError) if cardinality > 1 else nullcontext()
    with wrong:
        assert_equals_its_indices(radix, cardinality, training=False)


def silence(bn: nn.BatchNorm2d) -> None:
    """Makes a norm the identity in evaluation."""
    for tensor, value in ((bn.weight, 1.0), (bn.bias, 0.0), (bn.running_mean, 0.0), (bn.running_var, 1 - bn.eps)):
        assert tensor is not None
        nn.init.constant_(tensor, value)


@pytest.mark.parametrize("cardinality", [1, 4])
def test_radix_one_is_squeeze_and_excitation_of_the_3x3(cardinality: int) -> None:
    """Without the norm inside; the groups are blocks of the gate's matrices."""
    module = randomised(SplitAttention(CHANNELS, hidden=16, radix=1, cardinality=cardinality))
    silence(module.bn1)
    gate = SqueezeExcitation(CHANNELS, 16).double()
    for dense, grouped in ((gate.fc1, module.fc1), (gate.fc2, module.fc2)):
        blocks = torch.block_diag(*grouped.weight.flatten(1).chunk(cardinality))  # type: ignore[no-untyped-call]
        assert grouped.bias is not None
        dense.load_state_dict({"weight": blocks[..., None, None], "bias": grouped.bias})
    x = torch.randn(2, CHANNELS, 5, 7, dtype=torch.double)
    expected = gate(F.relu(module.bn0(module.conv(x))))
    torch.testing.assert_close(module(x), expected, rtol=1e-12, atol=1e-12)


def test_radix_two_is_selective_kernels_with_equal_kernels() -> None:
    """Each kernel sees its half of the input; selective kernels have no biases in their attention."""
    module = randomised(SplitAttention(CHANNELS, hidden=16, radix=2, cardinality=1))
    kernels = randomised(SelectiveKernel(CHANNELS, CHANNELS, hidden=16, stride=1, groups=1, split_input=True))
    second: Any = kernels.paths[1]
    second.conv.dilation = second.conv.padding = (1, 1)
    for number, path in enumerate(kernels.paths):
        half: Any = path
        half.conv.weight.data = module.conv.weight.data.chunk(2)[number]
        for name, value in half.bn.state_dict().items():
            if value.dim():
                value.copy_(module.bn0.state_dict()[name].chunk(2)[number])
    kernels.attn.fc_reduce.weight.data = module.fc1.weight.data
    kernels.attn.bn.load_state_dict(module.bn1.state_dict())
    kernels.attn.fc_select.weight.data = module.fc2.weight.data
    assert module.fc1.bias is not None
    assert module.fc2.bias is not None
    nn.init.zeros_(module.fc1.bias)
    nn.init.zeros_(module.fc2.bias)
    x = torch.randn(2, CHANNELS, 5, 7, dtype=torch.double)
    torch.testing.assert_close(module(x), kernels(x), rtol=1e-12, atol=1e-12)


def test_split_attention_of_no_picture_is_no_map() -> None:
    """What is left of a slice of a batch whose pictures could not be read."""
    assert SplitAttention(8, hidden=4, radix=2, cardinality=2)(torch.empty(0, 8, 4, 4)).shape == (0, 8, 4, 4)


def test_split_attention_weights_of_the_splits_sum_to_one() -> None:
    module = SplitAttention(8, hidden=8, radix=4, cardinality=2)
    weights = module._weights(torch.randn(3, 32, 1, 1))
    torch.testing.assert_close(weights.sum(1), torch.ones(3, 8, 1, 1))


@pytest.mark.parametrize("cardinality", CARDINALITY)
@pytest.mark.parametrize("radix", RADIX)
def test_m6_gradcheck_of_split_attention(radix: int, cardinality: int) -> None:
    check_gradient(spatial(radix, cardinality), channels=CHANNELS)


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
