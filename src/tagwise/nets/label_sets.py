"""What the outputs of published weights mean.

``imagenet1k.tsv`` has a line for each class of ILSVRC 2012, in the order of the outputs: its synset of
WordNet 3.0 and the synset's first lemma, or what tells it from another class of that name.
"""

from __future__ import annotations

import functools
from importlib import resources

from tagwise.base.errors import unknown

LABEL_SETS = ("imagenet1k", "cifar10")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def class_names(label_set: str) -> tuple[str, ...]:
    """The names of a label set's classes, no two the same, in the order of the outputs.

    Raises:
        UsageError: There is no such label set.
    """
    if label_set == "cifar10":
        return _CIFAR10
    if label_set == "imagenet1k":
        return tuple(name for _, name in _imagenet1k())
    raise unknown("label set", label_set, LABEL_SETS)


def synsets() -> tuple[str, ...]:
    """The WordNet ids of ImageNet-1k's classes, ``n01440764`` first, in the order of the outputs."""
    return tuple(synset for synset, _ in _imagenet1k())


@functools.cache
def _imagenet1k() -> list[tuple[str, str]]:
    text = resources.files("tagwise.nets").joinpath("imagenet1k.tsv").read_text("utf-8")
    return [(synset, name) for synset, _, name in (line.partition("\t") for line in text.splitlines())]
