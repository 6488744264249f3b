"""Arms that start from, or learn from, other arms and trunks of their study: who waits for whom, what names a run, what
is refused, and what is said where one is missing.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from in_this_process import BATCH_TOKENS, CONTEXT_TOKENS, InThisProcess, run, stopped_everywhere
from safetensors.torch import load_file, save_file
from small_study import carry_out

from vslm.after.merging import merge_studies
from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.lab import runner
from vslm.lab.checks import check_study
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.lab.runner import run_study
from vslm.lab.trunks import tokens_of_trunk
from vslm.live.progress import progress_of
from vslm.models.adapters.lora import LoRA
from vslm.models.layouts.plain import uniform
from vslm.objectives.arm import Arm
from vslm.objectives.context_distillation import ContextDistillation
from vslm.objectives.distillation import Distillation
from vslm.report.numbers.tables import list_arms
from vslm.report.pages.study import render
from vslm.report.plan import show_plan
from vslm.report.terminal import show_verdict
from vslm.results.files import sha256, write_json
from vslm.results.folder import StudyFolder
from vslm.results.naming import named
from vslm.results.seals import sealed
from vslm.runs.pool import Order
from vslm.runs.stored_run import StoredRun
from vslm.study.experiment import Budget, Experiment
from vslm.study.learning_rates import LearningRates
from vslm.study.race import Race
from vslm.study.screening import Screen
from vslm.study.study import Primary, Study


def forks_of(base: Experiment, **fields: Any) -> Study:
    """A trunk of five steps; from it one that forgets in three, and from that two arms of two."""
    forgets = vary(base, {"start_from": Arm("knows"), "budget.tokens": BATCH_TOKENS * 3})
    again = vary(base, {"start_from": Arm("forgets"), "budget.tokens": BATCH_TOKENS * 2})
    how = {
        "baseline": "again",
        "trunks": {"knows": base, "forgets": forgets},
        "arms": {"again": again, "fast": vary(again, {"optimizer.learning_rate": 0.016})},
        "seeds": 2,
        "pilot": None,
        "primary": Primary("val_loss", smallest_effect=0.01),
        **fields,
    }
    return Study(question="?", **how)


def weights(folder: StudyFolder, arm: str, seed: int) -> dict[str, torch.Tensor]:
    """The last weights of a run."""
    stored = load_file(folder.run(arm, seed).path / "weights.safetensors")
    return {name: tensor.clone() for name, tensor in stored.items()}


def test_seed_k_starts_from_seed_k_of_what_it_names_and_waits_for_it(
    base: Experiment, tmp_path: Path, workers: InThisProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chain of three: a run begins with the loss that its parent ended with; what it read stands in its record."""
    folder = run(forks_of(vary(base, {"measures.0.num_final_tokens": 95})), tmp_path / "s")
    order = [Path(path).relative_to(tmp_path / "s").as_posix() for path in workers.trained]
    for seed in (0, 1):
        places = [order.index(f"{name}/seed{seed}") for name in ("knows", "forgets", "again")]
        assert places == sorted(places)
    assert len(order) == 8, "a trunk is trained once for all that starts from it"
    for child, parent in (("forgets", "knows"), ("again", "forgets"), ("fast", "forgets")):
        for seed in (0, 1):
            run_of_child, done = folder.run(child, seed), folder.run(parent, seed).done
            assert run_of_child.measures[0]["val_loss"] == pytest.approx(
                folder.run(parent, seed).measures[-1]["val_loss"], abs=1e-6
            )
            assert run_of_child.done.parents == {f"{parent}/seed{seed}": done.files["weights.safetensors"]}
    assert folder.run("again", 0).done.parents != folder.run("again", 1).done.parents
    assert set(folder.verdict.arms) == {"fast"}, "a trunk is not judged"
    assert folder.judged_arms == ["again", "fast"]
    assert {name: row.tokens for name, row in folder.study.trunks.items()} == {
        "knows": BATCH_TOKENS * 5,
        "forgets": BATCH_TOKENS * 3,
    }
    assert folder.study.arms["again"].tokens == BATCH_TOKENS * 2
    assert progress_of(folder).words == "8 of 8 runs"
    assert named(tmp_path / "s" / "knows").arms == ("knows",)

    matched = (
        "okens and FLOPs are matched after the fork; all arms are forked from forgets (285 tokens after knows, 475)"
    )
    about = (
        "forked from forgets (285 tokens after knows, 475): what is compared is what the 190 tokens after the fork do"
    )
    assert folder.verdict.arms["fast"].words.endswith(about)
    capsys.readouterr()
    show_verdict(folder)
    said = capsys.readouterr().out
    assert f"t{matched}" in said
    assert about in said
    page = render(folder)
    for words in (f"T{matched}", about, "A pair shares its trunk", "Table of trunks", "again and fast"):
        assert words in page, words
    assert "never started" not in page
    rows = {row["arm"]: (row["verdict"], row["forked"], row["seeds"]) for row in list_arms(tmp_path)}
    assert rows["knows"] == ("trunk", None, 2)
    assert rows["forgets"] == ("trunk", "forked from knows (475 tokens)", 2)
    assert rows["again"] == ("baseline", "forked from forgets (285 tokens after knows, 475)", 2)


