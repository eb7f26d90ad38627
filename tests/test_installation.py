"""P31: what pip installs without a compiler, and what is an extra and says so when it is missing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
DISTRIBUTIONS = {"PIL": "pillow", "markupsafe": "jinja2", "faster_coco_eval": "pycocotools"}
"""Of modules with another name, or that come with it, or serve as well."""


def name(requirement: str) -> str:
    found = re.match(r"[a-z0-9_-]+", requirement.lower())
    assert found is not None
    return found[0]


def imported() -> dict[str, set[Path]]:
    """Distributions that the package imports, anywhere, with the files."""
    found: dict[str, set[Path]] = defaultdict(set)
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for module in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"tagwise"}:
                found[DISTRIBUTIONS.get(module, module)].add(path)
    return found


def test_p31_pip_needs_no_compiler_and_python_3_11() -> None:
    """The package is pure Python: its build runs no code of its own, and no source of another language is in it."""
    assert PROJECT["build-system"]["build-backend"] == "hatchling.build"
    assert "hooks" not in PROJECT["tool"]["hatch"].get("build", {})
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    foreign = {".c", ".cc", ".cpp", ".cu", ".pyx", ".rs", ".so"}
    assert [path for path in (REPOSITORY / "src").rglob("*") if path.suffix in foreign] == []


def test_p31_what_is_imported_is_installed_or_an_extra_whose_absence_names_the_command() -> None:
    required = set(map(name, PROJECT["project"]["dependencies"]))
    extras = {
        name(requirement): extra
        for extra, requirements in PROJECT["project"]["optional-dependencies"].items()
        for requirement in requirements
        if extra != "dev"
    }
    for distribution, paths in imported().items():
        assert distribution in required or distribution in extras, (distribution, paths)
        if distribution not in required:
            hint = f"tagwise[{extras[distribution]}]"
            assert all(hint in path.read_text("utf-8") for path in paths), f"{distribution} is missed without {hint}"


@pytest.mark.parametrize("module", ["fsspec", "tensorboard"])
def test_p31_the_face_needs_no_extra(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; import tagwise; [getattr(tagwise, v) for v in tagwise.VERBS]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
