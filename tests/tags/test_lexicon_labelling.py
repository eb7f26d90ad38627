"""Labels by a lexicon: synonyms, plurals, targets, what is unknown; every tag has one fate here too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagwise.base.errors import UsageError
from tagwise.tags.alignment import Target, align, read_class_list, report_alignment
from tagwise.tags.comparison import compare_spaces
from tagwise.tags.fates import DISCARDED, Labelling
from tagwise.tags.labelling import build_label_space
from tagwise.tags.lexicon import Lexicon
from tagwise.tags.lexicon_files import open_lexicon
from tagwise.tags.space import Edited, Label, LabelOptions, LabelSpace
from tagwise.tags.ways import KEPT
from tests.references.wordnet import lexicon
from tests.tags.test_labelling import fate_of, label_sets, renumbered, shuffled, table_of


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lexicon, dict[str, str]]:
    return lexicon(tmp_path_factory.mktemp("wordnet"))


@pytest.fixture(scope="module")
def words(read: tuple[Lexicon, dict[str, str]]) -> Lexicon:
    return read[0]


@pytest.fixture(scope="module")
def numbers(read: tuple[Lexicon, dict[str, str]]) -> dict[str, str]:
    return read[1]


NAMES = ("cat", "dog", "brown bear", "ootd", "teddy")
alias_maps = st.builds(  # from an earlier to a later name in some order, so that there is no cycle
    lambda order, pairs: {order[min(pair)]: order[max(pair)] for pair in pairs},
    st.permutations(NAMES),
    st.lists(st.tuples(*[st.integers(0, len(NAMES) - 1)] * 2), max_size=4),
)


def labelled(tags: str, words: Lexicon, **settings: Any) -> Labelling:
    """A label space of one picture a tag, so that all labels have equally many pictures."""
    given = {name: settings.pop(name) for name in ("aliases", "deny", "allow", "target", "base") if name in settings}
    table = table_of([[tag] for tag in tags.split(", ")])
    return build_label_space(table, LabelOptions(**settings), lexicon=words, **given)


def keys(labelling: Labelling) -> list[str]:
    return sorted(label.key for label in labelling.space.labels)


def label_of(labelling: Labelling, tag: str) -> Label:
    label_id = labelling.space.encode(tag)
    assert label_id is not None
    return labelling.space.labels[label_id]


def test_w3_synonyms_become_one_label_and_other_meanings_stay_apart(words: Lexicon, numbers: dict[str, str]) -> None:
    found = labelled("#UrsusArctos, brown bear, bruin, Albatrosses, albatross, sunglass, sunglasses, geese", words)
    assert keys(found) == ["albatross", "brownbear", "bruin", "goose", "sunglass", "sunglasses"]
    assert fate_of(found) == {
        "#UrsusArctos": "synonym",
        "Albatrosses": "plural",
        "albatross": "label",
        "brown bear": "label",
        "bruin": "label",
        "geese": "plural",
        "sunglass": "label",
        "sunglasses": "label",
    }
    brown = label_of(found, "brown bear")
    assert (brown.synsets, brown.ambiguous, brown.pictures) == ((numbers["brown bear"],), False, 2)
    assert label_of(found, "bruin").ambiguous
    assert label_of(found, "dark glasses").key == "sunglasses", "a name that nobody has said so far"
    assert found.space.lexicon is not None
    assert (found.space.lexicon.version, found.space.lexicon.digest) == ("WordNet 9.9", words.digest)
    assert found.space.lexicon.parents[numbers["brown bear"]] == (numbers["bear"],)


def test_w3_a_plural_that_is_a_synonym_goes_all_the_way(words: Lexicon) -> None:
    found = labelled("mollymawks, autos, albatross, car", words)
    assert keys(found) == ["albatross", "car"]
    assert fate_of(found) == {"mollymawks": "synonym", "autos": "synonym", "albatross": "label", "car": "label"}
    assert set(fate_of(labelled("geese, dogs", words, plurals=False)).values()) == {"unknown"}


def test_a_label_is_called_by_what_is_said_most(words: Lexicon, numbers: dict[str, str]) -> None:
    """Plurals count for their singular; of equals the lexicon's usual name is taken."""
    found = labelled("autos, auto, motorcar, car, ursus arctos", words)
    assert [(label.key, label.pictures) for label in found.space.labels] == [("auto", 4), ("ursusarctos", 1)]
    assert label_of(found, "brown bear").key == "ursusarctos"
    assert keys(labelled("auto, car", words)) == ["car"]
    assert (
        found.explain("car")
        == f"'car', key 'car', synonym of 'auto' ({numbers['car']}): label 0, 'auto', in 4 pictures."
    )


