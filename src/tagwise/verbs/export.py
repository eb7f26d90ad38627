"""``tagwise export``: a model as a file that other programs run, checked before it is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tagwise.base.errors import TagwiseError, UsageError, unknown
from tagwise.base.files import read_json, write_bytes
from tagwise.base.progress import printable
from tagwise.verbs.export_words import metadata, task_words
from tagwise.verbs.lines import read_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tagwise.hub.agreement import Agreement
    from tagwise.hub.export import Graph
    from tagwise.localise.models import LocatedModel
    from tagwise.training.models import Model, ModelFacts

Form = Literal["onnx"]

_DRAWN_SIZE = (192, 256)
"""Height and width of the noise that is shown where there is no picture."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """A file for other hands."""

    file: Path
    model: str
    task: str
    classes: int
    bytes: int
    licence: str
    engine: str
    """What it was checked with."""
    picture: str
    """What it was checked on, in its own size and in another, or alone and in a batch."""
    checks: tuple[str, ...]
    """How far its outputs are from torch's, an entry each."""

    def __str__(self) -> str:
        name, classes = printable(str(self.file), 1_000), "class" if self.classes == 1 else "classes"
        first = (
            f"{name}: {printable(self.model)}, {self.task} of {self.classes:,} {classes}, "
            f"{self.bytes / 1e6:,.1f} MB, licence {printable(self.licence)}"
        )
        return "\n".join(
            [first, f"checked with {self.engine} on {self.picture}:", *(f"  {one}" for one in self.checks)]
        )


def export(
    model: str | Path,
    *,
    to: Form,
    out: Path | str,
    picture: Path | str | None = None,
    design: str | None = None,
    classes: Path | str | None = None,
    accept_license: bool = False,
    overwrite: bool = False,
) -> ExportResult:
    """Writes a model for other programs, and checks first that it says there what it says here.

    Pictures go in as RGB of 0 to 1. They are normalised inside the file; a detector's are resized there
    too, all others before, as the file's metadata say beside classes, licence and lineage. Of a detector
    boxes may differ by 0.1 pixels and scores by 0.001, of all else logits by 0.001.

    Args:
        model: A run folder, a file of ours or of others, or published weights.
        to: onnx.
        out: The .onnx file.
        picture: What it is checked on; else a test picture of the run, or noise.
        design: What the net is, for a file of others that leaves it open.
        classes: A file that names the outputs, one a line, for a file of others.
        accept_license: Also where the weights' licence forbids commercial use.
        overwrite: Replace the file.

    Raises:
        UsageError: No such model or form, ``out`` is there, the licence is not accepted, a library is missing, or a
            detector finds nothing on the picture.
        PictureRefused: The picture cannot be read.
        TagwiseError: The net cannot be told in this form, or says something else there; nothing is written.
    """
    from tagwise.hub.export import engine, need_onnx

    if to != "onnx":
        raise unknown("form", to, ["onnx"])
    path = Path(out)
    _refuse_place(path, overwrite)
    need_onnx()
    opened = _opened(model, design, classes)
    _refuse_terms(opened, accept_license)
    name, pixels_HWC = _sample(None if picture is None else Path(picture), Path(model))
    content, checks = _checked(opened, name, pixels_HWC)
    write_bytes(path, content)
    facts = opened.facts
    return ExportResult(
        file=path,
        model=opened.name,
        task=task_words(facts),
        classes=len(facts.outputs),
        bytes=len(content),
        licence=facts.licence,
        engine=engine(),
        picture=name,
        checks=checks,
    )


