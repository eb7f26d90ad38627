"""The card of a gathered corpus as page, Markdown and JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.settings import from_plain
from tagwise.corpus.card import Card, card_facts
from tagwise.corpus.intake import Rules, Verdict, judge_posts
from tagwise.corpus.post import Post
from tagwise.corpus.table import Corpus
from tagwise.corpus.writer import commit_corpus, write_corpus
from tagwise.pages.page import Table
from tagwise.pixels.place import Place
from tagwise.verbs.card_page import card_report, write_card

if TYPE_CHECKING:
    from collections.abc import Iterable

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)> | `x` [a](http://b) \u202e\u200f\x00"
CARDS = ("card.html", "card.json", "card.md")


def gathered(folder: Path, judged: Iterable[tuple[Post, Verdict]]) -> Corpus:
    with write_corpus(folder) as writer:
        for post, verdict in judged:
            writer.add(post, verdict)
    forms = [{"source": f"{HOSTILE}.csv", "form": "csv"}]
    return commit_corpus(folder, writer.record(forms=forms, rules={"licences": "all"}, source_digest="s"))


def drawn(folder: Path, count: int, side: int = 40) -> list[Post]:
    """Posts of noisy pictures, some with a stranger's words."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    posts = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)).save(path)
        tags = ("cat", f"t{number % 7}", "夕日", HOSTILE)[: 1 + number % 4]
        licence, owner = (HOSTILE if number % 2 else None), f"owner {number % 5}"
        posts.append(Post(key=f"{number}.png", picture=Place(str(path)), tags=tags, owner=owner, licence=licence))
    return posts


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    posts = [*drawn(tmp_path / "photos", 30), Post(key="gone.png", picture=Place("/gone.png"), tags=("x",))]
    return gathered(tmp_path / "corpus", judge_posts(posts, Rules()))


def test_the_three_cards_say_the_same(corpus: Corpus) -> None:
    write_card(corpus.folder)
    card = from_plain(Card, json.loads((corpus.folder / "card.json").read_text("utf-8")), "card.json")
    assert card == card_facts(corpus)
    assert (card.digest, card.version) == (corpus.record.digest, corpus.record.version)
    page, text = ((corpus.folder / name).read_text("utf-8") for name in ("card.html", "card.md"))
    for said in (
        "Data card of corpus",
        "of 31 posts that were read",
        "Left out: 1 missing",
        card.digest,
        "skipped.csv",
    ):
        assert said in page
        assert said in text
    assert '<p class="kicker">Tagwise data card</p>' in page
    assert "Tagwise report" not in page
    assert "This is no guess at their language" in text
    assert "owner 3" not in page + text + (corpus.folder / "card.json").read_text("utf-8")


def test_the_rules_are_told_in_words(corpus: Corpus) -> None:
    rules = {"opt_out": "none", "licences": "all", "decode": "headers", "pack": "no", "max_skipped_fraction": "0.05"}
    known = commit_corpus(corpus.folder, replace(corpus.record, rules=rules | {"of_another_version": "x"}))
    report = card_report(card_facts(known), "corpus", [])
    [table] = (block for block in report.sections[0].blocks if isinstance(block, Table) and block.columns[0] == "rule")
    assert table.rows == [
        ("owners and keys left alone", "none"),
        ("licences allowed", "all"),
        ("pictures decoded whole", "none: headers alone were read"),
        ("pictures copied into the corpus", "no"),
        ("pictures that may be damaged, missing or duplicate", "5.0%"),
        ("of_another_version", "x"),
    ]


