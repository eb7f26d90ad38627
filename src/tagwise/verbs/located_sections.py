"""What a report says of detectors and segmenters, read from their run folders without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.errors import TagwiseError
from tagwise.base.files import read_json
from tagwise.base.progress import say
from tagwise.localise import rasters
from tagwise.localise.drawing import DrawnObjects, draw_objects, with_legend
from tagwise.localise.overlays import overlay
from tagwise.measure.detection_errors import ERROR_WORDS
from tagwise.measure.segmentation import CONVENTION_WORDS
from tagwise.pages.localisation_charts import (
    CLASSES_DRAWN,
    RecallCurves,
    confusion_chart,
    gain_chart,
    precision_recall_chart,
)
from tagwise.pages.page import Block, Finding, Gallery, Note, Picture, Section, Table
from tagwise.pages.pictures import thumbnail
from tagwise.pages.tables import cut
from tagwise.pixels.decode import decode
from tagwise.pixels.place import Place
from tagwise.verbs import located_tables as tables
from tagwise.verbs.locate import FOUND_FILE
from tagwise.verbs.located_scores import SHOWN_SCORE, map_of
from tagwise.verbs.pretrain import SCORES_FILE
from tagwise.verbs.run_curves import run_blocks

DRAWN_SIDE = 280
"""Longest side of a picture in a report, pixels; what is drawn on it keeps its size."""
OVERLAP = 0.5
"""IoU from which on an object counts as found."""
_NO_TEST = "It had no test part, so nothing was measured; `tagwise evaluate ANNOTATIONS --model` measures it on one."

Scores = Mapping[str, Any]
Image_HWC = NDArray[np.uint8]


def is_located(folder: Path) -> bool:
    """Whether the run trained a detector or segmenter."""
    plan = folder / "plan.json"
    return plan.is_file() and read_json(plan).get("task") == "locate"


def located_subtitle(folders: Sequence[Path]) -> str:
    """How many there are of each kind."""
    boxes = sum(_tells_boxes(folder) for folder in folders)
    counts = {"detector": boxes, "segmenter": len(folders) - boxes}
    return " and ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items() if count)


def findings_of_runs(folders: Sequence[Path]) -> list[Finding]:
    """The number that each run with a test part is compared by."""
    found = [_box_finding(one) if _tells_boxes(one) else _pixel_finding(one) for one in folders]
    return [one for one in found if one is not None]


def of_located(folders: Sequence[Path]) -> list[Section]:
    """Scores, classes, errors, pictures and curves of detectors, then of segmenters."""
    sections: list[Section] = []
    several = len(folders) > 1
    detectors = [folder for folder in folders if _tells_boxes(folder)]
    segmenters = [folder for folder in folders if folder not in detectors]
    for chosen, compare, sections_of, score in (
        (detectors, _box_rows, _box_sections, "AP"),
        (segmenters, _pixel_rows, _pixel_sections, "mean IoU"),
    ):
        if len(chosen) > 1:
            sections.append(Section(heading=f"{score} of the runs", blocks=[_side_by_side(chosen, compare)]))
        for folder in chosen:
            sections += [_named(section, folder, several) for section in sections_of(folder)]
        if chosen:
            blocks = run_blocks(list(chosen), "Loss on the training part.", score=score)
            words = "detectors" if chosen is detectors else "segmenters"
            heading = f"How the {words} were trained" if several else "How it was trained"
            sections.append(Section(heading=heading, blocks=blocks))
    return sections


def located_provenance(folder: Path) -> dict[str, str]:
    """Licences, the library that computed, and the test part."""
    scores = _scores(folder)
    licences = scores.get("licences", {})
    data, model = (licences.get(of, "unknown") for of in ("data", "model"))
    facts = {f"{folder.name}: licence of data, of weights": f"{data}, {model}"}
    if "test_digest" in scores:
        facts[f"{folder.name}: test part"] = scores["test_digest"]
    for kind in tables.kinds_of(scores)[:1]:
        facts[f"{folder.name}: computed by"] = scores[kind]["library"]
    return facts


def _scores(folder: Path) -> Scores:
    scores: Scores = read_json(folder / SCORES_FILE)
    return scores


def _tells_boxes(folder: Path) -> bool:
    return read_json(folder / "plan.json")["detector"] is not None


def _head(folder: Path) -> str:
    plan = read_json(folder / "plan.json")
    kind: str = (plan["detector"] or plan["segmenter"])["kind"]
    return kind


def _named(section: Section, folder: Path, several: bool) -> Section:
    """With the run's name, where there are several."""
    heading = f"{folder.name}: {section.heading[0].lower()}{section.heading[1:]}" if several else section.heading
    return Section(heading=heading, text=section.text, blocks=section.blocks)


