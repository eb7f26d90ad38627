"""The road of the README, every verb given as people give it, and given again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import tagwise as face
from tagwise.base.files import read_json, sha256_of_file
from tagwise.tags.space import LabelSpace
from tests.verbs.road import DESIGN, SMALL, Done, Road, tagwise

Here = Callable[..., Done]
VERBS = ("gather", "labels", "pretrain", "compare", "train", "predict", "report")
SMOKE = "import tagwise.verbs.quickstart as q; q.TRAIN_PER_CLASS = 4; from tagwise.cli import main; main()"
"""The quickstart with four labelled pictures a class."""


@pytest.mark.parametrize("verb", VERBS)
def test_p2_every_verb_ends_with_0_results_on_stdout_and_talk_on_stderr(road: Road, verb: str) -> None:
    done = road.steps[verb]
    assert done.code == 0
    assert done.json, "all of stdout is the JSON"
    assert "\x1b" not in done.out + done.err
    assert "Traceback" not in done.err
    assert not done.out.isspace()


def test_counts_go_from_verb_to_verb(road: Road) -> None:
    gathered, made = road.steps["gather"].json["record"], road.steps["labels"].json
    buckets = gathered["buckets"]
    assert gathered["read"] == 150 == sum(buckets.values())
    assert made["pictures"] == buckets["used"]
    assert made["tags"] == gathered["tags"] == sum(made["fates"].values())
    assert made["labels"] == len(LabelSpace.load(road / "space.json"))
    with Path(made["fates_file"]).open(encoding="utf-8", newline="") as handle:
        assert sum(int(row["times"]) for row in csv.DictReader(handle)) == made["tags"]
    assert "learning rate: 0.1 = 0.4 per 256 x 64 / 256" in road.steps["pretrain"].err
    assert road.steps["pretrain"].json["scores"]["images"] == 640


def test_a_comparison_has_scratch_beside_and_says_how_often_the_test_was_opened(road: Road) -> None:
    compared = road.steps["compare"].json["comparison"]
    assert [(row["model"], row["protocol"]) for row in compared["rows"]] == [
        ("scratch", "train"),
        ("a", "knn"),
        ("a", "linear"),
        ("a", "train"),
    ]
    assert compared["test_looks"] == 4
    for row in compared["rows"]:
        assert row["low"] <= row["accuracy"] == row["right"] / 40 <= row["high"]
    for gain in compared["gains"]:
        assert gain["low"] <= gain["points"] <= gain["high"]


def test_a_classifier_has_the_targets_classes_and_its_score(road: Road) -> None:
    scores = road.steps["train"].json["scores"]
    assert scores["test_pictures"] == 40
    assert scores["low"] <= scores["accuracy"] <= scores["high"]
    model = face.load(road / "runs/b")
    assert list(model.facts.outputs) == sorted(path.name for path in (road / "target/train").iterdir())
    assert len(model.facts.lineage) == 2


def test_p11_a_broken_picture_gets_a_row_that_says_why(road: Road, here: Here) -> None:
    answers = {Path(answer["picture"]).name: answer for answer in road.steps["predict"].json["answers"]}
    assert list(answers) == ["broken.jpg", "new0.jpg", "new1.jpg", "new2.jpg"]
    assert answers["broken.jpg"]["problem"]
    assert all(len(answers[f"new{number}.jpg"]["outputs"]) == 5 for number in range(3))
    asked = ("predict", road / "new", "--model", road / "runs/a", "--device", "cpu", "--format")
    table = here(*asked, "table")
    assert len(table.out.splitlines()) == 2 + 4
    assert f"not read: {answers['broken.jpg']['problem']}"[:40] in table.out
    rows = list(csv.DictReader(here(*asked, "csv").out.splitlines()))
    lines = [json.loads(line) for line in here(*asked, "jsonl").out.splitlines()]
    for row, line, answer in zip(rows, lines, answers.values(), strict=True):
        assert row["picture"] == line["picture"] == answer["picture"]
        assert (row["problem"] or None) == line["problem"] == answer["problem"]
        assert list(line["outputs"].items()) == [tuple(pair) for pair in answer["outputs"]]
        said = [row[f"output_{place}"] for place in range(1, 6) if row[f"output_{place}"]]
        assert said == [name for name, _ in answer["outputs"]]


def test_python_says_what_the_command_said(road: Road) -> None:
    answer = road.steps["predict"].json["answers"][1]
    tagger = face.Tagger(road / "runs/a", device="cpu")
    assert [[name, pytest.approx(share)] for name, share in tagger(answer["picture"]).outputs] == answer["outputs"]
    net = face.load(road / "runs/a").net
    with torch.inference_mode():
        maps = net.features(torch.zeros(2, 3, 16, 16))
        assert net.embed(torch.zeros(2, 3, 16, 16)).shape == (2, net.channels[-1])
    assert [16 // level.shape[-1] for level in maps] == list(net.strides)
    assert [level.shape[1] for level in maps] == list(net.channels)
    assert net.fc.out_features == len(LabelSpace.load(road / "space.json"))
    assert face.create_model(DESIGN, num_classes=10).fc.out_features == 10


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("gather", "is already gathered from these sources"),
        ("labels", "is already this very label space"),
        ("pretrain", "is finished: it has this very plan"),
        ("train", "is finished: it has this very plan"),
        ("compare", "is finished: it is this very comparison"),
    ],
)
def test_p14_the_same_command_again_is_finished_and_says_the_same(road: Road, here: Here, verb: str, told: str) -> None:
    before = road.steps[verb]
    again = here(*before.arguments)
    assert again.code == 0
    assert told in again.err
    first, second = before.json, again.json
    assert second | {"already": None} == first | {"already": None}


@pytest.mark.parametrize(
    ("verb", "other", "told"),
    [
        ("gather", ("--tags-column", "owner"), "tags"),
        ("labels", ("--min-count", "9"), "holds another label space"),
        ("pretrain", ("--lr", "0.5"), "rate_per_256: 0.4 -> 2.0"),
        ("pretrain", ("--seed", "1"), "seed: 0 -> 1"),
        ("train", ("--images", "128"), "images: 64 -> 128"),
        ("compare", ("--epochs", "2"), "images: 40 -> 80"),
    ],
)
def test_p14_another_plan_is_refused_with_the_difference(
    road: Road, here: Here, verb: str, other: tuple[str, ...], told: str
) -> None:
    given = list(road.steps[verb].arguments)
    for flag, value in zip(other[::2], other[1::2], strict=True):
        if flag in given:
            given[given.index(flag) + 1] = value
        else:
            given += [flag, value]
    model = sha256_of_file(road / "runs/a/model.safetensors")
    done = here(*given)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "--overwrite" in done.err
    assert sha256_of_file(road / "runs/a/model.safetensors") == model


def test_p14_overwrite_begins_anew(road: Road, here: Here, tmp_path: Path) -> None:
    shutil.copytree(road / "runs/a", tmp_path / "a")
    corpus = (road / "corpus", "--labels", road / "space.json", "-o", tmp_path / "a")
    done = here("pretrain", *corpus, "--images", "128", *SMALL, "--overwrite")
    assert done.code == 0
    assert read_json(tmp_path / "a/plan.json")["images"] == 128
    assert read_json(tmp_path / "a/scores.json")["images"] == 128
    assert here("pretrain", *corpus, "--images", "128", *SMALL).err.count("is finished") == 1


@pytest.mark.parametrize("verb", ["predict", "report"])
def test_a_page_or_table_that_is_there_is_replaced_on_demand_only(
    road: Road, here: Here, tmp_path: Path, verb: str
) -> None:
    out = tmp_path / {"predict": "tags.csv", "report": "page.html"}[verb]
    arguments = {
        "predict": (road / "new", "--model", road / "runs/a", "--device", "cpu"),
        "report": (road / "runs/a", road / "comparison"),
    }[verb]
    assert here(verb, *arguments, "-o", out).code == 0
    content = out.read_bytes()
    refused = here(verb, *arguments, "-o", out)
    assert refused.code == 2
    assert "is there already; give --overwrite or another -o" in refused.err
    assert here(verb, *arguments, "-o", out, "--overwrite").code == 0
    assert out.read_bytes() == content


@pytest.mark.parametrize("verb", ["pretrain", "train"])
def test_p15_a_dry_run_says_what_it_costs_and_writes_nothing(road: Road, here: Here, tmp_path: Path, verb: str) -> None:
    arguments = {
        "pretrain": (road / "corpus", "--labels", road / "space.json", *SMALL),
        "train": (road / "target", "--from", road / "runs/a", "--device", "cpu"),
    }[verb]
    before = sorted(road.folder.rglob("*"))
    done = here(verb, *arguments, "-o", tmp_path / "run", "--images", "6400", "--dry-run")
    assert done.code == 0
    facts = dict(line.split("  ", 1) for line in done.out.splitlines() if "  " in line)
    steps, batch = {"pretrain": (100, 64), "train": (200, 32)}[verb]
    assert f"{steps} steps of {batch}" in facts["pictures seen"]
    assert f"per 256 x {batch} / 256" in facts["learning rate"]
    assert "parameters" in facts["net"]
    for name, unit in (("memory", "MB"), ("disk", "MB"), ("time", "pictures/s on cpu")):
        assert unit in facts[name]
    assert "nothing was trained" in done.out
    assert not (tmp_path / "run").exists()
    assert sorted(road.folder.rglob("*")) == before


@pytest.mark.parametrize("law", ["natural", "sqrt", "uniform", "power:0.3", "cap", "raked"])
def test_p16_the_sampler_is_chosen_by_name(road: Road, here: Here, tmp_path: Path, law: str) -> None:
    threshold = () if law in ("natural", "raked") else ("--threshold", "20")
    arguments = (road / "corpus", "--labels", road / "space.json", "-o", tmp_path, *SMALL, "--law", law, *threshold)
    done = here("pretrain", *arguments, "--dry-run", "--rate", "100")
    told = f"{law}, threshold 20 pictures: " if threshold else f"{law}: "
    assert f"sampling law   {told}" in done.out
    assert here("pretrain", *arguments, "--law", "uniformly", "--dry-run").code == 2


def test_p16_expected_and_actual_exposure_of_each_tag_are_reported(road: Road) -> None:
    exposures = read_json(road / "runs/a" / "exposures.json")
    expected_V, seen_V = np.array(exposures["expected"]), np.array(exposures["seen"])
    assert len(expected_V) == len(seen_V) == len(exposures["labels"]) == len(LabelSpace.load(road / "space.json"))
    assert seen_V.sum() == pytest.approx(expected_V.sum(), rel=0.05)
    assert (np.abs(seen_V - expected_V) < 5 * np.sqrt(expected_V) + 5).all()
    page = (road / "report.html").read_text("utf-8")
    assert "a: the tags seen furthest from what the law expects" in page


def test_a_grown_label_space_keeps_the_rows_that_both_know(road: Road, here: Here, tmp_path: Path) -> None:
    grown = tmp_path / "grown.json"
    made = here("labels", road / "corpus", "-o", grown, "--min-count", "4", "--aliases", road / "aliases.tsv")
    assert made.code == 0
    old, new = LabelSpace.load(road / "space.json"), LabelSpace.load(grown)
    assert len(new) > len(old)
    arguments = (road / "corpus", "--labels", grown, "--from", road / "runs/a", "-o", tmp_path / "b")
    done = here(
        *("pretrain", *arguments, "--recipe", "small", "--images", "64", "--lr", "1e-9", "--device", "cpu"),
        *("--set", "precision=float32", "weight_decay=0"),
    )
    assert done.code == 0
    assert f"{len(old)} of {len(new)} labels keep their classifier rows of a" in done.err
    before, after = (face.load(folder) for folder in (road / "runs/a", tmp_path / "b"))
    rows = {label.key: row for label, row in zip(new.labels, after.net.fc.weight, strict=True)}
    for label, row in zip(old.labels, before.net.fc.weight, strict=True):
        assert torch.allclose(rows[label.key], row, atol=1e-5)
    assert len(after.facts.lineage) == 2


def test_class_folders_are_gathered_with_their_names_as_tags(road: Road, here: Here, tmp_path: Path) -> None:
    record = here("gather", road / "target/train", "-o", tmp_path / "corpus", "--json").json["record"]
    assert (
        dict(record["commonest_tags"]).items()
        <= {(path.name, 4): None for path in (road / "target/train").iterdir()}.keys()
    )
    assert (record["buckets"]["used"], record["distinct_tags"]) == (40, 10)


def test_a_table_with_a_column_of_classes_is_a_target(road: Road, here: Here, tmp_path: Path) -> None:
    pictures = sorted((road / "target/train").rglob("*.jpg"))
    with (tmp_path / "target.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("file", "kind", "note"))
        writer.writerows((path, path.parent.name, "a, b") for path in pictures)
    arguments = ("train", tmp_path / "target.csv", "--design", DESIGN, "--resolution", "16", "--images", "64")
    flags = ("--test-fraction", "0.25", "--device", "cpu", "--set", "precision=float32")
    refused = here(*arguments, *flags, "-o", tmp_path / "run")
    assert refused.code == 2
    assert "--class-column" in refused.err
    done = here(*arguments, *flags, "-o", tmp_path / "run", "--class-column", "kind", "--json")
    assert done.code == 0
    assert done.json["scores"]["test_pictures"] == 10
    assert "30 pictures to train on, 10 to test" in done.json["facts"]["target"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """The quickstart for people, and given again for programs."""
    folder = tmp_path_factory.mktemp("smoke") / "quickstart"
    arguments = ("quickstart", "--images", "1280", "--pictures", "300", "--test-per-class", "3", "-o", folder)
    cpu = ("--device", "cpu")
    return {
        name: tagwise(*arguments, *cpu, *flags, code=SMOKE) for name, flags in (("text", ()), ("json", ("--json",)))
    }


def test_w20_smoke_the_quickstart_tells_the_whole_story(smoke: dict[str, Done]) -> None:
    done = smoke["text"]
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert "fate of a tag" in done.err
    assert done.err.count("\n$ tagwise ") == 6, "each step is shown as a command"
    told = done.out[done.out.index("The same on your own pictures:") :].splitlines()[1:]
    assert [line.split()[:2] for line in told] == [["tagwise", verb] for verb in ("gather", "labels", "pretrain")]
    assert "points over scratch" in done.out


def test_w20_smoke_both_laws_stand_beside_scratch_with_intervals(smoke: dict[str, Done]) -> None:
    done = smoke["json"]
    assert done.code == 0, done.err
    assert done.err.count("is finished") == 3, "nothing is trained twice"
    result = done.json
    rows = {(row["model"], row["protocol"]): row for row in result["comparison"]["rows"]}
    assert {model for model, _ in rows} == {"scratch", "natural", "sqrt"}
    assert {protocol for model, protocol in rows if model != "scratch"} == {"knn", "linear", "train"}
    for row in rows.values():
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
        assert row["test_pictures"] == 30
    assert {(gain["model"], gain["protocol"]) for gain in result["comparison"]["gains"]} == rows.keys() - {
        ("scratch", "train")
    }
    for gain in result["comparison"]["gains"]:
        against = rows[gain["model"], gain["protocol"]]["accuracy"] - rows["scratch", "train"]["accuracy"]
        assert gain["low"] <= gain["points"] <= gain["high"]
        assert gain["points"] == pytest.approx(100 * against)
    assert np.isfinite([law["mass_effective_labels"] for law in result["labels"]["laws"].values()]).all()
    assert Path(result["report"]).is_file()


def test_the_smokes_report_opens_in_a_browser_without_network_and_without_a_word_on_its_console(
    smoke: dict[str, Done], tmp_path: Path
) -> None:
    page = Path(smoke["json"].json["report"])
    addresses = re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page.read_text("utf-8"))
    assert [address for address in addresses if not address.startswith(("data:", "#"))] == []
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here to open the page with")
    flags = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--dump-dom"),
        f"--user-data-dir={tmp_path / 'profile'}",
    )
    done = subprocess.run([chromium, *flags, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<svg") >= 4
    assert done.stdout.count("<img") > 10
    for words in ("From raw tags to labels", "Three new pictures, tagged", "The same on your own pictures"):
        assert words in done.stdout
