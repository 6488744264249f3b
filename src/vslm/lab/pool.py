"""Worker processes: start them, hear them, and never leave one behind."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vslm.core.specs import to_plain
from vslm.lab.job import Job
from vslm.results.files import write_json


@dataclass
class Order:
    """What a worker is asked to do in a folder.

    Args:
        job: the run; for timing, the baseline.
        folder: of the run.
        study_file: where specs come from that are in no table.
        task: "train" the job; choose "settings" for a study of `num_runs` runs like it, on `cores`, `workers` at the
            same time if that is settled; measure the "rates" of it and of `beside`, side by side.
        samples: whether it shows text on the way.
    """

    job: Job
    folder: Path
    study_file: Path | None
    task: Literal["train", "settings", "rates"] = "train"
    samples: bool = False
    num_runs: int = 1
    cores: int = 1
    workers: int | None = None
    beside: tuple[Job, ...] = ()


_SIGKILL = 9  # as a negative exit code; Windows has no such thing

Hear = Callable[[Order, dict[str, Any]], None]


def run_orders(orders: Iterable[Order], *, workers: int, hear: Hear) -> None:
    """Run every order in a process of its own, `workers` at a time, telling `hear` whatever they say.

    An interruption ends all of them; each has its checkpoint.
    """
    waiting = list(orders)
    messages: queue.Queue[tuple[Order, dict[str, Any] | None]] = queue.Queue()
    running: dict[int, subprocess.Popen[str]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                order = waiting.pop(0)
                running[id(order)] = _start(order, messages)
            order, message = messages.get()
            if message is not None:
                hear(order, message)
                continue
            process = running.pop(id(order))
            if process.wait() != 0:
                hear(order, {"failed": _ending(process.returncode, order.folder)})
            _close(process)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            _close(process)


def _ending(code: int, folder: Path) -> str:
    killed = " (killed from outside; memory may have run out)" if code == -_SIGKILL else ""
    return f"its process ended with code {code}{killed}; {folder / 'worker.log'} holds what it wrote"


def _close(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # its standard output is closed by who listens


def _start(order: Order, messages: "queue.Queue[tuple[Order, dict[str, Any] | None]]") -> subprocess.Popen[str]:
    path = order.folder / "order.json"
    write_json(
        path,
        {
            "task": order.task,
            "job": to_plain(order.job),
            "folder": str(order.folder),
            "study_file": str(order.study_file) if order.study_file else None,
            "samples": order.samples,
            "num_runs": order.num_runs,
            "cores": order.cores,
            "workers": order.workers,
            "beside": [to_plain(job) for job in order.beside],
        },
    )
    threads = str(order.cores if order.task == "settings" else order.job.settings.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    with (order.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vslm.lab.worker", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=environment,
        )
    threading.Thread(target=_listen, args=(order, process, messages), daemon=True).start()
    return process


def _listen(order: Order, process: subprocess.Popen[str], messages: "queue.Queue[Any]") -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            try:
                messages.put((order, json.loads(line)))
            except json.JSONDecodeError:
                messages.put((order, {"say": line.rstrip()}))
    messages.put((order, None))
