"""Labels of pixels as colours on a picture, and the palette that every drawing takes its colours from."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from tagwise.localise.annotations import IGNORE

Picture = NDArray[np.uint8]
"""RGB, 0..255, [height, width, 3]."""

_FIRST = ("0072b2", "e69f00", "009e73", "cc79a7", "56b4e9", "d55e00", "f0e442")
"""Hues of Okabe and Ito (2008), told apart by colour-blind readers; neighbours in the order differ in lightness too."""
_LIGHTNESS = (0.35, 0.93)
"""Of all other colours in Oklab: neither black nor white, which pictures are full of."""
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@functools.cache
def palette() -> NDArray[np.uint8]:
    """Colours of labels, RGB [256, 3], all different; ``IGNORE`` is white.

    The first seven are told apart by colour-blind readers. Each of the others is the one of 4096 evenly spaced
    colours that is farthest, in Oklab, from all before it.
    """
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    places = oklab(candidates)
    bright = (places[:, 0] >= _LIGHTNESS[0]) & (places[:, 0] <= _LIGHTNESS[1])
    candidates, places = candidates[bright], places[bright]
    chosen = [np.array(list(bytes.fromhex(color)), np.uint8) for color in _FIRST]
    distances = np.full(len(candidates), np.inf)
    for color in [*chosen, np.full(3, 255, np.uint8)]:
        distances = np.minimum(distances, np.linalg.norm(places - oklab(color), axis=1))
    while len(chosen) < IGNORE:
        farthest = int(distances.argmax())
        chosen.append(candidates[farthest])
        distances = np.minimum(distances, np.linalg.norm(places - places[farthest], axis=1))
    colors = np.stack([*chosen, np.full(3, 255, np.uint8)])
    colors.setflags(write=False)
    return colors


def overlay(
    picture_HWC: Picture, labels_HW: NDArray[np.uint8], *, opacity: float = 0.55, plain: int | None = None
) -> Picture:
    """A picture under the colours of its pixels' labels, whose borders are drawn in full colour.

    Args:
        picture_HWC: Stays as it is.
        labels_HW: Of the same height and width; pixels of ``IGNORE`` are left as they are.
        opacity: Of the colours, 0..1.
        plain: A label that is left as it is too, such as the background's.
    """
    assert labels_HW.shape == picture_HWC.shape[:2], "labels are of the picture's pixels"
    kept = labels_HW != IGNORE if plain is None else (labels_HW != IGNORE) & (labels_HW != plain)
    shares = np.where(borders(labels_HW) & kept, 1.0, np.where(kept, opacity, 0.0))
    return blended(picture_HWC, palette()[labels_HW], shares)


def oklab(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Lightness 0..1 and two axes of colour, in which distances are as seen (Ottosson 2020), of sRGB [..., 3]."""
    srgb = colors / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    cones = linear @ _TO_CONES.T
    return np.cbrt(cones) @ _TO_OKLAB.T


def blended(picture_HWC: Picture, colors: NDArray[np.uint8], shares_HW: NDArray[np.float64]) -> Picture:
    """A picture under opaque colours, each pixel by its share."""
    shares = shares_HW[..., None]
    return np.rint((1 - shares) * picture_HWC + shares * colors).astype(np.uint8)


def borders(labels_HW: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour, or left or upper, has another label."""
    borders = np.zeros(labels_HW.shape, bool)
    across, down = labels_HW[:, 1:] != labels_HW[:, :-1], labels_HW[1:] != labels_HW[:-1]
    borders[:, 1:] |= across
    borders[:, :-1] |= across
    borders[1:] |= down
    borders[:-1] |= down
    return borders
