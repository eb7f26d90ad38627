"""A model is a net with what it needs to be used: design, view, and the names of its outputs.

One file holds it all: tensors in safetensors, the rest as JSON in the file's metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from tagwise.base import settings
from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import open_atomically, sha256_of_file
from tagwise.base.views import View
from tagwise.nets.design import Design
from tagwise.nets.grammar import ResidualNet, build
from tagwise.nets.layouts import from_canonical
from tagwise.nets.provenance import Weights
from tagwise.tags.space import LabelSpace
from tagwise.training.heads import Detector, Segmenter, Sizing
from tagwise.training.losses import Loss

MODEL_FILE = "model.safetensors"
_METADATA_KEY = "tagwise"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What stands in a model's file beside its tensors."""

    design: Design
    view: View
    labels: LabelSpace | None = None
    """The label space, for a model that was trained on tags."""
    classes: tuple[str, ...] | None = None
    """The classes in the order of the outputs, for a model that was trained on a target."""
    loss: Loss = "softmax"
    detector: Detector | None = None
    """What tells where things are; ``classes`` are their categories then."""
    segmenter: Segmenter | None = None
    """What tells each pixel's class."""
    sizing: Sizing | None = None
    """How large either is shown pictures."""
    category_ids: tuple[int, ...] = ()
    """Of the categories, as their annotations had them."""
    keypoints: tuple[str, ...] = ()
    """Of an object."""
    mirrored: tuple[int, ...] = ()
    """What each of them is in the mirror."""
    images: int = 0
    """Pictures seen in its own training."""
    lineage: tuple[str, ...] = ()
    """Where it comes from, the latest last, in words."""
    licence: str = "unknown"

    @property
    def locates(self) -> bool:
        """Whether the model tells where things are."""
        return self.detector is not None or self.segmenter is not None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output of the classifier means."""
        if self.labels is not None:
            return tuple(label.key for label in self.labels.labels)
        return self.classes or ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A net ready for use, in evaluation mode."""

    net: ResidualNet
    facts: ModelFacts
    name: str
    digest: str
    """SHA-256 prefix of its file, 16 hex digits."""
    published: Weights | None = None
    """What its publisher says of it, if its file is a published one."""

    def save(self, path: str | Path) -> None:
        """Writes it into one file, from which ``load`` gives net and facts back, wherever they came from.

        A file that is there is replaced.

        Raises:
            UsageError: The net's classifier is gone, or of another size than there are names.
            TagwiseError: The file cannot be written.
        """
        outputs, names = self.net.num_classes, len(self.facts.outputs)
        if outputs != names:
            raise UsageError(
                f"The net has {outputs:,} outputs and {self.name} {names:,} names of outputs; give both as many."
            )
        save_model(Path(path), self.net, self.facts)

    def state_dict_for(self, library: Literal["torchvision", "timm"]) -> dict[str, torch.Tensor]:
        """The net's tensors as the same net of another library loads them strictly, with equal logits.

        Args:
            library: Nets of Caffe's lineage, such as ``se_resnet50``, are timm's ``legacy_`` models.

        Raises:
            UsageError: There is no such library here, or it has no such net.
        """
        return from_canonical(self.net.state_dict(), self.net.design, library)


def save_model(path: Path, net: nn.Module, facts: ModelFacts) -> None:
    """Writes the model, the whole of it or nothing."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    text = json.dumps(settings.to_plain(facts), ensure_ascii=False, separators=(",", ":"))
    with open_atomically(path) as handle:
        handle.write(save(tensors, metadata={_METADATA_KEY: text}))


def holds_model(path: Path) -> bool:
    """Whether a file is a model of ours, by its metadata; a damaged one is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            return _METADATA_KEY in (handle.metadata() or {})
    except (SafetensorError, OSError):
        return False


def holds_located(thing: str | Path) -> bool:
    """Whether it is the folder of a run, or a file, of a detector or segmenter of ours."""
    path = model_file(Path(thing))
    return path.is_file() and holds_model(path) and read_parts(path)[0].locates


def model_file(path: Path) -> Path:
    """The file of a model, in the folder of a run or itself."""
    return path / MODEL_FILE if path.is_dir() else path


def read_model(path: Path, name: str, dtype: torch.dtype | None = None) -> Model:
    """A model in a file of ours, read tensor by tensor.

    Args:
        path: The file, which stays mapped.
        name: What the model is called.
        dtype: Of its floating tensors; None: as the file has them.

    Raises:
        TagwiseError: The file is damaged.
        UsageError: What stands in it beside its tensors is not ours.
    """
    facts, tensors = read_parts(path, dtype)
    if facts.locates:
        what = "boxes" if facts.detector else "the class of each pixel"
        raise UsageError(
            f"{path} tells {what}, not labels of whole pictures; `train --head`, `evaluate` and `predict` take it."
        )
    with torch.device("meta"):
        net = build(facts.design, num_classes=max(len(facts.outputs), 1))
    fill(net, tensors, path)
    return Model(net=net.eval(), facts=facts, name=name, digest=sha256_of_file(path)[:16])


def read_parts(path: Path, dtype: torch.dtype | None = None) -> tuple[ModelFacts, dict[str, torch.Tensor]]:
    """What stands in a model's file: facts and tensors, which stay mapped.

    Raises:
        TagwiseError: The file is damaged.
        UsageError: What stands in it beside its tensors is not ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            plain = json.loads((handle.metadata() or {}).get(_METADATA_KEY, "null"))
            tensors = {key: in_dtype(handle.get_tensor(key), dtype) for key in handle.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise TagwiseError(f"{path} cannot be read as a model: {error}; fetch it again.") from error
    if plain is None:
        raise UsageError(f"{path} was not written by tagwise: it says nothing of design and labels.")
    return settings.from_plain(ModelFacts, plain, str(path)), tensors


def fill(net: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Gives an empty net a file's tensors.

    Raises:
        TagwiseError: They are others than the net's.
    """
    try:
        net.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        fault = str(error).split("\n\t")[-1].rstrip(".")  # torch lists them all, a line each
        raise TagwiseError(f"The tensors of {path} do not fit its design: {fault}.") from error


def in_dtype(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """The tensor, in another floating type if it is floating and one is named."""
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def replace_head(net: ResidualNet, bias: torch.Tensor) -> None:
    """Gives the net a classifier of zero weights and this bias, so that it first predicts the prior."""
    net.fc = nn.Linear(net.fc.in_features, len(bias))
    nn.init.zeros_(net.fc.weight)
    with torch.no_grad():
        net.fc.bias.copy_(bias)


def _known(space: LabelSpace, *keys: str) -> int | None:
    """The id of the first of the keys that the space knows; a label may have had another name."""
    return next((found for key in keys if (found := space.encode(key)) is not None), None)


def carry_head_over(old: Model, net: ResidualNet, space: LabelSpace) -> int:
    """Copies the classifier's rows of labels that both spaces have, by canonical key.

    The other rows stay as they are, at their prior.

    Returns:
        Rows carried over.
    """
    if old.facts.labels is None:
        return 0
    old_ids = [_known(old.facts.labels, label.key, *label.members) for label in space.labels]
    pairs = [(new, known) for new, known in enumerate(old_ids) if known is not None]
    if pairs:
        new_rows, old_rows = (list(column) for column in zip(*pairs, strict=True))
        with torch.no_grad():
            net.fc.weight[new_rows] = old.net.fc.weight[old_rows]
            net.fc.bias[new_rows] = old.net.fc.bias[old_rows]
    return len(pairs)
