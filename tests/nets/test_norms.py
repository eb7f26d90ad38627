"""Norms that are frozen, pooled or synchronised; frozen first parts of nets."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn

from tagwise.base.errors import UsageError
from tagwise.nets import ResidualNet, create_model, freeze, freeze_norms, synchronise_norms
from tagwise.nets.backbone import Backbone
from tagwise.nets.norms import FrozenNorm, SynchronisedNorm


def narrow(name: str, **settings: Any) -> ResidualNet:
    width: dict[str, Any] = {} if "18" in name else {"base_width": 8}
    return create_model(name, num_classes=3, planes=(8, 16, 32, 64), **width, **settings)


def train_a_step(net: ResidualNet, batch: int = 2) -> None:
    torch.manual_seed(0)
    net.train()
    optimiser = torch.optim.SGD([parameter for parameter in net.parameters() if parameter.requires_grad], lr=0.1)
    net(torch.randn(batch, 3, 48, 48)).square().sum().backward()
    optimiser.step()


def changed(before: dict[str, torch.Tensor], net: nn.Module) -> set[str]:
    """Stem, stages and classifier of which any tensor, running statistics included, is another now."""
    return {
        name.partition(".")[0] for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])
    }


@pytest.mark.parametrize(
    ("parts", "moving"),
    [
        ("stem", {"layer1", "layer2", "layer3", "layer4", "fc"}),
        ("stem+2", {"layer3", "layer4", "fc"}),
        ("stem+4", {"fc"}),
    ],
)
@pytest.mark.parametrize("name", ["resnet18", "resnest14"])
def test_frozen_parts_stay_to_the_bit_while_the_rest_trains(name: str, parts: str, moving: set[str]) -> None:
    net = narrow(name)
    keys = list(net.state_dict())
    freeze(net, parts)
    assert list(net.state_dict()) == keys
    before = copy.deepcopy(net.state_dict())
    train_a_step(copy.deepcopy(net.train()))
    train_a_step(net)
    assert changed(before, net) == moving


def test_a_frozen_norm_uses_its_running_statistics_in_training() -> None:
    norm = FrozenNorm(3).train()
    x = torch.randn(4, 3, 2, 2) * 5
    norm.running_mean = torch.tensor([1.0, 2.0, 3.0])
    expected = (x - norm.running_mean[:, None, None]) / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(norm(x), expected)
    assert not norm.training


@pytest.mark.parametrize("parts", ["", "stem+", "stem+0", "stem+5", "stem+-1", "stage2", "stem+2+3", "all", "layer1"])
def test_other_parts_are_refused_with_an_example(parts: str) -> None:
    with pytest.raises(UsageError, match=r"as in 'stem\+2' the stem and the first of the 4 stages"):
        freeze(narrow("resnet18"), parts)


@pytest.mark.parametrize("name", ["skresnet18", "resnest14"])
def test_m12_one_picture_trains_with_frozen_attention_norms(name: str) -> None:
    published = narrow(name)
    net = narrow(name, attention_norm="frozen")
    net.load_state_dict(published.state_dict())
    images = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(net.eval()(images), published.eval()(images), rtol=0, atol=0)
    before = copy.deepcopy(net.state_dict())
    train_a_step(net, batch=1)
    assert changed(before, net) >= {"layer1", "layer2", "layer3", "layer4", "fc"}
    pooled = [module for module in net.modules() if isinstance(module, FrozenNorm)]
    assert pooled
    assert all(norm.running_mean is not None and not norm.running_mean.any() for norm in pooled)
    assert any(parameter.grad is not None for norm in pooled for parameter in norm.parameters())


@pytest.mark.parametrize("name", ["skresnet18", "resnest14"])
def test_m12_one_picture_is_else_refused_before_any_work_and_the_message_names_the_option(name: str) -> None:
    net = narrow(name).train()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UsageError, match='--batch at least 2 a rank, or build the net with attention_norm="frozen"'):
        net(torch.randn(1, 3, 64, 64))
    assert not changed(before, net)
    freeze(net, "stem+4")
    assert net.train()(torch.randn(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50_msra", "resnet18d", "resnet18_preact", "seresnet50", "se_resnet50", "resnest14"]
)
def test_m12_one_picture_of_one_last_pixel_is_refused_before_any_work_and_only_that(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch itself refuses it in the middle of a step, Caffe's pool and the last norm counted."""
    net = narrow(name, attention_norm="frozen").train()
    sizes = [(side, width) for side in (31, 32, 33, 34, 35) for width in (20, side)]
    torchs = set()
    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "_refuse_one_picture", lambda *_: None)
        for size in sizes:
            try:
                net(torch.randn(1, 3, *size))
            except ValueError:
                torchs.add(size)
    assert torchs == {size for size in sizes if size[0] <= (34 if name == "se_resnet50" else 32)}
    before = copy.deepcopy(net.state_dict())
    for size in sorted(torchs):
        with pytest.raises(UsageError, match=r"single pixels.*--batch at least 2 a rank, pictures above 3\d pixels,"):
            net(torch.randn(1, 3, *size))
    assert not changed(before, net)
    for size in set(sizes) - torchs:
        net(torch.randn(1, 3, *size))
    net(torch.randn(2, 3, 32, 32))
    for module in net.modules():
        module.train(not isinstance(module, nn.BatchNorm2d))
    net(torch.randn(1, 3, 32, 32))


