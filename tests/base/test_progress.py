"""Talk: on stderr alone, safe to print, plain where nobody can see a bar."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.progress import fancy, printable, progress, say

SAME = "\0"
LOOP = (
    "from tagwise.base.progress import progress\n"
    "with progress('training', 100) as ticker:\n"
    "    for _ in range(100): ticker.advance(loss=1.5)\n"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x1b[31mred", "�[31mred"),
        ("two\nlines\r\tand", "two�lines��and"),
        ("evil\u202egpj.exe", "evil�gpj.exe"),
        ("zero\u200bwidth\ufeff", "zero�width�"),
        ("\x9b2J", "�2J"),
        ("lone \udcff byte", "lone � byte"),
        ("Straße 円 🎨", "Straße 円 🎨"),
        ("👩\u200d👩\u200d👧 می\u200cدید क्\u200dष PDF\u200cشد", SAME),
        ("ad\u200dmin \u200dx 円\u200d\u200d円 円\u200d\u202e円", "ad�min �x 円��円 円��円"),
    ],
)
def test_nothing_of_strangers_steers_a_terminal(text: str, told: str) -> None:
    assert printable(text) == (text if told == SAME else told)


@given(st.text(st.characters(codec=None, categories=None)), st.integers(3, 50))
def test_what_is_printable_is_one_short_line_of_valid_text(text: str, most: int) -> None:
    told = printable(text, most)
    told.encode()
    assert len(told) == min(len(text), most)
    hidden = [character for character in told if unicodedata.category(character)[0] == "C"]
    assert {*hidden} <= {"\u200c", "\u200d"}
    assert not re.search(r"[\u200c\u200d]{2}|^[\u200c\u200d]|[\u200c\u200d]$|[ -~][\u200c\u200d][ -~]", told)
    assert printable(told, most) == told


def test_talk_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("working")
    assert capsys.readouterr() == ("", "working\n")
    say("a\x1b[31m\nb\u202e")
    assert capsys.readouterr() == ("", "a�[31m\nb�\n")


def test_a_pipe_gets_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 4))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    with progress("training", 100, done=20) as ticker:
        for _ in range(8):
            ticker.advance(10, loss=1.23456)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "training: 50 of 100 pictures, 2 pictures/s, 20 s left  loss 1.235",
        "training: 80 of 100 pictures, 2 pictures/s, 8 s left  loss 1.235",
    ]


def seen_on_a_terminal(**extra: str) -> str:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    environment |= {"TERM": "xterm-256color"} | extra
    with subprocess.Popen([sys.executable, "-c", LOOP], env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux's way of saying that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode()


def test_a_terminal_gets_a_bar() -> None:
    assert "\x1b[" in seen_on_a_terminal()


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_cannot_or_must_not_gets_no_escapes(extra: dict[str, str]) -> None:
    assert "\x1b" not in seen_on_a_terminal(**extra)


def test_work_goes_on_when_the_terminal_is_gone(tmp_path: Path) -> None:
    """As of a job in the background whose window was closed."""
    loop = (
        "import signal, sys, time; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from tagwise.base.progress import progress, say\n"
        "with progress('training', 9) as ticker:\n"
        "    time.sleep(0.3); sys.stdin.readline()\n"
        "    for _ in range(9): ticker.advance(); say('on'); time.sleep(0.05)\n"
        "open(sys.argv[1], 'w').write('done')\n"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", loop, str(tmp_path / "result")]
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.read(ours, 1)
        os.close(ours)
        process.communicate(b"go on\n")
    assert process.returncode == 0
    assert (tmp_path / "result").read_text() == "done"


def test_a_terminal_without_rich_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub promises to need torch and numpy alone."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert fancy()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not fancy()
