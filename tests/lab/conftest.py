"""A small study in a folder of its own, the command line in this process, and runs without processes of their own."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import STUDY, made_up_text

from vslm import cli
from vslm.core.errors import VslmError
from vslm.lab import budgets, runner, timing
from vslm.lab.pool import Hear, Order
from vslm.lab.run import run_job
from vslm.lab.timing import choose_settings, time_side_by_side


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a corpus and a study."""
    (tmp_path / "corpus.txt").write_bytes(made_up_text().encode())
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def vslm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line, in this process."""

    def command(*args: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["vslm", *args])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Every order is carried out here, in turn, and listed: what a run does, without a process of its own."""
    orders: list[Order] = []

    def run_orders(some: Iterable[Order], *, workers: int, hear: Hear) -> None:
        for order in some:
            orders.append(order)
            order.folder.mkdir(parents=True, exist_ok=True)
            (order.folder / "worker.log").touch()
            try:
                hear(order, carried_out(order, hear))
            except (VslmError, MemoryError) as error:
                hear(order, {"failed": str(error)})

    def carried_out(order: Order, hear: Hear) -> dict[str, Any]:
        if order.task == "settings":
            sizes = {"num_runs": order.num_runs, "cores": order.cores, "workers": order.workers}
            return {"timing": choose_settings(order.job, **sizes)}
        if order.task == "rates":
            return {"rates": time_side_by_side([order.job, *order.beside])}
        return {"done": run_job(order.job, order.folder, lambda message: hear(order, message))}

    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", run_orders)
    monkeypatch.setattr(timing, "_SECONDS_PER_READING", 0.0)
    monkeypatch.setattr(timing._Stepper.rate, "__defaults__", (0.0,))
    monkeypatch.setattr(timing, "_SECONDS_PER_TURN", 0.0)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    return orders
