"""Boxes, masks and keypoints on their picture, with names and scores; pictures over legends."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tagwise.base.progress import printable
from tagwise.localise.annotations import IGNORE
from tagwise.localise.overlays import Picture, blended, borders, oklab, palette

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_NAME_LETTERS = 24
_PAPER, _INK = (255, 255, 255), (26, 28, 32)


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnObjects:
    """Objects of one picture, true or found; coordinates are its pixels."""

    boxes_N4: NDArray[np.float64]
    """x1, y1, x2, y2."""
    labels_N: NDArray[np.int64]
    """Places in ``names``; they choose the colours."""
    names: Sequence[str]
    """Of the classes; any text."""
    scores_N: NDArray[np.float64] | None = None
    """0..1 of what was found; None of what is true."""
    masks_NHW: NDArray[np.bool_] | None = None
    keypoints_NK3: NDArray[np.float64] | None = None
    """x, y and 0 not drawn, 1 hidden (a ring), 2 visible (a dot)."""


def draw_objects(picture_HWC: Picture, objects: DrawnObjects, *, scale: int = 1) -> Picture:
    """A picture with boxes, masks, keypoints, names and scores on it; the surest are on top.

    A name is left away where it would hide another or half of another object; its box is always drawn.

    Args:
        picture_HWC: Stays as it is.
        objects: Coordinates outside the picture are cut off.
        scale: Pixels drawn for one of the picture; 2 or more for small pictures.

    Returns:
        RGB [scale * height, scale * width, 3].
    """
    from PIL import Image, ImageDraw

    scores = objects.scores_N if objects.scores_N is not None else np.zeros(len(objects.labels_N))
    order = np.argsort(scores, kind="stable")
    colors = [_color(label) for label in objects.labels_N]
    image = Image.fromarray(picture_HWC)
    enlarged_HWC = np.array(image.resize((scale * image.width, scale * image.height)))
    if objects.masks_NHW is not None:
        for index in order:
            _paint_mask(enlarged_HWC, objects.masks_NHW[index].repeat(scale, 0).repeat(scale, 1), colors[index])
    image = Image.fromarray(enlarged_HWC)
    draw = ImageDraw.Draw(image)
    thick = max(1, round(max(image.size) / 300))
    for index in order:
        draw.rectangle(_corners(objects.boxes_N4[index] * scale, image.size), outline=colors[index], width=thick)
        if objects.keypoints_NK3 is not None:
            _draw_points(draw, objects.keypoints_NK3[index], scale, colors[index], 1.5 * thick)
    _write_names(draw, objects, order[::-1], scale, image.size)
    return np.array(image)


def with_legend(picture_HWC: Picture, labels: Sequence[int], names: Sequence[str]) -> Picture:
    """A picture above the colours and names of labels.

    Args:
        picture_HWC: Stays as it is.
        labels: Those that are told; ``IGNORE`` among them is left away.
        names: Of all labels; any text.
    """
    from PIL import Image, ImageDraw

    font, height, row, swatch = _font(13), picture_HWC.shape[0], 20, 12
    width = picture_HWC.shape[1]
    places, left, top = [], 6, height + 6
    for label in (label for label in labels if label != IGNORE):
        name = _fitting(names[label], font, width - swatch - 16)
        needed = swatch + 6 + round(font.getlength(name)) + 14
        if left > 6 and left + needed > width:
            left, top = 6, top + row
        places.append((left, top, label, name))
        left += needed
    sheet = Image.new("RGB", (width, top + row if places else height), _PAPER)
    sheet.paste(Image.fromarray(picture_HWC), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for left, top, label, name in places:
        draw.rectangle((left, top + 1, left + swatch, top + 1 + swatch), fill=_color(label))
        draw.text((left + swatch + 6, top - 1), name, fill=_INK, font=font)
    return np.array(sheet)


def png(picture_HWC: Picture) -> bytes:
    """A picture as the bytes of a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(picture_HWC).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _color(label: int) -> tuple[int, int, int]:
    red, green, blue = palette()[int(label) % IGNORE]
    return int(red), int(green), int(blue)


