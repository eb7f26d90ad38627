"""A state dict of any layout fitted to a design, completely or not at all."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

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
    state: Mapping[str, Tensor],
    design: Design,
    *,
    num_classes: int | None = None,
    new_classifier: bool = False,
    where: str = "These weights",
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
        where: What they are, for the messages.

    Raises:
        TagwiseError: Tensors are missing, left over or of another shape, with the first five of each;
            the classifier has another size; or the same tensors would compute something else here.
    """
    layout = recognise(state, where)
    if reason := layout.objection(state.keys(), design):
        raise TagwiseError(f"{where} ({layout.name}) are not equal in {_name(design)}: {reason}.")
    names = layout.canonical(state.keys(), where)
    found, expected = _renamed(state, names, layout.biases), dict(_shapes(design))
    _refuse_folded(found, layout, where)
    _settle_classifier(found, expected, num_classes, new_classifier, where)
    theirs = {new: old for old, new in names.items()}
    if faults := list(_misfits(found, _counted(expected, found), theirs)):
        faults += _nearer(found, layout, design, theirs)
        raise TagwiseError(f"{where} ({layout.name}) do not fit {_name(design)}: {'; '.join(faults)}.")
    return {
        name: found.get(name, torch.tensor(0)) if name.endswith(_COUNTER) else found[name].float() for name in expected
    }


def guess_design(state: Mapping[str, Tensor], where: str = "These weights") -> str:
    """The name of the table's design that has exactly these tensors.

    Designs of Caffe's lineage are meant only by its own names (Cadene's), as torchvision, timm and
    mmdet stride in the 3x3 convolution unless told otherwise.

    Args:
        state: As ``read_state`` gives it.
        where: What they are, for the messages.

    Raises:
        UsageError: No design has these tensors (the nearest is named, with what differs), or several have
            and compute different things with them.
        TagwiseError: The names are of no layout.
    """
    layout = recognise(state, where)
    names = layout.canonical(state.keys(), where)
    found = _renamed(state, names, layout.biases)
    fitting = [design for design in _alike(found, layout) if not _count_misfits(found, design)]
    fitting = [design for design in fitting if design.stride_at != "1x1" and design.stem_pool != "ceil"] or fitting
    if len(fitting) > 1:
        raise UsageError(
            f"{where} ({layout.name}) fit {' and '.join(map(_name, fitting))}, which differ; say which with --design."
        )
    if not fitting:
        nearest = _nearest(found, layout)
        faults = "; ".join(_misfits(found, _expected(found, nearest), {new: old for old, new in names.items()}))
        raise UsageError(
            f"{where} ({layout.name}) are of no design in the table; say which they are with --design "
            f"(the nearest is {_name(nearest)}: {faults})."
        )
    return _name(fitting[0])


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str], biases: bool) -> dict[str, Tensor]:
    """The tensors under canonical names; where the layout has them, convolutions' biases are folded."""
    found = {names[name]: tensor for name, tensor in state.items()}
    for name in list(found) if biases else ():
        if match := re.fullmatch(r"(.*?)(?:conv(\d)|downsample\.0)\.bias", name):
            mean = f"{match[1]}{f'bn{match[2]}' if match[2] else 'downsample.1'}.running_mean"
            if mean in found and found[mean].shape == found[name].shape:
                found[mean] = found[mean] - found.pop(name)
    return found


def _refuse_folded(found: Mapping[str, Tensor], layout: Layout, where: str) -> None:
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
            f"{where} ({layout.name}) have their norms' statistics folded into scale and shift, as those that "
            "came from Caffe2: such nets want BGR pixels of 0 to 255, so they would compute something else here."
        )


