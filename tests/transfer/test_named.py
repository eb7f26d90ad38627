"""Targets by name: torchvision's files as a target like any other."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from tagwise.base.errors import TagwiseError
from tagwise.pixels.decode import decode
from tagwise.transfer.opening import open_labelled, open_target

PICTURES = 10
"""Of each file."""


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made CIFAR-10 in its authors' form, whose hashes torchvision is told."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("TAGWISE_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datasets" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    names = [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]
    for name in names:
        labels = generator.permutation(10)[:PICTURES].tolist()
        data = generator.integers(0, 256, (PICTURES, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))
    words = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": words}))

    def md5(name: str) -> str:
        return hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324 - torchvision's

    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(name)] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5(name)] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5("batches.meta")})
    return tmp_path


def test_cifar10_by_name_is_torchvisions(cifar: Path) -> None:
    theirs = CIFAR10(cifar / "datasets", train=True)
    target = open_target(Path("cifar10"))
    assert (len(target.train), target.test_pictures) == (5 * PICTURES, PICTURES)
    assert target.classes == tuple(sorted({theirs.classes[kind] for kind in theirs.targets}))
    for row, place in enumerate(target.train.places):
        assert np.array_equal(decode(place).pixels_HWC, theirs.data[row])
        assert target.classes[target.train.truth[row]] == theirs.classes[theirs.targets[row]]
    again = open_target(Path("cifar10"))
    assert again.train.digest == target.train.digest


def test_a_folder_of_that_name_comes_first(cifar: Path) -> None:
    for kind in ("a", "b"):
        (cifar / "cifar10" / kind).mkdir(parents=True)
        (cifar / "cifar10" / kind / "1.png").write_bytes(kind.encode())
    assert open_labelled(Path("cifar10"))[0] == ("a", "b")


def test_what_is_not_here_is_a_sentence(cifar: Path) -> None:
    with pytest.raises(
        TagwiseError, match=r"cifar100 cannot be had .* put cifar-100-python\.tar\.gz into .*, unpacked"
    ):
        open_target(Path("cifar100"))
