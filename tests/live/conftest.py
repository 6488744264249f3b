"""A folder of studies that tests may change, a server's answers without a socket, and a server on a free port."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from stand_in import ARMS, STEPS, read_text
from synthetic_study import write_study

from vslm.live.app import Answer, App
from vslm.live.server import address_of, open_server


@pytest.fixture(scope="session")
def _written_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written") / "runs"
    write_study(root / "first", ARMS, num_positions=11, steps=STEPS, question="Is a better than b?")
    write_study(root / "more" / "second", {"only": (5, 0.3, 101)}, seeds=(0,), num_positions=11, steps=STEPS)
    for run in ("a/seed0", "b/seed0"):
        (root / "first" / run / "weights.safetensors").write_bytes(b"weights")
    return root


@pytest.fixture
def runs(_written_runs: Path, tmp_path: Path) -> Path:
    """Two studies, one of them a folder deeper; two runs have weights, of which there is only the file."""
    return shutil.copytree(_written_runs, tmp_path / "runs")


@pytest.fixture
def ask(runs: Path) -> Callable[..., Answer]:
    """A request to the studies, as the handler makes it."""
    app = App(runs, read_text)

    def request(target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        sent = {"Host": "127.0.0.1:8421", **{name.replace("_", "-").title(): value for name, value in headers.items()}}
        return app.answer(method, target, sent, body)

    return request


@pytest.fixture
def address(runs: Path) -> Iterator[str]:
    """A server that really listens, on a free port."""
    with open_server(runs, read_text, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield address_of(server)
        server.shutdown()
        thread.join()
