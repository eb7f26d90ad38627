"""Flags that say how annotations are read, and their refusal where they would do nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.verbs.planning import refuse_given

Form = Literal["coco", "voc", "yolo", "labelme", "via", "instances", "maps"]
Exif = Literal["turned", "raw"]
Zero = Literal["background", "ignore"]


@dataclass(frozen=True, kw_only=True)
class AnnotationFlags:
    """How annotations are read; see ``open_annotations`` and ``open_maps``."""

    pictures: Path | None = None
    maps: Path | None = None
    form: Form | None = None
    one_based: bool = True
    exif: Exif | None = None
    classes: Path | None = None
    colours: Path | None = None
    ignore: int | None = None
    object_value: int | None = None
    zero: Zero = "background"
    test: Path | None = None
    holdout: str | None = None

    @classmethod
    def given(
        cls,
        *,
        pictures: Path | str | None,
        maps: Path | str | None,
        classes: Path | str | None,
        colours: Path | str | None = None,
        test: Path | str | None = None,
        **others: Any,
    ) -> Self:
        """As the command line or a caller gives them; ``others`` are the rest of the fields."""
        return cls(
            pictures=_path(pictures),
            maps=_path(maps),
            classes=_path(classes),
            colours=_path(colours),
            test=_path(test),
            **others,
        )

    def refuse(self, why: str, *, but: tuple[str, ...] = ()) -> None:
        """Refuses all that was given.

        Args:
            why: It is idle, as a clause.
            but: Flags that are not.

        Raises:
            UsageError: One was given.
        """
        refuse_given({name: value for name, value in _told(vars(self)).items() if name not in but}, why)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def refuse_of_other_form(form: str, *, one_based: bool, **of_maps: object) -> None:
    """Refuses flags that annotations of this form have no use for.

    Args:
        form: What the annotations are.
        one_based: As in ``AnnotationFlags``.
        of_maps: Flags of maps.

    Raises:
        UsageError: One was given.
    """
    if form != "voc":
        refuse_given(_told({"one_based": one_based}), f"it is of VOC and these annotations are {form}")
    if form != "maps":
        refuse_given(_told(of_maps), f"it is of maps and these annotations are {form}")


def _told(flags: dict[str, Any]) -> dict[str, Any]:
    """By the names on the command line; None, what was not given."""
    defaults = {field.name: field.default for field in dataclasses.fields(AnnotationFlags)}
    names = {"one_based": "no_one_based"}
    return {names.get(name, name): None if value == defaults.get(name) else True for name, value in flags.items()}


def refuse_annotations(target: Path) -> None:
    """Refuses objects' annotations where class folders are meant: their folders would become classes.

    Raises:
        UsageError: They are there.
    """
    from tagwise.localise.readers.guess import objects_form

    try:
        form = objects_form(target)
    except TagwiseError:  # a JSON file that is broken says nothing of the folders beside it
        return
    if form is not None:
        raise UsageError(
            f"{target} holds annotations ({form}), which tell where things are; give --head, such as --head faster, or "
            "a folder with nothing but class folders."
        )
