"""A few of what `make fuzz` tries by the thousand, so that the fuzzers themselves keep working."""

import os
import signal
import time

import pytest

from vslm import Study
from vslm.core.errors import SpecError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="tries are made in forked processes")

if hasattr(os, "fork"):
    import children
    import odd_arguments
    import odd_studies
    from odd_things import mutant, valid_studies


@pytest.mark.slow
def test_odd_studies_plan_or_are_refused_in_words() -> None:
    """Twelve of them, in processes with limits."""
    assert odd_studies.faults_of(12, seed=3, first=0, say=lambda _: None) == {}


@pytest.mark.slow
def test_odd_command_lines_end_in_words() -> None:
    """One of every verb."""
    assert odd_arguments.faults_of(20, seed=3, first=0, say=lambda _: None) == {}


def _odd(number: int) -> None:
    if number == 1:
        raise ValueError("one")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        bytearray(2 * children.BYTES)
    if number == 7:
        while True:
            time.process_time()


def test_every_kind_of_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception, a process that ends, memory, time; what is well in between is no fault."""
    monkeypatch.setattr(children, "SECONDS", 0.2)
    said: list[str] = []
    faults = children.tried(_odd, range(9), say=said.append)
    assert sorted(faults) == [1, 3, 5, 7]
    assert [faults[1][:15], faults[3]] == ["ValueError: one", "its process ended: signal 9"]
    assert faults[5].startswith("more than 1 GB")
    assert faults[7].startswith("more than 0.2 s")
    assert said[-1].startswith("9 of 9 tried, 4 faults (")
    assert "1 too slow" in said[-1]
    assert "(number 7), most memory" in said[-1]


def _made(studies: list[Study], number: int) -> str:
    try:
        return mutant(studies, 5, number)[0]
    except SpecError as error:  # of an option
        return f"{number}: {error}"


@pytest.mark.slow
def test_a_number_makes_the_same_again() -> None:
    """So that a fault can be looked at."""
    words = [_made(valid_studies(), number) for number in range(40)]
    assert words == [_made(valid_studies(), number) for number in range(40)]
    assert len(set(words)) > 35
    assert odd_arguments.arguments(5, 7) == odd_arguments.arguments(5, 7) != odd_arguments.arguments(6, 7)