def _box_finding(folder: Path) -> Finding | None:
    scores = _scores(folder)
    if not (kinds := tables.kinds_of(scores)):
        return None
    one, boxes = scores[kinds[-1]], scores[kinds[0]]
    numbers, alone = one["numbers"], one["class_agnostic"]
    what = "" if kinds[-1] == "boxes" else f"{kinds[-1][:-1]} "
    beside = f"; AP of its boxes {boxes['numbers']['AP']:.3f}" if what else ""
    return Finding(
        statement=f"{folder.name}, {_head(folder)}, on {scores['test_pictures']:,} test pictures with "
        f"{tables.objects_of(scores):,} objects of {len(boxes['categories']):,} classes.",
        value=f"{what}AP {numbers['AP']:.3f}" if numbers["AP"] > -1 else "no object",
        spread=f"AP50 {numbers['AP50']:.3f}, AP75 {numbers['AP75']:.3f}; whatever the class AP {alone['AP']:.3f}"
        f"{beside}. One run: another seed gives another number.",
    )


def _pixel_finding(folder: Path) -> Finding | None:
    scores = _scores(folder)
    if "pixels" not in scores:
        return None
    pixels = scores["pixels"]
    return Finding(
        statement=f"{folder.name}, {_head(folder)}, on {scores['test_pictures']:,} test pictures with "
        f"{len(pixels['classes']):,} classes of pixels.",
        value=f"mIoU {tables.score_words(pixels['mean_iou'])}",
        spread=f"{CONVENTION_WORDS[pixels['convention']].capitalize()}; pixel accuracy "
        f"{tables.score_words(pixels['pixel_accuracy'])}. One run: another seed gives another number.",
    )


