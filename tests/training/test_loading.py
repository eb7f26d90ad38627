"""One line to load: published weights, files of others by what is in them, and all that can be wrong with them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import sha256_of_file
from tagwise.base.views import View
from tagwise.nets import build, find_design, find_weights, weights
from tagwise.nets.label_sets import class_names
from tagwise.nets.weights import WEIGHTS
from tagwise.training import loading
from tagwise.training.loading import load
from tagwise.training.loop import train
from tagwise.training.models import ModelFacts, save_model
from tests.references.layouts import akamaster
from tests.training.tiny import DESIGN, VIEW, tiny_job

Publish = Callable[[str, Any], Path]
SMALL = "resnet20_cifar"


def state_of(name: str, classes: int = 10, seed: int = 0) -> dict[str, torch.Tensor]:
    """A net of the design under akamaster's names, where it is his, and else under ours."""
    torch.manual_seed(seed)
    net = build(find_design(name), num_classes=classes)
    return akamaster(net) if find_design(name).shortcut == "pad_center" else net.state_dict()


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Makes a file the published one of a row: in a mirror, under a name with its own hash."""
    monkeypatch.setenv("TAGWISE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "mirror").mkdir()

    def write(name: str, content: Any) -> Path:
        row = find_weights(name)
        path = tmp_path / "mirror" / "file"
        torch.save(content, path)
        path = path.rename(path.with_name(f"made-{sha256_of_file(path)[:8]}.pth"))
        made = dataclasses.replace(row, url=f"http://localhost/{path.name}")
        rows = tuple(made if known is row else known for known in WEIGHTS)
        for module in ("tagwise.nets.weights", "tagwise.training.loading"):
            monkeypatch.setattr(f"{module}.WEIGHTS", rows)
        return path

    return write


def foreign(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


# ---------------------------------------------------------------- published


@pytest.mark.parametrize("layers", [20, 32, 44, 56])
def test_m16_akamasters_files_load_by_name_and_from_anywhere_with_their_view_and_number(
    publish: Publish, tmp_path: Path, layers: int
) -> None:
    """The published number is the README's; the ``best_prec1`` in the file is nobody's accuracy."""
    name = f"resnet{layers}_cifar"
    state = {f"module.{key}": tensor for key, tensor in state_of(name).items()}
    path = publish(f"{name}_akamaster", {"state_dict": state, "best_prec1": 99.9})
    anywhere = path.rename(tmp_path / "renamed.bin")
    (tmp_path / "mirror" / path.name).symlink_to(anywhere)
    for model in (load(f"{name}_akamaster"), load(anywhere)):
        row = find_weights(f"{name}_akamaster")
        assert (model.published, model.facts.view, model.facts.licence) == (row, row.view, "BSD-2-Clause")
        assert (model.facts.view.resolution, model.facts.view.resize) == (32, 32)
        assert model.facts.outputs == class_names("cifar10")
        assert "99.9" not in str(model.facts) + str(model.published)
        assert not model.net.training
        torch.testing.assert_close(model.net.fc.weight, state["module.linear.weight"], rtol=0, atol=0)


def test_m13_imagenet_weights_have_names_a_view_and_terms(
    publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = publish("resnet18_swsl", state_of("resnet18", 1000))
    model = load("swsl_resnet18")
    assert model.facts.outputs[207] == "golden retriever"
    assert (model.facts.view.resize, model.facts.view.interpolation) == (256, "bilinear")
    assert model.facts.licence == "CC-BY-NC-4.0"
    assert model.facts.lineage == ("resnet18_swsl by Yalniz et al. 2019 (semi-supervised ImageNet1K models)",)
    torch.testing.assert_close(load(path).net.conv1.weight, model.net.conv1.weight)
    assert capsys.readouterr().err.count("not for commercial use") <= 1, "terms are said once"


def test_the_hash_decides_and_never_the_name(tmp_path: Path) -> None:
    path = foreign(tmp_path / "resnet20-12fca82f.th", state_of(SMALL))
    with pytest.raises(TagwiseError, match=r"is damaged or not what its name says: .* not 12fca82f; fetch it again"):
        load(path)
    assert load(path.rename(tmp_path / "own.th")).published is None
    assert load(foreign(tmp_path / "finetuned-20240512.pth", state_of(SMALL)), design=SMALL).published is None


def test_m16_the_published_resnet20_is_known_by_its_hash(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "weights" / "resnet20-12fca82f.th"
    (tmp_path / "w").write_bytes(file.read_bytes())
    model = load(tmp_path / "w")
    assert model.published is find_weights("resnet20_cifar_akamaster")
    assert model.digest == sha256_of_file(file)[:16]


# ---------------------------------------------------------------- of nobody known


def test_a_file_nobody_published_is_shown_pictures_as_usual_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(foreign(tmp_path / "own.pth", {"state_dict": state_of(SMALL)}))
    said = capsys.readouterr().err
    assert model.published is None
    assert (model.facts.view, model.facts.licence) == (find_weights("resnet20_cifar_akamaster").view, "unknown")
    assert f"own.pth has the tensors of {SMALL}." in said
    assert "pictures are shown as to resnet20_cifar_akamaster: shorter side to 32" in said
    assert "The 10 outputs of own.pth are taken for those of cifar10." in said


@pytest.mark.parametrize(
    ("name", "view"),
    [("resnet200", View(resolution=224, resize=256)), ("resnext29_1x8d_cifar", View(resolution=32, resize=32))],
)
def test_a_design_without_published_weights_has_the_usual_view(tmp_path: Path, name: str, view: View) -> None:
    model = load(foreign(tmp_path / "own.pth", state_of(name, 3)))
    assert (model.facts.view, model.facts.outputs) == (view, ("class 0", "class 1", "class 2"))


def test_safetensors_of_others_load_too(tmp_path: Path) -> None:
    save_file(state_of(SMALL), tmp_path / "own.safetensors")
    assert load(tmp_path / "own.safetensors").net.design == find_design(SMALL)


def test_tensors_that_fit_two_designs_want_a_word(tmp_path: Path) -> None:
    """Under our names nothing tells on which side akamaster's zeros were."""
    torch.manual_seed(0)
    path = foreign(tmp_path / "own.pth", build(find_design(SMALL), num_classes=10).state_dict())
    with pytest.raises(UsageError, match=r"fit resnet20_cifar and resnet20_cifar_end .*which differ; .*--design"):
        load(path)
    assert load(path, design="resnet20_cifar_end").net.design.shortcut == "pad_end"


