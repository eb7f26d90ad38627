"""Residual blocks: shortcuts, pools, stochastic depth, pre-activation."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.nets import Attention, Design, build, find_design
from tagwise.nets.blocks import Basic, BlockPlace, Bottleneck, PadShortcut, StochasticDepth, last_norm

TINY: dict[str, Any] = {
    "block": "bottleneck",
    "depths": (2, 2),
    "planes": (4, 8),
    "strides": (1, 2),
    "base_width": 4,
    "stem_widths": (16,),
    "stem_kernel": 3,
    "stem_pool": None,
    "stem_stride": 1,
}
SPLIT = Attention(kind="split", reduction=4, min_channels=4, radix=2)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"cardinality": 2},
    "basic": {"block": "basic", "base_width": 64, "planes": (16, 32)},
    "basic se": {"block": "basic", "base_width": 64, "planes": (16, 32), "attention": Attention(kind="se")},
    "basic sk": {"block": "basic", "base_width": 64, "planes": (16, 32), "attention": Attention(kind="sk")},
    "basic preact": {"block": "basic", "base_width": 64, "planes": (16, 32), "preactivation": True},
    "shortcut a end": {"shortcut": "pad_end"},
    "shortcut a center": {"shortcut": "pad_center"},
    "shortcut c": {"shortcut": "conv_all"},
    "shortcut d": {"shortcut": "avg"},
    "stride in 1x1": {"stride_at": "1x1"},
    "avd first": {"stride_at": "avd_first", "attention": SPLIT},
    "avd last": {"stride_at": "avd_last", "attention": SPLIT, "cardinality": 2},
    "se": {"attention": Attention(kind="se", min_channels=2)},
    "sk": {"attention": Attention(kind="sk", min_channels=2)},
    "preact": {"preactivation": True},
    "preact se": {"preactivation": True, "attention": Attention(kind="se")},
    "sk frozen": {"attention": Attention(kind="sk", min_channels=2), "attention_norm": "frozen"},
}


def tiny(kind: str, **settings: Any) -> Design:
    return Design(**{**TINY, **KINDS[kind], **settings})


def blocks_of(net: Any) -> list[Any]:
    return [block for stage in net.stages() for block in stage.children()]


def shortcut_of(block: Any, x: Tensor) -> Tensor:
    """What a block passes on when its branch is silent."""
    if hasattr(block, "shares_activation"):
        shortcut: Tensor = block.downsample(F.relu(block.bn1(x)) if block.shares_activation else x)
        return shortcut
    return F.relu(block.downsample(x))


def calls(net: nn.Module, images: Tensor) -> list[tuple[Any, Tensor, Tensor]]:
    """Every block with what it got and gave."""
    seen: list[tuple[Any, Tensor, Tensor]] = []
    for block in blocks_of(net):
        block.register_forward_hook(
            lambda block, inputs, output: seen.append((block, inputs[0].clone(), output.clone()))
        )
    net(images)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_m9_zero_init_starts_each_block_as_its_shortcut(kind: str) -> None:
    net = build(tiny(kind, zero_init_last=True), num_classes=3).eval()
    for block, x, output in calls(net, torch.randn(2, 3, 9, 11)):
        torch.testing.assert_close(output, shortcut_of(block, x), rtol=0, atol=0)


def test_m9_without_the_switch_every_norm_starts_at_one() -> None:
    net = build(tiny("plain"), num_classes=3)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in norms)


@pytest.mark.parametrize("kind", ["plain", "basic", "avd last", "sk", "preact"])
def test_m10_certain_drop_in_training_leaves_the_shortcut(kind: str) -> None:
    net = build(tiny(kind), num_classes=3).train()
    for block in blocks_of(net):
        block.drop.probability = 1.0
    for block, x, output in calls(net, torch.randn(2, 3, 9, 11)):
        torch.testing.assert_close(output, shortcut_of(block, x), rtol=0, atol=0)


def test_m10_no_drop_is_bit_equal_and_expectation_is_kept() -> None:
    branch = torch.randn(4, 3, 2, 2)
    assert StochasticDepth(0.0).train()(branch) is branch
    assert StochasticDepth(0.7).eval()(branch) is branch
    torch.manual_seed(0)
    ones = torch.ones(100_000, 1, 1, 1)
    dropped = StochasticDepth(0.25).train()(ones)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1.0, abs=4 * (1 / 3 / 100_000) ** 0.5)


def test_m10_depth_grows_linearly_from_nothing() -> None:
    net = build(tiny("plain", stochastic_depth=0.3), num_classes=3)
    assert [block.drop.probability for block in blocks_of(net)] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_m22_padded_shortcuts_put_zeros_behind_or_on_both_sides() -> None:
    x = torch.randn(2, 4, 5, 7)
    kept = x[:, :, ::2, ::2]
    end, center = PadShortcut(4, 2, center=False)(x), PadShortcut(4, 2, center=True)(x)
    assert torch.equal(end, torch.cat([kept, torch.zeros_like(kept)], 1))
    assert torch.equal(center, torch.cat([torch.zeros(2, 2, 3, 4), kept, torch.zeros(2, 2, 3, 4)], 1))
    assert PadShortcut(4, 1, center=True)(x).shape == (2, 8, 5, 7)


def test_m22_option_a_end_and_center_differ_with_equal_weights() -> None:
    nets = [build(tiny("basic", shortcut=f"pad_{place}"), num_classes=3).eval() for place in ("end", "center")]
    nets[1].load_state_dict(nets[0].state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert (nets[0](images) - nets[1](images)).abs().max() > 1e-3


def test_m8_avd_counts_its_padding_and_the_shortcut_does_not() -> None:
    """On ones, a corner of the padded 3x3 average is 4/9; the odd edge of the shortcut's pool stays 1."""
    net = build(tiny("avd last", shortcut="avg"), num_classes=3)
    first: Any = blocks_of(net)[2]
    pooled = first.avd_last(torch.ones(1, 1, 5, 5))
    assert pooled[0, 0, 0, 0].item() == pytest.approx(4 / 9)
    assert first.downsample[0](torch.ones(1, 1, 5, 5)).eq(1).all()
    assert pooled.shape == first.downsample[0](torch.ones(1, 1, 5, 5)).shape
    assert all(isinstance(block.avd_last, nn.Identity) for block in blocks_of(net) if block is not first)


