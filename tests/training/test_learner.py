"""The learner: what one step does to the weights, whole or in slices, and that all it remembers can be taken up."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tagwise.training.learner import Learner
from tagwise.training.losses import LossSettings, Truth, tag_loss, truth_of
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import LabelTask
from tests.training.tiny import CPU, tiny_net, tiny_pictures, tiny_plan

RATE = 0.5
PLAIN: dict[str, Any] = {"momentum": 0.0, "weight_decay": 0.0, "norms": "frozen"}
"""A step is the gradient times the rate, and no picture's gradient depends on the others."""
BATCH = 8


def learner(**changes: Any) -> Learner:
    """One whose net has gradients everywhere from the first step on."""
    plan = tiny_plan(batch=BATCH, **changes)
    net = tiny_net(plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        nn.init.normal_(net.fc.weight)
    return Learner(LabelTask(plan, net.train(), tiny_pictures(), CPU, Ranks()), plan, Ranks())


def batch(pictures: int = BATCH) -> tuple[Tensor, Truth]:
    """The first so many pictures."""
    found = tiny_pictures().batch(np.arange(pictures))
    return found.images_BHWC.permute(0, 3, 1, 2).float() / 255, truth_of("softmax", found.ids, found.offsets)


def step(one: Learner, images_BCHW: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """A step on pictures as they are."""
    assert isinstance(one.task, LabelTask)
    return one.step(one.task.sliced(images_BCHW, truth), RATE)


def weights(one: Learner) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in one.net.named_parameters()}


def length(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((after[name] - before[name]).double().square().sum()) for name in before))


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("pictures", [BATCH, 6, 3, 0])
def test_a_step_is_the_sum_over_the_pictures_by_the_batch_whatever_slices_and_missing_ones(
    pictures: int, accumulate: int
) -> None:
    """Of 8 pictures in slices of 2, some or all could not be read."""
    one = learner(accumulate=accumulate, **PLAIN)
    by_hand, (images_BCHW, truth) = deepcopy(one.net), batch(pictures)
    mean = torch.zeros(())
    if pictures:
        mean = tag_loss(LossSettings(), by_hand(images_BCHW), truth).mean
        (mean * pictures / BATCH).backward()  # type: ignore[no-untyped-call]
    loss, floor = step(one, images_BCHW, truth)
    assert float(loss) == pytest.approx(mean.item(), rel=1e-5)
    assert bool(floor.isfinite())
    for name, parameter in by_hand.named_parameters():
        expected = parameter.detach() - RATE * (0 if parameter.grad is None else parameter.grad)
        torch.testing.assert_close(weights(one)[name], expected, msg=name)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_gradient_is_scaled_down_to_clip_norm_and_a_shorter_one_is_left_alone(precision: str) -> None:
    moved = {}
    for clip_norm in (None, 1e6, 1e-3):
        one = learner(precision=precision, clip_norm=clip_norm, **PLAIN)
        before = weights(one)
        step(one, *batch())
        moved[clip_norm] = length(before, weights(one))
    assert moved[1e-3] == pytest.approx(RATE * 1e-3, rel=1e-3)
    assert moved[1e6] == moved[None] > 10 * RATE * 1e-3


def test_the_running_mean_of_the_weights_by_hand() -> None:
    one = learner(ema=0.75)
    expected = {name: tensor.clone() for name, tensor in one.net.state_dict().items()}
    for _ in range(3):
        step(one, *batch())
        for name, tensor in one.net.state_dict().items():
            expected[name] = 0.75 * expected[name] + 0.25 * tensor if tensor.is_floating_point() else tensor.clone()
    torch.testing.assert_close(one.result(), expected)
    assert not torch.equal(one.result()["fc.weight"], one.net.state_dict()["fc.weight"]), "the weights have gone ahead"


@pytest.mark.parametrize("optimiser", ["sgd", "lamb"])
def test_p12_all_that_a_learner_remembers_can_be_taken_up(optimiser: str) -> None:
    """Momenta, running mean, and the scale of float16's gradients, which a sick one has halved."""
    plan: dict[str, Any] = {"optimiser": optimiser, "ema": 0.9, "precision": "float16", "norms": "frozen"}
    one, other = learner(**plan), learner(**plan)
    images_BCHW, truth = batch()
    for scale in (1.0, math.inf, 1.0):
        step(one, images_BCHW * scale, truth)
    other.restore(deepcopy(one.state()))
    assert one.state()["scaler"]["scale"] < 2**16
    for _ in range(2):
        torch.testing.assert_close(other.state(), one.state(), rtol=0, atol=0)
        for each in (one, other):
            step(each, images_BCHW, truth)


def test_float16_without_a_finite_gradient_takes_no_step_and_does_not_pass_for_healthy() -> None:
    one = learner(precision="float16", norms="frozen")
    before, (images_BCHW, truth) = weights(one), batch()
    healthy = []
    for _ in range(18):
        step(one, images_BCHW * math.inf, truth)
        healthy.append(one.finite)
    assert length(before, weights(one)) == 0
    assert healthy == [True] * 16 + [False] * 2


@pytest.mark.parametrize("recompute", [False, True])
def test_recompute_runs_blocks_twice(recompute: bool) -> None:
    one, runs = learner(recompute=recompute), []
    one.net.get_submodule("layer1.0.conv1").register_forward_hook(lambda *_: runs.append(1))
    step(one, *batch())
    assert len(runs) == 1 + recompute


@pytest.mark.parametrize("compiled", [False, True])
def test_compiled_sends_net_and_loss_through_torch_compile(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: sent.append(module))
    one = learner(compiled=compiled)
    assert len(sent) == compiled
    assert all(module is not one.net and one.net in list(module.children()) for module in sent)