def _refuse_place(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() != ".onnx" or path.is_dir():
        raise UsageError(f"{path} is no place for an ONNX file; give -o a name that ends in .onnx.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; give --overwrite or another -o.")


def _opened(thing: str | Path, design: str | None, classes: Path | str | None) -> Model | LocatedModel:
    from tagwise.localise.models import load_located
    from tagwise.localise.released import tells_where
    from tagwise.training.loading import load

    names = None if classes is None else read_lines(classes, "--classes")
    if not tells_where(thing):
        return load(thing, design=design, classes=names)
    return load_located(thing, design=design, classes=names)


def _refuse_terms(opened: Model | LocatedModel, accepted: bool) -> None:
    from tagwise.nets.provenance import allows_commerce

    licence = opened.facts.licence
    if not (accepted or allows_commerce(licence)):
        origin = next(iter(opened.facts.lineage), opened.name)
        raise UsageError(
            f"{printable(opened.name)} comes from {printable(origin)}, licensed {printable(licence)}: not for "
            "commercial use; give --accept-license if your use is allowed."
        )


def _sample(picture: Path | None, model: Path) -> tuple[str, NDArray[np.uint8]]:
    """The name of a picture and its pixels: the one given, a test picture of the run, or noise."""
    from tagwise.base import rng
    from tagwise.pixels.decode import decode
    from tagwise.pixels.place import PictureRefused
    from tagwise.verbs.locate import FOUND_FILE

    if picture is not None:
        return printable(picture.name), decode(picture).pixels_HWC
    record = model / FOUND_FILE
    tested = read_json(record) if record.is_file() else []
    for one in sorted(tested, key=lambda one: not one.get("found", {}).get("scores")):  # with objects first
        try:
            return printable(one["name"]), decode(Path(one["place"])).pixels_HWC
        except PictureRefused:  # it is no longer there, or lies in an archive
            continue
    return "noise", rng.stream(0, "export").integers(0, 256, (*_DRAWN_SIZE, 3), "uint8")


def _checked(opened: Model | LocatedModel, name: str, pixels_HWC: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """The file's content, and how far its outputs are from torch's on a picture."""
    from tagwise.hub.export import engine, onnx_bytes, onnx_outputs

    graph, shown = _graph(opened), _shown(pixels_HWC, opened.facts)
    wanted = [graph.run(images) for images in shown.values()]
    if opened.facts.detector is not None and not len(wanted[0]["scores"]):
        raise UsageError(f"{opened.name} finds nothing on {name}, so nothing can be compared; give a --picture.")
    content = onnx_bytes(graph, next(iter(shown.values())), metadata(opened))
    told = onnx_outputs(content, graph, list(shown.values()))
    found = [_agreement(opened.facts, *both) for both in zip(wanted, told, strict=True)]
    for agreement in found:
        if not agreement.agree:
            raise TagwiseError(
                f"{engine()} and torch disagree on {name}: {agreement.said}; nothing was written, another --picture "
                "tells whether it is this one's fault."
            )
    return content, tuple(f"{how}: {agreement.said}" for how, agreement in zip(shown, found, strict=True))


def _shown(pixels_HWC: NDArray[np.uint8], facts: ModelFacts) -> dict[str, Tensor]:
    """The picture as it goes in, and again in another size or in a batch with its mirror image."""
    import torch
    import torch.nn.functional as F

    from tagwise.localise.showing import fitted_size
    from tagwise.pixels.augment import centred
    from tagwise.pixels.decode import fit

    if not facts.locates:
        plain = dataclasses.replace(facts.view, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        image_BCHW = centred(torch.from_numpy(fit(pixels_HWC, facts.view))[None], plain)
        return {"alone": image_BCHW.contiguous(), "in a batch": torch.cat([image_BCHW, image_BCHW.flip(-1)])}
    image_CHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1).float() / 255
    height, width = image_CHW.shape[1:]
    if facts.detector is not None:
        part_CHW = image_CHW[..., : max(1, 3 * width // 4)]
        return {"whole": image_CHW.contiguous(), "its left part": part_CHW.contiguous()}
    assert facts.sizing is not None
    size = fitted_size(height, width, facts.sizing.test_shorter, facts.sizing.test_longest)
    image_BCHW = F.interpolate(image_CHW[None], size=size, mode="bilinear", antialias=True).clamp(0, 1)
    part_BCHW = image_BCHW[..., : max(1, 3 * size[1] // 4)]
    return {"whole": image_BCHW, "a batch of its left part": torch.cat([part_BCHW, part_BCHW.flip(-1)])}


def _graph(opened: Model | LocatedModel) -> Graph:
    from tagwise.hub.export import Graph, Logits, Objects

    facts, net = opened.facts, opened.net.float().eval()
    if facts.detector is not None:
        outputs = {"boxes": {0: "objects"}, "scores": {0: "objects"}, "labels": {0: "objects"}}
        if facts.detector.has_masks:
            outputs["masks"] = {0: "objects", 1: "height", 2: "width"}
        if facts.detector.kind == "keypoint":
            outputs["keypoints"] = {0: "objects"}
        sizes = {1: "height", 2: "width"}
        return Graph(net=Objects(net).eval(), input="image", input_axes=sizes, outputs=outputs)
    axes = {0: "batch", 2: "height", 3: "width"} if facts.segmenter is not None else {0: "batch"}
    return Graph(net=Logits(net, facts.view).eval(), input="images", input_axes=axes, outputs={"logits": axes})


def _agreement(facts: ModelFacts, wanted: dict[str, Tensor], told: dict[str, Tensor]) -> Agreement:
    from tagwise.hub.agreement import logits_agreement, objects_agreement

    if facts.detector is None:
        return logits_agreement(wanted["logits"], told["logits"])
    return objects_agreement(wanted, told, facts.detector.overlap)
