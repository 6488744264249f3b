"""Processes that carry out one order after another: real ones."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from small_study import STUDY, made_up_text

from vslm.lab.checks import check_study
from vslm.results.folder import RunFolder
from vslm.runs.pool import Order, WorkerPool, run_orders
from vslm.runs.timing import has_compiler
from vslm.study.job import Job, Settings
from vslm.study.study_file import load_study

pytestmark = pytest.mark.slow


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Job]:
    """The two arms of the small study, and one more seed of the second."""
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text(made_up_text(), encoding="utf-8")
    Path("study.py").write_text(STUDY, encoding="utf-8")
    study = load_study(Path("study.py"))
    corpora = check_study(study, lambda _: None).corpora
    settings = Settings(device="cpu", precision="fp32", compiled=False, threads=1)
    arms = {
        arm: Job(
            arm=arm,
            experiment=experiment,
            stages_tokens=(17 * 7 * 3,),
            init_seed=0,
            data_seed=0,
            settings=settings,
            corpus=corpora[arm].fingerprint,
        )
        for arm, experiment in study.arms.items()
    }
    return {**arms, "again": dataclasses.replace(arms["short"], init_seed=1, data_seed=1)}


class Heard:
    """What the processes of some orders say, by their folder's name."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, order: Order, message: dict[str, Any]) -> None:
        """Keep it."""
        self.messages.setdefault(order.folder.name, []).append(message)

    def last(self, name: str) -> dict[str, Any]:
        """What was said last."""
        return self.messages[name][-1]


def weights(folder: Path) -> bytes:
    """Of a run, as they are on disk."""
    return (folder / "weights.safetensors").read_bytes()


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler is here")


@pytest.mark.parametrize(
    ("before", "compiled"), [(("full", "short"), False), pytest.param(("short",), True, marks=needs_compiler)]
)
def test_what_came_before_in_a_process_changes_no_bit(
    jobs: dict[str, Job], tmp_path: Path, before: tuple[str, ...], compiled: bool
) -> None:
    """A run after others in one process is the run of a process of its own; compiled, after one with its graph."""
    settings = dataclasses.replace(jobs["full"].settings, compiled=compiled)
    jobs = {name: dataclasses.replace(jobs[name], settings=settings) for name in (*before, "again")}
    heard = Heard()
    run_orders([Order(job, tmp_path / name, None) for name, job in jobs.items()], workers=1, on_message=heard)
    assert [set(heard.last(name)) for name in jobs] == [{"done"}] * len(jobs)

    run_orders([Order(jobs["again"], tmp_path / "alone", None)], workers=1, on_message=heard)
    assert weights(tmp_path / "again") == weights(tmp_path / "alone")
    assert weights(tmp_path / "again") != weights(tmp_path / "short")
    first, alone = (RunFolder(tmp_path / name, "a", 0).done for name in (before[-1], "alone"))
    assert first is not None
    assert alone is not None
    if not compiled:
        assert first.compile_seconds is alone.graphs_compiled is None
        return
    # The evaluation before the first step compiles. The process that came later finds the graphs in torch's cache.
    assert first.compile_seconds  # seconds, above 0
    assert alone.compile_seconds
    assert alone.graphs_compiled == 0


def test_several_orders_share_a_process_and_each_has_its_log(jobs: dict[str, Job], tmp_path: Path) -> None:
    """What an order writes to the standard error is in its own folder, and begins anew when it is given again."""
    (tmp_path / "loud.py").write_text(LOUD, encoding="utf-8")
    experiment = load_study(tmp_path / "loud.py").arms["full"]
    loud = dataclasses.replace(jobs["full"], experiment=experiment)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "worker.log").write_text("of yesterday\n", encoding="utf-8")
    orders = [Order(loud, tmp_path / name, tmp_path / "loud.py") for name in ("first", "second")]
    run_orders(orders, workers=1, on_message=Heard())
    said = [(tmp_path / name / "worker.log").read_text(encoding="utf-8").split() for name in ("first", "second")]
    assert [words[0] for words in said] == ["built", "built"]
    assert said[0][1] == said[1][1] != str(os.getpid())