def _side_by_side(folders: Sequence[Path], rows_of: Callable[[Path], list[dict[str, Any]]]) -> Table:
    rows = [row for folder in folders for row in rows_of(folder)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [name for name in columns if name not in ("run", "head", "of", "measured on")]
    return Table(columns=columns, rows=[[row.get(name) for name in columns] for row in rows], numeric=numeric)


def _box_rows(folder: Path) -> list[dict[str, Any]]:
    scores = _scores(folder)
    start = {"run": folder.name, "head": _head(folder)}
    rows = []
    for kind in tables.kinds_of(scores):
        numbers, alone = scores[kind]["numbers"], scores[kind]["class_agnostic"]
        told = {name: f"{numbers[name]:.3f}" for name in ("AP", "AP50", "AP75")}
        any_class = {f"AP, {tables.ANY_CLASS}": f"{alone['AP']:.3f}"}
        rows.append(start | {"of": kind} | told | any_class | {"measured on": scores["test_digest"]})
    return rows or [start]


def _pixel_rows(folder: Path) -> list[dict[str, Any]]:
    scores = _scores(folder)
    start: dict[str, Any] = {"run": folder.name, "head": _head(folder)}
    if "pixels" not in scores:
        return [start]
    pixels = scores["pixels"]
    names = {"mIoU": "mean_iou", "pixel accuracy": "pixel_accuracy", "class accuracy": "class_accuracy"}
    told = {said: tables.score_words(pixels[name]) for said, name in names.items()}
    return [start | told | {"measured on": scores["test_digest"]}]


def _box_sections(folder: Path) -> list[Section]:
    scores = _scores(folder)
    if not (kinds := tables.kinds_of(scores)):
        return [Section(heading="Scores", text=[_NO_TEST])]
    categories = scores[kinds[0]]["categories"]
    text = (
        f"{scores['test_pictures']:,} test pictures with {tables.objects_of(scores):,} objects, computed by "
        f"{scores[kinds[0]]['library']}. Where the columns say {tables.ANY_CLASS!r}, all classes count as one: what is "
        "left is knowing where things are."
    )
    curves = [
        RecallCurves(name=one["name"], objects=one["objects"], at_50=one["precisions_50"], at_75=one["precisions_75"])
        for one in categories
    ]
    blocks: list[Block] = [tables.category_table(scores)]
    if any(len(one.at_50) for one in curves):
        first = f" The {CLASSES_DRAWN} classes with the most objects." if len(curves) > CLASSES_DRAWN else ""
        caption = f"How precise its boxes are, when so many of the objects are to be found.{first}"
        blocks.append(precision_recall_chart(curves, caption=caption))
    return [
        Section(
            heading="COCO's numbers",
            text=[text],
            blocks=[tables.numbers_table({kind: scores[kind] for kind in kinds})],
        ),
        Section(heading="Class by class", blocks=blocks),
        _error_section(scores["errors"]),
        *_pictures_section(folder, _object_pair, f"True objects, and those found with a score of {SHOWN_SCORE:g} or more."),
    ]


def _error_section(errors: Mapping[str, Any]) -> Section:
    gains = {words: errors["gains"][kind] for kind, words in ERROR_WORDS.items()}
    counts = {words: errors["counts"][kind] for kind, words in ERROR_WORDS.items()}
    text = (
        "Each detection of a box that finds no object is wrong in one way at IoU .5, and each object may be missed. "
        "The bars say how much AP50 would rise if all errors of one kind were put right; errors hide each other, so "
        "they do not add up."
    )
    return Section(
        heading="What goes wrong",
        text=[text],
        blocks=[gain_chart(gains, counts, caption="AP50 gained if put right, and how often it occurs.")],
    )


def _pixel_sections(folder: Path) -> list[Section]:
    scores = _scores(folder)
    if "pixels" not in scores:
        return [Section(heading="Scores", text=[_NO_TEST])]
    pixels = scores["pixels"]
    rows = [
        ("mIoU", tables.score_words(pixels["mean_iou"]), CONVENTION_WORDS[pixels["convention"]]),
        ("pixel accuracy", tables.score_words(pixels["pixel_accuracy"]), "share of all pixels that are told right"),
        ("class accuracy", tables.score_words(pixels["class_accuracy"]), "mean over the classes in the truth"),
        (
            "frequency-weighted IoU",
            tables.score_words(pixels["frequency_weighted_iou"]),
            "IoU of each class, weighted by its pixels",
        ),
    ]
    text = (
        f"{scores['test_pictures']:,} test pictures, their pixels pooled; those of label {pixels['ignored']} count for "
        "nothing. Pixel accuracy is high where one class fills the pictures, and says little without the mIoU beside it."
    )
    numbers = Table(columns=("number", "value", "what it is"), rows=rows, numeric=("value",))
    blocks: list[Block] = [tables.pixel_table(pixels)]
    if "confusion" in pixels:
        first = f"; the {CLASSES_DRAWN} classes with the most" if len(pixels["classes"]) > CLASSES_DRAWN else ""
        caption = f"Of 100 pixels of each true class (row), how many are told to be of which class (column){first}."
        blocks.append(confusion_chart(pixels["classes"], pixels["confusion"], caption=caption))
    return [
        Section(heading="The numbers", text=[text], blocks=[numbers]),
        Section(heading="Class by class", blocks=blocks),
        *_pictures_section(folder, _map_pair, "True classes of pixels, and those told."),
    ]


def _pictures_section(
    folder: Path, pair: Callable[[Image_HWC, Mapping[str, Any]], list[Picture]], caption: str
) -> list[Section]:
    """Truth beside prediction for the pictures that the run kept."""
    path = folder / FOUND_FILE
    kept = read_json(path) if path.is_file() else []
    pictures: list[Picture] = []
    gone = 0
    for one in kept:
        try:
            pixels_HWC = decode(Place(one["place"])).pixels_HWC
            pictures += pair(pixels_HWC, one)
        except TagwiseError as error:
            say(f"The report leaves out {one['name']}: {error}")
            gone += 1
    blocks: list[Block] = [Gallery(pictures=pictures, caption=caption, pairs=True)] if pictures else []
    if gone:
        blocks.append(Note(text=f"{gone:,} of {len(kept):,} pictures cannot be shown any more.", kind="bad"))
    return [Section(heading="Truth and prediction", blocks=blocks)] if blocks else []


def _object_pair(picture_HWC: Image_HWC, one: Mapping[str, Any]) -> list[Picture]:
    truth, found = one["truth"], one["found"]
    right = _right(truth, found)
    wrong = len(found["labels"]) - right
    objects = len(truth["labels"])
    said = f"{right} of {objects} found" if objects else "nothing to find"
    captions = (
        f"{_short(one['name'])}: {objects} object{'' if objects == 1 else 's'}",
        said + (f", {wrong} wrong" if wrong else ""),
    )
    return [
        _picture(_drawn_objects(picture_HWC, told, one["classes"]), caption)
        for told, caption in zip((truth, found), captions, strict=True)
    ]


def _map_pair(picture_HWC: Image_HWC, one: Mapping[str, Any]) -> list[Picture]:
    names = one["classes"]
    truth_HW, found_HW = (map_of(one[runs], one["size"]) for runs in ("truth_runs", "found_runs"))
    counted = truth_HW != 255
    right = (truth_HW == found_HW)[counted].mean() if counted.any() else np.nan
    captions = (f"{_short(one['name'])}: truth", "no pixel counts" if np.isnan(right) else f"{right:.1%} of pixels right")
    shown = sorted({*np.unique(truth_HW[counted]).tolist(), *np.unique(found_HW).tolist()})
    plain = 0 if names[0] == "background" else None
    size = _size(picture_HWC)
    small_HWC = np.array(Image.fromarray(picture_HWC).resize(size))
    return [
        _picture(
            with_legend(
                overlay(small_HWC, _resized(labels_HW, size), plain=plain),
                [label for label in shown if label != plain],
                names,
            ),
            caption,
        )
        for labels_HW, caption in zip((truth_HW, found_HW), captions, strict=True)
    ]


def _picture(drawn_HWC: Image_HWC, caption: str) -> Picture:
    return Picture(uri=thumbnail(drawn_HWC, max(drawn_HWC.shape)), alt=caption, caption=caption)


def _short(name: str) -> str:
    """A file's name as it fits under its picture."""
    return cut(name, 26)


def _drawn_objects(picture_HWC: Image_HWC, told: Mapping[str, Any], names: Sequence[str]) -> Image_HWC:
    size = _size(picture_HWC)
    ratios = np.array(size) / (picture_HWC.shape[1], picture_HWC.shape[0])
    masks = [_mask(mask, size, picture_HWC.shape[:2]) for mask in told["masks"]]
    points_NK3 = None
    if told["keypoints"] is not None and told["labels"]:
        points_NK3 = np.array(told["keypoints"], np.float64) * [*ratios, 1]
        if "scores" in told:
            points_NK3[..., 2] = 2  # all that are told; their scores are no probabilities
    objects = DrawnObjects(
        boxes_N4=np.array(told["boxes"], np.float64).reshape(-1, 4) * [*ratios, *ratios],
        labels_N=np.array(told["labels"], np.int64),
        names=names,
        scores_N=np.array(told["scores"], np.float64) if "scores" in told else None,
        masks_NHW=np.stack(masks) if masks else None,
        keypoints_NK3=points_NK3,
    )
    return draw_objects(np.array(Image.fromarray(picture_HWC).resize(size)), objects)


def _mask(mask: Mapping[str, Any] | None, size: tuple[int, int], shape: Sequence[int]) -> NDArray[np.bool_]:
    """A mask at the size that is drawn; nothing of an object that has a box alone."""
    if mask is None:
        return np.zeros(size[::-1], bool)
    if list(mask["size"]) != list(shape):
        raise TagwiseError("its size has changed since")
    decoded_HW = rasters.decode({"size": list(mask["size"]), "counts": mask["counts"].encode("ascii")})
    return _resized(decoded_HW.astype(np.uint8), size) > 0


def _size(picture_HWC: Image_HWC) -> tuple[int, int]:
    """Width and height at which a picture is drawn."""
    height, width = picture_HWC.shape[:2]
    scale = DRAWN_SIDE / max(height, width)
    scale = float(max(1, int(scale))) if scale > 1 else scale
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(values_HW: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(values_HW).resize(size, Image.Resampling.NEAREST))


def _right(truth: Mapping[str, Any], found: Mapping[str, Any]) -> int:
    """Objects that detections find, each at most one: the surest first, by class and overlap of boxes."""
    true_N4 = np.array(truth["boxes"], np.float64).reshape(-1, 4)
    labels_N, free_N = np.array(truth["labels"], np.int64), np.ones(len(true_N4), bool)
    for row in np.argsort(-np.array(found["scores"], np.float64), kind="stable").tolist():
        overlaps_N = _overlaps(np.array(found["boxes"][row], np.float64), true_N4)
        overlaps_N = np.where(free_N & (labels_N == found["labels"][row]), overlaps_N, 0)
        if overlaps_N.max(initial=0) >= OVERLAP:
            free_N[overlaps_N.argmax()] = False
    return int((~free_N).sum())


def _overlaps(box_4: NDArray[np.float64], boxes_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = (np.minimum(box_4[2:], boxes_N4[:, 2:]) - np.maximum(box_4[:2], boxes_N4[:, :2])).clip(min=0)
    shared = sides.prod(1)
    areas = (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1) + (box_4[2:] - box_4[:2]).prod()
    overlaps: NDArray[np.float64] = shared / np.maximum(areas - shared, 1e-9)
    return overlaps
