"""Views: impossible ones are refused when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from tagwise.base.errors import UsageError
from tagwise.base.settings import from_plain, to_plain
from tagwise.base.views import View, resnest_view, timm_view, torchvision_view


def test_a_view_is_imagenets_where_nothing_else_is_said() -> None:
    view = View(resolution=224, resize=256)
    assert (view.mean, view.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert from_plain(View, to_plain(view), "a model") == view


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"resolution": 4}, "8 to 4096 pixels, not 4"),
        ({"resolution": 5000, "resize": 5000}, "8 to 4096 pixels, not 5000"),
        ({"resize": 200}, "cannot crop 224 pixels out of resize=200"),
        ({"std": (0.2, 0.0, 0.2)}, "std is above 0"),
        ({"std": (0.2, -1.0, 0.2)}, "std is above 0"),
        ({"crop_fraction": 0.0}, "crop_fraction is above 0 and at most 1"),
        ({"crop_fraction": 1.1}, "crop_fraction is above 0 and at most 1"),
        ({"crop_fraction": 0.5, "fit": "pad"}, "1 with pad, not 0.5"),
    ],
)
def test_an_impossible_view_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        View(**({"resolution": 224, "resize": 256} | wrong))


@pytest.mark.parametrize("wrong", [{"fit": "stretch"}, {"interpolation": "nearest"}, {"mean": [0.5]}])
def test_a_view_of_a_file_has_known_words_only(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a model does not fit"):
        from_plain(View, {"resolution": 224, "resize": 256} | wrong, "a model")


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View(resolution=224, resize=256), "shorter side to 256 bilinear, centre 224"),
        (View(resolution=64, resize=72, fit="pad"), "longer side to 72 bilinear, padded, centre 64"),
        (
            torchvision_view(224, 232),
            "shorter side to 232 bilinear, centre 224 (torchvision's resize and crop)",
        ),
        (timm_view(224, 0.95, "bicubic"), "shorter side to 235 bicubic, centre 224 (timm's crop_pct 0.95)"),
        (resnest_view(256), "centre 0.889 of the shorter side to 256 bicubic (the ResNeSt authors' crop)"),
    ],
)
def test_m23_a_view_says_itself_in_words(view: View, words: str) -> None:
    assert str(view) == words


def test_whose_rule_a_view_follows_is_kept_but_makes_no_difference() -> None:
    view = timm_view(224, 0.875, "bilinear")
    assert view == torchvision_view(224, 256) == View(resolution=224, resize=256)
    assert from_plain(View, to_plain(view), "a model").origin == "timm's crop_pct 0.875"
