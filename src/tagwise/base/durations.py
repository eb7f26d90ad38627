"""How long: a count of pictures seen, written the way people write it."""

from __future__ import annotations

import re

from tagwise.base.errors import UsageError

_COUNT = re.compile(r"([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kmb]?)", re.IGNORECASE)
_EPOCHS = re.compile(r"([0-9]*\.?[0-9]+)\s*epochs?", re.IGNORECASE)
LONGEST = 1e15
"""Pictures seen; far beyond any machine, and exact in a float."""
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def parse_images(text: str, epoch_images: int) -> int:
    """Pictures seen: ``150000``, ``150k``, ``3.5e9``, or ``20 epochs`` of ``epoch_images``.

    Raises:
        UsageError: The text is no such length, or is below one picture.
    """
    cleaned = text.strip().replace("_", "").replace(",", "")
    if match := _EPOCHS.fullmatch(cleaned):
        images = _whole(float(match[1]) * epoch_images, text)
    elif match := _COUNT.fullmatch(cleaned):
        images = _whole(float(match[1]) * _FACTORS[match[2].lower()], text)
    else:
        raise UsageError(f"{text!r} is no number of pictures; write 150000, 150k, 3.5e9 or '20 epochs'.")
    if images < 1:
        raise UsageError(f"{text!r} is less than one picture.")
    return images


def _whole(images: float, text: str) -> int:
    if not images <= LONGEST:
        raise UsageError(f"{text!r} is more than the longest training, {LONGEST:.0e} pictures.")
    return round(images)


def clock(seconds: float) -> str:
    """Seconds as people read them: ``9 s``, ``3 min 05 s``, ``2 h 10 min``, ``22.0 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{seconds / 86400:.1f} days"