def test_r0_to_r4_merge_as_they_say(words: Lexicon) -> None:
    tags = "brown bear, ursus arctos, bruin, giant panda, panda, bear cat"
    labels = {rule: keys(labelled(tags, words, rule=rule)) for rule in ("keys", "union", "signature")}
    assert labels["keys"] == ["bearcat", "brownbear", "bruin", "giantpanda", "panda", "ursusarctos"]
    assert labels["signature"] == ["bearcat", "brownbear", "bruin", "giantpanda", "panda"]
    assert labels["union"] == ["brownbear", "giantpanda"], "panda joins both pandas, and bruin is a bear too"
    target = align("zoo", ["brown bear", "giant panda"], words)
    aimed = labelled("brown bear, ursus arctos, bruin, giant panda, panda, bear cat, grizzly", words, target=target)
    assert keys(aimed) == ["brownbear", "giantpanda", "grizzly"], "of two meanings one is in the target"
    assert fate_of(aimed)["bear cat"] == "off target"


def test_what_is_denied_or_too_short_comes_back_by_no_plural_and_names_no_synonym(words: Lexicon) -> None:
    denied = labelled("brown bear, brown bears, ursus arctos", words, deny=["Brown-Bear"])
    assert (keys(denied), denied.space.encode("brown bears")) == (["ursusarctos"], None)
    assert fate_of(denied) == {"brown bear": "denied", "brown bears": "denied", "ursus arctos": "label"}
    assert set(fate_of(labelled("geese, goose", words, min_length=6)).values()) == {"too short"}


def test_an_extended_space_keeps_what_would_be_too_short_now(words: Lexicon) -> None:
    old = labelled("bruin, goose", words, min_length=2).space
    new = labelled("bruin, goose, sunglasses", words, min_length=8, base=old).space
    assert [(label.key, label.pictures) for label in new.labels] == [("bruin", 1), ("goose", 1), ("sunglasses", 1)]
    assert [new.encode(tag) for tag in ("bruin", "goose")] == [0, 1]


def test_unknown_words_are_dropped_or_labels_of_their_own(words: Lexicon) -> None:
    tags = "car, cars, selfie, selfies, ootd"
    dropped = labelled(tags, words)
    assert (keys(dropped), dropped.space.fates["unknown"]) == (["car"], 3)
    kept = labelled(tags, words, unknown="label")
    assert keys(kept) == ["car", "ootd", "selfie"]
    assert fate_of(kept)["selfies"] == "plural", "of two words that only the corpus knows"
    assert label_of(kept, "ootd").synsets == ()


def test_short_names_need_a_target(words: Lexicon) -> None:
    """``ai`` is a sloth to a target of animals, and something else to everybody."""
    assert fate_of(labelled("ai, ox", words)) == {"ai": "too short", "ox": "too short"}
    aimed = labelled("ai, ox", words, target=align("zoo", ["animal"], words))
    assert keys(aimed) == ["ai", "ox"]
    assert aimed.space.options.min_length == 2
    assert labelled("cat", words).space.options.min_length == 3
    assert build_label_space(table_of([["cat"]])).space.options.min_length == 1


def test_senses_and_lists_select(words: Lexicon) -> None:
    found = labelled("cat, true cat, bruin, beagle, auto, ambulance", words, max_senses=1, allow=["truecat", "car"])
    assert fate_of(found) == {
        "cat": "too many senses",
        "true cat": "label",
        "bruin": "too many senses",
        "beagle": "not allowed",
        "auto": "label",
        "ambulance": "not allowed",
    }
    assert fate_of(labelled("auto, car", words, deny=["car"])) == {"auto": "label", "car": "denied"}


def test_the_users_aliases_stand_above_the_lexicon(words: Lexicon) -> None:
    found = labelled(
        "brown bear, ursus arctos, teddies, brown bears", words, aliases={"brownbear": "teddy"}, unknown="label"
    )
    assert keys(found) == ["teddy", "ursusarctos"], "the label is called by the name that is left"
    assert label_of(found, "brown bear").key == label_of(found, "brown bears").key == "teddy"
    assert label_of(found, "ursus arctos").members == ("ursusarctos",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(["cat", "cats", "dogs", "ootd", "teddy", "brown bears"])), alias_maps, st.booleans())
