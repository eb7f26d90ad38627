"""Names: the table, the grammar, other libraries' spellings, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from tagwise.base.errors import UsageError
from tagwise.nets import Attention, Design, count_parameters, find_design, list_models
from tagwise.nets.designs import DESIGNS

SAME_DESIGN = {
    "tv_resnet50": "resnet50",
    "resnet50.tv2_in1k": "resnet50",
    "gluon_resnet50_v1b": "resnet50",
    "gluon_resnet101_v1d": "resnet101d",
    "resnet152s.gluon_in1k": "resnet152s",
    "ig_resnext101_32x8d": "resnext101_32x8d",
    "ig_resnext101_32x16d": "resnext101_32x16d",
    "ig_resnext101_32x32d": "resnext101_32x32d",
    "resnext101_32x48d_wsl": "resnext101_32x48d",
    "resnext101_32x16d.fb_wsl_ig1b_ft_in1k": "resnext101_32x16d",
    "ssl_resnet18": "resnet18",
    "swsl_resnext101_32x16d": "resnext101_32x16d",
    "resnet50_swsl": "resnet50",
    "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k": "resnext50_32x4d",
    "legacy_seresnet18": "se_resnet18",
    "legacy_seresnet34.in1k": "se_resnet34",
    "legacy_seresnet50": "se_resnet50",
    "legacy_seresnext101_32x4d": "se_resnext101_32x4d",
    "gluon_senet154": "senet154",
    "resnest50d": "resnest50",
    "resnest269e": "resnest269",
    "resnest50d_4s2x40d": "resnest50_fast_4s2x40d",
    "resnest50_2s1x64d": "resnest50",
}


@pytest.mark.parametrize(("theirs", "ours"), SAME_DESIGN.items())
def test_m14_other_libraries_names_resolve(theirs: str, ours: str) -> None:
    assert find_design(theirs) == find_design(ours)


def test_m14_timms_old_name_of_the_largest_wsl_net_is_that_net() -> None:
    """timm 1.0.31 builds the 32x8d of 88,791,336 parameters under this name."""
    assert count_parameters(find_design("ig_resnext101_32x48d")) == 828_411_176


def test_m14_unknown_names_give_the_nearest_three() -> None:
    with pytest.raises(UsageError) as caught:
        find_design("resnxt50_32x4d")
    assert str(caught.value).startswith("There is no design 'resnxt50_32x4d'; the nearest are resnext50_32x4d, ")
    assert str(caught.value).count(",") == 2


def test_free_names_of_the_grammar() -> None:
    free = find_design("resnext38_24x10d")
    assert (free.depths, free.cardinality, free.base_width) == ((3, 3, 3, 3), 24, 10)
    assert find_design("seresnext152_64x4d").attention == Attention(kind="se")
    assert find_design("resnest50_fast_0s1x64d").attention is None
    assert find_design("resnet110_cifar_preact").preactivation
    assert find_design("resnest11_2s1x32d_small").attention == Attention(
        kind="split", reduction=4, min_channels=32, radix=2
    )


@pytest.mark.parametrize(("layers", "published"), [(164, 1.7e6), (1001, 10.2e6)])
def test_deep_cifar_nets_of_he_et_al_2016b_are_bottlenecks_with_projections(layers: int, published: float) -> None:
    """Units of 1x1, 3x3, 1x1 and stages of 64, 128, 256 channels, as in the authors' resnet-pre-act.lua."""
    design = find_design(f"resnet{layers}_cifar_preact")
    assert (design.block, design.channels, design.shortcut) == ("bottleneck", (64, 128, 256), "conv")
    assert 3 * sum(design.depths) + 2 == layers
    assert count_parameters(design, num_classes=10) == pytest.approx(published, rel=0.02)
    assert find_design(f"resnet{layers}_cifar") == dataclasses.replace(design, preactivation=False)
    assert find_design("resnet110_cifar_preact").block == "basic"


def test_plain_nets_have_as_many_layers_as_their_name() -> None:
    """Basic blocks of two layers, with stem and classifier."""
    assert [2 * sum(find_design(f"plain{layers}").depths) + 2 for layers in (18, 34, 50)] == [18, 34, 50]
    with pytest.raises(UsageError, match="plain101 has no whole blocks"):
        find_design("plain101")


def test_small_nets_keep_all_pixels_in_their_stem() -> None:
    """3x3 stride-1 stem of 32, three stages of two bottlenecks, 64, 128, 256 out, 8 groups."""
    small = find_design("resnext20_8x4d_small")
    assert small == Design(
        block="bottleneck",
        depths=(2, 2, 2),
        planes=(16, 32, 64),
        strides=(2, 2, 2),
        cardinality=8,
        base_width=4,
        stem_widths=(32,),
        stem_kernel=3,
        stem_stride=1,
        stem_pool=None,
    )
    assert small.channels == (64, 128, 256)
    assert small.widths == (32, 64, 128)


def test_width_is_rounded_down_for_each_group_before_multiplying() -> None:
    assert find_design("resnext50_8x14d").widths == (8 * 14, 8 * 28, 8 * 56, 8 * 112)
    odd = dataclasses.replace(find_design("resnext50_32x4d"), planes=(64, 72, 80, 100), base_width=3)
    assert odd.widths == (96, 96, 96, 128)


