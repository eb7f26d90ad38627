"""``tagwise models``: the table a person chooses from."""

from __future__ import annotations

import json

import pytest

from tagwise.base.errors import UsageError
from tagwise.base.views import View, resnest_view
from tagwise.cli import run
from tagwise.nets.designs import DESIGNS
from tagwise.nets.weights import WEIGHTS
from tagwise.verbs.models import models, short_count, view_words


def names(pattern: str) -> list[str]:
    found = models(pattern)
    return [row.name for row in (*found.weights, *found.designs)]


def test_every_row_and_every_design_is_listed_once_and_the_cheapest_come_first() -> None:
    found = models()
    assert {row.name for row in found.weights} == {row.name for row in WEIGHTS}
    assert {row.design for row in found.weights} | {row.name for row in found.designs} == set(DESIGNS)
    assert len(found.weights) == len(WEIGHTS)
    for rows in (found.weights, found.designs):
        assert [row.macs for row in rows] == sorted(row.macs for row in rows)


def test_a_row_says_what_the_tables_say() -> None:
    row = models("resnext101_32x48d_wsl").weights[0]
    assert (row.parameters, row.resolution, row.activation_bytes // 10**6) == (828_411_176, 224, 1048)
    assert f"{row.macs / 1e6:.1f}" == "153310.2"
    assert (row.top1, row.top5, row.measured_by, row.licence) == (85.4, 97.6, "its authors", "CC-BY-NC-4.0")
    assert str(row.view) == "shorter side to 256 bilinear, centre 224 (the authors' resize and crop)"


def test_costs_are_of_the_weights_own_view() -> None:
    assert models("resnest269").weights[0].resolution == 416
    assert f"{models('resnest269').weights[0].macs / 1e6:.1f}" == "77348.7"
    assert models("resnet20_cifar").weights[0].resolution == 32


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("resnet26", ["resnet26_bt"]),
        ("skresnet50", ["skresnet50"]),
        ("ig_resnext101_32x8d", ["resnext101_32x8d_wsl"]),
        ("RESNEXT101_32x8d.fb_wsl_ig1b_ft_in1k", ["resnext101_32x8d_wsl"]),
        ("wsl", [f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)]),
        ("resnext101*_wsl", [f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)]),
        ("32x48d_w", ["resnext101_32x48d_wsl"]),
        ("resnext38_24x10d", ["resnext38_24x10d"]),
    ],
)
def test_a_pattern_finds_names_other_libraries_names_and_parts_of_names(pattern: str, expected: list[str]) -> None:
    assert names(pattern) == expected


def test_a_designs_name_stands_for_all_its_weights_and_for_no_other_design() -> None:
    assert set(names("resnet50")) == {row.name for row in WEIGHTS if row.design == "resnet50"}


@pytest.mark.parametrize("pattern", ["resnext101_32x9d_wsl", "resnxt101_32x8*"])
def test_m14_an_unknown_pattern_answers_with_the_nearest_three(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"the nearest are (\S+, ){2}\S*resnext101_\S+\.") as caught:
        models(pattern)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("columns", [60, 80, 100, 150, 200])
def test_a_terminal_of_any_width_gets_whole_names_on_whole_lines(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = str(models()).split("\n")
    starts = {line.split()[0] for line in lines if line}
    assert {row.name for row in WEIGHTS} <= starts
    table = lines[1 : lines.index("") - 1]
    assert max(map(len, table)) <= columns
    assert ("No room for" in str(models())) == (columns < 150)


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run(["models", "resnest269"]) == 0
    told = capsys.readouterr().out
    assert "resnest269_authors     84.5       111 M     77.3 G  Apache-2.0  416 of 92.9% bicubic" in told
    assert "measured by  top-5 %" in told


def test_json_carries_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "resnext101_32x16d_swsl", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["weights"][0]
    assert row["note"].startswith("its authors saved the file wrongly")
    assert row["view"]["resize"] == 256
    assert [words.partition(":")[0] for words in row["scores"]] == [
        "84.8 / 97.4 by its authors",
        "83.34 / 96.844 by timm",
    ]
    assert row["sha256_prefix"] == "f3559a9c"


def test_warnings_about_a_file_are_told_under_the_table() -> None:
    assert "resnext101_32x16d_swsl: its authors saved the file wrongly" in str(models("swsl"))


def test_counts_have_three_digits() -> None:
    counts = (999, 269_722, 999_600, 25_557_032, 99_990_000, 4_089_184_256, 153_310_200_000)
    told = ["1.00 k", "270 k", "1.00 M", "25.6 M", "100 M", "4.09 G", "153 G"]
    assert [short_count(count) for count in counts] == told


def test_views_in_few_words() -> None:
    assert view_words(View(resolution=224, resize=256)) == "224 of 256 bilinear"
    assert view_words(resnest_view(256)) == "256 of 88.9% bicubic"
