"""The plan of a study: one table first, what it could tell, what more would cost; the rest when it is asked for."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vslm.core.paths import vary
from vslm.lab.plan import plan_study
from vslm.report import plan as shown
from vslm.report.plan import show_plan
from vslm.study.learning_rates import LearningRates
from vslm.study.pilot import Pilot
from vslm.study.screening import Screen
from vslm.study.study import Study
from vslm.study.study_file import load_study

LONG = "a-name-that-is-longer-than-its-column"


@pytest.fixture
def study(place: Path) -> Study:
    """The small study, with an arm that differs in much and one with a long name."""
    small = load_study(place / "study.py")
    much = vary(
        small.arms["full"],
        {
            "optimizer.learning_rate": 0.5,
            "optimizer.weight_decay": 0.25,
            "optimizer.clip_norm": 3.0,
            "schedule.warmup_fraction": 0.5,
            "model.blocks.*.attention.bias": True,
        },
    )
    return vary(small, {"arms": {**small.arms, "much": much, LONG: small.arms["full"]}, "pilot": Pilot()})


def printed(planned: dict[str, Any], capsys: pytest.CaptureFixture[str], *, in_full: bool = False) -> str:
    """What is printed of a plan."""
    capsys.readouterr()
    show_plan(planned, "full", in_full=in_full)
    return capsys.readouterr().out


def test_it_begins_with_a_row_for_each_arm(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """What differs, parameters, FLOPs and minutes of a run."""
    planned = plan_study(study)
    head, *rows = printed(planned, capsys).splitlines()[2:12]
    assert head.split() == ["arm", "differs", "in", "parameters", "FLOPs", "a", "run", "minutes"]
    full = planned["arms"]["full"]
    assert rows[0].split()[:2] == ["full", "(baseline)"]
    assert rows[0].split()[2] == f"{full['num_parameters']:,}"
    assert rows[0].split()[-2:] == ["<", "0.1"]
    assert rows[1].startswith("short")
    assert "window_tokens: None -> 3" in rows[1]
    assert rows[2].startswith("much")
    assert "and 3 more (--full)" in rows[4]
    assert rows[5] == LONG
    assert "nothing" in rows[6]


def test_it_fits_a_terminal_of_80_columns(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of the first view is longer; columns stay columns; in a file sentences are one line each."""
    planned = plan_study(study)
    in_file = printed(planned, capsys).splitlines()
    assert any(len(line) > 80 for line in in_file)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shown.shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))
    lines = printed(planned, capsys).splitlines()
    assert max(map(len, lines)) <= 80
    ends = {len(line) for line in lines if line.endswith(("minutes", "< 0.1"))}
    assert ends == {80}


def test_details_wait_until_they_are_asked_for_and_notes_do_not(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks, stages, corpora and checks are behind --full; what to know before a run is always there."""
    planned = plan_study(study)
    short, whole = printed(planned, capsys), printed(planned, capsys, in_full=True)
    for words in ("FLOPs per token are executed", "judged: 8 runs of 1", "corpus.txt", "checked 4 arms", "visit"):
        assert words not in short
        assert words in whole
    for text in (short, whole):
        assert f"note: arm {LONG!r} equals the baseline" in text
        assert "smallest effect that this resolves: none, with 2 seeds; the declared one of 0.01 needs" in text
        assert "pilot: full with 2 seeds first" in text
        assert "each costs, in minutes: an arm less than 1, a seed less than 1, a budget of x1 less than 1" in text


def test_prices_are_those_of_the_study(study: Study) -> None:
    """By the stages: what an arm and a seed cost adds up to the whole, and a budget costs by its size."""
    plain = plan_study(study)
    assert plain["prices"]["seed"] * 2 == pytest.approx(plain["minutes"])
    assert plain["prices"]["arm"] * 4 == pytest.approx(plain["minutes"])
    staged = vary(study, {"budgets": (0.5, 1.0, 3.0), "tune": LearningRates(), "screen": Screen(keep=1)})
    planned = plan_study(staged)
    minutes = dict.fromkeys(("screen", "tuning", "judged"), 0.0)
    for stage in planned["stages"]:
        minutes[stage["stage"]] += stage["minutes"]
    prices = planned["prices"]
    assert prices["arm"] * 4 == pytest.approx(minutes["screen"])
    assert sum(prices["budgets"].values()) == pytest.approx(minutes["judged"])
    assert prices["budgets"]["x3"] == pytest.approx(6 * prices["budgets"]["x0.5"])


def test_a_study_without_a_comparison_has_no_prices_and_no_pilot(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    """One arm is a training."""
    alone = vary(study, {"arms": {"full": study.arms["full"]}})
    planned = plan_study(alone)
    assert planned["pilot"] is None
    text = printed(planned, capsys)
    assert "each costs" not in text
    assert "pilot" not in text


def test_what_pilots_saw_is_told(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """The last three on this machine, on this corpus."""
    planned = plan_study(study)
    rows = [{"words": f"at {n}k tokens", "date": "2026-11-30", "tokens": n} for n in range(1, 6)]
    text = printed({**planned, "earlier_pilots": rows}, capsys)
    assert "seen on this machine (2026-11-30): at 3k tokens" in text
    assert "at 2k tokens" not in text


def test_json_holds_everything(place: Path, vslm: Callable) -> None:
    """Whatever is shown."""
    planned = json.loads(vslm("plan", "study.py", "--json").out)
    assert {"arms", "stages", "prices", "pilot", "earlier_pilots", "lints", "checked", "read"} <= planned.keys()
    assert planned["arms"]["short"]["differences"] == [["model.blocks.0.attention.window_tokens", None, 3]]
    assert "visit" in vslm("plan", "study.py", "--full").out
