"""Nets as ONNX: the graph with what is known of it, and what onnxruntime makes of it."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.views import View

OPSET = 18
"""Of ONNX, from onnxruntime 1.14 on: the first that smooths pictures while it shrinks them."""
_MOST_BYTES = 2**31 - 2**24
"""Of weights in one file: a message of protobuf has 2 GiB at most, the graph included."""
Axes = Mapping[int, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A net with names for what goes in and what comes out."""

    net: nn.Module
    """In evaluation mode, on the CPU, called with one tensor; gives a tuple of tensors."""
    input: str
    input_axes: Axes
    """Axes that have any length, by number."""
    outputs: Mapping[str, Axes]
    """In the order of the tuple."""

    def run(self, images: Tensor) -> dict[str, Tensor]:
        """What torch gives."""
        with torch.no_grad():
            return dict(zip(self.outputs, self.net(images), strict=True))


class Logits(nn.Module):
    """Logits of pictures of 0 to 1, which are normalised here: those of the net, or its ``out``."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, view: View) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(view.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(view.std).view(1, 3, 1, 1))

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor]:
        """One tensor."""
        told = self.net((images_BCHW - self.mean) / self.std)
        return (told["out"] if isinstance(told, dict) else told,)


class Objects(nn.Module):
    """What a detector, called as torchvision's, finds on one picture; it normalises and resizes by itself."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image_CHW: Tensor) -> tuple[Tensor, ...]:
        """Boxes [N, 4], scores [N], labels [N] from 0 on, and masks [N, H, W] or keypoints [N, K, 3] with scores."""
        (found,) = self.net([image_CHW])
        told = [found["boxes"], found["scores"], found["labels"] - 1]
        if "masks" in found:
            told.append(found["masks"][:, 0])
        if "keypoints" in found:
            told.append(torch.cat([found["keypoints"][..., :2], found["keypoints_scores"][..., None]], 2))
        return tuple(told)


def need_onnx() -> None:
    """Asks for the libraries before any work is done.

    Raises:
        UsageError: One is not installed.
    """
    for name in ("onnx", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(f"ONNX needs {name}, which is not installed: pip install 'tagwise[onnx]'.") from error


def onnx_bytes(graph: Graph, images: Tensor, facts: Mapping[str, str]) -> bytes:
    """The graph as an ONNX file.

    Args:
        graph: Its net stays as it is.
        images: What the net is followed with; its axes that have names get any length.
        facts: Stand in the file's ``metadata_props``.

    Raises:
        TagwiseError: ONNX has no word for something that the net does, or its weights are too large for one file.
    """
    import onnx  # of the extra: pip install 'tagwise[onnx]'

    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.net.state_dict().values())
    if size > _MOST_BYTES:
        raise TagwiseError(
            f"The weights have {size / 2**30:.1f} GiB and an ONNX file holds 2; give a model of a smaller design."
        )
    model = onnx.load_from_string(_followed(graph, images))
    onnx.helper.set_model_props(model, dict(facts))
    model.producer_name = "tagwise"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _followed(graph: Graph, images: Tensor) -> bytes:
    file = io.BytesIO()
    axes = {graph.input: graph.input_axes, **graph.outputs}
    torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
        "aten::_upsample_bilinear2d_aa", _smoothed, OPSET
    )
    # Following one call is torch's older way; the newer one (2.15) gives up on Faster R-CNN.
    with torch.no_grad(), warnings.catch_warnings(), _no_log():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                graph.net,
                (images,),
                file,  # type: ignore[arg-type]  # a file is taken as well
                dynamo=False,
                opset_version=OPSET,
                input_names=[graph.input],
                output_names=list(graph.outputs),
                dynamic_axes={name: dict(named) for name, named in axes.items() if named},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            first = " ".join(str(error).split(". ")[0].split()).rstrip(".")
            raise TagwiseError(f"This net cannot be told in ONNX {OPSET}: {first}; another design may.") from error
    return file.getvalue()


def _no_log() -> AbstractContextManager[Any]:
    """Torch switches its log on, which prints the whole graph when something has no word in ONNX."""
    return mock.patch.object(torch._C, "_jit_set_onnx_log_enabled", create=True)


def _smoothed(g: Any, images_BCHW: Any, size: Any, _align_corners: Any, *_scales: Any) -> Any:
    """Torch's bilinear resize with antialiasing, which its older exporter does not know."""
    zero, two = (g.op("Constant", value_t=torch.tensor([number])) for number in (0, 2))
    if size.node().kind() == "prim::ListConstruct":
        size = g.op("Concat", *(g.op("Unsqueeze", side, zero) for side in size.node().inputs()), axis_i=0)
    nothing = g.op("Constant", value_t=torch.tensor([]))
    sizes = g.op("Concat", g.op("Slice", g.op("Shape", images_BCHW), zero, two), size, axis_i=0)
    # Weights beyond the edge are left away, as torch does.
    return g.op("Resize", images_BCHW, nothing, nothing, sizes, mode_s="linear", antialias_i=1, exclude_outside_i=1)


def engine() -> str:
    """The name and version of what the graphs are run with."""
    import onnxruntime  # of the extra: pip install 'tagwise[onnx]'

    return f"onnxruntime {onnxruntime.__version__}"


def onnx_outputs(content: bytes, graph: Graph, pictures: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """What onnxruntime makes of each of some inputs, on the CPU.

    Raises:
        TagwiseError: It cannot run the graph.
    """
    import onnxruntime  # of the extra: pip install 'tagwise[onnx]'

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone; they are raised as well
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return [_run(session, graph, images) for images in pictures]
    except Exception as error:  # its errors have no class in common
        first = " ".join(str(error).split("\n")[0].split()).rstrip(".")
        raise TagwiseError(f"{engine()} cannot run the graph: {first}.") from error


def _run(session: Any, graph: Graph, images: Tensor) -> dict[str, Tensor]:
    told = session.run(list(graph.outputs), {graph.input: images.numpy()})
    return {name: torch.from_numpy(values) for name, values in zip(graph.outputs, told, strict=True)}
