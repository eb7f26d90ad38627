"""Nets by name, with timm's habits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.progress import say
from tagwise.base.views import View
from tagwise.nets.backbone import Backbone, timm_config
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design
from tagwise.nets.grammar import FeatureNet, ResidualNet, build
from tagwise.nets.weights import Weights, find_weights, load_weights

_SAME_FUNCTION = {
    *("dilation_rule", "attention_norm", "zero_init_last"),
    *("stochastic_depth", "drop_block", "dropout"),
}
"""Settings with which a net evaluates published weights as they were meant; dilations go with ``output_stride``."""
_TIMMS_WORDS = {"drop_rate": "dropout", "drop_path_rate": "stochastic_depth"}
"""For our settings."""


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
            tag that the table lacks builds its net all the same, and is refused with ``pretrained=True``.
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
    if not isinstance(pretrained, str | bool | None):
        raise UsageError(f"pretrained is True, False or a tag such as 'wsl', not {pretrained!r}.")
    if not pretrained:
        return _made(design, num_classes, in_chans, features_only, out_indices)
    row = _asked(name_or_design, None if pretrained is True else pretrained)
    if others := settings.keys() - _SAME_FUNCTION:
        raise UsageError(
            f"{row.name} would compute something else with another {min(others)}; leave it away, or pretrained."
        )
    with torch.device("meta"):  # before the download, so that what cannot be built is refused first
        model = _made(design, num_classes, in_chans, features_only, out_indices)
    _fill(model, row, in_chans)
    if isinstance(model, ResidualNet) and num_classes not in (None, model.num_classes):
        model.reset_classifier(num_classes)
        if num_classes:
            say(f"The classifier over {num_classes} classes is new; {row.name} knows {row.label_set}.")
    return model


def _made(
    design: Design,
    num_classes: int | None,
    in_chans: int,
    features_only: bool,
    out_indices: int | Sequence[int] | None,
) -> ResidualNet | FeatureNet:
    if features_only:
        return FeatureNet(design, in_chans, out_indices)
    return build(design, num_classes=1000 if num_classes is None else num_classes, in_chans=in_chans)


def _asked(name: str | Design, tag: str | None) -> Weights:
    """The row of a name and a tag, which may not name different weights."""
    if isinstance(name, Design):
        raise UsageError("Weights are published for names, not for a Design; give its name, or pretrained=None.")
    row = find_weights(name, tag)
    if name != row.design and (own := find_weights(name, None)) != row:
        raise UsageError(f"{name} names the weights {own.name} and pretrained={tag!r} {row.name}; give one of the two.")
    return row


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
    config = timm_config(shown if isinstance(shown, View) else shown.view)
    for key in changes:
        if key not in config:
            raise unknown("key", key, config, "a data config")
    return {**config, **changes}


def _in_our_words(settings: dict[str, Any]) -> dict[str, Any]:
    for theirs, ours in _TIMMS_WORDS.items():
        if theirs in settings and ours in settings:
            raise UsageError(f"{theirs} is timm's word for {ours}; give one of the two.")
    if "replace_stride_with_dilation" in settings:
        raise UsageError(
            "replace_stride_with_dilation is torchvision's word; give output_stride=16 for [False, False, True], "
            "output_stride=8 for [False, True, True]."
        )
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


def _fill(model: ResidualNet | FeatureNet, row: Weights, in_chans: int) -> None:
    """The model, made without memory, takes over the row's tensors and view."""
    state = _fitted(load_weights(row), row, in_chans)
    if isinstance(model, FeatureNet):
        state = {key: state[key] for key in model.state_dict() if key in state}
    else:
        with torch.device("meta"):
            model.reset_classifier(len(state["fc.weight"]))
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise TagwiseError(f"The file of {row.name} does not fit its design: {error}.") from error
    model.view = row.view
