"""``tagwise predict`` of detectors and segmenters: boxes, masks, keypoints and classes of pixels of any pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.files import write_bytes, write_text
from tagwise.base.progress import printable, progress, say
from tagwise.verbs.evaluate_located import LookFlags, refuse_look
from tagwise.verbs.located_answers import Form, FoundObject, LocatedAnswer, LocatedPredictResult, as_csv, as_jsonl
from tagwise.verbs.located_drawings import draw_found, draw_map

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tagwise.localise.models import LocatedModel
    from tagwise.localise.writing_detections import Detections

_FORMS: dict[str, Form] = {".csv": "csv", ".jsonl": "jsonl", ".json": "coco", "": "pictures"}
"""By suffix of what is written; a folder has none."""


def predict_located(
    pictures: list[tuple[Path, Path]],
    look: LookFlags,
    *,
    model: str | Path,
    design: str | None = None,
    classes: Sequence[str] | None = None,
    top: int | None,
    threshold: float | None,
    form: str | None,
    out: Path | None,
    device: str | None,
    overwrite: bool,
) -> LocatedPredictResult:
    """As ``predict``, of what tells where things are.

    Raises:
        UsageError: A flag that cannot be meant, or ``out`` is there.
        DataRefused: No picture can be read.
    """
    from tagwise.base.devices import choose_device
    from tagwise.localise.models import load_located
    from tagwise.pixels.quiet import quiet_libraries
    from tagwise.verbs.located_scores import SHOWN_SCORE

    chosen = _chosen_form(form, out)
    where, loaded = choose_device(device), load_located(model, design=design, classes=classes)
    boxes = loaded.facts.detector is not None
    refuse_look(loaded, look)
    _refuse_idle(loaded, top, threshold, chosen)
    files = _files(pictures, chosen, out, boxes=boxes, overwrite=overwrite)
    if threshold is None:
        threshold = 0.0 if chosen == "coco" else SHOWN_SCORE
    work = _Work(model=loaded, look=look, device=where, top=top, threshold=threshold, keep_all=chosen == "coco")
    answers = []
    with quiet_libraries(), progress("predicting", len(pictures)) as ticker:
        for answer in work.answers([path for path, _ in pictures], files):
            answers.append(answer)
            ticker.advance()
    if all(answer.problem is not None for answer in answers):
        raise DataRefused(
            f"None of {len(answers)} pictures can be read; {printable(answers[0].picture)}: "
            f"{printable(answers[0].problem or '')}."
        )
    if chosen == "coco":
        _write_coco(work, out)
    elif out is not None and chosen != "pictures":
        write_text(out, {"csv": as_csv, "jsonl": as_jsonl}[chosen](answers, boxes))
    for answer in answers if chosen in ("coco", "pictures") else ():
        if answer.problem is not None:
            say(f"{printable(answer.picture)} is left out: {printable(answer.problem)}")
    return LocatedPredictResult(answers=tuple(answers), format=chosen, boxes=boxes, written=out)


class _Work:
    """A model at work on picture after picture.

    Args:
        model: A detector or segmenter.
        look: How a segmenter looks.
        device: Where.
        top: Boxes a picture, None: all.
        threshold: Least score of a box.
        keep_all: Keep detections for COCO results.
    """

    def __init__(
        self,
        *,
        model: LocatedModel,
        look: LookFlags,
        device: torch.device,
        top: int | None,
        threshold: float,
        keep_all: bool,
    ) -> None:
        self.model, self._look, self._device, self._top = model, look, device, top
        self._threshold, self._keep_all = threshold, keep_all
        self._names = [category.name for category in model.categories]
        self.kept: list[tuple[int, LocatedAnswer, Detections]] = []
        """Numbers of pictures, from 1, with what was found on them."""
        model.net.to(device)

    def answers(self, paths: Sequence[Path], files: Sequence[tuple[Path, ...]]) -> Iterator[LocatedAnswer]:
        """What is on each picture; drawn into its files, where there are any."""
        from tagwise.pixels.decode import decode
        from tagwise.pixels.place import PictureRefused

        for number, path in enumerate(paths, 1):
            try:
                picture_HWC = decode(path).pixels_HWC
            except PictureRefused as refusal:
                yield LocatedAnswer(picture=str(path), problem=refusal.reason)
                continue
            told = self._boxes if self.model.facts.detector is not None else self._pixels
            yield told(number, path, picture_HWC, files[number - 1] if files else ())

    def _boxes(self, number: int, path: Path, picture_HWC: NDArray[np.uint8], files: tuple[Path, ...]) -> LocatedAnswer:
        from tagwise.localise.drawing import png
        from tagwise.localise.locating import detect

        assert self.model.facts.detector is not None
        height, width = picture_HWC.shape[:2]
        found = _best(detect(self.model.net, picture_HWC, self.model.facts.detector, self._device), self._threshold)
        found = found if self._top is None else _rows(found, range(min(self._top, len(found.scores_N))))
        if files:
            write_bytes(files[0], png(draw_found(picture_HWC, found, self._names)))
        objects = tuple(_object(found, row, self._names) for row in range(len(found.scores_N)))
        answer = LocatedAnswer(picture=str(path), width=width, height=height, objects=objects)
        if self._keep_all:
            self.kept.append((number, answer, found))
        return answer

    def _pixels(self, _: int, path: Path, picture_HWC: NDArray[np.uint8], files: tuple[Path, ...]) -> LocatedAnswer:
        import numpy as np

        from tagwise.localise.drawing import png
        from tagwise.localise.locating import segment
        from tagwise.localise.writing import write_palette_png

        facts = self.model.facts
        assert facts.sizing is not None
        labels_HW = segment(self.model.net, picture_HWC, facts.view, facts.sizing, self._look.windows(), self._device)
        if files:
            write_palette_png(labels_HW, files[0])
            write_bytes(files[1], png(draw_map(picture_HWC, labels_HW, self._names)))
        shares = np.bincount(labels_HW.ravel(), minlength=len(self._names)) / labels_HW.size
        ranked = [label for label in np.argsort(-shares, kind="stable").tolist() if shares[label]]
        return LocatedAnswer(
            picture=str(path),
            width=picture_HWC.shape[1],
            height=picture_HWC.shape[0],
            pixel_fractions=tuple((self._names[label], float(shares[label])) for label in ranked),
        )


def _best(found: Detections, threshold: float) -> Detections:
    """From the threshold on, the surest first."""
    import numpy as np

    order = np.argsort(-found.scores_N, kind="stable")
    return _rows(found, order[found.scores_N[order] >= threshold].tolist())


def _rows(found: Detections, rows: Sequence[int]) -> Detections:
    import numpy as np

    from tagwise.localise.writing_detections import Detections

    chosen = np.array(rows, np.int64)
    return Detections(
        boxes_N4=found.boxes_N4[chosen],
        scores_N=found.scores_N[chosen],
        labels_N=found.labels_N[chosen],
        masks=None if found.masks is None else tuple(found.masks[row] for row in rows),
        keypoints_NK3=None if found.keypoints_NK3 is None else found.keypoints_NK3[chosen],
    )


def _object(found: Detections, row: int, names: Sequence[str]) -> FoundObject:
    from tagwise.localise.writing import plain_rle

    points = None if found.keypoints_NK3 is None else found.keypoints_NK3[row].round(2).tolist()
    x1, y1, x2, y2 = (round(value, 2) for value in found.boxes_N4[row].tolist())
    return FoundObject(
        name=names[found.labels_N[row]],
        score=round(float(found.scores_N[row]), 6),
        box=(x1, y1, x2, y2),
        mask=None if found.masks is None else plain_rle(found.masks[row]),
        keypoints=None if points is None else tuple((x, y, score) for x, y, score in points),
    )


def _chosen_form(asked: str | None, out: Path | None) -> Form:
    """What flag and suffix agree on."""
    if asked in ("parquet", "txt"):
        raise UsageError(
            f"--format {asked} is of labels, and this model tells where things are; give table, csv, jsonl or coco."
        )
    if out is None:
        if asked == "coco":
            raise UsageError("--format coco is not printed; say where it goes with -o results.json.")
        return asked or "table"  # type: ignore[return-value]
    by_suffix = _FORMS.get(out.suffix.lower(), "pictures" if out.is_dir() else None)
    if by_suffix is None:
        raise UsageError(f"{out} has a suffix of no format; end it in .csv, .jsonl or .json, or give a folder.")
    if asked not in (None, by_suffix):
        raise UsageError(f"--format {asked} and -o {out} do not go together; leave --format away or rename -o.")
    return by_suffix


def _refuse_idle(model: LocatedModel, top: int | None, threshold: float | None, form: Form) -> None:
    if model.facts.detector is None:
        idle = {
            "--top is": top is not None,
            "--threshold is": threshold is not None,
            "COCO results are": form == "coco",
        }
        if any(idle.values()):
            given = next(name for name, was in idle.items() if was)
            raise UsageError(f"{given} for boxes; {model.name} tells the class of each pixel.")


def _files(
    pictures: list[tuple[Path, Path]], form: Form, out: Path | None, *, boxes: bool, overwrite: bool
) -> list[tuple[Path, ...]]:
    """The files of each picture in a folder; none where there is no folder."""
    from tagwise.verbs.predict import refuse_existing, sidecars

    if out is None:
        return []
    if form != "pictures":
        if not overwrite:
            refuse_existing([out])
        return []
    folders = [out] if boxes else [out / "maps", out / "overlays"]
    files = [sidecars(pictures, folder, ".png", "drawing") for folder in folders]
    if not overwrite:
        refuse_existing([file for group in files for file in group])
    return list(zip(*files, strict=True))


def _write_coco(work: _Work, out: Path | None) -> None:
    """Pictures count from 1 in their order and have their file names, because nobody gave them ids."""
    import numpy as np

    from tagwise.localise.annotations import AnnotatedPicture, Annotations
    from tagwise.localise.writing_detections import coco_detections, write_detections
    from tagwise.pixels.place import Place

    assert out is not None
    none = np.zeros(0)
    pictures = tuple(
        AnnotatedPicture(
            place=Place(answer.picture),
            name=answer.picture,
            id=number,
            width=answer.width,
            height=answer.height,
            boxes_N4=np.zeros((0, 4)),
            categories_N=none.astype(np.int64),
            ids=(),
            areas_N=none,
            crowd_N=none.astype(bool),
            difficult_N=none.astype(bool),
            masks=(),
        )
        for number, answer, _ in work.kept
    )
    shown = Annotations(name="pictures", form="coco", categories=work.model.categories, pictures=pictures)
    results = coco_detections([found for _, _, found in work.kept], shown)
    names = {picture.id: picture.name for picture in pictures}
    write_detections(out, [{**result, "file_name": names[result["image_id"]]} for result in results])
