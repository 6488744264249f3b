"""Sockets: requests to `app.py` and its answers back, on loopback unless another address is named.

The standard library's server is enough here: one person, a handful of addresses, no uploads. So a laboratory that shows
its results needs no further package.
"""

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vslm.core.errors import SpecError
from vslm.live import guard, pages
from vslm.live.app import Answer, App
from vslm.live.guard import RefusedError
from vslm.live.reading import ReadText

_IDLE_SECONDS = 30.0  # a connection that says nothing is closed
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

    def __init__(self, address: tuple[str, int], app: App) -> None:
        self.app = app
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        threading.Thread(target=app.warm, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version, sys_version = "vslm", ""

    @property
    def app(self) -> App:
        assert isinstance(self.server, _Server)
        return self.server.app

    @property
    def sent(self) -> dict[str, str]:
        """The headers by their usual spelling. One that came twice holds both, and so is none that is known."""
        names = dict.fromkeys(name.title() for name in self.headers)
        return {name: ", ".join(self.headers.get_all(name, [])) for name in names}

    def do_GET(self) -> None:
        self._send(self.app.answer("GET", self.path, self.sent))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        headers = self.sent
        try:
            guard.check_host(headers.get("Host"), listens_at=self.app.listens_at)
            guard.check_origin(headers)
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

    def _send(self, answer: Answer) -> None:
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


def open_server(root: Path, read_text: ReadText, *, host: str, port: int) -> ThreadingHTTPServer:
    """A server that listens, and answers once `serve_forever` is called.

    Raises: SpecError if the folder is none, or the address cannot be had.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise SpecError(str(root), found, "a folder of studies is needed", "vslm run STUDY.py makes one")
    if not 0 <= port <= 65535:
        raise SpecError("--port", f"found {port}", "0 to 65535; 0 takes a free one")
    try:
        return _Server((host, port), App(root, read_text, listens_at=host))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(f"{host}:{port}", f"cannot be listened at: {reason}", "", "choose another --port") from None


def address_of(server: ThreadingHTTPServer) -> str:
    """What to open in a browser."""
    host, port = server.server_address[:2]
    shown = f"[{host}]" if ":" in str(host) else host
    return f"http://{shown}:{port}/"
