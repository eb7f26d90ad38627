"""A state dict of any layout fitted to a design, completely or not at all."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.nets.design import Design
from tagwise.nets.designs import DESIGNS
from tagwise.nets.grammar import build
from tagwise.nets.layouts.families import Layout, recognise

_SHOWN = 5
"""Names in a message, of each kind of misfit."""
_COUNTER = ".num_batches_tracked"
_HEAD = ("fc.weight", "fc.bias")


def to_canonical(
    state: Mapping[str, Tensor], design: Design, *, num_classes: int | None = None, new_classifier: bool = False
) -> dict[str, Tensor]:
    """The state dict under the names, and in the order, of ``build(design)``; tensors are shared, not copied.

    Floating numbers become float32. Counters of batches, which old files lack altogether, are zero,
    and a convolution's bias moves into the running mean of the norm behind it.

    Args:
        state: As ``read_state`` gives it.
        design: The net that is to hold it. Where names cannot tell on which convolution a net strides
            (torchvision's, timm's, mmdet's, detectron2's), the design is taken at its word.
        num_classes: Outputs that the classifier must have; any number where not given.
        new_classifier: A classifier that is missing, or has other than ``num_classes`` outputs, is
            left out of the result, for the caller to make; otherwise it is refused.

    Raises:
        TagwiseError: Tensors are missing, left over or of another shape, with the first five of each;
            the classifier has another size; or the same tensors would compute something else here.
    """
    layout = recognise(state)
    if reason := layout.objection(state.keys(), design):
        raise TagwiseError(f"These weights ({layout.name}) are not equal in {_name(design)}: {reason}.")
    names = layout.canonical(state.keys())
    found, expected = _renamed(state, names, layout.biases), dict(_shapes(design))
    _refuse_folded(found, layout)
    _settle_classifier(found, expected, num_classes, new_classifier)
    if not any(name.endswith(_COUNTER) for name in found):
        found |= {name: torch.tensor(0) for name in expected if name.endswith(_COUNTER)}
    if faults := list(_misfits(found, expected, {new: old for old, new in names.items()})):
        raise TagwiseError(f"These weights ({layout.name}) do not fit {_name(design)}: {'; '.join(faults)}.")
    return {name: found[name] if name.endswith(_COUNTER) else found[name].float() for name in expected}


def guess_design(state: Mapping[str, Tensor]) -> str | None:
    """The name of the table's design that has exactly these tensors; None if there is none.

    Designs of Caffe's lineage are meant only by its own names (Cadene's), as torchvision, timm and
    mmdet stride in the 3x3 convolution unless told otherwise.

    Raises:
        UsageError: Several designs have the same tensors and compute different things with them.
        TagwiseError: The names are of no layout.
    """
    layout = recognise(state)
    found = _renamed(state, layout.canonical(state.keys()), layout.biases)
    fitting: dict[Design, str] = {}
    sketch = _sketch(found)
    for name, design in DESIGNS.items():
        alike = sketch == (design.depths, design.block == "bottleneck", len(design.stem_widths) > 1)
        if alike and layout.objection(state.keys(), design) is None and _has_shapes(found, design):
            fitting.setdefault(design, name)
    usual = [name for design, name in fitting.items() if design.stride_at != "1x1" and design.stem_pool != "ceil"]
    names = usual or list(fitting.values())
    if len(names) > 1:
        raise UsageError(
            f"These weights ({layout.name}) fit {' and '.join(names)}, which differ; say which with --design."
        )
    return names[0] if names else None


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str], biases: bool) -> dict[str, Tensor]:
    """The tensors under canonical names; where the layout has them, convolutions' biases are folded."""
    found = {names[name]: tensor for name, tensor in state.items()}
    for name in list(found) if biases else ():
        if match := re.fullmatch(r"(.*?)(?:conv(\d)|downsample\.0)\.bias", name):
            mean = f"{match[1]}{f'bn{match[2]}' if match[2] else 'downsample.1'}.running_mean"
            if mean in found and found[mean].shape == found[name].shape:
                found[mean] = found[mean] - found.pop(name)
    return found


