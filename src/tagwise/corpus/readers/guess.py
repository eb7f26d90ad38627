"""What the first rows of a table say about its columns; what could be two things is refused."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.opt_outs import is_opt_out_name
from tagwise.pixels.decode import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tagwise.corpus.readers.records import Records

Sample = dict[str, list[Any]]
"""The first cells of each column, texts without white space around them."""

WHOLE_CELL = "none"
"""The separator's name where each cell is one tag."""
LISTS = "json"
"""The separator's name where each cell is a list, or the text of a JSON list."""

OWNER_NAMES = ("owner", "user", "user_id")
LICENCE_NAMES = ("licence", "license")
KEY_NAMES = ("key", "__key__", "id", "image_id", "picture_id", "photo_id", "file_name", "filename")

_TAG_NAMES = ("tags", "tag", "hashtags", "hashtag", "keywords", "labels", "label", "tag_string")
_BLANK_SEPARATED = "tag_string"  # booru databases: blanks between tags, "_" inside them
_SEPARATORS = ";|,"
_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 16


class NoPictures(UsageError):  # noqa: N818 - it says what happened
    """No column holds pictures or names files that are there.

    Attributes:
        columns: Those that name pictures which may be elsewhere, by the ends of the names.
    """

    def __init__(self, message: str, columns: tuple[str, ...]) -> None:
        super().__init__(message)
        self.columns = columns


def first_rows(records: Records) -> Sample:
    """The sample of a table.

    Raises:
        DataRefused: The table has no rows.
    """
    sample: Sample = {name: [] for name in records.names}
    rows = list(islice(map(_shortened, records.read(records.names)), _SAMPLE_ROWS))
    if not rows:
        raise DataRefused(f"{records.path} holds no row; give a table with rows.")
    for row in rows:
        for name in row.keys() & sample.keys():
            sample[name].append(row[name])
    return sample


def named(sample: Sample, wanted: tuple[str, ...]) -> str | None:
    """The first column of one of these names, if its cells are texts."""
    return next((name for name in sample if name.casefold() in wanted and _is_text(sample[name])), None)


def naming_column(sample: Sample, taken: Iterable[str | None]) -> str | None:
    """The first column that has no other part and holds another text, which is no number, in every row."""
    given = set(taken)
    return next((name for name, cells in sample.items() if name not in given and _may_name(cells)), None)


def opt_out_column(sample: Sample) -> str | None:
    """The column named opt_out or the like, whatever it holds: a wish to be left alone must not be overlooked."""
    return next(filter(is_opt_out_name, sample), None)


def picture_column(records: Records, sample: Sample) -> str:
    """The column that holds pictures, or names files that are there, or else addresses of pictures.

    Raises:
        UsageError: There is more than one; or none, and two columns have one name.
        NoPictures: There is none.
    """
    path, folder = records.path, records.folder
    found = [name for name, cells in sample.items() if any(_is_picture(folder, cell) for cell in cells)]
    found = found or [name for name, cells in sample.items() if any(map(_is_address, cells))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"In {path} the columns {_listed(found)} all name or hold pictures; choose one with --picture-column."
        )
    refuse_twins(records, records.names)  # of cells under one name the last alone is seen
    by_suffix = tuple(name for name, cells in sample.items() if any(map(_ends_as_picture, cells)))
    raise NoPictures(
        f"No column of {path} holds pictures or names files that are there (looked beside the table for what "
        f"stands in {_listed(sample)}); put the pictures there or correct the paths.",
        by_suffix,
    )


def refuse_twins(records: Records, names: Iterable[str]) -> None:
    """Of two columns of one name nobody can say which is meant.

    Raises:
        UsageError: One of the names stands twice in the table.
    """
    for name in names:
        if records.names.count(name) > 1:
            raise UsageError(f"{records.path} has two columns named {name!r}; rename one of them.")


