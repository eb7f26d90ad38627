"""The three forms of a ResNeXt block (Xie et al. 2017, figure 3), and the ways from one to another.

C, which everybody builds and publishes, has one grouped 3x3; in A and B each group is a path with
a 1x1 and a 3x3 of its own. B joins the paths' outputs before one last 1x1; in A each path has its
own last 1x1, and their outputs are summed. All three compute the same.
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict, defaultdict
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tagwise.base.errors import UsageError
from tagwise.nets.blocks import Bottleneck
from tagwise.nets.dropblock import DropBlock
from tagwise.nets.grammar import ResidualNet, build

Form = Literal["A", "B", "C"]
_PATH = re.compile(r"(.*?)paths\.(\d+)\.(\w+\.\w+)")


class PathBottleneck(nn.Module):
    """Form A or B of a bottleneck: ``paths.0.{conv1,bn1,conv2,bn2}`` and so on, in form A with a ``conv3`` each.

    Args:
        block: What it computes the same as; its tensors are copied.
        form: Which.

    Raises:
        UsageError: The block strides in a pool, or its 3x3 is not a plain convolution.
    """

    def __init__(self, block: Bottleneck, form: Literal["A", "B"]) -> None:
        super().__init__()
        convs = _plain_convolutions(block)
        groups = convs[1].groups
        self.paths = nn.ModuleList(_path(convs, form) for _ in range(groups))
        self.conv3 = copy.deepcopy(convs[2]) if form == "B" else nn.Identity()
        self.bn3, self.se = copy.deepcopy(block.bn3), copy.deepcopy(block.se)
        self.downsample, self.drop = copy.deepcopy(block.downsample), copy.deepcopy(block.drop)
        self.to(convs[0].weight)
        self.load_state_dict(to_paths(block.state_dict(), groups, form))

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] to the stage's channels and size."""
        paths = [path(maps_BCHW) for path in self.paths]
        joined = self.conv3(torch.cat(paths, 1)) if isinstance(self.conv3, nn.Conv2d) else sum(paths)
        branch = self.se(self.bn3(joined))
        return F.relu(self.drop(branch) + self.downsample(maps_BCHW), inplace=True)


def in_form(net: ResidualNet, form: Form) -> ResidualNet:
    """A copy of a net of bottlenecks, itself of any form, with its blocks in another.

    Raises:
        UsageError: The net has other blocks.
    """
    blocks = [block for stage in net.stages() for block in stage.children()]
    if not all(isinstance(block, Bottleneck | PathBottleneck) for block in blocks):
        raise UsageError("Only nets of bottlenecks have forms A and B, and only with norms behind convolutions.")
    first = next(net.parameters())
    copied = build(net.design, num_classes=net.num_classes, in_chans=first.shape[1]).to(first)
    copied.load_state_dict(to_grouped(net.state_dict()))
    if form == "C":
        return copied.train(net.training)
    for stage in copied.stages():
        for name, block in list(stage.named_children()):
            assert isinstance(block, Bottleneck)
            stage.add_module(name, PathBottleneck(block, form))
    return copied.train(net.training)


def to_paths(state: dict[str, Tensor], groups: int, form: Literal["A", "B"]) -> dict[str, Tensor]:
    """Tensors of one block in form C, or their gradients, under the names of form A or B."""
    parted = ("conv1", "bn1", "conv2", "bn2", *(("conv3",) if form == "A" else ()))
    paths: dict[str, Tensor] = {}
    for key, tensor in state.items():
        module = key.partition(".")[0]
        if module not in parted:
            paths[key] = tensor
            continue
        # Counters have no channels; the last 1x1 is cut along its inputs, all else along the outputs.
        parts = tensor.chunk(groups, int(module == "conv3")) if tensor.dim() else [tensor] * groups
        paths |= {f"paths.{number}.{key}": part for number, part in enumerate(parts)}
    return paths


def to_grouped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a block or net in form A or B, or their gradients, under the names of form C."""
    grouped: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for key, tensor in state.items():
        if match := _PATH.fullmatch(key):
            parts[match[1] + match[3]][int(match[2])] = tensor
        else:
            grouped[key] = tensor
    for key, by_path in parts.items():
        tensors = [by_path[number] for number in sorted(by_path)]
        joined = torch.cat(tensors, int(".conv3." in f".{key}")) if tensors[0].dim() else tensors[0]
        grouped[key] = joined
    return grouped


def _plain_convolutions(block: Bottleneck) -> list[nn.Conv2d]:
    convs = [conv for conv in (block.conv1, block.conv2, block.conv3) if isinstance(conv, nn.Conv2d)]
    if len(convs) < 3 or any(isinstance(module, nn.AvgPool2d | DropBlock) for module in block.children()):
        raise UsageError(
            "Only blocks with a plain grouped 3x3, without pools and DropBlock in the branch, have forms A and B."
        )
    return convs


def _path(convs: list[nn.Conv2d], form: Form) -> nn.Sequential:
    """One group's convolutions, of the right shapes."""
    conv1, conv2, conv3 = convs
    narrow, width = conv1.out_channels // conv2.groups, conv2.out_channels // conv2.groups
    dilation = conv2.dilation[0]
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(conv1.in_channels, narrow, 1, conv1.stride[0], bias=False),
        "bn1": nn.BatchNorm2d(narrow),
        "act1": nn.ReLU(inplace=True),
        "conv2": nn.Conv2d(narrow, width, 3, conv2.stride[0], dilation, dilation, bias=False),
        "bn2": nn.BatchNorm2d(width),
        "act2": nn.ReLU(inplace=True),
    }
    if form == "A":
        layers["conv3"] = nn.Conv2d(width, conv3.out_channels, 1, bias=False)
    return nn.Sequential(OrderedDict(layers))