def test_a_space_finds_the_labels_that_the_fates_tell(
    words: Lexicon, tags: set[str], aliases: dict[str, str], drops: bool
) -> None:
    options = LabelOptions(unknown="drop" if drops else "label")
    found = build_label_space(table_of([sorted(tags)]), options, aliases=aliases, lexicon=words)
    assert found.space.encode_all(found.fates.raw).tolist() == found.fates.label_ids.tolist()


def test_a_plural_of_what_the_user_calls_by_an_unknown_name_is_as_unknown_as_that(words: Lexicon) -> None:
    tags, called = "cats, cat, felid, dog", {"cat": "felid"}
    dropped = labelled(tags, words, aliases=called)
    assert fate_of(dropped) == {"cat": "unknown", "cats": "unknown", "dog": "label", "felid": "unknown"}
    assert keys(dropped) == ["dog"]
    assert dropped.explain("cats").endswith("WordNet 9.9 does not know it, so it is no label.")
    kept = labelled(tags, words, aliases=called, unknown="label")
    assert fate_of(kept) == {"cat": "alias", "cats": "plural", "dog": "label", "felid": "label"}


def test_a_label_is_written_as_its_own_key_is(words: Lexicon) -> None:
    """Three spellings say the key more often than any one of them says it."""
    said = ["Brown bear"] * 3 + ["brown-bear", "#brownbear", "brown_bears"] + ["Ursus arctos"] * 4
    [label] = labelled(", ".join(said), words).space.labels
    assert (label.key, label.spelling) == ("brownbear", "Brown bear")
    [unsaid] = labelled("Dogs, dogs, Dogs", words).space.labels
    assert (unsaid.key, unsaid.spelling) == ("dog", "Dogs")


def test_every_step_is_told(words: Lexicon, numbers: dict[str, str]) -> None:
    target = align("zoo", ["animal", "garment"], words)
    settings = {"aliases": {"teddy": "brown bears"}, "max_senses": 1, "min_count": 2, "target": target}
    found = labelled("teddy, ursus arctos, beagle, derrick, xyz, cat", words, **settings)
    brown = numbers["brown bear"]
    for tag, told in {
        "teddy": "'teddy', key 'teddy', alias of 'brownbears', plural of 'brownbear': label 0, 'brownbear', in 2",
        "Ursus arctos": f"key 'ursusarctos', synonym of 'brownbear' ({brown}): label 0",
        "beagles": "plural of 'beagle': 'beagle' is on 1 picture, below --min-count 2, so it is no label.",
        "derrick": f"key 'derrick': {numbers['crane machine']} is in or under no class of zoo, so it is no label.",
        "xyz": "key 'xyz': WordNet 9.9 does not know it, so it is no label.",
        "cat": "it has 2 meanings, above --max-senses 1, so it is no label.",
        "tabby": "nobody said it",
    }.items():
        assert told in found.explain(tag), found.explain(tag)
    assert "on the allow list" in labelled("cat, dog", words, allow=["dog"]).explain("cat")


def test_alignment_says_what_it_kept_and_lost(words: Lexicon, numbers: dict[str, str]) -> None:
    target = align("zoo", ["001.dogs", numbers["cat"], "cranes", "gossip", "longsleeve", "Rover"], words)
    found = labelled("beagle, beagles, tabby, derrick, cardigan, ambulance, xyz", words, target=target)
    assert keys(found) == ["beagle", "cardigan", "derrick", "tabby"], "a Cardigan may be a dog"
    told = report_alignment(found, target)
    assert (told.classes, told.unknown, told.without_labels) == (6, ("longsleeve",), ("gossip", "Rover"))
    assert told.ambiguous == {"cranes": tuple(sorted((numbers["crane bird"], numbers["crane machine"])))}
    assert told.shared == {"cat": (numbers["cat"], "gossip")}
    assert (told.lost_words, told.lost_tags) == (1, 1)
    assert found.space.target == target.facts
    assert (target.facts.name, target.facts.classes) == ("zoo", 6)


