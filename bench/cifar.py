"""CIFAR-10's published recipes on the pictures at hand: what 2,500 instead of 50,000 training pictures leave of them.

The folder ``cifar10/lossless`` (train and test, a folder a class) comes from elsewhere.

    python -m bench.cifar resnet20 FOLDER_WITH_DATA
    python -m bench.cifar cardinality FOLDER_WITH_DATA
    python -m bench.cifar depth FOLDER_WITH_DATA
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import tagwise
from bench.commands import link_data, run_once
from bench.record import write_record
from tagwise.nets import find_design
from tagwise.nets.cost import count_costs
from tagwise.nets.grammar import ResidualNet
from tagwise.pixels.augment import centred
from tagwise.training.plans import Plan
from tagwise.training.runs import read_run
from tagwise.transfer.finetune import class_net
from tagwise.transfer.opening import open_target
from tagwise.transfer.targets import pack_part

TARGET = "cifar10/lossless"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Trainings that differ in the design alone."""

    recipe: str
    designs: tuple[str, ...]
    epochs: int | None = None
    """Of the training pictures; None: the recipe's."""
    published_error: float | None = None
    """Percent, of the first design with this recipe and all 50,000 pictures."""


STUDIES = {
    "resnet20": Study(recipe="akamaster_cifar", designs=("resnet20_cifar",), published_error=8.27),
    "cardinality": Study(
        recipe="resnext_cifar10", designs=("resnext29_32x1d_cifar", "resnext29_1x24d_cifar"), epochs=10
    ),
    "depth": Study(
        recipe="akamaster_cifar",
        designs=tuple(f"{family}{layers}_cifar" for layers in (20, 32, 56) for family in ("resnet", "plain")),
        epochs=20,
    ),
}


def main() -> None:
    """Trains every design of a study with every seed and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, help="folder to work in, where it also goes on")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="cifar-"))
    link_data(arguments.data, folder)
    study = STUDIES[arguments.study]
    runs = [_run(study, design, seed, folder) for seed in arguments.seeds for design in study.designs]
    record = {
        "recipe": study.recipe,
        "published_error": study.published_error,
        "designs": {design: _size(design) for design in study.designs},
        "runs": runs,
        "minutes": sum(run["seconds"] for run in runs) / 60,
        "cpu_minutes": sum(run["cpu_seconds"] for run in runs) / 60,
    }
    print(write_record(f"cifar_{arguments.study}", record, packages=("tagwise", "torch", "numpy", "pillow")))


def _run(study: Study, design: str, seed: int, folder: Path) -> dict[str, Any]:
    out = f"runs/{design}-{seed}"
    length = "" if study.epochs is None else f" --images '{study.epochs} epochs'"
    step = run_once(f"train {TARGET} --recipe {study.recipe} --design {design}{length} --seed {seed} -o {out}", folder)
    run = read_run(folder / out)
    return {
        "design": design,
        "seed": seed,
        **{name: step[name] for name in ("command", "seconds", "cpu_seconds")},
        "images": run.plan.images,
        "steps": run.plan.steps,
        "scores": step["result"]["scores"],
        "gradients": _gradients(run.plan, tagwise.load(folder / out).net, folder),
    }


def _size(design: str) -> dict[str, int]:
    costs = count_costs(find_design(design), 32, 32, num_classes=10)
    return {"parameters": costs.parameters, "macs": costs.macs.total}


def _gradients(plan: Plan, trained: ResidualNet, folder: Path) -> dict[str, list[float]]:
    """The L2 norm of the loss's gradient by each convolution's weights from the first on, over one batch."""
    target = open_target(folder / TARGET)
    packed = pack_part(target.train, plan.view, folder / "pixels")
    every = len(packed.truth) // plan.batch
    images = centred(torch.from_numpy(packed.images_NHWC[::every]), plan.view)
    truth = torch.from_numpy(packed.truth[::every])
    nets = {"start": class_net(plan, len(target.classes)), "end": trained}
    return {when: _norms(net, images, truth) for when, net in nets.items()}


def _norms(net: ResidualNet, images_BCHW: torch.Tensor, truth: torch.Tensor) -> list[float]:
    net.train().requires_grad_(True)
    layers = [
        layer.weight for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and "downsample" not in name
    ]
    gradients = torch.autograd.grad(F.cross_entropy(net(images_BCHW), truth), layers)
    return [float(gradient.norm()) for gradient in gradients]


if __name__ == "__main__":
    main()
