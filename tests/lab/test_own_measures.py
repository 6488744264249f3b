"""A study's own measure is on the page: declared in a study file, run, drawn, and taken again afterwards."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_study import Said

from vslm.report.numbers.runs import read_runs
from vslm.report.pages import images
from vslm.results.files import read_json
from vslm.results.folder import StudyFolder
from vslm.runs.pool import Order

OWN = """
import numpy as np
import torch
from dataclasses import dataclass
from vslm import Array, Axis, Number, OnWindows, Shown, Evaluator

POSITION = Axis(title="position: tokens seen so far", first=1, hover="position", is_log=True)
PART = Axis(title="part", names=("first half", "second half"))


@dataclass(frozen=True, kw_only=True)
class Surprise(OnWindows):
    recorded_as = "surprise"
    numbers = {"mean": Number(unit="nats", higher_is_better=False, title="mean surprise")}
    arrays = {
        "mean_T": Array(axes=(POSITION,), unit="nats", title="surprise", level="mean"),
        "by_part_P": Array(axes=(PART,), unit="nats", title="by part"),
        "by_window_NT": Array(axes=(Axis(title="window"), POSITION), unit="nats", title="by window"),
    }
    shown = Shown(title="How surprised it is", short="Surprise", read="Low is <b>good</b>.")

    def build(self, *, model, corpus, context_tokens):
        return SurpriseEvaluator(self.windows(corpus, context_tokens))


class SurpriseEvaluator(Evaluator):
    def __init__(self, windows_NT1):
        self.windows_NT1 = windows_NT1

    def take(self, model):
        tokens = torch.from_numpy(self.windows_NT1)
        logits = model(tokens[:, :-1].contiguous()).double()
        loss_NT = torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none").numpy()
        mean_T = loss_NT.mean(axis=0)
        parts_P = np.array([mean_T[:8].mean(), mean_T[8:].mean()])
        return {"mean_T": mean_T, "by_part_P": parts_P, "by_window_NT": loss_NT[:5], "mean": mean_T.mean()}
"""
TAKEN = "measures=(Surprise(num_evaluations=5, num_tokens=190), LossByPosition"


@pytest.fixture
def own(place: Path) -> Path:
    """A study file with the measure, which its arms do not take."""
    study = (place / "study.py").read_text(encoding="utf-8")
    (place / "study.py").write_text(OWN + study, encoding="utf-8")
    return place


def with_it(place: Path, old: str = "", new: str = "") -> None:
    """Its arms take it; with something changed in the file."""
    study = (place / "study.py").read_text(encoding="utf-8").replace("measures=(LossByPosition", TAKEN)
    assert old in study
    (place / "study.py").write_text(study.replace(old, new) if old else study, encoding="utf-8")


def drawn(folder: Path) -> dict[str, images.Picture]:
    """Every figure of the measure, from the folder alone."""
    return {
        picture.name: picture
        for picture in images.pictures(StudyFolder(folder))
        if picture.name.startswith("surprise.")
    }


def test_it_is_drawn_from_what_it_declares(own: Path, vslm: Callable[..., Said], in_process: list[Order]) -> None:
    """Its words, its axes and its numbers, without a word about it in the package."""
    with_it(own)
    said = vslm("run", "study.py", "--out", "runs/own")
    assert said.code == 0, said.err
    folder = own / "runs" / "own"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<section id="measured-surprise">\s*<h2>How surprised it is</h2>', page)
    assert "Low is &lt;b&gt;good&lt;/b&gt;." in page
    found = drawn(folder)
    assert set(found) == {
        *("surprise.lines", "surprise.dots-by_part", "surprise.numbers"),
        *("surprise.steps-mean-full", "surprise.steps-mean-short"),
        *("surprise.steps-by_part-full", "surprise.steps-by_part-short"),
        *(f"surprise.map-by_window-{arm}-step{step}" for arm in (0, 1) for step in (0, 1, 2, 5, 11)),
    }
    runs = read_runs(StudyFolder(folder))["full"]
    mean_NST = np.stack([run.arrays["surprise.mean_ST"] for run in runs])
    lines = found["surprise.lines"]
    assert (lines.label, lines.layout["xaxis"]["title"]["text"]) == ("surprise, nats", "position: tokens seen so far")
    line = next(trace for trace in lines.traces if trace["meta"]["arm"] == "full" and trace["meta"]["part"] == "mean")
    assert line["x"] == list(range(1, 18))
    np.testing.assert_allclose(line["y"], mean_NST[:, -1].mean(axis=0), atol=1e-4)
    assert lines.layout["xaxis"]["type"] == "log"
    level = np.mean(
        [run.arrays["surprise.mean_S"][-1] for its in read_runs(StudyFolder(folder)).values() for run in its]
    )
    assert lines.layout["shapes"][0]["y0"] == pytest.approx(level)
    (cells,) = found["surprise.steps-mean-full"].traces
    np.testing.assert_allclose(cells["z"], mean_NST.mean(axis=0), atol=1e-4)
    assert cells["text"][-1][-1].startswith("full, step 11, position 17<br>")
    rows = images.numbers_as_csv(found["surprise.dots-by_part"]).splitlines()
    assert rows[0] == 'series,"by part, nats",part,plus_minus'
    assert (rows[1].split(",")[0], rows[1].split(",")[2]) == ("full", "first half")


@pytest.mark.slow
def test_taken_afterwards_it_is_drawn_likewise(own: Path, vslm: Callable[..., Said], in_process: list[Order]) -> None:
    """From stored weights; the declaration stands beside its numbers."""
    assert vslm("run", "study.py", "--out", "runs/own", "--seeds", "1").code == 0
    folder = own / "runs" / "own"
    assert not drawn(folder)
    said = vslm("measure", "runs/own", "Surprise")
    assert said.code == 0, said.err
    record = read_json(StudyFolder(folder).run("full", 0).path / "later.json")
    assert record["measures"]["surprise"]["declared"]["shown"]["short"] == "Surprise"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'href="#measured-surprise">Surprise</a>' in page
    assert set(drawn(folder)) == {
        *("surprise.lines", "surprise.dots-by_part", "surprise.dots-mean"),
        *("surprise.map-by_window-full", "surprise.map-by_window-short"),
    }
    json.loads(re.search(r'id="page-data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"mean_T": Array(', '"mean_TX": Array(', "'mean_TX' has 1 axis; a name ends with a capital letter for each"),
        ('level="mean"', 'level="men"', "'men' is no number of the measure"),
        ("axes=(POSITION,)", 'axes=(POSITION,), figure="map"', "found 'map' for 1 axes; it has 2"),
        ('"mean_T": mean_T,', '"other_T": mean_T,', "Surprise declares 'mean_T' and records 'other_T', 'by_part_P'"),
        (
            '"first half", ',
            '"first", "half", ',
            "'by_part_P' of Surprise has the shape (2,); it is declared",
        ),
        ('title="How surprised it is"', "title=3", "title: found 3; str is needed"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_run(
    own: Path, vslm: Callable[..., Said], old: str, new: str, words: str
) -> None:
    """A declaration that fits neither itself nor what is recorded."""
    with_it(own, old, new)
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert words in said.err
    assert "Traceback" not in said.err
