"""What ``labels`` reads and writes: the classes of a target, a label space, every tag's fate."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError
from tagwise.base.files import FolderLock, refuse_no_file
from tagwise.base.progress import say

if TYPE_CHECKING:
    from tagwise.pages.page import Report
    from tagwise.tags.fates import Fates
    from tagwise.tags.space import LabelSpace

_BEGINNING = 100_000
"""Bytes in which a file has to say that it is ours; a page begins with its style sheet."""
_PATIENCE_S = 300
"""Others write into the folder for seconds, and all the counting would be lost on them."""
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


def write_space(space: LabelSpace, fates: Fates, report: Report, out: Path, overwrite: bool) -> tuple[Path, Path]:
    """Writes a label space with the fates and the page beside it, all or none of two processes'.

    Returns:
        The files of the fates and of the page.

    Raises:
        UsageError: There is something else, or another process is writing there.
    """
    from tagwise.pages import page

    fates_file, page_file = _beside(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with FolderLock(out.parent, patience_s=_PATIENCE_S):
        there, made = refuse_out(out, overwrite), space.to_json()
        if there not in (None, made) and not overwrite:
            raise UsageError(f"{out} holds another label space; give --overwrite or another -o.")
        _save_fates(fates, fates_file)
        page.write(report, page_file)
        if there == made:
            say(f"{out} is already this very label space; only its fates and its page are written anew.")
        else:
            space.save(out)  # last: whoever finds it finds what is beside it
    return fates_file, page_file


def refuse_out(out: Path, overwrite: bool) -> str | None:
    """Refuses what is in the way of a label space and of the files beside it, before the work for them is done.

    Returns:
        The label space that is there, empty if it was edited.

    Raises:
        UsageError: There is something else.
    """
    from tagwise.verbs.label_page import KICKER

    refuse_no_file(out)
    fates_file, page_file = _beside(out)
    if out == page_file:
        raise UsageError(f"{out} is where the page goes; give -o a file such as {out.with_suffix('.json')}.")
    _refuse_foreign(fates_file, "the fates of the tags go", ",".join(_FATE_COLUMNS))
    _refuse_foreign(page_file, "the page goes", f">{KICKER}<")
    return _read_old(out, overwrite)


def _beside(out: Path) -> tuple[Path, Path]:
    """``a.json`` has the page ``a.html``; other endings stay in its name, so that a.x and a.y do not share it."""
    shortened = out.suffix in (".json", ".html")
    page_file = out.with_suffix(".html") if shortened else out.with_name(f"{out.name}.html")
    return out.with_name(f"{out.name}.fates.csv"), page_file


def _read_old(out: Path, overwrite: bool) -> str | None:
    """Any file but a label space is refused: --overwrite replaces those alone, even if they were edited."""
    from tagwise.tags.space import Edited, LabelSpace

    if not out.is_file():
        return None
    try:
        return LabelSpace.load(out).to_json()
    except Edited:
        if not overwrite:
            raise
        return ""


def _refuse_foreign(path: Path, what: str, mark: str) -> None:
    """What does not begin as our files do is somebody else's, and stays."""
    if not path.exists():
        return
    if path.is_file():  # a pipe would be waited for
        with suppress(OSError), path.open("rb") as handle:
            if mark.encode() in handle.read(_BEGINNING):
                return
    raise UsageError(f"{path}, where {what}, holds something else; give another -o.")


def _save_fates(fates: Fates, path: Path) -> None:
    import csv
    import io

    from tagwise.base.files import harmless, open_atomically

    columns = (fates.raw, fates.keys, fates.fates, fates.targets, fates.label_ids, fates.occurrences)
    with open_atomically(path) as handle:
        text = io.TextIOWrapper(handle, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_FATE_COLUMNS)
        for raw, key, fate, target, label, times in zip(*columns, strict=True):
            writer.writerow((harmless(raw), key, fate, target, "" if label < 0 else label, times))
        text.detach()
