"""Nets by name, with timm's habits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import timm
import torch
from timm.data.config import resolve_data_config as resolve_timm_config
from timm.data.transforms_factory import create_transform

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.nets import FeatureNet, build, create_model, find_design, resolve_data_config
from tagwise.nets import create as room
from tagwise.nets.weights import find_weights

PLANES = (8, 16, 32, 64)


@pytest.mark.parametrize("name", ["resnet18", "resnet50d"])
@pytest.mark.parametrize("out_indices", [None, (2, 4), (1, 2)])
def test_m21_feature_nets_return_timms_maps(name: str, out_indices: tuple[int, ...] | None) -> None:
    """Same count, channels and reductions; stages beyond the last map are not built; pictures of an odd size."""
    sizes: dict[str, Any] = {} if out_indices is None else {"out_indices": out_indices}
    theirs: Any = timm.create_model(name, features_only=True, layers=(1, 1, 1, 1), channels=PLANES, **sizes)
    base = {"base_width": 8} if name == "resnet50d" else {}
    ours = create_model(name, features_only=True, depths=(1, 1, 1, 1), planes=PLANES, **base, out_indices=out_indices)
    assert isinstance(ours, FeatureNet)
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        for own, other in zip(ours.eval()(images), theirs.eval()(images), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def test_m21_feature_nets_of_small_and_preactivated_designs_say_what_they_return() -> None:
    for name in ("resnext20_8x4d_small", "resnet20_cifar_preact"):
        for out_indices in (None, (1,)):
            net = create_model(name, features_only=True, out_indices=out_indices).eval()
            maps = net(torch.randn(2, 3, 32, 48))
            assert [level.shape[1] for level in maps] == net.feature_info.channels()
            assert [32 // level.shape[2] for level in maps] == net.feature_info.reduction()
    assert create_model("resnet50", features_only=True, output_stride=8).feature_info.reduction() == [2, 4, 8, 8, 8]


@pytest.mark.parametrize("out_indices", [(), (5,), (-1,), (1, 7)])
def test_maps_that_a_net_has_not_are_refused(out_indices: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"out_indices are of 0 \(the stem\) to 4"):
        create_model("resnet18", features_only=True, out_indices=out_indices)
    with pytest.raises(UsageError, match="features_only=True"):
        create_model("resnet18", out_indices=(1,))


def test_timms_methods_answer_as_in_timm() -> None:
    theirs: Any = timm.create_model("resnet18", num_classes=5).eval()
    ours = create_model("resnet18", num_classes=5).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    maps = ours.forward_features(images)
    torch.testing.assert_close(maps, theirs.forward_features(images))
    torch.testing.assert_close(ours.forward_head(maps), theirs.forward_head(maps))
    torch.testing.assert_close(ours.forward_head(maps, pre_logits=True), theirs.forward_head(maps, pre_logits=True))
    torch.testing.assert_close(ours.embed(images), ours.forward_head(maps, pre_logits=True))
    assert ours.get_classifier() is ours.fc
    ours.double().reset_classifier(7)
    assert ours.get_classifier().weight.shape == (7, 512)
    assert ours(images.double()).shape == (2, 7)


def test_other_settings_change_the_design_and_unknown_ones_get_the_nearest() -> None:
    net = create_model("resnest50", output_stride=16, dilation_rule="timm", stochastic_depth=0.1, depths=(1, 1, 1, 1))
    changes = {"output_stride": 16, "dilation_rule": "timm", "stochastic_depth": 0.1, "depths": (1, 1, 1, 1)}
    assert net.design == dataclasses.replace(find_design("resnest50"), **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no setting 'stochastic_dept' in a design; the nearest .* stochastic_depth"):
        create_model("resnet18", stochastic_dept=0.1)
    with pytest.raises(UsageError, match="output_stride is one of 4, 8, 16, 32, not 12"):
        create_model("resnet18", output_stride=12)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Random weights of a deep stem in the place of every published file."""
    torch.manual_seed(0)
    state = build(find_design("resnest14")).state_dict()
    row = dataclasses.replace(find_weights("resnest50"), design="resnest14", tag="drawn")
    monkeypatch.setattr(room, "find_weights", lambda name, tag: row)
    monkeypatch.setattr(room, "load_weights", lambda row: dict(state))
    return state


def test_m24_deep_stems_take_other_channels_and_feature_nets_weights(
    shelf: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    net = create_model("resnest14", pretrained=True).eval()
    grey = torch.randn(2, 1, 48, 48)
    one = create_model("resnest14", pretrained=True, in_chans=1).eval()
    torch.testing.assert_close(one(grey), net(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    assert "fitted from RGB to 1 channels" in capsys.readouterr().err
    backbone = create_model("resnest14", pretrained=True, features_only=True, out_indices=(1, 3)).eval()
    maps = backbone(grey.expand(-1, 3, -1, -1))
    for own, index in zip(maps, (0, 2), strict=True):
        torch.testing.assert_close(own, net.features(grey.expand(-1, 3, -1, -1))[index])
    assert all(torch.equal(tensor, shelf[key]) for key, tensor in backbone.state_dict().items())


def test_weights_of_another_shape_are_refused(shelf: dict[str, torch.Tensor]) -> None:
    with pytest.raises(TagwiseError, match="resnest14_drawn does not fit its design"):
        create_model("resnest26", pretrained=True)


def test_views_answer_under_timms_keys(shelf: dict[str, torch.Tensor]) -> None:
    """And timm's create_transform takes the answer."""
    for view in (View(resolution=224, resize=256), View(resolution=160, resize=160, fit="pad")):
        config = resolve_data_config(view)
        theirs = resolve_timm_config({"img_size": 224})  # type: ignore[no-untyped-call]
        assert config.keys() == theirs.keys()
        create_transform(**config)
    assert config["crop_mode"] == "border"
    published = resolve_data_config(create_model("resnest14", pretrained=True))
    assert published["input_size"] == (3, 224, 224)
    assert (published["interpolation"], published["crop_pct"]) == ("bicubic", pytest.approx(224 / 256))
    assert resolve_data_config(create_model("resnet18"))["crop_pct"] == 0.875


def test_m24_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 class, not 0; its method embed needs no class"):
        create_model("resnet18", num_classes=0)
    with pytest.raises(UsageError, match="at least 1 input channel"):
        create_model("resnet18", in_chans=0)


@pytest.mark.parametrize("setting", [{"shortcut": "pad_end"}, {"stem_pool": "ceil"}, {"strides": (1, 1, 1, 1)}])
def test_m15_published_weights_are_not_put_into_a_net_that_computes_something_else(
    shelf: dict[str, torch.Tensor], setting: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"would compute something else with another {next(iter(setting))}"):
        create_model("resnest14", pretrained=True, **setting)
    assert create_model("resnest14", pretrained=True, stochastic_depth=0.1, output_stride=16).design.output_stride == 16
