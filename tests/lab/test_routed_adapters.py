"""Adapters of two parts of a world, chosen by a question: in the command that asks, and in the one that writes."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from test_adapters_of_runs import adapted
from test_run import job_for

from vslm.data.preparing import prepare
from vslm.data.sources import Worlds
from vslm.data.worlds.facts import facts_of
from vslm.data.worlds.shards import Mix
from vslm.data.worlds.universe import SomeFacts, Universe
from vslm.models.adapters.lora import LoRA
from vslm.models.layouts.plain import uniform
from vslm.optim.adamw import AdamW
from vslm.runs.run import run_job
from vslm.study.experiment import Budget
from vslm.study.job import Job

UNIVERSE = Universe(people=8, relations=("job",), num_values=7, first_names=16, last_names=16)
PARTS = (SomeFacts(end=0.5), SomeFacts(first=0.5))
CONTEXT_TOKENS, STEPS = 24, 211


def about(base: Job, some: SomeFacts | None, **changes: object) -> Job:
    """A job on questions about a part, or about fresh worlds."""
    mix = Mix(one_hop=1, inverse=0, two_hop=0, comparison=0, negation=0, counting=0, unknown=0)
    how = {"world": "fresh"} if some is None else {"world": "fixed", "context_share": 0.0, "some": some}
    data = Worlds(
        universe=UNIVERSE,
        mix=mix,
        facts=(1,),
        counts="answer",
        diversity="single",
        num_documents=400,
        context_tokens=CONTEXT_TOKENS,
        **how,  # type: ignore[arg-type]
    )
    tokens = 5 * CONTEXT_TOKENS * STEPS
    experiment = dataclasses.replace(
        base.experiment,
        model=uniform(depth=1, width=24, heads=2, context_tokens=CONTEXT_TOKENS),
        data=data,
        budget=Budget(tokens=tokens),
        batch_tokens=5 * CONTEXT_TOKENS,
        optimizer=AdamW(learning_rate=0.03, clip_norm=None),
        averaging=None,
        **changes,  # type: ignore[arg-type]
    )
    return dataclasses.replace(base, experiment=experiment, stages_tokens=(tokens,), corpus=prepare(data).fingerprint)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A finished run, and two of adapters beside it. Only for reading."""
    pytest.importorskip("bm25s")
    place = tmp_path_factory.mktemp("routed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(tmp_path_factory.getbasetemp() / "vslm-home"))
        plain = job_for(place, measures=(), dropout=0.0)
        start = place / "base" / "seed5"
        run_job(about(plain, None), start, lambda message: None)
        for name, some in zip("ab", PARTS, strict=True):
            job = adapted(about(plain, some), start, LoRA(rank=7))
            run_job(job, place / name / "seed5", lambda message: None)
    return start, [place / name / "seed5" for name in "ab"]


def arguments(adapters: list[Path]) -> list[str]:
    """Of a command line."""
    return [word for adapter in adapters for word in ("--adapter", str(adapter))]


def test_the_right_adapter_knows_and_is_found(made: tuple[Path, list[Path]], vslm: Callable) -> None:
    """Its part, where another one and the model alone do not; routed is as good as right where the router is right."""
    start, adapters = made
    told = vslm("route", str(start), *arguments(adapters), "--questions", "23", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert list(found["adapters"]) == [str(adapter) for adapter in adapters]
    mean = found["mean"]
    assert mean["router"] > 0.9  # people are told by their names
    assert mean["right"] > 0.7
    assert mean["right"] > mean["another"] + 0.2
    assert mean["right"] > mean["none"] + 0.2
    assert mean["routed"] == pytest.approx(mean["right"], abs=2 * (1 - mean["router"]) + 1e-9)
    assert 0 < mean["bits"] <= 3 * 8
    row = found["adapters"][str(adapters[0])]
    stored = load_file(adapters[0] / "weights.safetensors")
    assert row["bits"] / row["bits_per_parameter"] == pytest.approx(sum(one.numel() for one in stored.values()))


def test_a_prompt_chooses_who_writes(made: tuple[Path, list[Path]], vslm: Callable) -> None:
    """It is said which, and by what; the text is that of the adapter put on by hand."""
    start, adapters = made
    for place, part in enumerate(PARTS):
        fact = facts_of(UNIVERSE, part)[0]
        prompt = f"<ctx> <q> what is the job of {fact.subject}? <a>"
        how = ["--prompt", prompt, "--temperature", "0", "--tokens", "2"]
        told = vslm("sample", str(start), *arguments(adapters), "--route", "bm25", *how)
        assert told.code == 0, told.err
        assert f"adapter {adapters[place]}, by" in told.err
        by_hand = vslm("sample", str(start), "--adapter", str(adapters[place]), *how)
        assert told.out == by_hand.out


def test_what_cannot_be_chosen_is_said(made: tuple[Path, list[Path]], vslm: Callable) -> None:
    """One adapter alone; the same part twice; a run that is no adapter; questions of nothing."""
    start, adapters = made
    for words, found in (
        (["sample", str(start), *arguments(adapters[:1]), "--route", "bm25"], "--route: 1 adapter"),
        (["route", str(start), *arguments(adapters[:1])], "--route: 1 adapter"),
        (["route", str(start), *arguments([adapters[0], adapters[0]])], "a part that another one has, too"),
        (["route", str(start), *arguments([adapters[0], start])], "a part of a fixed world"),
        (["route", str(start), *arguments(adapters), "--questions", "0"], "--questions: found 0"),
    ):
        told = vslm(*words)
        assert told.code == 2 or told.code == 1
        assert found in told.err.replace("\n", " ")