@pytest.mark.slow
def test_it_can_be_stopped_anywhere_and_grown(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """With the same numbers to the bit; further seeds get their trunks first, and the runs that are there keep their
    names.
    """
    whole = run(forks_of(base), tmp_path / "whole")
    stopped = stopped_everywhere(forks_of(base), tmp_path / "s", workers, every=1)
    for arm in ("knows", "forgets", "again", "fast"):
        assert whole.run(arm, 1).done.fingerprint == stopped.run(arm, 1).done.fingerprint
        for name, tensor in weights(whole, arm, 1).items():
            assert torch.equal(tensor, weights(stopped, arm, 1)[name])
    before = {arm: row.runs["1"] for arm, row in {**whole.study.arms, **whole.study.trunks}.items()}
    workers.trained, workers.stop_after = [], None
    grown = run(forks_of(base, seeds=3), tmp_path / "s")
    assert [Path(path).relative_to(tmp_path / "s").as_posix() for path in workers.trained] == [
        f"{name}/seed2" for name in ("knows", "forgets", "again", "fast")
    ]
    assert {arm: row.runs["1"] for arm, row in {**grown.study.arms, **grown.study.trunks}.items()} == before


def test_a_run_is_named_by_those_before_it_and_by_no_folder(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """Another trunk gives other names to all that comes after it, and to nothing else; another place to none."""
    names = {}
    for place, changes in (("a", {}), ("b", {}), ("c", {"optimizer.learning_rate": 0.002})):
        study = forks_of(base)
        knows = vary(study.trunks["knows"], changes) if changes else study.trunks["knows"]
        arms = {**study.arms, "new": vary(base, {"budget.tokens": BATCH_TOKENS * 2})}
        study = dataclasses.replace(study, trunks={**study.trunks, "knows": knows}, arms=arms, seeds=1)
        workers.stop_after = 0
        with pytest.raises(KeyboardInterrupt):
            run(study, tmp_path / place)
        record = StudyFolder(tmp_path / place).study
        names[place] = {name: row.runs["0"] for name, row in {**record.arms, **record.trunks}.items()}
    assert names["a"] == names["b"]
    assert {name for name in names["a"] if names["a"][name] == names["c"][name]} == {"new"}


@pytest.mark.slow
def test_weights_that_are_gone_are_made_again_and_others_are_noticed(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """A trunk without weights is trained again only where something needs it; a child of a trunk that came to other
    weights since is made again.
    """
    out = tmp_path / "s"
    folder = run(forks_of(base, seeds=1), out)
    old = weights(folder, "knows", 0)
    (out / "knows" / "seed0" / "weights.safetensors").unlink()
    workers.trained = []
    run(forks_of(base, seeds=1), out)
    assert workers.trained == [], "nothing needs it"
    shutil.rmtree(out / "forgets" / "seed0")
    shutil.rmtree(out / "fast" / "seed0")
    run(forks_of(base, seeds=1), out)
    assert [Path(path).parent.name for path in workers.trained] == ["knows", "forgets", "fast"]
    assert all(torch.equal(tensor, weights(folder, "knows", 0)[name]) for name, tensor in old.items())
    # The same job on another machine comes to other bits.
    place = out / "forgets" / "seed0"
    save_file({name: tensor + 1e-3 for name, tensor in load_file(place / "weights.safetensors").items()}, place / "w")
    (place / "w").rename(place / "weights.safetensors")
    done = json.loads((place / "done.json").read_text())
    done["files"]["weights.safetensors"] = sha256(place / "weights.safetensors")
    write_json(place / "done.json", sealed(done))
    workers.trained = []
    run(forks_of(base, seeds=1), out)
    assert [Path(path).parent.name for path in workers.trained] == ["again", "fast"]


def test_damaged_weights_of_a_trunk_are_no_start(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """They are held to the checksum that they were written with: the trunk is made again first."""
    out = tmp_path / "s"
    folder = run(forks_of(base, seeds=1), out)
    good = weights(folder, "forgets", 0)
    path = out / "forgets" / "seed0" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    shutil.rmtree(out / "fast" / "seed0")
    workers.trained = []
    run(forks_of(base, seeds=1), out)
    assert [Path(path).parent.name for path in workers.trained] == ["forgets", "fast"]
    assert all(torch.equal(tensor, weights(folder, "forgets", 0)[name]) for name, tensor in good.items())


def in_turn(orders: list[Order], monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are carried out here; what fails says so, as a worker does."""

    def run_orders(some: list[Order], *, workers: int, on_message: Any, pool: Any = None) -> None:
        for order in some:
            orders.append(order)
            carry_out(order, on_message)

    monkeypatch.setattr(runner, "run_orders", run_orders)


def test_what_starts_from_a_run_that_diverged_says_so_and_counts_as_diverged(
    base: Experiment, tmp_path: Path, workers: InThisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words in its own folder, without a traceback; a pair of which one side never was is not left out of the
    verdict without a word.
    """
    orders: list[Order] = []
    in_turn(orders, monkeypatch)
    wild = vary(base, {"optimizer.learning_rate": 1e9, "optimizer.clip_norm": None})
    study = forks_of(base)
    arms = {**study.arms, "wild": vary(study.arms["again"], {"start_from": Arm("burnt")})}
    study = dataclasses.replace(study, trunks={**study.trunks, "burnt": wild}, arms=arms)
    folder = run(study, tmp_path / "s")
    assert folder.run("burnt", 0).done.diverged_step is not None
    failed = folder.run("wild", 0).failed
    assert f"burnt seed 0, which this run reads, diverged at step {folder.run('burnt', 0).done.diverged_step}" in failed
    assert "Traceback" not in failed
    row = folder.verdict.arms["wild"]
    assert (row.verdict, row.words) == ("unresolved", "unresolved (2 of 2 diverged)")
    assert folder.verdict.arms["fast"].diverged == []
    assert {(gone.arm, gone.seed) for gone in folder.verdict.missing} == {("wild", 0), ("wild", 1)}
    after = {order.folder.relative_to(tmp_path / "s").as_posix(): order.after for order in orders}
    assert after["wild/seed1"] == (tmp_path / "s" / "burnt" / "seed1",)


def test_a_student_learns_from_the_teacher_of_its_seed(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """A smaller student, with new weights, and one that starts from a trunk and learns what a text says from it."""
    small = vary(base, {"model": uniform(depth=1, width=8, heads=2, context_tokens=CONTEXT_TOKENS)})
    inside = vary(base, {"start_from": Arm("fresh"), "model.context_tokens": 11, "batch_tokens": 88})
    study = Study(
        question="?",
        baseline="alone",
        trunks={"fresh": base},
        arms={
            "alone": small,
            "taught": vary(small, {"objective": Distillation(teacher=Arm("fresh"))}),
            "within": vary(inside, {"objective": ContextDistillation(context="abcd")}),
        },
        seeds=2,
        pilot=None,
    )
    folder = run(study, tmp_path / "s")
    assert folder.verdict.missing == []
    digests = [folder.run("fresh", seed).done.files["weights.safetensors"] for seed in (0, 1)]
    for arm in ("taught", "within"):
        assert [folder.run(arm, seed).done.parents[f"fresh/seed{seed}"] for seed in (0, 1)] == digests
    assert folder.run("alone", 0).done.parents == {}
    losses = [folder.run(arm, 0).done.val_loss for arm in ("alone", "taught")]
    assert losses[0] != losses[1]


def test_an_adapter_beside_a_trunk_is_read_back_beside_it(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """Its model is that of the run of its seed, wherever the study lies now."""
    study = forks_of(base)
    arms = {"again": study.arms["again"], "lora": vary(study.arms["again"], {"adapter": LoRA(rank=2)})}
    folder = run(dataclasses.replace(study, arms=arms, seeds=1), tmp_path / "s")
    digest = folder.run("forgets", 0).done.files["weights.safetensors"]
    (tmp_path / "s").rename(tmp_path / "moved")
    found = StoredRun(tmp_path / "moved" / "lora" / "seed0")
    frozen = weights(StudyFolder(tmp_path / "moved"), "forgets", 0)
    assert all(torch.equal(tensor, dict(found.model().named_parameters())[name]) for name, tensor in frozen.items())
    assert found.beside_sha256 == digest


@pytest.mark.slow
def test_a_folder_that_holds_seeds_gives_each_seed_its_own(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """Of another study. A seed that is not there is refused with those that are, before anything is trained."""
    made = run(forks_of(base), tmp_path / "made")
    place = str(tmp_path / "made" / "again")
    on = vary(base, {"start_from": place})
    arms = {"on": on, "taught": vary(on, {"objective": Distillation(teacher=place)})}
    study = Study(question="?", baseline="on", arms=arms, seeds=2, pilot=None)
    folder = run(study, tmp_path / "s")
    for seed in (0, 1):
        job = StoredRun(tmp_path / "s" / "taught" / f"seed{seed}").job
        assert job.experiment.start_from == f"{place}/seed{seed}"
        assert job.start_sha256 == made.run("again", seed).done.files["weights.safetensors"]
        assert job.objective_sha256 == (job.start_sha256,)
        assert folder.run("on", seed).measures[0]["val_loss"] == pytest.approx(
            made.run("again", seed).done.val_loss, abs=0.3
        )
    with pytest.raises(ResultError, match=r"again: no run of seed 2; there are seeds 0, 1; seed k goes on from seed k"):
        run(dataclasses.replace(study, seeds=3), tmp_path / "s")
    workers.trained = []
    run(study, tmp_path / "s")
    assert workers.trained == []
    one = dataclasses.replace(study, arms={"on": vary(on, {"start_from": f"{place}/seed0"})}, seeds=(7,))
    assert run(one, tmp_path / "one").run("on", 7).done.ended_well, "one run for all seeds, as ever"


@pytest.mark.slow
def test_runs_that_choose_have_trunks_of_their_own(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """A search for a learning rate is one of the child alone, from trunks that no judged run starts from."""
    tune = LearningRates(values=3, num_seeds=1, more_seeds=1, max_widenings=0)
    folder = run(forks_of(base, tune=tune, seeds=1), tmp_path / "s")
    assert sorted(int(seed) for seed in folder.study.trunks["knows"].runs) == [0, 20000, 20001]
    assert set(folder.study.tuning) == {"again", "fast"}
    done = list((tmp_path / "s" / "tuning").glob("again/*/seed20000/done.json"))
    assert len(done) == 3
    assert all(set(json.loads(path.read_text())["parents"]) == {"forgets/seed20000"} for path in done)
    assert (tmp_path / "s" / "knows" / "seed20000" / "done.json").is_file()


@pytest.mark.slow
def test_parts_are_merged_with_their_trunks(base: Experiment, tmp_path: Path, workers: InThisProcess) -> None:
    """Seeds that were run apart; each comes with what it was forked from, and an added seed goes on from there."""
    for seeds in ("0-1", "2-2"):
        study = forks_of(base, seeds=3)
        run_study(study, tmp_path / seeds, _Quiet(), study_file=None, options=Options(seeds=seeds))
    merged = merge_studies([tmp_path / "0-1", tmp_path / "2-2"], tmp_path / "m")
    assert merged.verdict.arms["fast"].seeds == [0, 1, 2]
    assert [one.seed for one in merged.runs("knows")] == [0, 1, 2]
    workers.trained = []
    run(forks_of(base, seeds=3), tmp_path / "m")
    assert workers.trained == []


class _Quiet:
    """A watcher that says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def started(self, tokens: Any) -> None:
        """Nothing."""

    def on_message(self, arm: str, seed: int, message: Any) -> None:
        """Nothing."""


def test_what_leads_nowhere_is_refused_where_it_is_declared(base: Experiment) -> None:
    """Unknown names, circles, trunks that nothing reads, names that are both, and stages that would change a parent."""
    study = forks_of(base)
    again = study.arms["again"]

    def refused(**fields: Any) -> str:
        with pytest.raises(SpecError) as error:
            dataclasses.replace(study, **fields)
        return str(error.value)

    lost = refused(arms={**study.arms, "lost": vary(again, {"start_from": Arm("know")})})
    assert lost.startswith("arms.lost: it reads 'know', which is no arm and no trunk")
    assert "knows" in lost
    circle = {**study.trunks, "knows": vary(base, {"start_from": Arm("again")})}
    assert "each is to wait for the other: knows <- again <- forgets <- knows" in refused(trunks=circle)
    itself = {**study.arms, "fast": vary(again, {"start_from": Arm("fast")})}
    assert "each is to wait for the other: fast <- fast" in refused(arms=itself)
    assert "trunks.idle: nothing starts from it" in refused(trunks={**study.trunks, "idle": base})
    assert "trunks.again: is an arm as well" in refused(trunks={**study.trunks, "again": base})
    chain = {**study.arms, "on": vary(again, {"start_from": Arm("again")})}
    for field, stage in (("tune", LearningRates()), ("screen", Screen(keep=1)), ("race", Race(first=2))):
        words = refused(**{"arms": {**chain, "more": again}, "seeds": 5, field: stage})
        assert words.startswith(f"{field}: given where 'on' reads the arm 'again'"), words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": uniform(depth=2, width=12, heads=2, context_tokens=CONTEXT_TOKENS)}, "its weights do not fit"),
        ({"model": uniform(depth=1, width=16, heads=2, context_tokens=CONTEXT_TOKENS)}, "its weights do not fit"),
        ({"data.tokenizer.vocabulary": 290}, "an id must mean the same text in both"),
        ({"objective": Distillation(teacher=Arm("short"))}, "a teacher needs a context as long"),
        (
            {"adapter": LoRA(rank=2), "model.blocks.*.attention.window_tokens": 5},
            "an adapter changes nothing else",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_any_compute(
    base: Experiment, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """At the arm: other shapes, another vocabulary, a teacher that sees less, another model beside an adapter."""
    study = forks_of(base)
    short = vary(base, {"model.context_tokens": 7, "batch_tokens": 70})
    odd = vary(study.arms["again"], changes)
    kept = vary(study.arms["again"], {"objective": Distillation(teacher=Arm("knows"))})
    arms = {"again": study.arms["again"], "odd": odd, "kept": kept, "short": short}
    study = dataclasses.replace(study, arms=arms, primary=Primary("val_bpb"))
    with pytest.raises(SpecError) as error:
        check_study(study)
    assert error.value.where.startswith("arms.odd")
    assert words in str(error.value)


def test_more_tokens_for_what_others_start_from_are_refused(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """Its weights would be others. Arms that are forked from a trunk go on, and the trunk does not."""
    folder = run(forks_of(base, seeds=1), tmp_path / "s")
    trunk = folder.study.trunks["forgets"].runs
    more = Options(early=True, more_tokens=BATCH_TOKENS)
    longer = run_study(forks_of(base, seeds=1), tmp_path / "s", _Quiet(), study_file=None, options=more)
    assert longer.study.trunks["forgets"].runs == trunk
    assert longer.run("fast", 0).done.step == 3
    study = forks_of(base, seeds=1)
    chain = dataclasses.replace(study, arms={**study.arms, "on": vary(study.arms["fast"], {"start_from": Arm("fast")})})
    run(chain, tmp_path / "chain")
    with pytest.raises(SpecError, match="'on' reads the arm 'fast', whose weights would be others"):
        run_study(chain, tmp_path / "chain", _Quiet(), study_file=None, options=more)


def test_a_plan_counts_trunks_and_says_what_is_matched(
    base: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their tokens and minutes, who reads them, and one sentence: matched after the fork, or not matched before it."""
    study = forks_of(base, seeds=3)
    planned = plan_study(study)
    assert planned["trunks"]["knows"]["tokens"] == BATCH_TOKENS * 5
    assert planned["trunks"]["knows"]["read_by"] == ["forgets"]
    assert planned["trunks"]["forgets"]["read_by"] == ["again", "fast"]
    stages = sum(stage["minutes"] for stage in planned["stages"])
    assert planned["minutes"] == pytest.approx(stages + planned["trunk_minutes"])
    assert planned["trunk_minutes"] > 0
    show_plan(planned, "again")
    said = capsys.readouterr().out
    assert "trunk knows, read by forgets: 475 tokens a run" in said
    assert "tokens and FLOPs are matched after the fork; all arms are forked from forgets" in said
    arms = {**study.arms, "early": vary(study.arms["again"], {"start_from": Arm("knows")}), "new": base}
    planned = plan_study(dataclasses.replace(study, arms=arms))
    assert planned["matched_after"] == (
        "not matched before the fork: again, fast are forked from forgets (285 tokens after knows, 475); "
        "early is forked from knows (475 tokens); new starts from new weights"
    )


def test_arms_of_different_pasts_and_of_one_model_are_told(
    base: Experiment, tmp_path: Path, workers: InThisProcess
) -> None:
    """In the verdict of each arm: what came before is compared, too; every seed goes on from one and the same model."""
    study = forks_of(base)
    arms = {"again": study.arms["again"], "new": vary(base, {"budget.tokens": BATCH_TOKENS * 2})}
    made = run(dataclasses.replace(study, arms=arms), tmp_path / "s")
    words = made.verdict.arms["new"].words
    assert "new is trained from new weights, again is forked from forgets" in words
    assert words.endswith("what came before the fork is compared, too")
    on = vary(base, {"start_from": str(tmp_path / "s" / "knows" / "seed1")})
    arms = {"on": on, "fast": vary(on, {"optimizer.learning_rate": 0.016})}
    folder = run(Study(question="?", baseline="on", arms=arms, seeds=2, pilot=None), tmp_path / "one")
    one = "every seed goes on from that one model, so the interval is of its continuations alone"
    assert folder.verdict.arms["fast"].words.endswith(one)
    assert "intervals are of continuations of that one model" in render(folder)


def test_a_trunk_has_its_own_budget_in_tokens_flops_or_minutes(base: Experiment) -> None:
    """By its own FLOPs per token; the budget of the baseline has no part in it."""
    in_flops = vary(base, {"budget": Budget(flops=3e6)})
    in_minutes = vary(base, {"budget": Budget(minutes=0.5)})
    assert tokens_of_trunk(base, 1000.0, flops_per_second=1e5) == BATCH_TOKENS * 5
    assert tokens_of_trunk(in_flops, 1000.0, flops_per_second=1e5) == 3000
    assert tokens_of_trunk(in_minutes, 1000.0, flops_per_second=1e5) == 3000
