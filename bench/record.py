"""What every benchmark writes beside its numbers: command, commit, machine, versions and time."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tagwise.base.files import write_json
from tagwise.measure.intervals import mean_and_sd

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "docs" / "results"


def read_record(name: str) -> dict[str, Any] | None:
    """A record, None where it was not made."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def write_record(name: str, results: Any, *, packages: tuple[str, ...]) -> Path:
    """Writes ``docs/results/NAME.json``.

    Args:
        name: Of the benchmark.
        results: Plain values.
        packages: Distributions whose versions the numbers depend on.
    """
    path = RESULTS / f"{name}.json"
    write_json(path, {**provenance(packages), "results": results})
    return path


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """Values over seeds with their mean and standard deviation; None of nothing."""
    if not values:
        return None
    mean, sd = mean_and_sd(values)
    return {"mean": mean, "sd": sd, "values": list(values)}


def of_rounds(values: Sequence[float]) -> dict[str, float]:
    """Median and range of what rounds of a benchmark measured."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def machine(record: dict[str, Any]) -> str:
    """What a record was measured on, in words."""
    cores = record["hardware"]["cores"]
    return f"{cores} core{'s' if cores > 1 else ''} of {record['hardware']['processor']}"


def provenance(packages: tuple[str, ...]) -> dict[str, Any]:
    """Where the numbers come from."""
    return {
        "command": command(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_files": len(_git("status", "--porcelain", "--", "src", "bench").splitlines()),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def command() -> str:
    """The command to give again from the repository's root; where things lie on this machine is nobody's business."""
    module = sys.modules["__main__"].__spec__
    assert module is not None, "a benchmark is run as python -m bench.NAME"
    words = ["FOLDER" if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module.name, *words])


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, load of the last minute, memory; the GPU where torch is loaded."""
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    return _output("git", "-C", str(REPOSITORY), *arguments)


def _output(*arguments: str) -> str:
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
