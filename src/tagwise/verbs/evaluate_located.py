"""``tagwise evaluate`` of detectors and segmenters: COCO's numbers, or IoU of pixels, on annotated pictures."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import UsageError
from tagwise.base.progress import progress
from tagwise.pages.tables import text_table
from tagwise.verbs.lines import read_lines

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tagwise.localise.annotations import Annotations, LabelMaps
    from tagwise.localise.models import LocatedModel
    from tagwise.localise.windows import Windows
    from tagwise.verbs.annotation_flags import AnnotationFlags
    from tagwise.verbs.located_scores import LocatedScores

TESTED = ("test", "validation", "train")
"""Parts of annotations by how well they test a model; the first that is there is taken."""


@dataclass(frozen=True, kw_only=True)
class LookFlags:
    """How a segmenter looks at pictures, as it was asked for."""

    scales: Sequence[float] | None = None
    mirror: bool = False
    window: int | None = None
    summed: str | None = None
    convention: str | None = None

    @property
    def given(self) -> list[str]:
        """The flags that were."""
        return [f"--{name}" for name, value in vars(self).items() if value not in (None, False)]

    def windows(self) -> Windows:
        """The same as settings.

        Raises:
            UsageError: A number means nothing.
        """
        from tagwise.localise.windows import Windows

        return Windows(
            side=self.window,
            scales=tuple(self.scales) if self.scales is not None else (1.0,),
            mirror=self.mirror,
            summed=self.summed or "probabilities",  # type: ignore[arg-type]
        )


@dataclass(frozen=True, kw_only=True)
class LocatedEvaluateResult:
    """How well a detector or segmenter fits annotations."""

    target: str
    part: str
    """Of the annotations: test, validation or train."""
    model: str
    digest: str
    """Of the model's file."""
    test_digest: str
    """Of the annotations' names, sizes and objects."""
    licence: str
    """Of the model."""
    data_licence: str
    absent: tuple[str, ...]
    """Classes of the model that the annotations do not list."""
    looked: str
    """How a segmenter looked at pictures; empty of a detector."""
    published: str
    """What the model's publisher says of it, in words; empty where nothing is published."""
    scores: dict[str, Any]
    """``boxes``, ``masks``, ``keypoints`` and ``errors``, or ``pixels``."""
    written: Path | None = None

    def __str__(self) -> str:
        absent = ", ".join(self.absent)
        tail = (
            f"not in the annotations: {absent}" if absent else "",
            f"licence of the data: {self.data_licence}; of the model: {self.licence}",
            f"written: {self.written}" if self.written is not None else "",
        )
        head, *told = self._pixels() if "pixels" in self.scores else self._objects()
        told = ["\n".join(filter(None, (head, self.published))), *told]
        return "\n\n".join([*told, "\n".join(filter(None, tail))])

    def _head(self, what: str) -> str:
        return f"{self.model} on {self.target} ({self.part} part): {self.scores['test_pictures']:,} pictures, {what}"

    def _objects(self) -> list[str]:
        from tagwise.verbs import located_tables as tables

        kinds = tables.kinds_of(self.scores)
        categories = self.scores[kinds[0]]["categories"]
        objects = tables.objects_of(self.scores)
        told = [
            tables.numbers_table({kind: self.scores[kind] for kind in kinds}),
            tables.category_table(self.scores),
            tables.error_table(self.scores["errors"], "Errors of the boxes at IoU .5; the gains do not add up."),
        ]
        return [
            self._head(f"{objects:,} objects of {len(categories):,} classes"),
            *map(text_table, told),
            f"computed by {self.scores[kinds[0]]['library']}",
        ]

    def _pixels(self) -> list[str]:
        from tagwise.verbs import located_tables as tables

        pixels = self.scores["pixels"]
        return [
            self._head(f"{len(pixels['classes']):,} classes"),
            f"{self.scores['said']['pixels']}\nseen: {self.looked}",
            text_table(tables.pixel_table(pixels)),
        ]


