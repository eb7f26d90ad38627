"""One file to one RGB picture, by the content and never by the name; whatever is wrong has one error.

Pillow reads; strangers' files may declare any size, break off anywhere and carry any metadata.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tagwise.base.progress import printable
from tagwise.pixels.arrays import shape_in_array
from tagwise.pixels.place import PictureRefused, Place
from tagwise.pixels.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tagwise.base.views import View

MAX_PIXELS = 100_000_000
"""Width times height above which a picture is refused; checked before its pixels are decoded."""
TINY_SIDE = 16
"""Pixels; a picture with a shorter side is read and noted as ``tiny``."""
EXTREME_ASPECT = 10
"""Longer side over shorter side from which a picture is noted as ``extreme aspect ratio``."""
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff"),
        *("avif", "heic", "heif", "ppm", "pgm", "pbm", "pnm", "ico", "jp2", "j2k"),
    )
)
"""Suffixes of files that are meant as pictures, read here or not (HEIF is refused by name)."""

# Never Pillow's whole list: its EPS reader starts Ghostscript on the file's program.
_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation: what turns the picture upright."""
_ORIENTATION_TAG = 0x0112
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_MODE_NOTES = {"1": "greyscale", "L": "greyscale", "LA": "greyscale", "P": "palette", "CMYK": "CMYK", "LAB": "Lab"}


@dataclass(frozen=True, kw_only=True)
class DecodedPicture:
    """A picture, upright and opaque."""

    pixels_HWC: NDArray[np.uint8]
    """RGB, 0..255, [height, width, 3]."""
    notes: tuple[str, ...]
    """What was done or found on the way: ``greyscale``, ``palette``, ``CMYK``, ``Lab``,
    ``16 bits scaled``, ``float scaled``, ``transparency composited``, ``rotated by EXIF``, ``EXIF unreadable``,
    ``first frame``, ``colour profile ignored``, ``tiny``, ``extreme aspect ratio``."""


def decode(source: Place | Path | bytes, *, background: tuple[int, int, int] = (255, 255, 255)) -> DecodedPicture:
    """Reads the first frame of a picture as upright 8-bit RGB.

    Sixteen-bit and 0..1 float values are scaled over their whole range, never clipped; CMYK, Lab
    and palettes are converted; EXIF orientation is applied; broken metadata is passed over.

    Args:
        source: A place, a file, or a file's content. Of a picture in an array the pixels are read as they lie there.
        background: RGB 0..255 put under transparent pixels.

    Raises:
        PictureRefused: No file, no picture, cut off, damaged, of an unread format, or larger than
            ``place.MAX_BYTES`` or ``MAX_PIXELS``. Nothing else is raised, whatever the bytes.
    """
    name = "this picture" if isinstance(source, bytes) else printable(str(source))
    content = b""
    try:
        if isinstance(source, bytes):
            content = source
        else:
            place = _place(source)
            content = place.read()
            if shape := shape_in_array(place):
                return DecodedPicture(pixels_HWC=np.frombuffer(content, np.uint8).reshape(shape).copy(), notes=())
        with quiet():
            return _decode(content, background)
    except PictureRefused as refusal:
        raise PictureRefused(refusal.reason, name) from refusal
    except Exception as error:
        raise PictureRefused(reason_of(error, content), name) from error


def measure(content: bytes) -> tuple[int, int]:
    """Height and width that a picture's header declares; damage behind the header is not seen.

    Raises:
        PictureRefused: No picture, of an unread format, or larger than ``MAX_PIXELS``.
    """
    try:
        with quiet(), Image.open(io.BytesIO(content), formats=read_formats()) as image:
            check_size(image)
            return image.height, image.width
    except PictureRefused:
        raise
    except Exception as error:
        raise PictureRefused(reason_of(error, content)) from error


