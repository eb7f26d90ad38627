"""A small writer of Torch7's binary files, and nets of fb.resnet.torch's and ResNeXt's form in it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tagwise.nets.grammar import ResidualNet

KINDS = {"float32": "Float", "float64": "Double", "int64": "Long", "uint8": "Byte"}


@dataclass(eq=False)
class Lua:
    """An object of a Lua class."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Strided:
    """A tensor by its storage, offset (from 0), sizes and strides, all as they go into the file."""

    storage: NDArray[Any]
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


class Function:
    """A Lua function, of which a reader of data takes nothing."""


def write_torch7(value: Any) -> bytes:
    """The bytes that ``torch.save`` of Torch7 would write."""
    out, indices = bytearray(), dict[int, int]()
    _write(value, out, indices, [])
    return bytes(out)


def _write(value: Any, out: bytearray, indices: dict[int, int], alive: list[Any]) -> None:
    if value is None:
        out += struct.pack("<i", 0)
    elif isinstance(value, bool):
        out += struct.pack("<ii", 5, value)
    elif isinstance(value, int | float):
        out += struct.pack("<id", 1, value)
    elif isinstance(value, str):
        out += struct.pack("<i", 2) + _text(value)
    else:
        kind = {dict: 3, list: 3, Function: 8}.get(type(value), 4)
        out += struct.pack("<i", kind)
        seen = id(value) in indices
        index = indices.setdefault(id(value), len(indices) + 1)
        alive.append(value)  # an object that dies would give its id to another
        out += struct.pack("<i", index)
        if not seen:
            _write_indexed(value, out, lambda inner: _write(inner, out, indices, alive))


def _write_indexed(value: Any, out: bytearray, write: Callable[[Any], None]) -> None:
    if isinstance(value, Function):
        out += _text("\x1bLua")
        write({})
    elif isinstance(value, dict | list):
        entries = list(value.items() if isinstance(value, dict) else enumerate(value, 1))
        out += struct.pack("<i", len(entries))
        for key, entry in entries:
            write(key)
            write(entry)
    elif isinstance(value, Lua):
        out += _text("V 1") + _text(value.kind)
        write(value.fields)
    elif isinstance(value, Strided):
        out += _text("V 1") + _text(f"torch.{KINDS[value.storage.dtype.name]}Tensor")
        out += struct.pack("<i", len(value.sizes))
        out += struct.pack(f"<{2 * len(value.sizes) + 1}q", *value.sizes, *value.strides, value.offset + 1)
        write(_Storage(value.storage))
    else:
        storage = value.values
        out += _text("V 1") + _text(f"torch.{KINDS[storage.dtype.name]}Storage")
        out += struct.pack("<q", storage.size) + storage.tobytes()


@dataclass(eq=False)
class _Storage:
    values: NDArray[Any]


def _text(text: str) -> bytes:
    return struct.pack("<i", len(text)) + text.encode("latin-1")


