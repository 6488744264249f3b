"""A study that is judged by a number of a measure: what may be declared, what is chosen, and that better is better."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import Said
from test_stages import InThisProcess, Quiet, pool  # noqa: F401 (a fixture)
from test_verdict import AHEAD, BASE, UP, at_half, folder_of, plus, searched

from vslm.after.rematch import _winner
from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.core.specs import fingerprint
from vslm.data.corpus import open_corpus
from vslm.data.sources import AssociativeRecall, Worlds
from vslm.data.worlds.universe import Universe
from vslm.knowledge.loaded_answers import LoadedAnswers
from vslm.knowledge.oracle import Oracle
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.lab.runner import run_study
from vslm.lab.screening import kept
from vslm.lab.tuning import Curve
from vslm.lab.verdict import write_verdict as judge_and_write
from vslm.measure.context_curve import ContextCurve
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.recall_accuracy import RecallAccuracy
from vslm.models.layouts.plain import uniform
from vslm.optim.adamw import AdamW
from vslm.report.numbers.compare import compare
from vslm.report.numbers.sides import read_sides
from vslm.report.numbers.tables import list_arms
from vslm.report.pages.study import render
from vslm.report.terminal import arms_table, show
from vslm.results.files import write_arrays, write_json
from vslm.results.folder import StudyFolder
from vslm.results.primary import PrimaryNumber
from vslm.runs.pool import Order
from vslm.runs.stored_run import StoredRun
from vslm.stats.looks import fixed_plan
from vslm.study.experiment import Budget, Experiment
from vslm.study.job import Job
from vslm.study.learning_rates import LearningRates
from vslm.study.primary import Primary, primary_number, primary_of
from vslm.study.screening import Screen
from vslm.study.study import Study

CONTEXT_TOKENS = 20
SOURCE = AssociativeRecall(num_pairs=3, document_tokens=CONTEXT_TOKENS, num_letters=5, num_documents=211)
# As a loss in everything but its direction, so that what is said can be compared with what is said of a loss.
SCORE = {
    "kind": "Primary",
    "measure": "mine",
    "number": "score",
    "unit": "nats per token",
    "higher_is_better": True,
    "title": "score",
    "smallest_effect": 0.01,
    "positions": None,
}


def write_verdict(folder: StudyFolder) -> dict[str, Any]:
    """As it stands in verdict.json."""
    return judge_and_write(folder).plain()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No corpus of another test."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))


def plain(*measures: Any) -> Experiment:
    """A run of six steps."""
    return Experiment(
        model=uniform(depth=1, width=12, heads=2, context_tokens=CONTEXT_TOKENS),
        data=SOURCE,
        budget=Budget(tokens=CONTEXT_TOKENS * 5 * 6),
        batch_tokens=CONTEXT_TOKENS * 5,
        optimizer=AdamW(learning_rate=0.01),
        measures=(LossByPosition(num_evaluations=3, num_tokens=100, num_final_tokens=200), *measures),
    )


RECALL = RecallAccuracy(num_tokens=400)
BY_RECALL = Primary("recall", "accuracy", smallest_effect=0.02)


def study_of(primary: Primary = BY_RECALL, **fields: Any) -> Study:
    """Three arms with the same measures."""
    base = plain(RECALL, ContextCurve(num_tokens=100))
    arms = {
        "plain": base,
        "slow": vary(base, {"optimizer.learning_rate": 1e-6}),
        "fast": vary(base, {"optimizer.learning_rate": 0.05}),
    }
    return Study(question="?", baseline="plain", arms=arms, seeds=2, primary=primary, pilot=None, **fields)


def scored(folder: StudyFolder) -> StudyFolder:
    """The same runs of a study with the negative of each loss as a score, of which higher is better."""
    record = json.loads((folder.path / "study.json").read_text())
    write_json(folder.path / "study.json", {**record, "primary": SCORE, "tuning": _negative(record.get("tuning"))})
    for path in folder.path.glob("**/arrays.npz"):
        with np.load(path) as arrays:
            loss = float(arrays["final_val_loss_nats_T"].mean())
        steps = {"steps_S": np.array([0, 9]), "mine.steps_S": np.array([9])}
        write_arrays(path, {**steps, "mine.score_S": np.array([-loss])})
    return StudyFolder(folder.path)


def _negative(tuning: dict[str, Any] | None) -> dict[str, Any]:
    return {
        arm: {**row, "rates": [{**at, "values": [-value for value in at["values"]]} for at in row["rates"]]}
        for arm, row in (tuning or {}).items()
    }


def mirrored(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of a verdict is with every number's sign changed."""
    found = json.loads(json.dumps(row).replace("ended low", "ended high"))
    for part in (found, *found.get("looks", [])):
        for name in {"delta", "change"} & part.keys():
            part[name] = None if part[name] is None else -part[name]
        part["interval"] = [None if end is None else -end for end in reversed(part["interval"])]
    if "per_seed" in found:
        found["per_seed"] = {s: {name: -x for name, x in pair.items()} for s, pair in found["per_seed"].items()}
    return found