# ---------------------------------------------------------------- classes


def test_names_of_outputs_are_as_many_as_the_outputs(tmp_path: Path) -> None:
    path = foreign(tmp_path / "own.pth", state_of(SMALL, 3))
    assert load(path, classes=("kite", "owl", "wren")).facts.outputs == ("kite", "owl", "wren")
    with pytest.raises(UsageError, match=r"2 classes are named and own\.pth has 3 outputs"):
        load(path, classes=("kite", "owl"))
    with pytest.raises(UsageError, match=r"The classes named for own\.pth hold owl more than once; give each output"):
        load(path, classes=("owl", "kite", "owl"))


def test_a_classifier_is_kept_or_made_anew_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = state_of(SMALL, 3)
    path = foreign(tmp_path / "own.pth", state)
    for kept in (load(path), load(path, num_classes=3)):
        assert torch.equal(kept.net.fc.weight, state["linear.weight"])
    assert "is new" not in capsys.readouterr().err
    made = load(path, num_classes=12)
    assert (made.net.fc.out_features, len(made.facts.outputs)) == (12, 12)
    assert made.net.fc.weight.device.type == "cpu"
    assert torch.equal(made.net.state_dict()["conv1.weight"], state["conv1.weight"])
    assert "The classifier over 12 classes is new" in capsys.readouterr().err


