"""The writing system of a tag, which is no guess at its language."""

from __future__ import annotations

import functools
import unicodedata

MIXED, DIGITS, EMOJI, SIGNS = "mixed", "digits only", "emoji only", "signs only"
"""What ``writing_system`` says where no single writing system holds."""

_CHINESE, _KANA = "Chinese characters", "Hiragana or Katakana"
_NAMES = {
    "CJK": _CHINESE,
    "IDEOGRAPHIC": _CHINESE,
    "HIRAGANA": _KANA,
    "KATAKANA": _KANA,
    "KATAKANA-HIRAGANA": _KANA,
    "MODIFIER": None,  # such as an apostrophe that counts as a letter: it goes with every writing system
}
_EMOJI_BLOCKS = ((0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF))
"""Blocks of Unicode that hold nearly all emoji; the standard library has no such property."""


def writing_system(tag: str) -> str:
    """The writing system that all letters of a tag belong to: ``Latin``, ``Cyrillic``, ``Hangul``.

    Read off the first word of each letter's Unicode name, after NFKC, so that a full-width Latin
    letter is Latin. Kana beside Chinese characters count as kana: Japanese is written with both.

    Returns:
        A name, or one of ``mixed`` (letters of several), ``digits only`` (numbers, no letters),
        ``emoji only`` (neither, but an emoji) and ``signs only``.
    """
    text = tag if tag.isascii() else unicodedata.normalize("NFKC", tag)
    systems = {system for letter in filter(str.isalpha, text) if (system := _system(letter)) is not None}
    if _KANA in systems:
        systems.discard(_CHINESE)
    if systems:
        return systems.pop() if len(systems) == 1 else MIXED
    if any(unicodedata.category(character)[0] == "N" for character in text):
        return DIGITS
    return EMOJI if any(_is_emoji(character) for character in text) else SIGNS


@functools.cache
def _system(letter: str) -> str | None:
    word = unicodedata.name(letter, "unnamed").partition(" ")[0]
    return _NAMES.get(word, word.capitalize())


def _is_emoji(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _EMOJI_BLOCKS)
