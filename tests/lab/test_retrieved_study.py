"""A study whose arms differ in what is put in front of the same targets."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vslm.results.files import read_json

STUDY = """
from vslm import (
    Budget, Experiment, LossByPosition, Primary, Random, Retrieved, States, Study, Text, uniform, vary
)

data = Retrieved(
    source=Text("corpus.txt", vocabulary=270), store="store", retriever=Random(), passages=1,
    stretch_words=6, query_words=2, own_row_tokens=34,
)
random = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=34),
    data=data,
    budget=Budget(tokens=34 * 7 * 5),
    batch_tokens=34 * 7,
    measures=(LossByPosition(num_evaluations=2, num_tokens=170, num_final_tokens=340),),
)
STUDY = Study(
    question="Is something in front worth anything?",
    baseline="random",
    arms={"random": random, "other": vary(random, CHANGES)},
    seeds=1,
    primary=Primary("val_loss", smallest_effect=0.01), pilot=None,
)
"""


@pytest.fixture
def study(place: Path, vslm: Callable[..., Any]) -> Callable[..., None]:
    """Writes the study with the changes of its second arm; there is a store of other words."""
    (place / "facts.txt").write_text("\n<|endoftext|>\n".join(f"ab cd {n} ef" for n in range(9)), encoding="utf-8")
    assert vslm("store", "build", "facts.txt", "store").code == 0

    def write(changes: dict[str, str]) -> None:
        plain = ", ".join(f'"{name}": {value}' for name, value in changes.items())
        (place / "study.py").write_text(STUDY.replace("CHANGES", f"{{{plain}}}"), encoding="utf-8")

    return write


@pytest.mark.slow
def test_arms_with_other_passages_are_compared(study: Callable[..., None], vslm: Any, in_process: Any) -> None:
    """On the same targets; a store that was built anew since is another corpus, which is said and refused."""
    study({"data.passages": "0"})
    said = vslm("run", "study.py", "--out", "runs/s")
    assert said.code == 0, said.err
    record = read_json(Path("runs/s/study.json"))
    assert len(record["corpora"]) == 2
    losses = [read_json(Path(f"runs/s/{arm}/seed0/done.json"))["val_loss"] for arm in ("random", "other")]
    assert losses[0] != losses[1]
    assert abs(losses[0] - losses[1]) < 1
    shutil.rmtree("store")
    Path("facts.txt").write_text("gh\n<|endoftext|>\nab ab ab", encoding="utf-8")
    assert vslm("store", "build", "facts.txt", "store").code == 0
    again = vslm("run", "study.py", "--out", "runs/s", "--seeds", "2")
    assert again.code != 0
    assert "the corpus of arm 'random' has changed" in again.err


@pytest.mark.slow
def test_the_states_of_a_run_find_for_another(study: Callable[..., None], vslm: Any, in_process: Any) -> None:
    """Its weights are opened when the corpus is prepared; a run that is not there is said."""
    study({"data.passages": "0"})
    assert vslm("run", "study.py", "--out", "runs/s").code == 0
    study({"data.retriever": 'States(run="runs/s/random/seed0")'})
    said = vslm("plan", "study.py")
    assert said.code == 0, said.err
    assert [*Path("store").glob("states-*")]
    study({"data.retriever": 'States(run="runs/none/seed0")'})
    assert "runs/none/seed0: no run; the folder of a run is needed" in vslm("plan", "study.py").err


def test_arms_with_other_targets_are_refused(study: Callable[..., None], vslm: Any) -> None:
    """By the arm and what to do."""
    study({"data.stretch_words": "7"})
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert "arms.other.data: other tokens of the validation text count than those of 'random'" in said.err
