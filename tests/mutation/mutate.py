"""Do the tests notice? Changes source files in small ways, one at a time, and runs the tests that execute each change.

    python tests/mutation/mutate.py src/vslm/stats --sample 20

Tests are collected once for a room. A first pass notes which of them execute which function. Each mutant is then a
fork of that process: the code of its function is swapped in memory, its tests run until one fails, nothing is written.
A change outside functions (a default, a table) is made while the file is imported, in a fork that has imported nothing
of vslm. What is known not to matter stands, with its reason, in `equivalent.txt`.

Why not a program that exists: mutmut leaves alone whatever has a decorator and all values of classes, where most of
the numbers here stand, and cosmic-ray starts a process for each mutant, of which 3 s are spent importing torch.
"""

import argparse
import builtins
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vslm"
sys.path.insert(0, str(Path(__file__).parent))

from mutants import Mutant, functions_of, mutants_of, noting, sample  # noqa: E402

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
# Which tests can notice a change in a room: those that mirror it, and those of rooms that have its numbers for dinner.
CONCERNED = {
    "core": ("core", "models"),
    "data": ("data", "contracts"),
    "after": ("lab",),
    "cli": ("lab", "report", "data"),
    "lab": ("lab", "stats", "smoke"),
    "live": ("live",),
    "measure": ("measure", "contracts"),
    "models": ("models", "contracts"),
    "objectives": ("objectives", "training", "lab"),
    "optim": ("optim", "contracts", "lab"),
    "report": ("report", "golden"),
    "results": ("results", "report", "lab"),
    "runs": ("lab", "smoke"),
    "stats": ("stats",),
    "study": ("lab", "stats"),
    "trackers": ("trackers",),
    "training": ("training", "optim", "lab"),
}
_CHOSEN = "not slow and not gpu and not browser"
UNNOTICED = ("survived", "unseen")  # unseen: no test executes it
Live = dict[tuple[str, int, str], list[FunctionType]]
_LONGEST_S = 60.0  # of tests for one mutant; the cheapest files go first


