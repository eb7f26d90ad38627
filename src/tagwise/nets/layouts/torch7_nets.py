"""From the tree of modules in a Torch7 file to tensors by their roles in the net.

The nets of fb.resnet.torch and ResNeXt are Sequentials without names: a block is a ConcatTable of
branch and shortcut, an addition and a ReLU; form B of ResNeXt has a second ConcatTable of equal
paths inside the branch, joined along the channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError
from tagwise.base.progress import printable
from tagwise.nets.torch7 import Torch7Object, read_torch7

PREFIX = "torch7."
"""Stands before the names that ``name_tensors`` gives, so that their origin is known."""
_EPSILON = 1e-5
_KINDS = {
    "SpatialConvolution": "conv",
    "SpatialConvolutionMM": "conv",
    "SpatialBatchNormalization": "norm",
    "ReLU": "relu",
    "SpatialMaxPooling": "pool",
    "Linear": "linear",
    "CAddTable": "add",
    "JoinTable": "join",
    "ConcatTable": "paths",
}
_TENSORS = ("weight", "bias", "running_mean", "running_var")
_SILENT = ("Identity", "View", "Reshape", "SpatialAveragePooling", "Dropout", "Copy")
"""What has no weights, and its place in every net of this kind."""
_BASIC = ("conv", "norm", "relu", "conv", "norm")
_BOTTLENECK = (*_BASIC[:3], *_BASIC[:3], "conv", "norm")


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A module with its tensors under PyTorch's names."""

    kind: str
    tensors: dict[str, Tensor]
    strides: bool = False


class _Strange(Exception):
    """Why a net is none of those that can be named."""


def read_torch7_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a net in a Torch7 file, named ``torch7.layer1.0.conv1.weight`` and so on.

    Raises:
        TagwiseError: The file is damaged, or its net is no post-activation ResNet or ResNeXt.
    """
    root = read_torch7(path)
    try:
        _refuse_shared(root, path.stat().st_size)
        return {PREFIX + name: tensor for name, tensor in _net(root)}
    except _Strange as strange:
        raise TagwiseError(
            f"The net in {path} cannot be taken over: {printable(str(strange))}; "
            "what can are post-activation ResNets and ResNeXts of fb.resnet.torch's form."
        ) from strange


def _refuse_shared(root: Any, file_bytes: int) -> None:
    """What is named once is copied once: a file whose modules share weights could ask for any memory."""
    waiting, seen, weight_bytes = [_unwrapped(root)], set[int](), 0
    while waiting:
        module = waiting.pop()
        weight_bytes += sum(
            value.nbytes for key, value in module.fields.items() if key in _TENSORS and _is_array(value)
        )
        if id(module) in seen or weight_bytes > file_bytes:
            raise _Strange("its modules share weights")
        seen.add(id(module))
        waiting += _children(module)


def _net(root: Any) -> Iterator[tuple[str, Tensor]]:
    parts = list(_parts(root))
    stages = [part for part in parts if isinstance(part, list)]
    layers = [part for part in parts if isinstance(part, _Layer)]
    kinds = [layer.kind for layer in layers]
    if kinds[:3] != ["conv", "norm", "relu"] or not stages:
        raise _Strange(f"it begins with {', '.join(kinds[:3]) or 'no layer'} and has {len(stages)} stages of blocks")
    if [kind for kind in kinds[3:] if kind != "pool"] not in ([], ["linear"]):
        raise _Strange(f"beside its blocks it has {', '.join(kinds)}")
    yield from _named("conv1", layers[0])
    yield from _named("bn1", layers[1])
    for number, blocks in enumerate(stages, 1):
        for position, block in enumerate(blocks):
            yield from _block(f"layer{number}.{position}.", block)
    if kinds[-1] == "linear":
        yield from _named("fc", layers[-1])


def _parts(root: Any) -> Iterator[_Layer | list[Torch7Object]]:
    """The stem's and the head's layers, and each stage as the list of its blocks."""
    for module in _children(_unwrapped(root)):
        children = _children(module) if _class(module) == "Sequential" else []
        if children and all(_is_block(child) for child in children):
            yield children
        elif layer := _layer(module):
            yield layer


def _block(name: str, block: Torch7Object) -> Iterator[tuple[str, Tensor]]:
    paths, *after = (child for child in _children(block) if _class(child) not in _SILENT)
    if [_KINDS.get(_class(child)) for child in after] != ["add", "relu"]:
        between = ", ".join(_class(child) for child in after)
        raise _Strange(f"its blocks end in {between} instead of the addition and a ReLU")
    branch, shortcut = _sides(paths)
    layers = list(_flat(branch))
    kinds = tuple(layer.kind for layer in layers)
    if kinds not in (_BASIC, _BOTTLENECK):
        raise _Strange(f"its branches are {', '.join(kinds)}" + (" (pre-activation)" if kinds[:1] == ("norm",) else ""))
    if kinds == _BOTTLENECK and (layers[0].strides or layers[6].strides):
        raise _Strange("its bottlenecks stride in a 1x1 convolution")
    for number, layer in enumerate(layer for layer in layers if layer.kind != "relu"):
        yield from _named(f"{name}{('conv', 'bn')[number % 2]}{number // 2 + 1}", layer)
    projection = list(_flat(shortcut)) if _class(shortcut) != "Sequential" or _has_weights(shortcut) else []
    if tuple(layer.kind for layer in projection) not in ((), ("conv", "norm")):
        raise _Strange("its shortcuts are no projections and no padding")
    for number, layer in enumerate(projection):
        yield from _named(f"{name}downsample.{number}", layer)


def _sides(paths: Torch7Object) -> list[Torch7Object]:
    """The branch and the shortcut of a block."""
    sides = _children(paths)
    if len(sides) != 2:
        raise _Strange(f"its blocks add {len(sides)} paths instead of a branch and a shortcut")
    return sides


def _flat(module: Torch7Object) -> Iterator[_Layer]:
    """The layers in order, with equal paths that are joined again merged into one (form B to form C)."""
    if _class(module) == "Sequential":
        for child in _children(module):
            yield from _flat(child)
    elif _class(module) == "ConcatTable":
        yield from _merged([list(_flat(path)) for path in _children(module)])
    elif (layer := _layer(module)) and layer.kind != "join":
        yield layer


def _merged(paths: list[list[_Layer]]) -> Iterator[_Layer]:
    """Wide layers of parallel narrow ones; a grouped convolution's filters are those of its groups, stacked."""
    shapes = {
        tuple((layer.kind, layer.strides, str({key: t.shape for key, t in layer.tensors.items()})) for layer in path)
        for path in paths
    }
    if len(shapes) != 1:
        raise _Strange("the paths of its blocks differ")
    for layers in zip(*paths, strict=True):
        names = layers[0].tensors
        merged = {name: torch.cat([layer.tensors[name] for layer in layers]) for name in names}
        yield _Layer(kind=layers[0].kind, tensors=merged, strides=layers[0].strides)