@pytest.mark.parametrize("kind", KINDS)
def test_m6_gradcheck_of_every_kind_of_block(kind: str) -> None:
    torch.manual_seed(0)
    net = build(tiny(kind, depths=(1, 1)), num_classes=2).double().train()
    block = blocks_of(net)[1]
    channels = net.channels[0]
    names, parameters = zip(*block.named_parameters(), strict=True)

    def output(x: Tensor, *values: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x,))
        return result

    x = torch.randn(2, channels, 4, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(output, (x, *parameters), fast_mode=True)


def naive_preactivation(net: Any, images: Tensor) -> Tensor:
    """He et al. 2016b, equations 1-2 and appendix, one line a step, from the state dict alone."""
    state = net.state_dict()

    def bn(x: Tensor, key: str) -> Tensor:
        mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"])

    x = F.conv2d(images, state["conv1.weight"], padding=1)
    for stage, depth in enumerate(net.design.depths, 1):
        for position in range(depth):
            key, stride = f"layer{stage}.{position}", 2 if stage > 1 and position == 0 else 1
            activated = F.relu(bn(x, f"{key}.bn1"))
            changes = f"{key}.downsample.0.weight" in state
            branch = F.conv2d(activated, state[f"{key}.conv1.weight"])
            branch = F.conv2d(F.relu(bn(branch, f"{key}.bn2")), state[f"{key}.conv2.weight"], stride=stride, padding=1)
            branch = F.conv2d(F.relu(bn(branch, f"{key}.bn3")), state[f"{key}.conv3.weight"])
            if changes:
                x = F.conv2d(activated, state[f"{key}.downsample.0.weight"], stride=stride) + branch
            else:
                x = (activated if (stage, position) == (1, 0) else x) + branch
    pooled = F.relu(bn(x, "norm")).mean((2, 3))
    return F.linear(pooled, state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("stem_width", [8, 16])
def test_preactivation_equals_the_naive_reference(stem_width: int) -> None:
    """With 16 stem channels the first block has an identity shortcut, which still sees the first activation."""
    net = build(tiny("preact", stem_widths=(stem_width,)), num_classes=3).double().eval()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and "conv" not in name:
            tensor.copy_(torch.rand_like(tensor) + (0.5 if "var" in name else -0.5))
    images = torch.randn(2, 3, 8, 10, dtype=torch.double)
    torch.testing.assert_close(net(images), naive_preactivation(net, images), rtol=1e-12, atol=1e-12)


def conv_weights(block: nn.Module) -> int:
    return sum(module.weight.numel() for module in block.modules() if isinstance(module, nn.Conv2d))


def test_a_bottleneck_on_256_channels_has_a_seventeenth_of_two_3x3s() -> None:
    with torch.device("meta"):
        bottleneck = Bottleneck(find_design("resnet50"), BlockPlace(stage=0, in_channels=256))
        basic = Basic(find_design("resnet34"), BlockPlace(stage=2, in_channels=256))
    assert (conv_weights(bottleneck), conv_weights(basic)) == (69_632, 1_179_648)


@pytest.mark.parametrize("kind", ["plain", "basic", "preact", "avd last"])
def test_without_shortcuts_a_block_is_its_branch(kind: str) -> None:
    """The state dict lacks the projections alone, and silent branches pass nothing on."""
    residual, plain = (build(tiny(kind, shortcut=shortcut), num_classes=3).eval() for shortcut in ("conv", "none"))
    projections = {key for key in residual.state_dict() if "downsample" in key}
    assert projections
    assert residual.state_dict().keys() - projections == plain.state_dict().keys()
    for block in blocks_of(plain):
        if kind == "preact":
            nn.init.zeros_([module for module in block.modules() if isinstance(module, nn.Conv2d)][-1].weight)
        else:
            nn.init.zeros_(last_norm(block).weight)
    for _, _, output in calls(plain, torch.randn(2, 3, 9, 11)):
        assert not output.any()


def test_basic_nets_without_shortcuts_equal_their_naive_reference() -> None:
    net = build(tiny("basic", shortcut="none"), num_classes=3).double().eval()
    state = net.state_dict()
    images = torch.randn(2, 3, 8, 10, dtype=torch.double)

    def conv_bn_relu(x: Tensor, conv: str, bn: str, stride: int) -> Tensor:
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        values = (state[f"{bn}.{field}"] for field in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *values))

    x = conv_bn_relu(images, "conv1", "bn1", 1)
    for block in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
        x = conv_bn_relu(x, f"{block}.conv1", f"{block}.bn1", 2 if block == "layer2.0" else 1)
        x = conv_bn_relu(x, f"{block}.conv2", f"{block}.bn2", 1)
    expected = F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])
    torch.testing.assert_close(net(images), expected, rtol=1e-12, atol=1e-12)


def test_designs_are_values() -> None:
    """Equal settings are one design, and a changed copy another; nothing can be changed in place."""
    design = tiny("plain")
    assert design == tiny("plain")
    assert dataclasses.replace(design, cardinality=2) == tiny("grouped")
    with pytest.raises(dataclasses.FrozenInstanceError):
        design.cardinality = 2  # type: ignore[misc]