def assert_same(a: Any, b: Any) -> None:
    """Equal, numbers to within rounding."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert_same(value, b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == (pytest.approx(b, abs=1e-12) if isinstance(b, float) else b)


MIXED = plus([0.9 if seed in (1, 4, 6) else 0.01 * seed for seed in range(8)])
INNER = searched(0.004, {0.002: [3.1, 3.11, 3.09], 0.004: [3.0, 3.02, 2.99], 0.008: [3.11, 3.1, 3.12]})
EDGE = searched(0.008, {0.002: [3.3], 0.004: [3.2, 3.19, 3.2], 0.008: [3.1, 3.11, 3.1]})


@pytest.mark.parametrize(
    ("losses", "changes"),
    [
        ({"base": BASE[:5], "up": plus(UP)[:5], "down": plus([-u for u in UP])[:5]}, {}),
        ({"base": BASE, "mixed": MIXED, "up": plus(UP)}, {}),
        ({"base": BASE[:5], "a": plus([0.1, -0.1, 0.02, -0.05, 0.08])}, {}),
        ({"base": BASE, "a": plus([0.001, -0.002, 0.0015, 0.0, 0.001, -0.001, 0.002, -0.0015])}, {}),
        ({"base": BASE[:5], "a": plus(UP)[:5]}, {"tuning": {"base": INNER, "a": INNER}}),
        ({"base": BASE[:5], "a": plus(UP)[:5]}, {"tuning": {"base": INNER, "a": EDGE}}),
    ],
)
def test_a_verdict_of_a_score_is_that_of_its_loss_in_a_mirror(
    tmp_path: Path, losses: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Words and verdicts equal, numbers with the other sign: of two kinds of runs and after a search for rates, too."""
    of_loss = write_verdict(folder_of(tmp_path / "loss", losses, **changes))
    of_score = write_verdict(scored(folder_of(tmp_path / "score", losses, **changes)))
    for arm, row in of_loss["arms"].items():
        assert_same(of_score["arms"][arm], mirrored(row))
    assert {row["verdict"] for row in of_loss["arms"].values()} - {None}
    kinds = dict(of_loss["kinds"])
    if kinds["state"] == "two":
        kinds["between"] = -kinds["between"]
        assert "ended high" in of_score["arms"]["mixed"]["words"]
    assert_same(of_score["kinds"], kinds)


def test_higher_is_better(tmp_path: Path) -> None:
    """By hand: the arm whose score is a fifth higher is better, and its difference is shown as it is."""
    verdict = write_verdict(scored(folder_of(tmp_path, {"base": BASE[:5], "a": plus([-u for u in UP])[:5]})))
    row = verdict["arms"]["a"]
    assert row["verdict"] == "better"
    assert row["delta"] == pytest.approx(np.mean(UP[:5]))
    assert 0 < row["interval"][0] < row["delta"] < row["interval"][1]
    assert row["per_seed"]["0"] == pytest.approx({"baseline": -BASE[0], "arm": -BASE[0] + UP[0], "difference": UP[0]})
    assert "nats per token better at 7k tokens" in row["words"]
    assert verdict["primary"] == SCORE


