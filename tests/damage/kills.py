"""Kill a small study at random moments until it is done, and compare it bit for bit with one that was left alone.

    python kills.py 200 7           every process that is killed is a copy of this one, in which nothing needs importing
    python kills.py 20 7 processes  the whole of `vslm run` with its worker, killed as a group of processes

A process is killed by SIGKILL, which nothing can hear. Moments are drawn between nothing and a little more than the
study takes, so that they fall on every file that is written; after each, no file may be torn, and the next attempt must
go on. Times, which are of the clock, are not compared.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "lab")]
import small_study
from folders import SEEDS, Silent, without_processes
from small_study import STUDY, made_up_text

from vslm.lab.options import Options
from vslm.lab.runner import run_study
from vslm.results.files import read_arrays, read_json, read_rows
from vslm.results.folder import StudyFolder
from vslm.runs import run
from vslm.study.study_file import load_study

CLOCK = (
    "seconds",
    "tokens_per_second",
    "created",
    "minutes_to_resolve",
    "minutes_to_resolve_nine_in_ten",
    "words",
    "digest",
    "files",
    "read_from",
)
_MOST_ATTEMPTS = 40  # of one study; then the moments are drawn too early and it is let go on


def _unlike(one: Any, other: Any, path: str = "") -> list[str]:
    """Dotted paths at which two JSON values differ, the clock left out."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key not in CLOCK]
        return [place for key in keys for place in _unlike(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [place for i, pair in pairs for place in _unlike(*pair, f"{path}.{i}")]
    return [] if one == other else [path]


def differences(whole: Path, broken: Path) -> list[str]:
    """What of two folders of one study is not the same, the clock left out."""
    found = []
    for one in sorted(whole.rglob("*")):
        name, other = one.relative_to(whole).as_posix(), broken / one.relative_to(whole)
        if (
            not one.is_file()
            or one.name.startswith(".")
            or "checkpoints" in one.parts
            or one.suffix in (".log", ".html")
        ):
            continue
        if not other.is_file():
            found.append(f"{name} is missing")
        elif one.suffix == ".npz":
            mine, its = read_arrays(one), read_arrays(other)
            same = mine.keys() == its.keys() and all(np.array_equal(mine[k], its[k], equal_nan=True) for k in mine)
            found += [] if same else [f"{name} holds other arrays"]
        elif one.suffix in (".json", ".jsonl"):
            read: Callable[[Path], Any] = read_rows if one.suffix == ".jsonl" else read_json
            found += [f"{name} holds other values at {path}" for path in _unlike(read(one), read(other))]
        elif one.read_bytes() != other.read_bytes():
            found.append(f"{name} has other bytes")
    return found


def torn(folder: Path) -> list[str]:
    """Files that are not whole after a kill."""
    study = StudyFolder(folder)
    found = [str(path) for path in folder.rglob("*.json") if not _is_json(path) and path.name != "order.json"]
    if (folder / "study.json").exists():
        runs = [run for arm in study.arms for run in study.runs(arm)]
        found += [f"{run.path}: {run.damage or run.other_damage()}" for run in runs if run.damage or run.other_damage()]
    return found


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def in_a_copy(place: Path, out: Path) -> int:
    """Begin the study, or go on with it, in a copy of this process; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        study = load_study(place / "study.py")
        run_study(study, out, Silent(), study_file=place / "study.py", options=Options(seeds=SEEDS[0]))
        code = 0
    finally:
        os._exit(code)


def in_processes(place: Path, out: Path) -> int:
    """`vslm run` and its worker; the id of the first, which leads their group."""
    args = ["run", str(place / "study.py"), "--out", str(out), "--workers", "1", "--seeds", SEEDS[0]]
    environment = {**os.environ, "CXX": "no-such-compiler"}  # eager, so that a process is at work soon
    log = (place / "log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "vslm.cli", *args], stdout=log, stderr=log, env=environment, start_new_session=True
    )
    return process.pid


def ended(process: int, within: float) -> int | None:
    """The exit code, if the process ends within so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    return None


def main(count: int, seed: int, how: str = "copies") -> int:
    """Kill so often, and return how many studies ended otherwise than the one that was left alone."""
    draw, bad, kills, studies = random.Random(seed), 0, 0, 0
    begin = in_processes if how == "processes" else in_a_copy
    with tempfile.TemporaryDirectory() as written:
        place = Path(written)
        os.environ["VSLM_HOME"] = str(place / "home")
        (place / "corpus.txt").write_bytes(made_up_text().encode())
        text = STUDY.replace('"corpus.txt"', repr(str(place / "corpus.txt"))).replace("17 * 7 * 11", "17 * 7 * 29")
        (place / "study.py").write_text(text, encoding="utf-8")
        if how != "processes":
            without_processes()
            # A checkpoint after every step, so that there is one to be torn at every moment.
            whole_job = run.run_job
            small_study.run_job = lambda *args: whole_job(*args, checkpoint_seconds=0.0)
        started = time.monotonic()
        assert ended(begin(place, place / "whole"), 600.0) == 0, "the study that is left alone did not end"
        takes = time.monotonic() - started
        while kills < count:
            studies += 1
            out, attempts = place / f"broken{studies}", 0
            if how == "processes":  # the settings were timed, and another timing could choose others
                out.mkdir()
                shutil.copy(place / "whole" / "study.json", out / "study.json")
            while True:
                attempts += 1
                process = begin(place, out)
                # Most are early: an attempt that is killed gets a few steps further, so that one study is killed often.
                is_over = attempts > _MOST_ATTEMPTS or kills >= count
                within = 600.0 if is_over else takes * draw.triangular(0.01, 0.3, 0.05)
                code = ended(process, within)
                if code is not None:
                    break
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                kills += 1
                for words in torn(out) if out.is_dir() else []:
                    print(f"torn after kill {kills}: {words}", flush=True)
                    bad += 1
            found = [f"ended with {code}"] if code else differences(place / "whole", out)
            for words in found:
                print(f"study {studies} after {attempts} attempts: {words}", flush=True)
            bad += bool(found)
            shutil.rmtree(out)
            if studies % 2 == 0:
                print(f"{kills} kills, {studies} studies, {bad} of them otherwise", flush=True)
    print(f"{kills} kills in {studies} studies ({takes:.1f} s each when left alone): {bad} ended otherwise")
    return bad


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])))
