"""Hundreds of command lines with something odd in them: each ends with 0, 1 or 2, in words and without a
traceback, within 5 s of CPU time (30 s where it draws figures).

    python tests/fuzz/odd_arguments.py --count 300 --seed 0

Every verb, with paths that are there and that are not, and options that are missing, repeated, unknown, empty, huge or
no text. Nothing is computed and nobody is served: what would begin to is stopped there, since plans are what is tried.
"""

import argparse
import contextlib
import inspect
import io
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import tried
from odd_things import NUMBERS, TEXTS, short, write_corpus

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
from synthetic_study import write_study

from vslm.cli import app, main
from vslm.core.errors import RunError
from vslm.lab import budgets, runner
from vslm.live import server

COMPUTES = "it would compute now"
STUDY = """
from vslm import Budget, Experiment, Study, Text, uniform, vary
full = Experiment(
    model=uniform(depth=2, width=16, heads=2, context_tokens=17), data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 11), batch_tokens=17 * 7,
)
short = vary(full, {"model.context_tokens": 11})
STUDY = Study(question="Which?", baseline="full", arms={"full": full, "short": short}, pilot=None)
"""
# Nothing that leads out of the folder: a fuzzer that reads the whole machine, or writes to a device, harms it.
PATHS = (
    *("study.py", "study.py", "corpus.txt", "runs/done", "runs/done", "runs/done/window-4", "runs/done/window-4/seed0"),
    *(
        "runs",
        ".",
        "",
        "-",
        "--",
        "nowhere",
        "no\nline",
        "caf\udce9",
        "ünï/cödé",
        "n" * 300,
        "a/" * 2000,
        "empty",
        "*.txt",
    ),
    *("[", "~nobody/x", "corpus.txt/x", "broken.py", "\x1b[2J", "$HOME"),
)
VALUES = (
    *("", " ", "0", "-1", "1e6", "10k", "1,000", "0x10", "1e400", "nan", "inf", "-inf", "٣", "½", "1_0", "true"),
    *("auto", "3-5", "5-3", "0-99999999", "cpu", "cuda", "mps", "wandb", "tensorboard", "a=b", "=", "model.depth=3"),
    *("model.blocks.*.width=32", "arms.full.budget=Budget(tokens=10**400)", "data=Text('corpus.txt')", "x" * 5000),
    *("model.root=__import__('os')", "optimizer.learning_rate=1e200", "seeds=9", "model.blocks.0=1", "(" * 300),
    *("\ud800", "None"),
)


def verbs(of: Any = app) -> list[list[str]]:
    """Every command as it is typed: ["run"], ["data", "show"], and a command of commands alone, ["data"]."""
    names = [name for name in of if not name.startswith("-")]
    return [words for name in names for words in ([name], *([name, *rest] for rest in verbs(of[name])))]


def options_of(command: list[str]) -> list[str]:
    """As they are typed, from the function of the command, so that a new one is tried, too."""
    place: Any = app
    for word in command:
        place = place[word]
    takes = inspect.signature(place.default_command).parameters.values() if place.default_command else ()
    named = [one for one in takes if one.kind is one.KEYWORD_ONLY]
    return [f"--{one.name.strip('_').replace('_', '-')}" for one in named] + ["--help", "--version", "--no-such", "-x"]


def arguments(seed: int, number: int) -> list[str]:
    """A command line."""
    draw = random.Random(f"{seed}:{number}")
    commands = verbs()
    command = commands[number % len(commands)]  # every verb in turn, and now and then something that is none
    if draw.random() < 0.05:
        command = [draw.choice(("", "Run", "trian", "--", "ü"))]
    options = options_of(command) if command in commands else ["--json", "--out"]
    words = [*command]
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 3))):
        words.append(draw.choice(PATHS if draw.random() < 0.6 else PATHS[:7]))
    for _ in range(draw.choice((0, 1, 1, 2, 3, 4))):
        words.append(draw.choice(options))
        if draw.random() < 0.8:
            texts = VALUES if draw.random() < 0.6 else draw.choice((PATHS, TEXTS, tuple(map(short, NUMBERS))))
            words.append(draw.choice(texts))
    if draw.random() < 0.1:
        draw.shuffle(words)
    return [word.replace("\0", "") for word in words]  # no system hands a 0 on


_SECONDS_WITH_FIGURES = 30.0  # of CPU time: dozens of files are drawn, which was asked for


def attempt_of(seed: int) -> Callable[[int], str]:
    """A function that tries the command line of a number."""

    def attempt(number: int) -> str:
        sys.argv = ["vslm", *arguments(seed, number)]
        if "--figures" in sys.argv:
            signal.setitimer(signal.ITIMER_PROF, _SECONDS_WITH_FIGURES)
        out, err, code = io.StringIO(), io.StringIO(), 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else -1
        said = err.getvalue()
        if code not in (0, 1, 2) or "Traceback" in said + out.getvalue() or (code and not said.strip()):
            raise AssertionError(f"status {code}, and it said: {said[-300:]}")
        return f"ended with {code}"

    return attempt


def _stop(*_: object, **__: object) -> Any:
    raise RunError("", COMPUTES)


@contextlib.contextmanager
def nothing_begins():
    """What would compute, or serve, is stopped there."""
    before = [(place, name, getattr(place, name)) for place, name in _BEGINS]
    for place, name, _ in before:
        setattr(place, name, _stop)
    try:
        yield
    finally:
        for place, name, real in before:
            setattr(place, name, real)


_BEGINS = ((runner, "run_orders"), (budgets, "run_orders"), (server, "open_server"))


def faults_of(count: int, seed: int, first: int, say: Callable[[str], None]) -> dict[int, str]:
    """What went wrong, by number; in a folder of its own that is gone afterwards."""
    before, home = Path.cwd(), os.environ.get("VSLM_HOME")
    with tempfile.TemporaryDirectory() as folder, nothing_begins():
        place = Path(folder, "place")
        place.mkdir()
        write_corpus(place)
        (place / "study.py").write_text(STUDY, encoding="utf-8")
        (place / "broken.py").write_text("STUDY = (", encoding="utf-8")
        (place / "empty").mkdir()
        write_study(place / "runs" / "done", num_positions=31, steps=(0, 7, 23))
        os.environ["VSLM_HOME"] = f"{folder}/home"
        os.chdir(place)
        try:
            attempt = attempt_of(seed)
            for warm in ("plan study.py", "ls", "report runs/done", "compare runs/done"):
                sys.argv = ["vslm", *warm.split()]
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), _any_end():
                    main()
            return tried(attempt, range(first, first + count), say=say)
        finally:
            os.chdir(before)
            if home is not None:
                os.environ["VSLM_HOME"] = home


def _any_end() -> contextlib.AbstractContextManager[None]:
    return contextlib.suppress(SystemExit)


def listed() -> None:
    """Try, and list the faults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=None, help="the number of one command line")
    asked = parser.parse_args()
    first, count = (0, asked.count) if asked.only is None else (asked.only, 1)
    faults = faults_of(count, asked.seed, first, lambda words: print(words, flush=True))
    for number, fault in faults.items():
        print(f"{number}: vslm {short(arguments(asked.seed, number))}\n    {fault}")
    print(f"{count:,} command lines, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    listed()
