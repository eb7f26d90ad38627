"""Nets for ``torch.hub.load``, from a bare checkout: torch and numpy are all they need.

``torch.hub.load(repository, "resnext101_32x8d_wsl")``: the names and the arguments are those of the hubs of
WSL-Images, semi-supervised ImageNet1K models, ResNeSt and torchvision. One thing differs: with ``pretrained=True``
torchvision's hub gives a design's first weights, Tagwise its newest of torchvision, as ``weights="DEFAULT"`` does.
"""

# Modules alone: torch.hub takes every other public name that can be called for an entry.
import collections.abc
import pathlib
import sys
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parent / "src"))

from tagwise import nets
from tagwise.base import errors

dependencies = ["torch", "numpy"]

_TEACHERS = ("resnet18", "resnet50", "resnext50_32x4d", *(f"resnext101_32x{width}d" for width in (4, 8, 16)))
_FINE_TUNED = (
    *(f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)),
    *(f"{name}_{tag}" for tag in ("ssl", "swsl") for name in _TEACHERS),
)
_DESIGNS = (
    *(f"resnet{layers}" for layers in (18, 34, 50, 101, 152)),
    *(f"wide_resnet{layers}_2" for layers in (50, 101)),
    *("resnext50_32x4d", "resnext101_32x4d", "resnext101_64x4d", "resnext101_32x8d"),
    *(f"resnest{layers}" for layers in (50, 101, 200, 269)),
    *nets.list_models("resnest50_fast_*"),
)
_Net = nets.ResidualNet | nets.FeatureNet
_Tag = bool | str | None


def _fine_tuned(name: str) -> collections.abc.Callable[..., _Net]:
    # Their originals know no pretrained: what comes first without its name is progress.
    def entry(progress: bool = True, *, pretrained: _Tag = True, **settings: typing.Any) -> _Net:
        del progress  # a download of gigabytes is never silent
        return _made(name, pretrained, settings)

    return _described(entry, name, _origin(name))


def _design(name: str) -> collections.abc.Callable[..., _Net]:
    def entry(pretrained: _Tag = False, progress: bool = True, **settings: typing.Any) -> _Net:
        del progress  # as above
        return _made(name, pretrained, settings)

    return _described(entry, name, _choice(name))


def _made(name: str, pretrained: _Tag, settings: dict[str, typing.Any]) -> _Net:
    if "weights" in settings:
        pretrained = _tag(name, settings.pop("weights"))
    return nets.create_model(name, pretrained, **settings)


def _tag(name: str, weights: object) -> _Tag:
    """What torchvision's hub calls weights: a member of its enum or the member's name, the best, or none."""
    if weights is None or isinstance(weights, bool):
        return weights
    design, dot, tag = str(weights).rpartition("_Weights.")
    if dot and design.lower() != name:
        raise errors.UsageError(f"{weights} belongs to {design.lower()}, not to {name}; ask the hub for that entry.")
    return True if tag == "DEFAULT" else tag


def _described(entry: collections.abc.Callable[..., _Net], name: str, what: str) -> collections.abc.Callable[..., _Net]:
    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"""{name}, {what}

    Args:
        pretrained: True or False, or the tag of other weights of the design.
        progress: Accepted as in the original; a download always says how far it is.
        weights: torchvision's word, instead of pretrained: a tag, a member of its enum or the member's name,
            "DEFAULT" for pretrained=True, None for none.
        settings: What create_model takes: num_classes, in_chans, features_only, output_stride.
    """
    return entry


def _origin(name: str) -> str:
    row = nets.find_weights(name)
    return f"the weights of {row.who}: {row.top1:g} % of ImageNet's validation pictures, {row.licence}."


def _choice(name: str) -> str:
    usual = nets.find_weights(name)
    others = [nets.find_weights(row).tag for row in nets.list_models(name, pretrained=True) if row != usual.name]
    return f"without weights unless some are asked for: {', '.join((f'{usual.tag} (with pretrained=True)', *others))}."


globals().update({name: _fine_tuned(name) for name in _FINE_TUNED})
globals().update({name: _design(name) for name in _DESIGNS})
