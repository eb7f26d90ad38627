"""A model in one line: from the folder of a run, a file of ours or of others, or published weights by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.files import sha256_of_file
from tagwise.base.progress import say
from tagwise.base.views import View
from tagwise.nets.create import DEFAULT_VIEW, create_model
from tagwise.nets.design import Design
from tagwise.nets.designs import find_design, list_models
from tagwise.nets.grammar import ResidualNet, build, new_classifier
from tagwise.nets.label_sets import class_names
from tagwise.nets.weights import WEIGHTS, Weights, find_weights, say_terms, weights_of
from tagwise.training.models import MODEL_FILE, Model, ModelFacts, holds_model, in_dtype, read_model

_SMALL_VIEW = View(resolution=32, resize=32)


def load(
    thing: str | Path,
    *,
    design: str | None = None,
    classes: Sequence[str] | None = None,
    num_classes: int | None = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """A model ready for use: net, view, and the names of its outputs.

    Weights of others are recognised by what is in the file, and taken over completely or not at all. A
    published file is known by its SHA-256 and brings the view and the names of its publisher; any other
    is shown pictures as nets of its design usually are, which is said.

    Args:
        thing: The folder of a run, a file, or the name of published weights (``resnext101_32x8d_wsl``).
        design: What the net is, for a file of others whose tensors leave it open; of all else it is checked.
        classes: Names of the outputs, in their order, for a file of others.
        num_classes: For a file of others without a classifier, or with one of another size: makes a fresh
            one of so many outputs.
        dtype: Of its floating tensors, such as ``torch.bfloat16``, which halves the memory; each is turned as it
            is read. None: as stored.

    Raises:
        UsageError: There is no such folder, file, name or design; a run has no model yet; several
            designs fit; the names are not as many as the outputs.
        TagwiseError: The file is damaged, wants to run code, or does not fit; or it cannot be had.
    """
    path = Path(thing)
    if path.is_dir() and not (path / MODEL_FILE).is_file():
        raise UsageError(f"{path} holds no {MODEL_FILE}; give the folder of a finished run.")
    if path.is_file() and not holds_model(path):
        return _of_others(path, design, classes, num_classes, dtype)
    if path.is_dir():
        model = read_model(path / MODEL_FILE, path.resolve().name, dtype)
    else:
        model = read_model(path, path.stem, dtype) if path.is_file() else _published(str(thing), dtype)
    if design is not None and find_design(design) != model.facts.design:
        raise UsageError(f"{thing} has a design of its own, which is not {design}; leave --design away.")
    if classes is not None or num_classes is not None:
        raise UsageError(f"{thing} has classes of its own; leave those that you gave away.")
    return model


def _published(name: str, dtype: torch.dtype | None) -> Model:
    try:
        row = find_weights(name)
    except UsageError as error:
        beside = Path(name).parent
        folders = [str(run.parent) for run in beside.glob(f"*/{MODEL_FILE}")]
        names = folders + [weights.name for weights in WEIGHTS] + list_models()
        raise unknown("model", name, names, "folders, files or the table of weights") from error
    net = create_model(name, pretrained=True)
    if dtype is not None:
        net = net.to(dtype)
    return _model(net, row.view, class_names(row.label_set), row.name, row.sha256_prefix or row.name, row)


def _of_others(
    path: Path,
    design: str | None,
    classes: Sequence[str] | None,
    num_classes: int | None,
    dtype: torch.dtype | None,
) -> Model:
    from tagwise.nets.layouts import read_state, to_canonical

    sha256 = sha256_of_file(path)
    promised = next((row.sha256_prefix for row in WEIGHTS if row.file == path.name), "")
    if not sha256.startswith(promised):
        raise TagwiseError(
            f"{path} is damaged or not what its name says: its SHA-256 begins with {sha256[:8]}, not {promised}; "
            "fetch it again, or rename it."
        )
    row = weights_of(sha256)
    state = read_state(path)
    name = design or (row.design if row is not None else _guessed(state, path))
    chosen = find_design(name)
    if row is not None and find_design(row.design) != chosen:
        say(f"{path.name} is the file of {row.name}; as {design} it is another net, of which nothing is published.")
        row = None
    if row is not None:
        say_terms(row)
    fitted = to_canonical(state, chosen, num_classes=num_classes, new_classifier=num_classes is not None)
    net = _filled(chosen, {key: in_dtype(tensor, dtype) for key, tensor in fitted.items()}, num_classes, path)
    usual, view = _usual(chosen, path) if row is None else (row.label_set, row.view)
    names = _named(classes, usual, net.fc.out_features, path, published=row is not None)
    return _model(net, view, names, path.stem, sha256[:16], row)


def _model(
    net: ResidualNet, view: View, classes: tuple[str, ...], name: str, digest: str, row: Weights | None
) -> Model:
    facts = ModelFacts(
        design=net.design,
        view=view,
        classes=classes,
        lineage=(f"{row.name} by {row.who}" if row is not None else name,),
        licence=row.licence if row is not None else "unknown",
    )
    return Model(net=net.eval(), facts=facts, name=name, digest=digest, published=row)


def _guessed(state: dict[str, Tensor], path: Path) -> str:
    from tagwise.nets.layouts import guess_design

    name = guess_design(state)
    if name is None:
        raise UsageError(f"The weights in {path} are of no design in the table; say which they are with --design.")
    say(f"{path.name} has the tensors of {name}.")
    return name


def _filled(design: Design, state: dict[str, Tensor], num_classes: int | None, path: Path) -> ResidualNet:
    """The net around the tensors, without a second copy; its classifier is fresh where they have none."""
    has_classifier = "fc.weight" in state
    with torch.device("meta"):
        net = build(design, num_classes=len(state["fc.weight"]) if has_classifier else num_classes or 1)
    net.load_state_dict(state, assign=True, strict=has_classifier)
    if not has_classifier:
        net.fc = new_classifier(net.channels[-1], net.fc.out_features)
        say(f"The classifier over {net.fc.out_features} classes is new; the other tensors are those of {path.name}.")
    return net


def _usual(design: Design, path: Path) -> tuple[str, View]:
    """The label set and view that nets of a design mostly have: those of its default weights, if there are any."""
    row = next((row for row in WEIGHTS if find_design(row.design) == design), None)
    small = design.stem_pool is None
    view = row.view if row is not None else _SMALL_VIEW if small else DEFAULT_VIEW
    likeness = f"to {row.name}" if row is not None else "usual"
    say(f"{path.name} is no published file; pictures are shown as {likeness}: {view}.")
    return row.label_set if row is not None else "cifar10" if small else "imagenet1k", view


def _named(
    classes: Sequence[str] | None, label_set: str, outputs: int, path: Path, *, published: bool
) -> tuple[str, ...]:
    """What each output means: as given, as published, or as their number lets one think, which is said."""
    if classes is not None:
        if len(classes) != outputs:
            raise UsageError(
                f"{len(classes):,} classes are named and {path.name} has {outputs:,} outputs; give a name for each."
            )
        return tuple(classes)
    usual = class_names(label_set)
    if len(usual) != outputs:
        say(f"Nothing says what the {outputs:,} outputs of {path.name} mean; they are called by their numbers.")
        return tuple(f"class {number}" for number in range(outputs))
    if not published:
        say(f"The {outputs:,} outputs of {path.name} are taken for those of {label_set}.")
    return usual
