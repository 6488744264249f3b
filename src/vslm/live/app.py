"""From a request to an answer: the addresses of the live page. Not for: sockets, see `server.py`.

    GET  /                          the list of studies
    GET  /study/NAME                the page of one
    GET  /api/studies               every study's name and the tag of its card
    GET  /api/card/NAME             a card of the list
    GET  /api/rows/NAME?since=      rows that came since a cursor
    POST /api/tokens/NAME           a typed text, read with stored weights
    GET  /assets/FILE               style and scripts

NAME is looked up among the studies that are there, and FILE among the files that are listed: no path is ever made of
what a visitor sends.
"""

import hashlib
import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from vslm.core.errors import VslmError
from vslm.core.visible import visible
from vslm.live import guard, pages
from vslm.live.growing import cursor_of, results_of, rows_since
from vslm.live.guard import RefusedError
from vslm.live.reading import LOADED, Reading, ReadText, view_of
from vslm.live.shelf import Entry, Shelf
from vslm.report.numbers.formatting import listing
from vslm.report.numbers.runs import Run, read_runs

_JSON, _HTML = "application/json", "text/html; charset=utf-8"
_MOST_WAITING = 4  # typed texts that wait for one another; more are sent away
_PAGES_KEPT = 6
_WARMED = 3  # studies that are read before anybody asks


@dataclass(frozen=True)
class Answer:
    """An HTTP response: status, body, content type and further headers."""

    status: HTTPStatus
    body: bytes
    kind: str = _JSON
    headers: dict[str, str] = field(default_factory=dict)


def _to_stderr(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)


