"""Worker processes: start them, give them one order after another, read their messages, and never leave one behind.

A process needs seconds for its imports, as long as a short run trains, so it stays for the orders that follow. What an
order leaves behind in it changes no number of the next (`tests/lab/test_workers.py`); one that failed with an
unexpected error ends its process.
"""

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from vslm.core.specs import to_plain
from vslm.results.files import write_json
from vslm.results.places import log_descriptor, make_folder
from vslm.runs.fork_server import ForkedProcess, environment_of_worker, forked
from vslm.runs.timing import Compiling, Extent
from vslm.study.job import Job


@dataclass
class Order:
    """What a worker is asked to do in a folder.

    Args:
        job: the run; for timing, the baseline.
        folder: of the run.
        study_file: where specs come from that are in no table.
        task: "train" the job; choose "settings" for a study of such an `extent`, on `cores`, `workers` at the same time
            and in a `precision` if those are settled, with what is known of `compiling` and of eager steps (`known`);
            measure the "rates" of it and of `beside`, side by side.
        samples: whether it shows text on the way.
        after: folders of runs that it reads: it waits for those among the orders that are given with it.
    """

    job: Job
    folder: Path
    study_file: Path | None
    task: Literal["train", "settings", "rates"] = "train"
    samples: bool = False
    extent: Extent = Extent(num_runs=1)
    cores: int = 1
    workers: int | None = None
    precision: str = "auto"
    compiling: Compiling = Compiling()
    known: Mapping[str, float] = dataclasses.field(default_factory=dict)
    beside: tuple[Job, ...] = ()
    after: tuple[Path, ...] = ()


_COMMAND = _WORKER = (sys.executable, "-m", "vslm.runs.worker")
_SILENT_SECONDS = 60.0  # a process says every few seconds that it lives
_STARTING_SECONDS = 300.0  # before its first word it loads torch, from a slow disk perhaps
_TURN_SECONDS = 2.0
_SIGKILL = 9  # as a negative exit code; Windows has no such thing

OnMessage = Callable[[Order, dict[str, Any]], None]


