"""Settings and budgets from timings that are made up here: no compute."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_study import made_up_text

from vslm import Budget, Experiment, LossByPosition, Muon, Primary, Study, Text, uniform, vary
from vslm.core.errors import SpecError
from vslm.data.corpus import open_corpus
from vslm.data.preparing import prepare
from vslm.lab import budgets, plan
from vslm.lab.budgets import (
    Timed,
    baseline_tokens,
    minutes_of,
    minutes_of_rounds,
    relative_cost,
    seconds_whatever_the_tokens,
    slowed,
    tokens_of_arm,
)
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.lab.stages import StageSize, num_rounds
from vslm.models.parts.normalizers import Sigmoid as SigmoidNormalizer
from vslm.runs import timing
from vslm.runs.recording import scored_bytes_per_token
from vslm.runs.run import run_job
from vslm.runs.timing import Compiling, Extent
from vslm.study.experiment import Averaging
from vslm.study.job import Job, Settings
from vslm.study.learning_rates import LearningRates
from vslm.study.screening import Screen

FULL = Experiment(
    model=uniform(depth=1, width=16, heads=2, context_tokens=17),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=5000),
)


@pytest.fixture
def job(place: Path) -> Job:
    """Of the baseline, five thousand tokens long."""
    (place / "corpus.txt").write_bytes(made_up_text().encode())
    settings = Settings(device="cpu", precision="fp32", compiled=False, threads=1)
    corpus = prepare(FULL.data).fingerprint
    return Job(
        arm="a", experiment=FULL, stages_tokens=(5000,), init_seed=0, data_seed=0, settings=settings, corpus=corpus
    )


def made_up_rates(monkeypatch: pytest.MonkeyPatch, rate) -> None:
    """Every reading of the clock is what `rate` says of the settings, and torch can follow every step."""

    class Stepper:
        share_of_core = 1.0

        def __init__(self, job: Job) -> None:
            self.settings = job.settings

        def rate(self, seconds: float = 0.0) -> float:
            return rate(self.settings)

    monkeypatch.setattr(timing, "_Stepper", Stepper)
    monkeypatch.setattr(timing, "trace", lambda job: None)
    monkeypatch.setattr(timing, "may_gain_from_bf16", lambda device: True)


@pytest.mark.parametrize(
    ("cores", "workers", "num_runs", "speedup", "chosen"),
    [
        (2, None, 6, 1.5, (2, 1)),  # two runs side by side do more than one with two threads
        (2, None, 6, 1.95, (1, 2)),
        (2, None, 1, 1.5, (1, 2)),  # one run alone takes both
        (2, 2, 6, 1.95, (2, 1)),  # as asked for, and so no threads are left to give
        (2, 1, 6, 1.5, (1, 2)),
        (2, 1, 6, 1.05, (1, 1)),  # not worth it
        (8, 2, 6, 1.5, (2, 4)),
        (8, 3, 6, 1.5, (3, 2)),
        (2, 5, 6, 1.95, (5, 1)),
    ],
)
def test_threads_of_all_runs_together_are_at_most_the_cores(
    job: Job, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, num_runs: int, speedup: float, chosen: tuple
) -> None:
    """(workers, threads) by what a run of a quarter of an hour gains from threads."""
    job = dataclasses.replace(job, stages_tokens=(10**6,))
    made_up_rates(monkeypatch, lambda settings: 1000.0 * (speedup if settings.threads > 1 else 1.0))
    extent, no_gain = Extent(num_runs=num_runs, full_runs=num_runs), Compiling(fp32=1.0, bf16=1.0)
    found = timing.choose_settings(job, extent, cores=cores, workers=workers, compiling=no_gain)
    assert (found["workers"], found["settings"]["threads"]) == chosen
    assert found["tokens_per_second"] == 1000.0 * (speedup if chosen[1] > 1 else 1.0)


def test_short_runs_start_side_by_side(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run needs before its first step, a second core cannot hasten."""
    made_up_rates(monkeypatch, lambda settings: 1950.0 if settings.threads > 1 else 1000.0)
    found = timing.choose_settings(dataclasses.replace(job, stages_tokens=(10_000,)), Extent(num_runs=6), cores=2)
    assert (found["workers"], found["settings"]["threads"]) == (2, 1)


