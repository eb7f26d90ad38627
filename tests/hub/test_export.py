from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.hub import export
from tagwise.hub.agreement import logits_agreement
from tagwise.hub.export import Graph, Logits, Objects, need_onnx, onnx_bytes, onnx_outputs
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import build as build_net
from tests.localise.small_detectors import VIEW, build, small

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'tagwise[onnx]'")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'tagwise[onnx]'")

AXES = {0: "batch"}


def classifier(net: nn.Module) -> Graph:
    return Graph(net=Logits(net, VIEW).eval(), input="images", input_axes=AXES, outputs={"logits": AXES})


@pytest.mark.parametrize("name", ["resnet18", "resnest14", "skresnet18", "se_resnet18", "plain18"])
def test_p27_a_net_of_every_kind_of_block_says_the_same_of_any_batch(name: str) -> None:
    torch.manual_seed(0)
    graph = classifier(build_net(dataclasses.replace(find_design(name), depths=(1, 1, 1, 1)), num_classes=3).eval())
    content = onnx_bytes(graph, torch.rand(1, 3, 64, 64), {})
    batches = [torch.rand(count, 3, 64, 64) for count in (1, 3)]
    for images, told in zip(batches, onnx_outputs(content, graph, batches), strict=True):
        assert logits_agreement(graph.run(images)["logits"], told["logits"]).agree


@pytest.mark.parametrize("kind", ["mask", "keypoint", "retina"])
def test_a_detector_that_finds_nothing_says_so(kind: str) -> None:
    """Shapes without any object are where exported graphs break."""
    net = build(small(kind=kind, score_threshold=1.0)).eval()
    outputs = {name: {0: "objects"} for name in ("boxes", "scores", "labels")}
    more = {"mask": ["masks"], "keypoint": ["keypoints"]}.get(kind, [])
    graph = Graph(
        net=Objects(net).eval(),
        input="image",
        input_axes={1: "height", 2: "width"},
        outputs=outputs | {name: {0: "objects"} for name in more},
    )
    image = torch.rand(3, 60, 80)
    (told,) = onnx_outputs(onnx_bytes(graph, image, {}), graph, [image])
    for name, values in graph.run(image).items():
        assert told[name].shape == values.shape
        assert len(values) == 0


def test_what_onnx_has_no_word_for_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    class Odd(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.linalg.svdvals(images)

    with pytest.raises(
        TagwiseError, match=r"^This net cannot be told in ONNX 18: Exporting the operator .*svd[^.]*\.$"
    ):
        onnx_bytes(classifier(Odd()), torch.rand(1, 3, 8, 8), {})
    assert capfd.readouterr() == ("", "")


def test_weights_beyond_one_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_MOST_BYTES", 100)
    with pytest.raises(TagwiseError, match="an ONNX file holds 2"):
        onnx_bytes(classifier(nn.Conv2d(3, 8, 3)), torch.rand(1, 3, 8, 8), {})


def test_a_graph_that_onnxruntime_cannot_run_is_one_sentence() -> None:
    with pytest.raises(TagwiseError, match=r"^onnxruntime [0-9.]+ cannot run the graph: "):
        onnx_outputs(b"no graph", classifier(nn.Identity()), [])


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_p31_a_missing_library_names_the_command(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = {module: None}
    monkeypatch.setitem(sys.modules, module, modules[module])
    with pytest.raises(UsageError, match=rf"^ONNX needs {module}, .*pip install 'tagwise\[onnx\]'\.$"):
        need_onnx()
