"""What is refused before anything is read: foreign hosts, requests that another site sent, large ones.

A page of another site that a visitor has open can send requests to this machine (cross-site request forgery), or have
its own name point here (DNS rebinding) and then read the answers. The first is told by `Origin`, the second by `Host`.
"""

import ipaddress
import json
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

MOST_BODY_BYTES = 256 * 1024
MOST_TEXT_CHARACTERS = 20_000
_OWN_NAMES = ("localhost", "localhost.localdomain")


class RefusedError(Exception):
    """An answer that is no page: a status, and why in one sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(status, why)
        self.status, self.why = status, why


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that the server listens at.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host in _OWN_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str | None, *, listens_at: str) -> None:
    """Refuse a request for a name that is not this server's.

    A name can be made to point here by whoever owns it; an address cannot. So on loopback only loopback's names and
    addresses are known, and at an address that was asked for also every address, this machine's name, and that one.

    Raises: RefusedError with 421.
    """
    name = _without_port(host or "")
    if is_loopback(name):
        return
    if not is_loopback(listens_at):
        own = {listens_at.lower(), socket.gethostname().lower()}
        if name in own or _is_address(name):
            return
    raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, "This server answers for its own address only.")


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a request that a page of another site sent. Programs that are no browser send no Origin.

    Raises: RefusedError with 403.
    """
    origin = headers.get("Origin")
    own = f"http://{headers.get('Host', '')}".lower()
    foreign_site = headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if foreign_site or (origin is not None and origin.lower() != own):
        raise RefusedError(HTTPStatus.FORBIDDEN, "Only pages of this server may ask for this.")


def body_length(headers: Mapping[str, str]) -> int:
    """How many bytes a request says that it brings.

    Raises: RefusedError with 411, 413 or 400.
    """
    length = headers.get("Content-Length")
    if length is None or "Transfer-Encoding" in headers:
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Say how long the request is.")
    if not length.isascii() or not length.isdigit():
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The length is no number.")
    if len(length) > 12 or int(length) > MOST_BODY_BYTES:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {MOST_BODY_BYTES // 1024} kB are read.")
    return int(length)


def read_body(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises: RefusedError with 415 for another type, which a form of another site could send without asking; with 400.
    """
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is needed.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "That is not valid JSON.") from None
    if not isinstance(value, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "A JSON object is needed.")
    return value


def checked_text(value: Any) -> str:
    """A text that a visitor typed.

    Raises: RefusedError with 400 where there is none, with 413 if it is too long.
    """
    if not isinstance(value, str) or not value:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "There is no text yet.")
    if len(value) > MOST_TEXT_CHARACTERS:
        found = f"{len(value):,} characters are more than the {MOST_TEXT_CHARACTERS:,} that are read at once."
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, found)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "The text holds half a character (a lone surrogate).") from None
    return value


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