def test_an_interval_of_shares_ends_where_differences_end(tmp_path: Path) -> None:
    """Two shares are at most 1 apart, whatever scatter says; the verdict is the same, the record keeps the bound."""
    losses = {"base": [0.03, 0.0, 0.02, 0.0, 0.01], "a": [0.98, 0.9, 0.99, 0.95, 1.0]}
    free = write_verdict(folder_of(tmp_path / "free", losses))["arms"]["a"]
    assert free["interval"][1] > 1
    for name, more in (("free", {}), ("bound", {"largest_difference": 1.0})):
        folder = scored(folder_of(tmp_path / f"{name} shares", losses))
        record = json.loads((folder.path / "study.json").read_text())
        write_json(folder.path / "study.json", {**record, "primary": SCORE | more})
        verdict = write_verdict(StudyFolder(folder.path))
        row, ends = verdict["arms"]["a"], mirrored(free)["interval"]
        assert row["interval"] == pytest.approx([max(ends[0], -1.0), ends[1]] if more else ends)
        assert (row["verdict"], row["delta"]) == ("worse", pytest.approx(-free["delta"]))
        assert verdict["primary"] == SCORE | more
        assert row["words"].startswith("0.") == ("to 1.00" in row["words"] or not more)


@pytest.mark.parametrize(("apart", "is_told"), [(0.005, False), (0.5, True)])
def test_kinds_that_are_alike_are_not_told(tmp_path: Path, apart: float, *, is_told: bool) -> None:
    """Which of two numbers that hardly differ a run ended with tells nobody anything."""
    two = [apart * (seed % 2) + 1e-5 * seed for seed in range(8)]
    wild = plus([0.9, -0.7, 0.3, -0.9, 0.6, -0.2, 0.8, -0.5])
    verdict = write_verdict(folder_of(tmp_path, {"base": BASE, "a": wild, "two": two}))
    assert verdict["kinds"]["state"] == "two"
    assert ("arms" in verdict["kinds"]) == is_told
    words = verdict["arms"]["a"]["words"]
    assert ("two kinds" in words) == is_told
    assert ("half of such studies" in words) != is_told


def test_what_a_score_resolved_stays_resolved_and_its_trend_is_its_own(tmp_path: Path) -> None:
    """A later, open look leaves the earlier one, read back from its own sign; a trend is a mirror image, too."""
    plan = fixed_plan(5)
    for name, turn in (("loss", lambda folder: folder), ("score", scored)):
        write_verdict(turn(folder_of(tmp_path / name, {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}, plan=plan)))
        wild = {"base": BASE, "a": plus([*UP[:5], -0.9, 1.1, -0.8])}
        write_verdict(turn(folder_of(tmp_path / name, wild, plan=plan)))
    rows = {name: StudyFolder(tmp_path / name).plain_verdict["arms"]["a"] for name in ("loss", "score")}
    assert rows["score"]["verdict"] == "worse"
    assert_same(rows["score"], mirrored(rows["loss"]))
    losses: dict[str, Any] = {"base": [*BASE[:5]], "a": [*plus(UP)[:5]]}
    half: dict[str, Any] = {"base": [*BASE[:5]], "a": [*plus(AHEAD)]}
    of_loss = write_verdict(at_half(tmp_path / "t", losses, half))["trends"]["a"]
    (tmp_path / "t" / "verdict.json").unlink()
    of_score = write_verdict(scored(StudyFolder(tmp_path / "t")))["trends"]["a"]
    assert of_score["words"] == "the difference shrinks with training"
    assert_same(of_score, mirrored(of_loss))


def test_a_run_that_lacks_what_decides_is_named(tmp_path: Path) -> None:
    """With the array that is missing."""
    folder = scored(folder_of(tmp_path, {"base": BASE[:3], "a": plus(UP)[:3]}))
    write_arrays(tmp_path / "a" / "seed1" / "arrays.npz", {"steps_S": np.array([0, 9])})
    with pytest.raises(ResultError, match=r"a/seed1/arrays.npz: mine.score_S is not there"):
        write_verdict(folder)


