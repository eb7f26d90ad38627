"""Two label spaces side by side."""

from __future__ import annotations

from dataclasses import dataclass

from tagwise.tags.space import Label, LabelSpace


@dataclass(frozen=True, kw_only=True)
class SpaceComparison:
    """Labels of an old and a new space; the same label is one with a key in common."""

    old_labels: int
    new_labels: int
    shared: tuple[tuple[str, int, int], ...]
    """Key, pictures there and here; the largest first."""
    gone: tuple[tuple[str, int], ...]
    """Labels of the old space that the new one lacks, with their pictures there."""
    new: tuple[tuple[str, int], ...]
    """Labels that the old space lacks, with their pictures here."""
    merged: tuple[tuple[str, tuple[str, ...]], ...]
    """Labels that were several in the old space."""
    split: tuple[tuple[str, tuple[str, ...]], ...]
    """Labels of the old space that are several now."""
    moved_ids: int
    """Shared labels whose id differs: a head's rows have to be carried over by key."""


def compare_spaces(old: LabelSpace, new: LabelSpace) -> SpaceComparison:
    """Finds each label of one space in the other."""
    back, forth = _found(new, old), _found(old, new)
    pairs = [(number, ids[0]) for number, ids in enumerate(back) if ids]
    return SpaceComparison(
        old_labels=len(old),
        new_labels=len(new),
        shared=tuple(
            (new.labels[here].key, old.labels[there].pictures, new.labels[here].pictures) for here, there in pairs
        ),
        gone=tuple(_counted(label) for label, ids in zip(old.labels, forth, strict=True) if not ids),
        new=tuple(_counted(label) for label, ids in zip(new.labels, back, strict=True) if not ids),
        merged=_several(new, back, old),
        split=_several(old, forth, new),
        moved_ids=sum(here != there for here, there in pairs),
    )


def _found(space: LabelSpace, other: LabelSpace) -> list[list[int]]:
    """For each label the ids of those of the other space that share a key with it, that of its own key first."""
    id_of = {key: number for number, label in enumerate(other.labels) for key in label.members}
    return [
        list(dict.fromkeys(id_of[key] for key in (label.key, *label.members) if key in id_of)) for label in space.labels
    ]


def _several(space: LabelSpace, found: list[list[int]], other: LabelSpace) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (label.key, tuple(other.labels[number].key for number in ids))
        for label, ids in zip(space.labels, found, strict=True)
        if len(ids) > 1
    )


def _counted(label: Label) -> tuple[str, int]:
    return label.key, label.pictures