def _settle_classifier(
    found: dict[str, Tensor],
    expected: dict[str, torch.Size],
    num_classes: int | None,
    new_classifier: bool,
    where: str = "",
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
            f"{where} have a classifier of {other[0]} outputs and {num_classes} are asked for; "
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
        yield _told(missing, "tensor is missing", "tensors are missing") + hint
    if extra := [theirs[name] for name in found if name not in expected]:
        yield _told(extra, "is left over", "are left over")
    both = [(theirs.get(name, name), found[name], expected[name]) for name in expected if name in found]
    if shapes := [
        f"{name} is {list(tensor.shape)}, not {list(shape)}" for name, tensor, shape in both if tensor.shape != shape
    ]:
        yield _told(shapes, "has another shape", "have another shape")
    if kinds := [
        f"{name} is {tensor.dtype}" for name, tensor, _ in both if tensor.is_floating_point() == name.endswith(_COUNTER)
    ]:
        yield _told(kinds, "holds another kind of number", "hold another kind of number")
    if sick := [name for name, tensor, _ in both if not tensor.is_meta and not bool(tensor.isfinite().all())]:
        yield _told(sick, "holds numbers that are not finite", "hold numbers that are not finite")


def _told(names: Sequence[str], one: str, several: str) -> str:
    """How many there are, and the first of them."""
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names):,} {one if len(names) == 1 else several} ({', '.join(names[:_SHOWN])}{more})"


def _nearer(found: Mapping[str, Tensor], layout: Layout, design: Design, theirs: Mapping[str, str]) -> Iterator[str]:
    """The table's design that these tensors fit better, if there is one, and what of it they miss."""
    nearest = _nearest(found, layout)
    if _count_misfits(found, nearest) < _count_misfits(found, design):
        faults = "; ".join(_misfits(found, _expected(found, nearest), theirs))
        yield f"nearer is {_name(nearest)}, {f'of which {faults}' if faults else 'which they fit'}"


def _nearest(found: Mapping[str, Tensor], layout: Layout) -> Design:
    return min(_alike(found, layout), key=lambda design: _count_misfits(found, design))


def _alike(found: Mapping[str, Tensor], layout: Layout) -> list[Design]:
    """The table's designs that are most like a net of these tensors in depth, block and stem: few, as each is built."""
    depths, bottlenecks, deep = _sketch(found)
    known = dict.fromkeys(DESIGNS.values())
    distances: dict[Design, tuple[int, bool, bool]] = {}
    for design in [design for design in known if layout.objection(found.keys(), design) is None] or known:
        apart = sum(abs(one - other) for one, other in zip_longest(depths, design.depths, fillvalue=0))
        unlike = (design.block == "bottleneck") != bottlenecks, (len(design.stem_widths) > 1) != deep
        distances[design] = apart, *unlike
    least = min(distances.values())
    return [design for design, distance in distances.items() if distance == least]


def _sketch(found: Mapping[str, Tensor]) -> tuple[tuple[int, ...], bool, bool]:
    """Depths, whether of bottlenecks, whether behind a deep stem: cheaper to compare than whole nets."""
    blocks = {(int(match[1]), match[2]) for name in found if (match := re.match(r"layer(\d)\.(\d+)\.", name))}
    depths = Counter(stage for stage, _ in blocks)
    bottlenecks = any(name.startswith("layer1.0.conv3.") for name in found)
    return tuple(depths[stage] for stage in sorted(depths)), bottlenecks, "conv1.0.weight" in found


def _expected(found: Mapping[str, Tensor], design: Design) -> dict[str, torch.Size]:
    """The shapes of a design; the classifier's outputs are as many as found, and counters only where there are some."""
    expected = dict(_shapes(design))
    _settle_classifier(dict(found), expected, None, new_classifier=True)
    return _counted(expected, found)


def _counted(expected: dict[str, torch.Size], found: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """What is expected of these tensors: old files lack the counters altogether."""
    if any(name.endswith(_COUNTER) for name in found):
        return expected
    return {name: shape for name, shape in expected.items() if not name.endswith(_COUNTER)}


def _count_misfits(found: Mapping[str, Tensor], design: Design) -> int:
    """Tensors that are missing, left over or of another shape."""
    expected = _expected(found, design)
    return sum(name not in found or found[name].shape != shape for name, shape in expected.items()) + sum(
        name not in expected for name in found
    )


@functools.lru_cache(maxsize=256)
def _shapes(design: Design) -> Mapping[str, torch.Size]:
    """The canonical names with their shapes, for a classifier of one output."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build(design, num_classes=1).state_dict().items()}


def _name(design: Design) -> str:
    return next((name for name, known in DESIGNS.items() if known == design), "the design")
