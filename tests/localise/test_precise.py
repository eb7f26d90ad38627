"""Statistics of norms taken anew from pictures."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.localise.precise import recompute_norms
from tagwise.localise.semantic import build_segmenter
from tagwise.nets import create_model, freeze
from tagwise.training.heads import Segmenter


def batches(sizes: tuple[int, ...] = (16, 8, 16, 4), side: int = 12) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(size, 3, side, side) * 3 + torch.randn(size, 3, 1, 1) + 2 for size in sizes]


def two_norms() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)
    )


def within(found: Tensor | None, expected: Tensor, share: float) -> bool:
    assert found is not None
    scale = expected.abs().max()
    return bool(((found - expected).abs() <= share * expected.abs().clamp(min=0.05 * scale)).all())


def test_l16_statistics_are_the_data_sets_however_it_is_cut_into_batches() -> None:
    net, data = two_norms(), batches()
    recompute_norms(net, data)
    seen = net[0](torch.cat(data)).transpose(0, 1).flatten(1)
    first = net[1]
    assert isinstance(first, nn.BatchNorm2d)
    torch.testing.assert_close(first.running_mean, seen.mean(1))
    torch.testing.assert_close(first.running_var, seen.var(1))


def test_l16_deeper_norms_reproduce_the_data_sets_statistics_within_1_percent() -> None:
    """As in training they see maps that each batch normalised, so that large batches are needed for equality."""
    net, data = two_norms(), batches((256, 256, 256), side=24)
    recompute_norms(net, data)
    with torch.no_grad():
        seen = net.eval()[:5](torch.cat(data)).transpose(0, 1).flatten(1)
    deep = net[5]
    assert isinstance(deep, nn.BatchNorm2d)
    assert within(deep.running_mean, seen.mean(1), 0.01)
    assert within(deep.running_var, seen.var(1), 0.01)


def test_after_training_they_say_what_the_weights_are_now_and_not_what_they_were() -> None:
    net, data = two_norms(), batches()
    net.train()
    for batch in data:
        net(batch)
    conv, norm = net[0], net[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        conv.weight *= 3
    recompute_norms(net, data)
    with torch.no_grad():
        normed = norm.eval()(conv(torch.cat(data)))
    torch.testing.assert_close(normed.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.var((0, 2, 3)), torch.ones(6), atol=1e-3, rtol=0)


def test_weights_modes_and_frozen_norms_stay() -> None:
    net = create_model("resnet18", num_classes=3, planes=(8, 8, 16, 16)).train()
    freeze(net, "stem+1")
    net.layer4.eval()  # type: ignore[union-attr]
    modes = [module.training for module in net.modules()]
    before = copy.deepcopy(net.state_dict())
    recompute_norms(net, [torch.randn(4, 3, 64, 64) for _ in range(2)])
    assert [module.training for module in net.modules()] == modes
    changed = {key for key, value in net.state_dict().items() if not value.equal(before[key])}
    assert {key.rpartition(".")[2] for key in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    assert {key.partition(".")[0] for key in changed} == {"layer2", "layer3", "layer4"}
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_a_segmenters_scores_in_use_become_those_of_training() -> None:
    """One batch: its own statistics are the norms', up to what is unbiased about a variance."""
    torch.manual_seed(0)
    segmenter = Segmenter(kind="deeplabv3", channels=8, rates=(2,), pyramid_dropout=0, dropout=0)
    design = create_model("resnet18", planes=(8, 8, 16, 16), depths=(1, 1, 1, 1)).design
    net = build_segmenter(design, segmenter, 3)
    images = torch.randn(32, 3, 64, 64)
    recompute_norms(net, [{"pictures": images}], lambda batch: net(batch["pictures"]))
    with torch.no_grad():
        in_training, in_use = net.train()(images)["out"], net.eval()(images)["out"]
    assert float((in_training - in_use).abs().max()) < 0.15 * float(in_training.std())


def test_a_norm_that_sees_nothing_keeps_its_statistics() -> None:
    net = nn.ModuleDict({"used": nn.BatchNorm2d(3), "unused": nn.BatchNorm2d(3)})
    recompute_norms(net, batches(), lambda batch: net["used"](batch))
    assert net["unused"].running_mean.equal(torch.zeros(3))  # type: ignore[operator]
    assert net["used"].running_mean.mean() > 1.5  # type: ignore[operator]


def test_no_batch_and_single_values_are_refused() -> None:
    net = two_norms().train()
    with pytest.raises(UsageError, match="there was no batch"):
        recompute_norms(net, [])
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    with pytest.raises(UsageError, match="batches of at least 2 pictures"):
        recompute_norms(pooled, batches((1,)))
    assert net.training
