"""Commands as people give them, in a process of their own, and what came of each."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DESIGN = "resnext11_4x4d_small"
SMALL = ("--design", DESIGN, "--recipe", "small", "--resolution", "16", "--set", "precision=float32", "--device", "cpu")
"""The smallest net of the family on the smallest pictures."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Road:
    """Every verb given once, in the order of the README."""

    folder: Path
    steps: dict[str, Done]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def tagwise(*arguments: str | Path, code: str = "from tagwise.cli import main; main()", timeout: float = 300) -> Done:
    words = tuple(map(str, arguments))
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=timeout)
    return Done(arguments=words, code=done.returncode, out=done.stdout, err=done.stderr)
