"""The page beside a label space: its numbers are the space's, and strangers' words stay words."""

from __future__ import annotations

import csv
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tagwise.corpus.table import Corpus
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelSpace
from tagwise.tags.table import Assignment, TagTable
from tagwise.verbs import label_samples
from tagwise.verbs.gather import gather
from tagwise.verbs.label_samples import sampled_labels, sampled_rows
from tagwise.verbs.labels import LabelsResult, labels
from tests.references.wordnet import write_wordnet
from tests.verbs.road import Done

Here = Callable[..., Done]
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\u202e"
WORDS = ("brown bear", "Ursus arctos", "Cat", "cats", "crane", "derrick", "12", "\u5915\u65e5", HOSTILE, "rare")


class Seen(HTMLParser):
    """Elements with their attributes, and tables by caption."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._caption, self._inside = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "figure":
            self._caption = ""
        elif tag == "tbody":
            self.tables[self._caption] = []
        elif tag == "tr" and self._caption in self.tables:
            self.tables[self._caption].append([])
        elif tag in ("th", "td") and self._caption in self.tables:
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "figcaption":
            self._caption += data
        elif self._inside in ("th", "td") and self._caption in self.tables:
            self.tables[self._caption][-1][-1] += data


def read(result: LabelsResult) -> tuple[str, Seen]:
    assert result.page_file is not None
    text = result.page_file.read_text("utf-8")
    seen = Seen()
    seen.feed(text)
    return text, seen


def tagged(folder: Path, pictures: int = 40, side: int = 24) -> Path:
    """A corpus of noisy pictures; picture n has every word whose place divides n, so that some are rare."""
    (folder / "p").mkdir(parents=True)
    noise = np.random.default_rng(0)
    rows = []
    for number in range(pictures):
        Image.fromarray(noise.integers(0, 256, (side, side, 3), np.uint8)).save(folder / "p" / f"{number}.png")
        held = [word for place, word in enumerate(WORDS, start=1) if number % place == 0]
        rows.append((f"p/{number}.png", ";".join(held), f"person {number % 3}"))
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("picture", "tags", "owner"), *rows])
    gather([folder / "t.csv"], folder / "corpus", separator=";")
    return folder / "corpus"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tagged(tmp_path_factory.mktemp("tagged"))


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lexicon") / "wordnet"
    write_wordnet(folder)
    return folder


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


@pytest.mark.parametrize("law", ["natural", "sqrt", "raked"])
def test_the_numbers_of_the_page_are_those_of_the_space(corpus: Path, tmp_path: Path, law: str) -> None:
    result = labels(corpus, tmp_path / "space.json", min_count=5, law=law)
    space, (text, seen) = LabelSpace.load(tmp_path / "space.json"), read(result)
    with (tmp_path / "space.json.fates.csv").open(encoding="utf-8", newline="") as handle:
        listed = list(csv.DictReader(handle))
    told = {row[0].partition(":")[0]: row for row in seen.tables["The fates, with the tags that met them most often."]}
    assert {fate: number(row[2]) for fate, row in told.items()} == {fate: n for fate, n in space.fates.items() if n}
    assert {fate: number(row[3]) for fate, row in told.items()} == Counter(row["fate"] for row in listed)
    assert told["too few pictures"][0].endswith("on fewer than 5 pictures")
    assert "rare" in told["too few pictures"][1]
    tail = seen.tables["Labels by how many pictures they are on."]
    assert [number(row[1]) for row in tail] == [
        sum(low <= label.pictures <= high for label in space.labels)
        for low, high in ((1, 1), (2, 5), (6, 10), (11, 20), (21, 50))
    ]
    assert [row[0] for row in seen.tables["The most frequent labels."]] == [label.key for label in space.labels]
    even = {row[0]: row[1:] for row in seen.tables["How even the labels are."]}
    assert set(even) == {"natural, as drawn", "natural, as a softmax sees"} | (
        {f"{law}, {kind}" for kind in ("as intended", "as drawn", "as a softmax sees")} if law != "natural" else set()
    )
    assert float(even[f"{law}, as a softmax sees"][0]) == pytest.approx(
        result.laws[law]["mass_effective_labels"], rel=1e-3
    )
    assert f'<p class="value">{len(space)}</p>' in text
    assert f"{result.labelled_pictures} of 40 pictures have one." in text
    assert space.digest in text
    assert bool(re.search('<p class="note (good|bad)">The law raked ', text)) == (law == "raked")


def test_strangers_words_stay_words_and_nothing_is_fetched(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "<b onclick=x>"
    folder.mkdir()
    (folder / "corpus").symlink_to(corpus)
    result = labels(folder / "corpus", folder / "a<i>b.json")
    text, seen = read(result)
    kinds = {tag for tag, _ in seen.elements}
    assert not kinds & {"script", "b", "i"}
    assert not [name for _, held in seen.elements for name in held if name.startswith("on")]
    addresses = [held[name] or "" for _, held in seen.elements for name in ("src", "href") if name in held]
    assert addresses
    assert all(address.startswith(("#section-", "data:")) for address in addresses)
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)


def test_pictures_hold_the_label_that_they_stand_for(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = labels(corpus, tmp_path / "space.json")
    _, seen = read(result)
    space, opened = LabelSpace.load(tmp_path / "space.json"), Corpus.open(corpus)
    assignment = space.encode_table(opened.tag_table())
    shown = sampled_labels(space)
    counts = space.counts
    assert [counts[label] for _, label in shown] == sorted((counts[label] for _, label in shown), reverse=True)
    assert shown[0] == ("head", 0)
    assert shown[-1][0] == "tail"
    assert counts[shown[-1][1]] == counts.min()
    rows = sampled_rows(assignment, space, [label for _, label in shown])
    for label, drawn in rows.items():
        held = [
            row for row in range(40) if label in assignment.ids[assignment.offsets[row] : assignment.offsets[row + 1]]
        ]
        assert len(drawn) == len(set(drawn)) == min(6, len(held))
        assert set(drawn) <= set(held)
    assert opened.picture_places([3, 1]) == [opened.picture_places()[row] for row in (3, 1)]
    pictures = [held["alt"] or "" for tag, held in seen.elements if tag == "img"]
    assert len(pictures) == sum(map(len, rows.values()))
    assert all(pictures), "who cannot see a picture is told its labels"
    assert sampled_rows(assignment, space, [shown[0][1]])[shown[0][1]] == rows[shown[0][1]]
    monkeypatch.setattr(label_samples, "_BLOCK_LABELS", 7)
    assert sampled_rows(assignment, space, [label for _, label in shown]) == rows


def test_pictures_are_found_a_block_of_labels_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million pictures of one label take no million bytes to draw six of."""
    pictures = 2**20
    table = TagTable(pictures=2, rows=np.arange(2), raw_ids=np.zeros(2, np.int64), raw=["cat"])
    space = build_label_space(table).space
    space = replace(space, labels=(replace(space.labels[0], pictures=pictures),))
    assignment = Assignment(ids=np.zeros(pictures, np.int32), offsets=np.arange(pictures + 1))
    monkeypatch.setattr(label_samples, "_BLOCK_LABELS", 2**12)
    tracemalloc.start()
    drawn = sampled_rows(assignment, space, [0])[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(drawn)) == 6
    assert max(drawn) > pictures // 4
    assert peak < 2**19


