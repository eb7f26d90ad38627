"""From Python a path is a string or a Path, and one thing need not stand in a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from PIL import Image

import tagwise
from tagwise.base.errors import UsageError
from tagwise.nets import build, find_design
from tests.references.layouts import akamaster
from tests.verbs.road import Road


def kinds(hint: Any) -> set[Any]:
    """The types that a hint is made of."""
    inside = get_args(hint)
    return {kind for part in inside for kind in kinds(part)} if inside else {hint}


def paths_of(verb: str) -> set[str]:
    hints = get_type_hints(getattr(tagwise, verb))
    return {name for name, hint in hints.items() if name != "return" and Path in kinds(hint)}


@pytest.mark.parametrize("verb", tagwise.VERBS)
def test_every_path_of_every_verb_may_be_a_string(verb: str) -> None:
    """The type checker then holds the verb to it."""
    hints = get_type_hints(getattr(tagwise, verb))
    assert [name for name in paths_of(verb) if str not in kinds(hints[name])] == []
    assert paths_of(verb) or verb == "models"


OF_ANNOTATIONS = {
    "train": {"pictures", "maps", "classes", "colours"},
    "compare": {"pictures", "maps", "classes", "colours", "plan"},
    "evaluate": {"pictures", "maps", "colours", "out"},
    "export": {"picture", "classes"},
}
"""Paths that come with --head, or with the model of somebody else: the tests of these give them."""


@pytest.fixture(scope="module")
def calls(road: Road, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], object]]:
    """A call of every verb with every path that it takes, as a string."""
    at, run = tmp_path_factory.mktemp("strings"), str(road / "runs" / "a")
    for name, text in (("captions.csv", "picture,caption\n"), ("words.txt", "kite\nowl\n"), ("left.txt", "nobody\n")):
        (at / name).write_text(text)
    pictures = sorted((road / "target" / "test").rglob("*.jpg"))[:4]
    with (at / "captions.csv").open("a") as table:
        table.writelines(f"{path},a kite and an owl\n" for path in pictures)
    classes = sorted(path.name for path in (road / "target" / "test").iterdir())
    (at / "classes.txt").write_text("\n".join(classes))
    torch.manual_seed(0)
    torch.save(akamaster(build(find_design("resnet20_cifar"), num_classes=len(classes))), at / "own.th")
    target = {"target": f"{road / 'target' / 'train'}", "test": f"{road / 'target' / 'test'}"}
    others = {"model": f"{at / 'own.th'}", "classes": f"{at / 'classes.txt'}", "device": "cpu"}
    (at / "plan.json").write_text('{"weight_decay": 0.0002}')
    plan = {"from_": run, "plan": f"{at / 'plan.json'}", "dry_run": True, "device": "cpu"}
    lists = {"lexicon": f"{at / 'words.txt'}", "opt_out": f"{at / 'left.txt'}"}
    corpus, space = f"{road / 'corpus'}", f"{road / 'space.json'}"
    aliases, deny = f"{road / 'aliases.tsv'}", f"{at / 'words.txt'}"
    (at / "weights.csv").write_text("tag,weight\ncircle,2\n")
    weights = f"{at / 'weights.csv'}"
    (at / "nouns.tsv").write_text("n00000001\tcircle, disc\n")
    (at / "shapes.txt").write_text("circle\n")
    nouns: dict[str, Any] = {
        "lexicon": f"{at / 'nouns.tsv'}",
        "for_": f"{at / 'shapes.txt'}",
        "allow": f"{at / 'shapes.txt'}",
    }
    tagwise.labels(corpus, f"{at / 'base.json'}", **nouns)
    spaces = {"extend": f"{at / 'base.json'}", "compare": space, "spill": f"{at}", **nouns}
    maps = at / "maps"
    maps.mkdir()
    Image.new("RGB", (20, 20)).save(maps / "a.png")
    Image.new("RGB", (20, 20)).save(at / "a.jpg")
    (maps / "colours.txt").write_text("0 0 0 ground\n")
    (at / "kinds.txt").write_text("ground\n")
    given: dict[str, dict[str, Any]] = {
        "quickstart": {"out": f"{road.folder}"},
        "gather": {
            "source": [f"{at / 'captions.csv'}"],
            "out": f"{at / 'corpus'}",
            "caption_column": "caption",
            **lists,
        },
        "labels": {"corpus": corpus, "out": f"{at / 'space.json'}", "aliases": aliases, "deny": deny, **spaces},
        "check": {
            "path": f"{maps}",
            "pictures": f"{at}",
            "colours": f"{maps / 'colours.txt'}",
            "classes": f"{at / 'kinds.txt'}",
        },
        "pretrain": {"corpus": corpus, "labels": space, "out": f"{at / 'p'}", "tag_weights": weights, **plan},
        "train": {**target, "out": f"{at / 't'}", **plan},
        "compare": {**target, "model": [run], "out": f"{at / 'c'}", "by": ["knn"], "epochs": 1, "device": "cpu"},
        "evaluate": {"target": target["test"], **others},
        "predict": {"picture": [f"{road / 'new'}"], "out": f"{at / 'tags.csv'}", **others},
        "models": {},
        "export": {"model": run, "to": "onnx", "out": f"{at / 'tagger.onnx'}"},
        "report": {"run": [run], "out": f"{at / 'page.html'}"},
    }
    left = {verb: paths_of(verb) - given[verb].keys() - OF_ANNOTATIONS.get(verb, set()) for verb in tagwise.VERBS}
    assert [verb for verb, names in left.items() if names] == []
    return {verb: lambda verb=verb: getattr(tagwise, verb)(**given[verb]) for verb in given}  # type: ignore[misc]


@pytest.mark.parametrize("verb", tagwise.VERBS)
def test_every_verb_works_with_strings_alone(verb: str, calls: dict[str, Callable[[], object]]) -> None:
    if verb == "quickstart":
        with pytest.raises(UsageError, match="holds something else"):
            calls[verb]()
    else:
        assert str(calls[verb]())


def test_one_thing_needs_no_list(road: Road, tmp_path: Path) -> None:
    picture = min(path for path in (road / "new").iterdir() if path.stem != "broken")
    for given in (picture, str(picture)):
        (answer,) = tagwise.predict(given, model=road / "runs" / "a", device="cpu").answers  # type: ignore[arg-type]
        assert answer.picture == str(picture)
    assert tagwise.report(str(road / "runs" / "a"), out=tmp_path / "page.html").page == tmp_path / "page.html"
