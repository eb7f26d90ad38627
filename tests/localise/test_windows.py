"""Pictures of any size through windows, at several sizes and in the mirror."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.localise.windows import Windows, class_scores, window_starts


def one_pixel(images_BCHW: Tensor) -> dict[str, Tensor]:
    """A net that looks at each pixel alone."""
    red, green, blue = images_BCHW.unbind(1)
    return {"out": torch.stack([red, green * blue, blue - red, green], 1)}


def picture(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


def plain(images_BCHW: Tensor) -> Tensor:
    """Classes side by side: the last bits of torch's softmax over another axis depend on the size of the map."""
    return one_pixel(images_BCHW)["out"].movedim(1, -1).contiguous().softmax(-1).movedim(-1, 1)


@given(side=st.integers(1, 700), share=st.floats(1, 3))
def test_l14_windows_leave_no_hole_and_stay_inside(side: int, share: float) -> None:
    length = round(side * share)
    starts = window_starts(length, side)
    assert starts[0] == 0
    assert starts[-1] + side == length
    assert starts == sorted(set(starts))
    stride = max(2 * side // 3, 1)
    assert all(after - before <= stride for before, after in pairwise(starts))


@given(height=st.integers(1, 30), width=st.integers(1, 30), mirror=st.booleans())
def test_l14_a_net_of_one_pixel_sees_the_same_through_windows(height: int, width: int, mirror: bool) -> None:
    images = picture(height, width, batch=2)
    scores = class_scores(one_pixel, images, Windows(side=10, mirror=mirror))
    assert scores.equal(plain(images))


@given(height=st.integers(1, 30), width=st.integers(1, 30))
def test_l14_exponentials_of_one_pixel_are_those_of_the_logits(height: int, width: int) -> None:
    images = picture(height, width)
    logits = one_pixel(images)["out"]
    exponentials: dict[str, Any] = {"side": 10, "summed": "exponentials"}
    assert class_scores(one_pixel, images, Windows(**exponentials)).equal(logits.exp())
    mirrored = class_scores(one_pixel, images, Windows(**exponentials, mirror=True))
    assert mirrored.equal((logits + logits).exp())  # the pair is summed before


def looks_right(images_BCHW: Tensor) -> dict[str, Tensor]:
    """A net whose answer at a pixel is what stands to its right."""
    right = F.pad(images_BCHW, (0, 1))[..., 1:]
    return {"out": torch.cat([right[:, :1], 0.5 * images_BCHW[:, 1:2]], 1)}


def test_the_mirror_is_the_mean_of_both_views() -> None:
    images = picture(5, 7)
    there = looks_right(images)["out"].softmax(1)
    back = looks_right(images.flip(-1))["out"].flip(-1)
    both = class_scores(looks_right, images, Windows(mirror=True))
    torch.testing.assert_close(both, (there + back.softmax(1)) / 2)
    pair = class_scores(looks_right, images, Windows(mirror=True, summed="exponentials"))
    torch.testing.assert_close(pair, (looks_right(images)["out"] + back).exp())


def reference_windows(images_BCHW: Tensor, side: int) -> Tensor:
    """Sums and counts, window by window."""
    height, width = images_BCHW.shape[2:]
    total, count = torch.zeros(1, 2, height, width), torch.zeros(height, width)
    for top in window_starts(height, side):
        for left in window_starts(width, side):
            cut = images_BCHW[..., top : top + side, left : left + side]
            total[..., top : top + side, left : left + side] += looks_right(cut)["out"].softmax(1)
            count[top : top + side, left : left + side] += 1
    return total / count


def test_overlapping_windows_are_averaged() -> None:
    images = picture(13, 17)
    found = class_scores(looks_right, images, Windows(side=6))
    torch.testing.assert_close(found, reference_windows(images, 6))
    assert not torch.allclose(found, looks_right(images)["out"].softmax(1))


def test_small_pictures_are_filled_up_with_0_and_cut_back() -> None:
    images = picture(4, 6)
    seen: list[Tensor] = []

    def watched(shown_BCHW: Tensor) -> dict[str, Tensor]:
        seen.append(shown_BCHW)
        return one_pixel(shown_BCHW)

    scores = class_scores(watched, images, Windows(side=8))
    (shown,) = seen
    assert shown.shape == (1, 3, 8, 8)
    assert shown[..., :4, :6].equal(images)
    assert not shown[..., 4:, :].any()
    assert not shown[..., :, 6:].any()
    assert scores.equal(plain(images))


def test_without_a_side_a_picture_is_seen_once_as_it_is() -> None:
    shapes: list[torch.Size] = []

    def watched(shown_BCHW: Tensor) -> dict[str, Tensor]:
        shapes.append(shown_BCHW.shape)
        return one_pixel(shown_BCHW)

    class_scores(watched, picture(9, 31), Windows())
    assert shapes == [(1, 3, 9, 31)]


def test_scales_see_resized_pictures_and_their_probabilities_are_averaged() -> None:
    images = picture(12, 20)
    shapes: list[tuple[int, ...]] = []

    def watched(shown_BCHW: Tensor) -> dict[str, Tensor]:
        shapes.append(tuple(shown_BCHW.shape[2:]))
        return one_pixel(shown_BCHW)

    scales = (0.5, 1.0, 1.75)
    scores = class_scores(watched, images, Windows(scales=scales))
    assert shapes == [(6, 10), (12, 20), (21, 35)]
    each = [class_scores(one_pixel, images, Windows(scales=(scale,))) for scale in scales]
    assert each[1].equal(plain(images))
    torch.testing.assert_close(scores, torch.stack(each).mean(0))
    torch.testing.assert_close(scores.sum(1), torch.ones(1, 12, 20))
    settings: dict[str, Any] = {"summed": "exponentials", "side": 8}
    summed = class_scores(one_pixel, images, Windows(scales=scales, **settings))
    parts = [class_scores(one_pixel, images, Windows(scales=(scale,), **settings)) for scale in scales]
    torch.testing.assert_close(summed, torch.stack(parts).sum(0))


def test_even_colour_has_the_same_probabilities_at_every_scale() -> None:
    images = torch.tensor([0.3, -0.2, 0.9])[None, :, None, None].expand(1, 3, 11, 17).contiguous()
    scores = class_scores(one_pixel, images, Windows(side=7, scales=(0.5, 0.75, 1.5), mirror=True))
    torch.testing.assert_close(scores, plain(images))


def test_exponentials_beyond_float32_are_refused() -> None:
    images = torch.full((1, 3, 4, 4), 60.0)
    with pytest.raises(TagwiseError, match="sum probabilities instead"):
        class_scores(one_pixel, images, Windows(summed="exponentials", mirror=True))
    assert class_scores(one_pixel, images, Windows(mirror=True)).isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [{"side": 0}, *({"scales": some} for some in ((), (1.0, 0.0), (1.0, float("nan")), (float("inf"),), (1e6,)))],
)
def test_windows_that_see_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Pictures cannot be looked at so"):
        Windows(**wrong)
