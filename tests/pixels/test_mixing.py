"""mixup and CutMix against timm's, and the law of their shares."""

from __future__ import annotations

import numpy as np
import pytest
import timm.data.mixup as timm_mixup
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base import rng
from tagwise.pixels.mixing import Mix, draw_mix, mixed

ALPHAS = [{"mixup": 0.2, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}, {"mixup": 0.1, "cutmix": 1.0}]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(ALPHAS), st.integers(1, 40), st.integers(1, 9))
def test_the_share_is_what_is_left_of_each_picture(
    seed: int, step: int, alphas: dict[str, float], resolution: int, pictures: int
) -> None:
    """Pictures of one value each: the mean says how much is its own, whatever was cut at the edges."""
    values = torch.arange(pictures, dtype=torch.float32)
    images_BCHW = values.view(-1, 1, 1, 1).expand(-1, 3, resolution, resolution).contiguous()
    before = images_BCHW.clone()
    mix = draw_mix(seed, step, **alphas, resolution=resolution)
    means = mixed(images_BCHW, mix).mean((1, 2, 3))
    expected = mix.own_fraction * values + (1 - mix.own_fraction) * values.flip(0)
    torch.testing.assert_close(means, expected, rtol=1e-5, atol=1e-5)
    assert 0 <= mix.own_fraction <= 1
    assert torch.equal(images_BCHW, before)


@pytest.mark.parametrize("alphas", ALPHAS[:2])
@pytest.mark.parametrize("step", range(8))
def test_pictures_and_targets_are_timms(alphas: dict[str, float], step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm is handed our draw; it corrects the share itself."""
    mix = draw_mix(3, step, **alphas, resolution=24)
    images_BCHW = torch.randn(6, 3, 24, 24, generator=torch.Generator().manual_seed(step))
    cut = mix.box is not None
    if mix.box is not None:
        edges = (mix.box[0].start, mix.box[0].stop, mix.box[1].start, mix.box[1].stop)
        monkeypatch.setattr(timm_mixup, "rand_bbox", lambda *_, **__: edges)
    theirs = timm_mixup.Mixup(num_classes=6, label_smoothing=0.0)  # type: ignore[no-untyped-call]
    drawn = 0.5 if cut else mix.own_fraction
    monkeypatch.setattr(theirs, "_params_per_batch", lambda: (drawn, cut))
    expected, targets = theirs(images_BCHW.clone(), torch.arange(6))
    torch.testing.assert_close(mixed(images_BCHW, mix), expected)
    own = torch.eye(6) * mix.own_fraction
    torch.testing.assert_close(own + torch.eye(6).flip(0) * (1 - mix.own_fraction), targets)


def test_the_box_is_timms_for_the_same_share_and_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(200):
        generator = rng.stream(0, "mixing", step)
        share, middle = generator.beta(1.0, 1.0), iter(generator.integers(25, size=2).tolist())
        monkeypatch.setattr(np.random, "randint", lambda *_, middle=middle, **__: next(middle))
        expected = timm_mixup.rand_bbox((3, 25, 25), share)  # type: ignore[no-untyped-call]
        rows, columns = draw_mix(0, step, mixup=0.0, cutmix=1.0, resolution=25).box or (slice(0), slice(0))
        assert (rows.start, rows.stop, columns.start, columns.stop) == tuple(map(int, expected))


def test_shares_follow_the_beta_distribution_and_each_kind_has_half_of_the_steps() -> None:
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)); 4,000 steps, within 4 sigma."""
    mixes = [draw_mix(1, step, mixup=0.2, cutmix=1.0, resolution=224) for step in range(4000)]
    blends = np.array([mix.own_fraction for mix in mixes if mix.box is None])
    assert abs(len(blends) / 4000 - 0.5) < 4 * 0.5 / np.sqrt(4000)
    variance = 1 / (4 * 1.4)
    assert abs(blends.mean() - 0.5) < 4 * np.sqrt(variance / len(blends))
    assert abs(blends.var() - variance) < 0.02


def test_a_step_is_mixed_the_same_in_every_process_and_after_a_restart() -> None:
    settings = {"mixup": 0.1, "cutmix": 1.0}
    first = draw_mix(0, 9, **settings, resolution=32)
    assert first == draw_mix(0, 9, **settings, resolution=32)
    assert len({str(draw_mix(seed, step, **settings, resolution=32)) for seed in range(3) for step in range(20)}) > 55


def test_the_memory_format_stays() -> None:
    images_BCHW = torch.zeros(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    for mix in (Mix(own_fraction=0.3), Mix(own_fraction=0.75, box=(slice(0, 4), slice(0, 4)))):
        assert mixed(images_BCHW, mix).is_contiguous(memory_format=torch.channels_last)
