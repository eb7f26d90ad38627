"""Annotated pictures that a verb is given, in parts, under classes of its own or of a model."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagwise.base import rng
from tagwise.base.errors import UsageError
from tagwise.base.progress import say
from tagwise.base.settings import digest
from tagwise.localise.annotations import Category
from tagwise.localise.opening import lacking
from tagwise.localise.target import LocatedTarget
from tagwise.verbs.annotation_flags import AnnotationFlags, refuse_of_other_form
from tagwise.verbs.planning import refuse_given

if TYPE_CHECKING:
    from numpy.typing import NDArray


def open_located(head: str, path: Path, flags: AnnotationFlags, seed: int) -> LocatedTarget:
    """The parts of annotated pictures; a validation part without a test part is the test part.

    Raises:
        UsageError: There is nothing of that kind, or flags exclude each other.
        DataRefused: Nothing in it can be used.
    """
    parts = dict(open_parts(head, path, flags))
    if flags.test is not None:
        if "test" in parts:
            raise UsageError(f"{path} has a test part of its own; leave --test away.")
        tested = _opened(head, flags.test, flags)  # flags may be of the target alone, which has another form
        train = parts["train"]
        known = getattr(train, "categories", None) or tuple(Category(id=0, name=name) for name in train.classes)
        parts["test"] = under_classes(tested.get("test") or tested["train"], known, flags.test, "the training part")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        say(f"{path} has a validation part and no test part: it is the test part.")
    if flags.holdout is not None:
        if "validation" in parts:
            raise UsageError(f"{path} has a validation part of its own; leave --holdout away.")
        parts["train"], parts["validation"] = _held_out(parts["train"], flags.holdout, seed)
    return LocatedTarget(train=parts["train"], validation=parts.get("validation"), test=parts.get("test"))


def open_parts(head: str, path: Path, flags: AnnotationFlags) -> dict[str, Any]:
    """Objects, or for a segmenter label maps, by the part that they are of.

    Raises:
        UsageError: There is nothing of that kind, or a flag would do nothing.
        DataRefused: Nothing in it can be used.
    """
    from tagwise.localise.readers.guess import guess_form
    from tagwise.training.heads import SEGMENTERS

    if head not in SEGMENTERS:
        refuse_given({"maps": flags.maps}, f"{head} tells where objects are and not the class of each pixel")
    form = flags.form or guess_form(path)
    refuse_of_other_form(form, one_based=flags.one_based, **(_of_maps(flags) if flags.maps is None else {}))
    return _opened(head, path, dataclasses.replace(flags, form=form))


def _needs(head: str) -> frozenset[str]:
    """What of objects is learnt."""
    from tagwise.training.heads import SEGMENTERS, Detector

    if head in SEGMENTERS or Detector(kind=head).has_masks:  # type: ignore[arg-type]
        return frozenset({"boxes", "masks"})
    return frozenset({"boxes", "keypoints"} if head == "keypoint" else {"boxes"})


def _of_maps(flags: AnnotationFlags) -> dict[str, Any]:
    return {name: getattr(flags, name) for name in ("colours", "ignore", "object_value", "zero")}


def _opened(head: str, path: Path, flags: AnnotationFlags) -> dict[str, Any]:
    from tagwise.localise.mapping import maps_of, open_maps
    from tagwise.localise.opening import open_annotations
    from tagwise.localise.readers.guess import guess_form
    from tagwise.training.heads import SEGMENTERS

    values: dict[str, Any] = {
        **_of_maps(flags),
        "classes": flags.classes,
        "exif": flags.exif,
    }
    if head in SEGMENTERS and flags.maps is None and (flags.form or guess_form(path)) == "maps":
        return dict(open_maps(path, images=flags.pictures, **values))
    opened = open_annotations(
        path,
        images=flags.pictures,
        form=flags.form,
        one_based=flags.one_based,
        classes=flags.classes if flags.maps is None else None,
        exif=flags.exif,
        needs=frozenset({"boxes"}) if flags.maps is not None else _needs(head),
    )
    if head not in SEGMENTERS:
        return dict(opened)
    if flags.maps is None:
        return {name: maps_of(part) for name, part in opened.items()}
    return dict(open_maps(flags.maps, listing=opened, **values))


def under_classes(part: Any, known: Sequence[Category], path: Path, whose: str) -> Any:
    """A part under the classes of another or of a model, found by name; ids of categories stay its own.

    Args:
        part: Annotations or label maps.
        known: The classes, in their order.
        path: Of the part, for messages.
        whose: The classes are, for messages.

    Raises:
        DataRefused: The part has a class of another name.
    """
    names, own = [one.name for one in known], _class_names(part)
    strange = next((name for name in own if name not in names), None)
    if strange is not None:
        raise lacking(str(path), strange, names, whose)
    new = np.array([names.index(name) for name in own], np.int64)
    if hasattr(part, "classes"):
        if own == names:
            return part
        table = np.concatenate([new, np.arange(len(own), 256)]).astype(np.uint8)
        mapped = (
            dataclasses.replace(
                picture,
                read_map=functools.partial(_read_under, picture.read_map, table),
                digest=digest([picture.digest, table.tolist()]),
            )
            for picture in part.pictures
        )
        return dataclasses.replace(part, classes=tuple(names), pictures=tuple(mapped))
    ids = {one.name: one.id for one in part.categories}
    free = itertools.count(max([*ids.values(), *(one.id for one in known)]) + 1)
    taken = set(ids.values())
    categories = tuple(
        dataclasses.replace(one, id=ids.get(one.name, one.id if one.id not in taken else next(free))) for one in known
    )
    pictures = tuple(dataclasses.replace(picture, categories_N=new[picture.categories_N]) for picture in part.pictures)
    return dataclasses.replace(part, categories=categories, pictures=pictures)


def _class_names(part: Any) -> list[str]:
    return [one.name for one in part.categories] if hasattr(part, "categories") else list(part.classes)


def _read_under(read_map: Callable[[], NDArray[np.uint8]], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map with the labels that a table has in place of its own; ``IGNORE`` stays."""
    return table[read_map()]


def _held_out(part: Any, holdout: str, seed: int) -> tuple[Any, Any]:
    """A share of the pictures."""
    try:
        share = float(holdout)
    except ValueError:
        share = -1.0
    count = round(share * len(part))
    if not 0 < share < 1 or not 0 < count < len(part):
        raise UsageError(
            f"--holdout is a share of the {len(part):,} pictures such as 0.1, which leaves some on both sides, "
            f"not {holdout}."
        )
    drawn = rng.stream(seed, "validation part").permutation(len(part))
    rows = sorted(drawn[count:].tolist()), sorted(drawn[:count].tolist())
    kept, aside = (
        dataclasses.replace(part, pictures=tuple(part.pictures[row] for row in chosen), problems=()) for chosen in rows
    )
    return kept, aside
