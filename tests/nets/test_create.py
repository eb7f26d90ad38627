"""Nets by name, with timm's habits."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.data.config import resolve_data_config as resolve_timm_config
from timm.data.transforms_factory import create_transform
from torch import nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.nets import (
    Attention,
    FeatureNet,
    Weights,
    build,
    create_model,
    find_design,
    list_models,
    resolve_data_config,
)
from tagwise.nets import create as room
from tagwise.nets.designs import DESIGNS
from tagwise.nets.weights import WEIGHTS, find_weights

PLANES = (8, 16, 32, 64)


@pytest.mark.parametrize("name", ["resnet18", "resnet50d"])
@pytest.mark.parametrize("out_indices", [None, (2, 4), (1, 2), 2, (-4, -2)])
def test_m21_p22_feature_nets_return_timms_maps(name: str, out_indices: int | tuple[int, ...] | None) -> None:
    """The same said of them; stages beyond the last map are not built; pictures of an odd size."""
    sizes: dict[str, Any] = {} if out_indices is None else {"out_indices": out_indices}
    theirs: Any = timm.create_model(name, features_only=True, layers=(1, 1, 1, 1), channels=PLANES, **sizes)
    base: dict[str, Any] = {"base_width": 8} if name == "resnet50d" else {}
    ours = create_model(name, features_only=True, depths=(1, 1, 1, 1), planes=PLANES, **base, out_indices=out_indices)
    assert isinstance(ours, FeatureNet)
    for question in ("channels", "reduction", "module_name"):
        assert getattr(ours.feature_info, question)() == getattr(theirs.feature_info, question)()
    levels = range(len(theirs.feature_info))
    assert len(ours.feature_info) == len(levels)
    assert [ours.feature_info[level] for level in levels] == [theirs.feature_info[level] for level in levels]
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


@pytest.mark.parametrize("name", ["resnet18", "resnest14", "resnet20_cifar_preact"])
def test_p22_maps_are_the_outputs_of_the_modules_that_are_named(name: str) -> None:
    net = create_model(name, features_only=True).eval()
    seen: list[torch.Tensor] = []
    for module in net.feature_info.module_name():
        net.get_submodule(module).register_forward_hook(lambda *call: seen.append(call[-1].clone()))
    with torch.inference_mode():
        maps = net(torch.randn(1, 3, 32, 32))
    assert all(torch.equal(own, level) for own, level in zip(seen, maps, strict=True))


@pytest.mark.parametrize("out_indices", [(), (5,), (-6,), (1, 7), 0, 6])
def test_maps_that_a_net_has_not_are_refused(out_indices: int | tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"out_indices are of 0 \(the stem\) to 4 .* or of -1 to -5 from the end"):
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
    assert (ours.num_features, ours.num_classes) == (theirs.num_features, theirs.num_classes)
    ours.double().reset_classifier(7)
    assert ours.get_classifier().weight.shape == (7, 512)
    assert ours(images.double()).shape == (2, 7)
    for net in (ours, theirs):
        net.reset_classifier(3, "avg")
        assert net.get_classifier().weight.shape == (3, 512)
    with pytest.raises(UsageError, match="pool their last maps by the mean, 'avg', not 'max'"):
        ours.reset_classifier(3, "max")


@pytest.mark.parametrize("name", ["resnet18", "resnest14d"])
def test_p22_without_classes_the_net_returns_what_timms_does(name: str) -> None:
    """By create_model, by reset_classifier, and with a classifier again."""
    theirs: Any = timm.create_model(name, num_classes=0).eval()
    ours = create_model("resnest14" if name == "resnest14d" else name, num_classes=0).eval()
    images = torch.randn(2, 3, 64, 64)
    for classes in (0, 3, 0):
        for net in (ours, theirs):
            net.reset_classifier(classes)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert (ours.num_features, ours.num_classes) == (theirs.num_features, theirs.num_classes)
        assert type(ours.get_classifier()) is type(theirs.get_classifier())
        ours.load_state_dict(theirs.state_dict())
        with torch.inference_mode():
            torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)
    assert isinstance(ours.fc, nn.Identity)
    assert torch.equal(ours(images), ours.embed(images))


def test_p22_timms_words_of_regularisation_mean_the_same() -> None:
    words: dict[str, Any] = {"drop_rate": 0.1, "drop_path_rate": 0.2}
    theirs: Any = timm.create_model("resnet18", **words)
    ours = create_model("resnet18", **words)
    assert ours.design.dropout == theirs.drop_rate
    for stage in range(1, 5):
        for own, other in zip(getattr(ours, f"layer{stage}"), getattr(theirs, f"layer{stage}"), strict=True):
            assert own.drop.probability == pytest.approx(getattr(other.drop_path, "drop_prob", 0))
    with pytest.raises(UsageError, match="drop_path_rate is timm's word for stochastic_depth; give one of the two"):
        create_model("resnet18", drop_path_rate=0.1, stochastic_depth=0.1)


@pytest.mark.parametrize("name", ["resnet18.ra4_e3600_r224_in1k", "resnet18.tv3_in1k"])
def test_p22_tags_that_the_table_lacks_are_refused_with_weights_and_build_the_net_without(name: str) -> None:
    """timm's own on its hub, and one of nobody: without timm they cannot be told apart."""
    assert create_model(name).design == find_design("resnet18")
    with pytest.raises(UsageError, match=f"There is no tag '{name[9:]}' in the table for resnet18; the nearest are "):
        create_model(name, pretrained=True)
    with pytest.raises(UsageError, match=r"There is no design 'resnext5O_32x4d'; the nearest are resnext50_32x4d"):
        create_model("resnext5O_32x4d.tv_in1k")


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": "resnest*"},
        {"filter": ["resnet50", "wide_*"]},
        {"filter": "resne*", "exclude_filters": "*d"},
        {"filter": "resne*", "exclude_filters": ["*d", "resnet1*"]},
        {"filter": ""},
    ],
)
def test_p22_models_are_listed_as_by_timm(asked: dict[str, Any]) -> None:
    """Of the names that both know; with ``pretrained`` ours are of the weights that timm's tags name."""
    both = set(timm.list_models()) & DESIGNS.keys()
    assert set(list_models(**asked)) & both == set(timm.list_models(**asked)) & both
    rows = {alias: row.name for row in WEIGHTS for alias in row.aliases}
    theirs = {rows[name] for name in timm.list_models(**asked, pretrained=True) if name in rows}
    ours = list_models(**asked, pretrained=True)
    assert set(ours) <= {row.name for row in WEIGHTS}
    if "exclude_filters" not in asked:  # they fit our names too, where timm has others
        assert theirs <= set(ours)


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
    bare = create_model("resnest14", True, num_classes=0).eval()
    assert list(bare.state_dict()) == [key for key in shelf if not key.startswith("fc.")]
    assert torch.equal(bare(images := grey.expand(-1, 3, -1, -1)), net.embed(images))
    assert "classifier" not in capsys.readouterr().err
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
        assert config == resolve_data_config({}, model=view)
        theirs = resolve_timm_config({"img_size": 224})  # type: ignore[no-untyped-call]
        assert config.keys() == theirs.keys()
        create_transform(**config)
    assert config["crop_mode"] == "border"
    published = resolve_data_config(create_model("resnest14", pretrained=True))
    assert published["input_size"] == (3, 224, 224)
    assert (published["interpolation"], published["crop_pct"]) == ("bicubic", pytest.approx(224 / 256))
    plain = create_model("resnet18")
    assert resolve_data_config(plain)["crop_pct"] == 0.875
    for changes in ({}, {"input_size": (3, 160, 160)}, {"crop_pct": 1.0, "interpolation": "bicubic"}):
        theirs = resolve_timm_config(changes, model=timm.create_model("resnet18.tv_in1k"))  # type: ignore[no-untyped-call]
        assert resolve_data_config(changes, model=plain) == theirs
    with pytest.raises(UsageError, match=r"no key 'crop_pc' in a data config; the nearest .* crop_pct"):
        resolve_data_config({"crop_pc": 1}, model=plain)
    with pytest.raises(UsageError, match="of one net or view"):
        resolve_data_config({})
    with pytest.raises(UsageError, match="of one net or view"):
        resolve_data_config(plain, model=plain)


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "resnet50.fb_ssl_yfcc100m_ft_in1k", "resnet101d.ra2_in1k"])
@pytest.mark.parametrize("features_only", [False, True])
def test_timm_itself_finds_the_view_of_our_nets(name: str, features_only: bool) -> None:
    """As of its own net of the same weights, but that its crop_pct is not of whole pixels."""
    with torch.device("meta"):
        net = create_model(name, features_only=True) if features_only else create_model(name)
    for shown in (None, find_weights(name).view):
        net.view = shown
        found = resolve_timm_config({}, model=net)  # type: ignore[no-untyped-call]
        assert found == resolve_data_config(net)
    published: Any = timm.get_pretrained_cfg(name)
    theirs = resolve_timm_config({}, pretrained_cfg=published.to_dict())  # type: ignore[no-untyped-call]
    assert found == {**theirs, "crop_pct": pytest.approx(theirs["crop_pct"], abs=1 / 224)}
    assert net.default_cfg == net.pretrained_cfg


