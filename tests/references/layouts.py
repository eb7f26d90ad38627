"""Others' names for the tensors of residual nets, written down module by module."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tagwise.nets.grammar import ResidualNet

State = dict[str, Tensor]
COUNTER = "num_batches_tracked"


def put(state: State, name: str, net: nn.Module, own: str) -> None:
    """Adds the tensors of one of a net's modules under another name."""
    for key, tensor in net.get_submodule(own).state_dict().items():
        state[f"{name}.{key}"] = tensor


def blocks(net: ResidualNet) -> Iterator[tuple[int, int, str, nn.Module]]:
    """Stage and position from 1 and 0, our name, and the block."""
    for stage, blocks in enumerate(net.stages(), 1):
        for position, block in enumerate(blocks.children()):
            yield stage, position, f"layer{stage}.{position}", block


def put_block(
    state: State, name: str, net: ResidualNet, own: str, block: nn.Module, shortcut: str = "downsample"
) -> None:
    """Adds a block whose convolutions and norms are named as ours, but for where its shortcut stands."""
    for layer in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")[: 4 if net.design.block == "basic" else 6]:
        put(state, f"{name}.{layer}", net, f"{own}.{layer}")
    if isinstance(block.get_submodule("downsample"), nn.Sequential):
        for index in "01":
            put(state, f"{name}.{shortcut}.{index}", net, f"{own}.downsample.{index}")


def cadene_excited(net: ResidualNet) -> State:
    """senet.py of pretrained-models.pytorch: names of the first layer in ``layer0``."""
    state: State = {}
    if len(net.design.stem_widths) == 3:
        for own, name in (("0", "conv1"), ("1", "bn1"), ("3", "conv2"), ("4", "bn2"), ("6", "conv3")):
            put(state, f"layer0.{name}", net, f"conv1.{own}")
        put(state, "layer0.bn3", net, "bn1")
    else:
        put(state, "layer0.conv1", net, "conv1")
        put(state, "layer0.bn1", net, "bn1")
    for stage, position, own, block in blocks(net):
        there = f"layer{stage}.{position}"
        put_block(state, there, net, own, block)
        put(state, f"{there}.se_module.fc1", net, f"{own}.se.fc1")
        put(state, f"{there}.se_module.fc2", net, f"{own}.se.fc2")
    put(state, "last_linear", net, "fc")
    return state


def cadene_plain(net: ResidualNet) -> State:
    """fbresnet.py: torchvision's names but for the last, and a bias in every convolution, which its norm takes off."""
    state = dict(net.state_dict())
    state["last_linear.weight"], state["last_linear.bias"] = state.pop("fc.weight"), state.pop("fc.bias")
    for name in [name for name in state if name.endswith("running_mean")]:
        norm = name.removesuffix(".running_mean")
        conv = norm.replace("downsample.1", "downsample.0") if "downsample" in norm else norm.replace("bn", "conv")
        bias = state[f"{conv}.bias"] = torch.rand_like(state[name])
        state[name] = state[name] + bias
    return state


def cadene_resnext(net: ResidualNet) -> State:
    """resnext101_32x4d_features.py: positions of a converted Torch7 net, files without counters."""
    state: State = {}
    put(state, "features.0", net, "conv1")
    put(state, "features.1", net, "bn1")
    for stage, position, own, block in blocks(net):
        there = f"features.{stage + 3}.{position}.0"
        for index, name in ((0, "conv1"), (1, "bn1"), (3, "conv2"), (4, "bn2")):
            put(state, f"{there}.0.0.{index}", net, f"{own}.{name}")
        put(state, f"{there}.0.1", net, f"{own}.conv3")
        put(state, f"{there}.0.2", net, f"{own}.bn3")
        if isinstance(block.get_submodule("downsample"), nn.Sequential):
            put(state, f"{there}.1.0", net, f"{own}.downsample.0")
            put(state, f"{there}.1.1", net, f"{own}.downsample.1")
    put(state, "last_linear", net, "fc")
    return {name: tensor for name, tensor in state.items() if COUNTER not in name}


def detectron2(net: ResidualNet) -> State:
    """detectron2's resnet.py, and resnet.py of the ResNeSt wrapper: a norm stands inside its convolution."""
    state: State = {}
    if len(net.design.stem_widths) == 3:
        put(state, "stem.conv1_1", net, "conv1.0")
        put(state, "stem.conv1_1.norm", net, "conv1.1")
        put(state, "stem.conv1_2", net, "conv1.3")
        put(state, "stem.conv1_2.norm", net, "conv1.4")
        put(state, "stem.conv1_3", net, "conv1.6")
        put(state, "stem.conv1_3.norm", net, "bn1")
    else:
        put(state, "stem.conv1", net, "conv1")
        put(state, "stem.conv1.norm", net, "bn1")
    for stage, position, own, block in blocks(net):
        there = f"res{stage + 1}.{position}"
        downsample = block.get_submodule("downsample")
        if isinstance(downsample, nn.Sequential):
            first = 1 if len(downsample) == 3 else 0
            put(state, f"{there}.shortcut", net, f"{own}.downsample.{first}")
            put(state, f"{there}.shortcut.norm", net, f"{own}.downsample.{first + 1}")
        for name in ("conv1", "conv2", "conv3"):
            put(state, f"{there}.{name}", net, f"{own}.{name}")
            norm = block.get_submodule(name.replace("conv", "bn"))
            if not isinstance(norm, nn.Identity):
                put(state, f"{there}.{name}.norm", net, f"{own}.{name.replace('conv', 'bn')}")
    return {name: tensor for name, tensor in state.items() if COUNTER not in name}


def mmdet(net: ResidualNet, *, pools_everywhere: bool) -> State:
    """mmdet's and mmpretrain's resnet.py: ``stem`` for deep stems; their shortcuts' indices count the pool.

    Args:
        net: A net with a deep stem.
        pools_everywhere: mmdet appends a pool to every shortcut, mmpretrain only where it strides.
    """
    state: State = {}
    for index in (0, 1, 3, 4, 6):
        put(state, f"stem.{index}", net, f"conv1.{index}")
    put(state, "stem.7", net, "bn1")
    for stage, position, own, block in blocks(net):
        there = f"layer{stage}.{position}"
        for name in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"):
            put(state, f"{there}.{name}", net, f"{own}.{name}")
        downsample = block.get_submodule("downsample")
        if isinstance(downsample, nn.Sequential) and len(downsample) == 3:
            first = 1 if pools_everywhere or stage > 1 else 0
            put(state, f"{there}.downsample.{first}", net, f"{own}.downsample.1")
            put(state, f"{there}.downsample.{first + 1}", net, f"{own}.downsample.2")
        elif isinstance(downsample, nn.Sequential):
            put(state, f"{there}.downsample.0", net, f"{own}.downsample.0")
            put(state, f"{there}.downsample.1", net, f"{own}.downsample.1")
    return state


def akamaster(net: ResidualNet) -> State:
    """resnet.py of pytorch_resnet_cifar10; its shortcut B is a Sequential named ``shortcut``."""
    state: State = {}
    put(state, "conv1", net, "conv1")
    put(state, "bn1", net, "bn1")
    for stage, position, own, block in blocks(net):
        put_block(state, f"layer{stage}.{position}", net, own, block, shortcut="shortcut")
    put(state, "linear", net, "fc")
    return state
