"""Pascal VOC's XML: boxes, a file for each picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tagwise.base.errors import DataRefused
from tagwise.localise.faults import Faults, Kind
from tagwise.localise.readers import Box, RawObject, RawPicture, RawSet, Reading, finite, size_of, split


def read(path: Path, reading: Reading) -> dict[str, RawSet]:
    """A file, a folder of files, or VOC's own tree; by part where ``train.txt`` and its like lie beside.

    Corners that coincide span nothing, whether they are counted from 0 or from 1.

    Raises:
        DataRefused: There is no file.
    """
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    files = [path] if path.is_file() else sorted(folder.glob("*.xml"))
    if not files:
        raise DataRefused(f"{path} holds no .xml file; give the folder of VOC's Annotations.")
    faults = Faults()
    read_files = [_read_file(file, number, reading.one_based, faults) for number, file in enumerate(files, 1)]
    pictures = tuple(filter(None, read_files))
    _tell_low_corners(path, pictures, faults)
    whole_set = RawSet(pictures=pictures, faults=faults)
    return {"train": whole_set} if path.is_file() else split(whole_set, folder)


def _tell_low_corners(path: Path, pictures: tuple[RawPicture, ...], faults: Faults) -> None:
    """Corners that have become negative were hardly counted from 1."""
    boxes = [one.box for picture in pictures for one in picture.objects if one.box is not None]
    low = sum(-1 <= min(box[:2]) < 0 for box in boxes)
    if low:
        said = f"{low:,} of {len(boxes):,} boxes; were they counted from 0? Then give --no-one-based"
        faults.add(Kind.ZERO_CORNER, path, detail=said)


def _read_file(path: Path, number: int, one_based: bool, faults: Faults) -> RawPicture | None:
    try:
        root = _parse(path.read_bytes())
    except (OSError, ValueError, ElementTree.ParseError, LookupError) as error:
        faults.add(Kind.MALFORMED, path, detail=f"{error}; its picture is dropped")
        return None
    name = (root.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    objects = [
        _object(element, place, path, one_based, faults) for place, element in enumerate(root.findall("object"), 1)
    ]
    return RawPicture(
        # The stem is the picture's: tools that rename files leave the old name inside.
        name=path.stem + (Path(name).suffix or ".jpg"),
        file=path.name,
        id=number,
        size=size_of(root.findtext("size/width"), root.findtext("size/height")),
        objects=tuple(filter(None, objects)),
        stated=name,
    )


class _Tree(ElementTree.TreeBuilder):
    """Refuses declarations: entities can make a small file fill the memory, and no annotation needs any."""

    def doctype(self, *_: object) -> None:
        """Called before any entity is declared."""
        raise ValueError("it declares a document type, which annotations never need")


def _parse(content: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_Tree()))  # noqa: S314 - see _Tree
    if root.tag != "annotation":
        raise ValueError(f"its root is <{root.tag}>, not <annotation>")
    return root


def _object(element: ElementTree.Element, place: int, path: Path, one_based: bool, faults: Faults) -> RawObject | None:
    name, corners = (element.findtext("name") or "").strip(), element.find("bndbox")
    if not name or corners is None:
        faults.add(Kind.MALFORMED, path, place, "it has no name or no bndbox; dropped")
        return None
    values = [finite(corners.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")]
    x1, y1, x2, y2 = (float("nan") if value is None else value for value in values)
    return RawObject(
        category=name,
        id=place,
        box=_box(x1, y1, x2, y2, one_based),
        difficult=(element.findtext("difficult") or "0").strip() == "1",
    )


def _box(x1: float, y1: float, x2: float, y2: float, one_based: bool) -> Box:
    if not one_based or x2 <= x1 or y2 <= y1:
        return x1, y1, x2, y2
    return x1 - 1, y1 - 1, x2, y2
