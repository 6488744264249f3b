"""Runs and arms beside each other: what is paired, what is not comparable, and that no word says more than it may."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_study import T_QUANTILE, write_study

from vslm.core.errors import ResultError
from vslm.report.numbers.compare import Comparison, compare, plain
from vslm.report.numbers.sides import read_sides
from vslm.report.pages.compare import render_comparison, write_comparison
from vslm.report.terminal import comparison_table, show
from vslm.results.files import read_json, write_json

ARMS = {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}
STEPS = (0, 1, 2, 3, 5, 8, 13)
CORPUS = {
    "description": "some text",
    "tokenizer_fingerprint": "cafe",
    "splits": {"val": {"num_bytes": 1009, "num_documents": 13}},
    "sha256": {"val.bin": "beef" * 16},
}
EXPERIMENT = {
    "kind": "Experiment",
    "model": {"kind": "Model", "context_tokens": 11},
    "measures": [{"kind": "LossByPosition", "num_final_tokens": 2003}],
}


def _write(path: Path, seeds: tuple[int, ...] = (0, 1, 2), arms: Any = None) -> Path:
    """A study whose record says what the real one says of corpus, tokenizer, validation set and context."""
    folder = write_study(path, arms or ARMS, seeds=seeds, num_positions=11, steps=STEPS)
    _change(folder, lambda study: study.update(corpora={"5eed": CORPUS}))
    for arm in arms or ARMS:
        _change(folder, lambda study, arm=arm: study["arms"][arm].update(corpus="5eed", experiment=EXPERIMENT))
    return folder


def _change(folder: Path, change: Callable[[Any], Any]) -> None:
    study = read_json(folder / "study.json")
    change(study)
    write_json(folder / "study.json", study)


@pytest.fixture(scope="module")
def _both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, to copy."""
    place = tmp_path_factory.mktemp("both")
    _write(place / "one")
    _write(place / "two", arms={"c": (11, 0.4, 107), "d": (2, 0.1, 109)})
    return place


