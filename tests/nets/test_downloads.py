"""Downloads from a local server that truncates, stalls, redirects, lies and refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.nets import connections, downloads, find_design
from tagwise.nets.downloads import fetch
from tagwise.nets.grammar import build
from tagwise.nets.weights import find_weights, load_weights
from tests.references.torch7 import Form, lua_net, write_torch7

CONTENT = bytes(range(256)) * 1600  # 409,600 bytes
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = f"own-{DIGEST[:8]}.pth"


class Server(ThreadingHTTPServer):
    """Serves ``content`` with ranges; ``answers`` are used up first, one a request."""

    daemon_threads = True
    content = CONTENT
    honours_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = []
        self.ranges: list[str | None] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{FILE}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        answer = self.server.answers.pop(0) if self.server.answers else Handler.whole
        answer(self)

    def whole(self, most: int | None = None, surplus: bytes = b"") -> None:
        """The file or the range asked for; ``most`` bytes of it, or with a surplus behind."""
        start = 0
        if self.server.honours_ranges and self.headers["Range"]:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.server.content):
                self.send_error(416)
                return
        rest = self.server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            end = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:most] + surplus)

    def log_message(self, *_: object) -> None:
        pass


def cut(most: int) -> Callable[[Handler], None]:
    """An answer that breaks off after so many bytes."""
    return lambda handler: handler.whole(most)


def stall(handler: Handler) -> None:
    """Half of the file, then silence."""
    handler.whole(len(CONTENT) // 2)
    handler.wfile.flush()
    handler.server.released.wait(20)


def error(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send_error(code)


def redirect(to: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def page(handler: Handler) -> None:
    """What captive portals send."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html; charset=utf-8")
    handler.end_headers()
    handler.wfile.write(b"<html>Please log in</html>")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("TAGWISE_MIRROR", "TAGWISE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connections, "FIRST_WAIT_SECONDS", 0.0)
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.released.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def cache(server: Server, tmp_path: Path) -> Path:
    """torch.hub's folder, which is not there yet."""
    return tmp_path / "torch" / "hub" / "checkpoints"


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def get(server: Server, prefix: str = DIGEST[:8]) -> bytes:
    return fetch(server.url, prefix, name="the weights").read_bytes()


def test_a_file_comes_once_into_torch_hubs_folder(server: Server, cache: Path) -> None:
    assert fetch(server.url, DIGEST[:8], name="the weights") == cache / FILE
    assert get(server) == CONTENT
    assert server.ranges == [None]
    assert listed(cache) == [FILE]


def test_connections_that_are_cut_are_said_and_resumed_where_they_ended(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [cut(100_000), error(503), cut(60_000)]
    assert get(server) == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=160000-"]
    assert capsys.readouterr().err.splitlines() == [
        "the weights: the connection was cut after 0.1 MB of 0.4 MB; trying again (2 of 8).",
        "the weights: the server answered 503, Service Unavailable; trying again (3 of 8).",
        "the weights: the connection was cut after 0.2 MB of 0.4 MB; trying again (4 of 8).",
        f"the weights is downloaded; its SHA-256 is {DIGEST}.",
    ]


def test_a_stalled_connection_counts_as_cut(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.3)
    server.answers = [stall]
    assert get(server) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_the_next_call_goes_on_with_what_an_earlier_one_left(server: Server, cache: Path) -> None:
    server.answers = [cut(1000)] + [cut(0)] * (connections.TRIES - 1)
    with pytest.raises(
        TagwiseError,
        match=rf"cut after 0\.0 MB of 0\.4 MB, in the last of {connections.TRIES} tries; try again later to go on",
    ):
        get(server)
    assert listed(cache) == [f"{FILE}.part"]
    assert get(server) == CONTENT
    assert server.ranges[-1] == "bytes=1000-"


def test_a_server_without_ranges_starts_over(server: Server) -> None:
    server.honours_ranges = False
    server.answers = [cut(100_000)]
    assert get(server) == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("left", [b"another file", CONTENT + b"more", CONTENT])
def test_a_part_of_another_file_is_thrown_away(server: Server, cache: Path, left: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / f"{FILE}.part").write_bytes(left)
    assert get(server) == CONTENT
    assert len(server.ranges) == {b"another file": 2, CONTENT: 0}.get(left, 2)
    assert listed(cache) == [FILE]


def test_a_file_that_lies_about_its_hash_is_refused_and_not_kept(server: Server, cache: Path) -> None:
    with pytest.raises(TagwiseError, match=rf"begins with {DIGEST[:8]}, not 00000000.*TAGWISE_MIRROR"):
        get(server, "00000000")
    assert listed(cache) == []


def test_a_wrong_file_in_the_folder_is_refused_and_left_to_its_owner(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(b"torn")
    with pytest.raises(
        TagwiseError, match=rf"{FILE} is not the published the weights: .* not {DIGEST[:8]}; replace it"
    ):
        get(server)
    assert (cache / FILE).read_bytes() == b"torn"


def test_a_body_longer_than_declared_is_cut_at_what_was_declared(server: Server) -> None:
    server.answers = [lambda handler: handler.whole(surplus=b"surplus")]
    assert get(server) == CONTENT


def test_without_a_published_hash_the_sha256_is_said_and_old_parts_are_not_trusted(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir(parents=True)
    (cache / f"{FILE}.part").write_bytes(b"x" * 10)
    assert get(server, "") == CONTENT
    assert f"the SHA-256 of what came is {DIGEST}" in capsys.readouterr().err
    assert server.ranges == [None]


def short(handler: Handler) -> None:
    """A body that ends early and does not say how long it should be."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT[:1000])


def torn(path: Path) -> None:
    """A check that wants the whole of it."""
    if path.read_bytes() != CONTENT:
        raise TagwiseError(f"{path} cannot be read.")


def test_without_a_published_hash_a_bad_file_never_gets_its_name(server: Server, cache: Path) -> None:
    server.answers = [short]
    with pytest.raises(TagwiseError, match=f"from {server.url}: what came cannot be read; put the file at"):
        fetch(server.url, "", name="the weights", check=torn)
    assert listed(cache) == []
    server.answers = [cut(1000)] * connections.TRIES
    with pytest.raises(TagwiseError, match="in the last of 8 tries; put the file at"):
        fetch(server.url, "", name="the weights", check=torn)
    assert listed(cache) == []
    server.answers = [cut(1000)]
    assert fetch(server.url, "", name="the weights", check=torn).read_bytes() == CONTENT


def test_a_torch7_file_is_kept_only_if_it_holds_the_net(server: Server, cache: Path) -> None:
    design = find_design("resnet20_cifar_end")
    url = f"http://127.0.0.1:{server.server_port}/net.t7"
    row = dataclasses.replace(find_weights("resnet18_fb"), design="resnet20_cifar_end", url=url)
    whole = write_torch7(lua_net(build(design, num_classes=10), Form()))
    other = write_torch7(lua_net(build(find_design("resnet14_cifar_end"), num_classes=10), Form()))
    for content, told in (
        (whole[:-1000], "what came cannot be read as a binary Torch7 file: [0-9,]+ bytes are announced"),
        (b"<html>Please log in</html>", "what came cannot be read as a binary Torch7 file: the type"),
        (other, r"\(torch7\) do not fit resnet20_cifar_end: 30 tensors are missing"),
    ):
        server.content = content
        with pytest.raises(TagwiseError, match=f"resnet20_cifar_end_fb cannot be had from {url}: .*{told}"):
            load_weights(row)
        assert listed(cache) == []
    server.content = whole
    assert load_weights(row).keys() == build(design).state_dict().keys()
    assert listed(cache) == ["net.t7"]


def endless(handler: Handler) -> None:
    """Says no length and never stops."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def boasting(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**13))
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (endless, r"the server sends more than 1\.0 MB, without an end; put"),
        (boasting, r"the server announces 10,000,000\.0 MB, more than any published file has; put"),
    ],
)
def test_an_endless_body_is_stopped_and_not_kept(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Handler], None], told: str
) -> None:
    monkeypatch.setattr(connections, "MOST_BYTES", 10**6)
    server.answers = [answer]
    with pytest.raises(TagwiseError, match=told):
        get(server)
    assert listed(cache) == []


