"""The whole path on tiny text: arms, seeds, verdict, page; kill and resume; equal arms."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vslm.report.pages.study import write_report
from vslm.results.folder import StudyFolder

pytestmark = pytest.mark.slow

STUDY = """
from vslm import Budget, Experiment, LossByPosition, Primary, Study, Text, uniform, vary

full = Experiment(
    model=uniform(depth=2, width=24, heads=2, context_tokens=23),
    data=Text("corpus.txt", vocabulary=300),
    budget=Budget(tokens=23 * 11 * {steps}),
    batch_tokens=23 * 11,
    measures=(LossByPosition(num_evaluations=5, num_tokens=230, num_final_tokens=460),),
)
STUDY = Study(
    question="Does a short window cost anything?",
    baseline="full",
    arms={{"full": full, "same": full, "short": vary(full, {{"model.blocks.*.attention.window_tokens": 3}})}},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
    pilot=None,
)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a corpus and a study."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(60)]
    documents = [" ".join(rng.choice(words, 60)) for _ in range(300)]
    (tmp_path / "corpus.txt").write_text("\n<|endoftext|>\n".join(documents))
    (tmp_path / "study.py").write_text(STUDY.format(steps=20))
    return tmp_path


def vslm(place: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does; without a compiler, since timing one takes a minute (the demo has it)."""
    return subprocess.run(
        [sys.executable, "-m", "vslm.cli", *args],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CXX": "no-such-compiler"},
    )


def test_a_study_runs_to_a_verdict_and_equal_arms_are_bitwise_equal(place: Path):
    """Every run is there; the arm that is its baseline differs by exactly 0; a second call trains nothing."""
    first = vslm(place, "run", "study.py", "--workers", "2", "--precision", "fp32")
    assert first.returncode == 0, first.stdout + first.stderr
    folder = StudyFolder(place / "runs" / "study")
    same = folder.plain_verdict["arms"]["same"]
    assert same["delta"] == 0.0
    assert same["interval"] == [0.0, 0.0]
    assert same["verdict"] == "equivalent"
    for seed in (0, 1):
        for name, array in folder.run("full", seed).arrays.items():
            assert np.array_equal(array, folder.run("same", seed).arrays[name], equal_nan=True), name
        assert folder.run("full", seed).measures[-1]["val_loss"] != folder.run("short", seed).measures[-1]["val_loss"]
    assert (folder.path / "report.html").stat().st_size > 1e6
    stamp = (folder.path / "full" / "seed0" / "done.json").stat().st_mtime_ns
    again = vslm(place, "run", "study.py", "--json")
    assert json.loads(again.stdout)["arms"]["same"]["delta"] == 0.0
    assert (folder.path / "full" / "seed0" / "done.json").stat().st_mtime_ns == stamp
    assert vslm(place, "ls", "--json").returncode == 0
    wrong = vslm(place, "ls", "nowhere")
    assert (wrong.returncode, wrong.stderr.count("\n"), "Traceback" in wrong.stderr) == (2, 1, False)
    assert vslm(place, "sample", "runs/study", "--prompt", "ab", "--tokens", "5").returncode == 0
    write_report(folder.path)