def _paint_mask(picture_HWC: Picture, mask_HW: NDArray[np.bool_], color: tuple[int, int, int]) -> None:
    """In place."""
    shares = np.where(mask_HW, np.where(borders(mask_HW), 1.0, 0.45), 0.0)
    picture_HWC[mask_HW] = blended(picture_HWC, np.array(color, np.uint8), shares)[mask_HW]


def _corners(box: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The first and the last pixels that a box covers, inside the picture."""
    x1, y1, x2, y2 = np.nan_to_num(box, posinf=1e9, neginf=-1e9)
    left, top = (min(max(int(np.floor(start)), 0), length - 1) for start, length in zip((x1, y1), size, strict=True))
    right, bottom = (min(int(np.ceil(end)), length) - 1 for end, length in zip((x2, y2), size, strict=True))
    return left, top, max(left, right), max(top, bottom)


def _draw_points(
    draw: ImageDraw, points_K3: NDArray[np.float64], scale: int, color: tuple[int, int, int], radius: float
) -> None:
    for x, y, seen in points_K3:
        if seen > 0 and np.isfinite((x, y)).all():
            around = (x * scale - radius, y * scale - radius, x * scale + radius, y * scale + radius)
            draw.ellipse(around, fill=color if seen > 1 else None, outline=_PAPER if seen > 1 else color)


def _write_names(
    draw: ImageDraw, objects: DrawnObjects, order: NDArray[np.int64], scale: int, size: tuple[int, int]
) -> None:
    """The surest first; a name that would hide another, or half of another object, stays away."""
    font = _font(max(11, round(max(size) / 45)))
    boxes = np.array([_corners(box * scale, size) for box in objects.boxes_N4]).reshape(-1, 4)
    written = np.empty((0, 4), np.int64)
    for index in order:
        label = int(objects.labels_N[index])
        score = "" if objects.scores_N is None else f" {objects.scores_N[index]:.2f}"
        text = (_fitting(objects.names[label], font, size[0] - 4 - round(font.getlength(score))) + score).strip()
        if not text:
            continue
        place = _place_of_name(boxes[index], (round(font.getlength(text)) + 4, round(font.size) + 4), size)
        if (_hidden(place, written) > 0).any() or (_hidden(place, np.delete(boxes, index, 0)) > 0.5).any():
            continue
        written = np.append(written, [place], 0)
        left, top, right, bottom = place
        draw.rectangle((left, top, right, bottom), fill=_color(label))
        bright = oklab(np.array(_color(label), np.uint8))[0] > 0.6
        draw.text((left + 2, top), text, fill=_INK if bright else _PAPER, font=font)


def _place_of_name(box: NDArray[np.int64], name: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """First and last pixels: above the box; where no room is there, under a low box, or inside."""
    (left, top, _, bottom), (width, height) = box.tolist(), name
    left = max(0, min(left, size[0] - width))
    if top >= height:
        top -= height
    elif bottom - top < 3 * height and bottom + height < size[1]:
        top = bottom + 1
    return left, top, left + width - 1, top + height - 1


def _hidden(place: tuple[int, int, int, int], boxes_N4: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each box that a place covers; both by their first and last pixels."""
    first, last = np.maximum(boxes_N4[:, :2], place[:2]), np.minimum(boxes_N4[:, 2:], place[2:])
    covered = (last - first + 1).clip(min=0).prod(1)
    shares: NDArray[np.float64] = covered / (boxes_N4[:, 2:] - boxes_N4[:, :2] + 1).prod(1)
    return shares


def _fitting(text: str, font: FreeTypeFont, width: int) -> str:
    """A stranger's text on one line of so many pixels."""
    shown = printable(text, _NAME_LETTERS)
    while shown and font.getlength(shown) > width:
        shown = shown[:-1]
    return shown


@functools.cache
def _font(size: int) -> FreeTypeFont:
    """Matplotlib's DejaVu Sans, which has letters of more languages than Pillow's own font."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size, layout_engine=ImageFont.Layout.BASIC)
