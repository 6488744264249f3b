"""The page for newcomers, executed."""

import re
from pathlib import Path
from typing import Any

import pytest

from vslm.results.records import RunEnd
from vslm.study.forks import arms_read
from vslm.study.matching import check_equal

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-study.md"
VOCABULARY = 512


@pytest.fixture
def page() -> dict[str, Any]:
    """What the page's examples define."""
    names: dict[str, Any] = {"studies": []}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
        names["studies"] += [names.pop("STUDY")] if "STUDY" in names else []
    return names


def test_the_answers_on_the_page_are_sentences(page: dict[str, Any]) -> None:
    """Of a folder with two seeds, and of one without runs."""

    class Folder:
        def __init__(self, *seeds: int) -> None:
            self.seeds = seeds

        def paired(self, arms: list[str]) -> dict[str, dict[int, RunEnd]]:
            losses = {arm: 3.0 - 0.1 * place for place, arm in enumerate(arms)}
            return {arm: {seed: RunEnd(val_loss=loss) for seed in self.seeds} for arm, loss in losses.items()}

    assert page["answers"](Folder(0, 1)) == ["deep minus short: +0.100 nats over 2 seeds"]
    assert page["answers"](Folder()) == []


def test_the_study_on_the_page_keeps_its_promise(page: dict[str, Any]) -> None:
    """Its arms are as equal as they say."""
    study, *_ = page["studies"]
    vocabularies = dict.fromkeys(study.arms, VOCABULARY)
    check_equal(study.arms, study.baseline, by=study.equal, unequal=study.unequal, vocabularies=vocabularies)


def test_the_study_with_a_trunk_on_the_page_forks_all_arms_from_it(page: dict[str, Any]) -> None:
    """To start from, and one to learn from as well."""
    *_, study = page["studies"]
    assert list(study.trunks) == ["knows"]
    assert {arms_read(experiment) for experiment in study.arms.values()} == {("knows",)}
    assert study.arms["taught"].objective.runs() == (study.arms["taught"].start_from,)


def test_the_study_with_factors_on_the_page_trains_every_combination(page: dict[str, Any]) -> None:
    """And judges three factors and an interaction."""
    _, study, _ = page["studies"]
    assert len(study.arms) == 8
    assert list(study.factorial.effects) == ["norm", "muon", "half-batch", "norm x muon"]
