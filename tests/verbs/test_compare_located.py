"""``compare --head``: what a start bought where things are, said in words no stronger than the seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tagwise
from tagwise.base.settings import to_plain
from tagwise.localise.comparisons import LOST, LocatedRun, read_located
from tagwise.localise.localisation import numbers_of_run, proposal_recall
from tagwise.measure.detection import detection_scores
from tagwise.measure.detection_errors import detection_errors
from tagwise.verbs.compared_starts import findings, length_table, statements
from tests.localise.drawn_target import TINY, write_start, write_target
from tests.references.coco import a_truth, need, told
from tests.verbs.road import Done

need("pycocotools")

Here = Callable[..., Done]
GRID = [(picture, x, y) for picture in range(1, 4) for x in (20, 150, 280) for y in (20, 150, 280)]
TRUTH = a_truth(*((picture, (3, 7, 90)[(x + y) % 3], [x, y, 80.0, 80.0]) for picture, x, y in GRID), pictures=3)


def numbers(seed: int, *, off: float = 0.02, mistaken: float = 0.1) -> dict[str, float]:
    """Of detections of all objects, moved by a share of their side, and a share of them of another class."""
    draw = np.random.default_rng(seed)
    wrong = draw.permutation(len(GRID)) < mistaken * len(GRID) + seed % 3
    found = []
    for given, other in zip(TRUTH["annotations"], wrong, strict=True):
        moved = np.array(given["bbox"])
        moved[:2] += draw.choice([-1, 1], 2) * off * 80
        kind = {3: 7, 7: 90, 90: 3}[given["category_id"]] if other else given["category_id"]
        found.append(told(given["image_id"], kind, moved.tolist(), float(draw.random())))
    return numbers_of_run(
        [detection_scores(TRUTH, found, "bbox")],
        recall_at={threshold: proposal_recall(TRUTH, found, threshold) for threshold in (0.5, 0.75)},
        true_box_accuracy=float(1 - wrong.mean()),
    ) | {LOST[kind]: gain for kind, gain in detection_errors(TRUTH, found, "bbox").gains.items()}


def compared(folder: Path, runs: dict[tuple[str, float], list[dict[str, float]]]) -> Path:
    """A comparison as ``compare --head`` leaves it: the numbers of each start and schedule by seed."""
    names = list(dict.fromkeys(start for start, _ in runs))
    plain = [
        LocatedRun(
            start=start, length=length, seed=seed, images=round(1000 * length), numbers=found, folder="", seconds=9.5
        )
        for (start, length), every in runs.items()
        for seed, found in enumerate(every)
    ]
    about = {
        "head": "faster",
        "target": "cells",
        "classes": ["a", "b", "c"],
        "train_pictures": 9,
        "test_pictures": 3,
        "test_digest": "ab" * 8,
        "starts": {name: {"group": "resnet18", "plan": {"start": name, "freeze": None}} for name in names},
    }
    folder.mkdir(parents=True)
    (folder / "comparison.json").write_text(json.dumps({"about": about, "runs": to_plain(plain)}))
    return folder


def blamed(folder: Path, seeds: int = 3, **changes: float) -> Path:
    scratch = [numbers(seed) for seed in range(seeds)]
    return compared(folder, {("scratch", 1): scratch, ("tags", 1): [numbers(s + 99, **changes) for s in range(seeds)]})


def page_of(folder: Path) -> str:
    tagwise.report([folder], out=folder / "page.html")
    return (folder / "page.html").read_text("utf-8")


def test_l18_jittered_boxes_blame_placement(tmp_path: Path) -> None:
    folder = blamed(tmp_path / "c", off=0.4)
    (found,) = findings(folder)
    assert found.statement.startswith("tags against scratch: classification unclear (class accuracy in true boxes ")
    assert "localisation down (class-agnostic box AP " in found.statement
    split = found.statement.partition("AP50 lost, tags less scratch: ")[2]
    assert re.match(r"\+0\.\d{3} where the place is off \(IoU \.1 to \.5\)", split)
    assert not re.search(r"\+0\.\d{3} where the class", split)
    assert found.kind == "bad"
    assert found.statement in page_of(folder)


def test_l18_permuted_labels_blame_classes(tmp_path: Path) -> None:
    folder = blamed(tmp_path / "c", mistaken=0.7)
    (found,) = findings(folder)
    assert found.statement.startswith("tags against scratch: classification down (class accuracy in true boxes ")
    assert "localisation unclear (class-agnostic box AP " in found.statement
    split = found.statement.partition("AP50 lost, tags less scratch: ")[2]
    assert re.match(r"\+0\.\d{3} where the class is wrong", split)
    assert "place" not in split
    assert found.statement in page_of(folder)


def test_nothing_changed_blames_nothing(tmp_path: Path) -> None:
    (found,) = findings(blamed(tmp_path / "c"))
    assert found.statement.startswith("No verdict: the intervals of scratch and tags overlap")
    assert "AP50 lost" not in found.statement
    assert found.kind == "plain"


def test_one_seed_gives_no_verdict_and_says_so(tmp_path: Path) -> None:
    folder = blamed(tmp_path / "c", seeds=1, off=0.4)
    (found,) = findings(folder)
    assert found.statement == "No verdict: 1 seed of 3 that it takes at least."
    assert "interval" not in found.spread
    assert "1 seed of 3" in page_of(folder)
    assert length_table(read_located(folder)).rows[0][3].startswith("-")  # type: ignore[union-attr]


def steady(low: float) -> list[dict[str, float]]:
    return [
        {"box AP": low + seed / 100, "box AP50": 2 * low, "box AP75": low / 2, "class-agnostic box AP": low}
        for seed in range(3)
    ]


def test_a_gain_that_longer_training_takes_away_is_shown(tmp_path: Path) -> None:
    runs = {("scratch", 0.25): steady(0.2), ("tags", 0.25): steady(0.3), ("scratch", 1): steady(0.4)}
    faded = compared(tmp_path / "faded", runs | {("tags", 1): steady(0.4)})
    (said,) = statements(read_located(faded))
    assert said.endswith(
        "The gain does not last: box AP +0.100 on 1/4 of the schedule, +0.000 on all, 95 % interval +0.000 to +0.000."
    )
    kept = compared(tmp_path / "kept", runs | {("tags", 1): steady(0.45)})
    (said,) = statements(read_located(kept))
    assert said.endswith("The gain lasts: box AP +0.100 on 1/4 of the schedule, +0.050 on all.")
    rows = length_table(read_located(kept)).rows
    assert [row[:3] for row in rows] == [["tags over scratch", "1/4", 3], ["tags over scratch", "all", 3]]
    assert page_of(kept).count("tags over scratch") >= 4


def test_masks_stand_beside_boxes(tmp_path: Path) -> None:
    def masked(low: float, gain: float) -> list[dict[str, float]]:
        masks = {"mask AP": low, "mask AP50": 2 * low + gain, "mask AP75": low + gain / 2}
        return [
            one | {name: value + seed / 1000 for name, value in masks.items()} for seed, one in enumerate(steady(low))
        ]

    folder = compared(tmp_path / "c", {("scratch", 1): masked(0.2, 0), ("tags", 1): masked(0.2, 0.1)})
    table = length_table(read_located(folder))
    assert table.columns[3:9] == ("box AP", "box AP50", "box AP75", "mask AP", "mask AP50", "mask AP75")
    assert table.rows[0][7:] == ["+0.100*", "+0.050*", "mask 0.50"]
    assert "tags over scratch, all · mask AP75" in page_of(folder)


def test_a_hostile_name_is_only_a_name(tmp_path: Path) -> None:
    name = "\"'><script>alert(1)</script>"
    folder = compared(tmp_path / "c", {("scratch", 1): steady(0.2), (name, 1): steady(0.3)})
    assert "<script>" not in page_of(folder)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    write_target(folder / "target", train=4, val=4)
    write_start(folder / "tags.safetensors", seed=1)
    return folder


def command(given: Path, out: Path, *more: str, head: str = "faster") -> tuple[str | Path, ...]:
    flags = ("--images", "4", "--batch", "2", "--resolution", "64", "--device", "cpu", "--seeds", "0", "--lengths", "1")
    tiny = ("--set", *TINY) if head == "faster" else ()
    model = given / "tags.safetensors"
    return ("compare", given / "target", "--head", head, "--model", model, "-o", out, *flags, *tiny, *more)


def test_one_command_trains_tells_and_is_reported(given: Path, here: Here, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = here(*command(given, out))
    assert done.code == 0, done.err
    assert "With 1 seed there will be no verdict; it takes 3." in done.err
    assert "run 2 of 2: tags, 1 of the schedule, seed 0" in done.err
    assert "No verdict: 1 seed of 3 that it takes at least." in done.out
    assert "tags over scratch" in done.out
    assert done.out.endswith(f"comparison: {out}\n")
    again = here(*command(given, out))
    assert (again.code, again.out, "run 1 of" in again.err) == (0, done.out, False)
    run = read_located(out).runs[1]
    page = here("report", out, out / run.folder, "-o", tmp_path / "page.html")
    assert page.code == 0, page.err
    assert "Where things are, on the test part of target" in (tmp_path / "page.html").read_text("utf-8")
    other = here("compare", given / "target", "--model", given / "tags.safetensors", "-o", out, "--device", "cpu")
    assert other.code in (2, 3), other.err


def test_a_segmenter_is_compared_by_its_pixels(given: Path, here: Here, tmp_path: Path) -> None:
    done = here(*command(given, tmp_path / "out", head="fcn"))
    assert done.code == 0, done.err
    assert "mean IoU" in done.out
    assert {"mean IoU", "pixel accuracy"} == {*read_located(tmp_path / "out").runs[0].numbers}
    tagwise.report([tmp_path / "out"], out=tmp_path / "page.html")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--by", "knn"), "--by does nothing here, because --head faster tells where things are"),
        (("--seed", "1"), "--seed does nothing here, because --head faster tells where things are"),
        (("--lengths", "0"), "--lengths are multiples of the schedule above 0, such as 0.25 0.5 1, not 0."),
        (("--seeds", "-1"), "--seeds are whole numbers from 0, such as 0 1 2, not -1."),
        (("--recipe", "he_cifar"), "leave --head away"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(
    given: Path, here: Here, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    words = [word for word in command(given, tmp_path / "out") if word not in ("--seeds", "--lengths", "0", "1")]
    done = here(*words, *more)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (tmp_path / "out").exists()


def test_flags_of_annotations_need_a_head(given: Path, here: Here, tmp_path: Path) -> None:
    done = here("compare", given, "--model", given / "tags.safetensors", "-o", tmp_path / "out", "--images", "9")
    assert (done.code, "--images does nothing here, because without --head" in done.err) == (2, True), done.err


def test_an_unknown_head_names_its_neighbours(given: Path, here: Here, tmp_path: Path) -> None:
    words: list[Any] = [word if word != "faster" else "fastr" for word in command(given, tmp_path / "out")]
    done = here(*words)
    assert (done.code, "faster" in done.err) == (2, True), done.err
