"""Segmenters on our backbones: torchvision's outputs, dilation, frozen parts, and the losses of pixels."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import segmentation

from tagwise.base.errors import UsageError
from tagwise.localise.annotations import IGNORE
from tagwise.localise.semantic import SegmentationNet, build_segmenter, pixel_loss
from tagwise.nets import Design, build, find_design, freeze_norms
from tagwise.training.heads import PixelLoss, Segmenter, SegmenterKind

THIN: dict[str, Any] = {"planes": (8, 16, 24, 32)}
CLASSES = 5


def thin(name: str, **settings: Any) -> Design:
    """A design of few channels and blocks, that keeps its kind of block and attention."""
    design = find_design(name)
    width: dict[str, Any] = {"base_width": 8} if design.block == "bottleneck" else {}
    return dataclasses.replace(design, depths=(1, 1, 2, 2), **THIN, **width, **settings)


def pictures(batch: int = 2, side: int = 64) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


def maps_of(batch: int = 2, side: int = 64) -> Tensor:
    return torch.randint(0, CLASSES, (batch, side, side), generator=torch.Generator().manual_seed(1))


def settled(net: torch.nn.Module) -> torch.nn.Module:
    """Norms with statistics of their own, so that maps of random weights stay of ordinary size."""
    torch.manual_seed(2)
    net.train()
    with torch.no_grad():
        net(pictures())
    return net.eval()


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3"])
def test_l3_with_equal_weights_ours_gives_torchvisions_outputs(kind: SegmenterKind) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": CLASSES, "aux_loss": True}
    theirs = settled(getattr(segmentation, f"{kind}_resnet50")(**settings))
    ours = build_segmenter(find_design("resnet50"), Segmenter(kind=kind), CLASSES).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        expected, found = theirs(pictures()), ours(pictures())
    assert list(found) == list(expected) == ["out", "aux"]
    for name in expected:
        assert found[name].shape == (2, CLASSES, 64, 64)
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "resnest14", "skresnet18", "resnet18d"])
@pytest.mark.parametrize(("output_stride", "side"), [(8, 8), (16, 4), (32, 2)])
def test_l2_dilated_backbones_share_keys_and_weights_with_plain_ones(name: str, output_stride: Any, side: int) -> None:
    width: dict[str, Any] = {"cardinality": 2} if "32x4d" in name else {}
    design = thin(name, **width)
    plain = build(design, num_classes=3)
    net = build_segmenter(design, Segmenter(output_stride=output_stride), CLASSES, backbone=plain).eval()
    own, theirs = net.backbone.state_dict(), plain.state_dict()
    assert own.keys() == {key for key in theirs if not key.startswith("fc.")}
    assert all(torch.equal(own[key], theirs[key]) for key in own)
    with torch.inference_mode():
        _, last_BCHW = net.backbone(pictures())
        outputs = net(pictures(side=50))
    assert last_BCHW.shape == (2, design.channels[-1], side, side)
    assert {name: maps.shape for name, maps in outputs.items()} == dict.fromkeys(("out", "aux"), (2, CLASSES, 50, 50))


def test_l2_every_second_pixel_of_a_dilated_stage_is_a_pixel_of_the_plain_one() -> None:
    plain = build(thin("resnet18"), num_classes=3).eval()
    net = build_segmenter(plain.design, Segmenter(output_stride=16), CLASSES, backbone=plain).eval()
    with torch.inference_mode():
        torch.testing.assert_close(net.backbone(pictures())[-1][..., ::2, ::2], plain.forward_features(pictures()))


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3"])
@pytest.mark.parametrize("loss", ["softmax", "balanced", "dice"])
def test_a_step_teaches_backbone_head_and_auxiliary_head(kind: SegmenterKind, loss: PixelLoss) -> None:
    segmenter = Segmenter(kind=kind, loss=loss, channels=16, rates=(2, 4))
    net = build_segmenter(thin("resnet18"), segmenter, CLASSES).train()
    outputs = net(pictures())
    assert list(outputs) == ["out", "aux"]
    found = pixel_loss(outputs, maps_of(), segmenter)
    found.backward()  # type: ignore[no-untyped-call]
    assert found.isfinite()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())


def test_without_weight_there_is_no_auxiliary_head() -> None:
    net = build_segmenter(thin("resnet18"), Segmenter(auxiliary=0), CLASSES).eval()
    assert list(net(pictures())) == ["out"]
    assert not any(key.startswith("aux") for key in net.state_dict())


def test_nets_of_small_maps_keep_them() -> None:
    """A three-stage net for small pictures has maps of stride 4 and is not asked for coarser ones."""
    net = build_segmenter(find_design("resnet20_cifar"), Segmenter(output_stride=8), CLASSES).eval()
    assert net.backbone.feature_info.reduction() == [2, 4]
    assert net(pictures(side=32))["out"].shape == (2, CLASSES, 32, 32)


def test_align_corners_puts_the_corner_logits_into_the_corners() -> None:
    plain = build_segmenter(thin("resnet18"), Segmenter(), CLASSES).eval()
    aligned = build_segmenter(thin("resnet18"), Segmenter(align_corners=True), CLASSES).eval()
    aligned.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        coarse = plain.classifier(plain.backbone(pictures())[-1])
        out = aligned(pictures())["out"]
        expected = F.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(plain(pictures())["out"], expected)
    for y in (0, -1):
        for x in (0, -1):
            torch.testing.assert_close(out[..., y, x], coarse[..., y, x])
    assert not torch.allclose(out[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_l16_from_random_weights_freezing_is_refused() -> None:
    with pytest.raises(UsageError, match="give the model with --from"):
        build_segmenter(thin("resnet18"), Segmenter(), CLASSES, freeze="stem+2")


def test_l16_frozen_stages_and_their_statistics_stay_to_the_bit() -> None:
    plain = build(thin("resnet18"), num_classes=3)
    net = build_segmenter(plain.design, Segmenter(), CLASSES, backbone=plain, freeze="stem+2").train()
    before = copy.deepcopy(net.state_dict())
    optimiser = torch.optim.SGD([weight for weight in net.parameters() if weight.requires_grad], lr=0.1)
    pixel_loss(net(pictures()), maps_of(), Segmenter()).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    changed = {".".join(key.split(".")[:2]) for key, value in net.state_dict().items() if not value.equal(before[key])}
    assert {name for name in changed if name.startswith("backbone.")} == {"backbone.layer3", "backbone.layer4"}
    assert any(name.startswith("classifier.") for name in changed)


def test_the_model_stays_as_it_is_and_another_design_is_refused() -> None:
    plain = build(thin("resnet18"), num_classes=3)
    net = build_segmenter(plain.design, Segmenter(), CLASSES, backbone=plain)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert all(weight.any() for weight in plain.stages()[0].parameters() if weight.dim() > 1)
    with pytest.raises(UsageError, match=r"of another design than the segmenter's backbone: layer1\.0\.conv"):
        build_segmenter(thin("resnet50"), Segmenter(), CLASSES, backbone=plain)


def test_a_backbone_of_one_channel_stays_one() -> None:
    plain = build(thin("resnet18"), num_classes=3, in_chans=1)
    net = build_segmenter(plain.design, Segmenter(), CLASSES, backbone=plain).eval()
    assert net(pictures()[:, :1])["out"].shape == (2, CLASSES, 64, 64)


@pytest.mark.parametrize("classes", [0, 256])
def test_labels_fit_between_0_and_254(classes: int) -> None:
    with pytest.raises(UsageError, match=f"1 to 255 classes, not {classes}"):
        build_segmenter(thin("resnet18"), Segmenter(), classes)


def one_picture_net(kind: SegmenterKind) -> SegmentationNet:
    return build_segmenter(thin("resnet18"), Segmenter(kind=kind, channels=8, rates=(2,)), CLASSES)


def test_l8_deeplab_on_one_picture_is_refused_in_training_alone() -> None:
    net = one_picture_net("deeplabv3").train()
    with pytest.raises(UsageError, match=r"Pooled vectors are normalised over the batch .* --batch at least 2 a rank"):
        net(pictures(1))
    assert net.eval()(pictures(1))["out"].shape == (1, CLASSES, 64, 64)
    freeze_norms(net)
    assert net.train()(pictures(1))["out"].isfinite().all()


def test_l8_fcn_trains_on_one_picture_unless_its_maps_are_single_pixels() -> None:
    net = one_picture_net("fcn").train()
    assert net(pictures(1))["out"].isfinite().all()
    freeze_norms(net.backbone)
    with pytest.raises(UsageError, match="Maps of one pixel"):
        net(pictures(1, side=8))


def reference_loss(kind: PixelLoss, logits_BCHW: Tensor, maps_BHW: Tensor) -> float:
    """The formulas pixel by pixel."""
    p = logits_BCHW.double().softmax(1).permute(0, 2, 3, 1)[maps_BHW != IGNORE]
    labels = maps_BHW[maps_BHW != IGNORE]
    costs = -p[torch.arange(len(labels)), labels].log()
    held = sorted({int(label) for label in labels})
    if kind == "balanced":
        return sum(float(costs[labels == label].mean()) for label in held) / len(held)
    loss = float(costs.mean())
    if kind == "dice":
        truth = {label: (labels == label).double() for label in held}
        overlaps = [2 * (p[:, k] * truth[k]).sum() / (p[:, k].sum() + truth[k].sum()) for k in held]
        loss += 1 - float(sum(overlaps)) / len(held)
    return loss


@pytest.mark.parametrize("kind", ["softmax", "balanced", "dice"])
def test_losses_are_their_formulas_and_the_auxiliary_one_counts_by_its_weight(kind: PixelLoss) -> None:
    torch.manual_seed(0)
    out, aux = 3 * torch.randn(2, 2, CLASSES, 6, 7)
    maps = torch.randint(0, 3, (2, 6, 7))  # two classes are absent
    maps[0, :2], maps[1, 3, 3] = IGNORE, 4
    segmenter = Segmenter(loss=kind, auxiliary=0.2)
    expected = reference_loss(kind, out, maps)
    assert float(pixel_loss({"out": out}, maps, segmenter)) == pytest.approx(expected, rel=1e-5)
    expected += 0.2 * reference_loss(kind, aux, maps)
    assert float(pixel_loss({"out": out, "aux": aux}, maps, segmenter)) == pytest.approx(expected, rel=1e-5)


def test_the_softmax_loss_is_torchs() -> None:
    out, maps = torch.randn(2, CLASSES, 8, 8), maps_of(side=8)
    expected = F.cross_entropy(out, maps)
    torch.testing.assert_close(pixel_loss({"out": out}, maps, Segmenter()), expected)


def test_balanced_gives_a_rare_class_as_much_as_a_frequent_one() -> None:
    """With a net that knows nothing, the gradient's length at the one pixel is that of all others together."""
    out = torch.zeros(1, 2, 10, 10, requires_grad=True)
    maps = torch.zeros(1, 10, 10, dtype=torch.int64)
    maps[0, 4, 4] = 1
    pixel_loss({"out": out}, maps, Segmenter(loss="balanced")).backward()  # type: ignore[no-untyped-call]
    assert out.grad is not None
    assert float(out.grad.sum().abs()) < 1e-6
    torch.testing.assert_close(out.grad[0, 1, 4, 4], -(out.grad[0, 1].sum() - out.grad[0, 1, 4, 4]))


