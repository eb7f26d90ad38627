"""Weight decay falls on the weights of convolutions and linear layers, and on nothing else, in every design."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tagwise.nets import build, find_design, freeze_norms, list_models
from tagwise.nets.design import Design
from tagwise.training.learner import Learner
from tagwise.training.losses import truth_of
from tagwise.training.optim import Lamb, build_optimiser, parameter_groups
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import LabelTask
from tests.training.tiny import CPU, LABELS, tiny_net, tiny_pictures, tiny_plan

FORMS = {
    replace(design, depths=tuple(min(depth, 2) for depth in design.depths))
    for design in map(find_design, list_models())
}
"""Every design of the table, two blocks a stage: more of them repeat the second."""


def net_of(design: Design) -> nn.Module:
    with torch.device("meta"):
        return build(design, num_classes=7)


def names_of(net: nn.Module, group: dict[str, Any]) -> set[str]:
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def test_m18_no_norm_and_no_bias_decays_in_any_design() -> None:
    """A norm's weight and every bias are vectors; that is the oracle, where the code asks the module's type."""
    assert len(FORMS) > 60
    for design in FORMS:
        net = net_of(design)
        decayed, free = parameter_groups(net, tiny_plan(weight_decay=0.01))
        assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
        assert sum(parameter.ndim < 2 for parameter in decayed["params"]) == 0, "leaks"
        assert names_of(net, decayed) == {name for name, parameter in net.named_parameters() if parameter.ndim >= 2}
        assert len(decayed["params"]) + len(free["params"]) == len(list(net.parameters())), "each once"
        assert {name for name in names_of(net, free) if not name.endswith(".bias")}, "norms have weights"


def test_m18_a_filter_by_names_lets_six_norms_of_a_resnest50_decay() -> None:
    """The authors' filter spares what has ``bn`` or ``bias`` in its name."""
    net = net_of(find_design("resnest50"))
    spared_by_role = names_of(net, parameter_groups(net, tiny_plan())[1])
    by_names = {name for name, _ in net.named_parameters() if "bn" in name or "bias" in name}
    assert sorted(spared_by_role - by_names) == [
        "conv1.1.weight",
        "conv1.4.weight",
        *(f"layer{stage}.0.downsample.2.weight" for stage in (1, 2, 3, 4)),
    ]


def test_all_that_is_trained_decays_where_the_plan_says_so() -> None:
    """As in fb.resnet.torch, whose optimiser sees one flat vector."""
    net = net_of(find_design("resnet18"))
    (everything,) = parameter_groups(net, tiny_plan(decay_on="all", weight_decay=0.01))
    assert everything["weight_decay"] == 0.01
    assert len(everything["params"]) == len(list(net.parameters()))


def test_frozen_parameters_are_in_no_group() -> None:
    net = net_of(find_design("resnet18"))
    net.requires_grad_(requires_grad=False)
    net.get_submodule("fc").requires_grad_()
    decayed, free = parameter_groups(net, tiny_plan())
    assert [tuple(p.shape) for p in decayed["params"]] == [(7, 512)]
    assert [tuple(p.shape) for p in free["params"]] == [(7,)]


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, True), (0.9, True), (0.9, False)])
def test_a_step_of_sgd(momentum: float, nesterov: bool) -> None:
    """Two steps by hand: v = m v + g + d w; w = w - rate (g + d w + m v) or w - rate v; the bias without decay."""
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 3.0)
    optimiser = build_optimiser(layer, tiny_plan(weight_decay=0.5, momentum=momentum, nesterov=nesterov))
    expected, speeds = [2.0, 3.0], [0.0, 0.0]
    for gradients in ([1.0, -1.0], [0.5, 2.0]):
        layer.weight.grad, layer.bias.grad = torch.tensor([[gradients[0]]]), torch.tensor([gradients[1]])
        for group in optimiser.param_groups:
            group["lr"] = 0.1
        optimiser.step()
        for place, decay in enumerate((0.5, 0.0)):
            pull = gradients[place] + decay * expected[place]
            speeds[place] = momentum * speeds[place] + pull
            expected[place] -= 0.1 * (pull + momentum * speeds[place] if nesterov else speeds[place])
    assert [float(layer.weight.detach()), float(layer.bias.detach())] == pytest.approx(expected, rel=1e-6)


