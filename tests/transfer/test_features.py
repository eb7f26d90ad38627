"""Features and logits of packed pictures are those of the net on their central crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tagwise.base.views import View
from tagwise.nets import build, find_design
from tagwise.pixels.augment import centred
from tagwise.transfer import features
from tagwise.transfer.features import embed, score
from tests.training.tiny import CPU, DESIGN

VIEW = View(resolution=16, resize=20)


@pytest.mark.parametrize("name", [None, "skresnet18"])
def test_batches_give_what_the_net_gives_at_once(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventeen pictures in batches of five, from a net left in training mode, in either memory format."""
    view = VIEW if name is None else View(resolution=32, resize=32)
    net = build(DESIGN if name is None else find_design(name), num_classes=4)
    images_NHWC = np.random.default_rng(0).integers(0, 256, (17, view.resize, view.resize, 3), dtype=np.uint8)
    net.eval()
    with torch.inference_mode():
        images_BCHW = centred(torch.from_numpy(images_NHWC), view)
        expected = net.embed(images_BCHW), net(images_BCHW)
    net.train()
    monkeypatch.setattr(features, "BATCH", 5)
    vectors_ND, logits_NV = embed(net, images_NHWC, view, CPU), score(net, images_NHWC, view, CPU)
    torch.testing.assert_close(vectors_ND, expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(logits_NV), expected[1], rtol=1e-4, atol=1e-5)
    assert vectors_ND.dtype == torch.float32
    assert logits_NV.dtype == np.float32
    assert not net.training
    assert not vectors_ND.requires_grad


def test_packed_pictures_stay_as_they_are(tmp_path: Path) -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", images_NHWC)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    net = build(DESIGN, num_classes=4)
    running = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert torch.equal(embed(net, mapped, VIEW, CPU), embed(net, images_NHWC, VIEW, CPU))
    assert np.array_equal(mapped, images_NHWC)
    assert all(torch.equal(tensor, running[name]) for name, tensor in net.state_dict().items())
