"""Try something many times in child processes, with a limit of CPU time and of memory for each try.

A try that raises, is killed, aborts, or needs more than its limits is a fault; the others go on.
"""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

SECONDS = 5.0  # of CPU time: a machine with other work is no slower program
BYTES = 2**30  # beyond what the process had before
_A_CHILD = 250  # tries of one process


class TooSlow(BaseException):
    """Not an Exception: nothing in the program may take it for one of its own."""


def _ring(*_: object) -> None:
    raise TooSlow


def tried(attempt: Callable[[int], None], numbers: Sequence[int], *, say: Callable[[str], None]) -> dict[int, str]:
    """The faults by number, in words; `attempt` raises nothing where all is well."""
    faults: dict[int, str] = {}
    waiting = list(numbers)
    while waiting:
        some, waiting = waiting[:_A_CHILD], waiting[_A_CHILD:]
        done, found, ending = _in_a_child(attempt, some)
        faults |= found
        if done < len(some):  # the process ended in the middle of one
            faults[some[done]] = f"its process ended: {ending}"
            waiting = some[done + 1 :] + waiting
        say(f"{len(numbers) - len(waiting):,} of {len(numbers):,} tried, {len(faults)} faults")
    return faults


def _in_a_child(attempt: Callable[[int], None], numbers: Sequence[int]) -> tuple[int, dict[int, str], str]:
    """How many were tried whole, the faults, and how the process ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _limit()
        with os.fdopen(writing, "w") as out:
            for number in numbers:
                out.write(json.dumps([number, _one(attempt, number)]) + "\n")
                out.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        answers = [json.loads(line) for line in lines]
    _, status = os.waitpid(child, 0)
    found = {number: fault for number, fault in answers if fault}
    return len(answers), found, f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"


def _limit() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, now + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _ring)
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123


def _one(attempt: Callable[[int], None], number: int) -> str | None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        attempt(number)
    except TooSlow:
        return f"more than {SECONDS:g} s: {_last_places()}"
    except MemoryError:
        return f"more than {BYTES / 2**30:g} GB: {_last_places()}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]} {_last_places()}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _last_places() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "vslm" in frame.filename and "fuzz" not in frame.filename][-3:]
    return "at " + " < ".join(f"{frame.filename.rpartition('vslm/')[2]}:{frame.lineno}" for frame in ours[::-1])
