"""Our training step beside timm's plain one, in turn and on the same weights and pictures.

Both are shown pixels that lie on the device already and do forward pass, loss, backward pass and step; timm's as in its
train.py without extras. On the CPU one thread, counted by the processor's seconds; memory in a process of its own.

    python -m bench.training
    python -m bench.training --device cuda

The exit code is 1 if the two do not learn the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch import Tensor, nn

from bench.record import of_rounds, write_record
from tagwise.base.devices import choose_device, native_bf16
from tagwise.base.progress import say
from tagwise.base.views import View
from tagwise.nets import build, find_design
from tagwise.nets.layouts import to_canonical
from tagwise.pixels.batches import LabelledPictures
from tagwise.training.estimate import DTYPES, choose_memory_format, kept_bytes
from tagwise.training.learner import Learner
from tagwise.training.losses import truth_of
from tagwise.training.optim import build_optimiser
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.tasks import LabelTask

CLASSES, RATE, DECAY, MOMENTUM = 1000, 0.01, 1e-4, 0.9
WARM_STEPS = 3
SAME_LOSS = {"float32": 1e-4, "bfloat16": 2e-2}
"""Relative difference of the losses of the first steps, at most; behind the first one stands what was learnt."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A net on a batch of pictures."""

    design: str
    peer: str
    """Its name at timm."""
    resolution: int
    batch: int

    def __str__(self) -> str:
        return f"{self.design}, {self.resolution} px, batch {self.batch}"


