"""What a record says of the number that decides."""

import numpy as np
import pytest

from vslm.results.primary import PrimaryNumber
from vslm.results.records import StudyRecord
from vslm.results.shapes import first_odd

RECALL = {
    "kind": "Primary",
    "measure": "recall",
    "number": "accuracy",
    "unit": "of the queries",
    "higher_is_better": True,
    "title": "share of queries answered right",
    "smallest_effect": 0.02,
    "positions": None,
}


def test_an_older_record_is_of_a_loss_and_lower_is_better() -> None:
    """It names one of two and says neither unit nor direction; one that cannot be read is shown as nats."""
    loss = PrimaryNumber.of({"measure": "val_loss", "smallest_effect": 0.01, "positions": [32, 256]})
    assert (loss.unit, loss.higher_is_better, loss.is_loss, loss.name) == ("nats per token", False, True, "val_loss")
    assert loss.compared == "validation loss at positions 32 to 256, nats per token"
    assert loss.turned(0.25) == 0.25
    bits = PrimaryNumber.of({"measure": "val_bpb", "smallest_effect": 0.01, "positions": None})
    assert bits.compared == "validation bits per byte, bits per byte"
    for odd in (None, [], {"measure": 3, "unit": ["x"]}):
        assert PrimaryNumber.of(odd).compared == "validation loss, nats per token"


def test_what_is_turned_twice_is_as_it_was_and_intervals_keep_their_order() -> None:
    """Numbers, arrays, infinite ends, and no minus zero that a page would show."""
    primary = PrimaryNumber.of(RECALL)
    assert primary.turned(primary.turned(0.3)) == 0.3
    assert np.array_equal(primary.turned(np.array([0.1, -0.7])), [-0.1, 0.7])
    assert primary.turned_interval(-0.25, float("inf")) == (float("-inf"), 0.25)
    assert str(primary.turned(0.0)) == "0.0"


def test_it_is_read_after_the_last_step_of_the_split_that_is_asked_for() -> None:
    """What was taken on the way alone, on another split, or is no number, is not there."""
    primary = PrimaryNumber.of(RECALL)
    arrays = {
        "steps_S": np.array([0, 7]),
        "recall.steps_S": np.array([0, 7]),
        "recall.accuracy_S": np.array([0.1, 0.7]),
    }
    assert primary.last_in(arrays) == 0.7
    assert primary.last_in(arrays, "select") is None
    assert (
        primary.last_in({f"select_{name}" if "." in name else name: a for name, a in arrays.items()}, "select") == 0.7
    )
    assert primary.last_in({**arrays, "recall.steps_S": np.array([0, 3])}) is None
    assert primary.last_in({**arrays, "recall.accuracy_S": np.array([0.1, np.nan])}) is None
    assert primary.last_in({**arrays, "recall.accuracy_S": np.array([0.1])}) is None
    assert primary.last_in({}) is None


@pytest.mark.parametrize("gone", ["number", "unit", "title", "higher_is_better"])
def test_a_record_says_all_of_a_number_or_is_of_a_loss(gone: str) -> None:
    """Nobody can judge by a number whose direction is not written down."""
    rules = tuple(rule for rule in StudyRecord.rules() if rule.path.startswith("primary"))
    assert first_odd({"primary": RECALL}, rules, to="judge") is None
    assert first_odd({"primary": {"measure": "val_bpb", "smallest_effect": 0.1, "positions": None}}, rules) is None
    odd = first_odd({"primary": {name: value for name, value in RECALL.items() if name != gone}}, rules, to="judge")
    assert odd is not None
    assert "or a measure with number, unit, title, higher_is_better" in odd.allowed
    assert first_odd({"primary": {**RECALL, "measure": "val_loss"}}, rules, to="judge") is not None
    assert first_odd({"primary": {**RECALL, "higher_is_better": "yes"}}, rules, to="judge") is not None
