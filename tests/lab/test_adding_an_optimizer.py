"""The page for newcomers, executed; and an optimizer in a run: stopped, gone on with, searched, planned, refused."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vslm import Budget, Experiment, LossByPosition, Muon, Optimizer, Text, uniform, vary
from vslm.core.errors import SpecError
from vslm.data.preparing import prepare
from vslm.lab.memory import state_numbers
from vslm.lab.own_builds import check_builds
from vslm.models.initialization import Init
from vslm.results.files import read_rows
from vslm.runs.run import run_job
from vslm.study.job import Job, Settings
from vslm.study.learning_rates import with_rate
from vslm.study.study_file import load_study

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-optimizer.md"
SECOND = '\nSTUDY = vary(STUDY, {"arms.nadam.optimizer": TablesApart(learning_rate=0.003)})\n'
STEPS, CONTEXT_TOKENS, WINDOWS = 7, 17, 5


def page() -> str:
    """The study file that the page tells to write."""
    return "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))


def optimizers_of_the_page(place: Path) -> dict[str, Optimizer]:
    """Those that its study file defines, and Muon."""
    found: dict[str, Optimizer] = {"Muon": Muon(learning_rate=0.006)}
    for name, text in {"NAdam": page(), "TablesApart": page() + SECOND}.items():
        (place / f"{name}.py").write_text(text, encoding="utf-8")
        optimizer = load_study(place / f"{name}.py").arms["nadam"].optimizer
        assert type(optimizer).__name__ == name
        found[name] = optimizer
    return found


def job_with(optimizer: Optimizer) -> Job:
    """Seven steps on the corpus of made-up words, looked at after each."""
    experiment = Experiment(
        model=uniform(depth=2, width=16, heads=2, context_tokens=CONTEXT_TOKENS),
        data=Text("corpus.txt", vocabulary=270),
        budget=Budget(tokens=STEPS * CONTEXT_TOKENS * WINDOWS),
        batch_tokens=CONTEXT_TOKENS * WINDOWS,
        optimizer=optimizer,
        measures=(LossByPosition(num_evaluations=50, num_tokens=170, num_final_tokens=170),),
    )
    return Job(
        arm="a",
        experiment=experiment,
        stages_tokens=(STEPS * CONTEXT_TOKENS * WINDOWS,),
        init_seed=3,
        data_seed=5,
        settings=Settings(device="cpu", precision="fp32", compiled=False, threads=1),
        corpus=prepare(experiment.data).fingerprint,
    )


class StoppedError(Exception):
    """As if the process had been killed."""


def stop_after(num_checkpoints: int, folder: Path) -> Callable[[dict[str, Any]], None]:
    """Hears of a run and ends it once so many checkpoints have been written."""

    def hear(message: dict[str, Any]) -> None:
        if folder.exists() and max((int(p.stem[4:]) for p in folder.glob("*.json")), default=0) >= num_checkpoints:
            raise StoppedError

    return hear


@pytest.mark.parametrize("name", ["NAdam", "TablesApart", "Muon"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(place: Path, name: str) -> None:
    """With an optimizer of the page, and with two torch optimizers under one; the record has its learning rate."""
    optimizer = optimizers_of_the_page(place)[name]
    job = job_with(optimizer)
    run_job(job, place / "whole", lambda message: None)
    with pytest.raises(StoppedError):
        run_job(job, place / "stopped", stop_after(4, place / "stopped" / "checkpoints"), checkpoint_seconds=0.0)
    assert not (place / "stopped" / "done.json").exists()
    said: list[str] = []
    run_job(job, place / "stopped", lambda message: said.append(message.get("say", "")))
    assert any("going on at step" in text for text in said)
    for file in ("weights.safetensors", "arrays.npz"):
        assert (place / "whole" / file).read_bytes() == (place / "stopped" / file).read_bytes()
    rates = [row["learning_rate"] for row in read_rows(place / "whole" / "measures.jsonl") if row["step"]]
    factors = [job.experiment.schedule.factor((step + 0.5) / STEPS) for step in range(STEPS)]
    assert rates == pytest.approx([optimizer.learning_rate * factor for factor in factors])


def test_what_the_page_defines_is_built_before_any_run(place: Path) -> None:
    """With its own model; every arm of its study is at its own learning rate."""
    (place / "own.py").write_text(page(), encoding="utf-8")
    arms = load_study(place / "own.py").arms
    corpora = {arm: SimpleNamespace(vocabulary=270) for arm in arms}
    check_builds(arms, corpora)  # type: ignore[arg-type]
    assert {arm: one.optimizer.learning_rate for arm, one in arms.items() if one.optimizer} == {
        "adamw": 0.004,
        "nadam": 0.004,
    }


def test_a_search_varies_the_learning_rate_and_keeps_the_ratio(place: Path) -> None:
    """What is recorded is one number and a ratio; both of the built learning rates have moved."""
    experiment = job_with(Muon(learning_rate=0.006, rest_ratio=0.5)).experiment
    chosen = with_rate(experiment, 0.024)
    assert chosen.optimizer == Muon(learning_rate=0.024, rest_ratio=0.5)
    model = chosen.model.build(vocabulary=270, init=Init(0))
    assert chosen.optimizer is not None
    assert {group["lr"] for group in chosen.optimizer.build(model).param_groups} == {0.024, 0.012}


WRITTEN = "torch.optim.NAdam(model.parameters(), lr=self.learning_rate)"
MISTAKES = {
    "torch.optim.NAdam(model.parameters())": r"the first group that NAdam.build makes has the learning rate 0.002; 0",
    "torch.optim.NAdam(list(model.parameters())[:3], lr=self.learning_rate)": r"NAdam.build leaves out .* and \d+ more",
    "torch.optim.LBFGS(model.parameters(), lr=self.learning_rate)": r"a step of what .* fails: TypeError.*'closure'",
    "Oddly(model.parameters(), lr=self.learning_rate)": r"Oddly keeps \[3\] \(list\) as odd; a checkpoint holds",
    "Alone(model.parameters(), lr=self.learning_rate)": r"Alone keeps 3 as state of no parameter; a checkpoint holds",
    "Apart(model.parameters(), lr=self.learning_rate)": r"Apart keeps tensor.* as state of no parameter; a checkpoint",
}
ODD = """

