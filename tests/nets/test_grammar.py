"""Whole nets: equal to torchvision's and timm's, at any size, sharing nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck as TheirBottleneck

from tagwise.base.views import IMAGENET_MEAN, IMAGENET_STD
from tagwise.nets import Design, ResidualNet, build, create_model, find_design, list_models
from tagwise.nets.designs import DESIGNS, canonical_name

SHALLOW = (2, 1, 1, 1)
NARROW = (16, 32, 64, 128)
LEGACY = {
    dataclasses.replace(find_design(name), depths=SHALLOW): name
    for name in reversed(timm.list_models("legacy_sen*") + timm.list_models("legacy_seresne*"))
    if canonical_name(name) in DESIGNS
}
"""Every design of timm's legacy nets that is another net when it is shallow."""
TIMM = {
    dataclasses.replace(find_design(name), depths=SHALLOW): name
    for pattern in ("resnet*", "resnext*", "seresne*", "skresne*", "resnest*", "wide_resnet*", "senet154")
    for name in timm.list_models(pattern)
    if canonical_name(name) in DESIGNS
}
"""Every design of timm's that is another net when it is shallow."""
TORCHVISION = tuple(name for name in torchvision.models.list_models() if name in DESIGNS)
TORCHVISION_SHALLOW = {dataclasses.replace(find_design(name), depths=SHALLOW): name for name in reversed(TORCHVISION)}
BLOCK_KINDS = ("resnet18", "resnext50_32x4d", "resnet20_cifar_preact", "seresnet18", "skresnet18", "resnest14")
"""Basic, bottleneck, pre-activation, squeeze-and-excitation, selective kernels, split attention."""
ONE_OF_EACH = (
    "resnet18",
    "resnet50_msra",
    "resnet18d",
    "resnet20_cifar",
    "resnext29_1x8d_cifar_preact",
    "resnext20_8x4d_small",
    "se_resnet50",
    "skresnet18",
    "resnest14",
    "resnest50_fast_2s2x40d",
)


def randomise(net: nn.Module) -> None:
    """Random norms and running statistics, so that no layer is the identity by default."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            low = 0.5 if name.endswith(("running_var", "weight")) else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)


def assert_same_net(ours: ResidualNet, theirs: nn.Module, *, keys: Any = None) -> None:
    """Same keys in the same order, same logits at an odd size, same gradients in training, in double."""
    randomise(theirs)
    state = theirs.state_dict()
    if keys is not None:
        state = {keys(key): value for key, value in state.items()}
    assert list(state) == list(ours.state_dict())
    ours.load_state_dict(state)
    images = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs.eval()(images)
        difference = (ours.eval()(images) - expected).abs().max() / expected.abs().max()
    assert difference <= 1e-6
    assert_same_gradients(ours.double().train(), theirs.double().train())


def assert_same_gradients(ours: nn.Module, theirs: nn.Module) -> None:
    images = torch.randn(2, 3, 48, 33, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    gradients: list[list[Tensor]] = []
    for net in (ours, theirs):
        logits = net(images)
        direction = torch.linspace(-1, 1, logits.numel(), dtype=torch.double).reshape(logits.shape)
        gradients.append(list(torch.autograd.grad((logits * direction).sum(), list(net.parameters()))))
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-7, atol=1e-9 * other.abs().max().item() + 1e-12)


def narrow_planes(name: str) -> tuple[int, ...]:
    """A quarter of the paper's, or half where a quarter does not divide, or timm would round it."""
    return tuple(2 * planes for planes in NARROW) if "40d" in name or name == "senet154" else NARROW


def narrow(name: str, **settings: Any) -> ResidualNet:
    """Two blocks in the first stage and one in each other: every kind of block of the whole net stands in it."""
    design, planes = find_design(name), narrow_planes(name)
    width = design.base_width if design.block == "basic" else design.base_width * planes[0] // 64
    changes = {"depths": SHALLOW, "planes": planes, "base_width": width, "dropout": 0.0, **settings}
    return build(dataclasses.replace(design, **changes))