def test_dice_is_0_for_the_truth_and_almost_1_for_what_misses_it() -> None:
    maps = torch.tensor([[[0, 0, 1, 1]]])
    right = 50 * F.one_hot(maps, 2).permute(0, 3, 1, 2).float()
    dice = Segmenter(loss="dice")
    assert float(pixel_loss({"out": right}, maps, dice)) < 1e-6
    missed = pixel_loss({"out": right.flip(1)}, maps, dice) - pixel_loss({"out": right.flip(1)}, maps, Segmenter())
    assert float(missed) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["softmax", "balanced", "dice"])
def test_l8_maps_that_are_ignored_altogether_cost_nothing(kind: PixelLoss) -> None:
    out = torch.randn(2, CLASSES, 4, 4, requires_grad=True)
    aux = torch.randn(2, CLASSES, 4, 4, requires_grad=True)
    ignored = torch.full((2, 4, 4), IGNORE)
    loss = pixel_loss({"out": out, "aux": aux}, ignored, Segmenter(loss=kind))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    for logits in (out, aux):
        assert logits.grad is not None
        assert not logits.grad.any()


@pytest.mark.parametrize("kind", ["softmax", "balanced", "dice"])
def test_ignored_pixels_change_nothing(kind: PixelLoss) -> None:
    out, maps = torch.randn(1, CLASSES, 4, 8), maps_of(1, 8)[:, :4]
    half = maps.clone()
    half[..., 4:] = IGNORE
    whole = pixel_loss({"out": out}, half, Segmenter(loss=kind))
    torch.testing.assert_close(whole, pixel_loss({"out": out[..., :4]}, maps[..., :4], Segmenter(loss=kind)))
    out[..., 4:] *= 100
    torch.testing.assert_close(pixel_loss({"out": out}, half, Segmenter(loss=kind)), whole)


def test_losses_are_computed_in_float32() -> None:
    out = torch.randn(1, CLASSES, 4, 4)
    maps = maps_of(1, 4)
    loss = pixel_loss({"out": out.bfloat16()}, maps, Segmenter(loss="dice"))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, pixel_loss({"out": out.bfloat16().float()}, maps, Segmenter(loss="dice")))
