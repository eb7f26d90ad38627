"""Commands of Tagwise as the docs show them, run beside folders of data that come from elsewhere."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.record import REPOSITORY


def link_data(data: Path, folder: Path) -> None:
    """Makes the folder, with a link to each folder of data."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in data.resolve().iterdir():
        link = folder / entry.name
        if entry.is_dir() and not link.exists():
            link.symlink_to(entry)


def run_command(line: str, folder: Path) -> dict[str, Any]:
    """Runs a command of Tagwise in the folder; returns it with its seconds, its processor's seconds and its JSON."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}  # this checkout, whatever is installed
    words = [sys.executable, "-m", "tagwise", *shlex.split(line.replace(" ;", " ';'")), "--json"]
    began, busy = time.monotonic(), children_seconds()
    done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    _forget_places(result, folder)
    return {
        "command": f"tagwise {line}",
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(children_seconds() - busy, 1),
        "result": _short(result),
    }


def run_once(line: str, folder: Path) -> dict[str, Any]:
    """As ``run_command``, or what an earlier sitting in the folder wrote of the command in ``steps.jsonl``."""
    journal = folder / "steps.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    done = {step["command"]: step for step in map(json.loads, lines)}
    if f"tagwise {line}" in done:
        return dict(done[f"tagwise {line}"])
    step = run_command(line, folder)
    with journal.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(step) + "\n")
    return step


def children_seconds() -> float:
    """Returns the processor's seconds of all finished child processes and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _short(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what a page does not show: single answers and lists of tags."""
    left_out = {"answers", "examples", "merges", "notes", "forms", "commonest_tags"}
    return {
        name: _short(value) if isinstance(value, dict) else value
        for name, value in result.items()
        if name not in left_out
    }


def _forget_places(value: Any, folder: Path) -> None:
    """Machine paths say nothing to a reader."""
    for name, inner in list(value.items()):
        if isinstance(inner, dict):
            _forget_places(inner, folder)
        elif isinstance(inner, str):
            value[name] = inner.replace(f"{folder}/", "")
