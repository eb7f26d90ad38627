"""Stem and stages: output strides by each rule, and checkpointed activations."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets import Attention, Design, ResidualNet, build, create_model, find_design
from tagwise.nets.attention import SplitAttention
from tagwise.nets.designs import DESIGNS
from tagwise.nets.dropblock import set_drop_block

GOLDEN = json.loads((Path(__file__).parents[1] / "goldens/golden-resnest.json").read_text("utf-8"))
LOGITS = GOLDEN["logits_by_design_and_output_stride"]
TINY: dict[str, Any] = {
    "block": "bottleneck",
    "depths": (1, 2, 2),
    "planes": (4, 8, 16),
    "strides": (1, 2, 2),
    "base_width": 4,
    "stem_widths": (8,),
    "stem_kernel": 3,
    "stem_pool": None,
    "stem_stride": 1,
}
BASIC = {"block": "basic", "base_width": 64}
CONVOLUTIONAL: dict[str, dict[str, Any]] = {
    "plain": {},
    "grouped": {"cardinality": 2},
    "basic": BASIC,
    "preact": {"preactivation": True},
    "basic preact": {**BASIC, "preactivation": True},
    "stride in 1x1": {"stride_at": "1x1"},
    "preact, stride in 1x1": {"preactivation": True, "stride_at": "1x1"},
    "shortcut a": {"shortcut": "pad_end"},
    "shortcut c": {"shortcut": "conv_all"},
    "3x3 shortcut": {"shortcut": "conv3x3"},
    "no shortcut": {**BASIC, "shortcut": "none"},
}


def fill(net: nn.Module) -> None:
    """The same numbers for everybody who has the same tensors in the same order."""
    for number, (name, tensor) in enumerate(net.state_dict().items()):
        if tensor.is_floating_point():
            values = scattered(tensor.shape, 104_729 * number)
            if tensor.dim() > 1:
                tensor.copy_(values * (6 * len(tensor) / tensor.numel()) ** 0.5)
            elif name.endswith(("running_var", "weight")):
                tensor.copy_(1 + 0.5 * values)
            else:
                tensor.copy_(0.3 * values)


def scattered(shape: tuple[int, ...], start: int = 0) -> Tensor:
    """Values from -1 to 1 in no order, exact on every machine."""
    numbers = (torch.arange(torch.Size(shape).numel()) * 7919 + start) % 1009
    return (numbers.double() / 504.5 - 1).reshape(shape)


def resnest_logits(name: str, output_stride: int, rule: str = "authors") -> Tensor:
    settings: dict[str, Any] = {"output_stride": output_stride, "dilation_rule": rule, "depths": (2, 1, 1, 1)}
    net = create_model(name, num_classes=4, **settings).double().eval()
    fill(net)
    with torch.inference_mode():
        return net(scattered((1, 3, 47, 65)))[0]


@pytest.mark.parametrize(("name", "output_stride"), [(name, stride) for name in LOGITS for stride in LOGITS[name]])
def test_m4_m7_resnest_equals_its_authors_code_at_every_output_stride(name: str, output_stride: str) -> None:
    expected = torch.tensor(LOGITS[name][output_stride], dtype=torch.double)
    torch.testing.assert_close(resnest_logits(name, int(output_stride)), expected, rtol=1e-8, atol=1e-5)


def test_m4_the_authors_numbers_see_a_missing_transposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SplitAttention,
        "_weights",
        lambda self, scores: scores.view(len(scores), self.radix, -1).softmax(1)[..., None, None],
    )
    expected = torch.tensor(LOGITS["resnest50_fast_2s2x40d"]["32"], dtype=torch.double)
    assert (resnest_logits("resnest50_fast_2s2x40d", 32) - expected).abs().max() > 0.01 * expected.abs().max()


def test_m7_the_rules_differ_for_resnest_and_for_nothing_without_pools() -> None:
    authors, timm = (resnest_logits("resnest50", 16, rule) for rule in ("authors", "timm"))
    detectron2 = resnest_logits("resnest50", 16, "detectron2")
    for one, other in ((authors, timm), (authors, detectron2), (timm, detectron2)):
        assert (one - other).abs().max() > 0.01 * authors.abs().max()
    plain = [build(Design(**TINY, output_stride=2, dilation_rule=rule), num_classes=3) for rule in ("authors", "timm")]
    plain[1].load_state_dict(plain[0].state_dict())
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain[0](images), plain[1](images))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22)])
@pytest.mark.parametrize("output_stride", [1, 2])
@pytest.mark.parametrize("kind", CONVOLUTIONAL)
def test_m7_what_dilates_gives_the_striding_nets_maps_between_new_pixels(
    kind: str, output_stride: int, height: int, width: int
) -> None:
    torch.manual_seed(0)
    design: dict[str, Any] = {**TINY, **CONVOLUTIONAL[kind]}
    striding = build(Design(**design), num_classes=3).double().eval()
    dilating = build(Design(**design, output_stride=output_stride), num_classes=3).double().eval()
    fill(striding)
    dilating.load_state_dict(striding.state_dict())
    images = torch.randn(1, 3, height, width, dtype=torch.double)
    for sparse, dense, stride in zip(
        striding.features(images), dilating.features(images), striding.strides, strict=True
    ):
        step = stride // min(stride, output_stride)
        torch.testing.assert_close(dense[:, :, ::step, ::step], sparse, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", list(DESIGNS)[::5])
def test_m7_every_design_has_maps_of_the_asked_strides(name: str) -> None:
    """On the meta device, with the parameters of the striding net."""
    stages = len(find_design(name).depths)
    with torch.device("meta"):
        usual = create_model(name, depths=(1,) * stages).state_dict()
        for output_stride in set(create_model(name, depths=(1,) * stages).strides[-3:]):
            net = create_model(name, depths=(1,) * stages, output_stride=output_stride).eval()
            assert list(net.state_dict()) == list(usual)
            maps = net.features(torch.empty(1, 3, 64, 96))
            ceil = net.design.stem_pool == "ceil"
            assert net.strides == tuple(min(stride, output_stride) for stride in find_design(name).reductions[1:])
            for level, stride, channels in zip(maps, net.strides, net.channels, strict=True):
                assert ceil or level.shape[1:] == (channels, 64 // stride, 96 // stride)


def test_m7_impossible_output_strides_are_refused() -> None:
    with pytest.raises(UsageError, match="output_stride is one of 4, 8, 16, 32, not 64"):
        create_model("resnet50", output_stride=64)
    with pytest.raises(UsageError, match="dilates the last stage alone, so output_stride is at least 16"):
        create_model("resnest50", output_stride=8, dilation_rule="detectron2")


CHECKPOINTED: dict[str, dict[str, Any]] = {
    "plain": {"stochastic_depth": 0.5, "drop_block": 0.2, "dropout": 0.3},
    "basic": {**BASIC, "stochastic_depth": 0.5, "drop_block": 0.2},
    "preact": {"preactivation": True, "stochastic_depth": 0.5},
    "split": {
        "attention": Attention(kind="split", reduction=4, min_channels=4, radix=2),
        "stride_at": "avd_last",
        "drop_block": 0.2,
    },
    "sk": {"attention": Attention(kind="sk", min_channels=2), "stochastic_depth": 0.5},
}


@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_checkpointed_activations_change_no_bit_and_no_statistic(kind: str) -> None:
    """Random drops are repeated, and norms see each batch once."""
    torch.manual_seed(0)
    design: dict[str, Any] = {**TINY, **CHECKPOINTED[kind]}
    net = build(Design(**design), num_classes=3).double().train()
    set_drop_block(net, 0.2)
    saving = copy.deepcopy(net)
    saving.set_grad_checkpointing()
    images = torch.randn(4, 3, 12, 12, dtype=torch.double)
    for _ in range(2):
        usual, saved = (a_step(one, images) for one in (net, saving))
        assert all(torch.equal(one, other) for one, other in zip(usual, saved, strict=True))
    state = saving.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert all(int(tensor) == 2 for name, tensor in state.items() if name.endswith("num_batches_tracked"))


def a_step(net: ResidualNet, images: Tensor) -> list[Tensor]:
    """Logits and gradients, with the same drops for every net."""
    torch.manual_seed(1)
    logits = net(images)
    return [logits, *torch.autograd.grad(logits.square().sum(), list(net.parameters()))]


def test_checkpointed_activations_are_computed_again() -> None:
    net = build(Design(**TINY), num_classes=3).train()
    block: Any = net.stages()[0].get_submodule("0")
    count: list[int] = []
    block.conv1.register_forward_hook(lambda *_: count.append(1))
    for enable, computations in ((False, 1), (True, 2)):
        count.clear()
        net.set_grad_checkpointing(enable)
        net(torch.randn(2, 3, 8, 8)).sum().backward()
        assert len(count) == computations
    count.clear()
    net.eval()(torch.randn(2, 3, 8, 8))
    assert len(count) == 1
