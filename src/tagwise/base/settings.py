"""Frozen dataclasses to plain values and back, strictly: what is unknown is an error.

msgspec checks the types; unknown keys, which it lets pass in dataclasses, are refused here
with their path and the nearest name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tagwise.base.errors import UsageError, nearest, unknown

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
        raise UsageError(f"{where} does not fit: {_fault(kind, plain, error)}.") from error


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
                raise UsageError(f"{where} does not fit: {_fault(hints[name], value, error, name)}.") from error
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
    text = json.dumps(value, ensure_ascii=False, default=str)  # YAML knows dates
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


_WORDS = {float: "a number such as 0.0005", int: "a whole number", bool: "true or false", str: "text"}
_SAMPLES = {float: 0.5, int: 2, bool: True, str: "text"}


def _fault(kind: Any, plain: Any, error: Exception, name: str = "") -> str:
    """What is wrong, in words for people who do not know msgspec; it only tells the place."""
    fault, _, place = str(error).rstrip("`").partition(" - at `$")
    name = (name + place).lstrip(".")
    if missing := re.search(r"missing required field `(\w+)", fault):
        return f"{name}.{missing[1]} is missing".lstrip(".")
    if "..." in place or "at `key`" in fault:  # msgspec does not say which entry of a mapping
        return f"{name}: {fault.replace('`', '')}".lstrip(": ")
    if not name:
        return "it has to be a table of settings"
    for step in re.findall(r"\w+", place):
        kind, plain = _member(kind, step), plain[int(step) if isinstance(plain, list | tuple) else step]
    literals = [str(value) for option in _options(kind) for value in typing.get_args(option) if _is_literal(option)]
    near = nearest(str(plain), literals, most=1)
    return f"{name} is {_wanted(kind, name)}, not {_short(plain)}{f'; the nearest is {near[0]}' if near else ''}"


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Literal


def _member(hint: Any, step: str) -> Any:
    """The type of a dataclass' field or a list's item."""
    option = next(option for option in _options(hint) if option is not type(None))
    if dataclasses.is_dataclass(option):
        return typing.get_type_hints(option)[step]
    items = typing.get_args(option)
    return items[0] if len(items) == 1 or items[-1] is Ellipsis else items[int(step)]


def _wanted(hint: Any, name: str) -> str:
    """What belongs into a setting."""
    words = []
    for option in _options(hint):
        items = typing.get_args(option)
        if _is_literal(option):
            *others, last = map(str, items)
            words.append(f"{', '.join(others)} or {last}" if others else last)
        elif dataclasses.is_dataclass(option):
            words.append(f"a group of settings such as {name}.{dataclasses.fields(option)[0].name}")
        elif items:
            sample = [_SAMPLES.get(item) for item in (items[:1] * 2 if items[-1] is Ellipsis else items)]
            words.append("a list" if None in sample else f"a list such as {json.dumps(sample)}")
        else:
            words.append(_WORDS.get(option, "null"))
    return " or ".join(words)