def _layer(module: Torch7Object) -> _Layer | None:
    kind = _KINDS.get(_class(module))
    if kind is None:
        if _class(module) in _SILENT:
            return None
        raise _Strange(f"it holds a {module.kind}")
    arrays = {name: array for name in _TENSORS if _is_array(array := module.fields.get(name))}
    tensors = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in arrays.items()}
    if "running_var" in tensors:
        epsilon = module.fields.get("eps")  # ours is always the same, so the variance takes the difference
        tensors["running_var"] += epsilon - _EPSILON if isinstance(epsilon, float) else 0
    if kind == "conv" and "weight" in tensors:
        tensors["weight"] = _as_filters(module, tensors["weight"])
    if kind == "pool" and (module.fields.get("padW") != 1 or module.fields.get("ceil_mode")):
        raise _Strange("its first pool is not padded by 1")
    return _Layer(kind=kind, tensors=tensors, strides=module.fields.get("dW", 1) != 1)


def _as_filters(module: Torch7Object, weight: Tensor) -> Tensor:
    """Filters [out, in / groups, k, k], which old files hold as [out, in * k * k]."""
    sides = [module.fields.get(side) for side in ("kH", "kW")]
    if weight.dim() == 4 or not all(isinstance(side, float) and 1 <= side <= 64 for side in sides):
        return weight
    height, width = (int(side) for side in sides if side is not None)
    if weight.dim() != 2 or weight.shape[1] % (height * width):
        raise _Strange(f"a convolution has weights of shape {list(weight.shape)}")
    return weight.reshape(len(weight), -1, height, width)


def _named(name: str, layer: _Layer) -> Iterator[tuple[str, Tensor]]:
    return ((f"{name}.{key}", tensor) for key, tensor in layer.tensors.items())


def _children(module: Torch7Object) -> list[Torch7Object]:
    modules = module.fields.get("modules")
    listed = [modules.get(number) for number in range(1, len(modules) + 1)] if isinstance(modules, dict) else []
    children = [child for child in listed if isinstance(child, Torch7Object)]
    if len(children) != len(listed):
        raise _Strange("some of its modules are missing")
    return children


def _unwrapped(root: Any) -> Torch7Object:
    for _ in range(3):
        if isinstance(root, Torch7Object) and _class(root) == "Sequential":
            return root
        if isinstance(root, Torch7Object):
            root = root.fields.get("modules")
        root = root.get("model", root.get(1)) if isinstance(root, dict) else None
    raise _Strange("it is no Sequential")


def _is_block(module: Torch7Object) -> bool:
    modules = module.fields.get("modules")
    first = modules.get(1) if isinstance(modules, dict) else None
    return _class(module) == "Sequential" and isinstance(first, Torch7Object) and _class(first) == "ConcatTable"


def _has_weights(module: Torch7Object) -> bool:
    return any(_is_array(child.fields.get("weight")) for child in _children(module))


def _class(module: Torch7Object) -> str:
    return module.kind.rpartition(".")[2]


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0