def wordless(handler: Handler) -> None:
    """Servers behind HTTP/2 give no words for their codes."""
    handler.wfile.write(b"HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (wordless, "the server answered 403;"),
        (error(404), "the server answered 404, Not Found"),
        (error(403), "the server answered 403, Forbidden"),
        (page, "the server sent a web page instead"),
        (redirect("ftp://127.0.0.1/x"), "redirects from http to ftp://127.0.0.1/x, which is not safe"),
    ],
)
def test_final_answers_are_not_asked_for_again(
    server: Server, cache: Path, answer: Callable[[Handler], None], told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(TagwiseError, match=told) as caught:
        get(server)
    assert str(caught.value).startswith(f"the weights cannot be had from {server.url}: ")
    assert f"; put the file at {cache / FILE} by hand, or set TAGWISE_MIRROR" in str(caught.value)
    assert len(server.ranges) == 1
    assert listed(cache) == []


def test_a_server_that_always_fails_is_given_up(server: Server) -> None:
    server.answers = [error(500)] * connections.TRIES
    with pytest.raises(TagwiseError, match="answered 500, Internal Server Error, in the last of 8 tries"):
        get(server)
    assert len(server.ranges) == connections.TRIES


def test_redirects_are_followed_but_not_in_a_loop(server: Server) -> None:
    server.answers = [redirect("/elsewhere")]
    assert get(server) == CONTENT
    Path(fetch(server.url, DIGEST[:8], name="the weights")).unlink()
    server.answers = [redirect(f"/{FILE}")] * 20
    with pytest.raises(TagwiseError, match="answered 302, The HTTP server returned a redirect error"):
        get(server)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://example.org/a.pth")
    handler = connections._SafeRedirects()
    with pytest.raises(connections.Refused, match=r"from https to http://example.org/a.pth, which is not safe"):
        handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://example.org/a.pth")
    assert handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "https://example.net/a.pth") is not None


