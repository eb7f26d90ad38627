"""Label maps: out of files of values, or drawn from the masks of objects."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.settings import digest
from tagwise.localise import rasters
from tagwise.localise.annotations import IGNORE, AnnotatedPicture, Annotations, LabelMaps, MappedPicture
from tagwise.localise.faults import Faults, Kind, refuse
from tagwise.localise.opening import class_list, licence_beside, refuse_unknown_exif
from tagwise.localise.pairing import Look, Pair, look_at_all, pair_beside, pair_listed
from tagwise.localise.pictures import Header, header_of, settle_frame
from tagwise.localise.readers import PARTS
from tagwise.localise.readers.maps import (
    MOST_CLASSES,
    Legend,
    Meaning,
    colour_legend,
    find_colours,
    map_files,
    value_legend,
)
from tagwise.localise.readers.values import read_values
from tagwise.pixels.decode import UPRIGHT
from tagwise.pixels.place import PictureRefused, Place

MAX_IMPOSTORS_FRACTION = 0.05
"""Share of pixels whose value is no class above which maps are refused: that is no softened border any more."""


def open_maps(
    path: Path,
    *,
    images: Path | None = None,
    listing: Mapping[str, Annotations] | None = None,
    classes: Sequence[str] | Path | None = None,
    colours: Path | None = None,
    ignore: int | None = None,
    object_value: int | None = None,
    zero: Literal["background", "ignore"] = "background",
    exif: Literal["turned", "raw"] | None = None,
    bad: Literal["drop", "stop"] = "drop",
) -> dict[str, LabelMaps]:
    """Finds maps of classes and their pictures, and looks at every value once.

    Args:
        path: A folder of maps, called as the pictures; parts are folders ``training`` and ``validation`` (``train``,
            ``val``, ``test``), or lists ``train.txt`` and its like beside.
        images: Where the pictures are, where not beside or in ``images`` there.
        listing: Pictures by part instead, with the names of the classes that the values are ids of.
        classes: Names of the values 0, 1, 2, ..., or a file of them; with ``zero="ignore"`` of 1, 2, 3, ...
        colours: Of coloured maps: a table of lines ``red green blue name``; by default ``colours.txt`` beside them.
        ignore: The value of pixels that count for nothing; by default 255, where there are other classes than 0.
        object_value: The value of objects in maps of one class; all else is 0.
        zero: What 0 is: the first class, mostly the background, or ignored, and 1 is the first class (ADE20K). Values
            are shifted here and nowhere else.
        exif: What maps show of pictures that EXIF turns, where their size does not tell.
        bad: Whether maps of another size and their like are dropped and listed, or stop the reading.

    Returns:
        The parts by name.

    Raises:
        UsageError: There is no map, or ``zero`` or ``exif`` is no such word.
        DataRefused: What the values mean is not clear, more than ``MAX_IMPOSTORS_FRACTION`` of the pixels are of no
            class, or no map has a picture.
    """
    meaning = Meaning(classes=class_list(classes), ignore=ignore, object_value=object_value, zero=zero)
    parts = read_map_parts(path, meaning, images=images, listing=listing, colours=colours, exif=exif)
    refuse([problem for part in parts.values() for problem in part.problems], stop=bad == "stop")
    for part in parts.values():
        if not part.pictures:
            raise DataRefused(f"No map of {path} has a picture; give --pictures, the folder where they are.")
    return parts


def read_map_parts(
    path: Path,
    meaning: Meaning,
    *,
    images: Path | None = None,
    listing: Mapping[str, Annotations] | None = None,
    colours: Path | None = None,
    exif: Literal["turned", "raw"] | None = None,
) -> dict[str, LabelMaps]:
    """As ``open_maps``, and nothing that can be listed as a problem is refused."""
    refuse_unknown_exif(exif)
    folder, files = map_files(path)
    pairing = pair_listed(files, listing) if listing is not None else pair_beside(folder, files, images)
    if listing is not None and meaning.classes is None:
        ids = {category.id: category.name for part in listing.values() for category in part.categories}
        meaning = Meaning(**{**vars(meaning), "category_ids": ids})
    looks = {part: look_at_all(pairs) for part, pairs in pairing.items()}
    every = [look for part in looks.values() for look in part]
    legend, asks = _legend(path, folder, every, meaning, colours)
    licence = licence_beside(path if path.is_dir() else folder)
    return {
        part: _part(path, _Part(pairing[part], looks[part]), legend, asks, exif, licence)
        for part in PARTS
        if part in pairing
    }


def maps_of(annotations: Annotations) -> LabelMaps:
    """Label maps drawn from the masks of objects: the background first, smaller objects on top.

    Pixels of crowd regions outside all objects are ignored; masks are COCO's, whatever the file had.

    Raises:
        DataRefused: An object has a box alone, or there are too many classes for a map.
    """
    for picture in annotations.pictures:
        bare = [place for place, mask in enumerate(picture.masks) if mask is None and not picture.crowd_N[place]]
        if bare:
            raise DataRefused(
                f"{picture.name}, annotation {picture.ids[bare[0]]}: it has a box alone; maps are drawn from masks."
            )
    if len(annotations.categories) > MOST_CLASSES - 1:
        raise DataRefused(f"{annotations.name} has {len(annotations.categories)} classes; maps hold {MOST_CLASSES}.")
    return LabelMaps(
        name=annotations.name,
        form=annotations.form,
        classes=("background", *(category.name for category in annotations.categories)),
        pictures=tuple(
            MappedPicture(
                place=picture.place,
                name=picture.name,
                width=picture.width,
                height=picture.height,
                read_map=functools.partial(_drawn, picture),
                digest=_digest_of_drawn(picture),
            )
            for picture in annotations.pictures
        ),
        problems=annotations.problems,
        licence=annotations.licence,
    )


def _digest_of_drawn(picture: AnnotatedPicture) -> str:
    summed = hashlib.sha256(repr([mask and mask["counts"] for mask in picture.masks]).encode())
    for values in (picture.boxes_N4, picture.categories_N, picture.crowd_N):
        summed.update(values.tobytes())
    return summed.hexdigest()


def _drawn(picture: AnnotatedPicture) -> NDArray[np.uint8]:
    labels_HW = np.zeros((picture.height, picture.width), np.uint8)
    sizes = [0 if mask is None else rasters.area(mask) for mask in picture.masks]
    largest_first = sorted(range(len(sizes)), key=lambda place: (not picture.crowd_N[place], -sizes[place]))
    for place in largest_first:
        label = IGNORE if picture.crowd_N[place] else picture.categories_N[place] + 1
        mask = picture.masks[place]
        if mask is None:  # of a crowd alone
            left, top, right, bottom = picture.boxes_N4[place]
            labels_HW[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = label
        else:
            labels_HW[rasters.decode(mask)] = label
    return labels_HW


@dataclass(frozen=True)
class _Part:
    pairs: list[Pair]
    looks: list[Look]


def _legend(path: Path, folder: Path, looks: list[Look], meaning: Meaning, colours: Path | None) -> tuple[Legend, bool]:
    """What values mean, and whether 255 leaves it open."""
    values = {value for look in looks for value in look.counts}
    if any(look.mode.startswith("RGB") for look in looks):
        table = colours or find_colours(folder)
        if table is None:
            raise DataRefused(f"The maps of {path} are coloured; give --colours, a table 'red green blue name'.")
        legend = colour_legend(table, meaning.classes)
    else:
        if colours is not None:
            raise UsageError(f"The maps of {path} hold values, not colours; leave --colours away.")
        asks = values <= {0, 255} and 255 in values and meaning.ignore is None and meaning.object_value is None
        if asks:
            return Legend(classes=("background",), labels={0: 0, 255: IGNORE}), True
        legend = value_legend(path, values, meaning)
    strange = sum(count for look in looks for value, count in look.counts.items() if value not in legend.labels)
    pixels = sum(sum(look.counts.values()) for look in looks)
    if strange > MAX_IMPOSTORS_FRACTION * pixels:
        odd = ", ".join(map(str, sorted(values - legend.labels.keys())[:8]))
        raise DataRefused(
            f"{strange / pixels:.1%} of the pixels of {path} have values that are none of the {len(legend.classes)} "
            f"classes, such as {odd}; name all classes, the background too, with --classes."
        )
    return legend, False


def _part(
    path: Path, part: _Part, legend: Legend, asks: bool, exif: Literal["turned", "raw"] | None, licence: str
) -> LabelMaps:
    faults, pictures = Faults(), []
    if asks:
        said = "the maps hold 0 and 255 alone; give --object-value 255, or --ignore 255"
        faults.add(Kind.OBJECT_OR_IGNORED, path.name, detail=said)
    for pair, look in zip(part.pairs, part.looks, strict=True):
        found = _mapped(pair, look, legend, exif, faults)
        if found is not None:
            pictures.append(found)
    return LabelMaps(
        name=path.resolve().name,
        form="maps",
        classes=legend.classes,
        pictures=tuple(pictures),
        problems=faults.problems,
        licence=licence,
    )


def _mapped(
    pair: Pair, look: Look, legend: Legend, exif: Literal["turned", "raw"] | None, faults: Faults
) -> MappedPicture | None:
    if pair.map is None:
        faults.add(Kind.NO_MAP, pair.name, detail="there is none, or several; dropped")
        return None
    if look.refusal:
        faults.add(Kind.UNREADABLE_MAP, pair.map, detail=f"{look.refusal}; dropped")
        return None
    if pair.picture is None:
        faults.add(Kind.MISSING, pair.name, detail="the map has no picture, or several; dropped")
        return None
    try:
        header = header_of(pair.picture)
    except PictureRefused as refusal:
        faults.add(Kind.UNREADABLE, pair.picture, detail=f"{refusal.reason}; dropped with its map")
        return None
    if look.size not in {header.shown, (header.width, header.height)}:
        said = f"{look.size[0]} x {look.size[1]}, and the picture has {header.shown[0]} x {header.shown[1]}; dropped"
        faults.add(Kind.MAP_SIZE, pair.map, detail=said)
        return None
    fits, turned = settle_frame(header, look.size, exif, (faults, pair.map.name, ""))
    if not fits:
        return None
    _tell_values(pair.map, look, legend, faults)
    return MappedPicture(
        place=Place(str(pair.picture)),
        name=pair.picture.name,
        width=header.shown[0],
        height=header.shown[1],
        read_map=functools.partial(_read, pair.map, legend, header, turned),
        digest=digest([look.digest, sorted(legend.labels.items()), 1 if turned else header.orientation]),
    )


def _tell_values(path: Path, look: Look, legend: Legend, faults: Faults) -> None:
    strange = {value: count for value, count in look.counts.items() if value not in legend.labels}
    if strange:
        shown = ", ".join(map(str, sorted(strange)[:6]))
        faults.add(Kind.IMPOSTORS, path, detail=f"{sum(strange.values()):,} pixels of {shown}; they count for nothing")
    ignored = sum(count for value, count in look.counts.items() if legend.labels.get(value) == IGNORE)
    if ignored:
        faults.add(Kind.IGNORED, path, detail=f"{ignored:,} pixels")
    if look.mode == "P":
        faults.add(Kind.PALETTE, path, detail="its indices are the values")
    if look.mode.startswith("I"):
        faults.add(Kind.DEEP, path, detail=f"values up to {max(look.counts)}, read whole")


def _read(path: Path, legend: Legend, header: Header, turned: bool) -> NDArray[np.uint8]:
    labels_HW = legend.read(read_values(path))[0]
    if turned or header.orientation == 1:
        return labels_HW
    return np.array(Image.fromarray(labels_HW).transpose(UPRIGHT[header.orientation]))