def test_the_best_are_kept_and_the_best_rate_is_found_by_direction() -> None:
    """Negated scores lead to the same arms and the same rate; as they are, to others."""
    primary = PrimaryNumber.of(SCORE)
    values = {"plain": 0.3, "a": 0.2, "b": 0.5, "c": None, "d": 0.4}
    assert kept(values, baseline="plain", screen=Screen(keep=2), primary=primary) == ("plain", "b", "d")
    assert kept(values, baseline="plain", screen=Screen(keep=2)) == ("plain", "a", "d")
    curves = [Curve(LearningRates(values=3, more_seeds=0), 0.004, one) for one in (primary, PrimaryNumber())]
    for curve, sign in zip(curves, (-1, 1), strict=True):
        curve.take({0.002: [sign * 3.2], 0.004: [sign * 3.0], 0.008: [sign * 3.1]})
        assert curve.best == 0.004
        assert curve.edge is None
    of_score, of_loss = (curve.choice() for curve in curves)
    assert of_loss is not None
    assert of_score == (of_loss[0], -of_loss[1])
    assert of_loss[1] < 3.0


def test_runs_that_choose_take_what_decides_on_their_own_text(tmp_path: Path, pool: InThisProcess) -> None:  # noqa: F811
    """Screened and tuned by accuracy: of `select`, once, under that name, and nothing else; the best are kept."""
    grid = LearningRates(values=3, more_seeds=0, max_widenings=0)
    folder = run_study(
        study_of(screen=Screen(keep=1), tune=grid), tmp_path / "s", Quiet(), study_file=None, options=Options()
    )
    run = StoredRun(tmp_path / "s" / "screen" / "fast" / "seed10000", trust=True)
    with np.load(run.path / "arrays.npz") as arrays:
        names, accuracy = set(arrays.files), arrays["select_recall.accuracy_S"]
    assert not [name for name in names if "val" in name or "context_curve" in name or name.startswith("recall")]
    assert accuracy.shape == (1,)
    corpus, (_, model) = open_corpus(run.job.corpus), next(run.models(print, run.steps))
    by_hand = {
        split: RECALL.build(
            model=model,
            corpus=dataclasses.replace(corpus, evaluated_split=split),  # type: ignore[arg-type]
            context_tokens=CONTEXT_TOKENS,
        )(model)
        for split in ("val", "select")
    }
    assert accuracy[0] == by_hand["select"]["accuracy"]
    assert by_hand["select"]["loss_nats"] != by_hand["val"]["loss_nats"], "the texts are not the same"
    screened = folder.study.plain()["screening"]["arms"]
    assert screened["fast"]["value"] == accuracy[0]
    best = max(("slow", "fast"), key=lambda arm: screened[arm]["value"])
    assert folder.study.plain()["screening"]["confirmed"] == [arm for arm in ("plain", best) if arm]
    for arm, row in folder.study.plain()["tuning"].items():
        values = {at["rate"]: at["value"] for at in row["rates"]}
        assert row["best"] == max(sorted(values), key=values.__getitem__)
        with np.load(tmp_path / f"s/tuning/{arm}/rate-{row['best']:g}/seed20000/arrays.npz") as arrays:
            assert arrays["select_recall.accuracy_S"][-1] == values[row["best"]]
    with np.load(tmp_path / "s" / "plain" / "seed0" / "arrays.npz") as arrays:
        assert {"recall.accuracy_S", "context_curve.gain_nats_S"} <= set(arrays.files)
        assert folder.plain_verdict["baseline_per_seed"]["0"] == arrays["recall.accuracy_S"][-1]
    again = run_study(
        study_of(screen=Screen(keep=1), tune=grid), tmp_path / "s", Quiet(), study_file=None, options=Options()
    )
    assert again.plain_verdict == folder.plain_verdict
    other = study_of(Primary("recall", "loss_nats", smallest_effect=0.02), screen=Screen(keep=1), tune=grid)
    with pytest.raises(SpecError, match=r"another primary\.number, primary\.unit"):
        run_study(other, tmp_path / "s", Quiet(), **_alone())
    _check_shown(folder)


