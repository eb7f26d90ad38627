"""The same lexicon out of every form; what contradicts itself is refused in a sentence."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon
from tests.references.wordnet import NOUNS, lexicon, write_lmf, write_table


def test_w2_each_form_says_the_same(tmp_path: Path) -> None:
    words, numbers = lexicon(tmp_path / "wordnet")
    with zipfile.ZipFile(tmp_path / "wordnet.zip", "w") as archive:  # as nltk brings it
        for name in ("data.noun", "noun.exc"):
            archive.write(tmp_path / "wordnet" / name, f"wordnet/{name}")
    write_lmf(tmp_path / "lmf.xml", numbers)
    (tmp_path / "lmf.xml.gz").write_bytes(gzip.compress((tmp_path / "lmf.xml").read_bytes()))
    for form in ("wordnet.zip", "lmf.xml", "lmf.xml.gz"):
        assert open_lexicon(tmp_path / form).digest == words.digest, form
    write_table(tmp_path / "table.tsv", numbers)
    (tmp_path / "table.tsv.gz").write_bytes(gzip.compress((tmp_path / "table.tsv").read_bytes()))
    for form in ("table.tsv", "table.tsv.gz"):
        table = open_lexicon(tmp_path / form)
        assert (dict(table.names), dict(table.parents), table.exceptions) == (words.names, words.parents, {})
    assert words.version == open_lexicon(tmp_path / "lmf.xml").version == "WordNet 9.9"
    assert len(words.names) == len(NOUNS)
    assert words.synsets["ursusarctos"] == (numbers["brown bear"],)
    assert words.synsets["panda"] == tuple(sorted((numbers["panda"], numbers["lesser panda"])))
    assert words.parents[numbers["Rover"]] == (numbers["dog"],), "an instance is under its kind"


def test_a_table_may_have_a_header_and_commas(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('names,wnid,parents\n"brown bear, bruin",b1,a1\nanimal,a1,\n', "utf-8-sig")
    words = open_lexicon(path)
    assert words.names == {"b1": ("brown bear", "bruin"), "a1": ("animal",)}
    assert words.in_or_under(["a1"]) == {"a1", "b1"}
    assert words.version == "mine.csv"


def test_what_is_under_a_synset(tmp_path: Path) -> None:
    words, numbers = lexicon(tmp_path)
    dogs = {numbers[name] for name in ("dog", "beagle", "cardigan dog", "Rover")}
    assert words.in_or_under([numbers["dog"]]) == dogs
    assert words.in_or_under([numbers["thing"]]) == words.names.keys()
    assert words.kind(numbers["crane machine"]) == f"{numbers['crane machine']} (machine)"


@pytest.mark.parametrize(
    ("key", "singular"),
    [
        ("albatrosses", "albatross"),
        ("brownbears", "brownbear"),
        ("geese", "goose"),
        ("oxen", "ox"),
        ("albatross", None),
        ("sunglasses", None),
        ("axes", None),  # of an ax or of an axis
        ("shades", None),
        ("nouns", None),
    ],
)
def test_w3_singular_of_an_unknown_key(tmp_path: Path, key: str, singular: str | None) -> None:
    """A known key wins; exceptions before endings; two possible singulars are none."""
    assert lexicon(tmp_path)[0].singular(key) == singular


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"), max_size=2)))
def test_cycles_of_parents_are_found_as_walking_finds_them(links: dict[str, set[str]]) -> None:
    parents = {synset: tuple(sorted(above)) for synset, above in links.items()}
    above = {synset: set(parents.get(synset, ())) for synset in "abcdef"}
    for _ in "abcdef":
        above = {synset: found.union(*(above[name] for name in found)) for synset, found in above.items()}
    names = {synset: (synset,) for synset in "abcdef"}
    if any(synset in found for synset, found in above.items()):
        with pytest.raises(UsageError, match=r"in a cycle, (\w)( -> \w)* -> \1;"):
            Lexicon(version="L", names=names, parents=parents)
    else:
        words = Lexicon(version="L", names=names, parents=parents)
        assert words.in_or_under(["a"]) == {"a"} | {synset for synset in "abcdef" if "a" in above[synset]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"n1\tcat\tn2\nn2\tanimal\tn1\n", "the parents run in a cycle, n1 -> n2 -> n1"),
        ("a.tsv", b"n1\tcat\tn9\n", "n9, named as a parent .* is no synset"),
        ("a.tsv", b"n1\tcat\nn1\tdog\n", "line 2: 'n1' stands above too"),
        ("a.tsv", b"n1\n", "line 1: no synset and its names"),
        ("a.tsv", b"n1\t!\n", "n1 has a name without letter or number"),
        ("a.tsv", b"", "is empty"),
        ("a.tsv", "n1\tété\n".encode("latin-1"), "is not UTF-8"),
        ("a.csv", b'n1,"cat\n', "line 1: unexpected end of data"),
        ("a.tsv.gz", b"no gzip", "cannot be read: Not a gzipped file"),
        ("a.zip", b"no zip", "cannot be read: File is not a zip file"),
        ("a.xml", b"<Lexicon id='a' version='1'><Lemma></Lexicon>", "line 1: mismatched tag"),
        ("a.xml", b"<LexicalResource></LexicalResource>", "holds no noun"),
        ("a.xml", b"<a><Lemma partOfSpeech='n'/></a>", "line 1: 'writtenForm'; give a file in WN-LMF"),
        (
            "a.xml",
            b"<a><Lemma writtenForm='a' partOfSpeech='n'/><Sense synset='x-00000001-n'/></a>",
            "names the synset n00000001 and does not hold it",
        ),
        (
            "a.xml",
            b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;&b;'>]><a>&c;</a>",
            "declares the entity b, which no lexicon needs",
        ),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        open_lexicon(tmp_path / name)


def test_files_of_wordnet_that_were_changed_are_refused(tmp_path: Path) -> None:
    lexicon(tmp_path)
    data = tmp_path / "data.noun"
    published = data.read_bytes()
    changes = [(b"\n", b"\r\n"), (b"brown_bear", b"brownbear"), (b" 002 ", b" 003 "), (b" 05 n ", b" 05 n z")]
    for old, new in changes:
        data.write_bytes(published.replace(old, new))
        with pytest.raises(UsageError, match="no longer as it was published"):
            open_lexicon(tmp_path)
    lines = published.splitlines(keepends=True)
    data.write_bytes(b"".join(lines[:19]))  # up to the goose, before the bird that it is
    cut = r"data\.noun has [\d,]+ bytes and names the synset n\d{8}, .* cut off, so fetch it again"
    with pytest.raises(UsageError, match=f"{tmp_path}: {cut}"):
        open_lexicon(tmp_path)
    data.write_bytes(published.replace(b"bruin", b"br\xfcin"))
    with pytest.raises(UsageError, match="not UTF-8"):
        open_lexicon(tmp_path)
    data.unlink()
    with pytest.raises(UsageError, match=r"holds no data\.noun"):
        open_lexicon(tmp_path)
    with pytest.raises(UsageError, match=r"nowhere\.tsv cannot be read: No such file"):
        open_lexicon(tmp_path / "nowhere.tsv")
