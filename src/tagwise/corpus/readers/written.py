"""What a file of tags beside a picture says: JSON or a text, from strangers.

Texts are tags separated by commas (kohya), by blanks with ``_`` inside the tags (booru), or one to a line.
JSON is as gallery-dl and danbooru write it: a list or a text under ``tags`` and the like, or ``tag_string``.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tagwise.base.errors import DataRefused, UsageError
from tagwise.base.progress import printable
from tagwise.corpus.opt_outs import is_opt_out, is_opt_out_name
from tagwise.corpus.post import Post
from tagwise.corpus.readers.guess import LICENCE_NAMES, LISTS, OWNER_NAMES, WHOLE_CELL
from tagwise.tags.key import split_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tagwise.pixels.place import Place

TEXT_SUFFIXES = (".txt", ".caption")
CLASS_SUFFIX = ".cls"
"""Of WebDataset's file of one class."""
MAX_BYTES = 2**20
"""Size above which a file of tags counts as damaged: room for 100,000 tags."""
SAMPLED = 1000
"""Pictures over which the separator is guessed."""

LINES = "lines"
"""The separator's name where each line is one tag."""
WHOLE = WHOLE_CELL
"""The separator's name where each text is one tag."""
BLANKS = " "
"""The separator of booru tags: white space of any length."""

_MAX_DAMAGED_FRACTION = 0.05
_CLEAR = 9  # a form is clear when it has this many texts for each one that speaks for another
_SIGNS = ",;|"
_HASHES = "#\N{FULLWIDTH NUMBER SIGN}"
_TAG_NAMES = ("tags", "tag", "keywords", "hashtags", "labels")


class Damage(ValueError):  # noqa: N818 - it says what happened
    """Why a file of tags cannot be read, as a clause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What the files beside one picture say."""

    tags: tuple[str, ...] = ()
    """Listed one by one."""
    text: str = ""
    """Tags still to be separated."""
    in_json: bool = False
    """Whether the text stood in JSON: then it is no sentence."""
    is_caption: bool = False
    """Whether there is a caption and no tag."""
    owner: str | None = None
    licence: str | None = None
    opted_out: bool = False
    damage: str = ""
    """Why they cannot be read."""

    def post(self, key: str, picture: Place | bytes | None, source: str, separator: str | None) -> Post:
        """The picture with its tags; ``separator`` is None where no text was met, so that each line is a tag."""
        tags, damage = self.tags, self.damage
        try:
            tags = tags or tuple(split_text(self.text, separator or LINES))
        except DataRefused as error:
            damage = f"its tags are damaged: {printable(str(error), 80)}"
        return Post(
            key=key,
            picture=picture,
            tags=tags,
            owner=self.owner,
            licence=self.licence,
            opted_out=self.opted_out,
            source=source,
            damage=damage,
        )


@dataclass(kw_only=True)
class Tally:
    """How many pictures' files of tags were read, and how many were damaged."""

    read: int = 0
    damaged: int = 0
    first: str = ""
    """The first damaged picture, with the reason."""

    def parse(self, name: str, files: Mapping[str, bytes | Damage]) -> Written:
        """What the files beside the picture ``name`` say; where they are damaged, which is counted, why."""
        self.read += bool(files)
        try:
            return parse(files)
        except Damage as damage:
            self.damaged += 1
            self.first = self.first or f"{printable(name)}: {damage}"
            return Written(damage=f"its tags are damaged: {damage}")

    def refuse(self, name: str) -> None:
        """Raises DataRefused when more than 5 % of the source ``name`` are damaged."""
        if self.damaged > _MAX_DAMAGED_FRACTION * self.read:
            raise DataRefused(
                f"{name}: the tags of {self.damaged:,} of {self.read:,} pictures are damaged "
                f"(first {self.first}); mend or remove the files that hold them."
            )


def parse(files: Mapping[str, bytes | Damage]) -> Written:
    """Reads the files beside one picture: tags from JSON, else from a text, else from a class file.

    Args:
        files: Suffix (``.json``, ``.txt``, ``.caption``, ``.cls``) to content, or to why there is none.

    Raises:
        Damage: A file is no UTF-8, holds a NUL byte, is no JSON, or its tags are no flat list.
    """
    facts = _json(files[".json"]) if ".json" in files else {}
    tags = next((facts[name] for name in _TAG_NAMES if facts.get(name) not in (None, "", [])), None)
    text = "" if "caption" in facts else next((_text(files[suffix]) for suffix in TEXT_SUFFIXES if suffix in files), "")
    listed: tuple[str, ...] = ()
    if isinstance(tags, str):
        text = tags
    elif tags is not None:
        listed = _listed(tags)
    elif isinstance(facts.get("tag_string"), str):
        listed = tuple(split_tags(facts["tag_string"].split()))
    elif not text.strip() and CLASS_SUFFIX in files:
        listed = tuple(split_tags([_text(files[CLASS_SUFFIX])]))
    return Written(
        tags=listed,
        text="" if listed else text,
        in_json=isinstance(tags, str),
        is_caption="caption" in facts and not listed and not text,
        owner=_named(facts, OWNER_NAMES),
        licence=_named(facts, LICENCE_NAMES),
        opted_out=any(is_opt_out_name(name) and is_opt_out(value) for name, value in facts.items()),
    )


