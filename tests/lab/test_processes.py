"""A study whose process is killed, interrupted, or not alone: with real processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interrupts import HEARING
from vslm.results.files import read_json

OPTIONS = ["--workers", "1", "--seeds", "1", "--precision", "fp32"]
COMMAND = [sys.executable, "-m", "vslm.cli", "run", "study.py", *OPTIONS]


def started(log: Path, *more: str) -> subprocess.Popen[bytes]:
    """The study, in a process of its own; what it says is in a file."""
    # Without a compiler, so that it is eager on a slow machine, too.
    environment = {**os.environ, "CXX": "no-such-compiler"}
    with log.open("wb") as file, one_core():
        return subprocess.Popen([*COMMAND, *more], stdout=file, stderr=subprocess.STDOUT, env=environment, **HEARING)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Inside, what is started gets one core, so that it has one thread to choose."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a file is there."""
    while not path.exists():
        assert process.poll() is None, "the study ended before it could be stopped"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.skipif(sys.platform == "win32", reason="an interruption is sent to one process, which Windows cannot")
def test_a_study_that_is_killed_and_interrupted_ends_with_the_same_verdict(place: Path, vslm: Callable) -> None:
    """A second runner is refused; after SIGKILL and Ctrl-C the same command goes on, to the same bits."""
    text = (place / "study.py").read_text(encoding="utf-8")
    (place / "study.py").write_text(text.replace("17 * 7 * 11", "17 * 7 * 500"), encoding="utf-8")
    folder = place / "runs" / "study"

    first = started(place / "first.log")
    wait_for(folder / "full" / "seed0" / "experiment.json", first)
    second = vslm("run", "study.py")
    assert second.code == 1
    assert f"held by process {first.pid}" in second.err
    wait_for(folder / "full" / "seed0" / "done.json", first)
    first.kill()
    first.wait()
    stamp = (folder / "full" / "seed0" / "done.json").stat().st_mtime_ns
    assert not (folder / "verdict.json").exists()

    (folder / "short" / "seed0" / "experiment.json").unlink(missing_ok=True)
    again = started(place / "again.log")
    wait_for(folder / "short" / "seed0" / "experiment.json", again)
    again.send_signal(signal.SIGINT)
    assert again.wait(timeout=120) == 130
    said = (place / "again.log").read_text(encoding="utf-8")
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert not (folder / "short" / "seed0" / "done.json").exists()

    last = started(place / "last.log")
    assert last.wait(timeout=240) == 0, (place / "last.log").read_text(encoding="utf-8")
    assert (folder / "full" / "seed0" / "done.json").stat().st_mtime_ns == stamp

    (place / "whole").mkdir()
    (place / "whole" / "study.json").write_bytes((folder / "study.json").read_bytes())
    # In this process, which has one thread as they had: two are shared otherwise in one that began with one.
    assert read_json(place / "whole" / "study.json")["settings"]["threads"] == 1
    left_alone = vslm("run", "study.py", *OPTIONS, "--out", "whole")
    assert left_alone.code == 0, left_alone.err
    ended, whole = (read_json(out / "verdict.json") for out in (folder, place / "whole"))
    assert ended["baseline_per_seed"] == whole["baseline_per_seed"]
    for name in ("verdict", "delta", "interval", "seeds", "per_seed", "looks", "tokens"):
        assert ended["arms"]["short"][name] == whole["arms"]["short"][name], name
    for arm in ("full", "short"):
        weights = [(out / arm / "seed0" / "weights.safetensors").read_bytes() for out in (folder, place / "whole")]
        assert weights[0] == weights[1]