def test_without_a_compiler_everything_is_eager_and_that_is_said(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, a run that is long enough is compiled; a compiler that fails is no error."""
    job = dataclasses.replace(job, stages_tokens=(10**6,))
    made_up_rates(monkeypatch, lambda settings: 1000.0)
    monkeypatch.setattr(timing, "has_compiler", lambda: True)
    found = timing.choose_settings(job, Extent(num_runs=2), cores=1)
    assert found["settings"]["compiled"]
    assert found["remarks"] == []

    def failing(job: Job) -> None:
        raise RuntimeError("no Python.h")

    monkeypatch.setattr(timing, "trace", failing)
    assert timing.choose_settings(job, Extent(num_runs=2), cores=1)["settings"]["compiled"]
    found = timing.choose_settings(job, Extent(num_runs=2), cores=1, has_own_code=True)
    assert not found["settings"]["compiled"]
    assert ["no Python.h" in remark for remark in found["remarks"]] == [True]
    monkeypatch.undo()
    made_up_rates(monkeypatch, lambda settings: 1000.0)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    found = timing.choose_settings(job, Extent(num_runs=2), cores=1)
    assert not found["settings"]["compiled"]
    assert ["no C++ compiler, or no Python.h for it, was found" in remark for remark in found["remarks"]] == [True]


@pytest.mark.parametrize(
    ("num_arms", "full_runs", "minutes", "workers", "is_compiled"),
    [
        (1, 1, None, 1, True),  # 500 s eager, 250 s compiled, 25 s to compile
        (9, 1, None, 1, True),
        (11, 1, None, 1, False),  # compiling takes longer than it saves
        (11, 2, None, 1, True),
        (11, 1, 20, 1, True),  # minutes are settled, whatever the tokens are guessed to be
        (11, 9, 5, 1, False),
        (15, 2, None, 2, True),  # two share what is compiled, and load the other half
        (17, 2, None, 2, False),
    ],
)
def test_a_study_is_compiled_where_that_is_sooner(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    num_arms: int,
    full_runs: float,
    minutes: float | None,
    workers: int,
    is_compiled: bool,
) -> None:
    """All arms are compiled, however many runs they have, each as long as the card of the machine says."""
    made_up_rates(monkeypatch, lambda settings: 1000.0)
    monkeypatch.setattr(timing, "has_compiler", lambda: True)
    extent = Extent(num_runs=6, num_arms=num_arms, full_runs=full_runs, minutes=minutes)
    job = dataclasses.replace(job, stages_tokens=(5 * 10**5,))
    known = Compiling(seconds=25.0, fp32=2.0)
    found = timing.choose_settings(job, extent, cores=workers, workers=workers, compiling=known)
    assert found["settings"]["compiled"] == is_compiled
    assert found["tokens_per_second"] == (2000.0 if is_compiled else 1000.0)
    shares = {1: 1.0, 2: 0.625}
    assert found["compile_seconds"] == (25 * num_arms * shares[workers] if is_compiled else 0)
    # A run of so many tokens saves as much as compiling takes: 50 s eager, 25 s compiled.
    assert found["compiled_from_tokens"] == (50_000 if is_compiled else 0)


@pytest.mark.parametrize(
    ("rates", "gains", "chosen"),
    [
        # eager fp32 and bf16, and what each gains from compiling
        ((1000, 900), (1.4, 2.0), ("bf16", True)),  # nearly as fast eager, and faster compiled
        ((900, 1000), (1.4, 2.0), ("bf16", True)),
        ((900, 1000), (2.0, 1.4), ("fp32", True)),
        ((1000, 300), (1.4, 9.0), ("fp32", True)),  # far from as fast
        ((1000, 900), (0.95, 0.8), ("fp32", False)),
        ((900, 1000), (0.95, 0.8), ("bf16", False)),
        ((900, 1000), (1.01, 1.02), ("bf16", False)),  # 20 s of 1000 are less than it takes
    ],
)
def test_precision_is_chosen_by_how_fast_it_is_compiled(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    rates: tuple[int, int],
    gains: tuple[float, float],
    chosen: tuple[str, bool],
) -> None:
    """Where both are about as fast without."""
    by_precision = dict(zip(("fp32", "bf16"), rates, strict=True))
    made_up_rates(monkeypatch, lambda settings: float(by_precision[settings.precision]))
    monkeypatch.setattr(timing, "has_compiler", lambda: True)
    job = dataclasses.replace(job, stages_tokens=(10**6,))
    known = Compiling(25.0, *gains)
    found = timing.choose_settings(job, Extent(num_runs=2), cores=1, compiling=known)
    precision, compiled = found["settings"]["precision"], found["settings"]["compiled"]
    assert (precision, compiled) == chosen
    gain = gains[precision == "bf16"] if compiled else 1.0
    assert found["tokens_per_second"] == pytest.approx(by_precision[precision] * gain)


@pytest.mark.parametrize(("bf16", "is_tried"), [(2e10, False), (9e10, True)])
def test_bf16_is_tried_where_its_products_are_faster(
    job: Job, monkeypatch: pytest.MonkeyPatch, bf16: float, is_tried: bool
) -> None:
    """A processor without such units takes seconds for a step; a GPU's are always read."""
    may_gain = timing.may_gain_from_bf16
    made_up_rates(monkeypatch, lambda settings: 1000.0)
    monkeypatch.setattr(timing, "products_per_second", lambda precision: bf16 if precision == "bf16" else 5e10)
    monkeypatch.setattr(timing, "may_gain_from_bf16", may_gain)
    found = timing.choose_settings(job, Extent(num_runs=1), cores=1)
    assert any("bf16" in name for name in found["rates"]) == is_tried
    assert may_gain("cuda")


def test_products_are_counted() -> None:
    """Threads are as they were."""
    threads = torch.get_num_threads()
    assert 1e8 < timing.products_per_second("fp32") < 1e14
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("fused", "is_fused"), [(1200, True), (1040, False), (800, False)])
def test_attention_is_fused_where_that_is_clearly_faster(
    job: Job, monkeypatch: pytest.MonkeyPatch, fused: int, is_fused: bool
) -> None:
    """And it is read for what it serves alone."""
    made_up_rates(monkeypatch, lambda settings: float(fused if settings.fused_attention else 1000))
    found = timing.choose_settings(job, Extent(num_runs=1), cores=1)
    assert found["settings"]["fused_attention"] == is_fused
    assert found["tokens_per_second"] == (fused if is_fused else 1000)
    other = vary(job.experiment, {"model.blocks.*.attention.normalizer": SigmoidNormalizer()})
    found = timing.choose_settings(dataclasses.replace(job, experiment=other), Extent(num_runs=1), cores=1)
    assert not found["settings"]["fused_attention"]
    assert not any("fused" in name for name in found["rates"])