def test_a_target_without_synsets_is_refused(words: Lexicon) -> None:
    with pytest.raises(UsageError, match=r"No class of clothes is a noun of WordNet 9\.9 \(longsleeve, outwear\)"):
        align("clothes", ["longsleeve", "outwear"], words)
    with pytest.raises(UsageError, match="lacks 1 synsets of zoo, such as n99999999"):
        align("zoo", ["dog", "n99999999"], words)
    with pytest.raises(UsageError, match="it names none"):
        align("nothing", [], words)


@pytest.mark.parametrize(
    ("name", "content", "classes"),
    [
        ("list.txt", "brown bear\n\nn00000001\nbrown bear\n", ["brown bear", "n00000001"]),
        ("table.tsv", "index\twnid\tlemmas\n0\tn1\ta, b\n1\tn2\tc\n", ["n1", "n2"]),
        ("table.tsv", "n1\ta, b\nn2\tc\n", ["n1", "n2"]),
        ("pictures.csv", "image,class\na.png,dog\nb.png,cat\nc.png,dog\n", ["dog", "cat"]),
    ],
)
def test_lists_of_classes(tmp_path: Path, name: str, content: str, classes: list[str]) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    assert read_class_list(tmp_path / name) == classes


def test_what_needs_a_lexicon_or_a_target_says_so(words: Lexicon) -> None:
    target = align("zoo", ["dog"], words)
    table = table_of([["a"]])
    for asked, message in (
        (LabelOptions(rule="union"), "no meanings for a rule; give --lexicon"),
        (LabelOptions(max_senses=1), "no meanings for max_senses"),
    ):
        with pytest.raises(UsageError, match=message):
            build_label_space(table, asked)
    with pytest.raises(UsageError, match="leave --for or --unknown away"):
        labelled("a", words, target=target, unknown="label")
    with pytest.raises(UsageError, match="give --for, or the rule signature"):
        labelled("a", words, rule="target")


