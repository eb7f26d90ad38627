"""Nets for ``torch.hub.load``, from a bare checkout: torch and numpy are all they need.

``torch.hub.load(repository, "resnext101_32x8d_wsl")``: the names and the arguments are those of the hubs of
WSL-Images, semi-supervised ImageNet1K models, ResNeSt and torchvision, given by keyword.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "src"))

from tagwise.nets import ResidualNet, create_model

dependencies = ["torch", "numpy"]

_TEACHERS = ("resnet18", "resnet50", "resnext50_32x4d", *(f"resnext101_32x{width}d" for width in (4, 8, 16)))
_FINE_TUNED = (
    *(f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)),
    *(f"{name}_{tag}" for tag in ("ssl", "swsl") for name in _TEACHERS),
)
_FAST = ("1s1x64d", "2s1x64d", "4s1x64d", "1s2x40d", "2s2x40d", "4s2x40d", "1s4x24d")
_DESIGNS = (
    *(f"resnest{layers}" for layers in (50, 101, 200, 269)),
    *(f"resnest50_fast_{groups}" for groups in _FAST),
    *("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "resnext101_32x8d"),
)


def _entry(name: str, usually: bool) -> Callable[..., ResidualNet]:
    def entry(*, pretrained: bool | str = usually, progress: bool = True, **settings: Any) -> ResidualNet:
        del progress  # a download of gigabytes is never silent
        return create_model(name, pretrained=pretrained, **settings)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"""{name}, {"with" if usually else "without"} published weights where nothing else is said.

    Args:
        pretrained: True for the published weights, a tag such as "imagenet1k_v1" for others of the design.
        progress: Accepted as in the original; a download always says how far it is.
        settings: What create_model takes: num_classes, in_chans, features_only, output_stride.
    """
    return entry


for _names, _usually in ((_FINE_TUNED, True), (_DESIGNS, False)):
    for _name in _names:
        globals()[_name] = _entry(_name, _usually)
