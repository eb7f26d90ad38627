"""Models: one file, equal logits after a round trip, names that are nearly right, heads carried over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.nets import build, find_design
from tagwise.nets.grammar import ResidualNet
from tagwise.tags.space import Label, LabelOptions, LabelSpace
from tagwise.training.loading import load
from tagwise.training.losses import prior_bias
from tagwise.training.models import (
    MODEL_FILE,
    Model,
    ModelFacts,
    carry_head_over,
    replace_head,
    save_model,
)
from tests.references.layouts import akamaster
from tests.training.tiny import DESIGN, VIEW


def space(*labels: tuple[str, ...], aliases: dict[str, str] | None = None) -> LabelSpace:
    """Labels of the given members, the first their key."""
    return LabelSpace(
        labels=tuple(Label(key=keys[0], spelling=keys[0], members=keys, pictures=1) for keys in labels),
        options=LabelOptions(aliases=aliases or {}),
        unicode_version="15.0.0",
        table_digest="0" * 16,
        pictures=9,
        tags=9,
        fates={"kept": 9},
    )


SPACE = space(("cat",), ("brownbear", "ursusarctos"), ("東京",), aliases={"ursusarctos": "brownbear"})


def net_of(outputs: int, seed: int = 0, name: str | None = None) -> ResidualNet:
    torch.manual_seed(seed)
    net = build(DESIGN if name is None else find_design(name), num_classes=outputs)
    net.train()
    net(torch.randn(4, 3, 32, 32))  # so that running statistics are not what a fresh net has
    return net.eval()


def saved(path: Path, net: ResidualNet, **facts: Any) -> Path:
    save_model(path, net, replace(ModelFacts(design=net.design, view=VIEW, labels=SPACE), **facts))
    return path


@pytest.mark.parametrize("name", [None, "resnext20_8x4d_small", "skresnet18", "resnest14", "seresnet18"])
def test_p10_a_round_trip_keeps_logits_and_facts(tmp_path: Path, name: str | None) -> None:
    net = net_of(3, name=name)
    facts = ModelFacts(
        design=net.design, view=VIEW, labels=SPACE, loss="sigmoid", images=10**9, lineage=("a", "b"), licence="CC0-1.0"
    )
    save_model(tmp_path / MODEL_FILE, net.to(memory_format=torch.channels_last), facts)
    by_folder, by_file = load(tmp_path), load(str(tmp_path / MODEL_FILE))
    images_BCHW = torch.randn(2, 3, 32, 32)
    for model in (by_folder, by_file):
        assert model.facts == facts
        assert not model.net.training
        with torch.inference_mode():
            torch.testing.assert_close(model.net(images_BCHW), net(images_BCHW), rtol=0, atol=1e-6)
    assert (by_folder.name, by_file.name) == (tmp_path.name, "model")
    assert by_folder.digest == by_file.digest
    assert facts.outputs == ("cat", "brownbear", "東京")


def test_p25_a_model_of_others_is_saved_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    """Design, view, names of the outputs, provenance and licence; the publisher's rule of showing pictures too."""
    torch.save(akamaster(net_of(3, name="resnet20_cifar")), tmp_path / "own.th")
    model = load(tmp_path / "own.th", classes=("kite", "owl", "wren"))
    model.save(str(tmp_path / "mine.safetensors"))
    again = load(tmp_path / "mine.safetensors")
    assert again.facts == model.facts
    assert again.facts.view.origin == "akamaster's, as the pictures are"
    assert again.net.design == find_design("resnet20_cifar")
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], tensor)
    model.net.reset_classifier(7)
    with pytest.raises(UsageError, match="The net has 7 outputs and own 3 names of outputs"):
        model.save(tmp_path / "other.safetensors")
    model.net.reset_classifier(0)
    with pytest.raises(UsageError, match="The net has 0 outputs and own 3 names of outputs; give both as many"):
        model.save(tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


@pytest.mark.parametrize(
    ("library", "name", "theirs"),
    [
        ("torchvision", "resnet18", lambda: torchvision.models.resnet18(num_classes=3)),
        ("timm", "resnet18d", lambda: timm.create_model("resnet18d", num_classes=3)),
    ],
)
def test_a_trained_model_goes_out_to_other_libraries_with_equal_logits(
    tmp_path: Path, library: Literal["torchvision", "timm"], name: str, theirs: Callable[[], nn.Module]
) -> None:
    model = load(saved(tmp_path / "m", net_of(3, name=name)))
    other = theirs().eval()
    other.load_state_dict(model.state_dict_for(library))
    images_BCHW = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(other(images_BCHW), model.net(images_BCHW))


def test_a_net_that_another_library_lacks_is_refused(tmp_path: Path) -> None:
    model = load(saved(tmp_path / "m", net_of(3, name="resnet20_cifar")))
    with pytest.raises(UsageError, match="torchvision cannot hold this net: it has no"):
        model.state_dict_for("torchvision")


def test_saving_does_not_change_the_net_and_the_same_net_gives_the_same_bytes(tmp_path: Path) -> None:
    net = net_of(3)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    contents = {saved(tmp_path / str(number), net).read_bytes() for number in range(2)}
    assert len(contents) == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_loaded_net_can_be_trained(tmp_path: Path) -> None:
    net = load(saved(tmp_path / "m", net_of(3))).net
    assert all(parameter.requires_grad for parameter in net.parameters())
    net.train()
    net(torch.randn(2, 3, 16, 16)).sum().backward()


def test_classes_name_the_outputs_where_there_are_no_labels(tmp_path: Path) -> None:
    model = load(saved(tmp_path / "m", net_of(2), labels=None, classes=("striped star", "plain moon")))
    assert model.facts.outputs == ("striped star", "plain moon")


@pytest.mark.parametrize(("name", "near"), [("resnet5O", "resnet50"), ("resnext101_32x8d_wls", "resnext101_32x8d")])
def test_p1_unknown_models_name_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"no model '{name}' in folders, files or .*{near}"):
        load(name)


