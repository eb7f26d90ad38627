"""The tag loss: the papers' numbers, no dense target, and a first loss that is the law's entropy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tagwise.tags.epoch import EpochIndex
from tagwise.tags.law_report import sampled_laws
from tagwise.training.losses import LOSSES, Loss, prior_bias, tag_loss
from tests.references import losses as reference
from tests.references.sampling import golden_arrays, goldens, zipf_corpus

GOLDEN_NAMES = {
    "softmax": ("softmax_1_over_k", "softmax_gradient"),
    "sigmoid": ("per_label_sigmoid_sum", "per_label_sigmoid_gradient"),
}
DENSE = {"softmax": reference.softmax_loss, "sigmoid": reference.sigmoid_loss}


def labelled(pictures: list[list[int]]) -> tuple[Tensor, Tensor]:
    offsets = np.cumsum([0] + [len(labels) for labels in pictures])
    return torch.tensor([label for labels in pictures for label in labels]), torch.from_numpy(offsets)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("case", range(len(goldens()["loss"])))
def test_w12_value_and_gradient_are_the_goldens(kind: Loss, case: int) -> None:
    """The last case has logits of 1000 and -1000, which stay finite."""
    golden = goldens()["loss"][case]
    logits_BV = torch.tensor([golden["logits"]], requires_grad=True)
    value = tag_loss(kind, logits_BV, *labelled([golden["label_ids"]]))
    (gradient_BV,) = torch.autograd.grad(value.mean, logits_BV)
    name, gradient_name = GOLDEN_NAMES[kind]
    assert float(value.mean.detach()) == pytest.approx(golden[name], rel=1e-6)
    assert gradient_BV[0].tolist() == pytest.approx(golden[gradient_name], abs=1e-6)
    assert float(value.floor) == pytest.approx(golden["softmax_minimum"] if kind == "softmax" else 0.0, abs=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_w12_extreme_logits_stay_finite_under_autocast(kind: Loss) -> None:
    """A bfloat16 product gives logits of 1000 and -1000; the loss is taken in float32."""
    golden = goldens()["loss"][-1]
    inputs = torch.eye(1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits_BV = inputs @ torch.tensor([golden["logits"]])
        value = tag_loss(kind, logits_BV, *labelled([golden["label_ids"]]))
    (gradient,) = torch.autograd.grad(value.mean, inputs)
    assert logits_BV.dtype == torch.bfloat16
    assert value.mean.dtype == torch.float32
    assert float(value.mean.detach()) == pytest.approx(golden[GOLDEN_NAMES[kind][0]], rel=1e-6)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", LOSSES)
@given(pictures=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True), min_size=1, max_size=9))
def test_w12_sparse_equals_dense(kind: Loss, pictures: list[list[int]]) -> None:
    ids, offsets = labelled(pictures)
    generator = torch.Generator().manual_seed(len(ids))
    logits_BV = (3 * torch.randn(len(pictures), 7, generator=generator)).requires_grad_()
    values = tag_loss(kind, logits_BV, ids, offsets).mean, DENSE[kind](logits_BV, ids, offsets)
    gradients = [torch.autograd.grad(value, logits_BV)[0] for value in values]
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_w12_one_array_of_the_logits_size_waits_for_the_backward_pass(kind: Loss) -> None:
    """100,000 labels, 64 pictures: the log-probabilities, or the logits themselves; a dense target is a second."""
    logits_BV = torch.zeros(64, 100_000, requires_grad=True)
    ids, offsets = torch.arange(192) * 500, torch.arange(0, 193, 3)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = tag_loss(kind, logits_BV, ids, offsets).mean
    assert value.requires_grad
    assert sum(kept.values()) < 1.01 * logits_BV.untyped_storage().nbytes()


MEMORY = """
import resource, torch
from tagwise.training.losses import LOSSES, tag_loss

def step(kind, batch, labels):
    ids, offsets = torch.arange(3 * batch) % labels, torch.arange(0, 3 * batch + 1, 3)
    tag_loss(kind, torch.zeros(batch, labels, requires_grad=True), ids, offsets).mean.backward()

