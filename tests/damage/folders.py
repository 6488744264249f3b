"""Damage many folders of a study and read each in every way: `make damage N=1000`, or `python folders.py 1000 7`.

Every second folder has its checksums and digests taken away first, as those from before there were any: there only the
table of shapes and the manners of readers stand between an odd value and a traceback.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "lab")]
from mutations import damage
from readers import faults
from small_study import STUDY, carry_out, made_up_timing

from vslm.lab import budgets, runner
from vslm.lab.options import Options
from vslm.lab.runner import run_study
from vslm.results.files import write_json
from vslm.study.study_file import load_study

SEEDS = ("0-1", "2-3")  # of the study that is damaged, and of the same one on another machine


class Silent:
    """A watcher that is told and says nothing."""

    def say(self, text: str) -> None:
        """Of what is said, nothing."""

    def on_message(self, arm: str, seed: int, message: Any) -> None:
        """Of what a run says, nothing."""

    def started(self, tokens: Any) -> None:
        """Of what begins, nothing."""


def without_processes() -> None:
    """From here on every order is carried out in this process, and no timing is taken."""

    def run_orders(orders: Any, *, workers: int, on_message: Any, pool: Any = None) -> None:
        for order in orders:
            if order.task == "settings":
                on_message(order, {"timing": made_up_timing()})
            else:
                carry_out(order, on_message)

    budgets.run_orders = runner.run_orders = run_orders


def write_studies(place: Path) -> list[Path]:
    """The study twice, with two seeds each, really trained; their text is beside them."""
    from small_study import made_up_text

    (place / "corpus.txt").write_bytes(made_up_text().encode())
    text = STUDY.replace('"corpus.txt"', repr(str(place / "corpus.txt")))
    (place / "study.py").write_text(text, encoding="utf-8")
    study = load_study(place / "study.py")
    found = []
    for name, seeds in zip(("study", "other"), SEEDS, strict=True):
        options = Options(seeds=seeds)
        found.append(run_study(study, place / name, Silent(), study_file=place / "study.py", options=options).path)
        plan = json.loads((found[-1] / "study.json").read_text())["plan"]
        assert plan["looks"] == [2], plan
    return found


def without_checksums(folder: Path) -> None:
    """As a vslm from before there were any left it."""
    (folder / ".verdict.json").unlink()
    for path in folder.rglob("*.json"):
        record = json.loads(path.read_text())
        if isinstance(record, dict) and path.name in ("study.json", "verdict.json", "done.json"):
            left_out = ("digest", "files", "read_from", "weights_bytes")
            write_json(path, {key: value for key, value in record.items() if key not in left_out})


def pairs_of(folder: Path) -> dict[tuple[str, str], Any]:
    """The pairs of a verdict, by arm and seed."""
    arms = json.loads((folder / "verdict.json").read_text())["arms"]
    return {(arm, seed): pair for arm, row in arms.items() for seed, pair in row["per_seed"].items()}


def damaged(place: Path, study: Path, other: Path, number: int, seed: int) -> tuple[list[str], list[tuple[str, str]]]:
    """What was done to a copy of a study, and who failed at it."""
    draw = random.Random(f"{seed} {number}")
    root, writes = place / "root", place / "writes"
    for path in (root, writes):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    folder = Path(shutil.copytree(study, root / "study", ignore=shutil.ignore_patterns("checkpoints", ".lock")))
    has_checksums = number % 2 == 0
    if not has_checksums:
        without_checksums(folder)
    record = (folder / "study.json").read_bytes()
    said = damage(folder, draw)
    is_same = (folder / "study.json").is_file() and (folder / "study.json").read_bytes() == record
    whole = pairs_of(study) if has_checksums and is_same else None
    return [*said, "" if has_checksums else "(no checksums)"], list(faults(folder, other, writes, whole))


def main(count: int, seed: int, first: int = 0) -> int:
    """Damage so many folders, print every kind of fault once with a folder that shows it, and return how many."""
    without_processes()
    kinds: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as written:
        place = Path(written)
        import os

        os.environ["VSLM_HOME"] = str(place / "home")
        study, other = write_studies(place)
        for number in range(first, first + count):
            started = time.process_time()
            said, found = damaged(place, study, other, number, seed)
            slowest = max(slowest, time.process_time() - started)
            for who, what in found:
                kind = (who, what.rpartition("(")[2])
                kinds[kind] += 1
                if kinds[kind] == 1:
                    print(f"folder {number}, {who}: {what}\n    {'; '.join(said)}", flush=True)
            if (number + 1) % 20 == 0:
                print(f"{number + 1} folders, {sum(kinds.values())} faults of {len(kinds)} kinds", flush=True)
    print(f"{count} folders: {sum(kinds.values())} faults; all readers of the slowest: {slowest:.1f} s of a processor")
    return sum(kinds.values())


if __name__ == "__main__":
    sys.exit(min(1, main(*(int(text) for text in sys.argv[1:]))))
