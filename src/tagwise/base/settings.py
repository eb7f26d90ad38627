"""Frozen dataclasses to plain values and back, strictly: what is unknown is an error.

msgspec checks the types; unknown keys, which it lets pass in dataclasses, are refused here
with their path and the nearest name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tagwise.base.errors import UsageError, unknown

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A settings object as dicts, lists, strings and numbers."""
    import msgspec

    return msgspec.to_builtins(value)


def from_plain(kind: type[T], plain: Any, where: str) -> T:
    """Builds ``kind`` from plain values.

    Args:
        kind: A frozen dataclass.
        plain: What JSON, YAML or TOML gave.
        where: The file or flag, for the message.

    Raises:
        UsageError: An unknown key (with path and nearest name), a wrong type, a missing value.
    """
    import msgspec

    _refuse_unknown_keys(kind, plain, where, path="")
    try:
        return msgspec.convert(plain, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where} does not fit: {error}.") from error


def part_from_plain(kind: type, plain: Any, where: str) -> dict[str, Any]:
    """Some settings of ``kind``, by name; what is nested, and may be a part too, stays plain.

    Raises:
        UsageError: As of ``from_plain``, but for what is missing.
    """
    import msgspec

    if not isinstance(plain, Mapping):
        raise UsageError(f"{where} does not fit: it has to be a table of settings.")
    _refuse_unknown_keys(kind, plain, where, path="")
    hints, part = typing.get_type_hints(kind), dict(plain)
    for name, value in plain.items():
        if not dataclasses.is_dataclass(hints[name]):
            try:
                part[name] = msgspec.convert(value, type=hints[name], strict=True)
            except msgspec.ValidationError as error:
                raise UsageError(f"{where} does not fit: {name}: {error}.") from error
    return part


def read_plain(path: Path) -> Any:
    """What a JSON, YAML or TOML file says; its name's ending tells which it is.

    Raises:
        UsageError: There is no such file, it has another ending, cannot be read, or YAML is not installed.
    """
    import msgspec

    decoders: dict[str, Callable[[bytes], Any]] = {
        ".json": msgspec.json.decode,
        ".toml": msgspec.toml.decode,
        ".yaml": msgspec.yaml.decode,
        ".yml": msgspec.yaml.decode,
    }
    if path.suffix.lower() not in decoders:
        raise UsageError(f"{path} is none of {', '.join(decoders)}; give settings in one of these.")
    try:
        return decoders[path.suffix.lower()](path.read_bytes())
    except ImportError as error:
        raise UsageError(
            f"{path} needs another package: pip install 'tagwise[yaml]'; or give it as JSON or TOML."
        ) from error
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {path}.") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}.") from error


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of the settings' canonical JSON."""
    canonical = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def difference(old: Any, new: Any) -> list[str]:
    """One line per setting that differs, ``name: old -> new``, nested names dotted."""
    # Through JSON, which knows no tuples: one side often was read from a file.
    read_old, read_new = (json.loads(json.dumps(to_plain(value))) for value in (old, new))
    return list(_difference(read_old, read_new, ""))


def _difference(old: Any, new: Any, path: str) -> typing.Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _difference(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif old != new:
        yield f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _refuse_unknown_keys(kind: Any, plain: Any, where: str, path: str) -> None:
    if not dataclasses.is_dataclass(kind) or not isinstance(plain, Mapping):
        return
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for key, value in plain.items():
        if key not in names:
            raise unknown("setting", f"{path}{key}", [path + name for name in names], where)
        for option in typing.get_args(hints[key]) or (hints[key],):
            _refuse_unknown_keys(option, value, where, f"{path}{key}.")
