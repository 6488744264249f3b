"""A finished study, one of its files damaged, the same command again: what was damaged is said, and made again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vslm.data.corpus import home
from vslm.results.files import read_arrays, read_json, write_json
from vslm.results.folder import StudyFolder

RUN = Path("runs") / "study" / "short" / "seed1"


def flip(path: Path) -> None:
    """One bit in the middle, with the time and size that the file had."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path: Path) -> None:
    """Its second half is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def better(path: Path) -> None:
    """As somebody would edit a loss."""
    done = read_json(path)
    write_json(path, {**done, "val_loss": done["val_loss"] - 1})


def numbers_of(verdict: dict[str, Any]) -> dict[str, Any]:
    """What a verdict says, without how long it took."""
    kept = ("verdict", "delta", "interval", "per_seed", "seeds", "looks")
    return {arm: {key: row[key] for key in kept} for arm, row in verdict["arms"].items()}


@pytest.mark.usefixtures("in_process")
def test_what_is_damaged_is_said_and_made_again_to_the_same_bits(place: Path, vslm: Callable) -> None:
    """Numbers: the run is no part of any page or verdict until it is whole. Weights: it counts, and is made again."""
    assert vslm("run", "study.py").code == 0
    folder = StudyFolder(Path("runs/study"))
    numbers, weights = numbers_of(folder.plain_verdict or {}), (RUN / "weights.safetensors").read_bytes()
    arrays = read_arrays(RUN / "arrays.npz")
    for name, damage, counts in (
        ("arrays.npz", flip, False),
        ("done.json", better, False),
        ("measures.jsonl", cut, False),
        ("weights.safetensors", cut, True),
    ):
        damage(RUN / name)
        shown = vslm("report", "runs/study"), vslm("ls", "runs"), vslm("compare", "runs/study/full", "runs/study/short")
        if counts:
            assert vslm("sample", str(RUN)).code == 2
            assert name in Path("runs/study/report.html").read_text()
        else:
            assert "is damaged: " in Path("runs/study/report.html").read_text() or "cannot be read" in shown[2].out
            assert name in shown[1].out, name
            assert "not in it: study/short seed 1" in shown[2].out
            assert name in vslm("merge", "runs/study", "runs/study", "--out", "m").err
        said = vslm("run", "study.py")
        assert said.code == 0, said
        assert f"short seed 1: {name}" in said.out + said.err
        assert "made again" in said.out + said.err
        assert (RUN / "weights.safetensors").read_bytes() == weights
        again = read_arrays(RUN / "arrays.npz")
        assert all(np.array_equal(again[key], arrays[key], equal_nan=True) for key in arrays)
        assert numbers_of(StudyFolder(Path("runs/study")).plain_verdict or {}) == numbers


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_verdict_that_is_torn_or_edited_is_made_anew_and_a_corpus_from_its_text(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said each time; without the text there is no corpus, and no verdict of another."""
    monkeypatch.setenv("VSLM_HOME", str(place / "home"))  # the only corpus there is this one
    assert vslm("run", "study.py").code == 0
    path = Path("runs/study/verdict.json")
    whole = read_json(path)
    edited = {**whole, "arms": {"short": {**whole["arms"]["short"], "delta": -3.0, "verdict": "better"}}}
    for content, words in ((None, "torn"), (edited, "changed after it was written")):
        cut(path) if content is None else write_json(path, content)
        assert vslm("report", "runs/study").code == 0
        assert "The verdict cannot be read." in Path("runs/study/report.html").read_text()
        said = vslm("run", "study.py")
        assert words in said.out + said.err
        assert "looks are counted anew" in said.out + said.err
        assert numbers_of(read_json(path)) == numbers_of(whole)
    (corpus,) = (found for found in (home() / "corpora").iterdir() if (found / "val.bin").exists())
    tokens = (corpus / "val.bin").read_bytes()
    flip(corpus / "val.bin")
    said = vslm("run", "study.py")
    assert said.code == 0
    assert "val.bin: its bytes are not those that were written; the corpus is built again" in said.out + said.err
    assert (corpus / "val.bin").read_bytes() == tokens
    flip(corpus / "val.bin")
    (place / "corpus.txt").unlink()
    assert vslm("run", "study.py").code == 2
