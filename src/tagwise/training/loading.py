"""A model in one line: from the folder of a run, a file of ours or of others, or published weights by name."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.files import sha256_of_file
from tagwise.base.progress import printable, say
from tagwise.base.settings import from_plain
from tagwise.base.views import View
from tagwise.nets.backbone import DEFAULT_VIEW
from tagwise.nets.create import create_model
from tagwise.nets.design import Design
from tagwise.nets.designs import DESIGNS, find_design, list_models
from tagwise.nets.grammar import ResidualNet, build, new_classifier
from tagwise.nets.label_sets import class_names
from tagwise.nets.layouts import guess_design, read_state, to_canonical
from tagwise.nets.weights import WEIGHTS, Weights, find_weights, say_licence, say_terms, weights_of
from tagwise.training.checkpoints import read_checkpoint
from tagwise.training.models import MODEL_FILE, Model, ModelFacts, holds_model, in_dtype, read_model

_PATH = re.compile(r".*[/\\].*|.*\.(safetensors|t7|pth|pt|th|tar|bin|params)")
"""What is meant as a path and not as a name."""
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
    is shown pictures as nets of its design usually are, which is said. Terms that forbid commercial use
    are said once, also of what was trained from such weights.

    A checkpoint of a run is the model that it would become, with what the run knows of it.

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
            designs fit; a design or classes are given to what has its own; the names are not as many as the
            outputs, or two are the same.
        TagwiseError: The file is damaged, wants to run code, or does not fit; or it cannot be had.
    """
    path = Path(thing)
    if path.is_dir() and not (path / MODEL_FILE).is_file():
        raise UsageError(f"{path} holds no {MODEL_FILE}; give the folder of a finished run.")
    if num_classes is not None and num_classes < 1:
        raise UsageError(f"num_classes is 1 or more, not {num_classes}; the backbone alone is in the net too.")
    of_run = _of_checkpoint(path, dtype) if path.is_file() else None
    if path.is_file() and of_run is None and not holds_model(path):
        return _of_others(path, design, classes, num_classes, dtype)
    row = None if path.is_dir() or path.is_file() else _row(str(thing))
    if classes is not None:
        raise UsageError(f"{thing} has classes of its own; leave those that you gave (classes, --classes) away.")
    if num_classes is not None:
        remedy = f"net.reset_classifier({num_classes}) of the loaded model"
        if row is not None:
            remedy = f"create_model({row.name!r}, pretrained=True, num_classes={num_classes})"
        raise UsageError(f"{thing} has classes of its own; {remedy} makes a new classifier.")
    if row is not None:
        _refuse_other_design(thing, find_design(row.design), design)
        return _published(row, dtype)
    if path.is_dir():
        model = read_model(path / MODEL_FILE, path.resolve().name, dtype)
    else:
        model = of_run or read_model(path, path.stem, dtype)
    _refuse_other_design(thing, model.facts.design, design)
    say_licence(next(iter(model.facts.lineage), model.name), model.facts.licence)
    return model


def _of_checkpoint(path: Path, dtype: torch.dtype | None) -> Model | None:
    """What a run had come to; None where the file is no checkpoint."""
    state = read_checkpoint(path)
    if state is None:
        return None
    facts = from_plain(ModelFacts, json.loads(state["facts"]), str(path))
    seen = state["seen"]
    lineage = (*facts.lineage[:-1], f"{facts.lineage[-1]}, taken after {seen:,}")
    with torch.device("meta"):
        net = build(facts.design, num_classes=len(facts.outputs))
    tensors = state["net"] if state["mean"] is None else state["mean"]
    net.load_state_dict({name: in_dtype(tensor, dtype) for name, tensor in tensors.items()}, assign=True)
    return Model(
        net=net.eval(),
        facts=dataclasses.replace(facts, images=seen, lineage=lineage),
        name=path.stem,
        digest=sha256_of_file(path)[:16],
    )


