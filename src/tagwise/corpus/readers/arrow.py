"""Parquet files, and Hugging Face datasets as ``save_to_disk`` leaves them, as records; read by pyarrow alone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import DataRefused
from tagwise.base.progress import printable
from tagwise.corpus.readers.records import Records, plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH_ROWS = 64  # rows may hold whole pictures


@dataclass(frozen=True, kw_only=True)
class _Split:
    files: tuple[Path, ...]
    classes: dict[str, list[str]]
    """Names of the classes, by column of their numbers."""


def parquet(path: Path) -> Records:
    """A Parquet file, batch after batch.

    Raises:
        DataRefused: It is damaged or no Parquet.
    """
    from pyarrow.parquet import ParquetFile

    with _readable(path), ParquetFile(path) as file:
        schema = file.schema_arrow
    described = (schema.metadata or {}).get(b"huggingface", b"{}")
    with _whole(path):
        classes = _classes(json.loads(described).get("info", {}).get("features", {}))

    def read(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        with _readable(path), ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(names))):
                yield from _rows(batch, classes)

    return Records(path=path, folder=path.parent, form="Parquet", names=tuple(schema.names), read=read)


def dataset(folder: Path) -> Records:
    """A dataset's folder (``state.json``), or one with several splits (``dataset_dict.json``): all of them.

    Raises:
        DataRefused: A file is missing, damaged, or not as ``save_to_disk`` writes it.
    """
    with _whole(folder):
        splits = _splits(folder)
    names = tuple(dict.fromkeys(name for split in splits for path in split.files[:1] for name in _stream_names(path)))

    def read(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for split in splits:
            for path in split.files:
                yield from _stream_rows(path, names, split.classes)

    return Records(path=folder, folder=folder, form="Arrow dataset", names=names, read=read)


def _splits(folder: Path) -> list[_Split]:
    listed = folder / "dataset_dict.json"
    if listed.is_file():
        return [_split(folder / name) for name in json.loads(listed.read_text("utf-8"))["splits"]]
    return [_split(folder)]


def _split(folder: Path) -> _Split:
    state = json.loads((folder / "state.json").read_text("utf-8"))
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataRefused(f"{folder} keeps its order in a file of its own; call flatten_indices() and save it again.")
    features = json.loads((folder / "dataset_info.json").read_text("utf-8")).get("features") or {}
    files = tuple(folder / file["filename"] for file in state["_data_files"])
    return _Split(files=files, classes=_classes(features))


def _classes(features: dict[str, Any]) -> dict[str, list[str]]:
    named = {column: _class_names(feature) for column, feature in features.items()}
    return {column: names for column, names in named.items() if names}


def _class_names(feature: Any) -> list[str] | None:
    """Of a class label, or of a list of them, which has been written in three ways."""
    if isinstance(feature, list):
        return _class_names(feature[0]) if feature else None
    if not isinstance(feature, dict):
        return None
    if feature.get("_type") != "ClassLabel":
        return _class_names(feature.get("feature"))
    names = feature.get("names")
    if not isinstance(names, list | None) or not all(isinstance(name, str) for name in names or ()):
        raise TypeError(f"the names of its classes are {str(names)[:60]}")
    return names


def _stream_names(path: Path) -> list[str]:
    import pyarrow as pa

    with _readable(path), pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return list(stream.schema.names)


def _stream_rows(path: Path, names: tuple[str, ...], classes: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    with _readable(path), pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        wanted = [name for name in stream.schema.names if name in names]
        for batch in stream:
            batch.validate(full=True)  # pyarrow believes a damaged file's lengths and offsets, and crashes on them
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield from _rows(batch.slice(start, _BATCH_ROWS).select(wanted), classes)


def _rows(batch: Any, classes: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [_cells(column, classes.get(name)) for name, column in zip(names, batch.columns, strict=True)]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _cells(column: Any, classes: list[str] | None) -> list[Any]:
    import pyarrow as pa

    # Python's times have no nanoseconds: turning a column into them may fail, even one that nobody asked for.
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        column = column.cast(pa.string())
    values = column.to_pylist()
    if classes is None:
        return [plain(value) for value in values]
    return [_named(value if isinstance(value, list) else [value], classes) for value in values]


def _named(numbers: list[Any], classes: list[str]) -> list[str]:
    """Class names as tags; -1 and null are no class."""
    if wrong := [number for number in numbers if not isinstance(number, int | None)]:
        raise ValueError(f"its classes have names, so that a row needs their numbers, not {str(wrong[0])[:60]!r}")
    return [classes[number] for number in numbers if number is not None and number >= 0]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise DataRefused(f"{path} cannot be read ({printable(str(error))}); write it again.") from error


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataRefused(
            f"{path} does not describe itself as Hugging Face datasets do ({printable(str(error))}); save it again."
        ) from error
