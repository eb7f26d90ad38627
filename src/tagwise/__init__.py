"""Tagwise turns tagged pictures into a vision backbone and a tagger, and says what that bought.

Everything here is loaded when it is first used: ``import tagwise`` brings no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagwise.nets import create_model as create_model
    from tagwise.nets import list_models as list_models
    from tagwise.training.loading import load as load
    from tagwise.transfer.tagger import Tagger as Tagger
    from tagwise.verbs.check import check as check
    from tagwise.verbs.compare import compare as compare
    from tagwise.verbs.evaluate import evaluate as evaluate
    from tagwise.verbs.export import export as export
    from tagwise.verbs.gather import gather as gather
    from tagwise.verbs.labels import labels as labels
    from tagwise.verbs.models import models as models
    from tagwise.verbs.predict import predict as predict
    from tagwise.verbs.pretrain import pretrain as pretrain
    from tagwise.verbs.quickstart import quickstart as quickstart
    from tagwise.verbs.report import report as report
    from tagwise.verbs.train import train as train

VERBS = (
    *("quickstart", "gather", "labels", "check", "pretrain", "train"),
    *("compare", "evaluate", "predict", "models", "export", "report"),
)
"""In the order in which people use them."""

_PLACES = {
    **{verb: f"tagwise.verbs.{verb}" for verb in VERBS},
    "create_model": "tagwise.nets",
    "list_models": "tagwise.nets",
    "load": "tagwise.training.loading",
    "Tagger": "tagwise.transfer.tagger",
}

__all__ = ["VERBS", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tagwise' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