def test_a_backbone_without_classifier_is_refused_unless_one_is_asked_for(tmp_path: Path) -> None:
    state = {f"backbone.{key}": tensor for key, tensor in state_of("resnet18", 7).items() if "fc." not in key}
    path = foreign(tmp_path / "backbone.pth", {"state_dict": state})
    with pytest.raises(TagwiseError, match=r"fc\.weight, fc\.bias\), and a new classifier was not asked for"):
        load(path, design="resnet18")
    assert load(path, design="resnet18", num_classes=4).net(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


# ---------------------------------------------------------------- refused


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = foreign(tmp_path / "hostile.pth", {"state_dict": state_of(SMALL), "extra": _Hostile(tmp_path / "ran")})
    with pytest.raises(TagwiseError, match=r"wants \w+\.mkdir to run while it is read, which is refused"):
        load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("resnet18_swsl", {"num_classes": 7}), ("resnet20_cifar_akamaster", {"design": "resnet20_cifar_end"})],
)
def test_p24_terms_stay_with_tensors_that_are_made_another_net(
    publish: Publish, capsys: pytest.CaptureFixture[str], name: str, words: dict[str, Any]
) -> None:
    row = find_weights(name)
    torch.manual_seed(0)
    path = publish(name, build(find_design(row.design), num_classes=len(class_names(row.label_set))).state_dict())
    weights._say_once.cache_clear()
    model = load(path, **words)
    assert model.published is None, "its accuracy was another net's"
    assert (model.facts.licence, model.facts.lineage) == (row.licence, (f"{row.name} by {row.who}",))
    assert capsys.readouterr().err.count("not for commercial use") == (not row.commercial)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"design": "resnet50"}, "has a design of its own, which is not resnet50"),
        ({"design": "resnet5O"}, "no design 'resnet5O'; the nearest"),
        (
            {"classes": ("kite", "owl")},
            r"has classes of its own; leave those that you gave \(classes, --classes\) away",
        ),
        (
            {"num_classes": 10},
            r"has classes of its own; create_model\('resnet18_swsl', pretrained=True, num_classes=10\) makes a new",
        ),
    ],
)
def test_what_contradicts_published_weights_is_refused_before_they_are_fetched(
    monkeypatch: pytest.MonkeyPatch, words: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr(loading, "create_model", lambda *_, **__: pytest.fail("was fetched"))
    with pytest.raises(UsageError, match=told):
        load("resnet18_swsl", **words)


@pytest.mark.parametrize(
    ("design", "told"),
    [
        ("resnet32_cifar", "tensors are missing"),
        ("resnet20_cifar_end", "akamaster puts the shortcut's zeros on both sides and the design appends them"),
        ("resnet50", "do not fit resnet50"),
        ("resnet20_cifer", "no design 'resnet20_cifer'; the nearest"),
    ],
)
def test_m15_weights_of_another_depth_width_or_lineage_are_refused(tmp_path: Path, design: str, told: str) -> None:
    path = foreign(tmp_path / "own.th", state_of(SMALL))
    with pytest.raises(TagwiseError, match=told) as caught:
        load(path, design=design)
    assert "\n" not in str(caught.value)


def test_a_file_without_counters_is_refused_as_any_other_and_called_by_its_name(real_data: Path) -> None:
    """akamaster's shortcuts have no weights, those of the asked design have, and counters too."""
    path = real_data / "weights" / "resnet20-12fca82f.th"
    with pytest.raises(
        TagwiseError, match=r"resnet20-12fca82f\.th \(akamaster\) do not fit resnet20_cifar_b: .*nearer is"
    ) as fault:
        load(path, design="resnet20_cifar_b")
    assert "num_batches" not in str(fault.value)


def test_a_path_that_is_not_there_is_no_misspelt_name(tmp_path: Path) -> None:
    foreign(tmp_path / "own.pth", {})
    for name in ("owm.pth", "owns"):
        with pytest.raises(UsageError, match=f"no file or folder '{name}' in {tmp_path}; the nearest is own"):
            load(tmp_path / name)
    with pytest.raises(UsageError, match=r"no file or folder 'none\.safetensors' in nowhere; there are none"):
        load("nowhere/none.safetensors")
    with pytest.raises(UsageError, match=r"no file or folder 'resnet18\.pth' in \.; "):
        load("resnet18.pth")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("skresnet50", "The table has no weights of the design skresnet50; give a file of them with --design"),
        ("resnet50.a7_in1k", "There is no tag 'a7_in1k' in the table for resnet50"),
        ("resnet20", "a net for pictures of 32 pixels; its name here is resnet20_cifar"),
    ],
)
def test_what_is_nearly_the_name_of_weights_is_told_what_is_missing(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(name)


def test_m24_filters_for_other_channels_are_refused_not_guessed(tmp_path: Path) -> None:
    state = state_of(SMALL)
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    with pytest.raises(TagwiseError, match=r"conv1\.weight is \[16, 1, 3, 3\], not \[16, 3, 3, 3\]"):
        load(foreign(tmp_path / "grey.pth", state), design=SMALL)


def test_a_file_that_fits_nothing_wants_its_design(tmp_path: Path) -> None:
    state = build(dataclasses.replace(find_design("resnet18"), planes=(48, 96, 192, 384))).state_dict()
    with pytest.raises(UsageError, match="of no design in the table; say which they are with --design"):
        load(foreign(tmp_path / "own.pth", state))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_runs_checkpoint_is_the_model_that_it_would_become(tmp_path: Path, ema: float | None) -> None:
    """With view, names and terms; what was measured on it was the running mean, where the plan has one."""
    facts = ModelFacts(
        design=DESIGN, view=VIEW, classes=tuple("abcde"), images=240, lineage=("a", "b"), licence="CC0-1.0"
    )
    job = dataclasses.replace(tiny_job(tmp_path, ema=ema), facts=facts)
    train(job)
    first, last = sorted((tmp_path / "checkpoints").glob("*.pt"))
    model = load(last)
    for name, tensor in job.task.net.state_dict().items():
        assert torch.equal(model.net.state_dict()[name], tensor), name
    assert not model.net.training
    assert model.facts == dataclasses.replace(facts, lineage=("a", "b, taken after 240"))
    earlier = load(first, dtype=torch.bfloat16)
    assert earlier.facts.images == int(first.stem) < 240
    assert earlier.net.fc.weight.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="has classes of its own"):
        load(last, classes=tuple("vwxyz"))
    content = bytearray(last.read_bytes())
    content[content.index(job.task.net.state_dict()["fc.weight"].numpy().tobytes())] ^= 1
    last.write_bytes(content)
    with pytest.raises(TagwiseError, match=r"00000000000240\.pt is damaged; take another one of its run"):
        load(last)