def test_no_network_is_said_at_once(server: Server, cache: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TagwiseError) as caught:
        fetch(f"http://127.0.0.1:9/{FILE}", DIGEST[:8], name="the weights")
    assert re.fullmatch(
        rf"the weights cannot be had from http://127\.0\.0\.1:9/{FILE}: Connection refused; "
        rf"put the file at {cache / FILE} by hand, or set TAGWISE_MIRROR to another source of it\.",
        str(caught.value),
    )
    assert time.monotonic() - start < 2


def test_p23_offline_only_what_is_here_is_used_and_the_exact_path_is_said(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGWISE_OFFLINE", "1")
    with pytest.raises(TagwiseError, match=f"TAGWISE_OFFLINE is set; put the file at {cache / FILE} by hand"):
        get(server)
    assert not cache.exists()
    cache.mkdir(parents=True)
    (cache / FILE).write_bytes(CONTENT)
    assert get(server) == CONTENT
    assert server.ranges == []


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_mirror_may_be_a_folder(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    shelf = tmp_path / "my shelf"
    shelf.mkdir()
    monkeypatch.setenv("TAGWISE_MIRROR", form.format(str(shelf).replace(" ", "%20" if "://" in form else " ")))
    with pytest.raises(TagwiseError, match=f"TAGWISE_MIRROR holds no {FILE} of the weights; .* {shelf / FILE}"):
        get(server)
    (shelf / FILE).write_bytes(CONTENT)
    assert fetch(server.url, DIGEST[:8], name="the weights") == shelf / FILE
    (shelf / FILE).write_bytes(b"lie")
    with pytest.raises(TagwiseError, match=r"is not the published .*, or unset TAGWISE_MIRROR\."):
        get(server)
    assert server.ranges == []


def test_a_mirror_may_be_an_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWISE_MIRROR", f"{server.url.rpartition('/')[0]}/".replace("http", "HTTP"))
    assert fetch(f"https://nowhere.invalid/deep/{FILE}", DIGEST[:8], name="the weights").read_bytes() == CONTENT
    server.answers = [error(404)]
    with pytest.raises(TagwiseError, match=r"answered 404, Not Found; put the file at .*, or correct TAGWISE_MIRROR\."):
        fetch("https://nowhere.invalid/deep/other.pth", DIGEST[:8], name="the weights")
    monkeypatch.setenv("TAGWISE_MIRROR", "s3://bucket")
    with pytest.raises(UsageError, match="TAGWISE_MIRROR is s3://bucket; give it a folder or an address"):
        fetch("https://nowhere.invalid/other.pth", "", name="the weights")


def test_a_folder_that_cannot_be_written_is_said_with_the_remedy(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "in_the_way").write_text("a file")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "in_the_way"))
    with pytest.raises(TagwiseError, match=r"cannot be kept in .*in_the_way.*: Not a directory; set TORCH_HOME"):
        get(server)


def test_a_disk_without_room_is_refused_before_it_is_filled(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    server.answers = [lambda handler: handler.whole()]
    with pytest.raises(
        TagwiseError, match=r"the disk has no room for its 0\.4 MB; free some space there, or set TORCH_HOME"
    ):
        get(server)
    assert listed(cache) == []


def test_of_many_at_once_one_downloads_and_the_others_wait(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Locks hold between open files, so threads stand for processes here."""
    started = threading.Event()

    def slowly(handler: Handler) -> None:
        started.set()
        time.sleep(0.3)
        handler.whole()

    server.answers = [slowly]
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(get(server))) for _ in range(4)]
    for thread in threads:
        thread.start()
        started.wait(5)
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert server.ranges == [None]
    assert capsys.readouterr().err.count("Another process is downloading the weights; waiting for it.") == 3


def test_the_one_who_waited_goes_on_where_the_other_failed(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    with (cache / f"{FILE}.part").open("a+b") as other:
        downloads._lock(other, "the weights")
        waiting = threading.Thread(target=lambda: get(server))
        waiting.start()
        other.write(CONTENT[:5000])
        other.flush()
        time.sleep(0.1)
        assert server.ranges == []
    waiting.join()
    assert server.ranges == ["bytes=5000-"]
    assert (cache / FILE).read_bytes() == CONTENT


def test_a_kill_leaves_a_part_that_the_next_call_resumes(server: Server, cache: Path) -> None:
    server.answers = [stall]
    code = f"from tagwise.nets.downloads import fetch; fetch({server.url!r}, {DIGEST[:8]!r}, name='the weights')"
    process = subprocess.Popen([sys.executable, "-c", code])
    part, half = cache / f"{FILE}.part", len(CONTENT) // 2
    while process.poll() is None and not (part.is_file() and part.stat().st_size == half):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert listed(cache) == [part.name]
    assert get(server) == CONTENT
    assert server.ranges == [None, f"bytes={half}-"]
