"""What every test gets: no network, one thread of torch, warnings as errors (see pyproject.toml), a limit to what it
may take if it is not marked slow; and a browser.
"""

import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from time_limit import pytest_runtest_call, pytest_runtest_setup

__all__ = ["pytest_runtest_call", "pytest_runtest_setup"]  # hooks: pytest finds them here
os.environ.setdefault("OMP_NUM_THREADS", "1")
_ARGUMENTS = (
    "--no-sandbox --headless --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
_KEPT_BY_CONTENT = ("corpora", "settings", "machine")
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test asked for the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sync is for shows when the power fails; a test that needs one to fail puts its own here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session", autouse=True)
def _shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for fixtures that serve more than one test: never the user's own."""
    place = tmp_path_factory.getbasetemp() / "vslm-home"
    for name in _KEPT_BY_CONTENT:
        (place / name).mkdir(parents=True, exist_ok=True)
    os.environ["VSLM_HOME"] = str(place)
    return place


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, _shared_home: Path) -> None:
    """A home for each test: what an earlier test trusted, measured or saw in a pilot is not there, so that no test
    depends on the order. Corpora and settings are looked up by content and slow to make: those are shared.
    """
    # In a folder of their own and numbered here: pytest looks through all there are to find the next number.
    place = tmp_path_factory.getbasetemp() / "homes" / str(next(_NUMBERS))
    place.mkdir(parents=True)
    for name in _KEPT_BY_CONTENT:
        (place / name).symlink_to(_shared_home / name)
    monkeypatch.setenv("VSLM_HOME", str(place))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("no Chromium found: install Debian's chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=_ARGUMENTS.split())
        yield opened
        opened.close()