class Oddly(torch.optim.SGD):
    def step(self):
        for p in self.param_groups[0]["params"]:
            self.state[p]["odd"] = [3]


class Alone(torch.optim.SGD):
    def step(self):
        self.state["all"] = 3


class Apart(torch.optim.SGD):
    def step(self):
        self.state["all"] = torch.zeros(3)
"""


@pytest.mark.parametrize("line", MISTAKES)
def test_what_could_not_be_trained_or_recorded_is_refused(place: Path, line: str) -> None:
    """Before any run, in one message, at the class."""
    text = page()
    assert WRITTEN in text
    (place / "own.py").write_text(text.replace(WRITTEN, line) + ODD, encoding="utf-8")
    arms = load_study(place / "own.py").arms
    corpora = {arm: SimpleNamespace(vocabulary=270) for arm in arms}
    with pytest.raises(SpecError, match=MISTAKES[line]) as said:
        check_builds(arms, corpora)  # type: ignore[arg-type]
    assert said.value.where.endswith("own.py:9")


def test_what_is_kept_counts_in_plans_and_must_be_a_number(place: Path) -> None:
    """Tables at the role of tables, the rest at the fewest: of the page's second optimizer, of Muon, of a mistake."""
    experiment = job_with(Muon(learning_rate=0.006)).experiment
    tables, rest = 270 * 16, experiment.model.num_parameters_without_embeddings(270)
    assert state_numbers(experiment, 270) == 2 * tables + rest
    apart = vary(experiment, {"optimizer": optimizers_of_the_page(place)["TablesApart"]})
    assert state_numbers(apart, 270) == tables + 2 * rest
    text = page().replace('return 1 if role == "embedding" else 2', '1 if role == "embedding" else 2')
    (place / "forgot.py").write_text(text + SECOND, encoding="utf-8")
    forgot = vary(experiment, {"optimizer": load_study(place / "forgot.py").arms["nadam"].optimizer})
    with pytest.raises(SpecError, match=r"TablesApart.state_per_parameter\('matrix'\) returned None; a number of 0"):
        state_numbers(forgot, 270)