def _row(name: str) -> Weights:
    if _PATH.fullmatch(name):
        path = Path(name)
        raise unknown("file or folder", path.name, sorted(one.name for one in path.parent.glob("*")), str(path.parent))
    try:
        find_design(name)
    except UsageError as error:
        if f"{name}_cifar" in DESIGNS:
            raise
        folders = [str(run.parent) for run in Path().glob(f"*/{MODEL_FILE}")]
        names = folders + [weights.name for weights in WEIGHTS] + list_models()
        raise unknown("model", name, names, "folders, files or the table of weights") from error
    return find_weights(name)


def _refuse_other_design(thing: str | Path, own: Design, asked: str | None) -> None:
    if asked is not None and find_design(asked) != own:
        raise UsageError(f"{thing} has a design of its own, which is not {asked}; leave --design away.")


def _published(row: Weights, dtype: torch.dtype | None) -> Model:
    net = create_model(row.name, pretrained=True)
    if dtype is not None:
        net = net.to(dtype)
    return Model(
        net=net.eval(),
        facts=_facts(net.design, row.view, class_names(row.label_set), row, row.name),
        name=row.name,
        digest=row.sha256_prefix or row.name,
        published=row,
    )


def _of_others(
    path: Path,
    design: str | None,
    classes: Sequence[str] | None,
    num_classes: int | None,
    dtype: torch.dtype | None,
) -> Model:
    sha256 = sha256_of_file(path)
    _refuse_false_name(path, sha256)
    source = weights_of(sha256)
    if source is not None:
        say_terms(source)
    state = read_state(path)
    chosen = find_design(design or (source.design if source is not None else _guessed(state, path)))
    row = source
    if source is not None and find_design(source.design) != chosen:
        say(f"{path.name} holds {source.name}; as {design} it is another net, of which nothing is published.")
        row = None
    new, where = num_classes is not None, f"The weights in {path}"
    fitted = to_canonical(state, chosen, num_classes=num_classes, new_classifier=new, where=where)
    net = _filled(chosen, {key: in_dtype(tensor, dtype) for key, tensor in fitted.items()}, num_classes, path)
    usual, view = _usual(chosen, path) if row is None else (row.label_set, row.view)
    names = _named(classes, usual, net.fc.out_features, path, published=row is not None)
    return Model(
        net=net.eval(),
        facts=_facts(chosen, view, names, source, path.stem),
        name=path.stem,
        digest=sha256[:16],
        published=row if "fc.weight" in fitted else None,
    )


def _refuse_false_name(path: Path, sha256: str) -> None:
    promised = next((row.sha256_prefix for row in WEIGHTS if row.file == path.name), "")
    if not sha256.startswith(promised):
        raise TagwiseError(
            f"{path} is damaged or not what its name says: its SHA-256 begins with {sha256[:8]}, not {promised}; "
            "fetch it again, or rename it."
        )


def _facts(design: Design, view: View, classes: tuple[str, ...], source: Weights | None, name: str) -> ModelFacts:
    """Of tensors of ``source``, if they are published: terms go with them into another net too."""
    return ModelFacts(
        design=design,
        view=view,
        classes=classes,
        lineage=(source.origin if source is not None else name,),
        licence=source.licence if source is not None else "unknown",
    )


def _guessed(state: dict[str, Tensor], path: Path) -> str:
    name = guess_design(state, f"The weights in {path}")
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
        twice = [name for name, times in Counter(classes).items() if times > 1]
        if twice:
            raise UsageError(
                f"The classes named for {path.name} hold {printable(twice[0], 40)} more than once; give each output a "
                "name of its own."
            )
        return tuple(classes)
    usual = class_names(label_set)
    if len(usual) != outputs:
        say(f"Nothing says what the {outputs:,} outputs of {path.name} mean; they are called by their numbers.")
        return tuple(f"class {number}" for number in range(outputs))
    if not published:
        say(f"The {outputs:,} outputs of {path.name} are taken for those of {label_set}.")
    return usual
