"""Nets by name, with timm's habits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.progress import say
from tagwise.base.views import View
from tagwise.nets.backbone import Backbone
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import FeatureNet, ResidualNet, build
from tagwise.nets.weights import Weights, find_weights, load_weights

N = TypeVar("N", bound=Backbone)

_SAME_FUNCTION = {
    *("dilation_rule", "attention_norm", "zero_init_last"),
    *("stochastic_depth", "drop_block", "dropout"),
}
"""Settings with which a net evaluates published weights as they were meant; dilations go with ``output_stride``."""
_TIMMS_WORDS = {"drop_rate": "dropout", "drop_path_rate": "stochastic_depth"}
"""For our settings."""
DEFAULT_VIEW = View(resolution=224, resize=256)
"""Of nets without published weights."""


@overload
def create_model(
    name_or_design: str | Design, pretrained: str | bool | None = None, *, features_only: Literal[True], **settings: Any
) -> FeatureNet: ...


@overload
def create_model(
    name_or_design: str | Design,
    pretrained: str | bool | None = None,
    *,
    features_only: Literal[False] = False,
    **settings: Any,
) -> ResidualNet: ...


def create_model(
    name_or_design: str | Design,
    pretrained: str | bool | None = None,
    *,
    num_classes: int | None = None,
    in_chans: int = 3,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    output_stride: int | None = None,
    **settings: Any,
) -> ResidualNet | FeatureNet:
    """A net by name, with or without published weights.

    Args:
        name_or_design: A name of the table or of the grammar, another library's name, or a design. A timm
            tag has to be one of the table even where no weights are asked for.
        pretrained: True for the weights that the name says, else the design's first in the table
            that allows commercial use; a tag such as ``"wsl"`` or ``"imagenet1k_v1"`` for those; None
            or False for none.
        num_classes: The weights' own where not given, 1000 without weights. Any other number gives
            published weights a new classifier; 0 leaves it away, and the net returns pooled vectors.
        in_chans: Published first filters are summed for 1 channel, repeated and scaled for others.
        features_only: No classifier; the net returns a list of maps.
        out_indices: Which maps, with ``features_only``: 0 the stem's, 1 the first stage's, -1 the last;
            a single number n for the last n; None for all.
        output_stride: Input pixels to a pixel of the last maps, 8 or 16 instead of 32.
        settings: Other changes to the design, such as ``stochastic_depth=0.1`` or ``dilation_rule="timm"``;
            timm's ``drop_rate`` and ``drop_path_rate`` are ``dropout`` and ``stochastic_depth``.

    Raises:
        UsageError: There is no such design, weights or setting, or they contradict each other.
        TagwiseError: The weights cannot be had or do not fit.
    """
    design = name_or_design if isinstance(name_or_design, Design) else find_design(name_or_design)
    settings = _in_our_words(settings)
    design = _changed(design, {**settings, **({} if output_stride is None else {"output_stride": output_stride})})
    if out_indices is not None and not features_only:
        raise UsageError("out_indices choose maps; give features_only=True too.")
    if not pretrained:
        if features_only:
            return FeatureNet(design, in_chans, out_indices)
        return build(design, num_classes=1000 if num_classes is None else num_classes, in_chans=in_chans)
    if isinstance(name_or_design, Design):
        raise UsageError("Weights are published for names, not for a Design; give its name, or pretrained=None.")
    row = find_weights(name_or_design, None if pretrained is True else pretrained)
    if others := settings.keys() - _SAME_FUNCTION:
        raise UsageError(
            f"{row.name} would compute something else with another {min(others)}; leave it away, or pretrained."
        )
    state = _fitted(load_weights(row), row, in_chans)
    with torch.device("meta"):
        if features_only:
            return _fill(FeatureNet(design, in_chans, out_indices), state, row)
        model = _fill(build(design, num_classes=len(state["fc.weight"]), in_chans=in_chans), state, row)
    if num_classes is not None and num_classes != model.num_classes:
        model.reset_classifier(num_classes)
        if num_classes:
            say(f"The classifier over {num_classes} classes is new; {row.name} knows {row.label_set}.")
    return model


def resolve_data_config(
    args: Backbone | View | Mapping[str, Any], *, model: Backbone | View | None = None
) -> dict[str, Any]:
    """How pictures are to be shown, under timm's keys, for its ``create_transform``.

    Args:
        args: A view, or a net; one without published weights has 224 of 256 pixels, bilinear. As in timm
            also values for some of the keys, with the net beside them: ``resolve_data_config({}, model=net)``.
        model: The net or view, where ``args`` is none.

    Raises:
        UsageError: Not exactly one net or view is given, or a key is unknown.
    """
    changes, shown = (args, model) if isinstance(args, Mapping) else ({}, args)
    if shown is None or (shown is args and model is not None):
        raise UsageError("A data config is of one net or view: resolve_data_config(net), or ({}, model=net).")
    config = _config(shown if isinstance(shown, View) else shown.view or DEFAULT_VIEW)
    for key in changes:
        if key not in config:
            raise unknown("key", key, config, "a data config")
    return {**config, **changes}


def _config(view: View) -> dict[str, Any]:
    return {
        "input_size": (3, view.resolution, view.resolution),
        "interpolation": view.interpolation,
        "mean": view.mean,
        "std": view.std,
        "crop_pct": view.crop_fraction * view.resolution / view.resize,
        "crop_mode": "border" if view.fit == "pad" else "center",
    }


def _in_our_words(settings: dict[str, Any]) -> dict[str, Any]:
    for theirs, ours in _TIMMS_WORDS.items():
        if theirs in settings and ours in settings:
            raise UsageError(f"{theirs} is timm's word for {ours}; give one of the two.")
    return {_TIMMS_WORDS.get(name, name): value for name, value in settings.items()}


def _changed(design: Design, settings: dict[str, Any]) -> Design:
    names = [field.name for field in dataclasses.fields(Design)]
    for name in settings:
        if name not in names:
            raise unknown("setting", name, [*names, *_TIMMS_WORDS], "a design")
    return dataclasses.replace(design, **settings)


def _fitted(state: dict[str, Tensor], row: Weights, in_chans: int) -> dict[str, Tensor]:
    """The state with its first filters [O, 3, k, k] made for other inputs; a grey picture keeps its answers."""
    if in_chans == 3:
        return state
    key = "conv1.weight" if "conv1.weight" in state else "conv1.0.weight"
    weight = state[key]
    if in_chans == 1:
        fitted = weight.sum(1, keepdim=True)
    else:
        fitted = weight.repeat(1, -(-in_chans // 3), 1, 1)[:, :in_chans] * (3 / in_chans)
    say(f"The first filters of {row.name} were fitted from RGB to {in_chans} channels.")
    return {**state, key: fitted}


def _fill(model: N, state: dict[str, Tensor], row: Weights) -> N:
    """The model, made without memory, takes over the loaded tensors."""
    if isinstance(model, FeatureNet):
        state = {key: state[key] for key in model.state_dict() if key in state}
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise TagwiseError(f"The file of {row.name} does not fit its design: {error}.") from error
    model.view = row.view
    return model
