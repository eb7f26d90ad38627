"""The tag loss: the papers' numbers, no dense target, and a first loss that is the law's entropy."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.tags.epoch import EpochIndex
from tagwise.tags.law_report import sampled_laws
from tagwise.training import losses
from tagwise.training.losses import (
    HARD_LOSSES,
    LOSSES,
    Loss,
    LossSettings,
    LossValue,
    Truth,
    chunked_tag_loss,
    mixed_truth,
    prior_bias,
    tag_loss,
    truth_of,
)
from tests.references.losses import dense_loss, dense_truth
from tests.references.sampling import golden_arrays, goldens, zipf_corpus

GOLDEN_NAMES = {
    "softmax": ("softmax_1_over_k", "softmax_gradient"),
    "sigmoid": ("per_label_sigmoid_sum", "per_label_sigmoid_gradient"),
}
SOFT_LOSSES: tuple[Loss, ...] = ("softmax", "sigmoid")


def labelled(pictures: list[list[int]]) -> tuple[Tensor, Tensor]:
    offsets = np.cumsum([0] + [len(labels) for labels in pictures])
    return torch.tensor([label for labels in pictures for label in labels]), torch.from_numpy(offsets)


def plain_loss(kind: Loss, logits_BV: Tensor, ids: Tensor, offsets: Tensor) -> LossValue:
    return tag_loss(LossSettings(kind=kind), logits_BV, truth_of(kind, ids, offsets))


@pytest.mark.parametrize("kind", SOFT_LOSSES)
@pytest.mark.parametrize("case", range(len(goldens()["loss"])))
def test_w12_value_and_gradient_are_the_goldens(kind: Loss, case: int) -> None:
    """The last case has logits of 1000 and -1000, which stay finite."""
    golden = goldens()["loss"][case]
    logits_BV = torch.tensor([golden["logits"]], requires_grad=True)
    value = plain_loss(kind, logits_BV, *labelled([golden["label_ids"]]))
    (gradient_BV,) = torch.autograd.grad(value.mean, logits_BV)
    name, gradient_name = GOLDEN_NAMES[kind]
    assert float(value.mean.detach()) == pytest.approx(golden[name], rel=1e-6)
    assert gradient_BV[0].tolist() == pytest.approx(golden[gradient_name], abs=1e-6)
    assert float(value.floor) == pytest.approx(golden["softmax_minimum"] if kind == "softmax" else 0.0, abs=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_w12_extreme_logits_stay_finite_under_autocast(kind: Loss) -> None:
    """A bfloat16 product gives logits of 1000, 0 and -1000, the last two held; the loss is taken in float32."""
    golden = goldens()["loss"][-1]
    expected = {"asymmetric": -(0.95**4) * np.log(0.05) + np.log(2) + 1000, "focal": 750 + np.log(2) / 16 + 250}
    inputs = torch.eye(1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits_BV = inputs @ torch.tensor([golden["logits"]])
        value = plain_loss(kind, logits_BV, *labelled([golden["label_ids"]]))
    (gradient,) = torch.autograd.grad(value.mean, inputs)
    assert logits_BV.dtype == torch.bfloat16
    assert value.mean.dtype == torch.float32
    soft = golden[GOLDEN_NAMES[kind][0]] if kind in SOFT_LOSSES else expected[kind]
    assert float(value.mean.detach()) == pytest.approx(soft, rel=1e-6)
    assert torch.isfinite(gradient).all()


PICTURES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True), min_size=1, max_size=9)


def random_logits(pictures: int, labels: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(pictures)
    return (3 * torch.randn(pictures, labels, generator=generator)).requires_grad_()


def label_weights(weighted: bool) -> Tensor | None:
    return torch.tensor([0.1, 0.5, 1.0, 1.5, 2.0, 5.0, 0.7]) if weighted else None


def assert_equal_to_dense(settings: LossSettings, truth: Truth) -> None:
    logits_BV = random_logits(truth.batch)
    target_BV = dense_truth(truth, 7)
    values = tag_loss(settings, logits_BV, truth).mean, dense_loss(settings, logits_BV, target_BV)
    gradients = [torch.autograd.grad(value, logits_BV)[0] for value in values]
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
@given(pictures=PICTURES, weighted=st.booleans())
def test_w12_sparse_equals_dense(kind: Loss, pictures: list[list[int]], weighted: bool) -> None:
    """torch's softmax and sigmoid, timm's asymmetric, torchvision's focal loss."""
    truth = truth_of(kind, *labelled(pictures))
    assert_equal_to_dense(LossSettings(kind=kind, weights_V=label_weights(weighted)), truth)


