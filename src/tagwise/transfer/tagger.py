"""A model at work: tags or classes for any pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tagwise.base.devices import choose_device
from tagwise.corpus.pack import fitted
from tagwise.corpus.pool import map_in_order
from tagwise.pixels.decode import decode, fit
from tagwise.pixels.place import Place
from tagwise.training.loading import load
from tagwise.training.models import Model
from tagwise.transfer.features import BATCH, score


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of one picture, or why it says nothing."""

    picture: str
    """The path as it was given."""
    outputs: tuple[tuple[str, float], ...]
    """Names with scores 0..1, best first: shares of a softmax, or a probability each of sigmoids."""
    problem: str | None = None
    """Why the picture cannot be read."""


class Tagger:
    """A model that names what is in pictures, with the view that it was trained on.

    >>> tagger = Tagger("runs/a")  # doctest: +SKIP
    >>> tagger("cat.jpg")  # doctest: +SKIP
    Answer(picture='cat.jpg', outputs=(('cat', 0.61), ('animal', 0.2), ...), problem=None)

    Args:
        model: What ``load`` takes, or what it gave.
        top: Outputs said of a picture.
        threshold: Outputs below this score are left out.
        device: cpu, cuda or mps; the best one here by default.
    """

    def __init__(
        self, model: str | Path | Model, *, top: int = 5, threshold: float = 0.0, device: str | None = None
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.top, self.threshold = top, threshold
        self.device = choose_device(device)

    def __call__(self, picture: str | Path) -> Answer:
        """The answer for one picture; a broken one raises.

        Raises:
            PictureRefused: It cannot be read.
        """
        view = self.model.facts.view
        pixels_HWC = fit(decode(Path(picture), background=view.background).pixels_HWC, view)
        return self._answers([str(picture)], pixels_HWC[None])[0]

    def answers(self, pictures: Sequence[str | Path | Place], workers: int | None = None) -> Iterator[Answer]:
        """An answer for every picture, in order; a broken one's says why."""
        for first in range(0, len(pictures), BATCH):
            chunk = pictures[first : first + BATCH]
            read = list(map_in_order(self._read, chunk, workers))
            good = [pixels for pixels in read if not isinstance(pixels, str)]
            names = [str(path) for path, pixels in zip(chunk, read, strict=True) if not isinstance(pixels, str)]
            found = iter(self._answers(names, np.stack(good)) if good else [])
            for path, pixels in zip(chunk, read, strict=True):
                if isinstance(pixels, str):
                    yield Answer(picture=str(path), outputs=(), problem=pixels)
                else:
                    yield next(found)

    def _read(self, picture: str | Path | Place) -> NDArray[np.uint8] | str:
        return fitted(picture if isinstance(picture, Place) else Place(str(picture)), self.model.facts.view)

    def _answers(self, names: Sequence[str], images_NHWC: NDArray[np.uint8]) -> list[Answer]:
        facts = self.model.facts
        logits = torch.from_numpy(score(self.model.net, images_NHWC, facts.view, self.device))
        scores = logits.sigmoid() if facts.loss == "sigmoid" else logits.softmax(1)
        values, ids = scores.topk(min(self.top, scores.shape[1]), dim=1)
        words = facts.outputs
        return [
            Answer(
                picture=name,
                outputs=tuple(
                    (words[index], share) for index, share in zip(row, shares, strict=True) if share >= self.threshold
                ),
            )
            for name, row, shares in zip(names, ids.tolist(), values.tolist(), strict=True)
        ]
