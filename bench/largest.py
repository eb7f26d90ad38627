"""M25: what the largest net of the family needs: ``python -m bench.largest``.

resnext101_32x48d is written once with random weights, then a process of its own loads it and answers one
picture in bfloat16. Its host memory, torch itself and the pages of the mapped file included, is held against
twice the bytes of its parameters in bfloat16; a file of float32 is mapped too, and alone has as many.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tagwise.base.views import View
from tagwise.nets import build, count_parameters, find_design
from tagwise.training.loading import load
from tagwise.training.models import MODEL_FILE, ModelFacts, save_model

NAME = "resnext101_32x48d"
VIEW = View(resolution=224, resize=256)


def write(path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    design = find_design(NAME)
    with torch.device("meta"):
        net = build(design)
    state = {key: _random(tensor, dtype) for key, tensor in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    save_model(path, net, ModelFacts(design=design, view=VIEW, classes=tuple(f"class {n}" for n in range(1000))))


def _random(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Small filters, norms near 1: finite logits after a hundred layers."""
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.dim() == 1:
        return torch.rand(tensor.shape, dtype=dtype) * 0.1 + 0.5
    return torch.randn(tensor.shape, dtype=dtype) * (2 / tensor[0].numel()) ** 0.5


def answer(path: Path) -> dict[str, float]:
    """Loads and answers one picture; megabytes (2**20 bytes) of memory, and seconds."""
    began = time.monotonic()
    net = load(path).net.to(torch.bfloat16)
    loaded, ready = _peak(), time.monotonic()
    with torch.inference_mode():
        finite = bool(net(torch.randn(1, 3, 224, 224, dtype=torch.bfloat16)).isfinite().all())
    assert finite, "the logits are not finite"
    return {
        "loaded_mb": loaded,
        "peak_mb": _peak(),
        "load_seconds": ready - began,
        "answer_seconds": time.monotonic() - ready,
    }


def _peak() -> float:
    """The most resident memory so far, pages of mapped files included."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(answer(Path(sys.argv[1]))))
        return
    limit = 2 * 2 * count_parameters(find_design(NAME)) / 2**20
    for dtype in (torch.bfloat16, torch.float32):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / MODEL_FILE
            write(path, dtype)
            done = subprocess.run(
                [sys.executable, "-m", "bench.largest", str(path)], capture_output=True, text=True, check=True
            )
        found = json.loads(done.stdout)
        verdict = "within" if found["peak_mb"] <= limit else "above"
        print(f"a file of {dtype}: {json.dumps(found)}, {verdict} the limit of {limit:,.0f} MB")


if __name__ == "__main__":
    main()
