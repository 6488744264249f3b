"""The page of a study with factors: effects, combinations and pairs of lines, from verdict.json alone."""

import json
import shutil
from pathlib import Path

import pytest
from factor_study import write_factor_study
from opened import Opener

from vslm.report.figures.factors import _two_lines
from vslm.report.figures.style import styles
from vslm.report.numbers.tables import judged_effects, list_arms
from vslm.report.pages.content import kinds
from vslm.report.pages.images import pictures
from vslm.report.pages.study import render, write_report
from vslm.report.sections.factors import section
from vslm.report.sections.section import Section
from vslm.report.terminal import show_verdict
from vslm.results.folder import VERDICT_SEAL, StudyFolder
from vslm.results.records import KindsRecord, ShareRecord, Verdict


@pytest.fixture(scope="session")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three factors and their interaction. Only for reading."""
    return write_factor_study(tmp_path_factory.mktemp("factors") / "recipe", interactions=(("norm", "muon"),))


def section_of(path: Path) -> Section:
    """The section of a study's page."""
    folder = StudyFolder(path)
    assert folder.verdict is not None
    style_of = styles(list(folder.study.arms), folder.study.baseline)
    found = section(folder.study, folder.verdict, judged_effects(folder), style_of)
    assert found is not None
    return found


def test_effects_are_drawn_with_the_intervals_of_the_verdict(declared: Path) -> None:
    """In the order declared, and all combinations with the best on top."""
    effects, cells, lines = section_of(declared).drawings
    verdict = json.loads((declared / "verdict.json").read_text())
    for trace, (name, row) in zip(effects.figure["data"], verdict["effects"].items(), strict=True):
        assert trace["name"] == name
        assert trace["x"] == [pytest.approx(row["delta"], abs=1e-5)]
        error = trace["error_x"]
        low, high = trace["x"][0] - error["arrayminus"][0], trace["x"][0] + error["array"][0]
        assert [low, high] == pytest.approx(row["interval"], abs=3e-5)
    assert len(cells.figure["data"]) == 8
    places = [trace["x"][0] for trace in cells.figure["data"]]
    assert places == sorted(places)
    assert cells.figure["data"][0]["name"] == "muon"
    without, with_it = lines.figure["data"]
    assert (without["name"], with_it["name"]) == ("without muon", "with muon")
    # What the norm is worth with Muon minus what it is worth without is the interaction.
    slopes = [trace["y"][1] - trace["y"][0] for trace in (with_it, without)]
    assert slopes[0] - slopes[1] == pytest.approx(verdict["effects"]["norm x muon"]["delta"], abs=1e-4)


def test_what_was_not_declared_is_in_the_table_and_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its lines, and no verdict."""
    path = write_factor_study(tmp_path / "undeclared")
    found = section_of(path)
    assert found.table is not None
    assert [row[:2] for row in found.table.rows][3:] == [
        ("norm x muon", "not declared, shows"),
        ("norm x half-batch", "not declared"),
        ("muon x half-batch", "not declared"),
    ]
    assert "Not declared and no verdict: norm x muon shows" in found.read
    assert [drawing.id for drawing in found.drawings] == ["factors.effects", "factors.cells", "factors.lines"]
    assert next(iter(found.drawings[2].views.values()))[0] == "norm x muon"
    show_verdict(StudyFolder(path))
    said = capsys.readouterr().out
    assert "not declared and no verdict: norm x muon shows" in said
    assert "half-batch" in said


def test_the_page_speaks_of_factors_and_not_of_arms(declared: Path) -> None:
    """Cards, headline, seeds; everything else of the page is there as ever."""
    page = render(StudyFolder(declared))
    assert '<b class="arm">norm x muon</b> are worth less together than added up' in page
    assert "Less together" in page
    assert "What each factor is worth" in page
    assert "of all its runs without a factor, and of all with it" in page
    assert "Each bar is an effect over all runs" in page
    assert "3 factors, 8 combinations" in page
    assert "plain minus" not in page


def test_figures_of_factors_are_files_too(declared: Path) -> None:
    """And a row of `vslm ls` for every effect."""
    names = [picture.name for picture in pictures(StudyFolder(declared))]
    assert {"factors.effects", "factors.cells", "factors.lines"} <= set(names)
    rows = {row["arm"]: row for row in list_arms(declared.parent)}
    assert rows["effect of muon"]["verdict"] == "better"
    assert rows["effect of norm x muon"]["seeds"] == 6
    assert rows["muon"]["verdict"] is None


def test_a_verdict_that_lacks_parts_is_shown_without_them(declared: Path, tmp_path: Path) -> None:
    """As a folder of another version may have it."""
    path = tmp_path / "torn"
    shutil.copytree(declared, path)
    verdict = json.loads((path / "verdict.json").read_text())
    del verdict["cells"], verdict["undeclared"]
    verdict["effects"]["norm"] = {"verdict": "unresolved"}
    (path / "verdict.json").write_text(json.dumps(verdict))
    (path / VERDICT_SEAL).unlink()
    assert [drawing.id for drawing in section_of(path).drawings] == ["factors.effects"]
    assert "What each factor is worth" in render(StudyFolder(path))


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_opens_at_any_width(declared: Path, tmp_path: Path, open_page: Opener) -> None:
    """Without a complaint, nothing wider than the window, every row with its name."""
    report = write_report(declared, tmp_path / "report.html")
    for width in (1280, 390):
        opened = open_page(report, width)
        assert opened.complaints == []
        assert opened.fits
        rows = opened.page.locator("[id='plot-factors.effects'] .ytick")
        assert rows.all_text_contents() == ["norm", "muon", "half-batch", "norm x muon"]
        assert opened.page.locator("[id='plot-factors.cells'] .ytick").count() == 8


def test_runs_of_two_kinds_are_counted_by_combination() -> None:
    """Without a number between them, which no two combinations share."""
    share = ShareRecord(going=2, seeds=3, interval=[0.09, 0.99])
    verdict = Verdict(kinds=KindsRecord(state="two", arms={"plain": share, "norm+muon": share}))
    said = kinds(verdict)
    assert said is not None
    assert "Got going: plain 2 of 3 (9% to 99%) and norm+muon 2 of 3" in said


def test_long_names_have_two_lines() -> None:
    """Cut where even those are too short."""
    assert _two_lines("norm x half-batch", "x") == "norm x half-batch"
    assert _two_lines("window+half-batch+muon+norm", "+") == "window+half-batch<br>+muon+norm"
    assert _two_lines("a" * 30, "+") == "a" * 16 + "…"