def test_a_run_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no model\.safetensors; give the folder of a finished run"):
        load(tmp_path)


def test_files_that_are_no_models_are_said_in_one_sentence(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", net_of(3)).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    for content in (b"", b"no model", bytes(100), whole[: len(whole) // 2], whole[:-1], whole[: 8 + length // 2]):
        (tmp_path / "torn.safetensors").write_bytes(content)
        with pytest.raises(TagwiseError, match=r"cannot be read as safetensors|is empty") as caught:
            load(tmp_path / "torn.safetensors")
        assert "\n" not in str(caught.value)


def test_a_run_folder_with_a_model_of_others_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / MODEL_FILE, metadata={"format": "pt"})
    with pytest.raises(UsageError, match="was not written by tagwise"):
        load(tmp_path)


def test_tensors_of_another_design_are_refused_in_one_sentence(tmp_path: Path) -> None:
    net = net_of(3)
    wrong = replace(DESIGN, planes=(16,))
    with pytest.raises(TagwiseError, match="do not fit its design") as caught:
        load(saved(tmp_path / "wrong", net, design=wrong))
    assert "\n" not in str(caught.value)
    with pytest.raises(TagwiseError, match="do not fit its design"):
        load(saved(tmp_path / "heads", net, labels=space(("cat",))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lables": None}, "no setting 'lables' in .*; the nearest are labels"),
        ({"loss": "hinge"}, "does not fit"),
        ({"design": {"block": "basic"}}, "does not fit"),
        ({"images": "many"}, "does not fit"),
    ],
)
def test_facts_are_read_strictly(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = saved(tmp_path / "m", net_of(3))
    rewrite(path, lambda facts: facts | change)
    with pytest.raises(UsageError, match=message):
        load(path)


def test_facts_that_are_no_json_are_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "m", net_of(3))
    save_file(load_file(path), path, metadata={"tagwise": "{torn"})
    with pytest.raises(TagwiseError, match=str(path)):
        load(path)


def rewrite(path: Path, change: Any) -> None:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = json.loads(header["__metadata__"]["tagwise"])
    save_file(load_file(path), path, metadata={"tagwise": json.dumps(change(facts))})


def test_w13_a_replaced_head_predicts_the_prior_of_any_picture() -> None:
    net = net_of(3)
    share_V = torch.tensor([0.5, 0.2, 0.2, 0.1])
    replace_head(net, prior_bias("softmax", share_V, share_V))
    with torch.inference_mode():
        shares_BV = net(torch.randn(5, 3, 16, 16)).softmax(1)
    torch.testing.assert_close(shares_BV, share_V.expand(5, 4))
    assert net.fc.weight.requires_grad


def model_of(labels: LabelSpace | None, outputs: int) -> Model:
    facts = ModelFacts(design=DESIGN, view=VIEW, labels=labels, classes=None)
    return Model(net=net_of(outputs), facts=facts, name="old", digest="0" * 16)


def test_heads_are_carried_over_by_canonical_key_and_alias() -> None:
    """``ursusarctos`` was an alias of ``brownbear`` in the old space; ``dog`` is new and stays at its prior."""
    old = model_of(SPACE, 3)
    net = net_of(4, seed=1)
    replace_head(net, torch.full((4,), -2.0))
    assert carry_head_over(old, net, space(("dog",), ("東京",), ("ursusarctos",), ("cat",))) == 3
    expected = [None, 2, 1, 0]
    for row, old_row in enumerate(expected):
        weight = torch.zeros(8) if old_row is None else old.net.fc.weight[old_row]
        bias = torch.tensor(-2.0) if old_row is None else old.net.fc.bias[old_row]
        assert torch.equal(net.fc.weight[row], weight)
        assert torch.equal(net.fc.bias[row], bias)


def test_heads_of_other_tags_or_of_classes_carry_nothing() -> None:
    net = net_of(2, seed=1)
    replace_head(net, torch.zeros(2))
    assert carry_head_over(model_of(SPACE, 3), net, space(("dog",), ("owl",))) == 0
    assert carry_head_over(model_of(None, 3), net, space(("cat",), ("owl",))) == 0
    assert not net.fc.weight.any()
