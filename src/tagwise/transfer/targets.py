"""A target: labelled pictures in a training part and a test part that is looked at once a score.

Forms: a folder with ``train`` and ``test`` (each a folder a class, ``validation`` or ``val`` may
stand beside them), a plain folder of class folders, or a table with a column of classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwise.base import rng
from tagwise.base.errors import DataRefused, TagwiseError, UsageError
from tagwise.base.files import sha256_of_file
from tagwise.base.progress import printable, progress, say
from tagwise.base.views import View
from tagwise.corpus.pack import pack
from tagwise.corpus.post import Post
from tagwise.corpus.readers import open_source
from tagwise.corpus.readers.tables import Columns, open_table
from tagwise.pixels.place import Place

Classes = NDArray[np.int64]

MAX_UNREADABLE_FRACTION = 0.05
"""Share of a part's pictures that may be unreadable; above it nothing measured on it is trusted."""


MAX_SHARED_FRACTION = 0.01
"""Share of a part's files that may stand among the training pictures too, byte by byte."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Labelled pictures of one purpose, as files."""

    name: str
    """``train``, ``validation`` or ``test``."""
    paths: tuple[Path, ...]
    truth: Classes
    """Class of each picture."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def digest(self) -> str:
        """16 hex digits of the files' bytes and the classes, wherever the files lie."""
        digest = hashlib.sha256()
        for content, kind in zip(self.contents, self.truth.tolist(), strict=True):
            digest.update(f"{content} {kind}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """SHA-256 of each file, empty where it cannot be read."""
        contents = []
        with progress(f"reading the files of {self.name}", len(self.paths)) as ticker:
            for path in self.paths:
                contents.append(_content(path))
                ticker.advance()
        return tuple(contents)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """A part's readable pictures as one array."""

    images_NHWC: NDArray[np.uint8]
    truth: Classes
    rows: NDArray[np.int64]
    """Position of each in the part."""


class Target:
    """Classes with a training part and, behind a seal, a test part.

    Attributes:
        name: The folder's or table's name.
        classes: Names, in the order of the class numbers.
        train: What may be learnt from and searched on.
        validation: A part of its own for the search, where the target brings one.
        looks: How often the test part was opened.
        on_look: Called before each opening, so that a look is on record even if the process dies.
    """

    def __init__(
        self, name: str, classes: tuple[str, ...], train: Part, *, validation: Part | None = None, test: Part | None
    ) -> None:
        self.name, self.classes, self.train, self.validation = name, classes, train, validation
        self._test = test
        self._searching = False
        self.looks = 0
        self.on_look: Callable[[], None] | None = None

    @property
    def test_pictures(self) -> int:
        """Size of the test part; 0 where there is none."""
        return 0 if self._test is None else len(self._test)

    @property
    def test_digest(self) -> str | None:
        """Digest of the test part's files and classes; nothing is decoded for it, so it is no look."""
        return None if self._test is None else self._test.digest

    @contextmanager
    def searching(self) -> Iterator[None]:
        """While hyper-parameters are searched, opening the test part is an error."""
        self._searching = True
        try:
            yield
        finally:
            self._searching = False

    def open_test(self) -> Part:
        """The test part, for one score of a model whose settings stand.

        Raises:
            TagwiseError: A search for hyper-parameters is under way.
            UsageError: The target has no test part.
        """
        if self._searching:
            raise TagwiseError(f"The test part of {self.name} was opened during a search for hyper-parameters.")
        if self._test is None:
            raise UsageError(
                f"{self.name} has no test part; put pictures in {self.name}/test, or give --test or --test-fraction."
            )
        self.looks += 1
        if self.on_look is not None:
            self.on_look()
        return self._test

    def few_labelled(self, per_class: int, seed: int) -> Target:
        """This target as somebody has it who labelled ``per_class`` pictures of each class and no more.

        The training part is drawn from; a validation part, which would be more labels, is left out;
        the test part stays, so that scores with different numbers of labels stand on the same pictures.

        Args:
            per_class: Labelled pictures of each class.
            seed: Decides which; the same for every model.

        Raises:
            UsageError: ``per_class`` is below two: nothing could be held out to choose settings on.
            DataRefused: A class has fewer pictures.
        """
        if per_class < 2:
            raise UsageError(f"--per-class is 2 or more, not {per_class}: settings are chosen on what is held out.")
        generator = rng.stream(seed, "few labelled", per_class)
        chosen = np.zeros(len(self.train), np.bool_)
        for kind, name in enumerate(self.classes):
            members = generator.permutation(np.flatnonzero(self.train.truth == kind))
            if len(members) < per_class:
                raise DataRefused(
                    f"The class {printable(name)} of {self.name} has {len(members)} training pictures, fewer than "
                    f"--per-class {per_class}; give a smaller number, or more pictures."
                )
            chosen[members[:per_class]] = True
        return Target(self.name, self.classes, _chosen(self.train, chosen, "train"), test=self._test)


def open_target(
    path: Path,
    *,
    test: Path | None = None,
    test_fraction: float | None = None,
    picture_column: str | None = None,
    class_column: str | None = None,
    seed: int = 0,
) -> Target:
    """Reads a target's names and classes; files are compared, no picture is decoded.

    Args:
        path: A folder or a table.
        test: The test part, in the form of a class-folder tree or a table, where ``path`` has none.
        test_fraction: Share of each class to set aside as the test part, where there is none.
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
    named = _read_parts(path, columns)
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
    _refuse_shared(path, parts)
    return Target(
        path.resolve().name, classes, parts["train"], validation=parts.get("validation"), test=parts.get("test")
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
    test = path / "test"
    if _has_parts(path) and not test.is_dir():
        raise UsageError(f"{path} has parts and none is a test; give the folder of the part to evaluate on.")
    parted = test.is_dir() and any(entry.is_dir() for entry in test.iterdir())
    columns = Columns(picture=picture_column, tags=class_column, separator="none")
    listed = _read_pictures(test if parted else path, columns)
    if not listed:
        raise DataRefused(f"{path} holds no labelled picture; give a folder of class folders, or a table.")
    classes = tuple(sorted({name for _, name in listed}))
    return classes, _part("test", listed, classes)


def pack_part(part: Part, view: View, folder: Path, workers: int | None = None) -> Pictures:
    """Decodes a part once; unreadable pictures are left out, counted and named.

    Raises:
        DataRefused: More than ``MAX_UNREADABLE_FRACTION`` of them are unreadable.
    """
    packed = pack([Place(str(path)) for path in part.paths], view, folder, workers=workers)
    for position, reason in list(packed.reasons.items())[:5]:
        say(f"{printable(str(part.paths[position]))} is left out: {printable(reason)}")
    unreadable = len(packed.reasons)
    if unreadable > MAX_UNREADABLE_FRACTION * len(part):
        raise DataRefused(
            f"{unreadable} of {len(part)} pictures of the {part.name} part cannot be read, above "
            f"{MAX_UNREADABLE_FRACTION:.0%}; mend or remove them."
        )
    if unreadable:
        say(f"{unreadable} of {len(part):,} pictures of the {part.name} part are left out.")
    rows = np.flatnonzero(packed.ok)
    images_NHWC = packed.images_NHWC if not unreadable else packed.images_NHWC[rows]
    return Pictures(images_NHWC=images_NHWC, truth=part.truth[rows], rows=rows)


def stratified_folds(truth: Classes, folds: int, seed: int) -> NDArray[np.int64]:
    """Deals the pictures of each class to folds, so that every fold has its share of each class.

    Returns:
        Fold of each picture, int64 [N]; -1, for fitting always, where a class has a single picture.
    """
    generator = rng.stream(seed, "folds", folds)
    fold_of = np.full(len(truth), -1, np.int64)
    for kind in np.unique(truth):
        members = generator.permutation(np.flatnonzero(truth == kind))
        if len(members) > 1:
            fold_of[members] = (np.arange(len(members)) + generator.integers(folds)) % folds
    return fold_of


def _read_parts(path: Path, columns: Columns) -> dict[str, list[tuple[Path, str]]]:
    if not _has_parts(path):
        return {"train": _read_pictures(path, columns)}
    folders = {"train": path / "train", "test": path / "test"}
    folders["validation"] = path / ("val" if (path / "val").is_dir() else "validation")
    return {name: _read_pictures(folder, columns) for name, folder in folders.items() if folder.is_dir()}


def _has_parts(path: Path) -> bool:
    """Whether ``train`` is a part, not the class of vehicles."""
    train = path / "train"
    return train.is_dir() and ((path / "test").is_dir() or any(entry.is_dir() for entry in train.iterdir()))


def _read_pictures(path: Path, columns: Columns) -> list[tuple[Path, str]]:
    """Pictures with their class; those of a folder tree have the first folder's name."""
    if path.is_file():
        if columns.tags is None:
            raise UsageError(f"{path} is a table; give --class-column, the column that holds the classes.")
        posts = [post for post in open_table(path, columns).posts() if post.tags]
        named = [post for post in posts if post.picture != Place(str(path.parent))]
        if len(named) < len(posts):
            say(f"{len(posts) - len(named):,} rows of {printable(path.name)} name no picture and are passed over.")
        # A cell is one class, even where it looks like the glued tags that the reader has split.
        return [(_file(post), "".join(post.tags)) for post in named]
    return [(_file(post), post.tags[0]) for post in open_source(path, Columns()).posts() if post.tags]


def _file(post: Post) -> Path:
    place = post.picture
    if not isinstance(place, Place) or place.length is not None or place.remote:
        raise UsageError(
            f"The picture {printable(post.key)} of {post.source} is no file of its own on this machine; a target is "
            "read from files: unpack it into class folders, or beside a table."
        )
    return Path(place.path)


def _refuse_other_classes(path: Path, classes: tuple[str, ...], named: dict[str, list[tuple[Path, str]]]) -> None:
    for part, listed in named.items():
        there = {name for _, name in listed}
        for what, names in (("which train lacks", there - set(classes)), ("missing from it", set(classes) - there)):
            if names:
                shown = ", ".join(printable(name, 40) for name in sorted(names)[:3])
                raise DataRefused(
                    f"The {part} part of {path} differs from train by {len(names)} classes {what} ({shown}); "
                    "give all parts the same classes."
                )


def _part(name: str, listed: list[tuple[Path, str]], classes: tuple[str, ...]) -> Part:
    number = {kind: index for index, kind in enumerate(classes)}
    truth = np.array([number[kind] for _, kind in listed], np.int64)
    return Part(name=name, paths=tuple(path for path, _ in listed), truth=truth)


def _content(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except (OSError, ValueError):
        return ""


def _refuse_shared(path: Path, parts: dict[str, Part]) -> None:
    """Refuses parts that hold the same files: a picture that was learnt from proves nothing."""
    learnt = set(parts["train"].contents) - {""}
    for name, part in parts.items():
        shared = [place for place, content in zip(part.paths, part.contents, strict=True) if content in learnt]
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
    generator = rng.stream(seed, "test part")
    aside = np.zeros(len(part), np.bool_)
    for kind in np.unique(part.truth):
        members = generator.permutation(np.flatnonzero(part.truth == kind))
        aside[members[: round(len(members) * test_fraction)]] = True
        if not aside[members].any() or aside[members].all():
            pictures = "1 picture" if len(members) == 1 else f"{len(members)} pictures"
            raise DataRefused(
                f"The class of {printable(str(part.paths[members[0]]))} has {pictures} and cannot give "
                f"{test_fraction:.0%} of them to a test part and keep some; give more pictures, another "
                "--test-fraction, or --test."
            )
    return _chosen(part, ~aside, "train"), _chosen(part, aside, "test")


def _chosen(part: Part, mask: NDArray[np.bool_], name: str) -> Part:
    chosen = np.flatnonzero(mask)
    return Part(name=name, paths=tuple(part.paths[row] for row in chosen), truth=part.truth[chosen])
