"""The page as text: what it says, what it survives, and what it cannot carry."""

import html as html_module
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from synthetic_study import write_study

from vslm.core.errors import ResultError
from vslm.report.figures.style import styles
from vslm.report.numbers.formatting import joined_differences
from vslm.report.numbers.runs import read_runs
from vslm.report.numbers.tables import judged_arms
from vslm.report.pages.content import cards
from vslm.report.pages.study import render, write_report
from vslm.results.files import read_json, write_json
from vslm.results.folder import StudyFolder

TWO_ARMS = {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}


def _body(html: str) -> str:
    """What a reader sees: no scripts, no style, no tags."""
    visible = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", visible))


def _data(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_question_and_the_verdict_come_before_every_figure(study_dir: Path) -> None:
    """A reader who stops after ten seconds has read the answer."""
    html = write_report(study_dir).read_text(encoding="utf-8")
    text = _body(html)
    places = [
        text.index("How much does a small model gain"),
        text.index("is worse than all-visible"),
        text.index("Not tuned"),
        text.index("Loss over training"),
    ]
    assert places == sorted(places)


def test_every_number_says_its_interval_its_seeds_and_its_file(study: StudyFolder) -> None:
    """The card has the recorded numbers, rounded to what the smallest effect asks for."""
    text = _body(render(study))
    judged = read_json(study.path / "verdict.json")["arms"]["window-4"]
    assert f"{judged['delta']:+.3f}" in text
    assert f"interval {judged['interval'][0]:+.3f} to {judged['interval'][1]:+.3f}" in text
    assert "3 seeds (0-2)" in text
    for source in ("verdict.json", "window-4/seed{0-2}/measures.jsonl", "window-4/seed{0-2}/done.json", "arrays.npz"):
        assert source in text


def test_the_same_folder_gives_the_same_page(study: StudyFolder) -> None:
    """No clock and no machine is in it."""
    assert render(study) == render(StudyFolder(study.path))


def test_the_figures_carry_the_numbers_of_the_runs(study: StudyFolder) -> None:
    """The last point of the baseline's mean line is the mean of what its seeds measured last."""
    data = _data(render(study))
    trace = next(
        trace
        for trace in data["training"]["data"]
        if trace["meta"] == {**trace["meta"], "arm": "all-visible", "view": "val_loss", "part": "mean"}
    )
    last = [study.run("all-visible", seed).measures[-1] for seed in range(3)]
    assert trace["y"][-1] == pytest.approx(sum(row["val_loss"] for row in last) / 3, abs=1e-4)
    assert trace["meta"]["axes"]["tokens"][-1] == last[0]["tokens"]


def test_a_study_of_one_arm_has_a_page_without_a_verdict(tmp_path: Path) -> None:
    """`vslm train` is such a study."""
    folder = write_study(tmp_path / "train", {"model": (5, 0.3, 101)}, seeds=(0,), num_positions=11)
    text = _body(write_report(folder).read_text(encoding="utf-8"))
    assert "One arm, no comparison. It ended at a validation loss of" in text
    assert "one seed, no interval" in text
    assert "Not tuned" not in text


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: [path.unlink() for path in run.iterdir()], "started, nothing measured yet"),
        (lambda run: (run / "done.json").unlink(), "not finished: its last evaluation is at step 1,750"),
        (lambda run: (run / "arrays.npz").write_bytes(b"torn"), "cannot be read"),
        (lambda run: (run / "measures.jsonl").write_text("{"), "cannot be read"),
    ],
)
def test_a_run_that_is_not_whole_is_said_and_the_rest_stays(tmp_path: Path, damage: Any, words: str) -> None:
    """Missing is shown as missing, in words, beside everything that is there."""
    folder = write_study(tmp_path / "s", TWO_ARMS, num_positions=11)
    damage(folder / "b" / "seed1")
    html = render(StudyFolder(folder))
    text = _body(html)
    assert f"b/seed1 {words}" in text
    assert "Runs that are not in the numbers" in text
    assert _data(html)["surface"]["val"]["difference"]["b"]["seeds"] == 2


def test_nothing_but_a_declaration_still_gives_a_page(tmp_path: Path) -> None:
    """Before the first run every figure is missing, and says so."""
    folder = write_study(tmp_path / "s", TWO_ARMS, num_positions=11)
    for name in ("a", "b", "verdict.json"):
        (folder / name).rename(tmp_path / name)
    text = _body(render(StudyFolder(folder)))
    assert text.count("never started") == 12  # six runs, in the list of the absent and in the list of all
    assert "No verdict yet" in text
    assert text.count("Missing: ") >= 3


def test_a_torn_verdict_is_said(tmp_path: Path) -> None:
    """The rest of the page is there."""
    folder = write_study(tmp_path / "s", TWO_ARMS, num_positions=11)
    (folder / "verdict.json").write_text('{"arms": ')
    text = _body(render(StudyFolder(folder)))
    assert "The verdict cannot be read." in text
    assert "Loss over training" in text