@pytest.mark.parametrize(("kind", "focus"), [("asymmetric", 7.0), ("focal", 1.0), ("focal", 5.0)])
def test_focus_is_timms_gamma_neg_and_torchvisions_gamma(kind: Loss, focus: float) -> None:
    assert_equal_to_dense(LossSettings(kind=kind, focus=focus), truth_of(kind, *labelled([[0, 1], [5], [6, 2, 3]])))


@pytest.mark.parametrize("kind", SOFT_LOSSES)
@given(pictures=PICTURES, own=st.floats(0, 1), smoothing=st.sampled_from([0.0, 0.1]), weighted=st.booleans())
def test_mixing_and_smoothing_equal_dense(
    kind: Loss, pictures: list[list[int]], own: float, smoothing: float, weighted: bool
) -> None:
    plain = truth_of(kind, *labelled(pictures))
    truth = mixed_truth(plain, own)
    settings = LossSettings(kind=kind, label_smoothing=smoothing, weights_V=label_weights(weighted))
    unmixed_BV = dense_truth(plain, 7)
    torch.testing.assert_close(dense_truth(truth, 7), own * unmixed_BV + (1 - own) * unmixed_BV.flip(0))
    assert_equal_to_dense(settings, truth)


@pytest.mark.parametrize("kind", SOFT_LOSSES)
@given(
    pictures=PICTURES,
    own=st.floats(0.1, 0.9),
    mix=st.booleans(),
    smoothing=st.floats(0.01, 0.5),
    weighted=st.booleans(),
)
def test_w12_the_floor_is_reached_by_the_best_net_and_by_no_other(
    kind: Loss, pictures: list[list[int]], own: float, mix: bool, smoothing: float, weighted: bool
) -> None:
    """The softmax's best shares are the weighted targets', the sigmoid's best probabilities the targets."""
    plain = truth_of(kind, *labelled(pictures))
    truth = mixed_truth(plain, own) if mix else plain
    settings = LossSettings(kind=kind, label_smoothing=smoothing, weights_V=label_weights(weighted))
    target_BV = (1 - smoothing) * dense_truth(truth, 7).double() + smoothing / 7
    if kind == "softmax":
        best_BV = (target_BV * (1 if settings.weights_V is None else settings.weights_V)).log()
    else:
        best_BV = torch.logit(target_BV)
    best = tag_loss(settings, best_BV, truth)
    assert float(best.mean) == pytest.approx(float(best.floor), rel=1e-5, abs=1e-5)
    other = tag_loss(settings, best_BV + random_logits(len(pictures)).detach(), truth)
    assert float(other.mean) > float(other.floor) - 1e-5