def refuse_to_load(row: Weights) -> None:
    raise TagwiseError(f"{row.name} is asked for")


@pytest.mark.parametrize("pretrained", [False, True])
def test_m24_impossible_sizes_are_refused_before_anything_is_loaded(
    pretrained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "load_weights", refuse_to_load)
    impossible: tuple[Any, ...] = (-1, "10", 2.5)
    for classes in impossible:
        with pytest.raises(UsageError, match=f"1 class or more, or 0 for none, not {classes!r}"):
            create_model("resnet18", pretrained, num_classes=classes)
    impossible = (0, "3")
    for channels in impossible:
        with pytest.raises(UsageError, match=f"at least 1 input channel, not {channels!r}"):
            create_model("resnet18", pretrained, in_chans=channels)
    with pytest.raises(UsageError, match="or the number of last maps, 1 to 5; not 7"):
        create_model("resnet18", pretrained, features_only=True, out_indices=7)


MISTYPED: dict[str, dict[str, Any]] = {
    r"attention_norm is one of \['batch', 'frozen'\], not 'none'": {"attention_norm": "none"},
    r"dilation_rule is one of \['authors', 'timm', 'detectron2'\], not 'tim'": {
        "output_stride": 8,
        "dilation_rule": "tim",
    },
    r"shortcut is one of \['conv', .*'none'\], not 'projection'": {"shortcut": "projection"},
    r"stem_pool is one of \['padded', 'ceil'\] \| None, not 'max'": {"stem_pool": "max"},
    r"block is one of \['basic', 'bottleneck'\], not 'bottle'": {"block": "bottle"},
    r"stride_at is one of .*'3x3', .* not 'conv2'": {"stride_at": "conv2"},
    r"attention is Attention \| None, not 'se'": {"attention": "se"},
    r"attention.kind is one of \['se', 'sk', 'split'\], not 'see'": {"attention": Attention(kind="see")},  # type: ignore[arg-type]
    "the attention's reduction and min_channels are at least 1": {"attention": Attention(kind="se", reduction=0)},
    r"depths is tuple\[int, \.\.\.\], not \[1, 1, 1, 1\]": {"depths": [1, 1, 1, 1]},
    "base_width is int, not '64'": {"base_width": "64"},
    r"output_stride is int \| None, not '8'": {"output_stride": "8"},
    "dropout is float, not '0.1'": {"drop_rate": "0.1"},
    "zero_init_last is bool, not 'no'": {"zero_init_last": "no"},
}