class Tests:
    """The plugin that collects the tests of a room once, and then runs some of them for each mutant, in forks."""

    def __init__(self, mutants: list[Mutant], jobs: int, told: Callable[[str], None]) -> None:
        self.mutants, self.jobs, self.told = mutants, jobs, told
        self.results: list[dict[str, Any]] = []
        self.failed = False
        self.seen: set[tuple[str, int]] = set()
        self.shared: dict[str, set[tuple[str, int]]] = {}
        self.touched: dict[str, set[tuple[str, int]]] = {}
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a failure."""
        self.failed |= report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """What a fixture that tests share executes counts for every test that uses it."""
        before, self.seen = self.seen, set()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self.shared.setdefault(fixturedef.argname, set()).update(self.seen)
            self.seen |= before

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of running the tests once."""
        if session.testsfailed:
            return False
        live = _live_functions()
        self._learn(session.items, live)
        waiting = list(self.mutants)
        pool = Pool(self.jobs)
        while waiting or pool.running:
            if waiting and pool.has_room:
                mutant = waiting.pop(0)
                items, left_out = self._concerned(session.items, mutant)
                swap = _swap(mutant, live) if mutant.in_function else None
                if not items and mutant.in_function:
                    self._note(mutant, 0, 0, "unseen", 0.0)
                elif swap is None:
                    nodes = [item.nodeid for item in items or session.items]
                    self._note(mutant, len(nodes), left_out, "cold", self._time(items), nodes)
                else:
                    pool.start(
                        partial(self._child, items, swap),
                        self._time(items),
                        partial(self._note, mutant, len(items), left_out),
                    )
            else:
                pool.wait()
        return True

    def _note(self, mutant: Mutant, tests: int, left_out: int, code: str, seconds: float, nodes: Any = None) -> None:
        self.results.append(_result(mutant, code, tests, left_out, seconds, nodes))
        if code in UNNOTICED:
            missing = f" ({left_out} tests too long to run)" if left_out else ""
            self.told(f"  {code:9} {_where(mutant)}{missing}")

    def _time(self, items: list[pytest.Item]) -> float:
        return sum(self.seconds.get(item.nodeid, 0.1) for item in items)

    def _learn(self, items: list[pytest.Item], live: Live) -> None:
        """Run all once, unchanged, and note what each executes. What fails unchanged is left out."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            builtins.__seen__ = lambda file, line: self.seen.add((file, line))  # type: ignore[attr-defined]
            for file in {mutant.file for mutant in self.mutants}:
                for function, code in _pairs(file, noting(file), live):
                    function.__code__ = code
            notes = {}
            for item, following in zip(items, [*items[1:], None], strict=True):
                self.seen = set()
                start, self.failed = time.process_time(), False  # what others do on the machine does not count
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if not self.failed:
                    notes[item.nodeid] = (time.process_time() - start, sorted(self.seen))
            shared = {name: sorted(seen) for name, seen in self.shared.items()}
            with os.fdopen(write, "w") as pipe:
                json.dump([notes, shared], pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            notes, shared = json.load(pipe)
        os.waitpid(child, 0)
        self.told(f"  {len(notes)} of {len(items)} tests pass, {sum(s for s, _ in notes.values()):.0f} s")
        for item in items:
            seconds, seen = notes.get(item.nodeid, (0.0, []))
            for fixture in getattr(item, "fixturenames", ()) if seen else ():
                seen += shared.get(fixture, ())
            self.seconds[item.nodeid], self.touched[item.nodeid] = seconds, {tuple(one) for one in seen}

    def _concerned(self, items: list[pytest.Item], mutant: Mutant) -> tuple[list[pytest.Item], int]:
        """The tests that execute the function of `mutant`, or anything of its file; cheap files first, order kept."""
        file = str(mutant.file)
        groups: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            seen = self.touched.get(item.nodeid, set())
            if (file, mutant.function_line) in seen if mutant.in_function else any(f == file for f, _ in seen):
                groups[item.path].append(item)
        chosen: list[pytest.Item] = []
        spent, left_out = 0.0, 0
        for group in sorted(groups.values(), key=self._time):
            for item in group:
                spent += self.seconds[item.nodeid]
                if spent < _LONGEST_S or not chosen:
                    chosen.append(item)
                else:
                    left_out += 1
        return chosen, left_out

    def _child(self, items: list[pytest.Item], swap: Callable[[], None]) -> int:
        swap()
        self.failed = False
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return 1
        return 0


class Pool:
    """Forks side by side, each with its end and a place for temporary files of its own."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.running: dict[int, tuple[float, float, Path, Callable[[str, float], None]]] = {}

    @property
    def has_room(self) -> bool:
        """Whether another may start."""
        return len(self.running) < self.jobs

    def start(self, work: Callable[[], int], expected_s: float, done: Callable[[str, float], None]) -> None:
        """Fork, do `work` there; its 0 means that no test noticed."""
        place = Path(tempfile.mkdtemp())
        child = os.fork()
        if child == 0:
            os.setsid()
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(place)
            try:
                code = work()
            except BaseException:
                code = 1
            os._exit(code)
        self.running[child] = (time.monotonic(), 60 + 20 * expected_s, place, done)

    def wait(self) -> None:
        """Until one has ended, or ran far past its time: that is noticed as well."""
        while True:
            for child, (start, limit_s, place, done) in list(self.running.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                seconds = time.monotonic() - start
                if not ended and seconds < limit_s:
                    continue
                if not ended:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                del self.running[child]
                shutil.rmtree(place, ignore_errors=True)
                done("timeout" if not ended else "survived" if status == 0 else "killed", seconds)
                return
            time.sleep(0.005)


def _key(mutant: Mutant) -> tuple[str, str]:
    return str(mutant.file.relative_to(ROOT)), mutant.name


def _where(mutant: Mutant) -> str:
    return f"{mutant.file.relative_to(ROOT)}:{mutant.line} {mutant.name}"


def _result(mutant: Mutant, code: str, tests: int, left_out: int, seconds: float, nodes: Any = None) -> dict[str, Any]:
    return {
        "file": str(mutant.file.relative_to(ROOT)),
        "line": mutant.line,
        "name": mutant.name,
        "result": code,
        "tests": tests,
        "left_out": left_out,
        "seconds": round(seconds, 2),
        "nodes": nodes,
    }


def _live_functions() -> Live:
    """Every function of vslm in memory, decorated or not, by file, line and name."""
    found: Live = defaultdict(list)
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename.startswith(str(SOURCE)):
            code = one.__code__
            found[code.co_filename, code.co_firstlineno, code.co_name].append(one)
    return found


def _pairs(file: Path, changed: CodeType, live: Live) -> list[tuple[FunctionType, CodeType]]:
    """The functions of a file in memory, each with its code in `changed`."""
    codes = functions_of(changed)
    return [(one, codes[line, name]) for (f, line, name), ones in live.items() if f == str(file) for one in ones]


def _swap(mutant: Mutant, live: Live) -> Callable[[], None] | None:
    """What puts the changed code into the functions of the file; None where their closures differ."""
    pairs = _pairs(mutant.file, mutant.compiled(), live)
    if any(function.__code__.co_freevars != code.co_freevars for function, code in pairs):
        return None

    def swap() -> None:
        for function, code in pairs:
            function.__code__ = code

    return swap


class Changed(MetaPathFinder, Loader):
    """Imports the file of a mutant as it is after the change."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """For that file alone."""
        if not name.startswith("vslm"):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.origin != str(self.mutant.file):
            return None
        spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(self.mutant.compiled(), module.__dict__)

    def get_source(self, name: str) -> str:
        """The text on the disk, for tracebacks and doctests."""
        return self.mutant.file.read_text(encoding="utf-8")


class Only:
    """Keeps the named tests."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.nodes = set(nodes)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out all others."""
        items[:] = [item for item in items if item.nodeid in self.nodes]


def _arguments(paths: Iterable[str]) -> list[str]:
    return ["-q", "-x", "-m", _CHOSEN, "-p", "no:xdist", "-p", "no:randomly", f"--rootdir={ROOT}", *paths]


def _quiet(where: str = os.devnull) -> None:
    place = os.open(where, os.O_WRONLY)
    os.dup2(place, 1)
    os.dup2(place, 2)


def _cold(mutant: Mutant, nodes: list[str]) -> int:
    """Import everything with the change, and run."""
    _quiet()
    sys.meta_path.insert(0, Changed(mutant))
    # Without its own asserts, for which pytest would import a file that has doctests by itself: unchanged.
    paths = ["--assert=plain", *sorted({node.split("::")[0] for node in nodes})]
    return int(pytest.main(_arguments(paths), plugins=[Only(nodes)]))


def _room(room: str, mutants: list[Mutant], jobs: int, extra: list[str]) -> list[dict[str, Any]]:
    """All mutants of one room: a process that collects its tests, and after it those that need an import."""
    read, write = os.pipe()
    screen = os.dup(1)
    said = tempfile.mkstemp(prefix="mutate-", suffix=".txt")[1]

    def told(line: str) -> None:
        os.write(screen, f"{line}\n".encode())

    child = os.fork()
    if child == 0:
        os.close(read)
        _quiet(said)
        tests = Tests(mutants, jobs, told)
        sources = sorted({str(mutant.file) for mutant in mutants})
        paths = extra or [f"tests/{name}" for name in CONCERNED[room] if (ROOT / "tests" / name).is_dir()]
        try:
            pytest.main(_arguments([*paths, *sources]), plugins=[tests])
            with os.fdopen(write, "w") as pipe:
                json.dump(tests.results, pipe)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    results = json.loads(text or "[]")
    if not results:
        print(Path(said).read_text(encoding="utf-8")[-3000:])
    Path(said).unlink()
    by_name = {_key(mutant): mutant for mutant in mutants}
    pool, done = Pool(jobs), [one for one in results if one["result"] != "cold"]
    waiting = [one for one in results if one["result"] == "cold"]

    def noted(one: dict[str, Any], code: str, seconds: float) -> None:
        if code == "survived":
            told(f"  {code:9} {one['file']}:{one['line']} {one['name']}")
        done.append({**one, "result": code, "seconds": round(seconds, 2), "nodes": None})

    while waiting or pool.running:
        if waiting and pool.has_room:
            one = waiting.pop(0)
            mutant, nodes = by_name[one["file"], one["name"]], one["nodes"]
            pool.start(partial(_cold, mutant, nodes), 20 + one["seconds"], partial(noted, one))
        else:
            pool.wait()
    return done


def without_effect() -> dict[tuple[str, str], str]:
    """Changes that nobody needs to notice, by file and name, with the reason that stands above them."""
    found, file, reason = {}, "", ""
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            file = line[3:].strip()
        elif line.startswith("# "):
            reason = line[2:]
        elif line.strip() and file:
            found[file, line.strip()] = reason
    return found


def _table(results: list[dict[str, Any]], nothing_told: dict[tuple[str, str], str]) -> str:
    """Per room: tried, noticed, known not to matter, and the share of those that matter and were not noticed."""
    rows = [f"{'room':12} {'tried':>6} {'noticed':>8} {'no effect':>10} {'unnoticed':>10} {'share':>7}"]
    rooms = sorted({one["file"].split("/")[2] for one in results})
    for room in [*rooms, "all"]:
        mine = [one for one in results if room in ("all", one["file"].split("/")[2])]
        unnoticed = [one for one in mine if one["result"] in UNNOTICED]
        nothing = sum((one["file"], one["name"]) in nothing_told for one in unnoticed)
        matter = len(unnoticed) - nothing
        rows.append(
            f"{room:12} {len(mine):6} {len(mine) - len(unnoticed):8} {nothing:10} {matter:10} "
            f"{matter / max(1, len(mine) - nothing):7.1%}"
        )
    return "\n".join(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="source files, or folders of them")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each file; 0 for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--tests", nargs="*", default=[], help="tests in place of those of the room")
    parser.add_argument("--match", default="", help="only mutants whose name has this in it")
    parser.add_argument("--json", type=Path, help="where to write every mutant and what became of it")
    parser.add_argument("--again", type=Path, help="what --json wrote: try only what was not noticed then")
    asked = parser.parse_args()
    files = sorted({f.resolve() for p in asked.files for f in (p.rglob("*.py") if p.is_dir() else [p])})
    rooms: dict[str, list[Mutant]] = defaultdict(list)
    earlier = json.loads(asked.again.read_text(encoding="utf-8")) if asked.again else []
    before = {(one["file"], one["name"]) for one in earlier if one["result"] in UNNOTICED}
    for file in files:
        there = {_key(mutant) for mutant in mutants_of(file)}
        for stale in (key for key in without_effect() if key[0] == str(file.relative_to(ROOT)) and key not in there):
            print(f"a reason in {EQUIVALENT.name} is for a line that is gone: {stale[0]} {stale[1]}")
        found = [mutant for mutant in mutants_of(file) if asked.match in mutant.name]
        if before:
            found = [mutant for mutant in found if _key(mutant) in before]
            rooms[file.relative_to(SOURCE).parts[0]] += found
            continue
        rooms[file.relative_to(SOURCE).parts[0]] += sample(found, asked.sample or len(found), asked.seed)
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    results = []
    for room, mutants in rooms.items():
        print(f"{room}: {len(mutants)} mutants of {len({m.file for m in mutants})} files", flush=True)
        results += _room(room, mutants, asked.jobs, asked.tests)
    tried = {(one["file"], one["name"]) for one in results}
    results += [one for one in earlier if (one["file"], one["name"]) not in tried]
    print(_table(results, without_effect()))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