def test_odd_values_anywhere_in_a_verdict_are_no_end_of_the_page(tmp_path: Path) -> None:
    """What stands in a file that nothing seals may be of any kind: it is missing on the page, and the rest is there."""
    folder = write_study(tmp_path / "s", TWO_ARMS, num_positions=11)
    whole = read_json(folder / "verdict.json")
    row = {**whole["arms"]["b"], "minutes_to_resolve": 7.0, "diverged": [5], "num_parameters": 700}
    ends = {"going": 1, "seeds": 2, "interval": [0.1, 0.9]}
    trend = {"change": 0.1, "interval": [0.0, 0.2], "tokens": [1, 2], "words": "grows", "num_parameters": 7}
    whole |= {
        "arms": {"b": row},
        "budgets": {"x0.5": {"arms": {"b": row}}},
        "trends": {"b": trend},
        "kinds": {"state": "two", "between": 0.3, "arms": {"b": ends}},
    }
    write_json(folder / "study.json", {**read_json(folder / "study.json"), "budgets": [1, 0.5]})
    runs = read_runs(StudyFolder(folder))

    def page(verdict: Any) -> str:
        (folder / "verdict.json").write_text(json.dumps(verdict))
        return _body(render(StudyFolder(folder), runs=runs))

    shown = page(whole)
    assert all(words in shown for words in ("after 7 more minutes", "diverged: seed 5", "grows", "b 1 of 2"))
    for odd in ({"a": 1}, [[1, "a", None]], 1e308):
        for depth in range(1, 7):
            shown = page(_at_depth(whole, depth, odd))
            assert "Loss over training" in shown
            assert "e+308" not in shown, (odd, depth)


def _at_depth(value: Any, depth: int, odd: Any) -> Any:
    """The same value, everything so many steps within it replaced."""
    if not depth:
        return odd
    if isinstance(value, dict):
        return {key: _at_depth(part, depth - 1, odd) for key, part in value.items()}
    return [_at_depth(part, depth - 1, odd) for part in value] if isinstance(value, list) else value


def test_a_verdict_of_one_seed_or_of_diverged_ones_has_no_interval(tmp_path: Path) -> None:
    """No number is invented where none was recorded."""
    folder = write_study(tmp_path / "s", TWO_ARMS, num_positions=11)
    verdict = read_json(folder / "verdict.json")
    verdict["arms"]["b"] |= {"delta": None, "interval": [None, None], "verdict": "unresolved", "diverged": [1]}
    write_json(folder / "verdict.json", verdict)
    text = _body(render(StudyFolder(folder)))
    assert "unknown nats per token, interval no interval" not in text
    assert "no interval" in text
    assert "diverged: seed 1" in text


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    """With the path, in one message."""
    with pytest.raises(ResultError, match=r"study\.json"):
        write_report(tmp_path)
    write_json(tmp_path / "study.json", {"format": 1})
    with pytest.raises(ResultError, match="names no arms"):
        write_report(tmp_path)


def test_cards_share_one_axis(study: StudyFolder) -> None:
    """Zero is at the same place on every card, and every interval is on the axis."""
    style_of = styles(study.arms, "all-visible")
    bars = [card["bar"] for card in cards(study.study.primary, judged_arms(study), style_of)]
    assert bars[0]["zero"] == bars[1]["zero"]
    for bar in bars:
        assert 0 < bar["low"] < bar["delta"] < bar["high"] < 100


def test_equal_changes_are_written_once() -> None:
    """Six blocks that changed alike are one line; what changed otherwise keeps its own."""
    rows = [[f"model.blocks.{i}.width", 8, 16 if i < 3 else 32] for i in range(4)]
    assert joined_differences(rows) == [
        ("model.blocks.{0, 1, 2}.width", "8", "16"),
        ("model.blocks.3.width", "8", "32"),
    ]


def test_no_text_of_others_can_end_its_element(tmp_path: Path) -> None:
    """Tags in the question, the arms' names and a sample stand in the page only as text."""
    evil = "</script><script>window.hacked=1</script>\u2028<img src=x onerror=window.hacked=1>"
    name = "<img src=x onerror=window.hacked=1>"
    folder = write_study(
        tmp_path / "s", {"a": (5, 0.3, 101), name: (7, 0.3, 103)}, num_positions=11, question=evil, sample=evil
    )
    html = render(StudyFolder(folder))
    assert "<script>window" not in html
    assert "<img" not in html
    assert "\u2028" not in re.findall(r'id="page-data">(.*?)</script>', html, re.DOTALL)[0]
    assert html.count("</script>") == 4


def test_the_page_names_no_address_to_fetch_from(study: StudyFolder) -> None:
    """Outside of plotly.js, which names its makers, no address stands in the page; and a policy forbids all."""
    html = render(study)
    own = re.sub(r"<script>.*?</script>", "", html, count=1, flags=re.DOTALL)
    assert re.findall(r"https?://", own) == []
    assert "default-src 'none'" in html_module.unescape(own)


def test_a_report_needs_no_torch() -> None:
    """It can be made years later, on a machine that has none."""
    code = "import sys, vslm.report.pages.study, vslm.report.terminal; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