def lua_tensor(tensor: Tensor) -> Strided:
    """A contiguous tensor that begins in the middle of its storage."""
    values = tensor.detach().numpy()
    strides = tuple(stride // values.itemsize for stride in np.ascontiguousarray(values).strides)
    storage = np.concatenate([np.full(3, 7, values.dtype), values.ravel()])
    return Strided(storage, 3, values.shape, strides)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a net is written."""

    paths: bool = False
    """ResNeXt's form B: as many narrow paths as there are groups."""
    flat_filters: bool = False
    """Filters as [out, in * k * k], as old files have them."""
    biases: bool = False
    """Convolutions have biases, which the norms behind them take away again."""


def lua_net(net: ResidualNet, form: Form) -> Lua:
    """A net without attention as the nested Sequential of its Torch7 original."""
    parts = [*_conv_norm(net.get_submodule("conv1"), net.get_submodule("bn1"), form), Lua("cudnn.ReLU")]
    if isinstance(net.maxpool, nn.MaxPool2d):
        fields = {"kW": 3, "kH": 3, "dW": 2, "dH": 2, "padW": 1, "padH": 1, "ceil_mode": False}
        parts.append(Lua("nn.SpatialMaxPooling", fields))
    parts += [_sequential([_lua_block(block, form) for block in stage.children()]) for stage in net.stages()]
    pool = Lua("cudnn.SpatialAveragePooling", {"kW": 7, "kH": 7, "dW": 1, "dH": 1, "padW": 0, "padH": 0})
    linear = Lua("nn.Linear", {"weight": lua_tensor(net.fc.weight), "bias": lua_tensor(net.fc.bias)})
    view = Lua("nn.View", {"size": Strided(np.array([2048], np.int64), 0, (1,), (1,)), "numElements": 2048})
    root = _sequential([*parts, pool, view, linear])
    root.fields["hook"] = Function()
    return root


def _lua_block(block: nn.Module, form: Form) -> Lua:
    basic = not hasattr(block, "conv3")
    pairs = [(block.get_submodule(f"conv{n}"), block.get_submodule(f"bn{n}")) for n in range(1, 3 if basic else 4)]
    if basic:
        first, second = (_conv_norm(conv, norm, form) for conv, norm in pairs)
        branch = _sequential([*first, Lua("nn.ReLU"), *second])
    else:
        branch = _sequential([*_inner(pairs[0], pairs[1], form), *_conv_norm(*pairs[2], form)])
    shortcut = Lua("nn.Identity")
    downsample = block.get_submodule("downsample")
    if isinstance(downsample, nn.Sequential):
        conv, norm = downsample
        shortcut = _sequential(_conv_norm(conv, norm, form))
    elif not isinstance(downsample, nn.Identity):
        pool = Lua("nn.SpatialAveragePooling", {"kW": 1, "kH": 1, "dW": 2, "dH": 2})
        nothing = Lua("nn.MulConstant", {"constant_scalar": 0})
        both = Lua("nn.Concat", {"dimension": 2, "modules": [Lua("nn.Identity"), nothing]})
        shortcut = _sequential([pool, both])
    paths = Lua("nn.ConcatTable", {"modules": [branch, shortcut]})
    return _sequential([paths, Lua("nn.CAddTable", {"inplace": True}), Lua("cudnn.ReLU", {"inplace": True})])


def _inner(first: tuple[Any, Any], second: tuple[Any, Any], form: Form) -> list[Lua]:
    """What stands before a bottleneck's last convolution."""
    if not form.paths:
        layers = [*_conv_norm(*first, form), Lua("nn.ReLU"), *_conv_norm(*second, form), Lua("nn.ReLU")]
        return [_sequential(layers)]
    groups = second[0].groups
    width = second[0].out_channels // groups
    paths = []
    for path in range(groups):
        own = slice(path * width, (path + 1) * width)
        narrow = [(_part(conv, own), _part(norm, own)) for conv, norm in (first, second)]
        layers = [layer for conv, norm in narrow for layer in (*_conv_norm(conv, norm, form), Lua("nn.ReLU"))]
        paths.append(_sequential(layers))
    return [Lua("nn.ConcatTable", {"modules": paths}), Lua("nn.JoinTable", {"dimension": 2})]


def _part(module: Any, own: slice) -> Any:
    """Some outputs of a convolution, with no groups left, or some channels of a norm."""
    width = own.stop - own.start
    if isinstance(module, nn.Conv2d):
        narrow: Any = nn.Conv2d(module.weight.shape[1], width, module.kernel_size, module.stride, module.padding)  # type: ignore[arg-type]
        narrow.weight.data = module.weight.data[own]
        narrow.bias = None
        return narrow
    narrow = nn.BatchNorm2d(width)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(narrow, name).data.copy_(getattr(module, name)[own])
    return narrow


def _conv_norm(conv: Any, norm: Any, form: Form) -> list[Lua]:
    weight = conv.weight.detach()
    kind = "cudnn.SpatialConvolution"
    if form.flat_filters:
        weight, kind = weight.flatten(1), "nn.SpatialConvolutionMM"
    fields = {
        "kW": conv.kernel_size[1],
        "kH": conv.kernel_size[0],
        "dW": conv.stride[1],
        "dH": conv.stride[0],
        "padW": conv.padding[1],
        "padH": conv.padding[0],
        "groups": conv.groups,
        "nInputPlane": conv.in_channels,
        "nOutputPlane": conv.out_channels,
        "weight": lua_tensor(weight),
    }
    mean = norm.running_mean.clone()
    if form.biases:
        bias = torch.linspace(-1, 1, conv.out_channels)
        fields["bias"] = lua_tensor(bias)
        mean += bias
    statistics = {"running_mean": lua_tensor(mean), "running_var": lua_tensor(norm.running_var)}
    own = {"weight": lua_tensor(norm.weight), "bias": lua_tensor(norm.bias), "eps": 1e-5, "momentum": 0.1}
    return [Lua(kind, fields), Lua("nn.SpatialBatchNormalization", {**own, **statistics})]


def _sequential(modules: list[Lua]) -> Lua:
    return Lua("nn.Sequential", {"modules": modules, "train": False})