for kind in LOSSES:
    step(kind, 2, 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for kind in LOSSES:
    step(kind, 64, 100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_w12_no_dense_target_is_ever_in_memory() -> None:
    """At 100,000 labels a step holds logits, log-probabilities and the gradient; a dense target would be a fourth."""
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    array_kib = 64 * 100_000 * 4 / 1024
    assert int(result.stdout) < 3.4 * array_kib


def test_w12_excess_loss_is_zero_at_the_best_that_a_net_can_do() -> None:
    ids, offsets = labelled([[0, 1], [2], [0, 1, 2, 3]])
    logits_BV = torch.where(reference.dense_target(ids, offsets, 4) > 0, 50.0, -50.0)
    value = tag_loss("softmax", logits_BV, ids, offsets)
    assert float(value.floor) == pytest.approx((np.log(2) + 0 + np.log(4)) / 3)
    assert float(value.mean - value.floor) == pytest.approx(0, abs=1e-5)
    value = tag_loss("sigmoid", logits_BV, ids, offsets)
    assert float(value.mean - value.floor) == pytest.approx(0, abs=1e-5)


def test_w13_first_softmax_loss_is_the_entropy_of_the_mass_law() -> None:
    """The Zipf corpus: 5.1758 against ln 1000 = 6.9078 for a net that knows no law."""
    ids, offsets, counts = zipf_corpus()
    mass_V = sampled_laws(ids, offsets, counts, "natural").mass
    bias_V = prior_bias("softmax", torch.from_numpy(mass_V), torch.from_numpy(counts / 20_000))
    logits_BV = bias_V.expand(20_000, -1)
    loss = tag_loss("softmax", logits_BV, torch.from_numpy(ids).long(), torch.from_numpy(offsets)).mean
    held = mass_V[mass_V > 0]
    assert float(loss) == pytest.approx(-(held * np.log(held)).sum(), abs=1e-3)
    assert float(loss) == pytest.approx(5.1758, abs=1e-3)


def test_w13_first_sigmoid_loss_is_the_sum_of_the_binary_entropies() -> None:
    """The Zipf corpus: 9.505 a picture against 1000 ln 2 = 693.1."""
    ids, offsets, counts = zipf_corpus()
    share_V = counts / 20_000
    bias_V = prior_bias("sigmoid", torch.from_numpy(share_V), torch.from_numpy(share_V))
    logits_BV = bias_V.expand(20_000, -1)
    loss = tag_loss("sigmoid", logits_BV, torch.from_numpy(ids).long(), torch.from_numpy(offsets)).mean
    p = share_V[share_V > 0]
    assert float(loss) == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(), abs=1e-3)
    assert float(loss) == pytest.approx(9.505, abs=1e-3)


def test_w13_a_sampling_law_changes_the_entropy_with_it() -> None:
    """Corpus A, uniform, t=8: an epoch of exactly 32 draws shows four labels evenly, so ln 4."""
    ids, offsets, counts = golden_arrays("A")
    epoch = EpochIndex.build(ids, offsets, counts, "uniform", 8.0).epoch(0, 0)
    drawn = ids[epoch.rows(np.arange(epoch.length))]
    mass_V = torch.from_numpy(sampled_laws(ids, offsets, counts, "uniform", 8.0).mass)
    bias_V = prior_bias("softmax", mass_V, mass_V)
    loss = tag_loss("softmax", bias_V.expand(len(drawn), -1), torch.from_numpy(drawn).long(), torch.arange(33)).mean
    assert float(loss) == pytest.approx(np.log(4), abs=1e-6)


def test_w13_labels_never_drawn_keep_a_finite_bias_below_all_others() -> None:
    share_V = torch.tensor([0.0, 1e-5, 0.5, 0.49999])
    for kind in LOSSES:
        bias_V = prior_bias(kind, share_V, share_V)
        assert torch.isfinite(bias_V).all()
        assert int(bias_V.argmin()) == 0
        assert bias_V.dtype == torch.float32
    always = prior_bias("sigmoid", torch.ones(1), torch.ones(1))
    assert torch.isfinite(always).all()