class WorkerPool:
    """Processes that wait for the orders of a next `run_orders`; a context manager that ends them."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.messages: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.idle:
            worker.end(at_once=True)

    def fitting(self, order: Order) -> "_Worker":
        """A process that can take the order: one that waits, or a new one in the place of those that cannot."""
        while self.idle:
            worker = self.idle.pop()
            if worker.threads == order.job.settings.threads:
                return worker
            worker.end(at_once=True)
        return _Worker(order, self.messages)


def run_orders(orders: Iterable[Order], *, workers: int, on_message: OnMessage, pool: WorkerPool | None = None) -> None:
    """Run every order, `workers` at a time, telling `on_message` whatever their processes say.

    An interruption ends the processes that are at work; each has its checkpoint.

    Args:
        orders: taken in this order, but for those that wait for another (`Order.after`).
        workers: at most so many at the same time.
        on_message: called with an order and each message of its worker.
        pool: whose processes take them, and wait there afterwards; None: new ones, which are ended.
    """
    if pool is None:
        with WorkerPool() as pool:
            return run_orders(orders, workers=workers, on_message=on_message, pool=pool)
    shift = _Shift(list(orders), on_message, pool)
    try:
        while shift.waiting or shift.busy:
            shift.begin(workers)
            shift.hear_one()
            shift.end_silent()
    finally:
        for worker in shift.busy:
            worker.end(at_once=True)


class _Shift:
    """Orders that wait, and processes that are at work on the others.

    A process says that it lives every few seconds, whatever it computes. One that does not (stopped, swapped out, at a
    dead end) is ended, and its order is given to another, once.
    """

    def __init__(self, waiting: list[Order], on_message: OnMessage, pool: WorkerPool) -> None:
        self.waiting, self.busy, self.on_message, self.pool = waiting, [], on_message, pool
        self.given_twice: set[int] = set()
        self.last_heard = time.monotonic()

    def begin(self, workers: int) -> None:
        """Give out orders while there are fewer at work: the first that waits for no other."""
        while len(self.busy) < workers and (order := self._ready()) is not None:
            self.waiting.remove(order)
            worker = self.pool.fitting(order)
            self.busy.append(worker)
            worker.give(order)

    def _ready(self) -> Order | None:
        unsettled = {order.folder for order in (*self.waiting, *(worker.order for worker in self.busy))}
        return next((order for order in self.waiting if unsettled.isdisjoint(order.after)), None)

    def hear_one(self) -> None:
        """Wait for a message, but not long."""
        try:
            worker, message = self.pool.messages.get(timeout=_TURN_SECONDS)
        except queue.Empty:
            return
        worker.silent_seconds, worker.has_spoken = 0.0, True
        if worker.is_given_up or (message is not None and "alive" in message):
            return
        if message is not None and "free" not in message:
            self.on_message(worker.order, message)
        elif worker in self.busy:
            self.busy.remove(worker)
            if message is not None:
                self.pool.idle.append(worker)
            elif (code := worker.end()) != 0:
                self.on_message(worker.order, {"failed": _ending(code, worker.order.folder)})
        elif worker in self.pool.idle:  # it ended while it had nothing to do
            self.pool.idle.remove(worker)

    def end_silent(self) -> None:
        """End processes that have sent no message for too long."""
        now = time.monotonic()
        # No more than a turn: if this process was stopped itself (Ctrl-Z), so were they.
        passed, self.last_heard = min(now - self.last_heard, _TURN_SECONDS), now
        for worker in [*self.busy]:
            worker.silent_seconds += passed
            limit = _SILENT_SECONDS if worker.has_spoken else _STARTING_SECONDS
            if worker.silent_seconds <= limit:
                continue
            self.busy.remove(worker)
            worker.is_given_up = True
            worker.end(at_once=True)
            found = f"process {worker.number} answered nothing for {limit:,.0f} seconds and was ended"
            if id(worker.order) in self.given_twice:
                log = worker.order.folder / "worker.log"
                self.on_message(worker.order, {"failed": f"{found}, as the one before it; {log} holds what it wrote"})
            else:
                self.given_twice.add(id(worker.order))
                self.on_message(worker.order, {"say": f"{found}; another goes on from its last checkpoint"})
                self.waiting.insert(0, worker.order)


def _started(environment: dict[str, str], log: IO[bytes]) -> "subprocess.Popen[str] | ForkedProcess":
    """The process of a worker: a fork of one that has imported everything, or a new one."""
    process = forked(environment, log.fileno()) if _COMMAND == _WORKER else None
    return process or subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def _ending(code: int, folder: Path) -> str:
    killed = " (killed from outside; memory may have run out)" if code == -_SIGKILL else ""
    return f"its process ended with code {code}{killed}; {folder / 'worker.log'} holds what it wrote"


class _Worker:
    """A process, and the order that it has or had last.

    Args:
        order: the first one, which gives the number of threads and the log for what goes wrong at the start.
        messages: where it puts itself with every message, and with None when its process has ended.
    """

    def __init__(self, order: Order, messages: "queue.Queue[tuple[_Worker, dict[str, Any] | None]]") -> None:
        self.order, self.threads = order, order.job.settings.threads
        self.silent_seconds, self.has_spoken, self.is_given_up = 0.0, False, False
        make_folder(order.folder)
        with os.fdopen(log_descriptor(order.folder / "worker.log", anew=True), "wb") as log:
            self._process = _started(environment_of_worker(self.threads), log)
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()

    @property
    def number(self) -> int:
        """Of the process."""
        return self._process.pid

    def give(self, order: Order) -> None:
        """Let it begin with an order."""
        self.silent_seconds = 0.0
        path = order.folder / "order.json"
        write_json(
            path,
            {
                "task": order.task,
                "job": to_plain(order.job),
                "folder": str(order.folder),
                "study_file": str(order.study_file) if order.study_file else None,
                "samples": order.samples,
                "extent": dataclasses.asdict(order.extent),
                "cores": order.cores,
                "workers": order.workers,
                "precision": order.precision,
                "compiling": dataclasses.asdict(order.compiling),
                "known": dict(order.known),
                "beside": [to_plain(job) for job in order.beside],
            },
        )
        if order is not self.order:  # whose log the process began with
            os.close(log_descriptor(order.folder / "worker.log", anew=True))
        self.order = order
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which is told where its messages are read
            self._process.stdin.write(json.dumps(str(path.resolve())) + "\n")
            self._process.stdin.flush()

    def end(self, *, at_once: bool = False) -> int:
        """Wait for its end, or bring it about, and return its exit code."""
        if at_once:
            self._process.kill()
        code = self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # its standard output is closed by who listens
            self._process.stdin.close()
        return code

    def _listen(self, messages: "queue.Queue[tuple[_Worker, dict[str, Any] | None]]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except json.JSONDecodeError:
                    message = line.rstrip()
                messages.put((self, message if isinstance(message, dict) else {"say": str(message)}))
        messages.put((self, None))