said = st.sampled_from(
    ["Cat", "true cat", "cats", "dog", "dogs", "beagle", "brown bear", "ursus arctos", "bruin", "panda", "bear cat",
     "geese", "ox", "ai", "sunglasses", "ootd", "ootds", "7", "!", "teddy", "spam", "shades"]
)  # fmt: skip
tables = st.builds(
    lambda tagged: table_of([tags for tags, _ in tagged], [owner for _, owner in tagged]),
    st.lists(st.tuples(st.lists(said, max_size=4), st.integers(0, 2)), min_size=1, max_size=12),
)
asked = st.fixed_dictionaries(
    {
        "options": st.builds(
            LabelOptions,
            min_count=st.integers(1, 2),
            top=st.none() | st.integers(1, 5),
            min_length=st.none() | st.just(1),
            min_owners=st.integers(1, 2),
            plurals=st.booleans(),
            rule=st.sampled_from([None, "keys", "union", "signature"]),
            max_senses=st.sampled_from([None, 1]),
        ),
        "aliases": alias_maps,
        "deny": st.sampled_from([(), ("spam",), ("dog",)]),
        "allow": st.sampled_from([(), ("cats", "truecat", "ursusarctos", "ootds")]),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, tables, asked, st.booleans(), st.sampled_from(["open", "label", "aimed"]), st.integers(0, 9))
def test_w4_fates_sum_order_does_not_matter_and_the_space_knows_its_own_tags(
    words: Lexicon, table: Any, before: Any, asked: dict[str, Any], extends: bool, kind: str, seed: int
) -> None:
    given = {**asked, "lexicon": words, "target": align("zoo", ["animal"], words) if kind == "aimed" else None}
    if kind == "label":
        given["options"] = replace(asked["options"], unknown="label")
    if extends:
        given["base"] = build_label_space(before, **given).space
    found = build_label_space(table, **given)
    space, fates = found.space, found.fates
    assert sum(space.fates.values()) == space.tags == len(table.rows)
    assert list(space.fates) == [*KEPT, *DISCARDED]
    assert [label >= 0 for label in fates.label_ids] == [fate in KEPT for fate in fates.fates]
    assert space.encode_all(fates.raw).tolist() == fates.label_ids.tolist()
    assert LabelSpace.from_json(space.to_json(), "text") == space, "no key belongs to two labels"
    for other in (shuffled(table, seed), renumbered(table, seed)):
        assert build_label_space(other, **given).space.to_json() == space.to_json()
    for tag in (*fates.raw, "tabby", "mollymawks", "xyz", "?"):
        assert ("so it is no label" in found.explain(tag)) is (space.encode(tag) is None)


def test_an_extended_space_keeps_its_ids_and_names(words: Lexicon) -> None:
    old = labelled("ursus arctos, bruin, cat, cats", words).space
    assert [label.key for label in old.labels] == ["cat", "bruin", "ursusarctos"]
    grown = labelled("bruin, dog, dog, brown bear, dogs, beagle", words, base=old, min_count=2)
    assert [(label.key, label.pictures) for label in grown.space.labels] == [
        ("cat", 0),
        ("bruin", 1),
        ("ursusarctos", 1),
        ("dog", 3),
    ]
    assert grown.space.labels[2].spelling == "ursus arctos"
    assert grown.space.base is not None
    assert (grown.space.base.digest, grown.space.base.labels) == (old.digest, 3)
    assert LabelSpace.from_json(grown.space.to_json(), "text") == grown.space


def test_what_the_extended_space_counted_stays_so(words: Lexicon) -> None:
    old = labelled("kitty, cat, teddy, beagle", words, aliases={"kitty": "cat"}, unknown="label").space
    grown = labelled(
        "kitty, teddies, hound", words, base=old, aliases={"kitty": "dog", "hound": "beagle"}, unknown="label"
    )
    assert fate_of(grown)["kitty"] == "as before"
    assert label_of(grown, "kitty").key == "cat"
    assert label_of(grown, "hound").key == "beagle"
    assert "'cat' in the space that is extended" in grown.explain("kitty")
    chained = labelled("moggy, kitty", words, base=old, aliases={"kitty": "dog", "Moggy": "kitty"}).space
    assert (chained.encode("moggy"), len(chained)) == (chained.encode("cat"), len(old))
    with pytest.raises(UsageError, match=f"made with the lexicon {words.digest}, not none"):
        build_label_space(table_of([["a"]]), base=old)
    with pytest.raises(UsageError, match="made with the rule signature, not keys"):
        labelled("a", words, base=old, rule="keys")


def test_two_spaces_side_by_side(words: Lexicon) -> None:
    tags = "cat, cat, cat, cats, ursus arctos, brown bear, beagle, ootd"
    old = labelled(tags, words, rule="keys", unknown="label").space
    new = labelled("ursus arctos, brown bear, cat, ox, goose", words).space
    found = compare_spaces(old, new)
    assert found.shared == (("brownbear", 1, 2), ("cat", 4, 1))
    assert (found.gone, found.new) == ((("beagle", 1), ("ootd", 1)), (("goose", 1),))
    assert (found.merged, found.split) == ((("brownbear", ("brownbear", "ursusarctos")),), ())
    assert found.moved_ids == 2
    assert compare_spaces(new, old).split == (("brownbear", ("brownbear", "ursusarctos")),)
    assert compare_spaces(new, new).moved_ids == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"pictures": 3', '"pictures": 1', "the label 'dog' stands below rarer ones"),
        ('"auto"', '"dog"', "'dog' belongs to two labels"),
        ('"label": 6', '"label": 5', "its counts contradict each other"),
        ('"spelling": "dog"', '"spelling": "Dog"', "its digest is .* and not "),
    ],
)
def test_a_label_space_edited_by_hand_is_refused(words: Lexicon, old: str, new: str, message: str) -> None:
    text = labelled("car, car, car, dog, dog, cat", words).space.to_json()
    assert old in text
    with pytest.raises(Edited, match=f"space.json is no label space as it was written: {message}"):
        LabelSpace.from_json(text.replace(old, new), "space.json")


def test_a_label_space_without_its_digest_is_refused(words: Lexicon) -> None:
    plain = json.loads(labelled("car, dog", words).space.to_json())
    del plain["digest"]
    with pytest.raises(Edited, match="its digest is missing"):
        LabelSpace.from_json(json.dumps(plain), "space.json")


def test_labels_of_real_wordnet(real_data: Path) -> None:
    words = open_lexicon(real_data / "lexica" / "wordnet30_noun_synsets.tsv.gz")
    target = Target(name="two", lexicon=words, classes={"crane": ("n02012849",), "machine": ("n03126707",)})
    found = labelled("crane, cranes, derrick, Grus grus", words, target=target)
    assert keys(found) == ["crane"]
    assert label_of(found, "crane").synsets == ("n02012849", "n03126707")
    assert label_sets(found)[:2] == [["crane"], ["crane"]]
