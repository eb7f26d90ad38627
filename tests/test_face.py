"""The public face: what ``import tagwise`` promises."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tagwise

VERBS = (
    *("quickstart", "gather", "labels", "check", "pretrain", "train"),
    *("compare", "evaluate", "predict", "models", "export", "report"),
)
MODELS = ("create_model", "list_models", "load")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_function_that_returns_a_value_and_documents_every_argument(verb: str) -> None:
    function = getattr(tagwise, verb)
    assert inspect.isfunction(function)
    signature = inspect.signature(function)
    assert signature.return_annotation not in (inspect.Signature.empty, None, "None")
    documentation = inspect.getdoc(function) or ""
    assert documentation.splitlines()[0].endswith("."), "the first line is a sentence: --help shows it"
    for name in signature.parameters:
        assert f"\n    {name}: " in documentation, f"{verb} does not document {name}"


def test_models_are_made_listed_and_loaded_from_the_face() -> None:
    from tagwise.nets import create_model, list_models
    from tagwise.training.loading import load

    assert (tagwise.create_model, tagwise.list_models, tagwise.load) == (create_model, list_models, load)


def test_all_names_everything_and_nothing_that_is_missing() -> None:
    assert sorted(tagwise.__all__) == sorted([*VERBS, *MODELS, "Tagger", "VERBS"])
    assert [name for name in tagwise.__all__ if not hasattr(tagwise, name)] == []
    assert set(tagwise.__all__) <= set(dir(tagwise))


def test_no_verb_is_shadowed_when_all_modules_are_imported() -> None:
    for module in pkgutil.walk_packages(tagwise.__path__, "tagwise."):
        if module.name != "tagwise.__main__":
            importlib.import_module(module.name)
    assert [name for name in (*VERBS, *MODELS) if not inspect.isfunction(getattr(tagwise, name))] == []


def test_an_unknown_name_is_an_attribute_error_that_says_it() -> None:
    with pytest.raises(AttributeError, match="pretrian"):
        tagwise.pretrian  # noqa: B018


@pytest.mark.parametrize("statement", ["import tagwise", "from tagwise import gather, labels, report"])
def test_importing_the_face_loads_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(tagwise.__path__[0]).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
