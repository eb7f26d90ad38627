"""A drawn corpus: tagged pictures and a labelled target, made from one seed without any data.

A picture shows one shape in a colour and a texture before a background, at any rotation, with
small distractors. People's habits are drawn too: tags follow Zipf's law, come in several
spellings and languages, are missing or wrong. Of the target's classes (a shape with a texture)
no tag is the name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwise.base import files, rng
from tagwise.base.progress import progress

Array = NDArray[np.floating[Any]]

SIDE = 64
"""Side of a drawn picture in pixels."""

# ---------------------------------------------------------------- shapes
# Signed distances in units of the shape's radius: below zero inside. Formulas by construction
# from half-planes, discs and polygons; they only need to be exact near the edge.


def _disc(x: Array, y: Array, radius: float = 1.0) -> Array:
    distance: Array = np.hypot(x, y) - np.float32(radius)
    return distance


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.8)


def _folded(x: Array, y: Array, corners: int) -> tuple[Array, Array]:
    """Radius and angle after folding the plane into half of one of ``corners`` sectors."""
    sector = np.float32(2 * np.pi / corners)
    angle = np.arctan2(x, -y)
    return np.hypot(x, y), np.abs(angle - sector * np.round(angle / sector))


def _star(x: Array, y: Array, corners: int = 5, inner: float = 0.45) -> Array:
    radius, angle = _folded(x, y, corners)
    tip, valley = np.array([1.05, 0.0]), inner * np.array([np.cos(np.pi / corners), np.sin(np.pi / corners)])
    along = valley - tip
    normal = np.array([-along[1], along[0]]) / np.hypot(*along)
    px, py = radius * np.cos(angle) - np.float32(tip[0]), radius * np.sin(angle)
    return -(px * np.float32(normal[0]) + py * np.float32(normal[1]))


def _triangle(x: Array, y: Array) -> Array:
    radius, angle = _folded(x, y, 3)
    return radius * np.cos(np.float32(np.pi / 3) - angle) - np.float32(0.55)


def _polygon(*corners: tuple[float, float]) -> Callable[[Array, Array], Array]:
    def distance(x: Array, y: Array) -> Array:
        nearest = np.full_like(x, np.inf)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            ex, ey = np.float32(bx - ax), np.float32(by - ay)
            px, py = x - np.float32(ax), y - np.float32(ay)
            along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            np.minimum(nearest, np.hypot(px - ex * along, py - ey * along), out=nearest)
            crosses = (np.float32(ay) > y) != (np.float32(by) > y)
            if ey:
                inside ^= crosses & (px < ex * py / ey)
        return np.where(inside, -nearest, nearest)

    return distance


def _heart(x: Array, y: Array) -> Array:
    lobes = np.hypot(np.abs(x) - np.float32(0.43), y + np.float32(0.35)) - np.float32(0.52)
    tip = np.maximum(np.abs(x) * np.float32(0.74) + y * np.float32(0.67) - np.float32(0.602), -y)
    return np.minimum(lobes, tip)


def _moon(x: Array, y: Array) -> Array:
    return np.maximum(_disc(x, y), -_disc(x - np.float32(0.5), y, 0.82))


def _cross(x: Array, y: Array) -> Array:
    across, down = np.abs(x), np.abs(y)
    narrow, wide = np.float32(0.3), np.float32(1.0)
    return np.minimum(np.maximum(across - wide, down - narrow), np.maximum(across - narrow, down - wide))


def _flower(x: Array, y: Array) -> Array:
    edge: Array = np.float32(0.74) + np.float32(0.3) * np.cos(6 * np.arctan2(x, y))
    return np.hypot(x, y) - edge


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.28)


def _leaf(x: Array, y: Array) -> Array:
    return np.maximum(_disc(x - np.float32(0.55), y, 1.12), _disc(x + np.float32(0.55), y, 1.12))


_arrow = _polygon((0, -1.1), (0.8, -0.15), (0.34, -0.15), (0.34, 1), (-0.34, 1), (-0.34, -0.15), (-0.8, -0.15))
_bolt = _polygon((0.25, -1.1), (-0.65, 0.2), (-0.1, 0.2), (-0.3, 1.1), (0.65, -0.3), (0.1, -0.3))

SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "moon": _moon,
    "cross": _cross,
    "flower": _flower,
    "ring": _ring,
    "leaf": _leaf,
    "arrow": _arrow,
    "bolt": _bolt,
}
"""In the order of their frequency: shape i is drawn with probability ~ 1/(i+1)."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "blue": (43, 108, 196),
    "yellow": (244, 196, 48),
    "green": (46, 152, 84),
    "pink": (240, 120, 170),
    "orange": (240, 128, 40),
    "purple": (128, 70, 172),
    "white": (240, 240, 236),
}

