"""A finished classifier on labelled pictures: classes found among the outputs, and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import DataRefused, UsageError
from tagwise.measure.intervals import wilson
from tagwise.nets import build
from tagwise.nets.label_sets import class_names, synsets
from tagwise.pixels.decode import decode, fit
from tagwise.training.models import Model, ModelFacts
from tagwise.transfer.evaluation import forms, judge_classifier, match_classes
from tagwise.transfer.opening import open_labelled
from tagwise.transfer.targets import Part
from tests.training.tiny import CPU, DESIGN, VIEW
from tests.transfer.conftest import Fill

OUTPUTS = ("wren", "brown bear", "kite", "owl", "auk", "rook", "tit")


def model(outputs: tuple[str, ...] = OUTPUTS) -> Model:
    torch.manual_seed(1)
    net = build(DESIGN, num_classes=len(outputs)).eval()
    return Model(net=net, facts=ModelFacts(design=DESIGN, view=VIEW, classes=outputs), name="m", digest="0" * 16)


# ---------------------------------------------------------------- classes


@given(st.permutations(range(len(OUTPUTS))), st.integers(1, len(OUTPUTS)))
def test_classes_are_found_by_their_names_in_any_order_and_number(order: list[int], count: int) -> None:
    names = [OUTPUTS[position].upper().replace(" ", "_") for position in order[:count]]
    columns, how = match_classes(names, OUTPUTS)
    assert (columns.tolist(), how) == (order[:count], "by name")


def test_imagenets_folders_are_found_by_their_wordnet_ids() -> None:
    names = (synsets()[207], synsets()[3])
    columns, how = match_classes(names, class_names("imagenet1k"))
    assert (columns.tolist(), how) == ([207, 3], "by WordNet id")
    with pytest.raises(DataRefused, match="none of the model's 7 outputs"):
        match_classes(names, OUTPUTS)


def test_classes_go_by_order_only_where_one_side_has_no_names_which_is_said() -> None:
    """Clothing and animals may be equally many."""
    columns, how = match_classes(("c", "a", "b"), ("class 0", "class 1", "class 2"))
    assert (columns.tolist(), how) == ([2, 0, 1], "by order, a to class 0 and so on")
    assert match_classes(("0", "1", "2"), ("x", "y", "z"))[0].tolist() == [0, 1, 2]
    with pytest.raises(DataRefused, match=r"3 of 3 classes \(c, a, b\) are none of the model's 3 outputs .*--classes"):
        match_classes(("c", "a", "b"), ("x", "y", "z"))


def test_numbered_folders_are_ordered_as_numbers() -> None:
    """As words, 10 stands before 2."""
    columns, _ = match_classes(tuple(sorted(map(str, range(12)))), tuple(f"class {n}" for n in range(12)))
    assert columns.tolist() == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("names", "told"),
    [(("wren", "robin"), r"1 of 2 classes \(robin\)"), (("a", "b"), r"2 of 2 classes \(a, b\)"), (OUTPUTS[1:], None)],
)
def test_classes_that_the_model_lacks_are_refused(names: tuple[str, ...], told: str | None) -> None:
    if told is None:
        assert match_classes(names, OUTPUTS)[1] == "by name"
        return
    with pytest.raises(DataRefused, match=told):
        match_classes(names, OUTPUTS)


def test_classes_that_differ_in_case_alone_are_kept_apart_or_refused_and_never_merged() -> None:
    assert match_classes(("Cat", "cat"), ("dog", "cat", "Cat"))[0].tolist() == [2, 1]
    assert match_classes(("CAT",), ("dog", "cat"))[0].tolist() == [1]
    with pytest.raises(DataRefused, match="The classes Cat and cat are both the model's output cat; merge them"):
        match_classes(("Cat", "cat"), ("dog", "cat"))
    with pytest.raises(DataRefused, match=r"1 of 1 classes \(CAT\) are none"):
        match_classes(("CAT",), ("dog", "cat", "Cat"))
    with pytest.raises(DataRefused, match="The classes N01440764 and n01440764 are both the model's output tench"):
        match_classes(("N01440764", "n01440764"), class_names("imagenet1k"))


# ---------------------------------------------------------------- pictures


def test_a_plain_tree_is_the_test_and_a_target_gives_its_test_part(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "plain", kite=2, owl=1)
    fill(tmp_path / "parts" / "train", kite=3, owl=3, wren=3)
    fill(tmp_path / "parts" / "test", kite=1, owl=1)
    fill(tmp_path / "only" / "test", kite=1, owl=2)
    for name, pictures in (("plain", 3), ("parts", 2), ("only", 3)):
        classes, part = open_labelled(tmp_path / name)
        assert (classes, len(part)) == (("kite", "owl"), pictures)


def test_parts_without_a_test_and_folders_without_classes_are_refused(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path / "parts" / "train", kite=3, owl=3)
    fill(tmp_path / "parts" / "val", kite=1, owl=1)
    with pytest.raises(UsageError, match="has parts and none is a test"):
        open_labelled(tmp_path / "parts")
    with pytest.raises(UsageError, match="nothing says their tags"):
        open_labelled(tmp_path / "parts" / "val" / "kite")
    (tmp_path / "table.csv").write_text("picture,class\nparts/val/kite/000.png,\n")
    with pytest.raises(DataRefused, match="holds no labelled picture"):
        open_labelled(tmp_path / "table.csv", class_column="class")


def labelled(folder: Path, fill: Fill) -> tuple[tuple[str, ...], Part]:
    return open_labelled(fill(folder, kite=9, owl=4, wren=5))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_scores_are_those_of_one_picture_at_a_time(tmp_path: Path, fill: Fill, batch: int) -> None:
    classes, part = labelled(tmp_path, fill)
    own = model()
    columns, _ = match_classes(classes, OUTPUTS)
    found = judge_classifier(own, part, columns, CPU, batch=batch, workers=1)
    ranks = []
    for place, kind in zip(part.places, part.truth, strict=True):
        pixels_HWC = torch.from_numpy(fit(decode(place).pixels_HWC, VIEW)[2:18, 2:18]) / 255
        image_BCHW = ((pixels_HWC - torch.tensor(VIEW.mean)) / torch.tensor(VIEW.std)).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            logits_V = own.net(image_BCHW)[0]
        ranks.append(int((logits_V > logits_V[columns[kind]]).sum()))
    first, five = sum(rank < 1 for rank in ranks), sum(rank < 5 for rank in ranks)
    assert found.top5 is not None
    assert (found.top1.right, found.top5.right, found.top1.pictures) == (first, five, 18)
    assert (found.top1.low, found.top1.high) == wilson(first, 18)
    means = [np.mean([rank < 1 for rank, k in zip(ranks, part.truth, strict=True) if k == kind]) for kind in range(3)]
    assert found.class_mean == pytest.approx(np.mean(means))


def test_m25_a_net_in_bfloat16_is_measured_in_bfloat16(tmp_path: Path, fill: Fill) -> None:
    classes, part = labelled(tmp_path, fill)
    own = model()
    own.net.to(torch.bfloat16)
    found = judge_classifier(own, part, match_classes(classes, OUTPUTS)[0], CPU, batch=8, workers=1)
    assert found.top1.pictures == 18


def test_few_outputs_have_no_top_five(tmp_path: Path, fill: Fill) -> None:
    classes, part = labelled(tmp_path, fill)
    few = model(OUTPUTS[:4])
    assert judge_classifier(few, part, match_classes(classes, OUTPUTS[:4])[0], CPU, batch=8, workers=1).top5 is None


def test_unreadable_pictures_are_left_out_and_too_many_are_refused(
    tmp_path: Path, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, kite=15, owl=15)
    (tmp_path / "owl" / "000.png").write_bytes(b"torn")
    classes, part = open_labelled(tmp_path)
    columns, _ = match_classes(classes, OUTPUTS)
    assert judge_classifier(model(), part, columns, CPU, batch=4, workers=1).top1.pictures == 29
    assert "000.png is left out" in capsys.readouterr().err
    assert len(forms(part, 1)) == 29
    for path in (tmp_path / "kite").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(DataRefused, match="16 of 30 pictures of the test part cannot be read"):
        judge_classifier(model(), part, columns, CPU, batch=4, workers=1)
