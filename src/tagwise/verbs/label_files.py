"""What ``labels`` reads and writes: the classes of a target, a label space, every tag's fate."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.base.files import FolderLock
from tagwise.base.progress import say

if TYPE_CHECKING:
    from tagwise.tags.fates import Fates
    from tagwise.tags.space import LabelSpace

_FATE_COLUMNS = ("raw", "key", "fate", "counted_as", "label", "times")


def read_target_classes(path: Path) -> list[str]:
    """The class names of a target: of a list or table, or of what ``compare`` and ``evaluate`` take.

    Raises:
        UsageError: There is no such target, or its form is not clear.
    """
    from tagwise.tags.alignment import LIST_SUFFIXES, read_class_list

    if path.name.endswith(LIST_SUFFIXES):
        return read_class_list(path)
    from tagwise.transfer.opening import class_names

    return list(class_names(path))


def write_space(space: LabelSpace, fates: Fates, out: Path, overwrite: bool) -> Path:
    """Writes a label space and the fates beside it, both or none of two processes'.

    Returns:
        The file of the fates.

    Raises:
        UsageError: There is something else, or another process is writing there.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give -o a file such as {out / 'space.json'}.")
    fates_file = out.with_name(f"{out.name}.fates.csv")
    out.parent.mkdir(parents=True, exist_ok=True)
    with FolderLock(out.parent):
        _refuse_foreign(fates_file)
        _save_space(space, out, overwrite)
        _save_fates(fates, fates_file)
    return fates_file


def _save_space(space: LabelSpace, out: Path, overwrite: bool) -> None:
    there = _read_old(out, overwrite) if out.is_file() else None
    if there == space.to_json():
        say(f"{out} is already this very label space; nothing to do.")
        return
    if there is not None and not overwrite:
        raise UsageError(f"{out} holds another label space; give --overwrite or another -o.")
    space.save(out)


def _read_old(out: Path, overwrite: bool) -> str:
    """Any file but a label space is refused: --overwrite replaces those alone, even if they were edited."""
    from tagwise.tags.space import Edited, LabelSpace

    try:
        return LabelSpace.load(out).to_json()
    except Edited:
        if not overwrite:
            raise
        return ""


def _refuse_foreign(fates_file: Path) -> None:
    """Whatever is no table of fates is somebody else's, and stays."""
    if not fates_file.exists():
        return
    with suppress(OSError), fates_file.open("rb") as handle:
        if handle.readline(1000).decode("utf-8", "replace").strip() == ",".join(_FATE_COLUMNS):
            return
    raise UsageError(f"{fates_file}, where the fates of the tags go, holds something else; give another -o.")


def _save_fates(fates: Fates, path: Path) -> None:
    import csv
    import io

    from tagwise.base.files import harmless, write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FATE_COLUMNS)
    columns = (fates.raw, fates.keys, fates.fates, fates.targets, fates.label_ids.tolist(), fates.occurrences.tolist())
    for raw, key, fate, target, label, times in zip(*columns, strict=True):
        writer.writerow((harmless(raw), key, fate, target, "" if label < 0 else label, times))
    write_text(path, text.getvalue())