TEXTURES = ("plain", "striped", "dotted", "checked")
BACKGROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "sky": ((150, 196, 232), (228, 240, 248)),
    "night": ((18, 22, 58), (62, 52, 108)),
    "sand": ((222, 196, 146), (186, 150, 104)),
    "meadow": ((176, 206, 132), (84, 134, 76)),
}
"""Colour at the top and at the bottom."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """What N pictures show: indices into the tables above, int64 [N] each."""

    shapes: NDArray[np.int64]
    colours: NDArray[np.int64]
    textures: NDArray[np.int64]
    backgrounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shapes)


def draw_pictures(scenes: Scenes, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draws every scene at a random place, size and rotation.

    Returns:
        RGB pictures, uint8 [N, SIDE, SIDE, 3].
    """
    pictures = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(scenes), 128):
        chunk = slice(start, start + 128)
        part = Scenes(
            shapes=scenes.shapes[chunk],
            colours=scenes.colours[chunk],
            textures=scenes.textures[chunk],
            backgrounds=scenes.backgrounds[chunk],
        )
        pictures[chunk] = _draw_chunk(part, generator)
    return pictures


def _draw_chunk(scenes: Scenes, generator: np.random.Generator) -> NDArray[np.uint8]:
    n = len(scenes)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + np.float32(0.5)
    canvas = _backgrounds(scenes.backgrounds, generator)
    for _ in range(5):
        _add_distractors(canvas, x, y, generator)
    radius = generator.uniform(0.24, 0.40, (n, 1, 1)).astype(np.float32) * SIDE
    centre = (generator.uniform(-1, 1, (2, n, 1, 1)) * (0.47 * SIDE - radius).clip(2) + SIDE / 2).astype(np.float32)
    turn = generator.uniform(0, 2 * np.pi, (n, 1, 1)).astype(np.float32)
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    u, v = _bent(dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn), generator)
    distance = _distances(scenes.shapes, u, v)
    shadow = _distances(scenes.shapes, *_shifted(u, v, turn, -0.12))
    canvas *= 1 - 0.38 * np.clip(0.5 - shadow * 6, 0, 1)[..., None]
    ink = _inks(scenes, u, v, radius, generator)
    coverage = np.clip(0.5 - distance * radius, 0, 1)[..., None]
    canvas = canvas * (1 - coverage) + ink * coverage
    canvas += generator.normal(0, 4, canvas.shape).astype(np.float32)
    return canvas.clip(0, 255).astype(np.uint8)


