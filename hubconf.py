"""Nets for ``torch.hub.load``, from a bare checkout: torch and numpy are all they need.

``torch.hub.load(repository, "resnext101_32x8d_wsl")``: the names and the arguments are those of the hubs of
WSL-Images, semi-supervised ImageNet1K models, ResNeSt and torchvision. One thing differs: with ``pretrained=True``
torchvision's hub gives a design's first weights, Tagwise its newest of torchvision, as ``weights="DEFAULT"`` does.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "src"))

from tagwise.nets import FeatureNet, ResidualNet, create_model, find_weights, list_models

dependencies = ["torch", "numpy"]

_TEACHERS = ("resnet18", "resnet50", "resnext50_32x4d", *(f"resnext101_32x{width}d" for width in (4, 8, 16)))
_FINE_TUNED = (
    *(f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)),
    *(f"{name}_{tag}" for tag in ("ssl", "swsl") for name in _TEACHERS),
)
_FAST = ("1s1x64d", "2s1x64d", "4s1x64d", "1s2x40d", "2s2x40d", "4s2x40d", "1s4x24d")
_DESIGNS = (
    *(f"resnet{layers}" for layers in (18, 34, 50, 101, 152)),
    *(f"wide_resnet{layers}_2" for layers in (50, 101)),
    *("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "resnext101_32x8d"),
    *(f"resnest{layers}" for layers in (50, 101, 200, 269)),
    *(f"resnest50_fast_{groups}" for groups in _FAST),
)
_TORCHVISIONS = {"DEFAULT": True, None: None}
"""What torchvision's hub calls the best weights, and none."""


def _entry(name: str, usually: bool) -> Callable[..., ResidualNet | FeatureNet]:
    def entry(
        pretrained: bool | str | None = usually, progress: bool = True, **settings: Any
    ) -> ResidualNet | FeatureNet:
        del progress  # a download of gigabytes is never silent
        if "weights" in settings:
            weights = settings.pop("weights")
            pretrained = _TORCHVISIONS.get(weights, weights)
        return create_model(name, pretrained, **settings)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"""{name}, {_origin(name) if usually else _choice(name)}

    Args:
        pretrained: True or False, or the tag of other weights of the design.
        progress: Accepted as in the original; a download always says how far it is.
        weights: torchvision's word, instead of pretrained: a tag, "DEFAULT" for pretrained=True, None for none.
        settings: What create_model takes: num_classes, in_chans, features_only, output_stride.
    """
    return entry


def _origin(name: str) -> str:
    row = find_weights(name)
    return f"the weights of {row.who}: {row.top1:g} % of ImageNet's validation pictures, {row.licence}."


def _choice(name: str) -> str:
    usual = find_weights(name)
    others = [find_weights(row).tag for row in list_models(name, pretrained=True) if row != usual.name]
    return f"without weights unless some are asked for: {', '.join((f'{usual.tag} (with pretrained=True)', *others))}."


for _names, _usually in ((_FINE_TUNED, True), (_DESIGNS, False)):
    for _name in _names:
        globals()[_name] = _entry(_name, _usually)
