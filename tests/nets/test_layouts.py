"""Weights of other libraries become ours, completely and with equal logits, or are refused by name."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.nets.design import Attention, Design
from tagwise.nets.designs import DESIGNS, find_design
from tagwise.nets.grammar import ResidualNet, build
from tagwise.nets.layouts import (
    from_canonical,
    guess_design,
    read_state,
    recognise,
    strip_wrappers,
    to_canonical,
)
from tests.references import layouts as theirs
from tests.references.layouts import State

SHALLOW = (1, 1, 1, 1)
PLANES = (16, 32, 64, 128)
"""A quarter of the real widths, for speed."""


def small(name: str, **changes: Any) -> Design:
    """One block a stage and narrow, otherwise a design of the table."""
    design = find_design(name)
    if len(design.depths) == 3:
        return dataclasses.replace(design, depths=(1, 1, 1), **changes)
    width = 64 if design.block == "basic" else max(design.base_width // 4, design.reduce_first)
    return dataclasses.replace(
        design, depths=SHALLOW, planes=PLANES, base_width=width, zero_init_last=False, dropout=0.0, **changes
    )


def random_net(design: Design, num_classes: int = 7) -> ResidualNet:
    torch.manual_seed(0)
    net = build(design, num_classes=num_classes).eval()
    randomise(net)
    return net


def randomise(net: nn.Module) -> None:
    """Random norms and statistics, so that no layer is the identity."""
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.copy_(torch.rand_like(tensor) + (0.5 if name.endswith(("running_var", "weight")) else -0.5))


def filled(design: Design, state: State) -> ResidualNet:
    canonical = to_canonical(state, design)
    net = build(design, num_classes=len(canonical["fc.bias"])).eval()
    net.load_state_dict(canonical)
    return net


def assert_same_logits(net: nn.Module, other: nn.Module) -> None:
    images = torch.randn(2, 3, 65, 71, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = net.eval()(images)
        assert (other.eval()(images) - expected).abs().max() <= 1e-6 * expected.abs().max()


def meta(make: Callable[[], nn.Module]) -> State:
    with torch.device("meta"):
        return dict(make().state_dict())


# Layouts: equal logits after the mapping.

OTHERS: list[tuple[str, str, Callable[[ResidualNet], State]]] = [
    ("cadene", "se_resnet50", theirs.cadene_excited),
    ("cadene", "se_resnext50_32x4d", theirs.cadene_excited),
    ("cadene", "legacy_senet154", theirs.cadene_excited),
    ("cadene_resnext", "resnext101_32x4d", theirs.cadene_resnext),
    ("detectron2", "resnet50", theirs.detectron2),
    ("detectron2", "resnest50", theirs.detectron2),
    ("mmdet", "resnet50c", lambda net: theirs.mmdet(net, pools_everywhere=True)),
    ("mmdet", "resnet50d", lambda net: theirs.mmdet(net, pools_everywhere=True)),
    ("mmdet", "resnet50d", lambda net: theirs.mmdet(net, pools_everywhere=False)),
    ("akamaster", "resnet20_cifar", theirs.akamaster),
    ("akamaster", "resnet20_cifar_b", theirs.akamaster),
]


def with_head(state: State, net: ResidualNet) -> State:
    """Backbones of detectors have no classifier; mmpretrain's is ``head.fc``, detectron2's ``linear``."""
    if not any(name.startswith(("last_linear", "linear")) for name in state):
        theirs.put(state, "linear" if "res2.0.conv1.weight" in state else "head.fc", net, "fc")
    return state


@pytest.mark.parametrize(("layout", "name", "rename"), OTHERS)
def test_m15_others_names_map_completely_to_equal_logits(
    layout: str, name: str, rename: Callable[[ResidualNet], State]
) -> None:
    net = random_net(small(name))
    state = with_head(rename(net), net)
    assert recognise(state).name == layout
    assert_same_logits(net, filled(net.design, state))


def test_m15_mmdet_resnests_keep_the_names_of_split_attention() -> None:
    net = random_net(small("resnest50"))
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(("conv1.", "bn1."))}
    for index in (0, 1, 3, 4, 6):
        theirs.put(state, f"stem.{index}", net, f"conv1.{index}")
    theirs.put(state, "stem.7", net, "bn1")
    assert recognise(state).name == "mmdet"
    assert_same_logits(net, filled(net.design, state))


@pytest.mark.parametrize(
    ("layout", "name", "make"),
    [
        ("torchvision", "resnet18", lambda: torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1] * 4)),
        ("torchvision", "resnet50", lambda: torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1] * 4)),
        ("timm", "resnet50d", lambda: timm.create_model("resnet50d", layers=SHALLOW)),
        ("timm", "seresnet50", lambda: timm.create_model("seresnet50", layers=SHALLOW)),
        ("timm", "skresnet18", lambda: timm.create_model("skresnet18", layers=SHALLOW)),
        ("resnest", "resnest50_fast_4s2x40d", lambda: timm.create_model("resnest50d_4s2x40d", layers=SHALLOW)),
        ("cadene", "se_resnet50", lambda: timm.create_model("legacy_seresnet50", layers=list(SHALLOW), drop_rate=0.0)),
        ("cadene", "se_resnet18", lambda: timm.create_model("legacy_seresnet18", layers=list(SHALLOW), drop_rate=0.0)),
    ],
)
def test_m15_torchvision_and_timm_there_and_back(layout: str, name: str, make: Callable[[], nn.Module]) -> None:
    """Their own modules are the oracle, in both directions."""
    module = make()
    randomise(module)
    state = dict(module.state_dict())
    assert recognise(state).name == layout
    design = dataclasses.replace(find_design(name), depths=SHALLOW, dropout=0.0)
    net = filled(design, state)
    assert_same_logits(module, net)
    back = make()
    back.load_state_dict(from_canonical(net.state_dict(), design, "torchvision" if layout == "torchvision" else "timm"))
    assert_same_logits(net, back)


def test_m15_deep_senet_goes_to_timms_legacy_names_and_back() -> None:
    """legacy_senet154 whole, by its names and shapes."""
    design = find_design("legacy_senet154")
    own = meta(lambda: build(design))
    there = from_canonical(own, design, "timm")
    expected = meta(lambda: timm.create_model("legacy_senet154"))
    assert {name: tensor.shape for name, tensor in there.items()} == {n: t.shape for n, t in expected.items()}
    assert list(to_canonical(there, design)) == list(own)


def test_m15_fbresnet_with_biases_in_its_convolutions() -> None:
    net = random_net(small("resnet152"))
    state = theirs.cadene_plain(net)
    assert recognise(state).name == "cadene_plain"
    assert_same_logits(net, filled(net.design, state))


@pytest.mark.parametrize("name", ["resnet34", "resnext101_64x4d", "wide_resnet50_2"])
def test_m15_whole_torchvision_nets_are_recognised_by_their_tensors(name: str) -> None:
    state = meta(lambda: torchvision.models.get_model(name, weights=None))
    assert guess_design(state) == name
    assert list(from_canonical(to_canonical(state, find_design(name)), find_design(name), "torchvision")) == list(state)


@pytest.mark.parametrize(
    ("theirs_name", "name"),
    [
        ("resnet50d", "resnet50d"),
        ("seresnext50_32x4d", "seresnext50_32x4d"),
        ("skresnet18", "skresnet18"),
        ("senet154", "senet154"),
        ("resnest50d_1s4x24d", "resnest50_fast_1s4x24d"),
        ("resnest101e", "resnest101"),
        ("legacy_seresnext50_32x4d", "se_resnext50_32x4d"),
        ("legacy_seresnet34", "se_resnet34"),
    ],
)
def test_whole_timm_nets_are_recognised_by_their_tensors(theirs_name: str, name: str) -> None:
    assert guess_design(meta(lambda: timm.create_model(theirs_name))) == name


def test_a_net_of_no_design_is_held_against_the_nearest() -> None:
    with pytest.raises(TagwiseError, match="pre-activated"):
        guess_design(meta(lambda: timm.create_model("resnetv2_50")))
    with pytest.raises(UsageError) as refusal:
        guess_design(meta(lambda: timm.create_model("ecaresnet50d")), "The weights in eca.pth")
    assert str(refusal.value) == (
        "The weights in eca.pth (timm) are of no design in the table; say which they are with --design (the nearest is "
        "resnet50d: 16 are left over (layer1.0.se.conv.weight, layer1.1.se.conv.weight, layer1.2.se.conv.weight, "
        "layer2.0.se.conv.weight, layer2.1.se.conv.weight, ...))."
    )


def test_same_tensors_of_two_designs_are_not_guessed() -> None:
    """ResNeSt-50 and its fast variant differ only in where they pool."""
    with pytest.raises(UsageError, match="resnest50 and resnest50_fast_2s1x64d"):
        guess_design(meta(lambda: build(find_design("resnest50"))))


def test_a_backbone_without_classifier_is_recognised() -> None:
    state = meta(lambda: build(find_design("resnet18")))
    assert guess_design({name: tensor for name, tensor in state.items() if not name.startswith("fc.")}) == "resnet18"


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnext29_1x8d_cifar_preact", "resnest14", "se_resnet18"])
def test_canonical_names_are_a_layout_of_their_own_kind(name: str) -> None:
    net = random_net(small(name))
    canonical = to_canonical(net.state_dict(), net.design)
    assert list(canonical) == list(net.state_dict())
    assert_same_logits(net, filled(net.design, canonical))


@pytest.mark.parametrize(
    ("name", "layout", "words"),
    [
        ("seresnet50", "torchvision", "channel attention"),
        ("resnet50d", "torchvision", "deep stem"),
        ("resnet50_msra", "timm", "stride_at=1x1"),
        ("resnet20_cifar", "timm", "planes=(16, 32, 64)"),
        ("resnext29_1x8d_cifar_preact", "torchvision", "planes"),
        ("se_resnet18", "torchvision", "channel attention"),
    ],
)
def test_nets_that_the_other_library_cannot_build_do_not_go_there(name: str, layout: Any, words: str) -> None:
    design = find_design(name)
    with pytest.raises(UsageError, match=f"{layout} cannot hold this net") as refusal:
        from_canonical(meta(lambda: build(design)), design, layout)
    assert words in str(refusal.value)


@pytest.mark.parametrize("library", ["cadene", "Torchvision"])
def test_weights_go_to_no_library_of_another_name(library: Any) -> None:
    with pytest.raises(UsageError, match=f"There is no library '{library}'; "):
        from_canonical({}, find_design("resnet50"), library)


def test_every_design_of_the_table_goes_back_out_whole_or_says_why() -> None:
    refused = 0
    for design in {design for design in DESIGNS.values() if sum(design.depths) <= 10}:
        state = meta(functools.partial(build, design))
        try:
            there = from_canonical(state, design, "timm")
        except UsageError:
            refused += 1
            continue
        assert list(to_canonical(there, design)) == list(state)
    assert refused > 0


# Refusals.


def test_m17_caffes_excited_nets_are_not_equal_behind_a_padded_pool() -> None:
    state = theirs.cadene_excited(random_net(small("se_resnext50_32x4d")))
    with pytest.raises(TagwiseError, match=r"not equal in .*Caffe's pool"):
        to_canonical(state, small("seresnext50_32x4d"))


def test_m15_caffes_stride_is_not_equal_in_the_3x3() -> None:
    state = theirs.cadene_excited(random_net(small("se_resnet50")))
    for other in (small("seresnet50"), small("se_resnet50", stride_at="3x3")):
        with pytest.raises(TagwiseError, match="not equal"):
            to_canonical(state, other)


def test_m15_torch_stride_is_not_equal_in_the_1x1() -> None:
    net = random_net(small("resnext50_32x4d"))
    with pytest.raises(TagwiseError, match="stride in the 3x3 convolution and the design in the first 1x1"):
        to_canonical(theirs.cadene_resnext(net), small("resnext50_32x4d", stride_at="1x1"))


def test_the_design_states_the_lineage_where_names_cannot() -> None:
    net = random_net(small("resnet50_msra"))
    assert_same_logits(net, filled(net.design, dict(net.state_dict())))


def test_m22_akamasters_zeros_stand_on_both_sides() -> None:
    net = random_net(small("resnet20_cifar"))
    with pytest.raises(TagwiseError, match="zeros on both sides"):
        to_canonical(theirs.akamaster(net), small("resnet20_cifar_end"))


def test_m17_legacy_gates_behind_a_relu_are_not_equal_without_it() -> None:
    state = meta(lambda: timm.create_model("legacy_seresnet18"))
    plain = dataclasses.replace(find_design("se_resnet18"), attention=Attention(kind="se", min_channels=1))
    with pytest.raises(TagwiseError, match="not equal in the design: timm's legacy nets have a ReLU before the gate"):
        to_canonical(state, plain)
    with pytest.raises(TagwiseError, match="not equal in seresnet18: they belong behind Caffe's pool"):
        to_canonical(state, find_design("seresnet18"))
    with pytest.raises(UsageError, match="without a ReLU before the gate of basic blocks"):
        from_canonical(meta(lambda: build(plain)), plain, "timm")


def test_cafferesnet101_is_refused_and_torchvisions_way_out_is_named() -> None:
    state = meta(lambda: build(find_design("resnet101")))
    state["last_linear.weight"], state["last_linear.bias"] = state.pop("fc.weight"), state.pop("fc.bias")
    with pytest.raises(TagwiseError, match=r"BGR pixels.*rename last_linear to fc"):
        to_canonical(state, find_design("resnet101"))


def test_folded_norms_of_caffe2_are_refused() -> None:
    net = random_net(small("resnet50"))
    state = theirs.detectron2(net)
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var")):
            tensor.fill_(float(name.endswith("var")))
    with pytest.raises(TagwiseError, match="folded into scale and shift"):
        to_canonical(state, net.design, new_classifier=True)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("layer1.0.conv2_offset.weight", "deformable"),
        ("layer1.0.bn1.gamma", "MXNet"),
        ("stages.0.blocks.0.norm1.weight", "pre-activated"),
    ],
)
def test_m15_unmappable_nets_are_refused_with_the_reason(extra: str, words: str) -> None:
    design = small("resnet18")
    with pytest.raises(TagwiseError, match=words) as refusal:
        to_canonical(dict(random_net(design).state_dict()) | {extra: torch.zeros(1)}, design)
    assert extra in str(refusal.value)


def test_names_of_no_layout_are_refused_with_the_first_five() -> None:
    with pytest.raises(TagwiseError, match=r"no layout known here .*: a0, a1, a2, a3, a4\."):
        recognise({f"a{number}": torch.zeros(1) for number in range(9)})


def test_weights_of_another_width_list_five_tensors_and_their_count() -> None:
    state = random_net(small("resnet50")).state_dict()
    with pytest.raises(TagwiseError, match="have another shape") as refusal:
        to_canonical(state, find_design("resnet50d"))
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith("These weights (torchvision) do not fit resnet50d: ")
    assert "tensors are missing (conv1.0.weight, conv1.1.weight," in message
    assert "left over (conv1.weight" in message


def test_weights_of_another_design_than_was_given_say_whose_they_are() -> None:
    state = meta(lambda: timm.create_model("resnet50"))
    with pytest.raises(TagwiseError, match=r"do not fit resnet34: .*; nearer is resnet50, which they fit\."):
        to_canonical(state, find_design("resnet34"))
    del state["bn1.bias"]
    with pytest.raises(TagwiseError, match=r"; nearer is resnet50, of which 1 tensor is missing \(bn1\.bias\)\."):
        to_canonical(state, find_design("resnet34"))
    with pytest.raises(TagwiseError, match=r"do not fit resnet50: 1 tensor is missing \(bn1\.bias\)\.$"):
        to_canonical(state, find_design("resnet50"))


@pytest.mark.parametrize(
    ("name", "asked"),
    [("resnet50", "resnet34"), ("resnet50", "resnet101"), ("resnet50", "resnet50d"), ("resnet18", "resnet50")],
)
def test_counters_that_a_file_lacks_are_in_no_message_and_do_not_change_what_is_nearest(name: str, asked: str) -> None:
    """Neither as missing nor as left over, where the asked design has more blocks, fewer or other ones."""
    state = meta(lambda: timm.create_model(name))
    old = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    for tensors in (state, old):
        with pytest.raises(
            TagwiseError, match=rf"^Old \(torchvision\) do not fit .*; nearer is {name}, which they fit\.$"
        ) as fault:
            to_canonical(tensors, find_design(asked), where="Old")
    assert "num_batches" not in str(fault.value)


def test_safetensors_that_begin_like_a_web_page_are_read(tmp_path: Path) -> None:
    """A header of 15,392 bytes is announced by those of a space and of a <."""
    header = b'{"conv1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x3C20)
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_state(tmp_path / "a.safetensors").keys() == {"conv1.weight"}


@functools.cache
def example(number: int) -> tuple[Design, State, dict[str, str]]:
    """A small net in a layout, and the canonical name of each of its tensors."""
    if number < len(OTHERS):
        _, name, rename = OTHERS[number]
        net = random_net(small(name))
        state = with_head(rename(net), net)
    else:
        net = random_net(small(("resnet18", "seresnet50", "resnest14")[number - len(OTHERS)]))
        state = dict(net.state_dict())
    return net.design, state, recognise(state).canonical(state.keys())


@settings(max_examples=120)
@given(data=st.data())
def test_m15_one_tensor_less_more_or_of_another_shape_is_always_refused_by_name(data: st.DataObject) -> None:
    design, whole, said = example(data.draw(st.integers(0, len(OTHERS) + 2)))
    state = dict(whole)
    name = data.draw(st.sampled_from(sorted(state)))
    change = data.draw(st.sampled_from(["removed", "added", "reshaped", "integer"]))
    named = name
    if change == "removed":
        del state[name]
        named = said[name]
    elif change == "added":
        named = f"{name}_more"
        state[named] = state[name]
    elif change == "reshaped":
        state[name] = torch.zeros([size + 1 for size in state[name].shape] or [2])
    else:
        state[name] = state[name].double() if name.endswith("tracked") else state[name].int()
    with pytest.raises(TagwiseError) as refusal:
        to_canonical(state, design)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_two_names_for_one_tensor_are_refused() -> None:
    net = random_net(small("resnext50_32x4d"))
    state = theirs.cadene_resnext(net) | {"fc.weight": net.fc.weight}
    with pytest.raises(TagwiseError, match=r"fc\.weight twice"):
        to_canonical(state, net.design)


# Classifiers, counters, kinds of numbers.


def test_a_classifier_of_another_size_is_refused_with_both_sizes_unless_a_new_one_is_asked_for() -> None:
    net = random_net(small("resnet18"))
    state = net.state_dict()
    assert "fc.weight" in to_canonical(state, net.design, num_classes=7)
    with pytest.raises(TagwiseError, match="classifier of 7 outputs and 10 are asked for"):
        to_canonical(state, net.design, num_classes=10)
    backbone = to_canonical(state, net.design, num_classes=10, new_classifier=True)
    assert set(state) - set(backbone) == {"fc.weight", "fc.bias"}
    kept = to_canonical(state, net.design, num_classes=7, new_classifier=True)
    assert torch.equal(kept["fc.weight"], state["fc.weight"])


def test_a_backbone_is_accepted_only_where_a_new_classifier_is_asked_for() -> None:
    net = random_net(small("resnet18"))
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("fc.")}
    with pytest.raises(TagwiseError, match=r"missing \(fc.weight, fc.bias\), and a new classifier was not asked for"):
        to_canonical(state, net.design, num_classes=7)
    assert to_canonical(state, net.design, num_classes=7, new_classifier=True).keys() == state.keys()


def test_counters_that_old_files_lack_are_zero_and_half_numbers_become_float32() -> None:
    net = random_net(small("resnet18"))
    old = {name: tensor.half() for name, tensor in net.state_dict().items() if "num_batches" not in name}
    canonical = to_canonical(old, net.design)
    assert canonical["bn1.num_batches_tracked"] == 0
    assert canonical["bn1.num_batches_tracked"].dtype == torch.int64
    assert {tensor.dtype for tensor in canonical.values()} == {torch.float32, torch.int64}


# Files and wrappers.


def test_m15_wrappers_and_prefixes_come_off_in_any_nesting() -> None:
    state = dict(random_net(small("resnet18")).state_dict())
    for wrapped in (
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3},
        {"model": {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()}},
        {"net": {"state_dict": {f"model.encoder.{name}": tensor for name, tensor in state.items()}}},
        {"model": {f"backbone.bottom_up.{name}": tensor for name, tensor in state.items()}},
    ):
        assert list(strip_wrappers(wrapped)) == list(state)


def test_averaged_weights_are_taken_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    last, averaged = {"conv1.weight": torch.zeros(1)}, {"conv1.weight": torch.ones(1)}
    for name in ("state_dict_ema", "model_ema"):
        assert strip_wrappers({"state_dict": last, name: averaged})["conv1.weight"] == 1
        assert capsys.readouterr().err == f"The averaged weights ({name}) are taken, not the last ones.\n"


def test_a_detectors_backbone_is_taken_and_the_rest_said(capsys: pytest.CaptureFixture[str]) -> None:
    net = random_net(small("resnet50d"))
    backbone = {f"backbone.{name}": tensor for name, tensor in theirs.mmdet(net, pools_everywhere=True).items()}
    whole = backbone | {"neck.convs.0.weight": torch.zeros(1), "roi_head.bbox_head.fc_cls.weight": torch.zeros(1)}
    canonical = to_canonical(strip_wrappers({"state_dict": whole}), net.design, new_classifier=True)
    said = "Tensors beside the backbone, such as neck.convs.0.weight, are left aside: 2 in all."
    assert said in capsys.readouterr().err
    assert torch.equal(canonical["bn1.weight"], net.state_dict()["bn1.weight"])
    with pytest.raises(TagwiseError, match=r"strange\.weight"):
        to_canonical(strip_wrappers(whole | {"strange.weight": torch.zeros(1)}), net.design, new_classifier=True)


def test_detectron2_backbones_behind_bgr_pixels_are_refused() -> None:
    state = {f"backbone.bottom_up.{name}": t for name, t in theirs.detectron2(random_net(small("resnet50"))).items()}
    rgb = {"pixel_mean": torch.tensor([123.68, 116.779, 103.939]), "pixel_std": torch.tensor([58.393, 57.12, 57.375])}
    assert "res2.0.conv1.weight" in strip_wrappers(state | rgb)
    bgr = {"pixel_mean": torch.tensor([103.53, 116.28, 123.675]), "pixel_std": torch.ones(3)}
    with pytest.raises(TagwiseError, match="blue first"):
        strip_wrappers(state | bgr)


def test_every_kind_of_file_gives_the_same_tensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"module.conv1.weight": torch.rand(2, 3)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=0.1)}, tmp_path / "a.pth.tar")
    torch.save(state, tmp_path / "a.th", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pth", "a.pth.tar", "a.th"):
        assert torch.equal(read_state(tmp_path / name)["conv1.weight"], state["module.conv1.weight"])


class Malice:
    """Unpickled, it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_wants_to_run_code_does_not(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": Malice(mark)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Malice(mark), protocol=2))
    for protocol in (4, 5):
        (tmp_path / "new.pth").write_bytes(pickle.dumps(Malice(mark), protocol=protocol))
        torch.save({"state_dict": Malice(mark)}, tmp_path / "new.zip.pth", pickle_protocol=protocol)
        for name in ("new.pth", "new.zip.pth"):
            with pytest.raises(
                TagwiseError, match=r"is a pickle of protocol 4 or 5, .* without running what is in it; save"
            ):
                read_state(tmp_path / name)
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    for name, wanted in (("zip.pth", "mkdir"), ("plain.pth", "mkdir"), ("module.pth", "Linear")):
        with pytest.raises(TagwiseError, match=rf"{name} wants [\w.]*{wanted} to run while it is read") as refusal:
            read_state(tmp_path / name)
        assert "\n" not in str(refusal.value)
    assert not mark.exists()


def broken_files(folder: Path) -> dict[str, str]:
    """File names with a part of the sentence that each gives."""
    torch.save({"a": torch.rand(1000)}, folder / "whole.pth")
    torch.save({"a": torch.rand(1000)}, folder / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("whole.pth", "old.pth"):
        (folder / f"torn-{name}").write_bytes((folder / name).read_bytes()[:2000])
    torch.save({}, folder / "nothing.pth")
    torch.save([torch.rand(2)], folder / "list.pth")
    torch.save({"epoch": 3, "weights": torch.rand(2)}, folder / "number.pth")
    cycle: dict[str, Any] = {}
    cycle["model"] = cycle
    torch.save(cycle, folder / "cycle.pth")
    contents = {"empty.pth": b"", "text.pth": b"some text\n" * 9, "page.pth": b"\n<!DOCTYPE html><html>404</html>"}
    contents |= {
        "empty.t7": b"",
        "text.t7": b"some text\n" * 9,
        "torn.safetensors": b"\x40\0\0\0\0\0\0\0{",
        "w.params": b"1",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.pth").mkdir()
    return {
        "torn-whole.pth": r"PyTorch's weights: PytorchStreamReader .* central directory; fetch it again\.$",
        "torn-old.pth": r"cannot be read as PyTorch's weights: .*; fetch it again\.$",
        "text.pth": "cannot be read as PyTorch's weights",
        **dict.fromkeys(("empty.pth", "empty.t7"), "is empty"),
        "nothing.pth": "holds no tensors",
        "list.pth": "holds a list",
        "number.pth": "'epoch' is a int",
        "cycle.pth": "more than 5 times",
        "page.pth": "is a web page",
        "text.t7": "binary Torch7 file",
        "torn.safetensors": r"cannot be read as safetensors: .*; fetch it again\.$",
        "w.params": "MXNet",
        "folder.pth": "is a folder",
        "missing.pth": "is not there",
    }


def test_broken_files_give_one_sentence_each(tmp_path: Path) -> None:
    for name, words in broken_files(tmp_path).items():
        with pytest.raises(TagwiseError, match=words) as refusal:
            read_state(tmp_path / name)
        assert name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_m16_published_cifar_resnet_loads_strictly(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its best_prec1 is the best of all epochs, not the accuracy of these weights: nothing says it."""
    state = read_state(real_data / "weights/resnet20-12fca82f.th")
    assert recognise(state).name == "akamaster"
    assert guess_design(state) == "resnet20_cifar"
    net = build(find_design("resnet20_cifar"), num_classes=10)
    net.load_state_dict(to_canonical(state, net.design, num_classes=10), strict=True)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_m20_two_readings_never_share_tensors(real_data: Path) -> None:
    first, second = (read_state(real_data / "weights/resnet20-12fca82f.th") for _ in range(2))
    first["conv1.weight"].zero_()
    assert second["conv1.weight"].any()


def test_sparse_and_sick_tensors_are_refused_when_they_are_read(tmp_path: Path) -> None:
    state = {"layer1.0.conv1.weight": torch.zeros(4, 4).to_sparse()}
    torch.save(state, tmp_path / "sparse.pth")
    with pytest.raises(TagwiseError, match=r"layer1\.0\.conv1\.weight is sparse or quantised"):
        read_state(tmp_path / "sparse.pth")
    sick = build(find_design("resnet8_cifar"), num_classes=3).state_dict()
    sick["layer2.0.bn1.bias"][1] = torch.nan
    with pytest.raises(TagwiseError, match=r"1 holds numbers that are not finite \(layer2\.0\.bn1\.bias\)"):
        to_canonical(sick, find_design("resnet8_cifar"))
