"""Torch7's binary files: what was written is read, and no bytes make the reader fail otherwise than by a sentence."""

from __future__ import annotations

import dataclasses
import functools
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwise.base.errors import TagwiseError
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import ResidualNet, build
from tagwise.nets.layouts import guess_design, read_state, recognise, to_canonical
from tagwise.nets.torch7 import Torch7Object, read_torch7
from tests.references.torch7 import Form, Function, Lua, Strided, lua_net, write_torch7

BOTTLENECK = Design(block="bottleneck", depths=(2, 1), planes=(8, 16), strides=(1, 2), cardinality=4, base_width=4)
BASIC = dataclasses.replace(BOTTLENECK, block="basic", cardinality=1, base_width=64)
CIFAR = dataclasses.replace(
    find_design("resnet20_cifar_end"), depths=(1, 1, 1), planes=(4, 8, 16), stem_widths=(4,), shortcut="pad_end"
)


def random_net(design: Design, num_classes: int = 5) -> ResidualNet:
    """A net in which no norm is the identity."""
    torch.manual_seed(0)
    net = build(design, num_classes=num_classes).eval()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.copy_(torch.rand_like(tensor) + (0.5 if name.endswith(("running_var", "weight")) else -0.5))
    return net


def written(path: Path, value: Any) -> Path:
    path.write_bytes(write_torch7(value))
    return path


def assert_same_logits(path: Path, net: ResidualNet) -> None:
    state = read_state(path)
    assert recognise(state).name == "torch7"
    other = build(net.design, num_classes=net.fc.out_features).eval()
    other.load_state_dict(to_canonical(state, net.design))
    images = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        expected = net(images)
        assert (other(images) - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_values_of_every_kind_come_back(tmp_path: Path) -> None:
    shared = {"a": 1.5, 2: True}
    value = {"nil": None, "text": "h\xe9", "list": [1, 2.5, -3], "one": shared, "two": shared, "f": Function()}
    read = read_torch7(written(tmp_path / "a.t7", value))
    assert read["list"] == {1: 1.0, 2: 2.5, 3: -3.0}
    assert (read["nil"], read["text"], read["f"]) == (None, "h\xe9", None)
    assert read["one"] == {"a": 1.5, 2: True}
    assert read["one"] is read["two"]


def test_tensors_keep_offset_and_strides(tmp_path: Path) -> None:
    storage = np.arange(30, dtype=np.float64)
    for tensor, expected in (
        (Strided(storage, 2, (2, 3), (10, 3)), [[2, 5, 8], [12, 15, 18]]),
        (Strided(storage, 0, (3, 2), (1, 10)), [[0, 10], [1, 11], [2, 12]]),
        (Strided(storage, 4, (1,), (2**62,)), [4]),
        (Strided(storage, 0, (), ()), []),
    ):
        assert read_torch7(written(tmp_path / "a.t7", tensor)).tolist() == expected


def test_tables_may_contain_themselves(tmp_path: Path) -> None:
    table: dict[str, Any] = {}
    table["me"] = table
    read = read_torch7(written(tmp_path / "a.t7", table))
    assert read["me"] is read


@pytest.mark.parametrize("form", [Form(), Form(paths=True), Form(flat_filters=True), Form(biases=True, paths=True)])
def test_m15_torch7_bottlenecks_of_form_b_and_c_give_equal_logits(tmp_path: Path, form: Form) -> None:
    if form.flat_filters:  # old files know no groups
        net = random_net(dataclasses.replace(BOTTLENECK, cardinality=1, base_width=16))
    else:
        net = random_net(BOTTLENECK)
    assert_same_logits(written(tmp_path / "a.t7", lua_net(net, form)), net)


@pytest.mark.parametrize("design", [BASIC, CIFAR])
def test_m15_torch7_basic_nets_give_equal_logits(tmp_path: Path, design: Design) -> None:
    net = random_net(design)
    assert_same_logits(written(tmp_path / "a.t7", lua_net(net, Form(biases=True))), net)


def test_a_net_inside_data_parallel_tables_and_checkpoints_is_found(tmp_path: Path) -> None:
    net = random_net(BASIC)
    for wrapped in (Lua("nn.DataParallelTable", {"modules": [lua_net(net, Form())]}), {"model": lua_net(net, Form())}):
        assert_same_logits(written(tmp_path / "a.t7", wrapped), net)


def test_torch7_zeros_of_the_shortcut_go_behind_only(tmp_path: Path) -> None:
    state = read_state(written(tmp_path / "a.t7", lua_net(random_net(CIFAR), Form())))
    with pytest.raises(TagwiseError, match=r"not equal in .*appends the shortcut's zeros"):
        to_canonical(state, dataclasses.replace(CIFAR, shortcut="pad_center"))


def test_a_file_of_the_published_form_is_recognised(tmp_path: Path) -> None:
    with torch.device("meta"):
        names = build(find_design("resnet18")).state_dict()
    state = {f"torch7.{name}": tensor for name, tensor in names.items() if "num_batches" not in name}
    assert guess_design(state) == "resnet18"


def block_of(net: Lua) -> Lua:
    return next(part for part in net.fields["modules"] if part.kind == "nn.Sequential").fields["modules"][0]


def test_m15_published_resnet50_with_its_norm_behind_the_addition_is_refused(tmp_path: Path) -> None:
    tree = lua_net(random_net(BASIC), Form())
    block = block_of(tree).fields["modules"]
    norm = block[0].fields["modules"][0].fields["modules"].pop()
    block.insert(2, norm)
    with pytest.raises(TagwiseError, match="end in CAddTable, SpatialBatchNormalization, ReLU instead"):
        read_state(written(tmp_path / "a.t7", tree))


def test_m15_preactivation_is_refused(tmp_path: Path) -> None:
    tree = lua_net(random_net(BASIC), Form())
    branch = block_of(tree).fields["modules"][0].fields["modules"][0].fields["modules"]
    branch.insert(0, branch.pop(1))
    with pytest.raises(TagwiseError, match="pre-activation"):
        read_state(written(tmp_path / "a.t7", tree))


def test_m15_stride_in_the_first_1x1_is_refused(tmp_path: Path) -> None:
    tree = lua_net(random_net(dataclasses.replace(BOTTLENECK, stride_at="1x1")), Form())
    with pytest.raises(TagwiseError, match="stride in a 1x1"):
        read_state(written(tmp_path / "a.t7", tree))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (Lua("nn.Sequential", {"modules": [Lua("nn.LSTM")]}), "holds a nn.LSTM"),
        (Lua("nn.Sequential", {"modules": []}), "no layer"),
        ({"epoch": 3}, "no Sequential"),
        (3.0, "no Sequential"),
    ],
)
def test_other_nets_are_refused(tmp_path: Path, tree: Any, words: str) -> None:
    with pytest.raises(TagwiseError, match=words):
        read_state(written(tmp_path / "a.t7", tree))


