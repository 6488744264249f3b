"""A few damaged folders and a few kills; `make damage` and `make kills` do many."""

import random
from pathlib import Path

import pytest
from folders import damaged, write_studies
from mutations import ODD_VALUES, edited, flipped, other_arrays
from small_study import carry_out, made_up_timing

from vslm.lab import budgets, runner


@pytest.mark.slow
def test_damaged_folders_are_read_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every way that a user reads them, with and without checksums."""

    def run_orders(orders, *, workers, on_message, pool=None) -> None:
        for order in orders:
            on_message(order, {"timing": made_up_timing()}) if order.task == "settings" else carry_out(
                order, on_message
            )

    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", run_orders)
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    (tmp_path / "studies").mkdir()
    study, other = write_studies(tmp_path / "studies")
    for number in range(12):
        done, found = damaged(tmp_path, study, other, number, seed=11)
        assert not found, (number, done, found)


def test_damage_is_drawn_alike_and_does_something() -> None:
    """The same seed damages alike, so that a folder that fails can be made again; and content does change."""
    content = b'{"a": [1, 2.5, {"b": "x"}], "c": null}'
    for way in (flipped, edited, other_arrays):
        first, again = (way(content, random.Random(5)) for _ in range(2))
        assert first == again != content
    assert len(ODD_VALUES) > 40
