"""Workers that are ready at once: a process that has imported what a run needs, and forks itself when it is asked.

A process of its own spends seconds on its imports before it can train (six on a slow core: torch, this package, what
the first step of an optimizer loads); a fork of one that has done so takes milliseconds. The server begins when a
command does, beside the command's own imports, serves every pool of that process, and ends with it.

Linux only, where a fork of a process that has imported torch and started no thread is safe; elsewhere, and where the
server cannot be had, `forked` returns None and a process is started the usual way. It starts no thread, so nothing is
computed in it but one step of an optimizer over one number.
"""

import array
import atexit
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_MOST_BYTES = 1 << 20  # of a request: an environment
_READ_WHEN_IMPORTED = ("TORCH", "OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS", "CUDA", "PYTHON", "LD_", "CXX", "ATEN")
_KILLED = -9  # the code of a child of which nothing was said: whoever waited for it is gone, too
_servers: dict[str, "_Server"] = {}


class _End:
    """How a child ended, once it has."""

    def __init__(self) -> None:
        self.code, self.is_known = _KILLED, threading.Event()

    def told(self, code: int) -> None:
        """It has."""
        self.code = code
        self.is_known.set()


class ForkedProcess:
    """A worker that was forked: what pools need of `subprocess.Popen`.

    Args:
        pid: its number.
        end: how it ended, once it has.
        stdin, stdout: this end of its pipes.
    """

    def __init__(self, pid: int, end: _End, stdin: IO[str], stdout: IO[str]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self._end = end

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if not self._end.is_known.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, and return its exit code; negative: the signal that ended it."""
        self._end.is_known.wait()
        return self._end.code


def begin(threads: int = 1) -> None:
    """Let a server begin its imports, for workers with so many threads. Returns at once; does nothing where there is
    one already, or none can be.
    """
    _server(environment_of_worker(threads))


def forked(environment: Mapping[str, str], log: int) -> ForkedProcess | None:
    """A worker, forked; None where that cannot be.

    Args:
        environment: of the worker.
        log: descriptor of the file that its standard error goes to.
    """
    server = _server(environment)
    return None if server is None else server.fork(environment, log)


def environment_of_worker(threads: int) -> dict[str, str]:
    """What this process has, and what is set for a worker."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def _server(environment: Mapping[str, str]) -> "_Server | None":
    """The server whose libraries have read the same environment when they were imported."""
    if not sys.platform.startswith("linux"):
        return None
    read = {name: value for name, value in environment.items() if name.startswith(_READ_WHEN_IMPORTED)}
    key = json.dumps([os.getpid(), read], sort_keys=True)  # a fork of this process has none yet
    if key not in _servers:
        _servers[key] = _Server(environment)
    return _servers[key] if _servers[key].is_there else None


class _Server:
    """This end of a server: asks for forks, and hears how they ended."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket, self.is_there, self.owner = ours, True, os.getpid()
        self.one_at_a_time = threading.Lock()
        self.num_asked = 0
        self.answers: dict[int, tuple[int, _End]] = {}  # by the number of the request
        self.answered = threading.Condition()
        self.ends: dict[int, _End] = {}  # of children that live
        with theirs:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "vslm.runs.fork_server", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=(theirs.fileno(),),
            )
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        atexit.register(self.end)

    def fork(self, environment: Mapping[str, str], log: int) -> ForkedProcess | None:
        """A new child; None where the server is gone."""
        read_stdin, stdin = os.pipe()
        stdout, write_stdout = os.pipe()
        made = None
        try:
            request = {"environment": dict(environment), "folder": str(Path.cwd())}
            with self.one_at_a_time:
                made = self._asked(request, [read_stdin, write_stdout, log])
        finally:
            os.close(read_stdin)
            os.close(write_stdout)
            if made is None:  # or interrupted while it waited: a child that comes of it ends with its standard input
                os.close(stdin)
                os.close(stdout)
        if made is None:
            return None
        return ForkedProcess(*made, os.fdopen(stdin, "w", encoding="utf-8"), os.fdopen(stdout, encoding="utf-8"))

    def _asked(self, what: Mapping[str, Any], descriptors: list[int]) -> tuple[int, _End] | None:
        self.num_asked += 1
        number = self.num_asked
        request = json.dumps({**what, "number": number}).encode()
        try:
            self.socket.sendmsg(
                [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]
            )
        except OSError:
            self.is_there = False
            return None
        with self.answered:
            while number not in self.answers and self.is_there:
                self.answered.wait()
            return self.answers.pop(number, None)

    def _listen(self) -> None:
        while True:
            try:
                said = self.socket.recv(_MOST_BYTES)
            except OSError:
                said = b""
            if not said:
                break
            self._take(json.loads(said))
        with self.answered:
            self.is_there = False
            for end in self.ends.values():
                end.told(_KILLED)
            self.answered.notify_all()

    def _take(self, said: Mapping[str, Any]) -> None:
        with self.answered:
            if "code" in said:
                self.ends.pop(said["pid"]).told(said["code"])
                return
            end = self.ends[said["pid"]] = _End()
            self.answers[said["number"]] = said["pid"], end
            self.answered.notify_all()

    def end(self) -> None:
        """End the server; its children end when their standard input does."""
        if os.getpid() == self.owner:
            self.process.kill()
            self.process.wait()
            self.listener.join()
            self.socket.close()


def _serve(asked: socket.socket) -> None:
    """Fork whenever it is asked for, say how every child ended, and end with whoever asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C in a terminal whoever asks hears, too, and ends it
    wakes, woken = socket.socketpair()
    for end in (wakes, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    _import_all()
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        selector.register(wakes, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is wakes:
                    with contextlib.suppress(BlockingIOError):
                        wakes.recv(4096)
                    _say_who_ended(asked)
                elif not _fork_once(asked, [wakes, woken]):
                    return


def _say_who_ended(asked: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        asked.send(json.dumps({"pid": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _fork_once(asked: socket.socket, ours: list[socket.socket]) -> bool:
    """Carry out one request; False when nobody asks any more."""
    request, descriptors, _, _ = socket.recv_fds(asked, _MOST_BYTES, 3)
    if not request:
        return False
    order = json.loads(request)
    pid = os.fork()
    if not pid:
        for one in (asked, *ours):
            one.close()
        _become_worker(order, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    asked.send(json.dumps({"pid": pid, "number": order["number"]}).encode())
    return True


def _become_worker(request: Mapping[str, Any], descriptors: list[int]) -> None:
    """Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        from vslm.runs import worker

        worker.main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _import_all() -> None:
    """What a run needs before its first step."""
    import torch

    from vslm.runs import worker

    assert worker
    number = torch.nn.Parameter(torch.zeros(1))
    number.grad = torch.zeros(1)
    torch.optim.AdamW([number], fused=True).step()  # the first step of any optimizer imports for two seconds


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
