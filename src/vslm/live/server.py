"""Sockets: requests to `app.py` and its answers back, on loopback unless another address is named.

The standard library's server is enough here: one person, a handful of addresses, no uploads. So a laboratory that shows
its results needs no further package.
"""

import contextlib
import errno
import io
import math
import socket
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from vslm.core.errors import SpecError
from vslm.live import guard, pages
from vslm.live.app import Answer, App
from vslm.live.guard import RefusedError
from vslm.live.reading import ReadText

_REQUEST_SECONDS = 15.0  # in which a request has to come whole, the wait for it included; then it is closed
_ANSWER_SECONDS = 60.0  # in which an answer has to be taken
_MOST_CONNECTIONS = 512  # at the same time, a thread each; more are asked to come again
_WAITING = 256  # connections that the system keeps until they are taken up
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
_HOSTS = "127.0.0.1 is for this machine alone, 0.0.0.0 for every network that it is in"
_SAFE = {
    "Content-Security-Policy": pages.POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = _WAITING

    def __init__(self, address: tuple[str, int], app: App) -> None:
        self.app = app
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        threading.Thread(target=app.warm, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or send it away where all are taken, without waiting for it."""
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # the system gives no further thread
                self._places.release()
                self.shutdown_request(request)
            return
        request.setblocking(False)
        with contextlib.suppress(OSError):
            request.send(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer all that comes over a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle is no event."""


class _Timed(io.RawIOBase):
    """What a connection sends, up to a moment: a time limit of a single read would let a letter a minute go on."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.until = connection, math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vslm", ""

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._timed = _Timed(self.connection)
        self.rfile = io.BufferedReader(self._timed)

    def handle_one_request(self) -> None:
        self._timed.until = time.monotonic() + _REQUEST_SECONDS
        super().handle_one_request()

    @property
    def app(self) -> App:
        assert isinstance(self.server, _Server)
        return self.server.app

    @property
    def sent(self) -> dict[str, str]:
        """The headers by their usual spelling. One that came twice holds both values, which match no known one."""
        names = dict.fromkeys(name.title() for name in self.headers)
        return {name: ", ".join(self.headers.get_all(name, [])) for name in names}

    def do_GET(self) -> None:
        self._send(self.app.answer("GET", self.path, self.sent))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        headers = self.sent
        try:
            self.app.check("POST", headers)
            length = guard.body_length(headers)
        except RefusedError as refused:
            self.close_connection = True  # what it wanted to send is never read
            self._send(self.app.refusal(refused, self.path))
            return
        self._send(self.app.answer("POST", self.path, headers, self.rfile.read(length)))

    def _other(self) -> None:
        self.close_connection = True
        self._send(self.app.refusal(RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and POST."), self.path))

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _other

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request, or one that is too long: in words like every other refusal."""
        self.close_connection = True
        self.request_version = self.protocol_version  # what was not understood asked for none
        status = HTTPStatus(code)
        self._send(self.app.refusal(RefusedError(status, f"{message or status.description or status.phrase}."), "/"))

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(_ANSWER_SECONDS)
        self.send_response(answer.status)
        headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), "Cache-Control": "no-store"}
        for name, value in {**headers, **_SAFE, **answer.headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a page that polls would fill the terminal."""


def open_server(
    root: Path,
    read_text: ReadText,
    *,
    host: str,
    port: int,
    allow_hosts: Iterable[str] = (),
    read_loaded: ReadText | None = None,
) -> ThreadingHTTPServer:
    """A server that listens, and answers once `serve_forever` is called.

    Args:
        root: the folder of studies.
        read_text: as of `App`.
        host: an address or a name of this machine.
        port: 0 takes a free one.
        allow_hosts: names of proxies that pass requests on under their own.
        read_loaded: as of `App`.
    Raises: SpecError if it is no folder, or the address cannot be bound.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise SpecError(str(root), found, "a folder of studies is needed", "vslm run STUDY.py makes one")
    if not 0 <= port <= 65535:
        raise SpecError("--port", f"found {port}", "0 to 65535; 0 takes a free one")
    if not host.strip() or not host.isprintable():
        # The system takes an empty one for every address of the machine, which has to be meant.
        raise SpecError("--host", f"found {host!r}", "an address of this machine is needed", _HOSTS)
    try:
        names = guard.checked_names(allow_hosts)
        return _Server((host, port), App(root, read_text, read_loaded=read_loaded, listens_at=host, allowed=names))
    except (socket.gaierror, UnicodeError):
        raise SpecError("--host", f"found {host!r}", "an address or a name of this machine is needed", _HOSTS) from None
    except OSError as error:
        reason = error.strerror or str(error)
        do = _HOSTS if error.errno == errno.EADDRNOTAVAIL else "choose another --port"
        raise SpecError(f"{host}:{port}", f"cannot be listened at: {reason}", "", do) from None


def is_everywhere(host: str) -> bool:
    """Whether an address stands for every address of this machine.

    >>> is_everywhere("0.0.0.0"), is_everywhere("::"), is_everywhere("127.0.0.1")
    (True, True, False)
    """
    return host in ("0.0.0.0", "::")


def address_of(server: ThreadingHTTPServer) -> str:
    """What to open in a browser."""
    host, port = (str(part) for part in server.server_address[:2])
    if is_everywhere(host):  # which is where to listen, and nowhere to go
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"
