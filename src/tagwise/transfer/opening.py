"""Targets and labelled pictures out of folders and tables; files are compared, no picture is decoded.

Forms: a folder with ``train`` and ``test`` (each a folder a class, ``validation`` or ``val`` may
stand beside them), a plain folder of class folders, a table with a column of classes, or ImageNet
as it was handed out (``ilsvrc.py``), whose validation pictures are the test part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tagwise.base import rng
from tagwise.base.errors import DataRefused, UsageError, nearest, unknown
from tagwise.base.progress import printable, say
from tagwise.corpus.post import Post
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.tables import Columns, open_table
from tagwise.pixels.place import Place
from tagwise.transfer.ilsvrc import find_list, read_listed, unpacked
from tagwise.transfer.named import NAMES, named_parts
from tagwise.transfer.targets import Part, Target

MAX_SHARED_FRACTION = 0.01
"""Share of a part's files that may stand among the training pictures too, byte by byte."""


def open_target(
    path: Path,
    *,
    test: Path | None = None,
    test_fraction: float | None = None,
    holdout: str | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    seed: int = 0,
) -> Target:
    """Reads a target's names and classes; files are compared, no picture is decoded.

    Args:
        path: A folder, a table, or ``cifar10`` or ``cifar100`` where no folder is called so.
        test: The test part, in the form of a class-folder tree, a table, or a flat folder with ILSVRC's list, where
            ``path`` has none.
        test_fraction: Share of each class to set aside as the test part, where there is none.
        holdout: What of each class to set aside as the validation part, where there is none: ``50/class``, or a share.
        picture_column: Column of the pictures' paths, where a table leaves it open.
        class_column: Column of the classes; needed for a table.
        seed: Decides which pictures are set aside.

    Raises:
        UsageError: No such target, or its form is not clear.
        DataRefused: There are fewer than two classes, the parts' classes differ, or more than
            ``MAX_SHARED_FRACTION`` of a part are copies of training pictures.
    """
    columns = Columns(picture=picture_column, tags=class_column, separator="none")
    if test is not None and test_fraction is not None:
        raise UsageError("--test and --test-fraction exclude each other; give one.")
    has_table = path.is_file() or (test is not None and test.is_file())
    if not has_table and (picture_column is not None or class_column is not None):
        raise UsageError(f"{path} is no table; leave --class-column and --picture-column away.")
    _refuse_nearly_a_name(path)
    named = named_parts(path.name) if _is_name(path) else _read_parts(path, columns)
    if test is not None:
        if "test" in named:
            raise UsageError(f"{path} has a test part of its own; leave --test away.")
        named["test"] = _read_pictures(test, columns)
    classes = tuple(sorted({name for _, name in named["train"]}))
    if len(classes) < 2:
        raise DataRefused(f"{path} has {len(classes)} class; a target needs at least two, a folder or value each.")
    _refuse_other_classes(path, classes, named)
    parts = {name: _part(name, listed, classes) for name, listed in named.items()}
    if test_fraction is not None:
        if "test" in parts:
            raise UsageError(f"{path} has a test part of its own; leave --test-fraction away.")
        parts["train"], parts["test"] = _split(parts["train"], test_fraction, seed)
    if holdout is not None:
        if "validation" in parts:
            raise UsageError(f"{path} has a validation part of its own; leave --holdout away.")
        parts["train"], parts["validation"] = _held_out(parts["train"], holdout, seed)
    _refuse_shared(path, parts)
    return Target(
        path.resolve().name,
        classes,
        parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        test_name="" if test is None else test.resolve().name,
    )