def split_text(text: str, separator: str) -> list[str]:
    """The raw tags of one text; a new line always separates, unless the whole text is one tag."""
    if separator == WHOLE:
        return split_tags([text])
    if separator == LISTS:
        return split_tags(text)
    if separator == BLANKS:
        return split_tags(text.split())
    lines = text.split("\n")
    return split_tags(lines if separator == LINES else [piece for line in lines for piece in line.split(separator)])


def find_separator(name: str, sample: list[Written], tally: Tally, said: str | None) -> str | None:
    """What stands between the tags of a source's texts: what the person said, else a guess.

    Args:
        name: The source.
        sample: What its first files say.
        tally: Of the sample.
        said: ``--separator``.

    Returns:
        None where the sample has no text.

    Raises:
        UsageError: It could be two things, or the sample holds no tags.
        DataRefused: The sample holds no tags, because files are damaged.
    """
    if said == "":
        raise UsageError("--separator is empty; give what stands between two tags, or none where a text is one tag.")
    texts = [written.text for written in sample if written.text.strip()]
    if not texts and not any(written.tags for written in sample):
        _refuse_without_tags(name, sample, tally)
    if said or not texts:
        return said
    in_json = any(written.in_json for written in sample)
    if not in_json and all(map(_is_number, " ".join(texts).split())):
        raise UsageError(
            f"The texts beside the pictures of {name} hold numbers only, as those of boxes do; "
            "if these are the tags, say --separator."
        )
    found = _guess(texts, in_json)
    if found is None:
        example = next(text for text in texts if _form_of(text) != WHOLE)
        raise UsageError(
            f"The tags beside the pictures of {name} may be separated in more than one way "
            f"(one reads {printable(example.strip(), 60)!r}); say what separates them: "
            f"--separator ',' ';' '|' ' ' {LINES} or, where a text is one tag, {WHOLE}."
        )
    return found


def _guess(texts: list[str], in_json: bool) -> str | None:
    forms = Counter(form for form in map(_form_of, texts) if form != WHOLE)
    if not forms:
        return WHOLE
    [(best, count)] = forms.most_common(1)
    if count < _CLEAR * (forms.total() - count):
        return None
    if best == BLANKS and not in_json and not _blanks_separate(texts):
        return None
    return best


def _form_of(text: str) -> str:
    """The separator that a text by itself speaks for; ``WHOLE`` for one word, which fits them all."""
    signs = [sign for sign in _SIGNS if sign in text]
    if signs:
        return max(signs, key=text.count)
    if "\n" in text.strip():
        return LINES
    return BLANKS if len(text.split()) > 1 else WHOLE


def _blanks_separate(texts: list[str]) -> bool:
    """Whether blanks stand between tags, and not inside one or in a sentence: tags bear ``_`` inside, or a ``#``."""
    underscored = sum("_" in text for text in texts)
    return 10 * underscored >= len(texts) or all(word[0] in _HASHES for word in " ".join(texts).split())


def _is_number(word: str) -> bool:
    with suppress(ValueError):
        float(word)
        return True
    return False


def _refuse_without_tags(name: str, sample: list[Written], tally: Tally) -> None:
    tally.refuse(name)
    if any(written.is_caption for written in sample):
        raise UsageError(
            f"{name} has captions beside its pictures, as img2dataset writes them, and no tags; "
            "write the tags into each .json, as a list named tags."
        )
    raise UsageError(
        f"The files beside the pictures of {name} hold no tags; write them into each .txt, separated by commas, "
        f"or into each .json, as a list under one of {', '.join(_TAG_NAMES)}."
    )


def _text(content: bytes | Damage) -> str:
    if isinstance(content, Damage):
        raise content
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damage(f"its text is no UTF-8 ({error.reason})") from error
    if "\0" in text:
        raise Damage("its text holds a NUL byte")
    return text


def _json(content: bytes | Damage) -> dict[str, Any]:
    """A bare list counts as the tags."""
    text = _text(content)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damage(f"its JSON is damaged ({printable(str(error), 80)})") from error
    if isinstance(value, list):
        return {"tags": value}
    if not isinstance(value, dict):
        raise Damage("its JSON is no table of names and values")
    return value


def _listed(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, dict):
        raise Damage("its tags are a table, no list")
    try:
        return tuple(split_tags(tags if isinstance(tags, list) else [tags]))
    except DataRefused as error:
        raise Damage(f"its tags are no flat list ({printable(str(error), 80)})") from error


def _named(facts: dict[str, Any], names: tuple[str, ...]) -> str | None:
    value = next((facts[name] for name in names if facts.get(name) is not None), None)
    return str(value).strip() or None if isinstance(value, (str, int)) else None
