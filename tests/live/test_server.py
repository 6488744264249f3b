"""The sockets: where it listens, what it says beside the answer, and what it does not even read."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from stand_in import read_text

from interrupts import HEARING
from vslm.core.errors import SpecError
from vslm.live import server
from vslm.live.server import address_of, open_server

_opened: list[http.client.HTTPConnection] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def _connection(address: str) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    assert parts.hostname
    _opened.append(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30))
    return _opened[-1]


def test_every_answer_says_what_a_browser_may_do_with_it(address: str) -> None:
    """Pages, data, files and refusals: no foreign script, no frame, no guess of a type, nothing kept but files."""
    connection = _connection(address)
    for target in ("/", "/study/first", "/api/studies", "/nowhere", "/assets/x/y"):
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "python" not in headers["server"].lower()


def test_it_listens_on_loopback_alone(runs: Path) -> None:
    """The address that is bound is no other than the one that was named."""
    with open_server(runs, read_text, host="127.0.0.1", port=0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert address_of(server) == f"http://127.0.0.1:{server.server_address[1]}/"


def test_a_text_that_is_too_long_is_refused_before_it_is_read(address: str) -> None:
    """The length alone decides; the connection ends."""
    connection = _connection(address)
    connection.putrequest("POST", "/api/tokens/first")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "256 kB" in json.loads(answer.read())["error"]
    assert answer.getheader("connection") == "close"


@pytest.mark.parametrize(
    ("length", "status"), [("-1", 400), ("ten", 400), ("\u00b2", 400), ("9" * 4000, 413), (None, 411), ("1e3", 400)]
)
def test_a_length_that_is_none_is_refused(address: str, length: str | None, status: int) -> None:
    """Nothing is read until a length is there that can be meant."""
    connection = _connection(address)
    connection.putrequest("POST", "/api/tokens/first")
    connection.putheader("Content-Type", "application/json")
    if length is not None:
        connection.putheader("Content-Length", length.encode("latin-1"))
    connection.endheaders()
    assert connection.getresponse().status == status


def test_two_hosts_are_no_host(address: str) -> None:
    """Which of them counts is nobody's guess."""
    port = urlsplit(address).port
    with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(address: str, method: str) -> None:
    """A browser that asks whether another site may send gets no permission."""
    connection = _connection(address)
    connection.request(method, "/api/tokens/first", headers={"Origin": "http://evil.example"})
    answer = connection.getresponse()
    assert answer.status == 405
    assert answer.getheader("access-control-allow-origin") is None


def test_head_has_the_headers_of_get_and_no_body(address: str) -> None:
    """And the connection can be used again."""
    connection = _connection(address)
    connection.request("HEAD", "/api/studies")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.getheader("content-length") or 0) > 0
    connection.request("GET", "/api/studies")
    assert len(json.loads(connection.getresponse().read())["studies"]) == 2


def test_bytes_that_are_no_request_end_nothing(address: str) -> None:
    """The next visitor is answered."""
    port = urlsplit(address).port or 0
    for noise in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"x" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(noise)
            with contextlib.suppress(OSError):  # it may have hung up already
                raw.shutdown(socket.SHUT_WR)
                raw.recv(1000)
    connection = _connection(address)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


@pytest.mark.parametrize(("port", "words"), [(70_000, "--port"), (-1, "--port")])
def test_a_port_that_is_none_is_refused(runs: Path, port: int, words: str) -> None:
    """With the option's name."""
    with pytest.raises(SpecError, match=words):
        open_server(runs, read_text, host="127.0.0.1", port=port)


def test_a_folder_that_is_none_and_a_port_that_is_taken_are_said(runs: Path, tmp_path: Path) -> None:
    """And what to do."""
    with pytest.raises(SpecError, match="no such folder"):
        open_server(tmp_path / "nowhere", read_text, host="127.0.0.1", port=0)
    with (
        open_server(runs, read_text, host="127.0.0.1", port=0) as first,
        pytest.raises(SpecError, match="choose another --port"),
    ):
        # The first listens with SO_REUSEADDR, which shares nothing with a socket that is listening.
        open_server(runs, read_text, host="127.0.0.1", port=first.server_address[1])