def open_labelled(
    path: Path, *, picture_column: str | None = None, class_column: str | None = None
) -> tuple[tuple[str, ...], Part]:
    """Labelled pictures to evaluate a finished model on: the test part of a target that has parts, else all.

    Returns:
        The classes, sorted, and the part; its truth counts them.

    Raises:
        UsageError: There is no such target, its form is not clear, or it has parts but none for the test.
        DataRefused: It holds no labelled picture.
    """
    _refuse_nearly_a_name(path)
    if _is_name(path):
        listed = named_parts(path.name)["test"]
        classes = tuple(sorted({name for _, name in listed}))
        return classes, _part("test", listed, classes)
    path = unpacked(path)
    test = _part_folders(path).get("test")
    if _has_parts(path) and test is None:
        raise UsageError(f"{path} has parts and none is a test; give the folder of the part to evaluate on.")
    if test is None or (test == path / "test" and not _has_folders(test)):  # it may be the class of tests
        test = path
    listed = _read_pictures(test, Columns(picture=picture_column, tags=class_column, separator="none"))
    if not listed:
        raise DataRefused(f"{path} holds no labelled picture; give a folder of class folders, or a table.")
    classes = tuple(sorted({name for _, name in listed}))
    return classes, _part("test", listed, classes)


def class_names(path: Path) -> tuple[str, ...]:
    """The names of a target's classes, sorted: of a folder, or of ``cifar10`` or ``cifar100``.

    Raises:
        UsageError: There is no such target, or its form is not clear.
    """
    named = named_parts(path.name) if _is_name(path) else _read_parts(path, Columns())
    return tuple(sorted({name for listed in named.values() for _, name in listed}))


def _is_name(path: Path) -> bool:
    """Whether it is the name of a target, and no folder is called so."""
    return str(path) in NAMES and not path.exists()


def _refuse_nearly_a_name(path: Path) -> None:
    if not path.exists() and str(path) not in NAMES and nearest(str(path), NAMES):
        raise unknown("folder, table or name", str(path), NAMES)


def _read_parts(path: Path, columns: Columns) -> dict[str, list[tuple[Place, str]]]:
    path = unpacked(path)
    if not _has_parts(path):
        return {"train": _read_pictures(path, columns)}
    return {name: _read_pictures(folder, columns) for name, folder in _part_folders(path).items()}


def _part_folders(path: Path) -> dict[str, Path]:
    """The folders that are there, by the part that each would be."""
    folders = {"train": path / "train", "test": path / "test"}
    folders["validation"] = path / ("val" if (path / "val").is_dir() else "validation")
    # ILSVRC's test pictures have no public classes: everybody is scored on its validation pictures.
    if find_list(folders["validation"]) is not None and not _has_folders(folders["test"]):
        folders["test"] = folders.pop("validation")
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def _has_parts(path: Path) -> bool:
    """Whether ``train`` is a part, not the class of vehicles."""
    return (path / "train").is_dir() and ((path / "test").is_dir() or _has_folders(path / "train"))


def _has_folders(path: Path) -> bool:
    return path.is_dir() and any(entry.is_dir() for entry in path.iterdir())


def _read_pictures(path: Path, columns: Columns) -> list[tuple[Place, str]]:
    """Pictures with their class; those of a folder tree have the first folder's name."""
    if path.is_file():
        if columns.tags is None:
            raise UsageError(f"{path} is a table; give --class-column, the column that holds the classes.")
        posts = [post for post in open_table(path, columns).posts() if post.tags]
        named = [post for post in posts if post.picture != Place(str(path.parent))]
        if len(named) < len(posts):
            say(f"{len(posts) - len(named):,} rows of {printable(path.name)} name no picture and are passed over.")
        # A cell is one class, even where it looks like the glued tags that the reader has split.
        return [(_place(post), "".join(post.tags)) for post in named]
    if (listing := find_list(path)) is not None:
        return read_listed(path, listing)
    return [(_place(post), post.tags[0]) for post in open_source(path, Columns()).posts() if post.tags]


def _place(post: Post) -> Place:
    if not isinstance(post.picture, Place) or post.picture.remote:
        raise UsageError(
            f"The picture {printable(post.key)} of {post.source} is no file of its own on this machine; a target is "
            "read from files: unpack it into class folders, or beside a table."
        )
    return post.picture