def evaluate_located(
    target: Path,
    flags: AnnotationFlags,
    look: LookFlags,
    *,
    model: str | Path,
    design: str | None = None,
    out: Path | None,
    overwrite: bool,
    device: str | None,
) -> LocatedEvaluateResult:
    """As ``evaluate``, of what tells where things are.

    Raises:
        UsageError: A flag that cannot be meant, or ``out`` is there.
        DataRefused: Annotations or pictures cannot be read, hold a class that the model lacks, or nothing of what it
            tells.
    """
    from tagwise.base.devices import choose_device
    from tagwise.localise.models import load_located
    from tagwise.localise.released import RELEASED, UNUSED, is_foreign
    from tagwise.localise.target import digest_of
    from tagwise.verbs.annotated import open_parts, under_classes

    if str(model) in RELEASED and not Path(model).exists():  # before the download
        _refuse_out(out, boxes=RELEASED[str(model)].detector is not None, overwrite=overwrite)
    # Of a file of others the classes are its outputs', which those of the annotations are then too.
    named = flags.classes is not None and Path(model).is_file() and is_foreign(Path(model))
    names = read_lines(flags.classes, "--classes") if flags.classes is not None and named else None
    where, loaded = choose_device(device), load_located(model, design=design, classes=names)
    refuse_look(loaded, look)
    _refuse_out(out, boxes=loaded.facts.detector is not None, overwrite=overwrite)
    opened = open_parts(_head(loaded), target, flags)
    name = next(name for name in TESTED if name in opened)
    part = opened[name]
    listed = {one.name for one in getattr(part, "categories", ())} or set(part.classes)
    part = under_classes(part, loaded.categories, target, loaded.name)
    with progress("evaluating", len(part)) as ticker:
        if loaded.facts.detector is not None:
            found = _boxes(loaded, part, where, out, ticker.advance)
        else:
            found = _pixels(loaded, part, look, where, out, ticker.advance, overwrite=overwrite)
    return LocatedEvaluateResult(
        target=target.resolve().name,
        part=name,
        model=loaded.name,
        digest=loaded.digest,
        test_digest=digest_of(part),
        licence=loaded.facts.licence,
        data_licence=part.licence,
        absent=tuple(
            one.name for one in loaded.categories if one.name not in listed and not one.name.startswith(UNUSED)
        ),
        published=loaded.published,
        looked="" if loaded.facts.detector is not None else look_words(loaded, look.windows()),
        scores=found.scores,
        written=out,
    )


def refuse_look(model: LocatedModel, look: LookFlags) -> None:
    """Refuses flags of a segmenter for a detector, and wrong ones.

    Raises:
        UsageError: There is one.
    """
    from tagwise.measure.segmentation import CONVENTIONS

    if model.facts.detector is not None and look.given:
        raise UsageError(f"{look.given[0]} is for models that tell the class of each pixel; {model.name} tells boxes.")
    if look.convention is not None and look.convention not in CONVENTIONS:
        raise UsageError(f"--convention is one of {', '.join(CONVENTIONS)}, not {look.convention}.")
    look.windows()


def look_words(model: LocatedModel, windows: Windows) -> str:
    """How a segmenter looks at pictures, in words."""
    sizing = model.facts.sizing
    assert sizing is not None
    told = [
        sizing.used,
        f"scale{'s' * (len(windows.scales) > 1)} {', '.join(f'{scale:g}' for scale in windows.scales)}",
    ]
    told += ["mirrored too"] if windows.mirror else []
    told += [f"windows of {windows.side}"] if windows.side is not None else []
    several = len(windows.scales) > 1 or windows.mirror or windows.side is not None
    summed = "probabilities averaged" if windows.summed == "probabilities" else "exponentials of logits summed"
    return ", ".join([*told, *([summed] if several else [])])


def map_files(places: Sequence[str], folder: Path, *, overwrite: bool) -> list[Path]:
    """A PNG for the map of each picture, below the folder as the pictures lie below theirs.

    Raises:
        UsageError: One is there already, is a picture, or would be that of two pictures.
    """
    from tagwise.verbs.predict import refuse_existing, sidecars

    paths = [Path(place) for place in places]
    above = Path(os.path.commonpath([path.parent for path in paths]))
    files = sidecars([(path, path.relative_to(above)) for path in paths], folder, ".png", "map")
    if not overwrite:
        refuse_existing(files)
    return files


def _head(model: LocatedModel) -> str:
    settings = model.facts.detector or model.facts.segmenter
    assert settings is not None
    return settings.kind


def _refuse_out(out: Path | None, *, boxes: bool, overwrite: bool) -> None:
    if out is None:
        return
    if boxes and out.suffix.lower() != ".json":
        raise UsageError(f"{out} is no name of COCO results; end it in .json.")
    if not boxes and (out.suffix or out.is_file()):
        raise UsageError(f"{out} is no folder; give -o a folder for the maps, a PNG for each picture.")
    if boxes and out.exists() and not overwrite:
        raise UsageError(f"{out} is there already; give --overwrite or another -o.")


def _boxes(model: LocatedModel, part: Annotations, device: torch.device, out: Path | None, told: Any) -> LocatedScores:
    from tagwise.localise.writing_detections import write_detections
    from tagwise.verbs.located_scores import score_boxes

    found = score_boxes(model, part, device, told)
    if out is not None:
        write_detections(out, found.results or [])
    return found


def _pixels(
    model: LocatedModel,
    part: LabelMaps,
    look: LookFlags,
    device: torch.device,
    out: Path | None,
    told: Any,
    *,
    overwrite: bool,
) -> LocatedScores:
    from tagwise.verbs.located_scores import score_pixels

    files = []
    if out is not None:
        files = map_files([picture.place.absolute().path for picture in part.pictures], out, overwrite=overwrite)
    return score_pixels(
        model,
        part,
        device,
        told,
        windows=look.windows(),
        convention=look.convention or "truth_or_prediction",  # type: ignore[arg-type]
        each=functools.partial(_write_map, files) if files else None,
    )


def _write_map(files: list[Path], row: int, labels_HW: NDArray[np.uint8]) -> None:
    from tagwise.localise.writing import write_palette_png

    write_palette_png(labels_HW, files[row])
