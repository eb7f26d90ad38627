"""``labels``: the same space from any order of rows and any number of workers; one told fate for every raw tag."""

from __future__ import annotations

import csv
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tagwise.base.files import FolderLock
from tagwise.corpus.engine import EngineTags
from tagwise.corpus.sessions import Engine
from tagwise.tags.fates import DISCARDED
from tagwise.tags.key import canonical_key
from tagwise.tags.space import LabelSpace
from tagwise.tags.ways import KEPT
from tagwise.verbs.gather import gather
from tagwise.verbs.labels import _REMEDIES, LabelsResult, labels
from tests.references.wordnet import write_wordnet
from tests.verbs.road import Done

Here = Callable[..., Done]
WORDS = ("cat", "Cat", "#cats", "kitty", "dog", "dogs", "12", "x", "\U0001f43b", "\u00e9t\u00e9", "e\u0301te\u0301")


@pytest.fixture
def rows(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Sixty pictures of three people; a few tags each, skewed as tags are."""
    chance = random.Random(4)
    (tmp_path / "p").mkdir()
    made = []
    for number in range(60):
        name = f"p/{number}.png"
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / name)
        tags = chance.choices(WORDS, [1 / (rank + 1) for rank in range(len(WORDS))], k=chance.randint(1, 5))
        made.append((name, ";".join([*tags, f"lone {number}"]), f"person {number % 3}"))
    return made


def table(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("picture", "tags", "owner"), *rows])
    return path


def fates(result: LabelsResult) -> list[dict[str, str]]:
    assert result.fates_file is not None
    with result.fates_file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def refuse_nothing_lost(result: LabelsResult, tags: int, raw: set[str]) -> None:
    """P8: each raw tag stands once, with a fate that has a name, and the fates' tags sum to the tags read."""
    listed = fates(result)
    # A cell that a spreadsheet would run has an apostrophe before it.
    assert Counter(re.sub("^'(?=[=+@-])", "", row["raw"]) for row in listed) == Counter(raw)
    assert {row["fate"] for row in listed} <= {*KEPT, *DISCARDED}
    assert all(bool(row["label"]) == (row["fate"] in KEPT) for row in listed)
    assert sum(int(row["times"]) for row in listed) == sum(result.fates.values()) == result.tags == tags
    by_fate: Counter[str] = Counter()
    for row in listed:
        by_fate[row["fate"]] += int(row["times"])
    assert by_fate == Counter({fate: count for fate, count in result.fates.items() if count})


def test_w4_the_file_is_the_same_for_shuffled_rows_and_for_1_or_8_workers(
    rows: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    shuffled = random.Random(1).sample(rows, len(rows))
    made, files = {}, set()
    engines: dict[str, Engine] = {"b": "duckdb", "c": "polars"}
    for name, given, workers in (("a", rows, 1), ("b", rows, 8), ("c", shuffled, 1), ("d", shuffled, 8)):
        gather([table(tmp_path / f"{name}.csv", given)], tmp_path / name, separator=";", workers=workers)
        space = tmp_path / f"{name}.json"
        engine = engines.get(name)
        threads = workers if engine == "duckdb" else None
        made[name] = labels(tmp_path / name, space, min_count=2, min_owners=2, engine=engine, workers=threads)
        files.add((space.read_bytes(), space.with_name(f"{name}.json.fates.csv").read_bytes()))
    assert len(files) == 1
    raw = [tag for _, cell, _ in rows for tag in cell.split(";")]
    refuse_nothing_lost(made["a"], len(raw), set(raw))
    assert 0 < sum(made["a"].fates[reason] for reason in DISCARDED) < len(raw)


def test_p8_explain_shows_the_path_of_every_tag(rows: list[tuple[str, str, str]], here: Here, tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text("x\n", "utf-8")
    (tmp_path / "aliases.tsv").write_text("kitty\tcat\n", "utf-8")
    gather([table(tmp_path / "t.csv", rows)], tmp_path / "corpus", separator=";")
    given = ("labels", tmp_path / "corpus", "-o", tmp_path / "space.json", "--min-count", "2", "--drop-numbers")
    lists = ("--deny", tmp_path / "deny.txt", "--aliases", tmp_path / "aliases.tsv")
    for tag, told in {
        "Cat": "'Cat', key 'cat': label 0, 'cat', in ",
        "#cats": "'#cats', key 'cats', plural of 'cat': label 0",
        "kitty": "'kitty', key 'kitty', alias of 'cat': label 0",
        "e\u0301te\u0301": "key '\u00e9t\u00e9'",
        "12": "a number",
        "x": "deny list",
        "lone 7": "'lone7' is on 1 picture, below --min-count 2",
        "\U0001f43b": "no letter or number",
        "never said": "nobody said it",
    }.items():
        done = here(*given, *lists, "--explain", tag)
        assert done.code == 0, done.err
        assert told in done.out
        assert done.out.count("\n") == 1
    assert not (tmp_path / "space.json").exists(), "asking writes nothing"


def test_asking_needs_no_file_and_no_label_and_writing_needs_a_file(here: Here, tmp_path: Path) -> None:
    gather([table(tmp_path / "t.csv", [("a.png", "cat;dog", "ann")])], tmp_path / "corpus", pictures=False)
    there = sorted(tmp_path.iterdir())
    done = here("labels", tmp_path / "corpus", "--min-count", "9", "--explain", "cat")
    assert (done.code, done.out) == (
        0,
        "'cat', key 'cat': 'cat' is on 1 picture, below --min-count 9, so it is no label.\n",
    )
    done = here("labels", tmp_path / "corpus")
    assert (done.code, done.err) == (
        2,
        "tagwise: The label space needs a file; give -o SPACE.json, or --explain TAG or --compare SPACE, which need "
        "none.\n",
    )
    assert sorted(tmp_path.iterdir()) == there


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A corpus of some animals, a lexicon and a target beside it."""
    write_wordnet(tmp_path / "wordnet")
    tags = ["brown bear;ursus arctos", "beagles;Beagle", "tabby;bruin", "crane", "ootd;derrick", "ai"]
    rows = [(f"{number}.png", cell, "ann") for number, cell in enumerate(tags)]
    gather([table(tmp_path / "zoo.csv", rows)], tmp_path / "zoo", separator=";", pictures=False)
    for part in ("train", "test"):
        for kind in ("bear", "dog", "hovercraft"):
            (tmp_path / "target" / part / kind).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "target" / part / kind / f"{part} {kind}.png")
    return tmp_path / "zoo"


def test_w3_a_lexicon_merges_and_a_target_selects(zoo: Path, here: Here, tmp_path: Path) -> None:
    given = ("labels", zoo, "--lexicon", tmp_path / "wordnet")
    opened = here(*given, "-o", tmp_path / "open.json", "--json").json
    assert opened["fates"] == dict.fromkeys([*KEPT, *DISCARDED], 0) | {
        "label": 6,
        "synonym": 1,
        "plural": 1,
        "too short": 1,
        "unknown": 1,
    }
    assert (opened["ambiguous_labels"], opened["ambiguous"][0][:2]) == (2, ["bruin", 1])
    aimed_at = (*given, "--for", tmp_path / "target")
    aimed = here(*aimed_at, "-o", tmp_path / "aimed.json", "--compare", tmp_path / "open.json")
    assert aimed.code == 0, aimed.err
    for told in (
        "2 of 3 classes of the target have a label",
        "classes that the lexicon does not know: 1 (hovercraft)",
        "lost: 4 words of the lexicon on 4 tags",
        "2 labels in both, 3 gone, 0 new, 1 merged of several",
    ):
        assert told in aimed.out
    asked = here(*aimed_at, "--explain", "tabby")
    assert "is in or under no class of target, so it is no label." in asked.out
    (tmp_path / "classes.txt").write_text("dog\ncrane\n", "utf-8")
    listed = labels(zoo, tmp_path / "l.json", lexicon=tmp_path / "wordnet", for_=tmp_path / "classes.txt")
    assert (listed.labels, listed.alignment and listed.alignment.without_labels) == (3, ())
    done = here("labels", zoo, "-o", tmp_path / "x.json", "--for", tmp_path / "classes.txt")
    assert (done.code, "give --lexicon beside --for" in done.err) == (2, True)


def test_a_space_grows_without_new_ids(zoo: Path, tmp_path: Path) -> None:
    old = labels(zoo, tmp_path / "old.json", lexicon=tmp_path / "wordnet", top=2)
    new = labels(zoo, tmp_path / "new.json", lexicon=tmp_path / "wordnet", extend=tmp_path / "old.json")
    before, after = (LabelSpace.load(tmp_path / name).labels for name in ("old.json", "new.json"))
    assert 0 < old.labels < new.labels
    assert [label.key for label in after[: len(before)]] == [label.key for label in before]


def test_a_space_edited_by_hand_is_told_and_can_be_made_again(zoo: Path, here: Here, tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    assert here("labels", zoo, "-o", space).code == 0
    made = space.read_text("utf-8")
    space.write_text(made.replace('"spelling": "crane"', '"spelling": "Crane"'), "utf-8")
    done = here("labels", zoo, "-o", space)
    assert (done.code, "is no label space as it was written: its digest is" in done.err) == (2, True)
    assert here("labels", zoo, "-o", space, "--overwrite").code == 0
    assert space.read_text("utf-8") == made


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-o", "page.html"), "is where the page goes"),
        (("-o", "wordnet"), "is a folder"),
        (("-o", "mine.json"), "is no JSON"),
        (("-o", "space.json", "--aliases", "cycle.tsv"), "cycle"),
        (("-o", "space.json", "--deny", "nowhere.txt"), "cannot be read"),
        (("-o", "space.json", "--allow", "signs.txt"), "--allow signs.txt holds no tag"),
        (("-o", "space.json", "--min-count", "2.5"), 'Invalid value for --min-count: unable to convert "2.5"'),
        (("-o", "space.json", "--top", "3.0"), 'Invalid value for --top: unable to convert "3.0"'),
        (("-o", "space.json", "--rule", "keys"), "Without a lexicon"),
        (("-o", "space.json", "--lexicon", "wordnet", "--extend", "old.json"), "made with the lexicon none"),
        (("-o", "space.json", "--law", "cap"), "needs a threshold in pictures"),
        (("-o", "space.json", "--law", "natural", "--threshold", "5"), "has no threshold"),
    ],
)
def test_what_is_wrong_in_the_command_is_told_before_the_tags_are_counted(
    zoo: Path, here: Here, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(zoo.parent)
    labels(zoo, "old.json")
    Path("mine.json").write_text("mine", "utf-8")
    Path("cycle.tsv").write_text("a\tb\nb\ta\n", "utf-8")
    Path("signs.txt").write_text("!\n\n", "utf-8")
    monkeypatch.setattr(EngineTags, "_number", lambda _: pytest.fail("the tags are counted"))
    done = here("labels", zoo, *flags, "--engine", "duckdb")
    assert (done.code, told in done.err) == (2, True), done.err


def test_a_deny_list_without_tags_is_told(zoo: Path, here: Here) -> None:
    done = here("labels", zoo, "--deny", os.devnull, "--explain", "crane")
    assert (done.code, done.err) == (0, f"--deny {os.devnull} holds no tag, so nothing is denied.\n")


@pytest.mark.parametrize(
    ("flags", "lists", "remedy"),
    [
        (("--min-count", "5"), {}, "too few pictures); lower --min-count."),
        (("--allow", "list.txt"), {"list.txt": "zebra"}, "not allowed); put some of them on the --allow list."),
        (("--min-length", "99"), {}, "too short); lower --min-length."),
        (("--lexicon", "other.tsv"), {"other.tsv": "n1\tzebra"}, "unknown); give a --lexicon that knows them or,"),
    ],
)
def test_what_leaves_no_label_is_named_with_its_remedy(
    zoo: Path, here: Here, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], lists: dict[str, str], remedy: str
) -> None:
    monkeypatch.chdir(zoo.parent)
    for name, text in lists.items():
        Path(name).write_text(text, "utf-8")
    done = here("labels", zoo, "-o", "space.json", *flags)
    assert (done.code, remedy in done.err) == (3, True), done.err


def test_every_reason_that_can_leave_no_label_has_a_remedy() -> None:
    assert {*_REMEDIES} == {*DISCARDED} - {"below the top"}


def test_one_label_of_one_tag_is_told_as_one(here: Here, tmp_path: Path) -> None:
    gather([table(tmp_path / "one.csv", [("0.png", "bear", "ann")])], tmp_path / "one", pictures=False)
    first = here("labels", tmp_path / "one", "-o", tmp_path / "space.json")
    assert first.out.startswith("1 label from 1 tag; 1 of 1 picture has a label\n")
    again = here("labels", tmp_path / "one", "--compare", tmp_path / "space.json")
    assert "1 label in both" in again.out
    page = (tmp_path / "space.html").read_text("utf-8")
    assert "head, 1 label<" in page
    assert "1 labels" not in page
    none = here("labels", tmp_path / "one", "-o", tmp_path / "none.json", "--min-count", "2")
    assert "No label is left of 1 tag (1 too few pictures)" in none.err


def test_a_kill_between_the_files_leaves_no_space_without_its_page(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tagwise.pages.page.write", killed)
        with pytest.raises(KeyboardInterrupt):
            labels(zoo, tmp_path / "space.json")
    assert not (tmp_path / "space.json").exists()
    assert labels(zoo, tmp_path / "space.json").space_file == tmp_path / "space.json"


def test_two_processes_do_not_write_one_space(
    zoo: Path, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagwise.verbs.label_files._PATIENCE_S", 0.2)
    (tmp_path / "out").mkdir()
    with FolderLock(tmp_path / "out"):
        done = here("labels", zoo, "-o", tmp_path / "out" / "space.json")
    assert (done.code, "Another process is writing into" in done.err) == (2, True)
    assert not any((tmp_path / "out").iterdir())


def test_names_of_tiny_imagenet_are_all_found_and_aligned(real_data: Path, tmp_path: Path) -> None:
    """200 classes, two of which share a wagon, by the names that people use for them."""
    source, lexica = real_data / "tiny_imagenet_tags" / "images.csv", real_data / "lexica"
    gather([source], tmp_path / "corpus", tags_column="tags", separator=";", pictures=False)
    words = lexica / "wordnet30_noun_synsets.tsv.gz"
    result = labels(tmp_path / "corpus", tmp_path / "a.json", lexicon=words, for_=lexica / "tiny_imagenet_200.tsv")
    assert sum(result.fates[fate] for fate in KEPT) == result.tags == 7700
    assert result.labelled_pictures == 4000
    assert result.alignment is not None
    assert (result.alignment.classes, result.alignment.without_labels, result.alignment.lost_tags) == (200, (), 0)
    assert "wagon" in result.alignment.shared
    assert result.labels == 201, "a wagon is of two classes"
    thousand = labels(tmp_path / "corpus", tmp_path / "b.json", lexicon=words, for_=lexica / "imagenet1k.tsv")
    assert thousand.alignment is not None
    assert len(thousand.alignment.shared) == 19
    assert thousand.alignment.classes - len(thousand.alignment.without_labels) >= 200


def test_spelling_families_of_a_shop_merge(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "fashion_tags" / "products.csv"
    gather([source], tmp_path / "corpus", tags_column="tags", separator=";", pictures=False)
    words = real_data / "lexica" / "wordnet30_noun_synsets.tsv.gz"
    labels(tmp_path / "corpus", tmp_path / "space.json", lexicon=words, unknown="label")
    encode = LabelSpace.load(tmp_path / "space.json").encode
    for family in (
        ("T-shirt", "Tshirt", "TShirt", "T-Shirts", "Tshirts"),
        ("Watch", "Watches"),
        ("Backpacks", "Rucksack"),
        ("Handbag", "Handbags", "HandBag"),
    ):
        assert len({encode(tag) for tag in family}) == 1, family
    assert encode("Sunglass") != encode("Sunglasses"), "a burning glass"


def test_p8_every_hashtag_of_57_383_real_rows_has_one_fate(real_data: Path, tmp_path: Path) -> None:
    names = ["picture", "tags"]
    source = real_data / "hashtags" / "harrison.tsv.gz"
    record = gather([source], tmp_path / "corpus", column_names=names, separator=" ", pictures=False).record
    assert record.read == record.buckets["used"] == 57_383
    assert record.distinct_tags == 997
    result = labels(tmp_path / "corpus", tmp_path / "space.json", min_count=10)
    refuse_nothing_lost(result, record.tags, {row["raw"] for row in fates(result)})
    assert len(fates(result)) == 997
    assert result.labelled_pictures > 57_000
    assert sum(result.fates[fate] for fate in KEPT) / result.tags > 0.99


def test_p8_every_tag_of_an_art_site_and_its_aliases_go_through_labels(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "hashtags" / "artwork_tags_with_aliases.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        site = list(csv.DictReader(handle))
    gather([path], tmp_path / "corpus", tags_column="tag", separator="none", pictures=False)
    result = labels(tmp_path / "corpus", tmp_path / "space.json", aliases=path)
    refuse_nothing_lost(result, 6000, {row["tag"] for row in site})
    kept = {canonical_key(row["tag"]) for row in site} - {""}
    assert result.labels == len(kept), "people keep these apart: none is merged into another"


def test_a_file_of_somebody_else_where_the_fates_go_stays(here: Here, tmp_path: Path) -> None:
    rows = [("a.png", "cat;dog", "ann")] * 3
    corpus, space = tmp_path / "corpus", tmp_path / "space.json"
    gather([table(tmp_path / "t.csv", [(f"{n}.png", *row[1:]) for n, row in enumerate(rows)])], corpus, pictures=False)
    beside = tmp_path / "space.json.fates.csv"
    beside.write_text("mine")
    for flags in ((), ("--overwrite",)):
        done = here("labels", corpus, "-o", space, *flags)
        assert (done.code, "holds something else; give another -o" in done.err) == (2, True)
    assert (beside.read_text(), space.exists()) == ("mine", False)
    beside.unlink()
    assert here("labels", corpus, "-o", space).code == 0
    assert here("labels", corpus, "-o", space, "--min-count", "2", "--overwrite").code == 0
