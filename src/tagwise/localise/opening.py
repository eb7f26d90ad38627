"""Annotations out of any of the forms, in parts that share one list of categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tagwise.base.errors import DataRefused, UsageError, nearest, unknown
from tagwise.base.progress import printable
from tagwise.localise.annotations import Annotations, Category
from tagwise.localise.assembling import assemble
from tagwise.localise.faults import Kind, refuse
from tagwise.localise.pictures import Finder
from tagwise.localise.readers import PARTS, RawSet, Reading, coco, instances, labelme, read_names, via, voc, yolo
from tagwise.localise.readers.guess import FORMS, guess_form

_READERS: dict[str, Callable[[Path, Reading], dict[str, RawSet]]] = {
    "coco": coco.read,
    "voc": voc.read,
    "yolo": yolo.read,
    "labelme": labelme.read,
    "via": via.read,
    "instances": instances.read,
}


def open_annotations(
    path: Path,
    *,
    images: Path | None = None,
    form: str | None = None,
    one_based: bool = True,
    classes: Sequence[str] | Path | None = None,
    exif: Literal["turned", "raw"] | None = None,
    bad: Literal["drop", "stop"] = "drop",
    needs: frozenset[str] | None = None,
) -> dict[str, Annotations]:
    """Reads objects of pictures; pictures' headers are read, no pixel is decoded.

    Args:
        path: A file or folder; parts are ``train.json``, ``val.json`` and ``test.json`` (COCO), lists ``train.txt``
            and its like beside the files (VOC, LabelMe, YOLO), or what YOLO's data.yaml names.
        images: Where the pictures are, where not beside the annotations or in ``images`` there.
        form: ``coco``, ``voc``, ``yolo``, ``labelme``, ``via`` or ``instances``; None: told by what is there.
        one_based: VOC's corners are counted from 1 and the last pixel is inside, as the original has it; False: they
            are counted from 0 and are the edges themselves.
        classes: Names in the order of their numbers, or a file of them, one a line.
        exif: What annotations see of pictures that EXIF turns, where their size does not tell.
        bad: Whether boxes without area and their like are dropped and listed, or stop the reading.
        needs: What is used of ``boxes``, ``masks`` and ``keypoints``; masks that nobody needs are not drawn. None:
            all that is there.

    Returns:
        The parts by name: ``train``, and ``validation`` and ``test`` where they are.

    Raises:
        UsageError: The form is unknown or not clear, there is nothing there, or ``exif`` is no such word.
        DataRefused: A file cannot be read, classes are not clear or not in the list, EXIF leaves it open what boxes
            mean, no picture is left, or nothing of what is needed; with ``bad="stop"`` the first problem.
    """
    reading = Reading(images=images, one_based=one_based, classes=class_list(classes), exif=exif, needs=needs)
    parts = read_parts(path, reading, form)
    refuse([problem for part in parts.values() for problem in part.problems], stop=bad == "stop")
    for name, part in parts.items():
        _refuse_nothing(f"The {name} part of {path}", part, needs or frozenset())
    return parts


def read_parts(path: Path, reading: Reading, form: str | None) -> dict[str, Annotations]:
    """As ``open_annotations``, and nothing that can be listed as a problem is refused.

    Raises:
        UsageError: As there.
        DataRefused: A file cannot be read, or classes are not clear.
    """
    refuse_unknown_exif(reading.exif)
    form = form or guess_form(path)
    if form == "maps":
        raise UsageError(
            f"{path} holds maps of classes, not objects; give --form instances if each value is an object, or a head "
            "for pixels such as --head fcn."
        )
    if form not in _READERS:
        raise unknown("form of annotations", form, FORMS)
    raws = _READERS[form](path, reading)
    categories = _categories(path, raws, reading.classes)
    folder = path if path.is_dir() else path.parent
    return {
        part: _part(folder, raws[part], _with_own_ids(categories, raws[part]), reading, form, path.resolve().name)
        for part in PARTS
        if part in raws
    }


def refuse_unknown_exif(exif: str | None) -> None:
    """Refuses what is neither ``turned`` nor ``raw``, and would be read as one of them.

    Raises:
        UsageError: It is another word.
    """
    if exif not in (None, "turned", "raw"):
        raise UsageError(f"--exif is turned or raw, not {exif!r}.")


def class_list(classes: Sequence[str] | Path | None) -> tuple[str, ...] | None:
    """Names of classes, given or in a file.

    Raises:
        UsageError: The file cannot be read, there are none, or two are the same.
    """
    if classes is None:
        return None
    names = read_names(classes) if isinstance(classes, Path) else tuple(classes)
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        raise UsageError(f"--classes names {f'{printable(twice)} twice' if twice else 'no class'}; give each once.")
    return names


def _categories(path: Path, raws: Mapping[str, RawSet], classes: tuple[str, ...] | None) -> tuple[Category, ...]:
    """The training part's, which all parts share, matched by name."""
    train = raws["train"]
    listed = train.categories
    if classes is not None:
        by_name = {category.name: category for category in listed or ()}
        known = tuple(by_name.get(name) or Category(id=place, name=name) for place, name in enumerate(classes, 1))
    else:
        known = listed or tuple(Category(id=place, name=name) for place, name in enumerate(sorted(_named(train)), 1))
    names = [category.name for category in known]
    for part, raw in raws.items():
        wanted = [category.name for category in raw.categories] if raw.categories else sorted(_named(raw))
        strange = next((name for name in wanted if name not in names), None)
        if strange is not None:
            place = "--classes" if classes is not None else "train"
            raise lacking(f"The {part} part of {path}", strange, names, place)
    return known


