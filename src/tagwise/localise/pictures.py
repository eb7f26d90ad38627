"""Where annotated pictures are, what their headers say, and whether annotations see them turned by EXIF."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from tagwise.base.progress import printable
from tagwise.localise.faults import Faults, Kind
from tagwise.pixels.decode import SUFFIXES, check_size, orientation_of, read_formats
from tagwise.pixels.place import PictureRefused
from tagwise.pixels.quiet import quiet

PLACES = (".", "images", "JPEGImages", "../images", "../JPEGImages", "..")
"""Folders where pictures are looked for, from the annotations' own on."""
_EXIF_MARKS = (b"eXIf", b"Raw profile type")


@dataclass(frozen=True)
class Header:
    """What a picture's file says before its pixels."""

    width: int
    height: int
    """Pixels as they are stored, before EXIF turns them."""
    orientation: int
    """EXIF's, 1 where nothing is turned."""
    mode: str

    @property
    def lies(self) -> bool:
        """Whether width and height change places when it is turned."""
        return self.orientation >= 5

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the picture as it is shown."""
        return (self.height, self.width) if self.lies else (self.width, self.height)


class Finder:
    """Finds pictures by the names that annotations have for them.

    Args:
        folder: Of the annotations.
        images: Where the pictures are instead.
        beside: Further folders to look in.
    """

    def __init__(self, folder: Path, images: Path | None, beside: Iterable[Path] = ()) -> None:
        if images is not None:
            places = [images, *(images / place.name for place in beside)]
        else:
            places = [*(folder / place for place in PLACES), *beside]
        self._places = [place for place in dict.fromkeys(places) if place.is_dir()]
        self._homes = [_as_written(place) for place in self._places if images is not None or place != folder / ".."]
        self._by_stem = functools.cache(_by_stem)

    def find(self, name: str) -> Path | None:
        """The picture of this name, if it does not lead out; else of its last part; else the only one with its stem."""
        path = _plain(name)
        for tail in dict.fromkeys((path, Path(path.name))):
            for place in self._places:
                file = self._file(place, tail)
                if file is not None and is_file(file):
                    return file
        for place in self._places:
            same = [file for file in self._by_stem(place).get(path.stem, ()) if file.is_file()]
            if len(same) == 1:
                return same[0]
        return None

    def leads_out(self, name: str) -> bool:
        """Whether a name, as it is written, is of a file that is in none of the folders of pictures.

        Links are followed, for a set's owner made them; a name may be a stranger's.
        """
        return bool(self._places) and self._file(self._places[0], _plain(name)) is None

    def _file(self, place: Path, path: Path) -> Path | None:
        if not path.is_absolute() and ".." not in path.parts:
            return place / path
        file = _as_written(place / path)
        return file if any(map(file.is_relative_to, self._homes)) else None


def _plain(name: str) -> Path:
    return Path(name.replace("\\", "/").replace("\0", ""))


def _as_written(path: Path) -> Path:
    """The whole path without ``..``; no link is followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links


def is_called(path: Path, name: str) -> bool:
    """Whether a path ends as a name does, wherever the name starts or leads up to."""
    parts = [part for part in Path(os.path.normpath(_plain(name))).parts if part not in ("..", "/")]
    return list(path.absolute().parts[-len(parts) :]) == parts


def is_file(path: Path) -> bool:
    """Whether there is such a file; strangers' names may be longer than any file's."""
    try:
        return path.is_file()
    except OSError:
        return False


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    stems: dict[str, list[Path]] = {}
    for file in folder.iterdir():
        if file.suffix.lower() in SUFFIXES:
            stems.setdefault(file.stem, []).append(file)
    return stems


def header_of(path: Path) -> Header:
    """What the header says; no pixel is decoded, but of a PNG with EXIF.

    Raises:
        PictureRefused: No picture, of an unread format, or larger than ``MAX_PIXELS``.
    """
    try:
        with quiet(), Image.open(path, formats=read_formats()) as image:
            check_size(image)
            width, height = image.size
            marked = image.format != "PNG" or any(mark in path.read_bytes() for mark in _EXIF_MARKS)
            orientation = (orientation_of(image) if marked else None) or 1
            if image.format == "TIFF" and orientation >= 5:  # its size is told as it is shown
                width, height = _stored(image, width, height)
            return Header(width, height, orientation if 1 <= orientation <= 8 else 1, image.mode)
    except PictureRefused as refusal:
        raise PictureRefused(refusal.reason, printable(str(path))) from refusal
    except Exception as error:  # Pillow raises anything at strangers' bytes
        raise PictureRefused(f"it is none of the formats read, or damaged ({printable(str(error), 80)})") from error


def _stored(image: Image.Image, width: int, height: int) -> tuple[int, int]:
    tags = image.tag_v2  # type: ignore[attr-defined]
    return int(tags.get(256, width)), int(tags.get(257, height))


def is_turned(header: Header, stated: tuple[int, int] | None, exif: Literal["turned", "raw"] | None) -> bool | None:
    """Whether annotations see the picture as it is shown, not as it is stored; None: nobody can tell.

    Args:
        header: Of the picture.
        stated: Width and height that the annotations state.
        exif: What a person says of pictures whose size does not tell.
    """
    stored, shown = (header.width, header.height), header.shown
    if header.orientation == 1:
        return True
    if stated is not None and stored != shown and stated in (stored, shown):
        return stated == shown
    return None if exif is None else exif == "turned"


def settle_frame(
    header: Header,
    stated: tuple[int, int] | None,
    exif: Literal["turned", "raw"] | None,
    at: tuple[Faults, str, str],
) -> tuple[bool, bool]:
    """Whether a picture can be used with annotations of this size, and whether these see it as it is shown."""
    faults, file, annotation = at
    turned = is_turned(header, stated, exif)
    if turned is None:
        faults.add(
            Kind.UNDECIDED_EXIF,
            file,
            annotation,
            detail=f"orientation {header.orientation}; give --exif turned, or --exif raw",
        )
        return False, True
    frame = header.shown if turned else (header.width, header.height)
    if stated is not None and stated != frame:
        said = f"{stated[0]} x {stated[1]}, and the picture has {frame[0]} x {frame[1]}; dropped"
        faults.add(Kind.OTHER_SIZE, file, annotation, detail=said)
        return False, turned
    if header.orientation > 1:
        words = "as the picture is shown" if turned else "as it is stored, and turned with it"
        faults.add(Kind.TURNED, file, annotation, detail=f"orientation {header.orientation}; annotations are {words}")
    return True, turned


def turned_point(x: float, y: float, header: Header) -> tuple[float, float]:
    """Where a point of the stored picture is when EXIF has turned it."""
    width, height = header.width, header.height
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[header.orientation]
