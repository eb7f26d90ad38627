"""The sections on CIFAR-10 say what the records say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import cifar, cifar_docs, record


def made(study: cifar.Study) -> dict[str, Any]:
    """A record of two seeds; a plain net's gradients fall from layer to layer."""
    runs = [
        {
            "design": design,
            "seed": seed,
            "command": f"tagwise train cifar10/lossless --design {design}",
            "images": 50_000,
            "steps": 391,
            "scores": {"accuracy": 0.5 + 0.1 * seed, "loss": 1.25},
            "gradients": {when: [0.5**layer for layer in range(55)] for when in ("start", "end")},
        }
        for design in study.designs
        for seed in (0, 1)
    ]
    results = {
        "recipe": study.recipe,
        "published_error": study.published_error,
        "designs": {design: {"parameters": 269_722, "macs": 40_551_040} for design in study.designs},
        "runs": runs,
        "minutes": 3.0,
        "cpu_minutes": 2.0,
    }
    return {"hardware": {"cores": 2, "processor": "a processor"}, "results": results}


@pytest.mark.parametrize("study", cifar.STUDIES)
def test_a_section_gives_error_spread_and_loss_of_every_net(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (record, cifar_docs):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    assert (cifar_docs.cifar_sections(), cifar_docs.drawings()) == ("Not measured yet.", {})
    (tmp_path / f"cifar_{study}.json").write_text(json.dumps(made(cifar.STUDIES[study])), "utf-8")
    told = cifar_docs.cifar_sections()
    rows = [line for line in told.splitlines() if "_cifar" in line and line.startswith("|")]
    assert "45.0 ± 7.1" in told
    assert all("0.27 M" in row and "41 M" in row and "1.250 ± 0.000" in row for row in rows)
    assert len(rows) == len(cifar.STUDIES[study].designs)
    assert ("8.27" in told) == (study == "resnet20")
    assert list(cifar_docs.drawings()) == ([tmp_path / "cifar_depth.svg"] if study == "depth" else [])