def test_the_command_serves_and_stops(runs: Path) -> None:
    """It says where, answers without torch, and an interruption ends it in words."""
    command = [sys.executable, "-m", "vslm.cli", "serve", str(runs), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, **HEARING) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        address = line.split(" at ")[1].split(" ")[0]
        connection = _connection(address)
        connection.request("GET", "/study/first")
        assert connection.getresponse().status == 200
        running.send_signal(2)
        try:
            _, errors = running.communicate(timeout=20)
        finally:
            running.kill()  # or leaving would wait for one that goes on
    assert "vslm: stopped" in errors
    assert "Traceback" not in errors


def test_pages_need_no_torch() -> None:
    """torch comes with the first typed text."""
    code = "import sys, vslm.live.server, vslm.live.app; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_many_who_ask_at_once_are_all_answered(address: str) -> None:
    """A page that is being made holds up no other."""
    begun = time.monotonic()
    connections = [_connection(address) for _ in range(8)]
    for connection in connections:
        connection.request("GET", "/study/first")
    assert {connection.getresponse().status for connection in connections} == {200}
    assert time.monotonic() - begun < 60


def test_two_hundred_connections_at_once_are_all_answered(address: str) -> None:
    """While they are open, all of them; a visitor who comes then is answered, too."""
    port = urlsplit(address).port or 0
    with contextlib.ExitStack() as opened:
        raws = [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(200)]
        connection = _connection(address)
        connection.request("GET", "/study/first")
        assert connection.getresponse().status == 200
        for raw in raws:
            raw.sendall(b"GET /assets/none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert {raw.recv(12) for raw in raws} == {b"HTTP/1.1 404"}


def test_more_than_there_is_room_for_are_told_to_come_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once the others are gone there is room."""
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 3)
    with open_server(Path(), read_text, host="127.0.0.1", port=0) as small:
        thread = threading.Thread(target=small.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        place = ("127.0.0.1", small.server_address[1])
        try:
            with contextlib.ExitStack() as opened:
                for _ in range(3):
                    opened.enter_context(socket.create_connection(place, timeout=10))
                with socket.create_connection(place, timeout=10) as late:
                    assert late.recv(100).startswith(b"HTTP/1.1 503 ")
            deadline = time.monotonic() + 10
            status = b""
            while not status.startswith(b"HTTP/1.1 404") and time.monotonic() < deadline:
                with socket.create_connection(place, timeout=10) as raw, contextlib.suppress(OSError):
                    raw.sendall(b"GET /assets/none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    status = raw.recv(100)
            assert status.startswith(b"HTTP/1.1 404")
        finally:
            small.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "begin", [b"GET / HT", b"GET / HTTP/1.1\r\nX: ", b"POST /api/tokens/first HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
)
def test_a_slow_connection_ends(address: str, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    """A letter now and then keeps none open: the whole request has its time, not each letter of it."""
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.5)
    if begin.startswith(b"POST"):
        begin += b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=10) as raw:
        raw.sendall(begin)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 10:
                raw.sendall(b"x")
                time.sleep(0.05)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"<script> / HTTP/9.9\r\n\r\n", b"505"),
    ],
)
def test_what_is_too_large_is_refused_in_words(address: str, request_: bytes, status: bytes) -> None:
    """With the headers of every other answer, and nothing that was sent becomes markup."""
    with socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=10) as raw:
        raw.sendall(request_)
        answer = b""
        with contextlib.suppress(OSError):
            while piece := raw.recv(65536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Content-Security-Policy" in answer
    assert b"<script>" not in answer


@pytest.mark.parametrize("host", ["", " ", "a" * 300, "\x00", "\x1b[2J", "203.0.113.7"])
def test_an_address_that_is_none_of_this_machine_is_refused(runs: Path, host: str) -> None:
    """An empty one above all: the system takes it for every network."""
    with pytest.raises(SpecError, match=r"127\.0\.0\.1 is for this machine alone") as caught:
        open_server(runs, read_text, host=host, port=0)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]")])
def test_every_address_is_no_place_to_go(host: str, shown: str) -> None:
    """What is printed can be opened."""
    assert address_of(SimpleNamespace(server_address=(host, 8421))) == f"http://{shown}:8421/"  # type: ignore[arg-type]