@pytest.mark.parametrize("kind", HARD_LOSSES)
def test_mixed_pictures_are_refused_where_labels_are_held_or_not(kind: Loss) -> None:
    truth = mixed_truth(truth_of(kind, *labelled([[0], [1]])), 0.5)
    with pytest.raises(UsageError, match="mixup and cutmix at 0"):
        tag_loss(LossSettings(kind=kind), torch.zeros(2, 3), truth)
    with pytest.raises(UsageError, match="mixup and cutmix at 0"):
        chunked_tag_loss(LossSettings(kind=kind), torch.zeros(2, 3), nn.Linear(3, 3), truth)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "0 to below 1"),
        ({"label_smoothing": float("nan")}, "0 to below 1"),
        ({"kind": "focal", "label_smoothing": 0.1}, "focal knows held labels alone"),
        ({"kind": "asymmetric", "label_smoothing": 0.1}, "asymmetric knows held labels alone"),
        ({"kind": "sigmoid", "focus": 2.0}, "not to sigmoid"),
        ({"kind": "focal", "focus": 0.5}, "at least 1"),
        ({"kind": "focal", "focus": float("nan")}, "at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LossSettings(**settings)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_chunks_of_pictures_give_the_same_loss_and_gradients(
    kind: Loss, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 pictures, mixed and smoothed where the loss allows it, in chunks of 1 and 4 and as one."""
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 7 * chunk)
    soft = kind in SOFT_LOSSES
    truth = truth_of(kind, *labelled([[picture % 7, (picture + 3) % 7] for picture in range(10)]))
    truth = mixed_truth(truth, 0.3) if soft else truth
    settings = LossSettings(kind=kind, label_smoothing=0.1 if soft else 0.0, weights_V=label_weights(True))
    torch.manual_seed(0)
    classifier, features_BD = nn.Linear(5, 7), torch.randn(10, 5, requires_grad=True)
    values = [
        tag_loss(settings, classifier(features_BD), truth),
        chunked_tag_loss(settings, features_BD, classifier, truth),
    ]
    gradients = [torch.autograd.grad(value.mean, [features_BD, *classifier.parameters()]) for value in values]
    torch.testing.assert_close(values[0].mean, values[1].mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(values[0].floor, values[1].floor, rtol=0, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_chunks_under_autocast_multiply_in_bfloat16_and_lose_in_float32(
    kind: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 7 * 3)
    truth = truth_of(kind, *labelled([[picture % 7] for picture in range(10)]))
    settings = LossSettings(kind=kind, weights_V=label_weights(True))
    torch.manual_seed(0)
    classifier, features_BD = nn.Linear(5, 7), torch.randn(10, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits_BV = classifier(features_BD)
        chunked = chunked_tag_loss(settings, features_BD, classifier, truth).mean
    plain = tag_loss(settings, logits_BV, truth).mean
    assert logits_BV.dtype == torch.bfloat16
    gradients = [torch.autograd.grad(value, features_BD)[0] for value in (plain, chunked)]
    torch.testing.assert_close(plain, chunked, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-2, atol=1e-3)


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
        value = plain_loss(kind, logits_BV, ids, offsets).mean
    assert value.requires_grad
    assert sum(kept.values()) < 1.01 * logits_BV.untyped_storage().nbytes()


MEMORY = """
import resource, torch
from torch import nn
from tagwise.training import losses
from tagwise.training.losses import LOSSES, LossSettings, chunked_tag_loss, tag_loss, truth_of

def truth(kind, batch, labels):
    return truth_of(kind, torch.arange(3 * batch) % labels, torch.arange(0, 3 * batch + 1, 3))

def step(kind, batch, labels):
    logits = torch.zeros(batch, labels, requires_grad=True)
    tag_loss(LossSettings(kind=kind), logits, truth(kind, batch, labels)).mean.backward()

def chunked(kind, batch, labels):
    features, classifier = torch.zeros(batch, 2, requires_grad=True), nn.Linear(2, labels)
    chunked_tag_loss(LossSettings(kind=kind), features, classifier, truth(kind, batch, labels)).mean.backward()

for kind in LOSSES:
    RUN(kind, 2, 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
losses.CHUNK_LOGITS = 2**20
for kind in LOSSES:
    RUN(kind, 64, 100_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
@pytest.mark.parametrize(("way", "most"), [("step", 3.4), ("chunked", 1.5)])
def test_w12_no_dense_target_is_ever_in_memory(way: str, most: float) -> None:
    """At 100,000 labels a step holds logits, log-probabilities and the gradient; a dense target would be a fourth.

    Chunks of 10 pictures out of 64 hold as many of a sixth of the size, and the classifier's gradient.
    """
    code = MEMORY.replace("RUN", way)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    array_kib = 64 * 100_000 * 4 / 1024
    assert int(result.stdout) < most * array_kib


@pytest.mark.parametrize("kind", LOSSES)
def test_w12_excess_loss_is_zero_at_the_best_that_a_net_can_do(kind: Loss) -> None:
    truth = truth_of(kind, *labelled([[0, 1], [2], [0, 1, 2, 3]]))
    logits_BV = torch.where(dense_truth(truth, 4) > 0, 50.0, -50.0)
    value = tag_loss(LossSettings(kind=kind), logits_BV, truth)
    assert float(value.floor) == pytest.approx((np.log(2) + 0 + np.log(4)) / 3 if kind == "softmax" else 0)
    assert float(value.mean - value.floor) == pytest.approx(0, abs=1e-5)


def test_w13_first_softmax_loss_is_the_entropy_of_the_mass_law() -> None:
    """The Zipf corpus: 5.1758 against ln 1000 = 6.9078 for a net that knows no law."""
    ids, offsets, counts = zipf_corpus()
    mass_V = sampled_laws(ids, offsets, counts, "natural").mass
    bias_V = prior_bias("softmax", torch.from_numpy(mass_V), torch.from_numpy(counts / 20_000))
    logits_BV = bias_V.expand(20_000, -1)
    loss = plain_loss("softmax", logits_BV, torch.from_numpy(ids).long(), torch.from_numpy(offsets)).mean
    held = mass_V[mass_V > 0]
    assert float(loss) == pytest.approx(-(held * np.log(held)).sum(), abs=1e-3)
    assert float(loss) == pytest.approx(5.1758, abs=1e-3)


def test_w13_first_sigmoid_loss_is_the_sum_of_the_binary_entropies() -> None:
    """The Zipf corpus: 9.505 a picture against 1000 ln 2 = 693.1."""
    ids, offsets, counts = zipf_corpus()
    share_V = counts / 20_000
    bias_V = prior_bias("sigmoid", torch.from_numpy(share_V), torch.from_numpy(share_V))
    logits_BV = bias_V.expand(20_000, -1)
    loss = plain_loss("sigmoid", logits_BV, torch.from_numpy(ids).long(), torch.from_numpy(offsets)).mean
    p = share_V[share_V > 0]
    assert float(loss) == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(), abs=1e-3)
    assert float(loss) == pytest.approx(9.505, abs=1e-3)


@pytest.mark.parametrize("never", [0, 900_000])
def test_w13_holds_for_a_million_labels(never: int) -> None:
    """By Zipf's law, the rarest of a share of 7e-8; once nine in ten of them are never drawn."""
    mass_V = torch.arange(1, 1_000_001, dtype=torch.float64).reciprocal()
    mass_V[1_000_000 - never :] = 0
    mass_V /= mass_V.sum()
    share_V = 3 * mass_V
    logits_V = prior_bias("softmax", mass_V, share_V).double()
    entropy = -torch.xlogy(mass_V, mass_V).sum()
    assert float(logits_V.logsumexp(0) - mass_V @ logits_V - entropy) == pytest.approx(0, abs=1e-3)
    logits_V = prior_bias("sigmoid", mass_V, share_V).double()
    entropies = -(torch.xlogy(share_V, share_V) + torch.xlogy(1 - share_V, 1 - share_V)).sum()
    assert float(F.softplus(logits_V).sum() - share_V @ logits_V - entropies) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("kind", HARD_LOSSES)
def test_w13_first_hard_loss_is_that_of_the_laws_probabilities(kind: Loss) -> None:
    """The Zipf corpus, the papers' formulas in the probabilities."""
    ids, offsets, counts = zipf_corpus()
    p = counts / 20_000
    bias_V = prior_bias(kind, torch.from_numpy(p), torch.from_numpy(p))
    logits_BV = bias_V.expand(2_000, -1)
    ids, offsets = ids[: offsets[2_000]], offsets[:2_001]
    held = np.bincount(ids, minlength=1000) / 2_000
    loss = plain_loss(kind, logits_BV, torch.from_numpy(ids).long(), torch.from_numpy(offsets)).mean
    p = np.clip(p, 5e-7, None)
    clipped = np.clip(p - 0.05, 0, None)
    if kind == "asymmetric":
        expected = held * -np.log(p) + (1 - held) * clipped**4 * -np.log(1 - clipped)
    else:
        expected = held * 0.25 * (1 - p) ** 2 * -np.log(p) + (1 - held) * 0.75 * p**2 * -np.log(1 - p)
    assert float(loss) == pytest.approx(expected.sum(), abs=1e-3)


def test_w13_a_sampling_law_changes_the_entropy_with_it() -> None:
    """Corpus A, uniform, t=8: an epoch of exactly 32 draws shows four labels evenly, so ln 4."""
    ids, offsets, counts = golden_arrays("A")
    epoch = EpochIndex.build(ids, offsets, counts, "uniform", 8.0).epoch(0, 0)
    drawn = ids[epoch.rows(np.arange(epoch.length))]
    mass_V = torch.from_numpy(sampled_laws(ids, offsets, counts, "uniform", 8.0).mass)
    bias_V = prior_bias("softmax", mass_V, mass_V)
    loss = plain_loss("softmax", bias_V.expand(len(drawn), -1), torch.from_numpy(drawn).long(), torch.arange(33)).mean
    assert float(loss) == pytest.approx(np.log(4), abs=1e-6)


def test_w13_labels_never_drawn_keep_a_finite_bias_below_all_others() -> None:
    for kind, least in itertools.product(LOSSES, (1e-5, 1e-9)):
        share_V = torch.tensor([0.0, least, 0.5, 0.5 - least], dtype=torch.float64)
        bias_V = prior_bias(kind, share_V, share_V)
        assert torch.isfinite(bias_V).all()
        assert int(bias_V.argmin()) == 0
        assert bias_V.dtype == torch.float32
    always = prior_bias("sigmoid", torch.ones(1), torch.ones(1))
    assert torch.isfinite(always).all()
