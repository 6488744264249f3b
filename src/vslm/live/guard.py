"""What is refused before anything is read: foreign hosts, requests that another site sent, large ones.

A page of another site that a visitor has open can send requests to this machine (cross-site request forgery), or have
its own name point here (DNS rebinding) and then read the answers. The first shows in `Origin`, the second in `Host`.
"""

import ipaddress
import json
import socket
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from vslm.core.errors import SpecError

MOST_BODY_BYTES = 256 * 1024
MOST_TEXT_CHARACTERS = 20_000
_MOST_NAMED = 80  # letters of a name that is said back
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


def checked_names(names: Iterable[str]) -> frozenset[str]:
    """Names of proxies that the server may be asked by, in small letters.

    Raises: SpecError for what is no name of one machine: an address with a scheme or a path, or a pattern.
    """
    checked = [name.strip().lower() for name in names]
    for name in checked:
        parts = name.split(".")
        if not name.isascii() or not all(part.replace("-", "").replace("_", "").isalnum() for part in parts):
            do = "copy it from the address that the browser shows: what stands between // and the next / or :"
            raise SpecError("--allow-host", f"found {name!r}", "the name of one machine is needed", do)
    return frozenset(checked)


def check_host(host: str | None, *, listens_at: str, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a request for a name that is not this server's.

    A name can be made to point here by whoever owns it; an address cannot. So on loopback only loopback's names and
    addresses are known, and at an address that was asked for also every address, this machine's name, and that one.
    A proxy in front of the server (Colab, Jupyter, Codespaces, a tunnel) may pass its own name on: to be allowed here.

    Raises: RefusedError with 421, which says how.
    """
    name = _without_port(host or "")
    if is_loopback(name) or name in allowed:
        return
    if not is_loopback(listens_at):
        own = {listens_at.lower(), socket.gethostname().lower()}
        if name in own or _is_address(name):
            return
    raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, _foreign_words(name))


def _foreign_words(name: str) -> str:
    own = "This server answers for its own address only"
    try:
        (known,) = checked_names([name])
    except SpecError:
        return f"{own}, and was asked for another."
    known = known if len(known) <= _MOST_NAMED else "NAME"
    return (
        f"{own}, and was asked for {known}. If that is a proxy or a tunnel of yours (Colab, Jupyter, Codespaces), stop "
        f"the server and start it with: vslm serve --allow-host {known}. Whoever may use that proxy can then read all "
        "of the folder. A notebook shows a page without a server, too: "
        "from IPython.display import HTML; HTML(filename='runs/NAME/report.html')"
    )


def check_origin(headers: Mapping[str, str], *, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a request that a page of another site sent. Programs that are no browser send no Origin.

    Args:
        headers: of the request.
        allowed: names of proxies, whose pages are this server's: they come as https, and may be sent on under its name.

    Raises: RefusedError with 403.
    """
    origin = headers.get("Origin")
    own = f"http://{headers.get('Host', '')}".lower()
    foreign_site = headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    is_own = origin is None or origin.lower() == own or _named_in(origin) in allowed
    if foreign_site or not is_own:
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


def _named_in(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


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