def _bent(u: Array, v: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Stretched, sheared and waved coordinates: no two things of a kind have quite the same outline."""
    n = len(u)
    stretch, shear, wave, phase = (
        generator.uniform(low, high, (n, 1, 1)).astype(np.float32)
        for low, high in ((0.72, 1.38), (-0.35, 0.35), (0.0, 0.16), (0.0, 2 * np.pi))
    )
    return u * stretch + shear * v + wave * np.sin(3 * v + phase), v / stretch + wave * np.sin(3 * u - phase)


def _shifted(u: Array, v: Array, turn: Array, by: float) -> tuple[Array, Array]:
    """The shape's coordinates for a shadow that always falls down and to the right."""
    return u + np.float32(by) * (np.cos(turn) + np.sin(turn)), v + np.float32(by) * (np.cos(turn) - np.sin(turn))


def _distances(shapes: NDArray[np.int64], u: Array, v: Array) -> Array:
    distances = np.empty_like(u)
    for index, distance in enumerate(SHAPES.values()):
        chosen = shapes == index
        if chosen.any():
            distances[chosen] = distance(u[chosen], v[chosen])
    return distances


def _backgrounds(kinds: NDArray[np.int64], generator: np.random.Generator) -> Array:
    ends = np.array(list(BACKGROUNDS.values()), np.float32)[kinds]
    height = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None, None]
    canvas = ends[:, None, None, 0] * (1 - height) + ends[:, None, None, 1] * height
    coarse = generator.normal(0, 1, (len(kinds), 8, 8, 1)).astype(np.float32)
    clouds = np.repeat(np.repeat(coarse, SIDE // 8, 1), SIDE // 8, 2)
    for axis in (1, 2):
        clouds = np.mean([np.roll(clouds, shift, axis) for shift in range(-4, 5)], axis=0)
    canvas = np.broadcast_to(canvas, (len(kinds), SIDE, SIDE, 3)) + 16 * clouds
    light = generator.uniform(0.85, 1.1, (len(kinds), 1, 1, 1)).astype(np.float32)
    return canvas * light


def _add_distractors(canvas: Array, x: Array, y: Array, generator: np.random.Generator) -> None:
    """One small blob in about two thirds of the pictures, drawn in place."""
    n = len(canvas)
    radius = generator.uniform(1.5, 6.0, (n, 1, 1)).astype(np.float32) * (generator.random((n, 1, 1)) < 0.66)
    cx, cy = generator.uniform(0, SIDE, (2, n, 1, 1)).astype(np.float32)
    stretch = generator.uniform(0.6, 1.6, (n, 1, 1)).astype(np.float32)
    coverage = np.clip(radius - np.hypot((x - cx) * stretch, y - cy), 0, 1)[..., None] * (radius > 0)[..., None]
    colour = np.array(list(COLOURS.values()), np.float32)[generator.integers(len(COLOURS), size=n)][:, None, None]
    canvas += coverage * (colour - canvas)


def _inks(scenes: Scenes, u: Array, v: Array, radius: Array, generator: np.random.Generator) -> Array:
    """The colour of each pixel of the shape: the base colour and its texture, [n, SIDE, SIDE, 3]."""
    base = np.array(list(COLOURS.values()), np.float32)[scenes.colours]
    base = (base + generator.normal(0, 10, base.shape)).astype(np.float32)[:, None, None]
    bright = base.mean(-1, keepdims=True) > 150
    second = np.where(bright, base * np.float32(0.42), base * np.float32(0.3) + np.float32(172))
    contrast = generator.uniform(0.45, 1.0, (len(scenes), 1, 1, 1)).astype(np.float32)
    second = base + (second - base) * contrast
    frequency = generator.uniform(5.5, 10.0, (len(scenes), 1, 1)).astype(np.float32)
    waves = {
        "plain": np.full_like(u, -1),
        "striped": np.sin(frequency * u),
        "dotted": np.cos(frequency * u) + np.cos(frequency * v) - np.float32(0.75),
        "checked": np.sin(frequency * np.float32(0.8) * u) * np.sin(frequency * np.float32(0.8) * v) * 2,
    }
    wave = np.choose(scenes.textures[:, None, None], [waves[name] for name in TEXTURES])
    share = np.clip(0.5 + wave * radius / frequency, 0, 1)[..., None]
    return base * (1 - share) + second * share


# ---------------------------------------------------------------- tags

SPELLINGS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circles", "disc", "disk", "Kreis", "cercle", "円"),
    "square": ("square", "squares", "Quadrat", "carré", "cuadrado"),
    "triangle": ("triangle", "triangles", "Dreieck", "triángulo"),
    "star": ("star", "stars", "Stern", "étoile", "estrella", "звезда"),
    "heart": ("heart", "hearts", "Herz", "coeur", "corazón"),
    "moon": ("moon", "moons", "crescent", "Mond", "lune", "月"),
    "cross": ("cross", "crosses", "plus", "Kreuz", "croix"),
    "flower": ("flower", "flowers", "blossom", "Blume", "fleur", "花"),
    "ring": ("ring", "rings", "donut", "anneau"),
    "leaf": ("leaf", "leaves", "Blatt", "feuille", "hoja"),
    "arrow": ("arrow", "arrows", "Pfeil", "flèche", "flecha"),
    "bolt": ("bolt", "bolts", "lightning", "Blitz", "éclair"),
    "red": ("red", "rot", "rouge", "rojo", "crimson"),
    "blue": ("blue", "blau", "bleu", "azul"),
    "yellow": ("yellow", "gelb", "jaune", "amarillo"),
    "green": ("green", "grün", "vert", "verde"),
    "pink": ("pink", "rosa", "rose"),
    "orange": ("orange", "naranja"),
    "purple": ("purple", "lila", "violet"),
    "white": ("white", "weiß", "blanc", "blanco"),
    "plain": ("plain", "solid", "minimal"),
    "striped": ("striped", "stripes", "stripy", "gestreift", "rayé"),
    "dotted": ("dotted", "dots", "polka dots", "gepunktet"),
    "checked": ("checked", "checkered", "chequered", "kariert"),
    "sky": ("sky", "Himmel", "ciel"),
    "night": ("night", "Nacht", "nuit", "noche"),
    "sand": ("sand", "beach", "Strand", "sable"),
    "meadow": ("meadow", "grass", "Wiese", "pré"),
}
"""What people write for a thing, commonest first."""

MOODS = ("love", "art", "instagood", "cute", "happy", "nofilter", "shapes", "geometry", "picoftheday", "🎨")

TAG_FRACTIONS = {"shape": 0.9, "colour": 0.6, "texture": 0.7, "background": 0.4, "joined": 0.25, "mood": 0.15}
"""Share of the pictures that carry a tag of the kind; 10 % more carry a wrong shape."""
WRONG_FRACTION = 0.10
MISSPELT_FRACTION = 0.04


def write_tags(scenes: Scenes, generator: np.random.Generator) -> list[list[str]]:
    """The tags of each picture as its owner wrote them; some pictures get none."""
    tables = (list(SHAPES), list(COLOURS), TEXTURES, list(BACKGROUNDS))
    columns = (scenes.shapes, scenes.colours, scenes.textures, scenes.backgrounds)
    shown = zip(
        *([names[index] for index in column] for names, column in zip(tables, columns, strict=True)), strict=True
    )
    return [_tags_of(shape, colour, texture, background, generator) for shape, colour, texture, background in shown]


def _tags_of(shape: str, colour: str, texture: str, background: str, generator: np.random.Generator) -> list[str]:
    has = {kind: generator.random() < fraction for kind, fraction in TAG_FRACTIONS.items()}
    things = {"shape": shape, "colour": colour, "texture": texture, "background": background}
    tags = [_written(_spelt(thing, generator), generator) for kind, thing in things.items() if has[kind]]
    if has["joined"]:
        tags.append(_written(f"{colour} {_spelt(shape, generator)}", generator))
    if generator.random() < WRONG_FRACTION:
        tags.append(_written(str(generator.choice(list(SHAPES))), generator))
    if has["mood"]:
        tags.append(_written(str(generator.choice(MOODS)), generator))
    return [tags[index] for index in generator.permutation(len(tags))]


def _spelt(thing: str, generator: np.random.Generator) -> str:
    """One of the thing's spellings: the first in two of three cases, the others by Zipf's law."""
    spellings = SPELLINGS[thing]
    weights = 1 / np.arange(1, len(spellings) + 1) ** 1.5
    return str(generator.choice(spellings, p=weights / weights.sum()))


def _written(words: str, generator: np.random.Generator) -> str:
    """The words as somebody types them: a hashtag, in capitals, with a slip of the finger."""
    if len(words) > 4 and generator.random() < MISSPELT_FRACTION:
        at = int(generator.integers(1, len(words) - 2))
        words = words[:at] + words[at + 1] + words[at] + words[at + 2 :]
    style = generator.random()
    if style < 0.30:
        return "#" + "".join(word.capitalize() for word in words.split())
    if style < 0.50:
        return "#" + words.replace(" ", "").lower()
    if style < 0.60:
        return words.replace(" ", "_")
    if style < 0.70:
        return words.title()
    return words


# ---------------------------------------------------------------- corpus and target


def target_classes() -> list[tuple[str, str]]:
    """The ten (shape, texture) pairs that the target asks for, among the ten rarer shapes."""
    rare = list(SHAPES)[2:]
    textures = [TEXTURES[index % len(TEXTURES)] for index in (1, 2, 3, 0, 1, 2, 3, 0, 1, 2)]
    return list(zip(rare, textures, strict=True))


def draw_scenes(count: int, generator: np.random.Generator) -> Scenes:
    """Scenes of the wild: shapes and colours by Zipf's law, textures and backgrounds evenly."""

    def zipf(size: int) -> NDArray[np.int64]:
        weights = 1 / np.arange(1, size + 1)
        return generator.choice(size, count, p=weights / weights.sum()).astype(np.int64)

    return Scenes(
        shapes=zipf(len(SHAPES)),
        colours=zipf(len(COLOURS)),
        textures=generator.integers(len(TEXTURES), size=count),
        backgrounds=generator.integers(len(BACKGROUNDS), size=count),
    )


def draw_target(per_class: int, generator: np.random.Generator) -> tuple[Scenes, NDArray[np.int64]]:
    """Scenes of the target, ``per_class`` of each class, and their class indices, int64 [N]."""
    classes = np.repeat(np.arange(len(target_classes())), per_class)
    pairs = target_classes()
    count = len(classes)
    return Scenes(
        shapes=np.array([list(SHAPES).index(shape) for shape, _ in pairs])[classes],
        colours=generator.integers(len(COLOURS), size=count),
        textures=np.array([TEXTURES.index(texture) for _, texture in pairs])[classes],
        backgrounds=generator.integers(len(BACKGROUNDS), size=count),
    ), classes


def write_corpus(folder: Path, *, pictures: int, seed: int) -> Path:
    """Draws ``pictures`` tagged pictures into ``folder`` as a person's export would look.

    Returns:
        The table ``folder/pictures.csv`` with the columns picture, tags, owner.
    """
    generator = rng.stream(seed, "drawn", "corpus")
    scenes = draw_scenes(pictures, generator)
    tags = write_tags(scenes, generator)
    owners = generator.zipf(1.6, pictures) % 997
    names = [f"pictures/{index // 1000:03d}/{index:06d}.jpg" for index in range(pictures)]
    _save([folder / name for name in names], draw_pictures(scenes, generator), "drawing the tagged pictures")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "tags", "owner"])
    for name, written, owner in zip(names, tags, owners, strict=True):
        writer.writerow([name, "; ".join(written), f"user{owner}"])
    files.write_text(folder / "pictures.csv", text.getvalue())
    return folder / "pictures.csv"


