"""Lexica out of files: WordNet's own, WN-LMF, or a user's table of synsets."""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from tagwise.base.errors import UsageError
from tagwise.base.progress import printable
from tagwise.tags.key import canonical_key
from tagwise.tags.lexicon import Lexicon, Synset

_DATA, _PLURALS = "data.noun", "noun.exc"
_VERSION = re.compile(rb"WordNet (\d[\d.]*) Copyright")
_PARENTS = ("@", "@i", "hypernym", "instance_hypernym")
"""What WordNet's files and WN-LMF call the way to a parent: a kind of it, an instance of it."""
_NOUN = re.compile(r"(?:.*-)?(\d{8})-n")
_HEADERS = {"synset": "synset", "wnid": "synset", "names": "names", "lemmas": "names", "parents": "parents"}


def open_lexicon(path: Path) -> Lexicon:
    """Reads the nouns of a lexicon.

    Args:
        path: A folder with WordNet's ``data.noun`` (and ``noun.exc``, irregular plurals) or nltk's
            ``wordnet.zip``; WN-LMF (``.xml``, ``.xml.gz``); or a TSV or CSV table (``.gz`` too) of
            synset, names with commas between them, and parents with spaces or commas between them.

    Raises:
        UsageError: It cannot be read, is none of these, or contradicts itself.
    """
    try:
        if path.is_dir():
            return _wordnet(path, lambda name: (path / name).read_bytes() if (path / name).is_file() else None)
        if path.name.endswith((".xml", ".xml.gz")):
            return _lmf(path)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return _wordnet(path, lambda name: _member(archive, name))
        return _table(path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UsageError(f"The lexicon {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The lexicon {path} is not UTF-8 ({error.reason}); save it as UTF-8.") from error


def table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines and cells of a UTF-8 table without its empty lines, with tabs or commas between the cells.

    Raises:
        UsageError: Its quotes are not in order.
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as handle:
        tabs = "\t" in handle.readline()
        handle.seek(0)
        reader = (
            csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
            if tabs
            else csv.reader(handle, strict=True)
        )
        try:
            yield from ((reader.line_num, row) for row in reader if any(row))
        except csv.Error as error:
            raise UsageError(f"{path}, line {reader.line_num}: {error}; write it as a CSV or TSV table.") from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    found = [member for member in archive.namelist() if member.rpartition("/")[2] == name]
    return archive.read(found[0]) if found else None


def _wordnet(path: Path, read: Callable[[str], bytes | None]) -> Lexicon:
    data = read(_DATA)
    if data is None:
        raise UsageError(
            f"{path} holds no {_DATA}; give the folder of WordNet's files, nltk's wordnet.zip, WN-LMF, or a table."
        )
    names: dict[Synset, tuple[str, ...]] = {}
    parents: dict[Synset, tuple[Synset, ...]] = {}
    offset = 0
    for line in data.splitlines(keepends=True):
        if not line.startswith(b" "):  # the licence
            synset, names_of_it, parents_of_it = _data_line(path, line, offset)
            names[synset], parents[synset] = names_of_it, parents_of_it
        offset += len(line)
    last = max((parent for above in parents.values() for parent in above), default="")
    if last >= f"n{len(data):08d}":
        raise UsageError(
            f"{path}: {_DATA} has {len(data):,} bytes and names the synset {last}, which stands behind them; the file "
            "is cut off, so fetch it again."
        )
    version = _VERSION.search(data)
    return Lexicon(
        version=f"WordNet {version[1].decode()}" if version else path.name,
        names=names,
        parents=parents,
        exceptions=_exceptions(read(_PLURALS) or b""),
    )


def _data_line(path: Path, line: bytes, offset: int) -> tuple[Synset, tuple[str, ...], tuple[Synset, ...]]:
    """A synset of ``data.noun``, as wndb(5WN) has it."""
    fields = line.partition(b"|")[0].decode().split()
    try:
        told, words = int(fields[0]), int(fields[3], 16)
        pointers, count = fields[5 + 2 * words :], int(fields[4 + 2 * words])
    except (IndexError, ValueError):
        told, words, pointers, count = -1, 0, [], 0
    if told != offset or len(pointers) != 4 * count:
        raise UsageError(
            f"{path}: at byte {offset:,} of {_DATA} stands {printable(line.decode(errors='replace').strip(), 40)!r}, "
            "no synset of that number; the file is no longer as it was published, so fetch it again."
        )
    pairs = zip(pointers[0::4], pointers[1::4], pointers[2::4], strict=True)
    parents = dict.fromkeys(f"n{target}" for symbol, target, kind in pairs if symbol in _PARENTS and kind == "n")
    names = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * words : 2])
    return f"n{fields[0]}", names, tuple(parents)