def _alone() -> dict[str, Any]:
    return {"study_file": None, "options": Options()}


def _check_shown(folder: StudyFolder) -> None:
    """The page, the list and a comparison of this study say its number, unit and direction."""
    page = render(folder)
    assert "share of queries answered right (recall.accuracy), of the queries; higher is better" in page
    assert "← worse</span><span>better →" in page
    assert "← better" not in page
    assert "Share of queries answered right<span>of the queries, 95 %</span>" in page
    assert '"tuning_unit":"share of queries answered right on select, of the queries"' in page
    assert "arm minus baseline; right is better" in page
    assert "left is better" not in page
    rows = list_arms(folder.path)
    assert {row["unit"] for row in rows} == {"of the queries"}
    found = compare(read_sides([folder.path]))
    assert (found.measure, found.unit) == ("recall.accuracy", "of the queries")
    mean = folder.plain_verdict["baseline_per_seed"].values()
    assert found.first.values(found.primary).mean() == pytest.approx(sum(mean) / 2)
    other = compare(read_sides([folder.path]), "context_curve.gain_nats")
    assert other.measure == "context_curve.gain_nats"
    assert compare(read_sides([folder.path]), "val_loss").unit == "nats per token"
    with pytest.raises(SpecError, match=r"no run has 'recall.acuracy'.*did you mean recall.accuracy"):
        compare(read_sides([folder.path]), "recall.acuracy")


def test_units_are_listed_where_they_are_not_all_nats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Differences of losses and of scores would otherwise stand in one column as if they compared."""
    folder_of(tmp_path / "loss", {"base": BASE[:3], "a": plus(UP)[:3]})
    show(arms_table(list_arms(tmp_path)))
    assert "unit" not in capsys.readouterr().out
    folder_of(tmp_path / "score", {"base": BASE[:3], "a": plus(UP)[:3]}, primary={**SCORE, "unit": "points"})
    show(arms_table(list_arms(tmp_path)))
    out = capsys.readouterr().out
    assert "unit" in out
    assert "points" in out
    assert "nats per token" in out


def test_the_winner_of_a_score_is_the_highest(tmp_path: Path) -> None:
    """Of two that are better, the one that is further ahead."""
    ahead = {"base": BASE[:5], "some": plus([-u for u in UP])[:5], "more": plus([-u - 0.3 for u in UP])[:5]}
    folder = scored(folder_of(tmp_path, ahead))
    write_verdict(folder)
    assert _winner(StudyFolder(tmp_path)) == "more"


def test_a_plan_says_what_is_judged_and_claims_no_noise_that_nobody_measured() -> None:
    """The noise card is of the loss, so nothing is said to be out of reach."""
    planned = plan_study(study_of())
    assert planned["judged_by"].endswith("(recall.accuracy), of the queries; higher is better")
    assert (planned["noise_sd"], planned["resolvable_effect"], planned["minutes_for_smallest_effect"]) == (None,) * 3
    assert "not known of recall.accuracy" in planned["noise_from"]
    assert not [lint for lint in planned["lints"] if "out of reach" in lint]
    of_loss = plan_study(study_of(Primary("val_loss", smallest_effect=1e-6)))
    assert [lint for lint in of_loss["lints"] if "out of reach" in lint]
    assert of_loss["noise_sd"] is not None


def test_a_record_of_a_loss_is_as_it_always_was() -> None:
    """So that folders of either version go on under the other; and what was declared is read back."""
    experiment = plain(RECALL)
    loss = Primary("val_loss", smallest_effect=0.01, positions=(3, 20))
    record = {"kind": "Primary", "measure": "val_loss", "smallest_effect": 0.01, "positions": [3, 20]}
    assert primary_number(loss, experiment).plain() == record
    assert primary_of(PrimaryNumber.of(record)) == loss
    said = primary_number(Primary("RecallAccuracy", "accuracy", smallest_effect=0.02), experiment)
    assert said == primary_number(BY_RECALL, experiment)
    assert (said.measure, said.number, said.higher_is_better) == ("recall", "accuracy", True)
    assert primary_of(said) == BY_RECALL
    assert (said.plain()["largest_difference"], PrimaryNumber.of(said.plain())) == (1.0, said)


def test_a_job_has_another_name_only_where_it_is_chosen_by_a_measure(pool: InThisProcess, tmp_path: Path) -> None:  # noqa: F811
    """Runs that exist keep theirs, with and without code of one's own."""
    run_study(study_of(), tmp_path / "s", Quiet(), **_alone())
    job = StoredRun(tmp_path / "s" / "plain" / "seed0", trust=True).job
    assert job.chosen_by is None
    assert job.fingerprint == fingerprint(job)
    own = dataclasses.replace(job, own_code="abc")
    assert own.fingerprint == fingerprint({"job": own, "own_code": "abc"})
    chosen: list[Job] = [dataclasses.replace(job, split="select", chosen_by=name) for name in (None, "recall", "mine")]
    assert len({one.fingerprint for one in chosen}) == 3
    assert len({one.lineage for one in chosen}) == 3


