"""What a report says of detectors and segmenters, read from their run folders without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tagwise.base.errors import TagwiseError
from tagwise.base.files import read_json
from tagwise.base.progress import say
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
from tagwise.pixels.decode import decode
from tagwise.pixels.place import Place
from tagwise.verbs import located_tables as tables
from tagwise.verbs.locate import FOUND_FILE
from tagwise.verbs.located_pictures import Image_HWC, map_pair, object_pair
from tagwise.verbs.located_scores import SHOWN_SCORE
from tagwise.verbs.run_curves import run_blocks
from tagwise.verbs.run_results import SCORES_FILE

_NO_TEST = "It had no test part, so nothing was measured; `tagwise evaluate ANNOTATIONS --model` measures it on one."

Scores = Mapping[str, Any]


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
        statement=f"{folder.name} (head {_head(folder)}) on {scores['test_pictures']:,} test pictures with "
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
        statement=f"{folder.name} (head {_head(folder)}) on {scores['test_pictures']:,} test pictures with "
        f"{len(pixels['classes']):,} classes of pixels.",
        value=f"mIoU {tables.score_words(pixels['mean_iou'])}",
        spread=f"{CONVENTION_WORDS[pixels['convention']].capitalize()}; pixel accuracy "
        f"{tables.score_words(pixels['pixel_accuracy'])}. One run: another seed gives another number.",
    )


def _side_by_side(folders: Sequence[Path], rows_of: Callable[[Path], list[dict[str, Any]]]) -> Table:
    rows = [row for folder in folders for row in rows_of(folder)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [name for name in columns if name not in ("run", "head", "of")]
    return Table(columns=columns, rows=[[row.get(name) for name in columns] for row in rows], numeric=numeric)


def _box_rows(folder: Path) -> list[dict[str, Any]]:
    scores = _scores(folder)
    start = {"run": folder.name, "head": _head(folder)}
    rows = []
    for kind in tables.kinds_of(scores):
        numbers, alone = scores[kind]["numbers"], scores[kind]["class_agnostic"]
        told = {name: f"{numbers[name]:.3f}" for name in ("AP", "AP50", "AP75")}
        any_class = {f"AP, {tables.ANY_CLASS}": f"{alone['AP']:.3f}"}
        rows.append(start | {"of": kind} | told | any_class | {"test pictures": scores["test_pictures"]})
    return rows or [start]


def _pixel_rows(folder: Path) -> list[dict[str, Any]]:
    scores = _scores(folder)
    start: dict[str, Any] = {"run": folder.name, "head": _head(folder)}
    if "pixels" not in scores:
        return [start]
    pixels = scores["pixels"]
    names = {"mIoU": "mean_iou", "pixel accuracy": "pixel_accuracy", "class accuracy": "class_accuracy"}
    told = {said: tables.score_words(pixels[name]) for said, name in names.items()}
    return [start | told | {"test pictures": scores["test_pictures"]}]


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
            heading="The numbers",
            text=[text],
            blocks=[tables.numbers_table({kind: scores[kind] for kind in kinds})],
        ),
        Section(heading="Class by class", blocks=blocks),
        _error_section(scores["errors"]),
        *_pictures_section(
            folder, object_pair, f"True objects, and those found with a score of {SHOWN_SCORE:g} or more."
        ),
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
        "nothing. Pixel accuracy is high where one class fills the pictures, and says little without mIoU beside it."
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
        *_pictures_section(folder, map_pair, "True classes of pixels, and those told."),
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