def test_a_head_learns_at_a_rate_of_its_own() -> None:
    """With the same gradients everywhere a step moves the classifier ten times as far as the backbone."""
    plan = tiny_plan(head_rate=10.0, momentum=0.0, nesterov=False, weight_decay=0.0, norms="frozen")
    net = tiny_net(plan)
    groups = parameter_groups(net, plan)
    assert {group["rate_factor"] for group in groups} == {1.0, 10.0}
    heads = [parameter for group in groups if group["rate_factor"] == 10 for parameter in group["params"]]
    assert {id(parameter) for parameter in heads} == {id(net.fc.weight), id(net.fc.bias)}
    learner = Learner(LabelTask(plan, net.train(), tiny_pictures(), CPU, Ranks()), plan, Ranks())
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    nn.init.normal_(net.fc.weight, generator=torch.Generator().manual_seed(0))
    before["fc.weight"] = net.fc.weight.detach().clone()
    batch = tiny_pictures().batch(np.arange(8))
    images_BCHW = batch.images_BHWC.permute(0, 3, 1, 2).float() / 255
    learner.step(learner.task.sliced(images_BCHW, truth_of("softmax", batch.ids, batch.offsets)), 0.01)  # type: ignore[attr-defined]
    for name, value in net.named_parameters():
        assert value.grad is not None
        factor = 10 if name.startswith("fc.") else 1
        torch.testing.assert_close(value, before[name] - 0.01 * factor * value.grad, msg=name)


def test_sgd_is_fused() -> None:
    """One pass over memory: three times as fast as the loop on a CPU."""
    assert build_optimiser(nn.Linear(1, 1), tiny_plan()).defaults["fused"] is True


def layers() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        last = nn.Linear(4, 2)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), last)
    nn.init.zeros_(last.weight)  # a tensor of no length has no ratio
    return net


def step(net: nn.Module, optimiser: torch.optim.Optimizer, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    for group in optimiser.param_groups:
        group["lr"] = 0.01 * (number + 1)
    optimiser.step()


def test_lamb_is_timms() -> None:
    from timm.optim.lamb import Lamb as TimmsLamb  # timm is slow to import

    ours, theirs = layers(), layers()
    plan = tiny_plan(optimiser="lamb", weight_decay=0.02)
    mine = build_optimiser(ours, plan)
    peer = TimmsLamb(parameter_groups(theirs, plan), lr=0.0, eps=1e-6, max_grad_norm=None)
    for number in range(6):
        step(ours, mine, number)
        step(theirs, peer, number)
        for got, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def test_lamb_learns_from_our_sum_over_labels_as_timms_defaults_do_from_its_mean() -> None:
    """Epsilon and the length to clip to are no ratios: pictures of many sizes make some steps too long, some tiny."""
    from timm.optim.lamb import Lamb as TimmsLamb

    plan = tiny_plan(optimiser="lamb", loss="sigmoid", clip_norm=1.0, norms="frozen", weight_decay=0.02)
    net = tiny_net(plan)
    nn.init.constant_(net.fc.weight, 0.3)
    peer = copy.deepcopy(net).train()
    freeze_norms(peer)
    task = LabelTask(plan, net.train(), tiny_pictures(), CPU, Ranks())
    learner = Learner(task, plan, Ranks())
    optimiser = TimmsLamb(parameter_groups(peer, plan), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    lengths = []
    for size in (1.0, 300.0, 1e-4, 30.0, 1e-4):
        images_BCHW = size * torch.randn(8, 3, 16, 16, generator=generator)
        classes = torch.randint(LABELS, (8,), generator=generator)
        learner.step(task.sliced(images_BCHW, truth_of("sigmoid", classes, torch.arange(9))), 0.01)
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(peer(images_BCHW), F.one_hot(classes, LABELS).float())
        loss.backward()  # type: ignore[no-untyped-call]
        lengths.append(float(nn.utils.get_total_norm([p.grad for p in peer.parameters() if p.grad is not None])))
        optimiser.step()  # type: ignore[no-untyped-call]
        for got, wanted in zip(net.parameters(), peer.parameters(), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
    assert min(lengths) < 1 < max(lengths)


def test_lamb_goes_on_from_its_state() -> None:
    """Bit by bit, as a run that was killed needs it."""
    through, stopped = layers(), layers()
    plan = tiny_plan(optimiser="lamb", weight_decay=0.02)
    one, other = build_optimiser(through, plan), build_optimiser(stopped, plan)
    for number in range(4):
        step(through, one, number)
    for number in range(2):
        step(stopped, other, number)
    fresh = build_optimiser(stopped, plan)
    fresh.load_state_dict(copy.deepcopy(other.state_dict()))
    for number in range(2, 4):
        step(stopped, fresh, number)
    assert all(torch.equal(*pair) for pair in zip(through.parameters(), stopped.parameters(), strict=True))


def test_lambs_step_is_as_long_as_the_tensor_is() -> None:
    """What decays moves by the rate, as a share of its own length, whatever the gradient's size (You et al. 2020)."""
    for size in (1e-3, 1e3):
        weight = nn.Parameter(torch.randn(50, generator=torch.Generator().manual_seed(1)))
        before = weight.detach().clone()
        optimiser = Lamb([{"params": [weight], "weight_decay": 0.01, "lr": 0.1}])
        weight.grad = size * torch.randn(50, generator=torch.Generator().manual_seed(2))
        optimiser.step()
        assert float((weight.detach() - before).norm() / before.norm()) == pytest.approx(0.1, rel=1e-5)