@pytest.mark.parametrize(
    "name",
    [
        "resnext50",
        "resnet50_32x4d",
        "seresnest50",
        "resnet50_2s1x64d",
        "resnet50d_cifar",
        "resnet50_b",
        "resnet20_small",
    ],
)
def test_words_that_do_not_go_together_are_no_design(name: str) -> None:
    with pytest.raises(UsageError, match=f"There is no design '{name}'"):
        find_design(name)


@pytest.mark.parametrize(
    ("name", "possible"),
    [("resnet51", r"12n \+ 2"), ("resnet21_cifar", r"164, 1001 or 6n \+ 2"), ("resnext2_8x4d_small", r"9n \+ 2")],
)
def test_depths_that_fit_no_stages_are_refused_with_the_rule(name: str, possible: str) -> None:
    with pytest.raises(UsageError, match=possible):
        find_design(name)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("resnet20", "resnet20_cifar"),
        ("resnet110", "resnet110_cifar"),
        ("resnet1202", "resnet1202_cifar"),
        ("plain110", "plain110_cifar"),
        ("resnet1001_preact", "resnet1001_cifar_preact"),
        ("resnext29_8x64d", "resnext29_8x64d_cifar"),
    ],
)
def test_names_of_the_nets_for_small_pictures_are_never_large_nets(name: str, ours: str) -> None:
    """110 and 1202 layers would fit four stages of bottlenecks, which no paper has."""
    with pytest.raises(
        UsageError, match=f"no design '{name}', a net for pictures of 32 pixels; its name here is {ours}\\."
    ):
        find_design(name)
    assert find_design(ours).stem_pool is None


def test_a_tag_names_weights_and_not_the_design() -> None:
    """Without timm nothing tells a tag that it has from one that nobody has."""
    for tag in ("ra4_e3600_r224_in1k", "bt_in1k", "nobodys"):
        assert find_design(f"resnet50.{tag}") == find_design("resnet50")
    assert find_design("legacy_seresnet50.in1k") == find_design("se_resnet50")


CONTRADICTIONS = {
    "4, 3 and 4 stages": {"planes": (64, 128, 256)},
    "at least 1": {"depths": (2, 0, 2, 2)},
    "is odd": {"stem_kernel": 4},
    "basic blocks have no groups": {"block": "basic", "cardinality": 32},
    "basic blocks stride": {"block": "basic", "stride_at": "1x1"},
    "stands in bottlenecks": {"block": "basic", "attention": Attention(kind="split", radix=2)},
    "without channels": {"planes": (64, 8, 8, 8), "base_width": 4, "cardinality": 8},
    "do not divide": {"cardinality": 3, "attention": Attention(kind="split", radix=2, min_channels=32, reduction=99)},
    "only add channels": {"shortcut": "pad_end", "planes": (64, 32, 64, 64)},
    "64 channels do not divide into 1 groups of 3 splits": {"attention": Attention(kind="split", radix=3)},
    "radix of at least 1": {"attention": Attention(kind="split", radix=0)},
    "halves of the input": {"cardinality": 4, "base_width": 3, "attention": Attention(kind="sk", split_input=True)},
    "reduce_first 2 leaves": {"cardinality": 4, "base_width": 3, "reduce_first": 2},
    "before the gate belongs to squeeze": {"attention": Attention(kind="sk", rectified=True)},
    "belongs to split attention": {"attention": Attention(kind="se", radix=2)},
    "stride in a convolution": {"preactivation": True, "stride_at": "avd_last"},
    "take squeeze-and-excitation": {"preactivation": True, "attention": Attention(kind="sk")},
    "0 to 1": {"stochastic_depth": 1.5},
    "0 to below 1": {"drop_block": 1.0},
    "drop_block is 0 in pre-activation nets": {"preactivation": True, "drop_block": 0.1},
    "stochastic_depth 0": {"shortcut": "none", "stochastic_depth": 0.1},
    "zero_init_last is False": {"shortcut": "none", "zero_init_last": True},
    "output_stride is one of 4, 8, 16, 32, not 2": {"output_stride": 2},
}


@pytest.mark.parametrize(("sentence", "settings"), CONTRADICTIONS.items())
def test_contradictory_designs_are_refused(sentence: str, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"This design cannot be built: .*{sentence}"):
        dataclasses.replace(find_design("resnet50"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["plain18", "plain34", "plain20_cifar", "plain110_cifar"])
def test_plain_nets_are_the_basic_ones_without_shortcuts(name: str) -> None:
    residual = find_design(name.replace("plain", "resnet"))
    assert find_design(name) == dataclasses.replace(residual, shortcut="none")
    with pytest.raises(UsageError, match="There is no design"):
        find_design(f"{name}_preact")


def test_list_models_filters_by_shell_pattern() -> None:
    assert list_models("resnext101_32x*d") == [f"resnext101_32x{width}d" for width in (4, 8, 16, 32, 48)]
    assert len(list_models()) == len(DESIGNS)
    assert list_models("vit*") == []