def test_a_source_is_told_in_words(corpus: Corpus) -> None:
    form = {"source": "/home/ann/t.csv", "form": "CSV table", "opt_out": "leave", "pictures": "True"}
    told = [("source", "t.csv"), ("form", "CSV table"), ("column of opt-outs", "leave"), ("with pictures", "yes")]
    for count in (1, 2):
        known = commit_corpus(corpus.folder, replace(corpus.record, forms=[form] * count))
        report = card_report(card_facts(known), "corpus", [])
        [table] = (one for one in report.sections[0].blocks if isinstance(one, Table) and one.columns[-1] == "read as")
        numbers = [str(number) for number in range(1, count + 1)]
        assert table.rows == (told if count == 1 else [(number, *row) for number in numbers for row in told])


def test_p29_the_page_needs_no_network_and_no_script_and_is_small(corpus: Corpus) -> None:
    write_card(corpus.folder)
    page = (corpus.folder / "card.html").read_text("utf-8")
    assert page.count("<img ") == 24
    assert "<script" not in page.lower()
    assert re.search(r"default-src 'none'", page)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("#section-", "data:")) for address in addresses)
    without_pictures = re.sub(r"data:image/[^\"]*", "", page)
    assert len(without_pictures.encode()) < 2_000_000
    assert len(page.encode()) < 5_000_000


def test_the_largest_pictures_do_not_make_the_page_large(tmp_path: Path) -> None:
    posts = drawn(tmp_path / "photos", 24, side=300)
    corpus = gathered(tmp_path / "corpus", judge_posts(posts, Rules()))
    write_card(corpus.folder)
    assert (corpus.folder / "card.html").stat().st_size < 1_500_000


def test_strangers_words_stay_words_in_markdown(corpus: Corpus) -> None:
    write_card(corpus.folder)
    text = (corpus.folder / "card.md").read_text("utf-8")
    parsed = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = {part.type for token in parsed for part in (token, *(token.children or []))}
    assert not {"html_block", "html_inline", "link_open", "image"} & kinds
    assert not re.search(r"[\u202e\u200f\x00]", text)
    sample = text[text.index("## A sample") : text.index("## How this was made")]
    assert len(re.findall(r"^\| \d+\.png \|", sample, re.MULTILINE)) == 24
    assert "alert(1)" in sample


def test_pictures_that_are_gone_since_are_named_and_the_card_is_written(corpus: Corpus) -> None:
    gone = [example.key for example in card_facts(corpus).sample][:3]
    for key in gone:
        (corpus.folder.parent / "photos" / key).unlink()
    write_card(corpus.folder)
    page = (corpus.folder / "card.html").read_text("utf-8")
    assert page.count("<img ") == 21
    assert f"3 of the 24 pictures can no longer be read: {', '.join(gone)}." in page


def test_a_table_of_tags_alone_has_a_card_without_pictures(tmp_path: Path) -> None:
    posts = [Post(key=f"row {number}", picture=None, tags=("cat", f"t{number}")) for number in range(40)]
    corpus = gathered(tmp_path / "corpus", judge_posts(posts, Rules()))
    write_card(corpus.folder)
    page, text = ((corpus.folder / name).read_text("utf-8") for name in ("card.html", "card.md"))
    assert "<img " not in page
    assert "## Pictures" not in text
    assert "tagged posts are used, of 40 posts that were read" in text
    assert len(re.findall(r">row \d+<", page)) == 24


def test_the_same_corpus_has_the_same_card(corpus: Corpus) -> None:
    write_card(corpus.folder)
    before = {name: (corpus.folder / name).read_bytes() for name in CARDS}
    write_card(corpus.folder)
    assert {name: (corpus.folder / name).read_bytes() for name in CARDS} == before


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no corpus"):
        write_card(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_card(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    write_card(corpus.folder)
    before = {path: path.read_bytes() for path in corpus.folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TagwiseError, match="disk is full"):
        write_card(corpus.folder)
    assert {path: path.read_bytes() for path in corpus.folder.iterdir()} == before


def test_p3_the_card_is_loaded_without_torch_pillow_or_matplotlib() -> None:
    heavy = {"torch", "pyarrow", "PIL", "msgspec", "matplotlib", "jinja2"}
    code = f"import sys, tagwise.verbs.card_page; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
