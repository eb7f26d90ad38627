"""The rooms of the package import each other only as the map in ``docs/architecture.md`` says."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "tagwise"
MAP = REPOSITORY / "docs" / "architecture.md"

OUTSIDE = {"tags": {"numpy"}, "measure": {"numpy", "pycocotools", "faster_coco_eval"}}
"""Packages of others that a room may import, where the map names them; at any depth."""
OUTSIDE_AT_LOAD = {"base": {"numpy"}, "measure": {"numpy"}, "nets": {"numpy", "torch"}}
"""The same, when the room is loaded: imports inside functions are free."""


def read_map() -> dict[str, set[str]]:
    """Room, or file of the top, to the rooms that it may import."""
    rows = re.findall(r"^\| `([\w.]+)` \|[^|]*\|([\w. ]*)\|$", MAP.read_text("utf-8"), re.MULTILINE)
    return {name: set(allowed.split()) for name, allowed in rows}


def rooms_of(package: Path) -> list[Path]:
    return sorted(path for path in package.iterdir() if path.is_dir() and any(path.rglob("*.py")))


def imports_of(path: Path, package: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every absolute module name that a file imports, ``from a import b`` as ``a.b``, wherever it stands."""
    inside = ["tagwise", *path.relative_to(package).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)


def forbidden_imports(package: Path, allowed: dict[str, set[str]]) -> list[str]:
    """``file:line: room imports room`` for every import that the map does not allow."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).parts[0]
        for node, name in imports_of(path, package):
            room = place_of(name, package)
            if room is not None and room not in allowed.get(place, set()) | {place}:
                found.append(f"{path.relative_to(package.parent)}:{node.lineno}: {place} imports {room}")
    return found


def place_of(name: str, package: Path) -> str | None:
    """The room of a module's name, ``cli.py``, or ``__init__.py`` for the face; None for others' modules."""
    top, _, rest = name.partition(".")
    inside = rest.partition(".")[0]
    if top != "tagwise":
        return None
    if inside and (package / inside).is_dir():
        return inside
    return "cli.py" if inside == "cli" else "__init__.py"


def outside_imports(room: str, *, at_load: bool) -> dict[str, str]:
    """Packages of others that a room imports, with a place for each."""
    found: dict[str, str] = {}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        deferred = deferred_lines(path) if at_load else set()
        for node, name in imports_of(path, PACKAGE):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names | {"tagwise"} and node.lineno not in deferred:
                found.setdefault(top, f"{path.relative_to(PACKAGE)}:{node.lineno}")
    return found


def deferred_lines(path: Path) -> set[int]:
    """Lines that do not run when a module is loaded: functions, and blocks for type checkers."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.If) and node.end_lineno is not None:
            if isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
                continue
            lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines


def test_rooms_import_only_what_the_map_allows() -> None:
    assert forbidden_imports(PACKAGE, read_map()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from tagwise.corpus.post import Post",
        "import tagwise.training.loop",
        "from tagwise import verbs",
        "from ..nets import build",
        "from .. import pages",
        "def f():\n    from tagwise.transfer import knn",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tagwise.corpus.post import Post",
        "from tagwise import cli",
        "import tagwise",
        "from tagwise import create_model",
    ],
)
def test_a_forbidden_import_is_found_with_file_and_line(statement: str, tmp_path: Path) -> None:
    package = tmp_path / "tagwise"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "tags" / "bad.py").write_text(statement + "\n", "utf-8")
    (found,) = (fault for fault in forbidden_imports(package, read_map()) if "bad.py" in fault)
    line = len(statement.splitlines())
    assert found.startswith(f"tagwise/tags/bad.py:{line}: tags imports ")


def test_the_map_has_no_cycle() -> None:
    """Every room stands below the first room that imports it."""
    above: set[str] = set()
    for place, allowed in read_map().items():
        assert allowed <= above, f"{place} imports {allowed - above}, which the map has further down"
        above.add(place)


def test_every_room_is_on_the_map_and_none_is_empty() -> None:
    there = [room.name for room in rooms_of(PACKAGE)]
    assert sorted(name for name in read_map() if not name.endswith(".py")) == there
    for room in rooms_of(PACKAGE):
        assert len(list(room.rglob("*.py"))) > 1, f"{room.name} holds nothing but its __init__"


def test_every_file_of_the_top_is_on_the_map() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} <= {name for name in read_map() if name.endswith(".py")}


def test_no_verb_has_the_name_of_a_room() -> None:
    verbs = {path.stem for path in (PACKAGE / "verbs").glob("*.py")}
    assert verbs & {room.name for room in rooms_of(PACKAGE)} == set()


def test_nothing_is_called_utils() -> None:
    vague = {"utils", "util", "common", "core", "helpers", "misc", "shared"}
    assert [path for path in PACKAGE.rglob("*") if path.stem in vague] == []


@pytest.mark.parametrize("room", OUTSIDE)
def test_the_heart_needs_numpy_alone(room: str) -> None:
    assert {name: at for name, at in outside_imports(room, at_load=False).items() if name not in OUTSIDE[room]} == {}


@pytest.mark.parametrize("room", OUTSIDE_AT_LOAD)
def test_base_and_nets_load_with_torch_and_numpy_alone(room: str) -> None:
    found = outside_imports(room, at_load=True)
    assert {name: at for name, at in found.items() if name not in OUTSIDE_AT_LOAD[room]} == {}


def test_pages_never_import_torch() -> None:
    assert outside_imports("pages", at_load=False).keys() & {"torch", "torchvision"} == set()
