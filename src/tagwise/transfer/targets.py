"""A target: labelled pictures in a training part and a test part that is looked at once a score."""

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
from tagwise.base.progress import printable, progress, say
from tagwise.base.views import View
from tagwise.corpus.pack import pack
from tagwise.corpus.pool import map_in_order
from tagwise.pixels.place import PictureRefused, Place

Classes = NDArray[np.int64]

MAX_UNREADABLE_FRACTION = 0.05
"""Share of a part's pictures that may be unreadable; above it nothing measured on it is trusted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Labelled pictures of one purpose."""

    name: str
    """``train``, ``validation`` or ``test``."""
    places: tuple[Place, ...]
    truth: Classes
    """Class of each picture."""
    drawn_from: int | None = None
    """Pictures of the part that this one was drawn from; None: people have made it."""

    def __len__(self) -> int:
        return len(self.places)

    def chosen(self, mask: NDArray[np.bool_], name: str, drawn_from: int | None = None) -> Part:
        """A part of this part, under a name of its own; what is known of the files' bytes goes with it."""
        rows = np.flatnonzero(mask)
        places = tuple(self.places[row] for row in rows)
        part = Part(name=name, places=places, truth=self.truth[rows], drawn_from=drawn_from)
        if "contents" in vars(self):
            vars(part)["contents"] = tuple(self.contents[row] for row in rows)
        return part

    @property
    def digest(self) -> str:
        """16 hex digits of the pictures' bytes and the classes, wherever they lie."""
        digest = hashlib.sha256()
        for content, kind in zip(self.contents, self.truth.tolist(), strict=True):
            digest.update(f"{content} {kind}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """SHA-256 of each picture's bytes, empty where they cannot be read."""
        contents = []
        with progress(f"reading the files of {self.name}", len(self.places)) as ticker:
            for content in map_in_order(_content, self.places):
                contents.append(content)
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
        test_name: That of the test part, where it came from elsewhere.
        classes: Names, in the order of the class numbers.
        train: What may be learnt from and searched on.
        validation: A part of its own for the search, where the target brings one.
        looks: How often the test part was opened.
        on_look: Called before each opening, so that a look is on record even if the process dies.
    """

    def __init__(
        self,
        name: str,
        classes: tuple[str, ...],
        train: Part,
        *,
        validation: Part | None = None,
        test: Part | None,
        test_name: str = "",
    ) -> None:
        self.name, self.classes, self.train, self.validation = name, classes, train, validation
        self.test_name = test_name
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
        learnt = self.train.chosen(chosen, "train")
        return Target(self.name, self.classes, learnt, test=self._test, test_name=self.test_name)


def pack_part(part: Part, view: View, folder: Path, workers: int | None = None) -> Pictures:
    """Decodes a part once; unreadable pictures are left out, counted and named.

    Raises:
        DataRefused: More than ``MAX_UNREADABLE_FRACTION`` of them, or of all that they were drawn from, are unreadable;
            or none can be read.
    """
    packed = pack(part.places, view, folder, workers=workers)
    for position, reason in list(packed.reasons.items())[:5]:
        say(f"{printable(str(part.places[position]))} is left out: {printable(reason)}")
    unreadable = len(packed.reasons)
    too_many = unreadable > MAX_UNREADABLE_FRACTION * (part.drawn_from or len(part))
    if too_many or unreadable == len(part):
        whole = f" of the {part.drawn_from:,} that it was drawn from" if part.drawn_from else ""
        raise DataRefused(
            f"{unreadable} of {len(part)} pictures of the {part.name} part cannot be read"
            f"{f', above {MAX_UNREADABLE_FRACTION:.0%}{whole}' if too_many else ''}; mend or remove them."
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


def _content(place: Place) -> str:
    try:
        return hashlib.sha256(place.read()).hexdigest()
    except PictureRefused:
        return ""
