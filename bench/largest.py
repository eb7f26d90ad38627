"""What the largest net of the family needs to answer one picture in bfloat16 (M25).

resnext101_32x48d is written once with random weights, as a file of ours in bfloat16 and in float32 and as a
float32 state dict of PyTorch; a process of its own loads each and answers one picture. Counted is the memory that
the process holds for itself: pages of the mapped file stand beside, for the system takes them back when it needs them.

    python -m bench.largest
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from bench.record import write_record
from tagwise.base.views import View
from tagwise.nets import build, count_parameters, find_design
from tagwise.training.loading import load
from tagwise.training.models import ModelFacts, save_model

NAME = "resnext101_32x48d"
FILES = {
    "ours, bfloat16": ("model.safetensors", torch.bfloat16),
    "ours, float32": ("model.safetensors", torch.float32),
    "PyTorch's, float32": ("state.pth", torch.float32),
}
SAMPLE_SECONDS = 0.01


def write(path: Path, dtype: torch.dtype) -> None:
    """A file of random weights."""
    torch.manual_seed(0)
    design = find_design(NAME)
    with torch.device("meta"):
        net = build(design)
    state = {key: _random(tensor, dtype) for key, tensor in net.state_dict().items()}
    if path.suffix == ".pth":
        torch.save(state, path)
        return
    net.load_state_dict(state, assign=True)
    view = View(resolution=224, resize=256)
    save_model(path, net, ModelFacts(design=design, view=view, classes=tuple(f"class {n}" for n in range(1000))))


def _random(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Small filters, norms near 1: finite logits after a hundred layers."""
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.dim() == 1:
        return torch.rand(tensor.shape, dtype=dtype) * 0.1 + 0.5
    return torch.randn(tensor.shape, dtype=dtype) * (2 / tensor[0].numel()) ** 0.5


def answer(path: Path) -> dict[str, Any]:
    """Loads and answers one picture."""
    samples: list[dict[str, float]] = [_resident()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    net = load(path, design=NAME, dtype=torch.bfloat16).net
    ready = time.monotonic()
    with torch.inference_mode():
        finite = bool(net(torch.randn(1, 3, 224, 224, dtype=torch.bfloat16)).isfinite().all())
    done.set()
    watcher.join()
    assert finite, "the logits are not finite"
    return {
        "before_gb": samples[0]["RssAnon"],
        "own_peak_gb": max(sample["RssAnon"] for sample in samples),
        "mapped_peak_gb": max(sample["RssFile"] for sample in samples),
        "load_seconds": round(ready - began, 1),
        "answer_seconds": round(time.monotonic() - ready, 1),
    }


def _resident() -> dict[str, float]:
    """Gigabytes (10^9 bytes) in memory: of the process's own, and of mapped files."""
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 / 1e9 for words in lines if words[0] in ("RssAnon:", "RssFile:")}


def main() -> None:
    """Writes and answers with each file, and writes the record."""
    if len(sys.argv) > 1:
        print(json.dumps(answer(Path(sys.argv[1]))))
        return
    limit = 2 * 2 * count_parameters(find_design(NAME)) / 1e9
    found = {}
    for title, (name, dtype) in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / name, dtype)
            words = [sys.executable, "-m", "bench.largest", str(Path(folder) / name)]
            found[title] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(f"{title}: {found[title]}, limit {limit:.2f} GB", file=sys.stderr)
    results = {"design": NAME, "limit_gb": limit, "files": found}
    print(write_record("largest", results, packages=("tagwise", "torch", "safetensors")))
    sys.exit(any(entry["own_peak_gb"] > limit for entry in found.values()))


if __name__ == "__main__":
    main()
