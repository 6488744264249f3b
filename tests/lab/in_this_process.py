"""Studies run in the process of a test: workers that are none, and a watcher that says nothing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from small_study import made_up_timing

from vslm.lab.options import Options
from vslm.lab.runner import run_study
from vslm.results.folder import StudyFolder
from vslm.runs.pool import Order, WorkerPool
from vslm.runs.run import run_job
from vslm.study.study import Study

CONTEXT_TOKENS, BATCH_TOKENS = 19, 19 * 5


class Quiet:
    """Hears everything and says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def started(self, tokens: Any) -> None:
        """Nothing."""

    def on_message(self, arm: str, seed: int, message: Any) -> None:
        """Nothing."""


class InThisProcess:
    """Runs orders one after the other here, and can be made to stop before the next one, as a power cut would."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.stop_after: int | None = None

    def __call__(
        self, orders: Iterable[Order], *, workers: int, on_message: Any, pool: WorkerPool | None = None
    ) -> None:
        """In the place of `run_orders`."""
        for order in orders:
            if order.task != "train":
                on_message(order, {"timing": made_up_timing()})
                order.folder.mkdir(parents=True, exist_ok=True)
                continue
            if self.stop_after is not None and len(self.trained) >= self.stop_after:
                raise KeyboardInterrupt
            on_message(order, {"done": run_job(order.job, order.folder, lambda message: None)})
            self.trained.append(str(order.folder))


def stopped_everywhere(study: Study, out: Path, workers: InThisProcess, every: int) -> StudyFolder:
    """Run a study that is stopped after every so many runs, until it is through: with as many runs as it took when it
    was not stopped, just before, and none of them twice.
    """
    num_runs, stops = len(workers.trained), 0
    workers.trained = []
    while True:
        workers.stop_after = len(workers.trained) + every
        try:
            folder = run(study, out)
            break
        except KeyboardInterrupt:
            stops += 1
            assert stops <= num_runs
    assert len(workers.trained) == len(set(workers.trained)) == num_runs
    return folder


def run(study: Study, out: Path) -> StudyFolder:
    """Run without a study file, and on from a pilot whatever it says."""
    return run_study(study, out, Quiet(), study_file=None, options=Options(early=True))
