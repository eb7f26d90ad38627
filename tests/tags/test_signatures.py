"""The rules give the numbers of all of WordNet's nouns, and each is what its definition says."""

from __future__ import annotations

import gzip
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.tags.alignment import align, read_class_list, shared_keys
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon
from tagwise.tags.signatures import Rule, merge_keys, rule_sizes

RULES: tuple[Rule, ...] = ("keys", "union", "target", "signature")


@pytest.fixture(scope="module")
def lexica(real_data: Path) -> Path:
    return real_data / "lexica"


@pytest.fixture(scope="module")
def wordnet(lexica: Path) -> Lexicon:
    return open_lexicon(lexica / "wordnet30_noun_synsets.tsv.gz")


@pytest.fixture(scope="module")
def in1k(lexica: Path) -> frozenset[str]:
    return frozenset(read_class_list(lexica / "imagenet1k.tsv"))


def test_w2_rules_of_the_thousand_classes(wordnet: Lexicon, in1k: frozenset[str]) -> None:
    assert rule_sizes(wordnet, in1k) == {"names": 1860, "keys": 1804, "union": 982, "target": 1011, "signature": 1284}


def test_w2_rules_of_all_21841_classes(wordnet: Lexicon, lexica: Path) -> None:
    classes = read_class_list(lexica / "imagenet22k_wnids.txt.gz")
    numbers = {"names": 40_737, "keys": 36_399, "union": 18_269, "target": 22_210, "signature": 23_926}
    assert len(classes) == 21_841
    assert rule_sizes(wordnet, frozenset(classes)) == numbers


def test_w2_rules_of_all_nouns(wordnet: Lexicon) -> None:
    numbers = {"names": 146_347, "keys": 116_654, "union": 56_316, "target": 77_225, "signature": 77_225}
    assert rule_sizes(wordnet) == numbers
    assert len({name.lower() for names in wordnet.names.values() for name in names}) == 117_798
    assert max(map(len, merge_keys(wordnet, "union").members_of.values())) == 12_566, "why union is no default"


def test_w2_the_19_keys_of_two_classes(wordnet: Lexicon, lexica: Path) -> None:
    target = align("IN-1k", read_class_list(lexica / "imagenet1k.tsv"), wordnet)
    keys = (
        "cardigan catamount crane crawfish crayfish gong grasssnake harp horn maillot missile panda panther partridge "
        "polecat sandviper susscrofa tub wagon"
    )
    assert list(shared_keys(target)) == keys.split()
    assert shared_keys(target)["crane"] == ("n02012849", "n03126707")


@pytest.mark.parametrize(
    ("most", "keys", "labels", "covered"),
    [(1, 1299, 805, 805), (2, 1568, 1048, 918), (3, 1654, 1134, 944), (5, 1747, 1227, 983), (99, 1804, 1284, 1000)],
)
def test_w2_keys_of_at_most_so_many_senses(
    wordnet: Lexicon, in1k: frozenset[str], most: int, keys: int, labels: int, covered: int
) -> None:
    """Words of one signature have as many senses, so that max_senses keeps labels whole or drops them."""
    meanings = merge_keys(wordnet, "signature", in1k)
    kept = [key for key in meanings.word_of if len(wordnet.synsets[key]) <= most]
    assert len(kept) == keys
    assert len({meanings.word_of[key] for key in kept}) == labels
    assert len({synset for key in kept for synset in wordnet.synsets[key]} & in1k) == covered


def test_w3_synonyms_of_wordnet(wordnet: Lexicon) -> None:
    meanings = merge_keys(wordnet, "signature")
    assert meanings.word_of["ursusarctos"] == meanings.word_of["brownbear"] == "brownbear"
    assert meanings.synsets_of["brownbear"] == ("n02132136",)
    assert meanings.word_of["bruin"] == "bruin"
    assert meanings.word_of["sunglass"] != meanings.word_of["sunglasses"]
    assert wordnet.singular("albatrosses") == "albatross"
    assert wordnet.singular("albatross") is None


def test_w2_imagenets_names_are_those_of_wordnet(wordnet: Lexicon, lexica: Path) -> None:
    lines = (lexica / "imagenet1k.tsv").read_text("utf-8").splitlines()[1:]
    assert all(", ".join(wordnet.names[wnid]) == lemmas for _, wnid, lemmas in (line.split("\t") for line in lines))
    everything = gzip.decompress((lexica / "imagenet22k_wnids.txt.gz").read_bytes()).decode().split()
    assert wordnet.names.keys() >= set(everything)


lexica_of_six = st.dictionaries(
    st.sampled_from("123456"), st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True), min_size=1
).map(lambda names: Lexicon(version="L", names={synset: tuple(words) for synset, words in names.items()}))


@given(lexica_of_six, st.sets(st.sampled_from("123456")), st.sampled_from(RULES))
def test_w2_two_keys_are_one_label_as_the_rule_says(words: Lexicon, target: set[str], rule: Rule) -> None:
    meanings = merge_keys(words, rule, target)
    within = {key: set(synsets) & target for key, synsets in words.synsets.items() if set(synsets) & target}
    joined = {frozenset(pair) for pair in combinations(within, 2) if within[pair[0]] & within[pair[1]]}
    for _ in within:  # chains
        joined |= {a ^ b for a in joined for b in joined if len(a & b) == 1}
    assert meanings.word_of.keys() == within.keys()
    for a, b in combinations(sorted(within), 2):
        same = {
            "keys": False,
            "union": frozenset((a, b)) in joined,
            "target": within[a] == within[b],
            "signature": words.synsets[a] == words.synsets[b],
        }
        assert (meanings.word_of[a] == meanings.word_of[b]) is same[rule]
    for word, members in meanings.members_of.items():
        assert word in members
        assert {meanings.word_of[member] for member in members} == {word}


def test_a_label_is_called_by_what_people_say_most_else_by_the_first_name_of_its_first_synset() -> None:
    words = Lexicon(version="L", names={"n1": ("zebra cat", "b", "a"), "n2": ("b", "d")})
    assert merge_keys(words, "signature").word_of == {"zebracat": "zebracat", "a": "zebracat", "b": "b", "d": "d"}
    assert merge_keys(words, "signature", taken=["zebracat"]).word_of["a"] == "a", "people call that something else"
    assert merge_keys(words, "signature", said={"a": 2, "b": 9}).word_of["zebracat"] == "a"