def narrow_timm(name: str, **settings: Any) -> nn.Module:
    net: nn.Module = timm.create_model(name, layers=SHALLOW, channels=narrow_planes(name), drop_rate=0.0, **settings)
    return net


@pytest.mark.parametrize("name", TORCHVISION_SHALLOW.values())
def test_m3_equals_torchvision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built by its own function, which knows groups and widths, with fewer blocks."""
    make = torchvision.models.resnet._resnet
    monkeypatch.setattr(
        torchvision.models.resnet, "_resnet", lambda block, _, *rest, **widths: make(block, SHALLOW, *rest, **widths)
    )
    ours = build(dataclasses.replace(find_design(name), depths=SHALLOW))
    assert_same_net(ours, torchvision.models.get_model(name, weights=None))


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d"])
def test_m3_whole_nets_equal_torchvisions_at_every_size(name: str) -> None:
    theirs = torchvision.models.get_model(name, weights=None).eval()
    randomise(theirs)
    ours = create_model(name).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.inference_mode():
        for height, width in ((224, 224), (97, 131), (320, 320)):
            images = torch.randn(1, 3, height, width)
            expected = theirs(images)
            assert (ours(images) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize(("output_stride", "dilate"), [(8, [False, True, True]), (16, [False, False, True])])
def test_m7_dilated_nets_equal_torchvisions(output_stride: int, dilate: list[bool]) -> None:
    design = dataclasses.replace(find_design("resnet50"), depths=(1, 1, 1, 2), output_stride=output_stride)
    theirs = torchvision.models.ResNet(TheirBottleneck, [1, 1, 1, 2], replace_stride_with_dilation=dilate)
    assert_same_net(build(design), theirs)


@pytest.mark.parametrize("name", TORCHVISION)
def test_m3_nets_have_torchvisions_keys_in_order(name: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name, weights=None).state_dict()
        assert [(key, value.shape) for key, value in create_model(name).state_dict().items()] == [
            (key, value.shape) for key, value in theirs.items()
        ]


@pytest.mark.parametrize("name", TIMM.values())
def test_m4_equals_timm(name: str) -> None:
    assert_same_net(narrow(name), narrow_timm(name))


@pytest.mark.parametrize(("radix", "cardinality"), [(2, 2), (1, 2), (0, 2)])
def test_m4_equals_timm_where_groups_meet_splits(radix: int, cardinality: int) -> None:
    """No net of timm's table has radix 2 or 0 with two groups, the authors' 2s2x40d and 0s2x40d."""
    theirs = narrow_timm(
        "resnest50d_4s2x40d",
        cardinality=cardinality,
        block_args={"radix": radix, "avd": True, "avd_first": True},
    )
    assert_same_net(narrow(f"resnest50_fast_{radix}s{cardinality}x40d"), theirs)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet50d", "resnext50_32x4d", "seresnet50", "skresnet18", "senet154"),
        *("resnest50d", "resnest50d_4s2x40d", "resnest101e"),
    ],
)
def test_m7_dilated_nets_equal_timms_by_its_rule(name: str, output_stride: int) -> None:
    ours = narrow(name, output_stride=output_stride, dilation_rule="timm")
    assert_same_net(ours, narrow_timm(name, output_stride=output_stride))


@pytest.mark.parametrize("name", ["resnest101e", "resnest269e", "senet154", "skresnet34"])
def test_m4_larger_nets_have_timms_keys_in_order(name: str) -> None:
    with torch.device("meta"):
        assert list(create_model(name).state_dict()) == list(timm.create_model(name).state_dict())


def own_legacy_key(key: str) -> str:
    return key.replace("se_module", "se").replace("last_linear", "fc").removeprefix("layer0.")


def own_deep_legacy_key(key: str) -> str:
    """SENet-154's stem has three convolutions."""
    stem = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6"}
    start, _, rest = own_legacy_key(key).partition(".")
    return f"{({**stem, 'bn3': 'bn1'}).get(start, start)}.{rest}"