@pytest.mark.parametrize(
    ("primary", "words"),
    [
        (("recal", "accuracy"), r"primary.measure: arm 'plain' takes no measure 'recal'; did you mean recall"),
        (("recall", "acuracy"), r"primary.number: RecallAccuracy declares no number 'acuracy'; did you mean accuracy"),
        (("recall", "accuracy_P"), r"primary.number: 'accuracy_P' has axes; did you mean accuracy\? one number a run"),
        (("context_curve", "num_targets"), r"'num_targets' of ContextCurve has no better and worse; known: gain_nats"),
        (("loss_by_position", "loss"), r"LossByPosition declares no number 'loss'"),
    ],
)
def test_a_number_that_is_none_is_refused_in_words(primary: tuple[str, str], words: str) -> None:
    """With the nearest that is one."""
    with pytest.raises(SpecError, match=words):
        study_of(Primary(*primary))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"measure": "recall"}, r"measure: found 'recall' and no number; .*write Primary\('recall', NUMBER\)"),
        ({"measure": "val_los"}, r"measure: found 'val_los' and no number; .*did you mean val_loss\?"),
        ({"measure": "val_loss", "number": "x"}, r"number: found 'x'; val_loss is one number; leave it out"),
        ({"measure": "recall", "number": "accuracy", "positions": (3, 5)}, r"positions: .*a loss alone is judged by"),
    ],
)
def test_a_primary_that_cannot_be_meant_is_refused(given: dict[str, Any], words: str) -> None:
    """Before there is a study."""
    with pytest.raises(SpecError, match=words):
        Primary(**given)


def test_every_arm_takes_what_decides_and_takes_it_alike() -> None:
    """An arm without the measure, or with other windows, is named."""
    with_it, without = plain(RECALL), plain()
    with pytest.raises(SpecError, match=r"arm 'b' takes no measure 'recall'; .*every arm needs it"):
        Study(question="?", baseline="a", arms={"a": with_it, "b": without}, primary=BY_RECALL)
    universe = Universe(relations=("job",))
    words = LoadedAnswers(universe=universe, passages=0)
    others = (dataclasses.replace(words, passages=3, retriever=Oracle()), dataclasses.replace(words, seed=3))
    read = [vary(plain(one), {"data": Worlds(universe=universe, context_tokens=20)}) for one in (words, *others)]
    by_loaded = Primary("loaded", "accuracy", smallest_effect=0.1)
    Study(question="?", baseline="a", arms={"a": read[0], "b": read[1]}, primary=by_loaded)  # what an arm answers with
    with pytest.raises(SpecError, match="'loaded' of arm 'b' is another measure than that of 'a'"):
        Study(question="?", baseline="a", arms={"a": read[0], "b": read[2]}, primary=by_loaded)
    other = plain(RecallAccuracy(num_tokens=800))
    with pytest.raises(SpecError, match=r"'recall' of arm 'b' is another measure than that of 'a'"):
        Study(question="?", baseline="a", arms={"a": with_it, "b": other}, primary=BY_RECALL)