@pytest.mark.parametrize(("sentence", "settings"), MISTYPED.items())
@pytest.mark.parametrize("pretrained", [False, True])
def test_words_and_types_that_a_setting_has_not_are_refused_with_those_it_has(
    sentence: str, settings: dict[str, Any], pretrained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they are another net, unnoticed, or an error of torch's."""
    monkeypatch.setattr(room, "load_weights", refuse_to_load)
    with pytest.raises(UsageError, match=f"cannot be built: {sentence}"):
        create_model("resnest14", pretrained, **settings)
    assert create_model("resnet18", drop_rate=0, depths=(1, 1, 1, 1)).design.dropout == 0


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("resnext50_999999x999999d", "no width, kernel or stride is above 65,536"),
        ("resnext50_32x99999999999999999999d", "no width, kernel or stride is above 65,536"),
        ("resnest50_2s99999x1d", "no width, kernel or stride is above 65,536"),
        ("resnet12000000000000000002", "a stage has at most 1,000 blocks, not 1,000,000,000,000,000,000"),
        ("resnet6008_cifar", "a stage has at most 1,000 blocks, not 1,001"),
    ],
)
def test_names_of_nets_that_no_machine_holds_are_refused_at_once(name: str, limit: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be built: {limit}"):
        create_model(name)


@pytest.mark.parametrize("pretrained", [1, ["a1"], torchvision.models.ResNet18_Weights.DEFAULT])
def test_what_is_no_tag_is_refused(pretrained: Any) -> None:
    with pytest.raises(UsageError, match="pretrained is True, False or a tag such as 'wsl', not "):
        create_model("resnet18", pretrained)


def test_a_name_and_a_tag_of_other_weights_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "load_weights", refuse_to_load)
    for name, tag in (("resnet18.a1_in1k", "a2"), ("resnet18_swsl", "ssl"), ("tv_resnet50", "imagenet1k_v2")):
        with pytest.raises(UsageError, match=f"{name} names the weights .* and pretrained='{tag}' .*; give one"):
            create_model(name, pretrained=tag)
    for name, tag in (("resnet18.a1_in1k", "a1"), ("resnet18", "a1"), ("resnet18_a1", "resnet18.a1_in1k")):
        with pytest.raises(TagwiseError, match="resnet18_a1 is asked for"):
            create_model(name, pretrained=tag)


def test_torchvisions_word_of_dilation_gets_ours() -> None:
    with pytest.raises(UsageError, match=r"give .* output_stride=8 for \[False, True, True\]"):
        create_model("resnet50", replace_stride_with_dilation=[False, True, True])


@pytest.mark.parametrize("setting", [{"shortcut": "pad_end"}, {"stem_pool": "ceil"}, {"strides": (1, 1, 1, 1)}])
def test_m15_published_weights_are_not_put_into_a_net_that_computes_something_else(
    shelf: dict[str, torch.Tensor], setting: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"would compute something else with another {next(iter(setting))}"):
        create_model("resnest14", pretrained=True, **setting)
    assert create_model("resnest14", pretrained=True, stochastic_depth=0.1, output_stride=16).design.output_stride == 16