CASES = {
    "cpu": (
        Case(design="resnet18", peer="resnet18", resolution=64, batch=32),
        Case(design="resnet50", peer="resnet50", resolution=96, batch=8),
        Case(design="resnext50_32x4d", peer="resnext50_32x4d", resolution=96, batch=8),
        Case(design="resnest50", peer="resnest50d", resolution=96, batch=8),
    ),
    "cuda": (
        Case(design="resnet50", peer="resnet50", resolution=224, batch=256),
        Case(design="resnext50_32x4d", peer="resnext50_32x4d", resolution=224, batch=256),
        Case(design="resnest50", peer="resnest50d", resolution=224, batch=256),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a step is done."""

    ours: bool
    precision: str = "float32"
    channels_last: bool = False
    compiled: bool = False
    recompute: bool = False

    def __str__(self) -> str:
        extras = [name for name in ("channels_last", "compiled", "recompute") if getattr(self, name)]
        return ", ".join(["ours" if self.ours else "timm", self.precision, *extras])

    @property
    def layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def plan_of(case: Case, way: Way) -> Plan:
    """What our learner goes by."""
    return Plan(
        task="train",
        data="",
        design=find_design(case.design),
        view=View(resolution=case.resolution, resize=case.resolution),
        images=case.batch,
        batch=case.batch,
        weight_decay=DECAY,
        momentum=MOMENTUM,
        precision=way.precision,  # type: ignore[arg-type]
        compiled=way.compiled,
        recompute=way.recompute,
    )


def stepper(case: Case, way: Way, device: torch.device) -> Callable[[], Tensor]:
    """A function that does one step and returns its loss; all of a case begin with the same weights and pictures."""
    torch.manual_seed(0)
    model = timm.create_model(case.peer, num_classes=CLASSES)
    images_BCHW = torch.randn(case.batch, 3, case.resolution, case.resolution)
    images_BCHW = images_BCHW.to(device).contiguous(memory_format=way.layout)
    classes = torch.randint(CLASSES, (case.batch,)).to(device)
    if way.ours:
        return _our_step(case, way, model, images_BCHW, classes)
    return _their_step(way, model, images_BCHW, classes)


def _our_step(case: Case, way: Way, model: nn.Module, images_BCHW: Tensor, classes: Tensor) -> Callable[[], Tensor]:
    plan = plan_of(case, way)
    net = build(plan.design, num_classes=CLASSES)
    net.load_state_dict(to_canonical(model.state_dict(), plan.design))
    blank = LabelledPictures.of_classes(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64))
    task = LabelTask(plan, net.train(), blank, images_BCHW.device, Ranks(), layout=way.layout)
    learner = Learner(task, plan, Ranks())
    truth = truth_of(plan.loss, classes, torch.arange(len(classes) + 1, device=classes.device))
    return lambda: learner.step(task.sliced(images_BCHW, truth), RATE)[0]


def _their_step(way: Way, model: nn.Module, images_BCHW: Tensor, classes: Tensor) -> Callable[[], Tensor]:
    device, dtype = images_BCHW.device, DTYPES[way.precision]
    model.to(device=device, memory_format=way.layout).train()  # type: ignore[call-overload]
    optimiser = create_optimizer_v2(model, opt="sgd", lr=RATE, weight_decay=DECAY, momentum=MOMENTUM)
    judge = nn.CrossEntropyLoss()
    shown = torch.compile(model) if way.compiled else model

    def step() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss: Tensor = judge(shown(images_BCHW), classes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.detach()

    return step


def rates(case: Case, ways: list[Way], device: torch.device, rounds: int, steps: int) -> dict[Way, dict[str, Any]]:
    """Pictures a second of each way by round, all in turn, with the losses of the first steps."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    found: dict[Way, dict[str, Any]] = {}
    steppers = {way: stepper(case, way, device) for way in ways}
    for way, step in steppers.items():
        losses = [float(step()) for _ in range(WARM_STEPS)]
        found[way] = {"first_losses": losses, "pictures_per_second": []}
    for _ in range(rounds):
        for way, step in steppers.items():
            began = clock()
            for _ in range(steps):
                loss = step()
            float(loss)  # waits for a GPU
            found[way]["pictures_per_second"].append(case.batch * steps / (clock() - began))
    return found


def peak_bytes(case: Case, way: Way, device: torch.device) -> int:
    """What building a net and three steps add to this process at most; on a GPU what torch took of its memory."""
    on_gpu = device.type == "cuda"
    if not on_gpu:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # forgets the peak so far
    before = 0 if on_gpu else _status("VmRSS")
    step = stepper(case, way, device)
    for _ in range(WARM_STEPS):
        float(step())
    return (torch.cuda.max_memory_allocated(device) if on_gpu else _status("VmHWM")) - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure_memory(case: Case, way: Way, device: torch.device) -> int:
    """``peak_bytes`` in a process of its own."""
    told = json.dumps({"case": asdict(case), "way": asdict(way)})
    words = [sys.executable, "-m", "bench.training", "--device", device.type, "--memory-of", told]
    return int(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def chosen_ways(case: Case, device: torch.device) -> dict[str, Way]:
    """Our step in both precisions, in the memory format that a long run would choose on this machine."""
    found = {}
    for precision in SAME_LOSS:
        way = Way(ours=True, precision=precision)
        layout = choose_memory_format(plan_of(case, way), device)
        found[precision] = replace(way, channels_last=layout is torch.channels_last)
    return found


def compared(case: Case, device: torch.device) -> dict[str, tuple[Way, Way]]:
    """What is divided by what."""
    own = chosen_ways(case, device)
    default = own["bfloat16" if native_bf16(device) else "float32"]
    if device.type == "cuda":
        compiled = replace(default, compiled=True)
        pairs = {
            "compiled, our layout over timm's": (compiled, Way(ours=False, precision="bfloat16", compiled=True)),
            "compiled, else alike": (compiled, replace(compiled, ours=False)),
            "bfloat16, else alike": (default, replace(default, ours=False)),
        }
    else:
        pairs = {"our defaults over timm's": (default, Way(ours=False))}
        pairs |= {f"{precision}, else alike": (way, replace(way, ours=False)) for precision, way in own.items()}
    return {**pairs, "recomputed over kept": (replace(default, recompute=True), default)}


def measure(case: Case, device: torch.device, rounds: int, steps: int) -> dict[str, Any]:
    """Rates and memory of a case, and what they are to each other."""
    pairs = compared(case, device)
    ways = list(dict.fromkeys(way for pair in pairs.values() for way in pair))
    found = rates(case, ways, device, rounds, steps)
    memory = {way: measure_memory(case, way, device) for way in ways}
    kept = {recompute: kept_bytes(plan_of(case, Way(ours=True, recompute=recompute))) for recompute in (False, True)}
    return {
        "case": str(case),
        "ways": {
            str(way): {**entry, "pictures_per_second": of_rounds(entry["pictures_per_second"]), "bytes": memory[way]}
            for way, entry in found.items()
        },
        "ratios": {
            name: {
                "of": [str(way), str(base)],
                "speed": of_rounds(_shares(found[way], found[base])),
                "memory": memory[way] / memory[base],
            }
            for name, (way, base) in pairs.items()
        },
        "kept_bytes_fraction": kept[True] / kept[False],
        "same_loss": all(_same_loss(found, way, base) for way, base in pairs.values()),
    }


def _shares(entry: dict[str, Any], base: dict[str, Any]) -> list[float]:
    """Round by round: what else the machine does it does to both."""
    pairs = zip(entry["pictures_per_second"], base["pictures_per_second"], strict=True)
    return [own / other for own, other in pairs]


def _same_loss(found: dict[Way, dict[str, Any]], way: Way, base: Way) -> bool:
    """Whether two ways learn the same: a fast wrong answer does not count."""
    pairs = zip(found[way]["first_losses"], found[base]["first_losses"], strict=True)
    lower = "bfloat16" if "bfloat16" in (way.precision, base.precision) else "float32"
    return all(abs(loss - expected) <= SAME_LOSS[lower] * expected for loss, expected in pairs)


def optimiser_shares(rounds: int, steps: int) -> list[float]:
    """How many times as fast the fused step over ResNeXt-50's parameters is as torch's loop over them."""
    plan = plan_of(CASES["cpu"][2], Way(ours=True))
    net = build(plan.design, num_classes=CLASSES)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-4)
    groups = build_optimiser(net, plan).param_groups
    plain = [{"params": group["params"], "weight_decay": group["weight_decay"]} for group in groups]
    loop = torch.optim.SGD(plain, lr=RATE, momentum=MOMENTUM, nesterov=True, foreach=False, fused=False)
    fused = build_optimiser(net, plan)
    shares = []
    for number in range(rounds + 1):
        seconds = []
        for optimiser in (loop, fused):
            began = time.process_time()
            for _ in range(steps):
                optimiser.step()
            seconds.append(time.process_time() - began)
        if number:  # the first makes the momentum
            shares.append(seconds[0] / seconds[1])
    return shares


def main() -> None:
    """Measures every case and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(CASES), default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="of each way in a round; by default 2, on a GPU 20")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    torch.set_num_threads(1)
    if arguments.memory_of:
        told = json.loads(arguments.memory_of)
        print(peak_bytes(Case(**told["case"]), Way(**told["way"]), device))
        return
    steps = arguments.steps or (20 if device.type == "cuda" else 2)
    cases = []
    for case in CASES[device.type]:
        cases.append(measure(case, device, arguments.rounds, steps))
        for name, entry in cases[-1]["ratios"].items():
            say(f"{case}: {name}: {entry['speed']['median']:.2f}, memory {entry['memory']:.2f}")
    results: dict[str, Any] = {"rounds": arguments.rounds, "steps": steps, "cases": cases}
    if device.type == "cpu":
        results["fused_optimiser_speed"] = of_rounds(optimiser_shares(arguments.rounds, 10))
    name = "training_gpu" if device.type == "cuda" else "training"
    print(write_record(name, results, packages=("tagwise", "torch", "timm")))
    sys.exit(not all(case["same_loss"] for case in cases))


if __name__ == "__main__":
    main()
