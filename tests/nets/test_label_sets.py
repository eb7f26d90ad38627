"""The names of the classes that published weights tell apart."""

from __future__ import annotations

import pytest
import torchvision

from tagwise.base.errors import UsageError
from tagwise.nets.label_sets import LABEL_SETS, class_names, synsets
from tagwise.nets.weights import WEIGHTS


def test_m13_every_row_has_a_label_set_whose_names_are_all_different() -> None:
    assert {row.label_set for row in WEIGHTS} == set(LABEL_SETS)
    for label_set, classes in (("imagenet1k", 1000), ("cifar10", 10)):
        names = class_names(label_set)
        assert len({name.casefold() for name in names}) == len(names) == classes


def test_imagenets_classes_stand_in_the_order_of_their_synsets() -> None:
    assert len(synsets()) == 1000
    assert list(synsets()) == sorted(synsets())
    assert (synsets()[0], class_names("imagenet1k")[0]) == ("n01440764", "tench")
    assert (synsets()[207], class_names("imagenet1k")[207]) == ("n02099601", "golden retriever")


def test_the_names_are_torchvisions_but_where_it_chose_another_lemma() -> None:
    theirs = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    pairs = list(zip(class_names("imagenet1k"), theirs, strict=True))
    assert sum(ours == name for ours, name in pairs) > 950
    assert all("crane" in ours and "crane" in name for ours, name in (pairs[134], pairs[517]))


def test_cifar10s_classes_stand_in_the_order_of_its_batches() -> None:
    names = class_names("cifar10")
    assert (names[0], names[3], names[9]) == ("airplane", "cat", "truck")


def test_an_unknown_label_set_is_said() -> None:
    with pytest.raises(UsageError, match=r"no label set 'imagenet22k'.* imagenet1k"):
        class_names("imagenet22k")