def test_modules_that_contain_themselves_or_share_weights_are_refused(tmp_path: Path) -> None:
    """Naming copies a module's tensors: doubled at each of 25 depths they would fill any memory."""
    loop = Lua("nn.Sequential")
    loop.fields["modules"] = [loop]
    doubled = Lua("nn.Sequential", {"modules": []})
    for _ in range(25):
        doubled = Lua("nn.Sequential", {"modules": [doubled, doubled]})
    weight = Strided(np.ones(1000, np.float32), 0, (1000,), (1,))
    many = Lua("nn.Sequential", {"modules": [Lua("nn.Linear", {"weight": weight}) for _ in range(100)]})
    for tree in (loop, doubled, many):
        with pytest.raises(TagwiseError, match="share weights"):
            read_state(written(tmp_path / "a.t7", tree))


def header(kind: int, *numbers: int) -> bytes:
    return struct.pack(f"<{1 + len(numbers)}i", kind, *numbers)


def tensor_bytes(sizes: tuple[int, ...], strides: tuple[int, ...], offset: int = 1, values: int = 4) -> bytes:
    name, storage = b"torch.FloatTensor", b"torch.FloatStorage"
    whole = header(4, 1, 3) + b"V 1" + struct.pack("<i", len(name)) + name + struct.pack("<i", len(sizes))
    whole += struct.pack(f"<{len(sizes) + len(strides) + 1}q", *sizes, *strides, offset)
    whole += header(4, 2, 3) + b"V 1" + struct.pack("<i", len(storage)) + storage
    return whole + struct.pack("<q", values) + bytes(16)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header(2, 2**31 - 1), "announced"),
        (header(2, -5), "announced"),
        (header(3, 1, 2**31 - 1), "does not fit"),
        (header(3, 1, -1), "does not fit"),
        (header(99), "type 99 at byte 0"),
        (tensor_bytes((4,), (1,), values=2**40), "announced"),
        (tensor_bytes((4,), (1,), values=-1), "announced"),
        (tensor_bytes((5,), (1,)), "outside its storage"),
        (tensor_bytes((2,), (1,), offset=0), "outside its storage"),
        (tensor_bytes((2,), (-1,), offset=3), "outside its storage"),
        (tensor_bytes((2**40,), (0,)), "outside its storage"),
        (tensor_bytes((2**40, 2**40), (0, 0)), "outside its storage"),
        (tensor_bytes((1,) * 9, (1,) * 9), "9 dimensions"),
        (b"".join(header(3, n, 1) + header(1) + bytes(8) for n in range(200)), "nest deeper"),
        (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "none of Torch7's"),
    ],
)
def test_hostile_files_give_a_sentence_and_take_no_memory(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.t7").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(TagwiseError, match=words):
        read_state(tmp_path / "a.t7")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@functools.cache
def net_bytes() -> bytes:
    tiny = dataclasses.replace(CIFAR, planes=(1, 2, 4), stem_widths=(1,))
    return write_torch7(lua_net(random_net(tiny), Form()))


def test_every_truncation_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.t7"
    for length in range(0, len(net_bytes()), 199):
        path.write_bytes(net_bytes()[:length])
        with pytest.raises(TagwiseError, match=r"a\.t7") as refusal:
            read_state(path)
        assert "\n" not in str(refusal.value)


@settings(max_examples=60)
@given(place=st.integers(0, 1_000_000), byte=st.integers(0, 255))
def test_a_changed_byte_never_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    """It gives tensors, or one sentence."""
    path = tmp_path_factory.getbasetemp() / "changed.t7"
    changed = bytearray(net_bytes())
    changed[place % len(changed)] = byte
    path.write_bytes(changed)
    try:
        assert all(isinstance(tensor, torch.Tensor) for tensor in read_state(path).values())
    except TagwiseError as error:
        assert str(path) in str(error)  # noqa: PT017 - either is right


def test_objects_of_unknown_classes_are_data(tmp_path: Path) -> None:
    read = read_torch7(written(tmp_path / "a.t7", Lua("os.Exploit", {"command": "x"})))
    assert isinstance(read, Torch7Object)
    assert (read.kind, read.fields) == ("os.Exploit", {"command": "x"})
