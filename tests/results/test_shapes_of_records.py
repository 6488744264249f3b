"""The table of what records hold: beside what tests/damage tries, what a table of rules can miss."""

import copy
from typing import Any

import pytest

from vslm.results.records import Verdict
from vslm.results.shapes import first_odd


@pytest.mark.parametrize("place", ["arms.a", "budgets.x2.arms.a", "trends.a"])
@pytest.mark.parametrize("name", ["seeds", "delta", "interval", "error", "verdict"])
def test_a_look_that_lacks_what_a_later_one_is_made_from_is_odd(place: str, name: str) -> None:
    """Wherever looks stand: seeds that are not there cannot be counted."""
    look = {"seeds": 3, "delta": 0.1, "interval": [0.0, 0.2], "error": 0.04, "verdict": "unresolved"}
    arm = {"verdict": "unresolved", "delta": 0.1, "interval": [0.0, 0.2], "looks": [dict(look)]}
    verdict = {
        "arms": {"a": copy.deepcopy(arm)},
        "budgets": {"x2": {"arms": {"a": copy.deepcopy(arm)}}},
        "trends": {"a": {"looks": [dict(look)]}},
    }
    assert first_odd(verdict, Verdict.rules(), to="judge") is None
    there: Any = verdict
    for key in place.split("."):
        there = there[key]
    del there["looks"][0][name]
    odd = first_odd(verdict, Verdict.rules(), to="judge")
    assert odd is not None
    assert name in odd.found