def test_what_has_a_design_and_classes_of_its_own_takes_no_others(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_model(path, build(DESIGN, num_classes=2), ModelFacts(design=DESIGN, view=VIEW, classes=("kite", "owl")))
    with pytest.raises(UsageError, match="has a design of its own, which is not resnet50"):
        load(path, design="resnet50")
    given: tuple[tuple[dict[str, Any], str], ...] = (
        ({"classes": ("a", "b")}, "leave those that you gave"),
        ({"num_classes": 2}, r"net\.reset_classifier\(2\) of the loaded model makes a new"),
    )
    for words, remedy in given:
        with pytest.raises(UsageError, match=f"has classes of its own; {remedy}"):
            load(path, **words)


# ---------------------------------------------------------------- memory


def test_m25_the_net_takes_over_the_tensors_and_makes_no_second_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, int] = {}

    def filled(design: Any, state: dict[str, torch.Tensor], *rest: Any) -> Any:
        read.update({key: tensor.data_ptr() for key, tensor in state.items()})
        return whole(design, state, *rest)

    whole = loading._filled
    monkeypatch.setattr(loading, "_filled", filled)
    net = load(foreign(tmp_path / "own.pth", state_of(SMALL))).net
    assert {key: tensor.data_ptr() for key, tensor in net.state_dict().items()} == read


@pytest.mark.parametrize("form", ["ours", "safetensors", "pickle"])
def test_m25_tensors_are_turned_into_the_asked_type_as_they_are_read(tmp_path: Path, form: str) -> None:
    torch.manual_seed(0)
    net = build(find_design(SMALL), num_classes=10)
    path = tmp_path / ("net.pth" if form == "pickle" else "net.safetensors")
    if form == "ours":
        save_model(path, net, ModelFacts(design=net.design, view=VIEW, classes=tuple("abcdefghij")))
    elif form == "safetensors":
        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    found = load(path, design=SMALL, dtype=torch.bfloat16).net.state_dict()
    for name, tensor in net.state_dict().items():
        assert torch.equal(found[name], tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor)
