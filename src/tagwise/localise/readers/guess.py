"""What form annotations have, told by the files that are there and never by a mere likeness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from tagwise.base.errors import UsageError
from tagwise.localise.readers import Form, coco, instances, labelme, read_json, via, yolo
from tagwise.localise.readers.values import SUFFIXES

FORMS: tuple[Form, ...] = get_args(Form)
FILES_TRIED = 20
"""JSON files of a folder that are looked into for its form, the smallest first."""


def guess_form(path: Path) -> Form:
    """The form of what is there.

    Raises:
        UsageError: There is nothing, or it may be of several forms.
        DataRefused: A file is no JSON.
    """
    if not path.exists():
        raise UsageError(f"There is no file or folder {path}.")
    forms = list(dict.fromkeys(_of_file(path) if path.is_file() else _of_folder(path)))
    if len(forms) == 1:
        return forms[0]
    found = f"may be of the forms {' and '.join(forms)}" if forms else "holds no annotations that are known"
    raise UsageError(f"{path} {found}; give --form, one of {', '.join(FORMS)}, or the folder that holds them.")


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


def _of_folder(path: Path) -> list[Form]:
    forms: list[Form] = []
    smallest = sorted(coco.json_files(path), key=lambda file: file.stat().st_size)[:FILES_TRIED]
    forms += next((found for file in smallest if (found := _of_json(file))), [])
    if any(path.glob("*.xml")) or any((path / "Annotations").glob("*.xml")):
        forms.append("voc")
    if yolo.has_labels(path):
        forms.append("yolo")
    if instances.has_mask_folders(path):
        forms.append("instances")
    if not forms and any(file.suffix.lower() == ".png" for file in path.rglob("*")):
        forms.append("maps")
    return forms
