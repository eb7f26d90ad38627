"""The residual family: designs by name, nets, published weights, costs."""

from __future__ import annotations

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.progress import say
from tagwise.nets.cost import Macs, count_macs, count_parameters
from tagwise.nets.design import Attention, Design
from tagwise.nets.designs import find_design, list_models
from tagwise.nets.grammar import ResidualNet, build, new_classifier
from tagwise.nets.weights import Weights, find_weights, load_weights

__all__ = [
    "Attention",
    "Design",
    "Macs",
    "ResidualNet",
    "Weights",
    "build",
    "count_macs",
    "count_parameters",
    "create_model",
    "find_design",
    "find_weights",
    "list_models",
    "load_weights",
]


def create_model(
    name_or_design: str | Design,
    *,
    pretrained: str | bool | None = None,
    num_classes: int | None = None,
    in_channels: int = 3,
) -> ResidualNet:
    """A net by name, with or without published weights.

    Args:
        name_or_design: A name of the table or of the grammar, another library's name, or a design.
        pretrained: True for the weights that the name says, else the design's first in the table;
            a tag such as ``"wsl"`` or ``"imagenet1k_v1"`` for those; None or False for none.
        num_classes: 1000 where not given. Any other number gives published weights a new classifier.
        in_channels: Published first filters are summed for 1 channel, repeated and scaled for others.

    Raises:
        UsageError: There is no such design, or it has no such weights.
        TagwiseError: The weights cannot be had or do not fit.
    """
    design = name_or_design if isinstance(name_or_design, Design) else find_design(name_or_design)
    if not pretrained:
        return build(design, num_classes=1000 if num_classes is None else num_classes, in_channels=in_channels)
    if isinstance(name_or_design, Design):
        raise UsageError("Weights are published for names, not for a Design; give its name, or pretrained=None.")
    row = find_weights(name_or_design, None if pretrained is True else pretrained)
    model = _filled(design, row, in_channels)
    if num_classes is not None and num_classes != model.fc.out_features:
        model.fc = new_classifier(model.fc.in_features, num_classes)
        say(f"The classifier over {num_classes} classes is new; {row.name} knows {row.label_set}.")
    return model


def _filled(design: Design, row: Weights, in_channels: int) -> ResidualNet:
    """The net of the published weights; made without memory, it takes over the loaded tensors."""
    state = load_weights(row)
    if in_channels != 3:
        state["conv1.weight"] = _fit_channels(state["conv1.weight"], in_channels)
        say(f"The first filters of {row.name} were fitted from RGB to {in_channels} channels.")
    with torch.device("meta"):
        model = build(design, in_channels=in_channels)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise TagwiseError(f"The file of {row.name} does not fit its design: {error}.") from error
    return model


def _fit_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Filters [O, 3, k, k] for other inputs, such that a grey picture keeps its answers."""
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    repeated = weight.repeat(1, -(-in_channels // 3), 1, 1)[:, :in_channels]
    return repeated * (weight.shape[1] / in_channels)
