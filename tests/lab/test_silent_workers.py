"""A process that answers nothing is named, ended and its order given to another, once. With small processes."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from vslm import Budget, Experiment, Text, uniform
from vslm.runs import pool
from vslm.runs.pool import Order, run_orders
from vslm.study.job import Job, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes"),
]

# Answers an order, and stops itself before it in the folders that say so; each try leaves a letter there.
WORKER = """
import json, os, pathlib, signal, sys, threading, time
def live():
    while True:
        time.sleep(0.05)
        os.write(1, b'{"alive": true}\\n')
os.write(1, b'{"alive": true}\\n')  # before it can stop: who never spoke is given longer
threading.Thread(target=live, daemon=True).start()
for line in sys.stdin:
    folder = pathlib.Path(json.loads(line)).parent
    tries = folder / "tries"
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) <= int(folder.name.rpartition("-")[2]):
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.3)
    os.write(1, json.dumps({"done": {"name": folder.name}}).encode() + b'\\n{"free": true}\\n')
"""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """What is heard of each folder, with small processes and a short patience."""
    monkeypatch.setattr(pool, "_COMMAND", (sys.executable, "-c", WORKER))
    monkeypatch.setattr(pool, "_SILENT_SECONDS", 0.9)
    monkeypatch.setattr(pool, "_STARTING_SECONDS", 60.0)
    monkeypatch.setattr(pool, "_TURN_SECONDS", 0.2)
    return {}


def carried_out(folders: list[str], place: Path, heard: dict[str, list[dict[str, Any]]]) -> None:
    """An order in each folder, two at a time."""
    experiment = Experiment(
        model=uniform(depth=1, width=8, heads=2, context_tokens=5), data=Text("t.txt"), budget=Budget(tokens=35)
    )
    settings = Settings(device="cpu", precision="fp32", compiled=False, threads=1)
    job = Job(
        arm="a",
        experiment=experiment,
        stages_tokens=(35,),
        init_seed=0,
        data_seed=0,
        settings=settings,
        corpus="0" * 12,
    )

    def hear(order: Order, message: dict[str, Any]) -> None:
        heard.setdefault(order.folder.name, []).append(message)

    run_orders([Order(job, place / name, None) for name in folders], workers=2, on_message=hear)


def test_a_stopped_process_is_ended_and_its_run_made_again(
    tmp_path: Path, heard: dict[str, list[dict[str, Any]]]
) -> None:
    """It is named; the others are not disturbed, nor is one that computes without a word."""
    carried_out(["stops-1", "well-0", "well-00"], tmp_path, heard)
    said, done = heard["stops-1"]
    assert "answered nothing for 1 seconds and was ended; another goes on from its last checkpoint" in said["say"]
    number = int(said["say"].split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert done == {"done": {"name": "stops-1"}}
    assert (tmp_path / "stops-1" / "tries").read_text() == "xx"
    assert heard["well-0"] == [{"done": {"name": "well-0"}}]
    assert heard["well-00"] == [{"done": {"name": "well-00"}}]


def test_one_that_stops_again_has_failed(tmp_path: Path, heard: dict[str, list[dict[str, Any]]]) -> None:
    """The others go on without it."""
    carried_out(["stops-9", "well-0", "well-00"], tmp_path, heard)
    assert [*map(list, heard["stops-9"])] == [["say"], ["failed"]]
    assert "worker.log holds what it wrote" in heard["stops-9"][1]["failed"]
    assert (tmp_path / "stops-9" / "tries").read_text() == "xx"
    assert heard["well-00"] == [{"done": {"name": "well-00"}}]
