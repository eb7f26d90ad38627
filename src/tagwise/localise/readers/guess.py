"""What form annotations have, told by the files that are there and never by a mere likeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from tagwise.base.errors import DataRefused, UsageError
from tagwise.localise.readers import Form, coco, instances, labelme, read_json, via, yolo
from tagwise.localise.readers.maps import FOLDERS, PICTURE_FOLDERS
from tagwise.localise.readers.values import SUFFIXES

FORMS: tuple[Form, ...] = get_args(Form)
FILES_TRIED = 20
"""JSON files of a folder that are looked into for its form, the smallest first."""


def guess_form(path: Path) -> Form:
    """The form of what is there.

    Raises:
        UsageError: There is nothing, or it may be of several forms.
        DataRefused: A file is no JSON, or lacks COCO's categories.
    """
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.")
    forms = list(dict.fromkeys(_of_file(path) if path.is_file() else _of_folder(path)))
    bare = next(filter(_lacks_categories, _json_files(path)), None) if forms in ([], ["maps"]) else None
    if bare is not None:
        raise DataRefused(f"{bare} has the lists 'images' and 'annotations', but no 'categories' with ids and names.")
    if len(forms) == 1:
        return forms[0]
    found = f"may be of the forms {' and '.join(forms)}" if forms else "holds no annotations that are known"
    raise UsageError(f"{path} {found}; give --form, one of {', '.join(FORMS)}, or the folder that holds them.")


def objects_form(path: Path) -> Form | None:
    """The form of what tells for certain where objects are; None: there is no such thing, or several.

    Pictures that could be masks are none: class folders hold PNG files too, and some of them ``images`` and ``masks``.

    Raises:
        DataRefused: A file is no JSON.
    """
    forms = _of_file(path) if path.is_file() else _of_files_in(path)
    certain = list(dict.fromkeys(form for form in forms if form != "maps"))
    return certain[0] if len(certain) == 1 and not _has_class_folders(path / "train") else None


def _has_class_folders(part: Path) -> bool:
    """Several folders, and not those in which annotations have their pictures, texts and maps."""
    known = {*PICTURE_FOLDERS, *FOLDERS}
    return part.is_dir() and sum(entry.is_dir() and entry.name not in known for entry in part.iterdir()) > 1


def _of_file(path: Path) -> list[Form]:
    match path.suffix.lower():
        case ".xml":
            return ["voc"]
        case ".yaml" | ".yml":
            return ["yolo"]
        case ".json":
            return _of_json(path)
        case suffix if suffix in SUFFIXES:
            return ["maps"]
    return []


def _of_json(path: Path) -> list[Form]:
    plain = read_json(path)
    tests: dict[Form, Callable[[object], bool]] = {
        "coco": coco.is_coco,
        "labelme": labelme.is_labelme,
        "via": via.is_via,
    }
    return [form for form, fits in tests.items() if fits(plain)]


def _json_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    return sorted(coco.json_files(path), key=lambda file: file.stat().st_size)[:FILES_TRIED]


def _lacks_categories(file: Path) -> bool:
    """Whether it is COCO's but for the classes; captions have none."""
    plain = read_json(file)
    if not isinstance(plain, Mapping) or "images" not in plain or "categories" in plain:
        return False
    entries = plain.get("annotations")
    return isinstance(entries, list) and any(isinstance(one, Mapping) and "category_id" in one for one in entries[:1])


def _of_folder(path: Path) -> list[Form]:
    forms = _of_files_in(path)
    if instances.has_mask_folders(path):
        forms.append("instances")
    if not forms and any(file.suffix.lower() == ".png" for file in path.rglob("*")):
        forms.append("maps")
    return forms


def _of_files_in(path: Path) -> list[Form]:
    forms = list(next((found for file in _json_files(path) if (found := _of_json(file))), []))
    if any(path.glob("*.xml")) or any((path / "Annotations").glob("*.xml")):
        forms.append("voc")
    if yolo.has_labels(path):
        forms.append("yolo")
    return forms
