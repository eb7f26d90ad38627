"""Which places a source's name means: patterns of files and addresses, and ranges of shards."""

from __future__ import annotations

import glob
import math
import os
import re
from itertools import product
from pathlib import Path

from tagwise.base.errors import UsageError
from tagwise.pixels.addresses import is_address, public, reaching

_RANGE = re.compile(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}")
_WILD = re.compile(r"[*?[]")
_MAX_SHARDS = 1_000_000


class NoSource(UsageError):  # noqa: N818 - it says what happened
    """Nothing is there under the name of a source."""


def is_pattern(name: str) -> bool:
    """Whether a name stands for several places: ``*``, ``?``, ``[ab]``, or a range ``{000..123}``.

    A file or folder that really bears the name is no pattern; of addresses, ``*`` and ranges alone are.
    """
    if _RANGE.search(name):
        return not os.path.exists(name)  # noqa: PTH110 - false for names that are too long, where Path raises
    if is_address(name):
        return "*" in name
    return bool(_WILD.search(name)) and not os.path.exists(name)  # noqa: PTH110 - as above


def match(pattern: str) -> list[str]:
    """The places that a pattern means, sorted; local ones absolute.

    Raises:
        NoSource: Nothing matches.
        UsageError: A place that a range names is not there.
    """
    ranged = expand_ranges(pattern)
    if is_address(pattern):
        return sorted(place for name in ranged for place in (_listed(name) if "*" in name else [name]))
    found = {name: glob.glob(name, recursive=True) for name in ranged}  # noqa: PTH207 - Path takes no absolute pattern
    if not any(found.values()):
        raise NoSource(f"Nothing matches {pattern}; the nearest folder that is there is {nearest_folder(pattern)}.")
    missing = [name for name, places in found.items() if not places]
    if missing:
        raise UsageError(
            f"{len(missing):,} of the {len(ranged):,} names of {pattern} are not there, first {missing[0]}; "
            "correct the range, or write * to take what is there."
        )
    return sorted({os.path.abspath(place) for places in found.values() for place in places})  # noqa: PTH100 - texts


def expand_ranges(pattern: str) -> list[str]:
    """The names of ``shards-{000..012}.tar``, with leading zeros as the first number has them.

    Raises:
        UsageError: A range runs backwards, or all together stand for more than a million names.
    """
    pieces = _RANGE.split(pattern)
    heads, firsts, lasts = pieces[:-1:3], pieces[1::3], pieces[2::3]
    ranges = [range(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]
    if not all(ranges) or math.prod(map(len, ranges)) > _MAX_SHARDS:
        raise UsageError(
            f"The ranges of {public(pattern)} must run upwards, over at most {_MAX_SHARDS:,} names together."
        )
    parts = [
        [f"{head}{number:0{len(first)}d}" for number in numbers]
        for head, first, numbers in zip(heads, firsts, ranges, strict=True)
    ]
    return ["".join((*name, pieces[-1])) for name in product(*parts)]


def fixed_part(pattern: str) -> str:
    """What stands before the first part of a name that varies, or else before its last part, with the last ``/``."""
    found = (_WILD.search(pattern), _RANGE.search(pattern))
    varying = min((part.start() for part in found if part), default=len(pattern))
    return pattern[: pattern.rfind("/", 0, varying) + 1]


def nearest_folder(name: str) -> Path:
    """The longest part of a path that is a folder."""
    parents = Path(os.path.abspath(name)).parents  # noqa: PTH100 - texts
    return next(parent for parent in parents if os.path.isdir(parent))  # noqa: PTH112 - Path raises on long names


def _listed(pattern: str) -> list[str]:
    with reaching(pattern) as (system, path):
        found = [system.unstrip_protocol(name) for name in system.glob(path)]
    if not found:
        raise NoSource(f"Nothing matches {public(pattern)}; correct the address.")
    return found
