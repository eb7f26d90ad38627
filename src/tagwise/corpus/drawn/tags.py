"""What people write under a scene."""

from __future__ import annotations

import numpy as np

from tagwise.corpus.drawn.scenes import BACKGROUNDS, COLOURS, TEXTURES, Scenes
from tagwise.corpus.drawn.shapes import SHAPES

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
