"""A small study in a folder of its own, the command line in this process, and runs without processes of their own."""

import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from in_this_process import BATCH_TOKENS, CONTEXT_TOKENS, InThisProcess
from small_study import STUDY, Said, carry_out, made_up_text

from vslm import cli
from vslm.data.sources import Text
from vslm.lab import budgets, machine_card, runner
from vslm.lab import remembered as remembered_settings
from vslm.measure.loss_by_position import LossByPosition
from vslm.models.layouts.plain import uniform
from vslm.optim.adamw import AdamW
from vslm.runs import timing
from vslm.runs.pool import OnMessage, Order, WorkerPool
from vslm.study.experiment import Budget, Experiment
from vslm.study.trust import code_of, remember


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a corpus and a study."""
    (tmp_path / "corpus.txt").write_bytes(made_up_text().encode())
    (tmp_path / "study.py").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def vslm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line, in this process; a server of forks would import torch beside every one of them."""
    monkeypatch.setattr("vslm.cli.studies.begin_fork_server", lambda *_: None)

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

    def run_orders(
        some: Iterable[Order], *, workers: int, on_message: OnMessage, pool: WorkerPool | None = None
    ) -> None:
        for order in some:
            orders.append(order)
            carry_out(order, on_message)

    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", run_orders)
    monkeypatch.setattr(timing, "_SECONDS_PER_READING", 0.0)
    monkeypatch.setattr(timing._Stepper.rate, "__defaults__", (0.0,))
    monkeypatch.setattr(timing, "_SECONDS_PER_TURN", 0.0)
    monkeypatch.setattr(timing, "_TURNS_OF_TWO", 1)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    return orders


@pytest.fixture(scope="session")
def _kept_runs() -> dict[tuple[str, ...], Path]:
    """Where the runs of some options are."""
    return {}


@pytest.fixture
def finished(
    place: Path,
    vslm: Callable[..., Said],
    in_process: list[Order],
    _kept_runs: dict[tuple[str, ...], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """The folder that `vslm run study.py` and these options leave in `place`. The first test that asks trains it, the
    others get a copy to do with as they please: for tests of what is done with finished runs.
    """

    def study(*options: str) -> Path:
        if options not in _kept_runs:
            said = vslm("run", "study.py", *options)
            assert said.code == 0, said.err
            _kept_runs[options] = shutil.copytree(place / "runs", tmp_path_factory.mktemp("finished") / "runs")
        else:
            shutil.copytree(_kept_runs[options], place / "runs")
        (folder,) = (place / "runs").iterdir()
        remember(code_of(folder / "study.py"))  # as who ran it
        return folder

    return study


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> InThisProcess:
    """Workers without processes."""
    found = InThisProcess()
    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", found)
    return found


@pytest.fixture
def base(tmp_path: Path) -> Experiment:
    """A run of 5 steps."""
    (tmp_path / "corpus.txt").write_text(made_up_text())
    return Experiment(
        model=uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS),
        data=Text(str(tmp_path / "corpus.txt"), vocabulary=300),
        budget=Budget(tokens=BATCH_TOKENS * 5),
        batch_tokens=BATCH_TOKENS,
        optimizer=AdamW(learning_rate=0.004),
        measures=(LossByPosition(num_evaluations=3, num_tokens=95, num_final_tokens=190),),
    )


@pytest.fixture(autouse=True)
def _short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs here train for a few steps: what they write at their end would take longer than all of those."""
    monkeypatch.setattr("vslm.runs.run._SAMPLE_TOKENS", 3)


@pytest.fixture(autouse=True)
def _chosen_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test timed is not what another finds."""
    for room in (remembered_settings, machine_card):
        monkeypatch.setattr(room, "home", lambda: tmp_path / "own-home")