def test_a_pool_keeps_its_processes_between_stages(jobs: dict[str, Job], tmp_path: Path) -> None:
    """What the first stage compiled is there for the next; afterwards nobody is left."""
    (tmp_path / "loud.py").write_text(LOUD, encoding="utf-8")
    loud = dataclasses.replace(jobs["full"], experiment=load_study(tmp_path / "loud.py").arms["full"])
    with WorkerPool() as pool:
        for name in ("first", "second"):
            run_orders(
                [Order(loud, tmp_path / name, tmp_path / "loud.py")],
                workers=2,
                on_message=Heard(),
                pool=pool,
            )
        (worker,) = pool.idle
    said = [(tmp_path / name / "worker.log").read_text(encoding="utf-8") for name in ("first", "second")]
    assert {*said[0].splitlines()} == {*said[1].splitlines()} != set()  # counted once in a process, built in each run
    assert worker.end() != 0  # it was ended


def test_an_order_that_fails_costs_only_itself(jobs: dict[str, Job], tmp_path: Path) -> None:
    """One whose process is killed, and one with an error that nobody foresaw: those after them are carried out."""
    (tmp_path / "deadly.py").write_text(DEADLY, encoding="utf-8")
    arms = load_study(tmp_path / "deadly.py").arms
    heard = Heard()
    orders = [
        *(
            Order(dataclasses.replace(jobs["full"], experiment=arm), tmp_path / name, tmp_path / "deadly.py")
            for name, arm in arms.items()
        ),
        Order(jobs["full"], tmp_path / "last", None),
    ]
    run_orders(orders, workers=1, on_message=heard)
    assert "ended with code" in heard.last("killed")["failed"]
    assert "a made-up mistake" in heard.last("mistaken")["failed"]
    assert set(heard.last("last")) == {"done"}
    assert RunFolder(tmp_path / "last", "full", 0).done


@pytest.mark.skipif(sys.platform == "win32", reason="it looks processes up as only POSIX can")
def test_none_is_left_behind(jobs: dict[str, Job], tmp_path: Path) -> None:
    """Neither after the last order nor when whoever hears them gives up in the middle."""
    pids: set[int] = set()

    def hear(order: Order, message: dict[str, Any]) -> None:
        pids.update(children())
        if "done" in message and order.folder.name == "short":
            raise KeyboardInterrupt

    before = children()
    with pytest.raises(KeyboardInterrupt):
        run_orders([Order(job, tmp_path / name, None) for name, job in jobs.items()], workers=2, on_message=hear)
    run_orders([Order(jobs["full"], tmp_path / "more", None)], workers=2, on_message=hear)
    assert len(pids - before) == 3  # two at once, then one
    assert children() == before


def children(of: int | None = None) -> set[int]:
    """Processes that this one has started, or that were forked for it, and that have not been waited for."""
    pid = of or os.getpid()
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        if of is None:
            pytest.skip("this system does not list the children of a process")
        return set()  # it ended in between
    found = {int(child) for child in listed.read_text(encoding="ascii").split()}
    return found.union(*(children(child) for child in found))


_OWN_ROOT = """
import os
import signal
import sys
from dataclasses import dataclass

from vslm import Budget, Experiment, Study, Text, TokenRoot, uniform, vary

@dataclass(frozen=True, kw_only=True)
class OwnRoot(TokenRoot):
    act: str = "none"

    def build(self, *args, **arguments):
        if self.act == "say":
            print("built", os.getpid(), file=sys.stderr)
        if self.act == "die":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.act == "raise":
            raise RuntimeError("a made-up mistake")
        return super().build(*args, **arguments)

full = Experiment(
    model=uniform(depth=1, width=8, heads=2, context_tokens=7),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 3),
)

def acting(act):
    return vary(full, {"model.root": OwnRoot(width=8, act=act)})
"""
LOUD = _OWN_ROOT + 'STUDY = Study(question="q", baseline="full", arms={"full": acting("say")})\n'
DEADLY = (
    _OWN_ROOT
    + 'ARMS = {"killed": acting("die"), "mistaken": acting("raise")}\n'
    + 'STUDY = Study(question="q", baseline="killed", arms=ARMS, pilot=None)\n'
)
