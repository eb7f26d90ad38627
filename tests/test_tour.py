"""The notebook ``docs/tour.ipynb`` is valid, stores no outputs, and runs from the first cell to the last."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "tour.ipynb"
RUNNER = """
import json, sys
scope = {"__name__": "__main__"}
for number, (name, code) in enumerate(json.load(sys.stdin), start=1):
    print(f"# cell {name}", flush=True)
    exec(compile(code, f"<cell {name}>", "exec"), scope)
"""


def notebook() -> Any:
    return json.loads(NOTEBOOK.read_text("utf-8"))


def code_cells() -> list[tuple[str, str]]:
    return [(cell["id"], "".join(cell["source"])) for cell in notebook()["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_valid_and_stores_no_outputs() -> None:
    """The schema of nbformat 4.5, as far as it goes for cells of text and code."""
    content = notebook()
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"]["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    of_text = {"cell_type", "id", "metadata", "source"}
    for cell in content["cells"]:
        assert cell.keys() == (of_text if cell["cell_type"] == "markdown" else of_text | {"execution_count", "outputs"})
        assert (cell.get("execution_count"), cell.get("outputs") or [], cell["metadata"]) == (None, [], {})
        assert [line for line in cell["source"][:-1] if not line.endswith("\n")] == []
    assert NOTEBOOK.stat().st_size < 40_000


def test_p32_the_cells_run_in_order(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        cwd=tmp_path,
        input=json.dumps(code_cells()),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for printed in (
        *("pictures are used", "labels of", "effective labels", "images per second", "new0.jpg"),
        *("points over scratch", "linear: ", "report.html"),
    ):
        assert printed in done.stdout