def _refuse_other_classes(path: Path, classes: tuple[str, ...], named: dict[str, list[tuple[Place, str]]]) -> None:
    for part, listed in named.items():
        there = {name for _, name in listed}
        for what, names in (("which train lacks", there - set(classes)), ("missing from it", set(classes) - there)):
            if names:
                shown = ", ".join(printable(name, 40) for name in sorted(names)[:3])
                raise DataRefused(
                    f"The {part} part of {path} differs from train by {len(names)} classes {what} ({shown}); "
                    "give all parts the same classes."
                )


def _part(name: str, listed: list[tuple[Place, str]], classes: tuple[str, ...]) -> Part:
    number = {kind: index for index, kind in enumerate(classes)}
    truth = np.array([number[kind] for _, kind in listed], np.int64)
    return Part(name=name, places=tuple(place for place, _ in listed), truth=truth)


def _refuse_shared(path: Path, parts: dict[str, Part]) -> None:
    """Refuses parts that hold the same files: a picture that was learnt from proves nothing."""
    learnt = set(parts["train"].contents) - {""}
    for name, part in parts.items():
        shared = [place for place, content in zip(part.places, part.contents, strict=True) if content in learnt]
        if name == "train" or not shared:
            continue
        told = (
            f"{len(shared)} of {len(part):,} {name} pictures of {path} are copies of training pictures, such as "
            f"{printable(str(shared[0]))}"
        )
        if len(shared) > MAX_SHARED_FRACTION * len(part):
            raise DataRefused(f"{told}; remove them from one of the two.")
        say(f"{told}; they stay, below {MAX_SHARED_FRACTION:.0%}.")


def _split(part: Part, test_fraction: float, seed: int) -> tuple[Part, Part]:
    if not 0 < test_fraction < 1:
        raise UsageError(f"--test-fraction is a share between 0 and 1, not {test_fraction}.")
    wanted = _Aside("test", f"{test_fraction:.0%} of them", "another --test-fraction, or --test", share=test_fraction)
    return _set_aside(part, wanted, rng.stream(seed, "test part"))


def _held_out(part: Part, holdout: str, seed: int) -> tuple[Part, Part]:
    """``50/class``, or a share of each class."""
    count = re.fullmatch(r"([1-9]\d*)/class", holdout)
    try:
        share = 0.0 if count else float(holdout)
    except ValueError:
        share = -1.0
    if not count and not 0 < share < 1:
        raise UsageError(
            f"--holdout is so many of each class, such as 50/class, or a share such as 0.1, not {holdout}."
        )
    words = f"{count[1]} of them" if count else f"{share:.0%} of them"
    wanted = _Aside("validation", words, "another --holdout", share=share, count=int(count[1]) if count else None)
    return _set_aside(part, wanted, rng.stream(seed, "validation part"))


@dataclass(frozen=True)
class _Aside:
    """What is set aside of each class, and how messages say it."""

    name: str
    words: str
    remedy: str
    share: float
    count: int | None = None


def _set_aside(part: Part, wanted: _Aside, generator: np.random.Generator) -> tuple[Part, Part]:
    """Draws contents, not files: copies of a picture, of whatever class, go where it goes."""
    contents = np.array([content or f"row {row}" for row, content in enumerate(part.contents)])
    members_of = {kind: generator.permutation(np.flatnonzero(part.truth == kind)) for kind in np.unique(part.truth)}
    drawn: list[str] = []
    for members in members_of.values():
        distinct = list(dict.fromkeys(contents[members].tolist()))
        drawn += distinct[: round(len(distinct) * wanted.share) if wanted.count is None else wanted.count]
    aside = np.isin(contents, drawn)
    for members in members_of.values():
        if not aside[members].any() or aside[members].all():
            pictures = "1 picture" if len(members) == 1 else f"{len(members)} pictures"
            different = len(set(contents[members].tolist()))
            copies = f", {different} where copies count once," if different < len(members) else ""
            raise DataRefused(
                f"The class of {printable(str(part.places[members[0]]))} has {pictures}{copies} and cannot give "
                f"{wanted.words} to a {wanted.name} part and keep some; give more pictures, or {wanted.remedy}."
            )
    whole = part.drawn_from or len(part)
    return part.chosen(~aside, "train", whole), part.chosen(aside, wanted.name, whole)