def _refuse_folded(found: Mapping[str, Tensor], layout: Layout) -> None:
    """Backbones from Caffe2 have norms of mean 0 and variance 1, which trained norms never have."""
    stats = {name: tensor for name, tensor in found.items() if name.endswith((".running_mean", ".running_var"))}
    scales = [tensor for name, tensor in found.items() if re.fullmatch(r".*bn\d\.weight", name)]
    if _HEAD[0] in found or not stats or not scales or any(tensor.is_meta for tensor in found.values()):
        return
    untouched = all(
        torch.allclose(tensor.float(), torch.full((), float(name.endswith("var"))), atol=2e-5)
        for name, tensor in stats.items()
    )
    if untouched and any(tensor.min() != tensor.max() for tensor in scales):
        raise TagwiseError(
            f"These weights ({layout.name}) have their norms' statistics folded into scale and shift, as those that "
            "came from Caffe2: such nets want BGR pixels of 0 to 255, so they would compute something else here."
        )


def _settle_classifier(
    found: dict[str, Tensor], expected: dict[str, torch.Size], num_classes: int | None, new_classifier: bool
) -> None:
    """Makes the expected classifier that of the weights, or takes it out of both, or refuses."""
    outputs = {name: len(found[name]) for name in _HEAD if name in found and found[name].dim()}
    asked = num_classes if num_classes is not None else next(iter(outputs.values()), 1)
    other = [count for count in outputs.values() if count != asked]
    if new_classifier and (not outputs or (num_classes is not None and other)):
        for name in _HEAD:
            found.pop(name, None), expected.pop(name)
        return
    if num_classes is not None and other:
        raise TagwiseError(
            f"The classifier of these weights has {other[0]} outputs and {num_classes} are asked for; "
            "ask for a new classifier, or for as many as it has."
        )
    # Where the two disagree, each is held against the other, and both stand in the message.
    weight, bias = _HEAD
    expected[weight] = torch.Size([outputs.get(bias, asked), expected[weight][1]])
    expected[bias] = torch.Size([outputs.get(weight, asked)])


def _misfits(
    found: Mapping[str, Tensor], expected: Mapping[str, torch.Size], theirs: Mapping[str, str]
) -> Iterator[str]:
    """What is missing, left over and of another shape, each with its count and the first names.

    What is there is called by its name in the file, ``theirs``.
    """
    missing = [name for name in expected if name not in found]
    if missing:
        hint = ", and a new classifier was not asked for" if set(missing) == set(_HEAD) else ""
        yield f"{len(missing):,} tensors are missing ({_first(missing)}){hint}"
    if extra := [theirs[name] for name in found if name not in expected]:
        yield f"{len(extra):,} are left over ({_first(extra)})"
    both = [(theirs.get(name, name), found[name], expected[name]) for name in expected if name in found]
    if shapes := [
        f"{name} is {list(tensor.shape)}, not {list(shape)}" for name, tensor, shape in both if tensor.shape != shape
    ]:
        yield f"{len(shapes):,} have another shape ({_first(shapes)})"
    if kinds := [
        f"{name} is {tensor.dtype}" for name, tensor, _ in both if tensor.is_floating_point() == name.endswith(_COUNTER)
    ]:
        yield f"{len(kinds):,} hold another kind of number ({_first(kinds)})"
    if sick := [name for name, tensor, _ in both if not tensor.is_meta and not bool(tensor.isfinite().all())]:
        yield f"{len(sick):,} hold numbers that are not finite ({_first(sick)})"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _sketch(found: Mapping[str, Tensor]) -> tuple[tuple[int, ...], bool, bool]:
    """Depths, whether of bottlenecks, whether behind a deep stem: cheaper to compare than whole nets."""
    blocks = {(int(match[1]), match[2]) for name in found if (match := re.match(r"layer(\d)\.(\d+)\.", name))}
    depths = Counter(stage for stage, _ in blocks)
    bottlenecks = any(name.startswith("layer1.0.conv3.") for name in found)
    return tuple(depths[stage] for stage in sorted(depths)), bottlenecks, "conv1.0.weight" in found


def _has_shapes(found: Mapping[str, Tensor], design: Design) -> bool:
    """Whether the tensors are a design's, the classifier's number of outputs and the counters aside."""
    expected = _shapes(design)
    here, there = ({name for name in names if not name.endswith(_COUNTER)} for names in (found, expected))
    return (
        here | set(_HEAD) == there
        and all(found[name].shape == expected[name] for name in here if name not in _HEAD)
        and (_HEAD[0] not in found or found[_HEAD[0]].shape[1:] == expected[_HEAD[0]][1:])
    )


@functools.lru_cache(maxsize=64)
def _shapes(design: Design) -> Mapping[str, torch.Size]:
    """The canonical names with their shapes, for a classifier of one output."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build(design, num_classes=1).state_dict().items()}


def _name(design: Design) -> str:
    return next((name for name, known in DESIGNS.items() if known == design), "the design")