PAGE = Path(__file__).parents[2] / "docs" / "adding-a-measure.md"
SMALL = {
    "    Axis,\n": "    AdamW,\n    Axis,\n",
    "depth=2, width=64, heads=4, context_tokens=128": "depth=1, width=16, heads=2, context_tokens=17",
    "Budget(tokens=500_000)": "Budget(tokens=1309), batch_tokens=119, optimizer=AdamW(learning_rate=0.01)",
    "(LossByPosition(),": "(LossByPosition(num_evaluations=3, num_tokens=170, num_final_tokens=340),",
    "num_tokens=20_000": "num_tokens=1700",
    "seeds=3": "seeds=5",
    '"short": vary(full, {"model.blocks.*.attention.window_tokens": 4})': (
        '"still": vary(full, {"optimizer.learning_rate": 1e-7})'  # by far the worse one
    ),
}


def own_study(numbers: str | None = None, returned: str | None = None) -> str:
    """The study file of the page, made small; with other declarations, or with something else returned."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[-1]
    changes = {**SMALL, **({DECLARED: numbers} if numbers else {}), **({RETURNED: returned} if returned else {})}
    for old, new in changes.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return code


DECLARED = '{"accuracy": Number.share(unit="of the tokens", higher_is_better=True, title="tokens guessed right")}'
RETURNED = '"accuracy": float((right_NT * weight_NT).sum() / weight_NT.sum())}'


def test_a_measure_of_ones_own_decides_a_study(place: Path, vslm: Callable[..., Said], in_process: list[Order]) -> None:
    """One file outside of the package, as a newcomer writes it: plan, run, list, compare."""
    (place / "own.py").write_text(own_study(), encoding="utf-8")
    said = vslm("plan", "own.py")
    assert said.code == 0, said.err
    assert "judged by: tokens guessed right (top_one.accuracy), of the tokens; higher is better" in said.out
    assert "noise SD" not in said.out
    said = vslm("run", "own.py", "--out", "runs/own", "--early")
    assert said.code == 0, said.err
    assert "judged by: tokens guessed right (top_one.accuracy), of the tokens; higher is better" in said.out
    verdict = StudyFolder(place / "runs" / "own").plain_verdict or {}
    assert verdict["arms"]["still"]["verdict"] == "worse"
    assert verdict["arms"]["still"]["delta"] < 0
    assert "of the tokens worse at" in verdict["arms"]["still"]["words"]
    assert "of the tokens" in vslm("ls", "runs").out
    compared = vslm("compare", "runs/own")
    assert "top_one.accuracy" in compared.out
    assert "still: lower by" in compared.out or "still: not told apart" in compared.out


@pytest.mark.parametrize(
    ("numbers", "returned", "words"),
    [
        (DECLARED.replace("accuracy", "right"), None, "TopOne declares no number 'accuracy'; known: right"),
        ('{"accuracy": "share"}', None, "measures.TopOne.numbers.accuracy: found 'share' (str); Number is needed"),
        ("{}", None, "there is nothing here to name; declare it: TopOne.numbers = {'accuracy': Number"),
        (None, RETURNED.replace("accuracy", "right"), "TopOne declares 'accuracy' and records 'accuracy_T', 'right'"),
        (None, '"accuracy": by_position}', "'accuracy' of TopOne has the shape (17,)"),
    ],
)
def test_a_measure_of_ones_own_that_does_not_give_it_is_refused_before_any_run(
    place: Path, vslm: Callable[..., Said], numbers: str | None, returned: str | None, words: str
) -> None:
    """Undeclared, declared as something else, not recorded, or recorded with axes."""
    (place / "own.py").write_text(own_study(numbers, returned), encoding="utf-8")
    said = vslm("plan", "own.py")
    assert said.code != 0
    assert words in said.err
    assert "Traceback" not in said.err
