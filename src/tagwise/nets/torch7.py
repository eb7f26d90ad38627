"""Reads the binary files of Torch7 (torch7, File.lua and generic/Tensor.c): data only, no code.

A file is one object: a type as int32, then its value. Tables and torch objects carry an index, and
an index seen before stands for the object read then. Numbers are float64, lengths of strings and
tables int32, sizes and strides of tensors int64; all are little-endian.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base.errors import TagwiseError

DEEPEST = 100
"""Objects inside objects; the deepest nets of the papers nest below 20."""
_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN = range(6)
_FUNCTIONS = (6, 7, 8)
_ITEMS = {
    "Byte": "<u1",
    "Char": "<i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Float": "<f4",
    "Double": "<f8",
    "Half": "<f2",
    "Cuda": "<f4",
    "CudaDouble": "<f8",
    "CudaHalf": "<f2",
    "CudaLong": "<i8",
}
_SMALLEST_ENTRY = 8
"""Bytes of a table's entry at the least: the types of a key and of a value."""


@dataclass(frozen=True, eq=False)
class Torch7Object:
    """An object of a class, such as ``nn.SpatialConvolution``, with its fields by name."""

    kind: str
    fields: dict[Any, Any] = field(default_factory=dict)


def read_torch7(path: Path) -> Any:
    """The object in a file: numbers, strings, booleans, dicts, arrays, ``Torch7Object``; functions are None.

    Arrays are read-only views into the file. Nothing is allocated by the word of the file alone: a
    length beyond its end is an error, as is a tensor with more values than its storage.

    Raises:
        TagwiseError: The file is truncated, is no binary Torch7 file, or contradicts itself.
    """
    try:
        with path.open("rb") as handle:
            content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise TagwiseError(f"{path} cannot be read as a Torch7 file: {error}.") from error
    try:
        return _Reader(content).read_object(0)
    except _Fault as fault:
        raise TagwiseError(f"{path} cannot be read as a binary Torch7 file: {fault}.") from fault


class _Fault(Exception):
    """What is wrong in the file, and where."""


class _Reader:
    """A place in the file, and the objects read before it by their indices."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.place = 0
        self.objects: dict[int, Any] = {}

    def read_object(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise _Fault(f"its objects nest deeper than {DEEPEST}")
        start, kind = self.place, self.int32()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return struct.unpack("<d", self.take(8))[0]
        if kind == _STRING:
            return self.string()
        if kind == _BOOLEAN:
            return self.int32() != 0
        if kind in (_TABLE, _TORCH, *_FUNCTIONS):
            return self.indexed(kind, depth)
        raise _Fault(f"the type {kind} at byte {start} is none of Torch7's")

    def indexed(self, kind: int, depth: int) -> Any:
        """A table, a torch object or a function, or the one read before under the same index."""
        index = self.int32() if kind != _FUNCTIONS[0] else None  # the oldest functions have none
        if index in self.objects:
            return self.objects[index]
        if kind in _FUNCTIONS:
            if index is not None:
                self.objects[index] = None
            self.string()
            self.read_object(depth + 1)  # its upvalues, which other objects may refer to
            return None
        assert index is not None
        if kind == _TABLE:
            return self.table(self.objects.setdefault(index, {}), depth)
        return self.torch_object(index, depth)

    def table(self, entries: dict[Any, Any], depth: int) -> dict[Any, Any]:
        count = self.int32()
        if not 0 <= count * _SMALLEST_ENTRY <= self.left():
            raise _Fault(f"a table of {count} entries at byte {self.place} does not fit into the file")
        for _ in range(count):
            key, value = self.read_object(depth + 1), self.read_object(depth + 1)
            if isinstance(key, float) and key.is_integer():
                key = int(key)
            if isinstance(key, int | float | str):  # others, such as tables, name nothing in a net
                entries[key] = value
        return entries

    def torch_object(self, index: int, depth: int) -> Any:
        name = self.string()
        if name.startswith("V "):  # the version, which the oldest files do not have
            name = self.string()
        library, _, kind = name.partition(".")
        for ending, read in (("Tensor", self.tensor), ("Storage", self.storage)):
            if library == "torch" and kind.removesuffix(ending) in _ITEMS and kind.endswith(ending):
                self.objects[index] = None  # a tensor inside itself is none
                self.objects[index] = read(np.dtype(_ITEMS[kind.removesuffix(ending)]), depth)
                return self.objects[index]
        made = self.objects[index] = Torch7Object(name)
        fields = self.read_object(depth + 1)
        made.fields.update(fields if isinstance(fields, dict) else {})
        return made

    def storage(self, item: np.dtype[Any], _depth: int) -> NDArray[Any]:
        count = self.int64()
        return np.frombuffer(self.take(count * item.itemsize), item)

    def tensor(self, item: np.dtype[Any], depth: int) -> NDArray[Any]:
        start, dimensions = self.place, self.int32()
        if not 0 <= dimensions <= 8:
            raise _Fault(f"a tensor at byte {start} has {dimensions} dimensions")
        sizes, strides = ([self.int64() for _ in range(dimensions)] for _ in range(2))
        offset = self.int64() - 1
        storage = self.read_object(depth + 1)
        if not dimensions or 0 in sizes or storage is None:
            return np.empty(0, item)
        if not isinstance(storage, np.ndarray) or storage.dtype != item or storage.ndim != 1:
            raise _Fault(f"a tensor at byte {start} has no storage of its own kind")
        if min(offset, *sizes, *strides) < 0 or not _inside(sizes, strides, offset, len(storage)):
            raise _Fault(f"a tensor at byte {start} reaches outside its storage")
        # A dimension of one value may have any stride, beyond numpy's integers too.
        steps = [stride * item.itemsize * (size > 1) for size, stride in zip(sizes, strides, strict=True)]
        return np.lib.stride_tricks.as_strided(storage[offset:], sizes, steps, writeable=False)

    def string(self) -> str:
        return bytes(self.take(self.int32())).decode("latin-1")

    def int32(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def int64(self) -> int:
        return int.from_bytes(self.take(8), "little", signed=True)

    def take(self, count: int) -> memoryview:
        if not 0 <= count <= self.left():
            raise _Fault(f"{count:,} bytes are announced at byte {self.place:,} and {self.left():,} are left")
        self.place += count
        return memoryview(self.content)[self.place - count : self.place]

    def left(self) -> int:
        return len(self.content) - self.place


def _inside(sizes: list[int], strides: list[int], offset: int, values: int) -> bool:
    """Whether a tensor stays in its storage; repeated values would let a small file ask for much memory."""
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    count = 1
    for size in sizes:
        count *= size
    return last < values and count <= values