def write_target(folder: Path, *, train_per_class: int, test_per_class: int, seed: int) -> Path:
    """Draws the labelled target as class folders below ``train`` and ``test``.

    Returns:
        ``folder``.
    """
    for split, per_class in (("train", train_per_class), ("test", test_per_class)):
        generator = rng.stream(seed, "drawn", "target", split)
        scenes, classes = draw_target(per_class, generator)
        names = [f"{texture} {shape}" for shape, texture in target_classes()]
        paths = [folder / split / names[kind] / f"{index:05d}.jpg" for index, kind in enumerate(classes)]
        _save(paths, draw_pictures(scenes, generator), f"drawing the target's {split} pictures")
    return folder


def write_aliases(path: Path) -> Path:
    """The merges that a person would write down after a look at the list of tags."""
    lines = [f"{other}\t{first}" for first, *others in SPELLINGS.values() for other in others]
    files.write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def _save(paths: list[Path], pictures: NDArray[np.uint8], what: str) -> None:
    from PIL import Image

    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    with progress(what, len(paths)) as ticker:
        for path, picture in zip(paths, pictures, strict=True):
            Image.fromarray(picture).save(path, quality=92)
            ticker.advance()


def write_new(folder: Path, *, count: int, seed: int) -> list[Path]:
    """Draws pictures that are in no corpus and no target, for the tagger."""
    generator = rng.stream(seed, "drawn", "new")
    paths = [folder / f"new{index}.jpg" for index in range(count)]
    _save(paths, draw_pictures(draw_scenes(count, generator), generator), "drawing new pictures")
    return paths
