"""What is known of a published file of weights: who, where, on which terms, how good and seen how."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tagwise.base.views import View


@dataclass(frozen=True, kw_only=True)
class Score:
    """An accuracy that somebody measured with a file of weights on the test set of its label set."""

    by: str
    """Whose number it is."""
    top1: float
    """Percent."""
    top5: float | None = None
    """Percent; None where it was not published."""
    view: View
    """How the pictures were shown for it."""

    def __str__(self) -> str:
        """In words, the view included."""
        top5 = "" if self.top5 is None else f" / {self.top5:g}"
        return f"{self.top1:g}{top5} by {self.by}: {self.view}"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One published file of weights."""

    design: str
    """Name of the design."""
    tag: str
    """What tells it from other weights of the design: ``wsl``, ``swsl``, ``imagenet1k_v2``."""
    who: str
    """Who trained it, and who brought it into this file where that is somebody else."""
    url: str
    """Where it lies; the file's name carries the beginning of its SHA-256, if that was published."""
    licence: str
    """SPDX name."""
    scores: tuple[Score, ...]
    """The publisher's accuracy first, then others' of the same file."""
    aliases: tuple[str, ...] = ()
    """Other libraries' names of these weights, with timm's tags and without."""
    label_set: str = "imagenet1k"
    """``imagenet1k``: the 1000 classes of ILSVRC 2012, in the order of their synsets; ``cifar10``: its ten."""
    note: str = ""
    """What a user should hear before trusting the file."""

    @property
    def name(self) -> str:
        """Design and tag, such as ``resnext101_32x8d_wsl``."""
        return f"{self.design}_{self.tag}"

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str:
        """The first hex digits of the file's SHA-256; empty where nobody has published them."""
        found = re.search(r"-([0-9a-f]{8})\.", self.file)
        return found[1] if found else ""

    @property
    def view(self) -> View:
        """How pictures were shown for the publisher's number."""
        return self.scores[0].view

    @property
    def top1(self) -> float:
        """The publisher's top-1 accuracy, percent."""
        return self.scores[0].top1

    @property
    def top5(self) -> float | None:
        """The publisher's top-5 accuracy, percent, if there is one."""
        return self.scores[0].top5

    @property
    def origin(self) -> str:
        """Its name and who trained it, as a lineage says it."""
        return f"{self.name} by {self.who}"

    @property
    def commercial(self) -> bool:
        """Whether the licence allows commercial use."""
        return allows_commerce(self.licence)


def allows_commerce(licence: str) -> bool:
    """Whether terms, by their SPDX name, allow commercial use."""
    return "-NC" not in licence