@pytest.fixture
def two(_both: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two studies of the same corpus with the same seeds."""
    one, other = (shutil.copytree(_both / name, tmp_path / name) for name in ("one", "two"))
    return one, other


def _compared(*paths: Path, **options: Any) -> Comparison:
    return compare(read_sides(paths), **options)


def _final(folder: Path, seed: int) -> float:
    return read_json(folder / f"seed{seed}" / "done.json")["val_loss"]


def test_seeds_pair_across_studies(two: tuple[Path, Path]) -> None:
    """Same corpus, same seeds: the interval is that of the differences, by Student's t."""
    found = _compared(two[0] / "a", two[1] / "c")
    differences = np.array([_final(two[1] / "c", seed) - _final(two[0] / "a", seed) for seed in range(3)])
    one = found.differences[0]
    half = T_QUANTILE * differences.std(ddof=1) / math.sqrt(3)
    assert one.paired_seeds == [0, 1, 2]
    assert one.interval.mean == pytest.approx(differences.mean())
    assert one.interval.high - one.interval.mean == pytest.approx(half, rel=1e-3)
    assert "paired by seed (0-2)" in one.how
    assert one.warnings == []


def test_a_study_is_all_its_arms_and_intervals_hold_together(two: tuple[Path, Path]) -> None:
    """The baseline is first, and two differences share the error that one would have."""
    found = _compared(two[0], two[1] / "d")
    assert [side.name for side in found.sides] == ["one/a", "one/b", "two/d"]
    assert found.error == pytest.approx(0.025)
    alone = _compared(two[0] / "a", two[1] / "d").differences[0].interval
    together = found.differences[1].interval
    assert together.high - together.low > alone.high - alone.low


def test_only_shared_seeds_pair(tmp_path: Path) -> None:
    """The rest is said to be left out; runs without any shared seed are compared unpaired, with a wider interval."""
    some, others, few = (
        _write(tmp_path / name, seeds) for name, seeds in (("s", (0, 1, 2)), ("o", (5, 6, 7)), ("f", (1, 2, 3, 4)))
    )
    fewer = _write(tmp_path / "g", (1, 2))
    partly = _compared(some / "a", few / "b").differences[0]
    assert partly.paired_seeds == [1, 2]
    assert partly.how.endswith("; 3 runs without a partner are not in it")
    assert _compared(some / "a", fewer / "b").differences[0].how.endswith("; 1 run without a partner is not in it")
    unpaired = _compared(some / "a", others / "b").differences[0]
    assert unpaired.paired_seeds == []
    assert unpaired.how == "not paired, 3 runs and 3 runs"
    paired = _compared(some / "a", some / "b").differences[0]
    assert unpaired.interval.high - unpaired.interval.low > paired.interval.high - paired.interval.low


def test_one_shared_seed_is_no_pair(tmp_path: Path) -> None:
    """One pair has no interval, and all runs of both sides have one: it is taken, and said why."""
    some, others = _write(tmp_path / "s", (0, 1, 2)), _write(tmp_path / "o", (2, 3, 4, 5))
    found = _compared(some / "a", others / "b")
    one = found.differences[0]
    assert one.paired_seeds == []
    assert math.isfinite(one.interval.low)
    means = [
        np.mean([_final(folder, s) for s in its])
        for folder, its in ((some / "a", range(3)), (others / "b", range(2, 6)))
    ]
    assert one.interval.mean == pytest.approx(means[1] - means[0])
    assert one.how == "not paired, 3 runs and 4 runs; they share seed 2 alone, and one pair has no interval"
    assert one.relation != "no interval"
    assert one.how in render_comparison(found)


@pytest.mark.parametrize("other", ["two/c/seed0", "two/c/seed1"])
def test_one_run_on_a_side_has_no_interval(two: tuple[Path, Path], other: str) -> None:
    """Paired or not, and no word about which is lower."""
    found = _compared(two[0] / "a" / "seed0", two[0].parent / other)
    one = found.differences[0]
    assert one.relation == "no interval"
    assert "has no interval" in one.words
    assert plain(found)["differences"][0]["interval"] == [None, None]


@pytest.mark.parametrize(
    ("shift", "relation", "words"),
    [
        (0.5, "higher", "higher by 0."),
        (-0.5, "lower", "lower by 0."),
        (0.0, "not told apart", "not told apart: between"),
    ],
)
def test_words_follow_the_interval(two: tuple[Path, Path], shift: float, relation: str, words: str) -> None:
    """Lower or higher only where the interval leaves zero out, and never better or worse: nobody declared it."""
    for seed, scatter in enumerate((-0.05, 0.0, 0.05)):
        done = two[1] / "c" / f"seed{seed}" / "done.json"
        write_json(done, {**read_json(done), "val_loss": _final(two[0] / "a", seed) + shift + scatter})
    one = _compared(two[0] / "a", two[1] / "c").differences[0]
    assert one.relation == relation
    assert one.words.startswith(words)
    assert not {"better", "worse", "equivalent"} & set(one.words.replace(":", "").split())
    html = render_comparison(_compared(two[0] / "a", two[1] / "c"))
    assert one.words in html
    assert "no verdict" in html


@pytest.mark.parametrize(
    ("change", "field", "first", "second", "forbids"),
    [
        (lambda s: s["corpora"]["5eed"].update(tokenizer_fingerprint="dead"), "tokenizer", "cafe", "dead", False),
        (
            lambda s: s["corpora"]["5eed"]["splits"]["val"].update(num_documents=17),
            "validation set",
            "13 documents, 1,009 bytes",
            "17 documents, 1,009 bytes",
            True,
        ),
        (
            lambda s: s["corpora"]["5eed"].update(sha256={"val.bin": "f00d" * 16}),
            "validation set",
            "beefbeefbeef",
            "f00df00df00d",
            True,
        ),
        (
            lambda s: s["arms"]["c"]["experiment"]["model"].update(context_tokens=23),
            "context",
            "11 tokens",
            "23 tokens",
            False,
        ),
        (
            lambda s: s["arms"]["c"]["experiment"]["measures"][0].update(num_final_tokens=4001),
            "tokens scored",
            "2,003",
            "4,001",
            False,
        ),
        (
            lambda s: s["arms"]["c"]["experiment"]["model"].pop("context_tokens"),
            "context",
            "11 tokens",
            "unknown",
            False,
        ),
    ],
)
def test_what_is_not_the_same_is_named_with_both_values(
    two: tuple[Path, Path], change: Any, field: str, first: str, second: str, forbids: bool
) -> None:
    """On the terminal, as JSON and on the page; other text forbids the comparison."""
    _change(two[1], change)
    found = _compared(two[0] / "a", two[1] / "c")
    warned = found.differences[0].warnings
    assert [(w.field, w.first, w.second, w.forbids) for w in warned] == [(field, first, second, forbids)]
    assert (found.differences[0].relation == "not comparable") == forbids
    if forbids:
        assert plain(found)["differences"][0]["difference"] is None
    html = render_comparison(found)
    assert first in html
    assert second in html


def test_another_corpus_another_budget(two: tuple[Path, Path]) -> None:
    """Both are named, and seeds of another corpus do not pair."""
    _change(two[1], lambda study: study["arms"]["c"].update(corpus="0ther"))
    _change(two[1], lambda study: study["corpora"].update({"0ther": {**CORPUS, "description": "other text"}}))
    for seed in range(3):
        done = two[1] / "c" / f"seed{seed}" / "done.json"
        write_json(done, {**read_json(done), "tokens": 997})
    one = _compared(two[0] / "a", two[1] / "c").differences[0]
    assert [w.field for w in one.warnings] == ["corpus", "budget"]
    assert one.warnings[0].second == "other text (0ther)"
    assert one.warnings[1].second == "997 tokens"
    assert one.paired_seeds == []


def test_budgets_within_half_a_percent_are_one(two: tuple[Path, Path]) -> None:
    """Whole steps do not meet a budget to the token."""
    (one, other), fields = two, []
    tokens = read_json(one / "a" / "seed0" / "done.json")["tokens"]
    for share in (0.996, 1.004, 0.994, 1.006):
        for seed in range(3):
            done = other / "c" / f"seed{seed}" / "done.json"
            write_json(done, {**read_json(done), "tokens": share * tokens})
        fields.append([w.field for w in _compared(one / "a", other / "c").differences[0].warnings])
    assert fields == [[], [], ["budget"], ["budget"]]


def test_a_run_without_one_of_its_final_losses_is_left_out(two: tuple[Path, Path]) -> None:
    """Both are needed: which one is compared depends on the other side."""
    for seed, measure in enumerate(("val_loss", "val_bpb")):
        done = two[1] / "c" / f"seed{seed}" / "done.json"
        write_json(done, {**read_json(done), measure: None})
    side = read_sides([two[0] / "a", two[1] / "c"])[1]
    assert list(side.runs) == [2]
    assert side.left_out == [f"seed {seed} has no final loss on the validation text" for seed in (0, 1)]


def test_what_one_record_lacks_is_unknown_and_not_another(two: tuple[Path, Path]) -> None:
    """Without the sizes of a validation text nobody can say that it is another one; a corpus is told by what there is.

    What another tokenizer means is said of the unit that is compared.
    """
    (one, other) = two
    _change(other, lambda study: study["corpora"]["5eed"].update(splits={}, tokenizer_fingerprint="f00d"))
    for measure, why in (
        ("val_bpb", "bits per byte allow for it, positions in a window do not"),
        ("val_loss", "a token is another piece of text"),
    ):
        found = _compared(one / "a", other / "c", measure=measure).differences[0].warnings
        assert [(w.field, w.why) for w in found] == [("tokenizer", why)]
    _change(other, lambda study: study.update(corpora={"5eed": {}}))
    sides = read_sides([one / "a", other / "c"])
    assert [side.shown_corpus for side in sides] == ["some text (5eed)", "5eed"]
    assert sides[1].shown_validation == "unknown"
    _change(other, lambda study: study["arms"]["c"].pop("corpus"))
    assert read_sides([one / "a", other / "c"])[1].shown_corpus == "unknown"
    _change(other, lambda study: study.update(corpora={}))
    assert read_sides([one / "a", other / "c"])[1].shown_corpus == "unknown"


def test_other_tokenizers_are_compared_by_bits_per_byte(two: tuple[Path, Path]) -> None:
    """Nats per token are asked for: then they are not comparable."""
    _change(two[1], lambda study: study["corpora"]["5eed"].update(tokenizer_fingerprint="dead"))
    paths = (two[0] / "a", two[1] / "c")
    assert _compared(*paths).measure == "val_bpb"
    assert _compared(*paths, measure="val_loss").differences[0].words == "not comparable: other tokenizer"


def test_runs_that_do_not_count_are_left_out_and_said(two: tuple[Path, Path]) -> None:
    """Diverged, unfinished, torn, and of another declaration than the study's."""
    a = two[0] / "a"
    write_json(a / "seed0" / "done.json", {"status": "diverged", "diverged_step": 3})
    (a / "seed1" / "done.json").unlink()
    (two[1] / "c" / "seed0" / "arrays.npz").write_bytes(b"torn")
    _change(two[1], lambda study: study["arms"]["c"].update(runs={"1": "another", "2": "feed0000beef"}))
    found = _compared(a, two[1] / "c")
    assert [list(side.runs) for side in found.sides] == [[2], [2]]
    words = [word for side in found.sides for word in side.left_out]
    assert [word.split(" ")[1] for word in words] == ["0", "1", "0", "1"]
    assert "diverged at step 3" in words[0]
    assert "another declaration" in words[3]
    assert all(word in render_comparison(found).replace("&#39;", "'") for word in words)


def test_a_side_without_a_finished_run_is_said(two: tuple[Path, Path]) -> None:
    """The page and the table are there."""
    for seed in range(3):
        (two[1] / "c" / f"seed{seed}" / "done.json").unlink()
    found = _compared(two[0] / "a", two[1] / "c")
    assert found.differences[0].words == "no finished run of two/c"
    assert "missing" in render_comparison(found)
    assert json.dumps(plain(found), allow_nan=False)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["one/a"], "two or more are needed"),
        (["one/a", "one/a"], "is on both sides"),
        (["one", "one/b/seed1"], "is on both sides"),
        (["one/aa", "one/b"], "did you mean a"),
        (["one/a/seed9", "one/b"], "no run"),
        (["one/screen/a", "one/b"], "made to choose"),
        (["one/budgets/x3/a", "one/b"], "no budget 'x3'"),
        (["nowhere", "one"], "no such folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(two: tuple[Path, Path], paths: list[str], words: str) -> None:
    """With the path, and what can."""
    (two[0] / "screen" / "a").mkdir(parents=True)
    with pytest.raises(ResultError, match=words):
        read_sides([two[0].parent / path for path in paths])


def test_the_table_has_a_row_per_side(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Plain where there is no terminal."""
    show(comparison_table(_compared(two[0] / "a", two[1])))
    out = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in out.splitlines() if "/" in line] == ["one/a", "two/c", "two/d"]
    assert "by seed" in out


def test_names_of_others_are_text_on_the_page(tmp_path: Path) -> None:
    """No tag of theirs is one of the page's."""
    name = "<img src=x onerror=window.hacked=1>"
    folder = _write(tmp_path / name, arms={"a": (5, 0.3, 101), name: (7, 0.3, 103)})
    html = render_comparison(_compared(folder))
    assert "<img" not in html
    assert html.count("</script>") == 4


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_opens_and_draws(two: tuple[Path, Path], browser: Any, width: int, scheme: str) -> None:
    """Both figures on a phone and on a desktop, nothing asked of the network, no complaint."""
    page_file = write_comparison(_compared(two[0], two[1] / "c"), two[0].parent / "compare.html")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("#plot-by-position .main-svg")
    assert page.locator(".js-plotly-plot").count() == 2
    page.locator('button[data-choice="view"][value="difference"]').click()
    drawn = page.evaluate("document.getElementById('plot-training').data.map(({meta}) => meta.arm)")
    assert set(drawn) == {"one/b", "two/c"}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []
    assert requests == [page_file.as_uri()]
    context.close()