def test_pictures_that_are_gone_are_counted(tmp_path: Path) -> None:
    corpus = tagged(tmp_path / "tagged", pictures=6)
    for place in range(3):
        (tmp_path / "tagged" / "p" / f"{place}.png").unlink()
    text, seen = read(labels(corpus, tmp_path / "space.json", top=1))
    assert len([tag for tag, _ in seen.elements if tag == "img"]) == 3
    assert "3 more pictures lie on other machines or can no longer be read" in text


def test_a_corpus_without_pictures_has_a_page_all_the_same_and_a_small_one(tmp_path: Path) -> None:
    rows = [
        (f"{place}.png", ";".join(f"{HOSTILE} {'x' * 300} {place} {tag}" for tag in range(4))) for place in range(500)
    ]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("picture", "tags"), *rows])
    gather([tmp_path / "t.csv"], tmp_path / "corpus", separator=";", pictures=False)
    text, seen = read(labels(tmp_path / "corpus", tmp_path / "space.json"))
    assert "The corpus holds no pictures." in text
    assert "img" not in {tag for tag, _ in seen.elements}
    assert len(text.encode()) < 2_000_000


def test_large_pictures_do_not_make_the_page_large(tmp_path: Path) -> None:
    text, _ = read(labels(tagged(tmp_path / "tagged", side=200), tmp_path / "space.json"))
    assert text.count("<img ") > 20
    assert len(text.encode()) < 5_000_000
    assert len(re.sub(r"data:image/[^\"]*", "", text).encode()) < 2_000_000


def test_w3_meanings_a_target_and_another_space_have_their_sections(
    corpus: Path, wordnet: Path, tmp_path: Path
) -> None:
    plain = labels(corpus, tmp_path / "plain.json")
    headings = ("Ambiguous labels", "Aligned to the target", "Extended", "Beside another space")
    assert not any(f">{heading}</h2>" in read(plain)[0] for heading in headings)
    (tmp_path / "classes.txt").write_text("bear\ncrane\nhovercraft\ndog\n", "utf-8")
    labels(corpus, tmp_path / "old.json", lexicon=wordnet, for_=tmp_path / "classes.txt", top=1)
    result = labels(
        corpus,
        tmp_path / "space.json",
        lexicon=wordnet,
        for_=tmp_path / "classes.txt",
        extend=tmp_path / "old.json",
        compare=tmp_path / "plain.json",
    )
    text, seen = read(result)
    assert all(f">{heading}</h2>" in text for heading in headings)
    assert "Labels of several meanings in WordNet 9.9: 1 of 3." in text
    [meanings] = seen.tables["The most frequent of them."]
    assert meanings[0] == "crane"
    assert "(bird) \u00b7 " in meanings[1]
    assert "2 of 4 classes have one." in text
    assert "with the ids that they had: 1. New: 2." in text
    assert result.comparison is not None
    assert any(caption.startswith(f"{len(result.comparison.shared)} labels in both") for caption in seen.tables)
    assert ["merged", "brownbear", "brownbear \u00b7 ursusarctos"] in seen.tables["Merged and split."]


def test_the_same_space_has_the_same_page(corpus: Path, tmp_path: Path) -> None:
    first = read(labels(corpus, tmp_path / "space.json"))[0]
    assert read(labels(corpus, tmp_path / "space.json"))[0] == first


def test_a_page_of_somebody_else_stays(corpus: Path, here: Here, tmp_path: Path) -> None:
    (tmp_path / "space.html").write_text("<h1>mine</h1>")
    done = here("labels", corpus, "-o", tmp_path / "space.json", "--overwrite")
    assert (done.code, "space.html, where the page goes, holds something else; give another -o" in done.err) == (
        2,
        True,
    )
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["space.html"]
    done = here("labels", corpus, "-o", tmp_path / "other.html")
    assert (done.code, "other.html is where the page goes; give -o a file such as" in done.err) == (2, True)
