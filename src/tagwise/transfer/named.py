"""Targets that have a name instead of a folder: CIFAR-10 and CIFAR-100, by torchvision, which checks their hash."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base.errors import TagwiseError
from tagwise.base.files import open_atomically
from tagwise.base.progress import say
from tagwise.pixels.arrays import array_name, write_header
from tagwise.pixels.place import Place

NAMES = ("cifar10", "cifar100")


def named_parts(name: str) -> dict[str, list[tuple[Place, str]]]:
    """Pictures with their classes of the parts ``train`` and ``test``, downloaded at the first time.

    They lie as arrays in the folder ``datasets`` beside torch.hub's. ``TAGWISE_OFFLINE`` forbids the network.

    Raises:
        TagwiseError: They are not here and cannot be had.
    """
    folder = Path(torch.hub.get_dir()).parent / "datasets"
    return {part: _part(name, part, folder) for part in ("train", "test")}


def _part(name: str, part: str, folder: Path) -> list[tuple[Place, str]]:
    images_NHWC, truth, classes = _read(name, part, folder)
    height, width, channels = images_NHWC.shape[1:]
    path = folder / name / part / array_name(height, width)
    with open_atomically(path) as handle:
        first = write_header(handle, *images_NHWC.shape)
        handle.write(images_NHWC.tobytes())
    size = height * width * channels
    return [(Place(str(path), first + row * size, size), classes[kind]) for row, kind in enumerate(truth.tolist())]


def _read(name: str, part: str, folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """uint8 [N, 32, 32, 3], classes and their names."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    offline = os.environ.get("TAGWISE_OFFLINE", "0") not in ("", "0")
    try:
        if not offline:
            say(f"{name} is looked for in {folder}, and downloaded if it is not there.")
        data = kind(folder, train=part == "train", download=not offline)
    except (RuntimeError, OSError) as error:
        raise TagwiseError(
            f"{name} cannot be had ({error}); put {kind.url.rpartition('/')[2]} into {folder}, unpacked, or give a "
            "folder of class folders."
        ) from error
    return data.data, np.array(data.targets), list(data.classes)
