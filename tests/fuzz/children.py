"""Try something many times in child processes, with a limit of CPU time and of memory for each try.

A try that raises, is killed, aborts, or needs more than its limits is a fault; the others go on. How each ended, the
slowest and the one that needed most memory are counted, too: a bar that nothing comes near to says little.
"""

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SECONDS = 5.0  # of CPU time: a machine with other work is no slower program
BYTES = 2**30  # beyond what the process had before
_A_CHILD = 250  # tries of one process


class TooSlow(BaseException):
    """Not an Exception: nothing in the program may take it for one of its own."""


def _ring(*_: object) -> None:
    raise TooSlow


class _Try(NamedTuple):
    number: int
    fault: str | None
    end: str
    seconds: float  # of CPU time
    gigabytes: float  # that its process had grown by at most until then


def tried(attempt: Callable[[int], Any], numbers: Sequence[int], *, say: Callable[[str], None]) -> dict[int, str]:
    """The faults by number, in words; `attempt` raises nothing where all is well, and may return a word of its end."""
    faults: dict[int, str] = {}
    tries: list[_Try] = []
    waiting = list(numbers)
    while waiting:
        some, waiting = waiting[:_A_CHILD], waiting[_A_CHILD:]
        done, ending = _in_a_child(attempt, some)
        tries += done
        faults |= {each.number: each.fault for each in done if each.fault}
        if len(done) < len(some):  # the process ended in the middle of one
            faults[some[len(done)]] = f"its process ended: {ending}"
            waiting = some[len(done) + 1 :] + waiting
        say(f"{len(numbers) - len(waiting):,} of {len(numbers):,} tried, {len(faults)} faults{_extremes(tries)}")
    return faults


def _extremes(tries: Sequence[_Try]) -> str:
    if not tries:
        return ""
    slowest, largest = max(tries, key=lambda each: each.seconds), max(tries, key=lambda each: each.gigabytes)
    ends = ", ".join(f"{times:,} {end}" for end, times in Counter(each.end for each in tries if each.end).most_common())
    return (
        f"{f' ({ends})' if ends else ''}; slowest {slowest.seconds:.2f} s of CPU time (number {slowest.number}), "
        f"most memory {largest.gigabytes:.2f} GB (number {largest.number})"
    )


def _in_a_child(attempt: Callable[[int], Any], numbers: Sequence[int]) -> tuple[list[_Try], str]:
    """What was tried whole, and how the process ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _limit()
        before = _most_bytes()
        with os.fdopen(writing, "w") as out:
            for number in numbers:
                start = time.process_time()
                fault, end = _one(attempt, number)
                found = _Try(number, fault, end, time.process_time() - start, (_most_bytes() - before) / 2**30)
                out.write(json.dumps(found) + "\n")
                out.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        tries = [_Try(*json.loads(line)) for line in lines]
    _, status = os.waitpid(child, 0)
    return tries, f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"


def _most_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, now + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _ring)
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123


def _one(attempt: Callable[[int], Any], number: int) -> tuple[str | None, str]:
    """The fault in words, or None; and how it ended."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return None, str(attempt(number) or "")
    except TooSlow:
        return f"more than {SECONDS:g} s: {_last_places()}", "too slow"
    except MemoryError:
        return f"more than {BYTES / 2**30:g} GB: {_last_places()}", "too large"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]} {_last_places()}", "raised"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _last_places() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "vslm" in frame.filename and "fuzz" not in frame.filename][-3:]
    return "at " + " < ".join(f"{frame.filename.rpartition('vslm/')[2]}:{frame.lineno}" for frame in ours[::-1])