def tags_column(path: Path, sample: Sample, taken: Iterable[str | None]) -> str:
    """The column of the tags: by its name, else by lists in it, else the only one that is left.

    Raises:
        UsageError: It may be more than one, or none.
    """
    given = set(taken)
    others = [name for name, cells in sample.items() if name not in given and _may_be_tags(cells)]
    by_name = [name for name in others if name.casefold() in _TAG_NAMES]
    by_content = [name for name in others if _holds_lists(sample[name])]
    candidates = by_name or by_content or others
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UsageError(
            f"{path} has no column of tags beside {_listed(name for name in sample if name in given)}; it needs one."
        )
    raise UsageError(f"In {path} the tags may stand in {_listed(candidates)}; choose with --tags-column.")


def separator(path: Path, tags: str, cells: list[Any]) -> str:
    """What stands between the tags of one column, from its filled cells.

    Raises:
        UsageError: It may be more than one thing.
    """
    if any(isinstance(cell, list) for cell in cells):
        return LISTS
    if tags.casefold() == _BLANK_SEPARATED:
        return " "
    filled = [cell for cell in cells if isinstance(cell, str) and cell]
    if filled and all(cell.startswith("[") and cell.endswith("]") for cell in filled):
        if all(map(is_json_list, filled)):
            return LISTS
        raise UsageError(
            f"In {path} the tags of column {tags!r} are lists, but not JSON lists "
            f'(the first is {printable(filled[0], 60)}); write them like ["brown bear", "river"].'
        )
    having = {sign: sum(sign in cell for cell in filled) for sign in _SEPARATORS}
    best = max(having, key=lambda sign: having[sign])
    rivals = [sign for sign, count in having.items() if 2 * count > having[best] and sign != best]
    if having[best] and not rivals and 10 * having[best] >= len(filled):
        return best
    words = [word for cell in filled for word in cell.split()]
    if not having[best] and len(words) == len(filled):
        return WHOLE_CELL
    if not having[best] and all(word.startswith("#") for word in words):
        return " "
    raise UsageError(
        f"In {path} the tags of column {tags!r} may be separated in more than one way "
        f"(the first is {printable(filled[0], 60)!r}); say what separates them: "
        "--separator ';' '|' ',' ' ' or, where a cell is one tag, none; "
        f"where a cell is a caption, give --caption-column {tags!r} and --lexicon WORDS."
    )


def is_json_list(cell: str) -> bool:
    """Whether a text is a JSON list."""
    try:
        return isinstance(json.loads(cell), list)
    except (ValueError, RecursionError):
        return False


def _shortened(cell: Any) -> Any:
    """Without the bytes of pictures, a thousand of which may not fit into memory."""
    if isinstance(cell, dict):
        return {name: _shortened(value) for name, value in cell.items()}
    if isinstance(cell, bytes):
        return cell[:_SAMPLE_BYTES]
    return cell.strip() if isinstance(cell, str) else cell


def _is_picture(folder: Path, cell: Any) -> bool:
    if isinstance(cell, dict):
        return "bytes" in cell or _is_picture(folder, cell.get("path"))
    if isinstance(cell, str):
        return bool(cell) and os.path.isfile(folder / cell)  # noqa: PTH113 - Path.is_file raises on long names
    return isinstance(cell, bytes)


def _is_address(cell: Any) -> bool:
    if isinstance(cell, dict):
        cell = cell.get("path")
    return isinstance(cell, str) and "://" in cell and _ends_as_picture(cell.split("?")[0])


def _ends_as_picture(cell: Any) -> bool:
    return isinstance(cell, str) and PurePosixPath(cell).suffix.lower() in SUFFIXES


def _is_text(cells: list[Any]) -> bool:
    return all(cell is None or isinstance(cell, str) for cell in cells)


def _may_name(cells: list[Any]) -> bool:
    return all(isinstance(cell, str) and cell and not cell.isdecimal() for cell in cells) and len({*cells}) == len(
        cells
    )


def _may_be_tags(cells: list[Any]) -> bool:
    return all(cell is None or isinstance(cell, (str, list)) for cell in cells)


def _holds_lists(cells: list[Any]) -> bool:
    filled = [cell for cell in cells if cell]
    lists = sum(isinstance(cell, list) or any(sign in cell for sign in _SEPARATORS) for cell in filled)
    return 2 * lists > len(filled) > 0


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(printable(name, 40)) for name in names)
