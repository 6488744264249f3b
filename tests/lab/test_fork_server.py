"""Workers that are forked: real processes, of which each test needs one or two."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vslm.runs import fork_server, pool
from vslm.runs.fork_server import ForkedProcess, environment_of_worker, forked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux alone"),
]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    """Where a worker's standard error goes."""
    descriptor = os.open(tmp_path / "worker.log", os.O_WRONLY | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def worker(log: int, **variables: str) -> ForkedProcess:
    """One, with these in its environment."""
    process = forked({**environment_of_worker(1), **variables}, log)
    assert process is not None
    return process


def closed(process: ForkedProcess) -> int:
    """How it ends once nobody has orders for it."""
    process.stdin.close()
    code = process.wait()
    process.stdout.close()
    return code


def test_a_worker_lives_until_its_orders_end(log: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the folder of this moment, with the environment that it is given, and says that it lives."""
    monkeypatch.chdir(tmp_path)
    process = worker(log, A_VARIABLE="of this worker")
    assert "alive" in process.stdout.readline()
    assert (Path("/proc") / str(process.pid) / "cwd").resolve() == tmp_path
    assert closed(process) == 3  # as a worker says that its orders ended


def test_two_workers_have_an_environment_each(log: int, tmp_path: Path) -> None:
    """What one is given is not what another finds: an order that cannot be read fails in both, each in its log."""
    first, second = worker(log), worker(log)
    assert first.pid != second.pid
    assert [closed(first), closed(second)] == [3, 3]


def test_one_that_is_killed_says_by_what(log: int) -> None:
    """As `subprocess` tells it: the signal, negative; to kill it again is no error."""
    process = worker(log)
    process.kill()
    assert process.wait() == -9
    process.kill()
    process.stdin.close()
    process.stdout.close()


def test_without_a_server_a_process_is_started_as_usual(
    log: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children are given up with it, and whoever needs the next worker gets a process of its own."""
    monkeypatch.setattr(fork_server, "_servers", {})
    process = worker(log)
    (server,) = fork_server._servers.values()
    server.process.kill()
    assert process.wait() == -9  # nothing can be told of it any more
    deadline = time.monotonic() + 10
    while server.is_there and time.monotonic() < deadline:
        time.sleep(0.01)
    environment = environment_of_worker(1)
    assert forked(environment, log) is None
    monkeypatch.setattr(pool, "_COMMAND", (sys.executable, "-c", "print(input())"))
    with (tmp_path / "other.log").open("wb") as other:
        started = pool._started(environment, other)
    assert not isinstance(started, ForkedProcess)
    said, _ = started.communicate("an order\n")
    assert said == "an order\n"
    process.stdin.close()
    process.stdout.close()
    server.end()


def test_who_was_interrupted_while_it_waited_gets_its_own_next_time(log: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after Ctrl-C in a notebook: the answer that nobody waits for any more is nobody's, and its child ends."""
    first = worker(log)
    (server,) = (one for one in fork_server._servers.values() if first.pid in one.ends)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(server.answered, "wait", interrupted)
        patched.setattr(server, "answers", {})
        with pytest.raises(KeyboardInterrupt):
            forked(environment_of_worker(1), log)
    second = worker(log)
    assert second.pid != first.pid
    assert second.pid in server.ends
    assert [closed(first), closed(second)] == [3, 3]
    deadline = time.monotonic() + 10
    while server.ends and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.ends


def test_no_server_beyond_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """There a fork of a process that has loaded such libraries is not safe."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fork_server._server(dict(os.environ)) is None


def test_what_libraries_read_when_they_are_imported_has_a_server_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number of threads, another compiler; not another home."""
    begun = []

    class Server:
        is_there = True

        def __init__(self, environment: dict[str, str]) -> None:
            begun.append(environment)

    monkeypatch.setattr(fork_server, "_servers", {})
    monkeypatch.setattr(fork_server, "_Server", Server)
    plain = {"OMP_NUM_THREADS": "1", "HOME": "/a"}
    servers = [fork_server._server({**plain, **other}) for other in ({}, {"HOME": "/b"}, {"CXX": "clang++"})]
    assert servers[0] is servers[1] is not servers[2]
    assert len(begun) == 2
