"""What pictures went through before they came here, as far as their files tell: format, size, lossy quality."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tagwise.pixels.decode import read_formats
from tagwise.pixels.place import PictureRefused, Place
from tagwise.pixels.quiet import quiet

# The luminance table of ITU-T T.81, annex K.1, which IJG's library scales for each quality.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True, kw_only=True, order=True)
class PictureForm:
    """A picture's file."""

    format: str
    """Pillow's name: ``PNG``, ``JPEG``."""
    width: int
    """Pixels, before any rotation that EXIF asks for."""
    height: int
    lossy: bool
    """Whether its encoding loses detail: JPEG, AVIF, and WebP unless it is lossless."""
    jpeg_quality: int | None = None
    """IJG's quality, 1 to 100, whose luminance table is the file's or next to it; only of a JPEG."""


def read_form(place: Place) -> PictureForm | None:
    """The form of a picture, from its header alone; None if it is no picture."""
    try:
        content = place.read()
        with quiet(), Image.open(io.BytesIO(content), formats=read_formats()) as image:
            tables = getattr(image, "quantization", None) if image.format == "JPEG" else None
            return PictureForm(
                format=str(image.format),
                width=image.width,
                height=image.height,
                lossy=image.format in ("JPEG", "AVIF") or (image.format == "WEBP" and not _lossless_webp(content)),
                jpeg_quality=estimate_quality(tables[0]) if tables and len(tables.get(0, ())) == 64 else None,
            )
    except PictureRefused:
        return None
    except Exception:  # strangers' headers raise anything
        return None


def estimate_quality(table: list[int]) -> int:
    """The quality at which IJG's library, and so most encoders, writes a luminance table nearest to this one.

    Args:
        table: 64 divisors, row by row, as Pillow's ``quantization[0]``.

    Returns:
        1 to 100; exact for files of IJG's and Pillow's encoders.
    """
    distances = np.abs(_tables() - np.array(table)).sum(1)
    return int(100 - distances[::-1].argmin())


@functools.cache
def _tables() -> NDArray[np.int64]:
    """IJG's luminance tables of the qualities 1 to 100, [100, 64] (jcparam.c)."""
    qualities = np.arange(1, 101)
    percent = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    return np.clip((np.array(_LUMINANCE) * percent[:, None] + 50) // 100, 1, 255)


def _lossless_webp(content: bytes) -> bool:
    """Whether a RIFF chunk at the top holds a lossless still picture."""
    at = 12
    while at + 8 <= len(content):
        if content[at : at + 4] == b"VP8L":
            return True
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return False
