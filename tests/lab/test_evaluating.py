"""`vslm eval`: benchmarks of finished runs, kept with the run; and minimal pairs that a study is judged by."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_study import STUDY, Said, made_up_text

from vslm.core.errors import SpecError
from vslm.data.eval_items import read_items
from vslm.measure.item_scores import lay_out, score_items
from vslm.measure.measure import evaluating
from vslm.measure.minimal_pairs import MinimalPairs
from vslm.results.files import read_arrays, read_json
from vslm.results.folder import StudyFolder
from vslm.runs.stored_run import StoredRun


def pairs(path: Path, count: int = 23) -> Path:
    """Words of the corpus, in two orders, about three things; the last pair is too long for the context."""
    words = made_up_text().split()
    lines = []
    for n in range(count):
        some = words[7 * n : 7 * n + 3]
        lines.append({"sentence_good": " ".join(some), "sentence_bad": " ".join(some[::-1]), "UID": f"p{n % 3}"})
    lines[-1]["sentence_bad"] = " ".join(words[:40])
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def study(finished: Callable[..., Path]) -> Path:
    """Two arms, one seed each."""
    return finished("--seeds", "1")


def test_two_runs_are_asked_the_same_and_compared(study: Path, vslm: Callable[..., Said], tmp_path: Path) -> None:
    """By sentence and by paradigm; the difference is that of the items both were scored on; a long pair is counted."""
    file = pairs(tmp_path / "pairs.jsonl")
    said = vslm("eval", str(study / "full"), str(study / "short" / "seed0"), str(file), "--json")
    assert said.code == 0, said.err
    (found,) = json.loads(said.out)
    assert [Path(run["run"]).parts[-2:] for run in found["runs"]] == [("full", "seed0"), ("short", "seed0")]
    items, scores = read_items(str(file)), []
    for arm in ("full", "short"):
        run = StoredRun(study / arm / "seed0")
        model = run.model()
        with evaluating(model):
            scores.append(score_items(model, lay_out(items, run.tokenizer, model.context_tokens)))
    for run, its in zip(found["runs"], scores, strict=True):
        assert run["margin"] == pytest.approx(np.nanmean(its.margin_N), rel=1e-5)
        assert run["accuracy"] == pytest.approx(np.nanmean(its.right_N))
        assert (run["num_items"], run["num_left_out"], run["chance"]) == (22, 1, 0.5)
        assert run["by"]["p1"]["margin"] == pytest.approx(np.nanmean(its.margin_N[1::3]), rel=1e-5)
        assert run["by"]["p1"]["num_items"] == 7
    (difference,) = found["differences"]
    by_item = (scores[1].margin_N - scores[0].margin_N)[:-1]
    assert difference["margin"] == pytest.approx(by_item.mean(), rel=1e-4)
    low, high = difference["margin_interval"]
    assert (high - low) / 2 == pytest.approx(2.0796 * by_item.std(ddof=1) / np.sqrt(22), rel=1e-3)  # t of 21


def test_what_is_found_is_kept_and_read_again(study: Path, vslm: Callable[..., Said], tmp_path: Path) -> None:
    """Item by item, on the page, beside what else was measured; other items or --anew are scored again."""
    file, run = pairs(tmp_path / "pairs.jsonl"), study / "full" / "seed0"
    assert vslm("measure", str(run), "LogitLens").code == 0
    first = vslm("eval", str(run), str(file))
    assert first.code == 0, first.err
    assert "1 item left out, longer than its context" in first.out
    assert "full/seed0: 23 items of pairs" in first.err
    assert "above, 3 at and 0 below chance, of 3 groups" in first.out
    arrays, record = read_arrays(run / "later.npz"), read_json(run / "later.json")["measures"]
    assert set(record) == {"logit_lens", "eval_pairs"}
    assert arrays["eval_pairs.margin_SN"].shape == (1, 23)
    assert arrays["eval_pairs.accuracy_SG"].shape == (1, 3)
    page = (study / "report.html").read_text(encoding="utf-8")
    assert 'id="measured-eval_pairs"' in page
    assert "Benchmark: pairs" in page

    again = vslm("eval", str(run), str(file))
    assert "pairs as it was scored before" in again.err
    for name, now in read_arrays(run / "later.npz").items():
        np.testing.assert_allclose(now, arrays[name], rtol=1e-6, err_msg=name)
    assert "23 items of pairs" in vslm("eval", str(run), str(file), "--anew").err
    pairs(file, count=19)
    assert "19 items of pairs" in vslm("eval", str(run), str(file)).err
    some = vslm("eval", str(run), str(file), "--limit", "6", "--json")
    assert json.loads(some.out)[0]["num_items"] == 6
    assert read_arrays(run / "later.npz")["eval_pairs.margin_SN"].shape == (1, 19)


def test_chance_is_called_so(study: Path, vslm: Callable[..., Said], tmp_path: Path) -> None:
    """Of pairs whose two sentences are the same nobody tells anything."""
    line = json.dumps({"sentence_good": "abcd efgh", "sentence_bad": "abcd efgh"})
    (tmp_path / "same.jsonl").write_text(f"{line}\n" * 13, encoding="utf-8")
    said = vslm("eval", str(study / "full"), str(tmp_path / "same.jsonl"))
    assert "0.500 is at chance (0.500)" in said.out


def test_what_cannot_be_asked_is_said(study: Path, vslm: Callable[..., Said], tmp_path: Path) -> None:
    """No run, no benchmark, a torn file, a run named twice, a limit of nothing."""
    file, run = str(pairs(tmp_path / "pairs.jsonl")), str(study / "full" / "seed0")
    for arguments, words in (
        ((file,), "is a run; a run and a benchmark are needed"),
        ((run,), "no benchmark is named; a file of items is needed, or a name: blimp"),
        ((run, run, file), "named twice"),
        ((run, file, "--limit", "0"), "--limit: found 0"),
        ((run, str(tmp_path / "no.jsonl")), "no such file"),
        ((run, "blimp"), "bring it from the hub (nyu-mll/blimp)"),
        ((run, file, "--by", "UIDs"), "no field `UIDs`; did you mean UID?"),
    ):
        said = vslm("eval", *arguments)
        assert said.code == 2, said.out
        assert words in said.err


def test_a_study_is_judged_by_margins(
    place: Path, vslm: Callable[..., Said], in_process: list, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taken through training, on the page with its paradigms; and a file that is gone is said before any run."""
    file = pairs(place / "pairs.jsonl")
    measures = f'num_final_tokens=340), MinimalPairs(path="{file}", num_pairs=12, num_evaluations=3),),'
    text = STUDY.replace("num_final_tokens=340),),", measures).replace(
        "LossByPosition, P", "LossByPosition, MinimalPairs, P"
    )
    text = text.replace('Primary("val_loss"', 'Primary("minimal_pairs", "margin"')
    (place / "study.py").write_text(text, encoding="utf-8")
    said = vslm("run", "study.py")
    assert said.code == 0, said.err
    folder = StudyFolder(place / "runs" / "study")
    arrays = folder.run("short", 1).arrays
    assert arrays["minimal_pairs.margin_S"].shape == (3,)
    assert arrays["minimal_pairs.margin_SG"].shape == (3, 3)
    assert folder.study.primary.unit == "nats per token"
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert 'id="measured-minimal_pairs"' in page
    file.unlink()
    said = vslm("run", "study.py", "--out", "other")
    assert said.code == 2
    assert "MinimalPairs.path" in said.err
    assert "no such file" in said.err


def test_a_run_that_chooses_is_asked_other_pairs(tmp_path: Path) -> None:
    """Of which there must be enough."""
    measure = MinimalPairs(path=str(pairs(tmp_path / "pairs.jsonl")), num_pairs=11)
    judged, choosing = (set(measure._asked(is_choosing=chooses).items) for chooses in (False, True))
    assert len(choosing) == 11
    assert not judged & choosing
    with pytest.raises(SpecError, match=r"num_pairs: 23 pairs in .*; 24 are needed where something is chosen"):
        MinimalPairs(path=measure.path, num_pairs=12)._asked(is_choosing=True)
    (tmp_path / "words.jsonl").write_text('{"text": "and then"}\n', encoding="utf-8")
    with pytest.raises(SpecError, match="items of the form last word; minimal pairs are needed"):
        MinimalPairs(path=str(tmp_path / "words.jsonl"))._asked(is_choosing=False)