@pytest.mark.parametrize("name", LEGACY.values())
def test_m17_legacy_se_nets_have_caffes_unpadded_pool(name: str) -> None:
    theirs = timm.create_model(name, layers=list(SHALLOW), drop_rate=0.0)
    ours = build(dataclasses.replace(find_design(name), depths=SHALLOW, dropout=0.0))
    assert_same_net(ours, theirs, keys=own_deep_legacy_key if name == "legacy_senet154" else own_legacy_key)
    padded = build(dataclasses.replace(ours.design, stem_pool="padded")).double().eval()
    padded.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 64, 64, dtype=torch.double)
    expected = ours.eval()(images)
    assert (padded(images) - expected).abs().max() / expected.abs().max() > 1e-3


def test_m22_published_cifar_resnet_reads_real_pictures_with_zeros_on_both_sides(real_data: Path) -> None:
    """932 of the first 1,017 lossless test pictures, as its authors' code has; with zeros behind it knows nothing."""
    saved = torch.load(real_data / "weights/resnet20-12fca82f.th", map_location="cpu", weights_only=True)["state_dict"]
    state = {key.removeprefix("module.").replace("linear.", "fc."): value for key, value in saved.items()}
    images, truth = cifar10_test(real_data / "cifar10/lossless.zip")
    right = {}
    for name in ("resnet20_cifar", "resnet20_cifar_end"):
        net = create_model(name, num_classes=10).eval()
        net.load_state_dict(state)
        with torch.inference_mode():
            step = 1 if name == "resnet20_cifar" else 5
            right[name] = (net(images[::step]).argmax(1) == truth[::step]).sum().item()
    assert right["resnet20_cifar"] == 932
    assert right["resnet20_cifar_end"] < 100