def lacking(part: str, strange: str, names: Sequence[str], whose: str) -> DataRefused:
    """The error for a part with a class that is not among the names."""
    near = nearest(strange, names, most=1)
    told = [printable(name, 40) for name in near or names[:8]]
    hint = f"the nearest is {told[0]}" if near else f"there are {', '.join(told) or 'none'}"
    return DataRefused(
        f"{part} has the class {printable(strange, 40)!r}, which {whose} lacks ({hint}); correct the name, or name all "
        "with --classes."
    )


def _named(raw: RawSet) -> set[str]:
    return {one.category for picture in raw.pictures for one in picture.objects}


def _with_own_ids(categories: tuple[Category, ...], raw: RawSet) -> tuple[Category, ...]:
    """The shared list with the ids of the part's own file, in which detections are to be written for it."""
    own = {category.name: category.id for category in raw.categories or ()}
    free = max([*own.values(), *(category.id for category in categories)], default=0)
    ids = []
    for category in categories:
        number = own.get(category.name, category.id)
        if category.name not in own and number in own.values():
            number = free = free + 1
        ids.append(number)
    return tuple(replace(category, id=number) for category, number in zip(categories, ids, strict=True))


def _part(
    folder: Path, raw: RawSet, categories: tuple[Category, ...], reading: Reading, form: str, name: str
) -> Annotations:
    faults = raw.faults
    finder = Finder(folder, reading.images, raw.beside)
    pictures = tuple(assemble(raw, finder, categories, reading, faults))
    licence = raw.licence if raw.licence != "unknown" else licence_beside(folder)
    return Annotations(
        name=name, form=form, categories=categories, pictures=pictures, problems=faults.problems, licence=licence
    )


def licence_beside(folder: Path) -> str:
    """The first line of a licence file in the folder, ``unknown`` where there is none; one above may be of others."""
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt"):
        if (folder / name).is_file():
            lines = (folder / name).read_text("utf-8", errors="replace")[:10_000].splitlines()
            return printable(next((line.strip("# ").strip() for line in lines if line.strip("# ")), "")) or "unknown"
    return "unknown"


def _refuse_nothing(which: str, part: Annotations, needs: frozenset[str]) -> None:
    if not part.pictures:
        missing = [problem for problem in part.problems if problem.kind == Kind.MISSING]
        if missing:
            raise DataRefused(
                f"{which} has none of its pictures, such as {missing[0].file}: {missing[0].detail}; give --pictures, "
                "their folder."
            )
        raise DataRefused(f"{which} holds no picture that can be used; 'tagwise check' says why.")
    if not any(len(picture.ids) for picture in part.pictures):
        why = "no object that can be used"
        if any(problem.kind == Kind.NO_MASK for problem in part.problems):
            why = "boxes alone and no mask, which this head needs"
        dropped = any(problem.serious for problem in part.problems)
        then = "'tagwise check' lists what was dropped" if dropped else "annotate its pictures, or take the part away"
        raise DataRefused(f"{which} holds {why}; {then}.")
    if "keypoints" not in needs:
        return
    if not any(
        picture.keypoints_NK3 is not None and (picture.keypoints_NK3[..., 2] > 0).any() for picture in part.pictures
    ):
        raise DataRefused(f"{which} holds no keypoints, which this head needs; COCO JSON with keypoints has them.")
    if len({category.keypoints for category in part.categories}) > 1:
        told = ", ".join(f"{printable(one.name, 40)} {len(one.keypoints) or 'none'}" for one in part.categories[:8])
        raise DataRefused(
            f"{which} has categories with keypoints of their own ({told}), and this head tells the same ones of all; "
            "leave only categories with the same keypoints in the file."
        )
