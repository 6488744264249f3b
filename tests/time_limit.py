"""How long a test may take that is not marked slow: `make test` runs all of those, in minutes."""

import os
from collections.abc import Generator

import pytest

# Of a core, not by the clock, so that it means the same on a machine that is busy.
MOST_SECONDS = 20.0


def seconds_of_cores() -> float:
    """That this process has used until now, and those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def refuse_if_long(item: pytest.Item, seconds: float) -> None:
    """Fail a test that takes longer than `make test` has for one, unless it is marked slow."""
    if seconds > MOST_SECONDS and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"{item.nodeid}: took {seconds:.0f} s of a core, at most {MOST_SECONDS:.0f} without @pytest.mark.slow; "
            "make less of it, or mark it, so that `make slow` runs it and not `make test`",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """What is made for a test alone counts as the test does."""
    start = seconds_of_cores()
    yield
    refuse_if_long(item, seconds_of_cores() - start)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that fails by itself says why, and not how long it took."""
    start = seconds_of_cores()
    yield
    refuse_if_long(item, seconds_of_cores() - start)