class App:
    """Answers for the studies below a folder.

    Args:
        root: the folder.
        read_text: reads a typed text with a run's stored weights; raises VslmError in words.
        read_loaded: the same with passages of a store in front of it; its remark says which. None: there is no store.
        listens_at: the address, which decides what names are its own.
        allowed: names of proxies that pass requests on under their own.
        log: called with one line for every unexpected error.
    """

    def __init__(
        self,
        root: Path,
        read_text: ReadText,
        *,
        read_loaded: ReadText | None = None,
        listens_at: str = "127.0.0.1",
        allowed: frozenset[str] = frozenset(),
        log: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.shelf, self.listens_at, self._read_text, self._log = Shelf(root), listens_at, read_text, log
        self.allowed, self._read_loaded = allowed, read_loaded
        self._pages: dict[str, tuple[str, bytes]] = {}
        self._drawing: dict[str, threading.Lock] = {}
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._reading = threading.Lock()

    def warm(self) -> None:
        """Read the runs of the newest studies, so that the first visit to one of them has only to draw it."""
        for entry in self.shelf.entries()[:_WARMED]:
            self._flat(entry)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Answer a request; what is refused, cannot be read or goes wrong is answered in words."""
        try:
            self.check(method, headers)
            path, query = _split(target)
            if method == "POST":
                return self._post(path, headers, body)
            return self._get(path, query)
        except RefusedError as refused:
            return self.refusal(refused, target)
        except VslmError as error:
            return self._in_words(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), target)
        except Exception as error:  # unexpected: this visitor gets an answer, and others are served
            return self._in_words(HTTPStatus.INTERNAL_SERVER_ERROR, self._unexpected(error, target), target)

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuse what is asked of another name, and what another site's page sent.

        Raises: RefusedError.
        """
        guard.check_host(headers.get("Host"), listens_at=self.listens_at, allowed=self.allowed)
        if method == "POST":
            guard.check_origin(headers, allowed=self.allowed)

    def _unexpected(self, error: Exception, target: str) -> str:
        """Log an unexpected error with its place; returns the sentence for the visitor."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())
        at = f"{Path(place.filename).name}:{place.lineno}"
        self._log(f"vslm: {target!r} could not be answered: {type(error).__name__}: {said} ({at})")
        return f"This could not be read ({type(error).__name__}); the server's log says more."

    def _get(self, path: str, query: Mapping[str, list[str]]) -> Answer:
        if path == "/":
            return Answer(HTTPStatus.OK, _as_bytes(pages.list_page(self.shelf)), _HTML)
        if path == "/api/studies":
            return _json({"studies": [[entry.name, pages.tag_of(entry)] for entry in self.shelf.entries()]})
        if path.startswith("/assets/"):
            return _asset(path.removeprefix("/assets/"))
        if path.startswith("/api/card/"):
            return Answer(HTTPStatus.OK, _as_bytes(pages.card(self._entry(path.removeprefix("/api/card/")))), _HTML)
        if path.startswith("/api/rows/"):
            return _json(self._rows(self._entry(path.removeprefix("/api/rows/")), query.get("since", [""])[0]))
        if path.startswith("/study/"):
            entry = self._entry(path.removeprefix("/study/"))
            # Many who ask at once for one page wait for the first, and get what it was given.
            with self._drawing.setdefault(entry.name, threading.Lock()):
                return Answer(HTTPStatus.OK, self._page(entry), _HTML)
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not path.startswith("/api/tokens/"):
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is nothing to send to here.")
        entry = self._entry(path.removeprefix("/api/tokens/"))
        asked = guard.read_body(headers, body)
        text = guard.checked_text(asked.get("text"))
        runs = self._readers(entry, asked.get("runs"))
        if not self._waiting.acquire(blocking=False):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "Other texts are being read; try again in a moment.")
        try:
            with self._reading:  # one at a time: studies may be training on the same cores
                read, problems = self._read(runs, text, path)
        finally:
            self._waiting.release()
        if not read:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, " ".join(problems))
        loaded = dict.fromkeys(said[2] for arm, _, said in read if arm.endswith(LOADED))
        return _json({**view_of(read, str(entry.study.baseline)), "problems": [*problems, *loaded]})

    def _read(
        self, runs: Sequence[tuple[Run, Path]], text: str, target: str
    ) -> tuple[list[tuple[str, int, Reading]], list[str]]:
        """The readings of a text by every run that can read it, and why the others cannot, each reason once."""
        read: list[tuple[str, int, Reading]] = []
        reasons: dict[str, list[str]] = {}
        for run, folder in runs:
            try:
                read.append((run.arm, run.seed, self._read_text(folder, text)))
                if self._read_loaded is not None:
                    read.append((f"{run.arm}{LOADED}", run.seed, self._read_loaded(folder, text)))
            except VslmError as error:
                reasons.setdefault(str(error), []).append(run.where)
            except Exception as error:
                reasons.setdefault(self._unexpected(error, target), []).append(run.where)
        is_for_all = len(reasons) == 1 and not read  # then it is the text that is at fault, or all there is
        return read, [why if is_for_all else f"{listing(whose)}: {why}" for why, whose in reasons.items()]

    def _readers(self, entry: Entry, runs: Any) -> list[tuple[Run, Path]]:
        """Runs by name, as `arm/seed0`, with their folders; only runs that are there have names."""
        known = {run.where: run for run in self._flat(entry)}
        if not isinstance(runs, list) or not 0 < len(runs) <= pages.MOST_READERS:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"Name 1 to {pages.MOST_READERS} runs.")
        if unknown := [run for run in runs if not isinstance(run, str) or run not in known]:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"{len(unknown)} of these runs are not there.")
        return [(known[run], entry.folder.run(known[run].arm, known[run].seed).path) for run in dict.fromkeys(runs)]

    def _entry(self, name: str) -> Entry:
        if (entry := self.shelf.entry(name)) is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "There is no study of that name here. It may have been moved.")
        return entry

    def _runs(self, entry: Entry) -> dict[str, list[Run]]:
        return read_runs(entry.folder, self.shelf.run)

    def _flat(self, entry: Entry) -> list[Run]:
        return [] if entry.progress is None else [run for found in self._runs(entry).values() for run in found]

    def _rows(self, entry: Entry, since: str) -> dict[str, Any]:
        if entry.progress is None:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, entry.problem or "This study cannot be read.")
        runs = self._runs(entry)
        rows = rows_since(runs, since)
        return {
            "since": cursor_of(runs),
            "rows": rows or [],
            "reload": rows is None,
            "results": results_of(runs, entry.results_stamp),
            "progress": pages.progress_for_script(entry.progress),
        }

    def _page(self, entry: Entry) -> bytes:
        if entry.progress is None:
            return _as_bytes(pages.unreadable_page(entry))
        runs = self._runs(entry)
        # Which process holds it is shown by the script, so a page is the same until a file of it changes.
        tag = hashlib.sha256(repr((entry.stamp, entry.progress.is_running)).encode()).hexdigest()
        kept = self._pages.get(entry.name)
        if kept is None or kept[0] != tag:
            kept = tag, _as_bytes(pages.study_page(entry, runs))
            while len(self._pages) >= _PAGES_KEPT:
                self._pages.pop(next(iter(self._pages)), None)
            self._pages[entry.name] = kept
        return kept[1]

    def refusal(self, refused: RefusedError, target: str) -> Answer:
        """The answer to a request that was refused: JSON for a script, a page for a browser."""
        return self._in_words(refused.status, refused.why, target)

    def _in_words(self, status: HTTPStatus, why: str, target: str) -> Answer:
        if target.startswith(("/api/", "/assets/")):
            return _json({"error": why}, status)
        return Answer(status, _as_bytes(pages.words_page(status.phrase, why)), _HTML)


def _split(target: str) -> tuple[str, dict[str, list[str]]]:
    """The path, decoded once, and the query.

    Raises: RefusedError with 404 for what is no text.
    """
    try:
        parts = urlsplit(target if target.startswith("/") else f"/{target}")
        return unquote_to_bytes(parts.path).decode(), parse_qs(parts.query, max_num_fields=16)
    except ValueError:
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such page.") from None


def _as_bytes(page: str) -> bytes:
    """UTF-8; what it cannot hold (half a character in a record, odd bytes of a path) becomes `?`, as in files."""
    return page.encode(errors="replace")


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":")).encode())


def _asset(asked: str) -> Answer:
    name = asked.rpartition("/")[2]
    if name not in pages.ASSETS or pages.asset_address(name) != f"/assets/{asked}":
        raise RefusedError(HTTPStatus.NOT_FOUND, "There is no such file.")
    kind = "text/css; charset=utf-8" if name.endswith(".css") else "text/javascript; charset=utf-8"
    # Addresses hold the content's hash (see pages.py), so what is kept is never old.
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Answer(HTTPStatus.OK, pages.asset_text(name).encode(), kind, headers)
