"""The command line: quick to start, and wrong use is told in one sentence with the nearest name."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import tagwise
from tagwise.cli import run

REPOSITORY = Path(__file__).parents[1]
COMMAND = "import sys; from tagwise.cli import main; sys.exit(main())"
"""What the installed script ``tagwise`` runs."""
LISTING = "import atexit, json; atexit.register(lambda: open({path!r}, 'w').write(json.dumps(sorted(sys.modules))))"

HEAVY = {"torch", "torchvision", "numpy", "pyarrow", "matplotlib", "PIL", "jinja2", "safetensors"}
ESCAPE = "\x1b"


def environment(**extra: str) -> dict[str, str]:
    """The test's own, without what decides colour."""
    mine = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    return {**mine, "PYTHONPATH": str(REPOSITORY / "src"), "TERM": "xterm-256color", **extra}


def command(*arguments: str, code: str = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True)


def one_line(done: subprocess.CompletedProcess[str]) -> None:
    """Nothing is printed but one sentence on stderr, without a box around it."""
    assert done.stdout == ""
    assert done.stderr.startswith("tagwise: ")
    assert done.stderr.count("\n") == 1


def tagwise_on_a_terminal(*arguments: str, **extra: str) -> str:
    """All that a person sees."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", COMMAND, *arguments]
    with subprocess.Popen(command, env=environment(**extra), stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux's way of saying that the other end is closed
            pass
    os.close(ours)
    return seen.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models", "--help"], ["train", "--help"]])
def test_p3_help_and_version_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    listing = tmp_path / "modules.json"
    done = command(*arguments, code=f"{LISTING.format(path=str(listing))}; {COMMAND}")
    assert done.returncode == 0, done.stderr
    assert {name.partition(".")[0] for name in json.loads(listing.read_text("utf-8"))} & HEAVY == set()


def test_help_names_every_verb_on_stdout() -> None:
    done = command("--help")
    verbs = (
        "quickstart",
        "gather",
        "labels",
        "pretrain",
        "train",
        "compare",
        "evaluate",
        "predict",
        "models",
        "export",
        "report",
    )
    assert [verb for verb in verbs if verb not in done.stdout] == []
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("verb", "told"), [("labels", "--deny PATH "), ("train", "--from STR "), ("report", "-o PATH ")]
)
def test_help_has_one_name_for_what_python_takes_as_text_or_as_a_path(verb: str, told: str) -> None:
    said = command(verb, "--help").stdout
    assert told in said
    assert "STR|PATH" not in said
    assert "PATH|STR" not in said


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 9.00 GiB."),
    ],
)
def test_running_out_of_memory_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def report(run: list[Path]) -> str:
        """Stands for any verb."""
        raise error

    monkeypatch.setattr(tagwise, "report", report, raising=False)
    assert run(["report", "folder"]) == 1
    assert capsys.readouterr().err == (
        "tagwise: Out of memory; a smaller --batch, --resolution or --workers needs less.\n"
    )


def test_version_is_the_projects() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    done = command("--version")
    assert project["version"] in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "asked", "nearest"),
    [
        (["gahter"], "gahter", "gather"),
        (["pretrian", "corpus"], "pretrian", "pretrain"),
        (["gather", "photos", "-o", "corpus", "--seperator", ";"], "--seperator", "--separator"),
        (["gather", "photos", "-o", "corpus", "--overwrit"], "--overwrit", "--overwrite"),
    ],
)
def test_an_unknown_name_is_wrong_use_and_hears_the_nearest(arguments: list[str], asked: str, nearest: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert {asked, nearest} <= set(re.findall(r"[\w-]+", done.stderr))
    one_line(done)


@pytest.mark.parametrize(
    "arguments",
    [
        ["gather", "photos"],
        ["gather", "no such folder", "-o", "corpus"],
        ["gather", "photos", "-o", "corpus", "--max-skipped-fraction", "many"],
        ["report"],
    ],
)
def test_wrong_use_has_exit_code_2_and_no_traceback(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    one_line(done)


def test_refused_data_have_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "bear").mkdir()
    (tmp_path / "bear" / "broken.jpg").write_bytes(b"no picture")
    done = command("gather", str(tmp_path), "-o", str(tmp_path.parent / "corpus"))
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["gather", "--help"], ["gahter"]])
def test_a_pipe_gets_no_escapes(arguments: list[str]) -> None:
    done = command(*arguments)
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["gahter"]])
@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour_gets_no_escapes(arguments: list[str], extra: dict[str, str]) -> None:
    seen = tagwise_on_a_terminal(*arguments, **extra)
    assert seen.strip()
    assert ESCAPE not in seen


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "bear").mkdir(parents=True)
    Image.effect_noise((20, 20), 50).save(tmp_path / "photos" / "bear" / "0.png")
    return tmp_path / "photos"


def in_a_shell(words: str, *arguments: str | Path) -> tuple[int, str]:
    """Bash runs ``words``, in which ``tagwise`` is the command; its exit code and all that is printed."""
    script = f'tagwise() {{ "{sys.executable}" -c "{COMMAND}" "$@"; }}; set -o pipefail; {words}'
    command = ["bash", "-c", script, "bash", *map(str, arguments)]
    done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("streams", ["2> >(exec true)", "| true", "2>&1 | true", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_work_is_done_whether_or_not_somebody_listens(photos: Path, tmp_path: Path, streams: str) -> None:
    code, told = in_a_shell(f'tagwise gather "$1" -o "$2" {streams}', photos, tmp_path / "corpus")
    assert (code, "Traceback" in told, "BrokenPipe" in told) == (0, False, False), told
    assert (tmp_path / "corpus" / "corpus.json").is_file()
    assert (tmp_path / "corpus" / "card.html").is_file()


def test_a_failure_keeps_its_exit_code_when_nobody_hears_of_it() -> None:
    assert in_a_shell("tagwise gather nowhere.csv -o corpus 2> >(exec true)")[0] == 2
    assert in_a_shell("tagwise gather nowhere.csv -o corpus --debug 2> >(exec true)")[0] == 2


@pytest.mark.parametrize("words", ["--help", "--version", "gather --help"])
def test_help_may_be_cut_off_by_its_reader(words: str) -> None:
    assert in_a_shell(f"tagwise {words} | true") == (0, "")
