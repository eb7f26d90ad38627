"""``torch.hub.load`` from a bare checkout, without any other package of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

import hubconf
from tagwise.base.errors import UsageError
from tagwise.nets import find_design, find_weights
from tests.conftest import REPOSITORY

BARE = """
import sys
for name in "PIL msgspec safetensors rich cyclopts torchvision pyarrow matplotlib jinja2 timm".split():
    sys.modules[name] = None
import torch
def load(name, **settings):
    return torch.hub.load(sys.argv[1], name, source="local", **settings)
"""
MIRRORED = """
import dataclasses, hashlib, os, pathlib
made = load("resnet18_swsl", pretrained=False)
from tagwise.nets import weights
file = pathlib.Path(os.environ["TAGWISE_MIRROR"]) / "file"
torch.save(made.state_dict(), file)
prefix = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
file.rename(file.with_name(f"made-{prefix}.pth"))
row = weights.find_weights("resnet18_swsl")
published = dataclasses.replace(row, url=f"http://localhost/made-{prefix}.pth")
weights.WEIGHTS = (published, *weights.WEIGHTS)
net = load("resnet18_swsl", progress=False)
images = torch.zeros(1, 3, 64, 64)
print(torch.equal(net.eval()(images), made.eval()(images)), net.view)
"""


def bare(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs code away from the checkout; the package is not on the path but for ``hubconf.py``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    command = [sys.executable, "-c", BARE + code, str(REPOSITORY)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=300)


def test_m25_the_names_of_the_originals_hubs_build_without_weights_even_the_largest() -> None:
    """Without memory; the counts are of 3 classes: 997 x 2049 fewer than of ImageNet's."""
    done = bare(
        """
names = ("resnext101_32x8d_wsl", "resnext101_32x48d_wsl", "resnest50_fast_4s1x64d", "resnext50_32x4d")
with torch.device("meta"):
    for name in names:
        net = load(name, pretrained=False, progress=True, num_classes=3)
        print(sum(parameter.numel() for parameter in net.parameters()) + 997 * 2049)
import tagwise
print(tagwise.__file__.startswith(sys.argv[1]))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["88791336", "828411176", "31912712", "25028904", "True"]


def test_published_weights_come_through_the_hub_with_their_terms(tmp_path: Path) -> None:
    done = bare(MIRRORED, TAGWISE_MIRROR=str(tmp_path), TORCH_HOME=str(tmp_path / "torch"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True shorter side to 256 bilinear, centre 224 (the authors' resize and crop)")
    assert "CC-BY-NC-4.0: not for commercial use" in done.stderr


def test_every_entry_is_a_name_of_ours_and_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        name: entry
        for name, entry in vars(hubconf).items()
        if callable(entry) and entry.__module__ == "hubconf" and not name.startswith("_")
    }
    assert {f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)} <= entries.keys()
    assert {"resnest50", "resnest269", "resnext101_64x4d", "resnet50_swsl"} <= entries.keys()
    assert len(entries) == 4 + 12 + 4 + 7 + 11
    monkeypatch.setattr(torch.hub, "_get_cache_or_reload", lambda *_, **__: str(REPOSITORY))
    listed: list[str] = torch.hub.list("tagwise/tagwise")  # type: ignore[no-untyped-call]
    assert set(listed) == entries.keys()
    for name, entry in entries.items():
        assert find_design(find_weights(name).design) == find_design(name)
        assert (entry.__name__, entry.__doc__.splitlines()[0].split(",")[0]) == (name, name)
        assert entry.__doc__.splitlines()[0].endswith(".")
    assert "82.2 % of ImageNet's validation pictures, CC-BY-NC-4.0" in entries["resnext101_32x8d_wsl"].__doc__
    assert "imagenet1k_v2 (with pretrained=True), imagenet1k_v1" in entries["resnet50"].__doc__


@pytest.mark.parametrize("name", [name for name in torchvision.models.list_models() if hasattr(hubconf, name)])
def test_torchvisions_weights_are_asked_for_in_its_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its own, the best and none, in place of the usual; ``pretrained`` may come without its name."""
    asked: list[str | bool | None] = []

    def made(name: str, pretrained: str | bool | None) -> None:
        asked.append(pretrained and find_weights(name, None if pretrained is True else pretrained).name)

    monkeypatch.setattr("hubconf.nets.create_model", made)
    entry = getattr(hubconf, name)
    versions = torchvision.models.get_model_weights(name)
    for version in versions:
        entry(weights=version.name)
        entry(weights=version)
        entry(weights=str(version))
    entry(weights="DEFAULT")
    entry(True)
    entry()
    entry(weights=None)
    every = [version for version in versions for _ in range(3)]
    wanted = [f"{name}_{version.name.lower()}" for version in (*every, versions.DEFAULT, versions.DEFAULT)]
    assert asked == [*wanted, False, None]
    with pytest.raises(UsageError, match=f"ResNet26_Weights.IMAGENET1K_V1 belongs to resnet26, not to {name}"):
        entry(weights="ResNet26_Weights.IMAGENET1K_V1")


def test_what_comes_first_is_progress_where_the_originals_know_no_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """WSL-Images' and the semi-supervised models' entries are ``(progress=True, **kwargs)``: a bar left away
    is no net without weights."""
    asked: list[str | bool | None] = []
    monkeypatch.setattr("hubconf.nets.create_model", lambda name, pretrained: asked.append(pretrained))
    for name in ("resnext101_32x8d_wsl", "resnet18_ssl", "resnet50_swsl"):
        entry = getattr(hubconf, name)
        for settings in ((), (False,), (True,)):
            entry(*settings)
        entry(progress=False, pretrained=False)
        with pytest.raises(TypeError):
            entry(True, False)
    assert asked == 3 * [True, True, True, False]