def fit(picture_HWC: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """A picture as the view's square, antialiased.

    ``crop`` gives the pixels of torchvision's ``Resize`` and ``CenterCrop``, and of timm's evaluation.
    From an aspect of ``EXTREME_ASPECT`` on it samples the same grid without building the long side,
    a level or so apart: a strip of 1 x 10,000 pixels costs no more than a square.

    Args:
        picture_HWC: RGB, 0..255, [height, width, 3].
        view: All but its normalisation counts.

    Returns:
        RGB, 0..255, [resize, resize, 3].
    """
    image = Image.fromarray(picture_HWC)
    side, resample = view.resize, _FILTERS[view.interpolation]
    if view.crop_fraction < 1:
        return np.array(_central_square(image, view.crop_fraction).resize((side, side), resample))
    if view.fit == "crop":
        return np.array(_middle(image, view))
    longer = max(image.size)
    width, height = (max(1, round(length * side / longer)) for length in image.size)
    square = Image.new("RGB", (side, side), view.background)
    square.paste(image.resize((width, height), resample), ((side - width) // 2, (side - height) // 2))
    return np.array(square)


def _place(source: Place | Path) -> Place:
    return source if isinstance(source, Place) else Place(str(source))


def _central_square(image: Image.Image, fraction: float) -> Image.Image:
    """A real cut: pixels beyond its edge do not bleed into the resize (rounding of ResNeSt's scripts)."""
    cut = fraction * min(image.size)
    left, top = (round((length - cut) / 2) for length in image.size)
    right, bottom = (max(start + 1, round(start + cut)) for start in (left, top))
    return image.crop((left, top, right, bottom))


def _middle(image: Image.Image, view: View) -> Image.Image:
    """The shorter side resized, then the square around what torchvision's crop of ``resolution`` would take."""
    side, resample = view.resize, _FILTERS[view.interpolation]
    shorter, longer = sorted(image.size)
    width, height = (int(side * length / shorter) for length in image.size)
    margin = round((side - view.resolution) / 2)
    left, top = (round((length - view.resolution) / 2) - margin for length in (width, height))
    if longer < EXTREME_ASPECT * shorter:
        return image.resize((width, height), resample).crop((left, top, left + side, top + side))
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + side) * across, (top + side) * down)
    return image.resize((side, side), resample, box=box)


def _decode(content: bytes, background: tuple[int, int, int]) -> DecodedPicture:
    # Half-grey pictures must not come in because another library asked Pillow for them.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with Image.open(io.BytesIO(content), formats=read_formats()) as image:
        check_size(image)
        notes = _found(image)
        turned = image.format == "TIFF" and orientation_of(image) in UPRIGHT  # Pillow turns a TIFF while loading it
        image.load()
        check_size(image)
        # Not before: on a PNG, asking for EXIF loads the pixels, and that error must not be passed over.
        orientation = orientation_of(image)
        rgb = _rgb(image, background, notes)
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    if turned or orientation in UPRIGHT:
        notes.append("rotated by EXIF")
    if orientation is None:
        notes.append("EXIF unreadable")
    return DecodedPicture(pixels_HWC=np.array(rgb), notes=tuple(notes))


@functools.cache
def read_formats() -> list[str]:
    """Pillow's names of the formats that are read here and now."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def check_size(image: Image.Image) -> None:
    """Refuses what would need too much memory, by what its header declares."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureRefused(f"its {width} x {height} pixels are above the limit of {MAX_PIXELS:,}")
    if width * height == 0:
        raise PictureRefused("it has no pixels")


def _found(image: Image.Image) -> list[str]:
    """Notes that only the file as opened can give: loading forgets the layout of the samples."""
    notes = [_MODE_NOTES[image.mode]] if image.mode in _MODE_NOTES else []
    if image.mode.startswith("I") or ";16" in str(getattr(image, "tile", "")):
        notes.append("16 bits scaled")
    if getattr(image, "is_animated", False):
        notes.append("first frame")
    if "icc_profile" in image.info:
        notes.append("colour profile ignored")
    shorter, longer = sorted(image.size)
    if shorter < TINY_SIDE:
        notes.append("tiny")
    if longer >= EXTREME_ASPECT * shorter:
        notes.append("extreme aspect ratio")
    return notes


def orientation_of(image: Image.Image) -> int | None:
    """EXIF orientation, 1 where there is none, ``None`` where EXIF cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG) or 1)
    except Exception:  # metadata of strangers raises anything, and must not cost the picture
        return None


def _rgb(image: Image.Image, background: tuple[int, int, int], notes: list[str]) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _scaled(image, notes)
    if image.mode == "LAB":
        return _from_lab(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema()[0] == 255:
        return rgba.convert("RGB")
    notes.append("transparency composited")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*background, 255)), rgba).convert("RGB")


def _scaled(image: Image.Image, notes: list[str]) -> Image.Image:
    """Sixteen-bit and float values over their whole range as 0..255, with the transparent level."""
    values = np.asarray(image)
    # A signed or wider TIFF declares no white: it is refused rather than stretched to its own extremes.
    top, unit = (1.0, "float") if image.mode == "F" else (65535.0, "integer")
    if not (values.min() >= 0 and values.max() <= top):
        raise PictureRefused(
            f"its {unit} values span {values.min():g} to {values.max():g}, and only 0 to {top:g} has a brightness"
        )
    if image.mode == "F":
        notes.append("float scaled")
    grey = np.rint(values * (255.0 / top)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return Image.fromarray(grey)
    alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)


def reason_of(error: Exception, content: bytes) -> str:
    """Why Pillow could not read a file's bytes, as a clause."""
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(content)
    if isinstance(error, Image.DecompressionBombError):
        return f"it declares more pixels than the limit of {MAX_PIXELS:,}"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "the file is cut off"
    return f"it is damaged ({printable(str(error) or type(error).__name__, 80)})"


def _unidentified(content: bytes) -> str:
    start = content[:512].lstrip().lower()
    if not content:
        return "the file is empty"
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page"
    if content[4:8] == b"ftyp":
        brand = printable(content[8:12].decode("latin-1"))
        return f"it is a HEIF picture or a film (brand {brand}), which is not read here; convert it to JPEG or PNG"
    return f"it is none of the formats read ({', '.join(read_formats())}), or its header is damaged"
