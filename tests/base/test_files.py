"""Files appear whole or not at all; folders of other people are never taken."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.files import (
    TEMPORARY_PREFIX,
    FolderLock,
    claim_alone,
    harmless,
    open_atomically,
    read_json,
    refuse_no_file,
    remove_abandoned,
    sha256_of_file,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_file_and_no_temporary(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(fault), open_atomically(path) as handle:  # noqa: PT012 - the block is what fails
        handle.write(b"new, but not all of i")
        raise fault
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_nothing_is_seen_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    with open_atomically(path) as handle:
        handle.write(b"\0" * 1000)
        handle.flush()
        assert not path.exists()
    assert path.read_bytes() == b"\0" * 1000


def test_a_file_has_the_rights_that_any_new_file_has(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "theirs").touch()
    ours, theirs = ((tmp_path / name).stat().st_mode for name in ("ours", "theirs"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(theirs)


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TagwiseError, match=r"^The disk is full while writing .*a\.txt; free some space") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert caught.value.exit_code == 1
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_is_full_is_told_the_same_way(tmp_path: Path) -> None:
    with (
        pytest.raises(TagwiseError, match="The disk is full"),
        open_atomically(tmp_path / "a"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"a")
    assert names(tmp_path) == []


def test_a_path_through_a_file_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TagwiseError, match=r"file/a\.txt cannot be written: "):
        write_text(tmp_path / "file" / "a.txt", "")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_json_comes_back_as_it_went(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    if "\\ud" in ascii(value):  # half a surrogate pair is no text
        return
    write_json(path, value)
    assert read_json(path) == value


def test_json_has_no_nan_and_what_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", float("nan"))
    assert names(tmp_path) == []
    with pytest.raises(UsageError, match=r"There is no file .*a\.json\."):
        read_json(tmp_path / "a.json")
    for content in (b"{", b"\xff", b"", b"[" * 100_000):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(TagwiseError, match=r"a\.json cannot be read as JSON"):
            read_json(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1+1", "\ufe621"])
def test_a_spreadsheet_takes_no_text_of_strangers_for_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("two\nlines\t\r\udcff", "two\nlines\t\\r\\udcff"),
        ("Straße 円 👩\u200d👧 می\u200cدید", "Straße 円 👩\u200d👧 می\u200cدید"),
    ],
)
def test_what_a_cell_hides_is_written_out(text: str, cell: str) -> None:
    assert harmless(text) == cell


@given(st.text(st.characters(codec=None, categories=None)))
def test_a_harmless_cell_is_valid_text_that_begins_no_formula(text: str) -> None:
    cell = harmless(text)
    cell.encode()
    assert unicodedata.normalize("NFKC", cell)[:1] not in ("=", "+", "-", "@", "\t", "\r")
    hidden = {character for character in cell if unicodedata.category(character) in ("Cc", "Cf", "Cs")}
    assert hidden <= {"\u200c", "\u200d", "\n", "\t"}
    row = io.StringIO(newline="")
    csv.writer(row).writerow([cell, "next"])
    assert next(csv.reader(io.StringIO(row.getvalue(), newline=""))) == [cell, "next"]


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "an abandoned temporary file"])
def test_a_new_folder_is_ours(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "deep" / "run"
    if there != "nothing":
        folder.mkdir(parents=True)
    if there == "an abandoned temporary file":
        (folder / ".tagwise-partial-abc").touch()
    claim_alone(folder, "plan.json")
    assert folder.is_dir()


def test_a_folder_of_ours_stays_until_overwrite(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "log.jsonl").write_text("")
    claim_alone(tmp_path, "plan.json")
    assert names(tmp_path) == ["log.jsonl", "plan.json"]
    claim_alone(tmp_path, "plan.json", overwrite=True)
    assert names(tmp_path) == []


def test_what_a_killed_process_left_half_written_goes_when_the_folder_is_claimed(tmp_path: Path) -> None:
    kept = ["checkpoints/8.pt", "plan.json"]
    for name in (*kept, f"{TEMPORARY_PREFIX}a", f"checkpoints/{TEMPORARY_PREFIX}b"):
        write_text(tmp_path / name, name)
    claim_alone(tmp_path, "plan.json")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == kept


def test_in_a_folder_of_many_writers_only_what_nobody_writes_any_more_goes(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}of-a-dead-process").write_bytes(b"half")
    with open_atomically(tmp_path / "whole") as handle:
        handle.write(b"whole")
        remove_abandoned(tmp_path)
        assert names(tmp_path) == [Path(handle.name).name]
    assert names(tmp_path) == ["whole"]


def test_a_process_that_was_killed_before_its_marker_stood_leaves_the_folder_free(tmp_path: Path) -> None:
    write_text(tmp_path / f"{TEMPORARY_PREFIX}a", "half of it")
    claim_alone(tmp_path, "plan.json")
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_never_taken(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / f"{TEMPORARY_PREFIX}a").write_text("somebody's")
    with pytest.raises(UsageError, match=r"holds something else \(no plan\.json, but thesis\.tex\)"):
        claim_alone(tmp_path, "plan.json", overwrite=overwrite)
    with pytest.raises(UsageError, match=r"thesis\.tex is a file; give -o a folder"):
        claim_alone(tmp_path / "thesis.tex", "plan.json", overwrite=overwrite)
    assert names(tmp_path) == [f"{TEMPORARY_PREFIX}a", "thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TagwiseError, match="cannot be written"):
        claim_alone(tmp_path / "file" / "run", "plan.json")


def test_two_processes_never_write_into_one_folder(tmp_path: Path) -> None:
    """The lock ends with the process, however it ends, and leaves nothing behind."""
    code = (
        "import sys, time; from pathlib import Path; from tagwise.base.files import FolderLock\n"
        f"lock = FolderLock(Path({str(tmp_path)!r})); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="Another process is writing into"):
            claim_alone(tmp_path, "run.json")
        other.kill()
    with claim_alone(tmp_path, "run.json"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_claimed_anew_is_locked_too(tmp_path: Path) -> None:
    (tmp_path / "run" / "run.json").parent.mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with (
        claim_alone(tmp_path / "run", "run.json", overwrite=True),
        pytest.raises(UsageError, match="Another process"),
    ):
        FolderLock(tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_process_that_is_kept_out_removes_nothing_of_the_one_inside(tmp_path: Path) -> None:
    with claim_alone(tmp_path, "run.json"):
        write_text(tmp_path / f"{TEMPORARY_PREFIX}checkpoint", "half of it")
        with pytest.raises(UsageError, match="Another process"):
            claim_alone(tmp_path, "run.json")
        assert names(tmp_path) == [f"{TEMPORARY_PREFIX}checkpoint"]


def test_no_file_replaces_a_pipe_a_device_or_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(UsageError, match=r"is a .*, which no file can replace; give -o the name of a file"):
            write_text(tmp_path / name, "text")
    with pytest.raises(UsageError, match="/dev/null is a pipe or a device"):
        refuse_no_file(Path("/dev/null"))
    assert names(tmp_path) == ["folder", "link", "pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_who_is_patient_waits_for_the_other_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FolderLock(tmp_path), pytest.raises(UsageError, match="Another process"):
        FolderLock(tmp_path, patience_s=0.2)
    held = FolderLock(tmp_path)
    threading.Timer(0.3, held.__exit__).start()
    with FolderLock(tmp_path, patience_s=60):
        pass
    assert capsys.readouterr().err.count("waiting for it") == 2