def test_a_step_is_followed_without_a_compiler(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see whether torch.compile can serve a model; what it raises where it cannot is not held back."""
    compiled = dataclasses.replace(job, settings=dataclasses.replace(job.settings, compiled=True))
    asked = []

    def compile_with(function, *, dynamic: bool, backend: str):
        asked.append(backend)
        return function

    monkeypatch.setattr(torch, "compile", compile_with)
    timing.trace(compiled)
    assert asked == ["aot_eager"]

    def failing(function, *, dynamic: bool, backend: str):
        raise RuntimeError("a made-up mistake")

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(RuntimeError, match="a made-up mistake"):
        timing.trace(compiled)


def study(**changes) -> Study:
    """Full attention against a window and a wider feedforward."""
    arms = {"full": FULL, "wide": vary(FULL, {"model.blocks.0.feedforward.hidden": 96})}
    return Study(**{"question": "Which?", "baseline": "full", "arms": arms, **changes})


def test_minutes_of_a_study_are_shared_by_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six runs two at a time are three rounds; more threads than cores make each slower."""
    monkeypatch.setattr(budgets, "available_cores", lambda: 2)

    def rounds(workers: int, threads: int = 1) -> float:
        return slowed(num_rounds([StageSize("judged", 6, 1.0)], workers), workers, threads)

    assert rounds(2, threads=2) == 2 * rounds(2)
    sizes = {"rate": 1000.0}
    one_round = 3 * 60 * 1000.0 / budgets._BESIDE_TRAINING
    options = Options(minutes=3)
    assert baseline_tokens(study(), 1.0, options, rounds=rounds(6), **sizes) == int(one_round / 3)
    assert baseline_tokens(study(), 1.0, options, rounds=rounds(2), **sizes) == int(one_round / 3)
    assert baseline_tokens(study(), 1.0, options, rounds=rounds(1), **sizes) == int(one_round / 6)
    two_minutes_go = baseline_tokens(study(), 1.0, options, rounds=rounds(6), **sizes, fixed_seconds=100.0)
    assert two_minutes_go == int(one_round / 3 * 80 / 180)
    assert baseline_tokens(study(), 1.0, options, rounds=rounds(6), **sizes, fixed_seconds=1e6) == int(
        one_round * 0.4 / 3
    )
    assert baseline_tokens(study(), 1.0, Options(tokens=77), rounds=6, **sizes) == 77
    assert baseline_tokens(study(), 1.0, Options(), rounds=6, **sizes) == 5000
    for budget, tokens in ((Budget(minutes=2), 120_000), (Budget(flops=8e6), 4000)):
        arms = {"full": dataclasses.replace(FULL, budget=budget)}
        assert baseline_tokens(study(arms=arms), 2000.0, Options(), rounds=6, **sizes) == tokens


def test_seconds_that_no_number_of_tokens_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run starts and is evaluated; one that is made to choose only at its end, on a quarter of the text."""
    monkeypatch.setattr(budgets, "available_cores", lambda: 2)
    measure = LossByPosition(num_evaluations=3, num_tokens=1000, num_final_tokens=8000)
    arms = {"full": dataclasses.replace(FULL, measures=(measure,))}
    sizes = [StageSize("screen", 3, 0.25), StageSize("judged", 5, 1.0)]

    def seconds(workers: int, *, compile_seconds: float = 0.0) -> float:
        return seconds_whatever_the_tokens(
            study(arms=arms), sizes, workers=workers, rate=1000.0, compile_seconds=compile_seconds
        )

    rate = 1000.0 * budgets._EVALUATION_SPEED
    assert seconds(1) == pytest.approx(8 * timing.START_SECONDS + (3 * 2000 + 5 * 10_000) / rate)
    assert seconds(2) == pytest.approx(5 * timing.START_SECONDS + (2 * 2000 + 3 * 10_000) / rate)
    assert seconds(4) == seconds(2)
    assert seconds(2, compile_seconds=80.0) == pytest.approx(seconds(2) + 80)


def prepared(**changes) -> budgets.Prepared:
    """Where nothing is timed."""
    watcher = SimpleNamespace(say=lambda words: None)
    return budgets.Prepared(study(**changes), {}, Path("out"), None, watcher)  # type: ignore[arg-type]


def test_tokens_are_guessed_before_the_timing() -> None:
    """20,000 a second: of the minutes of a study its share, of a run's minutes all; five minutes for FLOPs."""
    a_minute = 60 * 20_000
    assert prepared()._guessed_tokens(Options(), 4.0) == 5000
    assert prepared()._guessed_tokens(Options(tokens=77), 4.0) == 77
    assert prepared()._guessed_tokens(Options(minutes=8), 4.0) == 2 * a_minute
    for budget, minutes in ((Budget(minutes=3), 3), (Budget(flops=1e9), 5)):
        arms = {"full": dataclasses.replace(FULL, budget=budget)}
        assert prepared(arms=arms)._guessed_tokens(Options(), 4.0) == minutes * a_minute


def test_the_timing_knows_what_it_is_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most runs that a stage has, all runs by their budgets, and every arm with its own speed."""
    asked = []
    said: list[str] = []

    def answer(self: budgets.Prepared, order) -> dict:
        asked.append(order)
        settings = {"device": "cpu", "precision": "fp32", "compiled": False, "threads": 1}
        kept = {"workers": 2, "rates": {}, "compile_seconds": 0, "compiled_from_tokens": 0}
        timing = {"settings": settings, **kept, "remarks": [], "tokens_per_second": 1234.0}
        return {"timing": timing, "rates": [100.0, 25.0]}

    monkeypatch.setattr(budgets.Prepared, "_ask", answer)
    corpora = dict.fromkeys(("full", "wide"), open_corpus(job.corpus))
    timed = dataclasses.replace(prepared(), corpora=corpora, watcher=SimpleNamespace(say=said.append))
    sizes = [StageSize("screen", 7, 0.25), StageSize("judged", 5, 1.0)]
    settings, rate = timed.choose_settings(Options(minutes=8), sizes)
    assert rate == 1234.0
    extent = asked[0].extent
    assert (extent.num_runs, extent.num_arms, extent.full_runs, extent.minutes) == (7, 2, 6.75, 8)
    assert (asked[0].job.init_seed, asked[0].job.data_seed, asked[0].job.arm) == (0, 0, "full")
    assert said[-1].startswith("1,234 tokens/s a run; fp32, eager, 1 thread, 2 runs at a time (")
    assert timed.time_arms(["wide"], settings) == {"wide": Timed(25.0, 100.0)}
    assert [one.arm for one in (asked[1].job, *asked[1].beside)] == ["full", "wide"]
    assert said[-1] == "speed as a share of full's: wide 0.25"


def test_minutes_of_a_study_by_hand() -> None:
    """Rounds, tokens at a rate, a tenth beside training, and seconds that no number of tokens changes."""
    assert minutes_of(3.0, 120_000, 1000.0, 90.0) == pytest.approx(3 * 2 * 1.1 + 1.5)
    assert minutes_of_rounds(4.0, 0.5, 30.0) == pytest.approx(4 * 0.5 * 1.1 + 0.5)


def test_minutes_count_what_dearer_arms_take() -> None:
    """Arms with equal tokens take time by their FLOPs; matched by FLOPs or time they all take as long."""
    flops = {"full": 100.0, "wide": 400.0}
    assert relative_cost(study(), flops) == 2.5
    assert relative_cost(study(match="flops"), flops) == 1
    assert relative_cost(study(match="time"), flops) == 1


def test_budgets_of_arms_follow_what_is_matched() -> None:
    """Equal tokens, equal FLOPs, or equal time."""
    flops = {"full": 100.0, "wide": 400.0}
    assert tokens_of_arm(study(), "wide", 1000, flops, None) == 1000
    assert tokens_of_arm(study(match="flops"), "wide", 1000, flops, None) == 250
    assert tokens_of_arm(study(match="time"), "wide", 1000, flops, Timed(50.0, 100.0)) == 500
    assert tokens_of_arm(study(match="time"), "full", 1000, flops, None) == 1000


def test_a_plan_counts_whole_rounds_and_what_dearer_arms_take(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs on two cores take as long as four, and a study keeps its minutes though its arms are slower."""
    monkeypatch.setattr("vslm.lab.plan.available_cores", lambda: 2)
    arms = {**study().arms, "wider": vary(FULL, {"model.blocks.0.feedforward.hidden": 480})}
    planned = plan_study(study(arms=arms, seeds=1), Options(tokens=10**6))
    average = sum(arm["minutes"] for arm in planned["arms"].values()) / 3
    beside = planned["minutes"] - 2 * average * budgets._BESIDE_TRAINING
    assert 0 < beside < 1  # two starts and the end's evaluation
    for options in (Options(minutes=5), Options(minutes=5, workers=1)):
        assert plan_study(study(arms=arms), options)["minutes"] == pytest.approx(5, rel=0.01)


def test_a_plan_knows_what_runs_leave_on_disk(job: Job, tmp_path: Path) -> None:
    """Weights and two checkpoints, with the averaged weights where there are any."""
    experiment = dataclasses.replace(FULL, averaging=Averaging())
    planned = plan_study(study(arms={"full": experiment}, seeds=1))["arms"]["full"]["disk_mb"]
    job = dataclasses.replace(job, experiment=experiment)
    run_job(job, tmp_path / "run", lambda message: None, checkpoint_seconds=0.0)
    found = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*.safetensors")) / 1e6
    assert planned == pytest.approx(found, rel=0.15)  # the rest is names and what was looked at


def test_disk_counts_every_run_of_an_arm() -> None:
    """Weights of 4 bytes, and for judged runs two checkpoints of them and both moments; kept ones by run and budget."""
    plain = study(budgets=(0.5, 1.0))
    numbers = FULL.model.num_parameters(300)
    assert plan._disk_bytes(plain, FULL, 300, 3) == numbers * 4 * 3 * 2 * (1 + 2 * 3)
    averaged = dataclasses.replace(FULL, averaging=Averaging())
    assert plan._disk_bytes(plain, averaged, 300, 3) == numbers * 4 * 3 * 2 * (1 + 2 * 4)
    one_moment = vary(FULL, {"optimizer": Muon(learning_rate=0.01)})
    rest = FULL.model.num_parameters_without_embeddings(300)
    assert plan._disk_bytes(plain, one_moment, 300, 3) == 4 * 3 * 2 * (numbers * (1 + 2 * 3) - 2 * rest)
    arms = {**plain.arms, "wider": vary(FULL, {"model.blocks.0.feedforward.hidden": 480})}
    chosen = study(arms=arms, screen=Screen(keep=1), tune=LearningRates(values=3, max_widenings=1))
    assert chosen.tune is not None
    assert plan._disk_bytes(chosen, FULL, 300, 1) == numbers * 4 * (1 + chosen.tune.most_runs() + 1 + 2 * 3)
    kept = dataclasses.replace(FULL, keep_weights=4)
    steps = [len(kept.kept_steps((round(tokens / kept.tokens_per_step),))) - 1 for tokens in (2500, 5000)]
    assert plan._num_kept(plain, kept, 5000, 3) == 3 * sum(steps) > 0
    assert plan._num_kept(plain, FULL, 5000, 3) == 0


def test_a_plan_tells_more_comparisons_and_what_is_kept(job: Job) -> None:
    """An arm more makes the effect that can be resolved larger; kept weights are two bytes a number."""
    kept = dataclasses.replace(FULL, keep_weights=4)
    two = plan_study(study(arms={"full": kept, "same": FULL}))
    three = plan_study(study(arms={"full": kept, "same": FULL, "again": FULL}))
    assert three["resolvable_effect"] > two["resolvable_effect"]
    arm = two["arms"]["full"]
    assert arm["kept_mb"] == pytest.approx(2e-6 * arm["num_parameters"] * arm["kept_weights"])
    assert arm["kept_weights"]
    assert arm["disk_mb"] - two["arms"]["same"]["disk_mb"] == pytest.approx(arm["kept_mb"])
    assert not [lint for lint in plan_study(study(budgets=(0.5, 1.0)))["lints"] if "rates are searched" in lint]


def test_lints_say_the_factors_and_what_differs(job: Job) -> None:
    """Each by the numbers of the plan; none of what arms have in common."""
    longer = vary(FULL, {"model.context_tokens": 19, "budget.tokens": 5000})
    batches = dataclasses.replace(FULL, batch_tokens=2 * FULL.tokens_per_step)
    arms = {**study().arms, "longer": longer, "batches": batches}
    found = plan_study(study(arms=arms), Options(tokens=5000))
    rows = found["arms"].values()
    flops = [row["flops_per_token"] * row["tokens"] for row in rows]
    parameters = [row["num_parameters"] for row in rows]
    for words in (
        f"unmatched budgets: arms differ in FLOPs by a factor of {max(flops) / min(flops):.2f} ('tokens')",
        f"arms differ in parameters by a factor of {max(parameters) / min(parameters):.2f}",
        "arms differ in context_tokens: they do not see the same windows",
        "arms differ in tokens per step: the same data comes in other batches",
    ):
        assert words in found["lints"]
    same = plan_study(study(arms={"full": FULL, "same": FULL}), Options(tokens=5000))["lints"]
    assert [lint for lint in same if "arms differ" in lint or "tokenizers" in lint] == []
    few = dataclasses.replace(FULL, measures=(LossByPosition(num_final_tokens=170),))
    other = dataclasses.replace(few, data=Text("corpus.txt", vocabulary=280))
    primary = Primary("val_bpb", smallest_effect=0.01)
    lints = plan_study(study(arms={"full": few, "other": other}, primary=primary), Options(tokens=5000))["lints"]
    said = f"arm 'other' is judged on 170 of {prepare(other.data).val.num_tokens:,} tokens"
    assert [lint.startswith(said) for lint in lints if "'other' is judged" in lint] == [True]


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And auto is the one that is."""
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for there in (True, False):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert budgets.device("auto") == ("cuda" if there else "cpu")
    assert budgets.device("cpu") == "cpu"
    with pytest.raises(SpecError, match="torch sees no mps device here; auto or cpu is needed"):
        budgets.device("mps")


def test_bits_per_byte_are_those_of_what_was_scored(job: Job) -> None:
    """Bytes of the very targets that count, and of no others."""
    corpus = open_corpus(job.corpus)
    experiment = vary(FULL, {"measures.0.num_final_tokens": 1})
    tokens = corpus.val.tokens[:18].tolist()
    num_bytes = [len(corpus.tokenizer.token_bytes[token]) for token in tokens]
    assert scored_bytes_per_token(experiment, corpus, "val") == sum(num_bytes[1:]) / 17
    assert scored_bytes_per_token(experiment, corpus, "val", (3, 5)) == sum(num_bytes[4:6]) / 2


def test_a_plan_takes_the_budget_of_the_command_line_and_says_what_to_mind(job: Job) -> None:
    """Tokens, minutes, seeds and workers; lints for what would mislead."""
    declared = study()
    planned = plan_study(declared, Options(tokens=7000, seeds="3-7"))
    row = planned["arms"]["full"]
    corpus = prepare(declared.arms["full"].data)
    assert row["passes"] == pytest.approx(row["tokens"] / corpus.train.num_tokens)
    assert planned["read"] == corpus.meta["read"]
    assert planned["seeds"] == 5
    assert planned["arms"]["wide"]["tokens"] == 7000
    half, whole = (plan_study(declared, Options(minutes=m))["arms"]["full"]["tokens"] for m in (5, 10))
    assert whole == pytest.approx(2 * half, rel=0.01)
    assert plan_study(declared, Options(minutes=5))["minutes"] <= 5
    by_time = plan_study(study(match="time"))
    assert by_time["tokens_from"].startswith("a guess")
    assert by_time["arms"]["wide"]["minutes"] == pytest.approx(by_time["arms"]["full"]["minutes"], rel=0.01)
    arms = {
        **declared.arms,
        "same": FULL,
        "longer": vary(FULL, {"budget.tokens": 9999}),
        "shifted": vary(FULL, {"start_from.init_offset": 1}),
    }
    notes = "; ".join(plan_study(study(arms=arms, seeds=2))["lints"])
    for words in (
        "fewer than 3",
        "out of reach",
        "unmatched budgets",
        "'same' equals the baseline",
        "the budget of arm 'longer' is not used",
        "arm 'shifted': init_offset 1 uses initialization seed 1 twice",
    ):
        assert words in notes, (words, notes)
    with pytest.raises(SpecError, match="seeds"):
        plan_study(declared, Options(seeds="x"))


def test_what_is_known_is_not_read_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is missing is read beside it."""

    def forbidden(settings: Settings) -> float:
        raise AssertionError(settings)

    fp32, fused, bf16 = "fp32, 1 thread", "fp32, fused attention, 1 thread", "bf16, fused attention, 1 thread"
    known = {fp32: 1000.0, fused: 1300.0, bf16: 900.0}
    made_up_rates(monkeypatch, forbidden)
    found = timing.choose_settings(job, Extent(num_runs=1), cores=1, known=known)
    assert found["rates"] == known
    assert found["settings"]["fused_attention"]
    assert found["tokens_per_second"] == 1300.0
    made_up_rates(monkeypatch, lambda settings: {"fp32": 500.0, "bf16": 1000.0}[settings.precision])
    found = timing.choose_settings(job, Extent(num_runs=1), cores=1, known={fp32: 1000.0, fused: 1300.0})
    assert found["rates"] == {**known, bf16: 2600.0}
    assert found["settings"]["precision"] == "bf16"
