"""COCO's numbers and masks come from one of two libraries, which agree."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from tagwise.base.errors import UsageError
from tagwise.measure.coco import LIBRARIES, LibraryName, coco_library, coco_masks
from tests.references.coco import MODULES, goldens, need


def hide(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, MODULES[library], None)
    for name in [name for name in sys.modules if name.startswith(f"{MODULES[library]}.")]:
        monkeypatch.setitem(sys.modules, name, None)


def test_l11_without_either_library_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in LIBRARIES:
        hide(monkeypatch, library)
    for ask in (coco_library, coco_masks):
        with pytest.raises(UsageError, match=r"pycocotools or faster-coco-eval.*pip install 'tagwise\[detection\]'\.$"):
            ask()


def test_l11_the_second_library_serves_where_the_first_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    need("faster-coco-eval")
    hide(monkeypatch, "pycocotools")
    assert coco_library().name == "faster-coco-eval"
    assert coco_masks() is coco_library().masks
    with pytest.raises(UsageError, match=r"need pycocotools, which is not installed"):
        coco_library("pycocotools")


def test_an_unknown_library_is_refused_with_its_nearest() -> None:
    with pytest.raises(UsageError, match="the nearest is pycocotools"):
        coco_library("pycocotool")  # type: ignore[arg-type]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", goldens()["box_iou_xywh"], ids=lambda case: f"{case['dt']} {case['gt']}")
def test_l11_overlap_of_boxes(case: dict[str, Any], library: LibraryName) -> None:
    """A crowd's is the share of the detection that lies in it."""
    need(library)
    boxes = [[float(value) for value in case[whose]] for whose in ("dt", "gt")]
    overlap = coco_library(library).masks.iou([boxes[0]], [boxes[1]], [case["crowd"]])
    assert overlap[0][0] == pytest.approx(case["iou"], abs=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_l11_run_lengths_go_down_the_columns_and_begin_with_zeros(library: LibraryName) -> None:
    need(library)
    masks, golden = coco_library(library).masks, goldens()["rle"]
    rows = np.asarray(golden["mask_rows"], np.uint8)
    packed = masks.encode(np.asfortranarray(rows))
    assert (packed["size"], packed["counts"]) == ([4, 5], golden["compressed"]["counts"].encode())
    assert masks.frPyObjects(dict(golden["uncompressed"]), 4, 5)["counts"] == packed["counts"]
    assert (masks.decode(packed) == rows).all()
    assert masks.area(packed) == golden["area"]
    assert masks.toBbox(packed).tolist() == golden["bbox_xywh"]
    other = golden["starts_with_one"]
    filled = masks.encode(np.asfortranarray(np.asarray(other["mask_rows"], np.uint8)))
    assert filled["counts"] == other["counts_compressed"].encode()
    assert (
        masks.frPyObjects({"size": [4, 5], "counts": other["uncompressed_counts"]}, 4, 5)["counts"] == filled["counts"]
    )


def test_l11_both_libraries_draw_the_same_polygons() -> None:
    for library in LIBRARIES:
        need(library)
    draw = np.random.default_rng(0)
    for _ in range(50):
        polygon = [(draw.random(2 * int(draw.integers(3, 9))) * 60).tolist()]
        first, second = (coco_library(library).masks.frPyObjects(polygon, 60, 64) for library in LIBRARIES)
        assert first == second