def test_m12_feature_nets_are_asked_about_their_own_last_maps() -> None:
    net = create_model("resnet18", features_only=True, out_indices=(1, 3), planes=(8, 16, 32, 64)).train()
    assert net(torch.randn(1, 3, 17, 17))[-1].shape == (1, 32, 2, 2)
    with pytest.raises(UsageError, match="pictures above 16 pixels"):
        net(torch.randn(1, 3, 16, 16))


def test_norms_are_per_process_until_synchronised_and_frozen_ones_stay() -> None:
    """In evaluation all kinds compute the same."""
    net = narrow("resnest14").eval()
    assert not any(isinstance(module, SynchronisedNorm) for module in net.modules())
    images = torch.randn(2, 3, 48, 48)
    expected = net(images)
    freeze(net, "stem+1")
    synchronise_norms(net)
    kinds = {
        (name.partition(".")[0], type(module))
        for name, module in net.named_modules()
        if "Norm" in type(module).__name__
    }
    frozen = {("conv1", FrozenNorm), ("bn1", FrozenNorm), ("layer1", FrozenNorm)}
    assert kinds == frozen | {(f"layer{stage}", SynchronisedNorm) for stage in (2, 3, 4)}
    torch.testing.assert_close(net(images), expected, rtol=0, atol=0)
    freeze(net, "stem+2")
    assert not any(isinstance(module, SynchronisedNorm) for module in net.stages()[1].modules())


def test_frozen_norms_keep_what_they_know_while_all_weights_learn() -> None:
    """In training each picture then has the output of evaluation, whatever else is in its batch."""
    net = narrow("resnest14").eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    images = torch.randn(3, 3, 48, 48)
    with torch.no_grad():
        expected = net(images)
    freeze(net, "stem")
    freeze_norms(net)
    net.train()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    shown = torch.cat([net(picture[None]) for picture in images])
    torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-5)
    shown.sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    still = {name.partition(".")[0] for name, parameter in net.named_parameters() if parameter.grad is None}
    assert still == {"conv1", "bn1"}, "the scales of all other norms learn"


UNEVEN = (3, 2)
"""Pictures of each process."""


def normed_in_a_process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=len(UNEVEN))
    net, images_BCHW = torch.load(folder / "given.pt", weights_only=False)
    synchronise_norms(net)
    mine = images_BCHW.split(UNEVEN)[rank].requires_grad_()
    maps = net(mine)
    (maps**3).sum().backward()
    torch.save((maps.detach(), mine.grad, net.state_dict()), folder / f"{rank}.pt")
    distributed.barrier()  # who leaves first may abort the other
    distributed.destroy_process_group()


def test_synchronised_norms_of_two_processes_are_one_norm_of_the_whole_batch(tmp_path: Path) -> None:
    """Outputs, gradients and running statistics, with unlike numbers of pictures."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4, momentum=None))
    images = 5 + torch.randn(sum(UNEVEN), 3, 6, 7)
    torch.save((copy.deepcopy(net), images), tmp_path / "given.pt")
    spawn(normed_in_a_process, (tmp_path,), nprocs=len(UNEVEN))  # type: ignore[no-untyped-call]
    expected = net(images.requires_grad_())
    (expected**3).sum().backward()
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(UNEVEN))]
    assert images.grad is not None
    for found, whole in zip(list(zip(*results, strict=True))[:2], (expected, images.grad), strict=True):
        torch.testing.assert_close(torch.cat(found), whole, rtol=1e-4, atol=1e-4)
    for _, _, state in results:
        torch.testing.assert_close(state, net.state_dict())