def cifar10_test(path: Path) -> tuple[Tensor, Tensor]:
    import zipfile

    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/") and name.endswith(".png"))
        pixels = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names])
    images = torch.from_numpy((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD).permute(0, 3, 1, 2).float()
    return images, torch.tensor([classes.index(name.split("/")[1]) for name in names])


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (65, 40)])
def test_m21_any_size_from_32_pixels_gives_maps_at_the_declared_strides(name: str, height: int, width: int) -> None:
    net = shallow_net(name)
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        maps = net.features(images)
        embedded = net.embed(images)
        logits = net(images)
        torch.testing.assert_close(logits, net.fc(embedded))
    ceil = net.design.stem_pool == "ceil"
    for features, channels, stride in zip(maps, net.channels, net.strides, strict=True):
        if not ceil:
            assert features.shape == (2, channels, -(-height // stride), -(-width // stride))
        assert features.shape[:2] == (2, channels)
    torch.testing.assert_close(embedded, maps[-1].mean((2, 3)))


def shallow_net(name: str) -> ResidualNet:
    design = find_design(name)
    torch.manual_seed(0)
    return build(dataclasses.replace(design, depths=(1,) * len(design.depths)), num_classes=7).eval()


def test_m21_imagenet_form_has_strides_4_to_32_and_small_nets_their_own() -> None:
    imagenet = [name for name in list_models() if len(find_design(name).depths) == 4]
    with torch.device("meta"):
        for name in imagenet[::8]:
            assert create_model(name).strides == (4, 8, 16, 32)
        assert create_model("resnext20_8x4d_small").strides == (2, 4, 8)
        assert create_model("resnet20_cifar").strides == (1, 2, 4)
        assert create_model("resnext50_32x4d").channels == (256, 512, 1024, 2048)


def kinds() -> dict[Design, str]:
    """What is left of the table's designs at one narrow block a stage, and a name of each."""
    named: dict[Design, str] = {}
    for name, design in DESIGNS.items():
        stages = len(design.depths)
        width = 64 if design.block == "basic" else max(64 // design.cardinality, 2)
        small: dict[str, Any] = {
            "depths": (1,) * stages,
            "planes": NARROW[:stages],
            "base_width": width,
            "dropout": 0.0,
        }
        named.setdefault(dataclasses.replace(design, **small), name)
    return named


@pytest.mark.parametrize("design", [pytest.param(design, id=name) for design, name in kinds().items()])
def test_m21_bfloat16_autocast_and_channels_last_agree_with_plain(design: Design) -> None:
    torch.manual_seed(0)
    net = build(design, num_classes=7).eval()
    images = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        expected = net.embed(images)
        net.to(memory_format=torch.channels_last)
        last = net.embed(images.contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = net.embed(images).float()
    assert (last - expected).norm() / expected.norm() < 1e-5
    assert (half - expected).norm() / expected.norm() < 1e-2


@pytest.mark.parametrize("name", BLOCK_KINDS)
def test_m21_compiles_to_one_graph(name: str) -> None:
    """Without the code generation that needs a C++ compiler."""
    net = shallow_net(name)
    images = torch.randn(2, 3, 64, 48)
    torch.compiler.reset()
    with torch.no_grad():
        expected = net(images)
        logits = torch.compile(net, fullgraph=True, backend="aot_eager")(images)
    assert (logits - expected).norm() / expected.norm() <= 1e-5


@pytest.mark.parametrize("name", BLOCK_KINDS)
def test_m21_exports_with_any_number_of_pictures(name: str) -> None:
    net = shallow_net(name)
    program = torch.export.export(net, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), net(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_m18_every_vector_is_a_norm_or_bias_and_every_other_parameter_a_weight(name: str) -> None:
    """So weight decay by dimension leaks nothing; the ResNeSt authors' rule by name misses six norms."""
    net = shallow_net(name)
    for module in net.modules():
        for key, parameter in module.named_parameters(recurse=False):
            decays = isinstance(module, nn.Conv2d | nn.Linear) and key == "weight"
            assert (parameter.dim() > 1) == decays


def test_m20_two_instances_share_no_tensor() -> None:
    one, two = create_model("resnest14"), create_model("resnest14")
    addresses = [{tensor.data_ptr() for tensor in net.state_dict().values()} for net in (one, two)]
    assert not addresses[0] & addresses[1]


def test_m20_importing_needs_torch_and_numpy_alone_and_makes_nothing() -> None:
    """torch.hub works from a bare checkout: no other package of ours is there."""
    code = """
import sys
blocked = ("torchvision", "timm", "PIL", "safetensors", "huggingface_hub", "msgspec", "rich", "cyclopts", "pyarrow",
           "jinja2", "matplotlib", "scipy", "sklearn")
sys.modules.update(dict.fromkeys(blocked))
import torch
made = []
original = torch.nn.Module.__init__
torch.nn.Module.__init__ = lambda self, *args, **kwargs: (made.append(self), original(self, *args, **kwargs))[1]
import tagwise.nets
assert not made
net = tagwise.nets.create_model("resnet20_cifar", num_classes=10)
assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
"""
    source = Path(__file__).parents[2] / "src"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"})


def test_m24_other_channels_are_read() -> None:
    for name in ("resnet18", "resnest14"):
        assert create_model(name, in_chans=5, num_classes=2)(torch.randn(2, 5, 64, 64)).shape == (2, 2)


def test_initial_weights_follow_fan_out_with_groups_not_divided_out() -> None:
    torch.manual_seed(0)
    net = create_model("resnext50_32x4d")
    conv: Any = net.get_submodule("layer4.2.conv2")
    assert conv.groups == 32
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 1024)) ** 0.5, rel=0.02)
    assert len(DESIGNS) > 100