def _exceptions(text: bytes) -> dict[str, tuple[str, ...]]:
    lines = [[canonical_key(word) for word in line.split()] for line in text.decode().splitlines()]
    return {plural: tuple(singulars) for plural, *singulars in filter(None, lines)}


class _Lmf:
    """What the elements of WN-LMF say of nouns, gathered while they are read."""

    def __init__(self) -> None:
        self.versions: list[str] = []
        self.names: dict[Synset, list[str]] = {}
        self.parents: dict[Synset, list[Synset]] = {}
        self.exceptions: dict[str, list[str]] = {}
        self._lemma = ""
        self._synset = ""

    def start(self, element: str, said: dict[str, str]) -> None:
        """An element begins."""
        noun = said.get("partOfSpeech") == "n"
        if element == "Lexicon":
            self.versions.append(f"{said.get('label') or said['id']} {said['version']}")
        elif element == "Lemma":
            self._lemma = said["writtenForm"] if noun else ""
        elif element == "Form" and self._lemma:
            self.exceptions.setdefault(canonical_key(said["writtenForm"]), []).append(canonical_key(self._lemma))
        elif element == "Sense" and self._lemma:
            self.names.setdefault(_noun(said["synset"]), []).append(self._lemma)
        elif element == "Synset":
            self._synset = _noun(said["id"]) if noun else ""
            if noun:
                self.parents.setdefault(self._synset, [])
        elif element == "SynsetRelation" and self._synset and said["relType"] in _PARENTS:
            self.parents[self._synset].append(_noun(said["target"]))


def _noun(identifier: str) -> Synset:
    numbered = _NOUN.fullmatch(identifier)
    return f"n{numbered[1]}" if numbered else identifier


def _lmf(path: Path) -> Lexicon:
    found = _Lmf()
    parser = expat.ParserCreate()
    parser.StartElementHandler = found.start
    parser.EntityDeclHandler = _refuse_entities  # WN-LMF has none; a few nested ones would fill the memory
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            parser.ParseFile(handle)
    except (expat.ExpatError, KeyError, ValueError) as error:
        raise UsageError(
            f"The lexicon {path}, line {parser.CurrentLineNumber}: {error}; give a file in WN-LMF."
        ) from error
    undescribed = sorted(found.names.keys() - found.parents.keys())
    if undescribed or not found.names:
        what = f"names the synset {undescribed[0]} and does not hold it" if undescribed else "holds no noun"
        raise UsageError(f"The lexicon {path} {what}; give a whole file in WN-LMF.")
    return Lexicon(
        version=", ".join(found.versions),
        names={synset: tuple(dict.fromkeys(names)) for synset, names in found.names.items()},
        parents={synset: tuple(dict.fromkeys(parents)) for synset, parents in found.parents.items()},
        exceptions={plural: tuple(keys) for plural, keys in found.exceptions.items() if plural not in keys},
    )


def _refuse_entities(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {printable(name, 40)}, which no lexicon needs")


def _table(path: Path) -> Lexicon:
    columns = ["synset", "names", "parents"]
    names: dict[Synset, tuple[str, ...]] = {}
    parents: dict[Synset, tuple[Synset, ...]] = {}
    for number, row in table_rows(path):
        header = [_HEADERS.get(cell.strip().casefold(), "") for cell in row]
        if not names and {"synset", "names"} <= set(header):
            columns = header
            continue
        cells = dict(zip(columns, map(str.strip, row), strict=False))
        synset, said = cells.get("synset"), tuple(filter(None, map(str.strip, cells.get("names", "").split(","))))
        if not synset or not said or synset in names:
            wrong = f"{printable(synset, 40)!r} stands above too" if synset in names else "no synset and its names"
            raise UsageError(
                f"The lexicon {path}, line {number}: {wrong}; write a synset, a tab, and its names with commas between "
                "them, each synset once."
            )
        names[synset] = said
        parents[synset] = tuple(dict.fromkeys(cells.get("parents", "").replace(",", " ").split()))
    if not names:
        raise UsageError(f"The lexicon {path} is empty; write a synset, a tab and its names on each line.")
    return Lexicon(version=path.name, names=names, parents=parents)
