"""Every model is tried before any run: what each check finds, what it lets pass, and where it is asked."""

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from own_feedforwards import BROKEN, MISTAKES, RIGHT, Own
from small_study import Said
from torch import nn

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.lab.model_checks import check_model
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.plain import uniform
from vslm.models.parts.readouts import Untied
from vslm.study.study_file import load_study

STUDIES = Path(__file__).parents[2] / "studies"
PLAIN = uniform(depth=2, width=12, heads=2, context_tokens=67)


def with_own(own: Own) -> Model:
    """A model whose second block has a feedforward of somebody's own."""
    return vary(PLAIN, {"blocks.1.feedforward": own})


@pytest.mark.parametrize("name", MISTAKES)
def test_what_sees_the_future_or_other_texts_is_named(name: str) -> None:
    """Where it is, which class, and what it sees; a thousandth of it is enough."""
    seen = "mixes the texts of a batch" if name.startswith("rows") else "sees the future"
    with pytest.raises(SpecError, match=rf"^blocks\.1\.feedforward: Own {seen}"):
        check_model(with_own(Own(name=name, amount=1e-3)), 53)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name: str) -> None:
    """Transforms that round, states, counters and draws are no leak, and nothing is said."""
    lints = check_model(with_own(Own(name=name)), 53)
    assert not [lint for lint in lints if "FLOPs" not in lint]


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("multiples of eight", "blocks.1.feedforward", r"it cannot compute: RuntimeError.*own_feedforwards\.py:\d+"),
        ("two rows", "blocks.1.feedforward", r"it cannot compute: RuntimeError"),
        ("no number", "blocks.1.feedforward", "the loss of the initial weights is nan"),
        ("no slope", "blocks.1.feedforward", "its gradient is not finite"),
        ("one precision", "blocks.1.feedforward", "it does not work in bf16: RuntimeError"),
        ("in a list", "blocks.1.feedforward", r"a weight of shape \[12, 12\] takes part and is no parameter"),
        ("made late", "blocks.1.feedforward.late", "this parameter was made by the first pass"),
        ("lazy", "blocks.1.feedforward.lazy.weight", "has no shape before a first pass"),
        ("drawn elsewhere", "blocks.1.feedforward.input.weight", "built twice from one seed"),
    ],
)
def test_what_would_end_a_run_is_named(name: str, where: str, words: str) -> None:
    """Before the first run: lengths, batches, precisions, numbers, and weights that no optimizer knows."""
    assert name in BROKEN
    with pytest.raises(SpecError, match=words) as refused:
        check_model(with_own(Own(name=name)), 53)
    assert refused.value.where.startswith(where)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (Own(name="never used"), "no gradient reaches 2 parameters.*blocks.1.feedforward.unused.weight"),
        (Own(name="always dropout"), "its evaluation draws numbers at random"),
        (Own(flops=10_000.0), "it declares .* FLOPs per token where torch counts"),
    ],
)
def test_what_is_no_error_is_said(own: Own, words: str) -> None:
    """Parameters that never learn, losses that are drawn, FLOPs that a counter does not see."""
    (lint,) = [lint for lint in check_model(with_own(own), 53) if "text of" not in lint]
    assert re.search(words, lint)


def test_counts_that_are_not_those_of_the_built_model_are_refused() -> None:
    """Sizes that are others each time, FLOPs that are more than declared, and tables that no readout names."""
    found = r"^blocks\.1\.feedforward: blocks\.1 was built with \d+ parameters, and before with \d+; .*let sizes follow"
    with pytest.raises(SpecError, match=found):
        check_model(with_own(Own(name="another size each time")), 53)
    with pytest.raises(SpecError, match=r"FLOPs per token where torch counts .*mend forward_flops_per_token"):
        check_model(with_own(Own(name="often")), 53)
    assert not check_model(with_own(Own(name="often", flops=31 * 2 * 156.0)), 53)
    with pytest.raises(SpecError, match=r"FLOPs per token; a number above 0"):
        check_model(with_own(Own(flops=-1e9)), 53)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class OwnReadout(Untied):
        def build(self, *, width: int, memory_width: int, vocabulary: int, init: Init) -> nn.Module:
            return OwnReadoutModule(width, vocabulary)

    class OwnReadoutModule(nn.Linear):
        def forward(self, x_BTD: torch.Tensor, embedding_VE: torch.Tensor) -> torch.Tensor:
            return super().forward(x_BTD)

    with pytest.raises(SpecError, match=r"^readout: .*name them in a method lookup_tables"):
        check_model(dataclasses.replace(PLAIN, readout=OwnReadout()), 53)


@pytest.mark.parametrize("context_tokens", [1, 2, 3])
def test_the_shortest_contexts_pass(context_tokens: int) -> None:
    """There is nothing later to see, or one token."""
    assert not check_model(dataclasses.replace(with_own(Own()), context_tokens=context_tokens), 2)


@pytest.mark.slow
def test_every_arm_of_every_study_passes() -> None:
    """Nothing that exists is refused, and nothing is said of it; at a short context, each distinct model once."""
    evals = Path(os.environ["VSLM_HOME"]) / "evals"  # of this test alone; a study asks for a benchmark there
    evals.mkdir(parents=True)
    pair = {"sentence_good": "Ann has left.", "sentence_bad": "Ann have left."}
    (evals / "blimp.jsonl").write_text(f"{json.dumps(pair)}\n" * 7, encoding="utf-8")
    models: set[Model] = set()
    for path in STUDIES.glob("*.py"):
        for experiment in load_study(path).arms.values():
            model = experiment.model
            short = dataclasses.replace(model, context_tokens=min(model.context_tokens, 32))
            try:
                short.validate()
            except SpecError:
                short = model
            models.add(short)
    assert len(models) > 50
    for model in models:
        assert not check_model(model, 64)


def test_torch_is_left_as_it_was() -> None:
    """Generators and threads, whatever a check does."""
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    check_model(with_own(Own(name="draws")), 53)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_torchs_own_initial_values_depend_on_seed_and_place_alone() -> None:
    """Two arms that share a class of somebody's own start equal there, whatever else they build; seeds differ."""

    def weights(model: Model, seed: int) -> dict[str, torch.Tensor]:
        built = model.build(vocabulary=53, init=Init(seed))
        return {name: p for name, p in built.named_parameters() if "1.feedforward." in name}

    other = vary(with_own(Own()), {"blocks.0.feedforward": Own(name="never used"), "root.dropout": 0.5})
    ours, theirs, next_seed = weights(with_own(Own()), 3), weights(other, 3), weights(other, 4)
    assert len(ours) == 4
    for name, parameter in ours.items():
        assert torch.equal(parameter, theirs[name])
        assert not torch.equal(parameter, next_seed[name])


LEAKING = """
import dataclasses
import torch
from torch import nn
from vslm.models.parts.feedforward import GatedMLPModule, SwiGLU

@dataclasses.dataclass(frozen=True, kw_only=True)
class Peeks(SwiGLU):
    def build(self, **given):
        module = super().build(**given)
        return PeekingModule(**dict(module.named_children()))

class PeekingModule(GatedMLPModule):
    def forward(self, x):
        return super().forward(x + x.mean(dim=1, keepdim=True))

STUDY = dataclasses.replace(
    STUDY, arms={**STUDY.arms, "peeks": vary(full, {"model.blocks.0.feedforward": Peeks()})}
)
"""


def test_the_arm_is_named_by_every_command_before_anything_is_trained(place: Path, vslm: Callable[..., Said]) -> None:
    """`plan` and `run` refuse it alike, and no folder is made; without it, both say what was checked."""
    study = place / "study.py"
    study.write_text(study.read_text() + LEAKING)
    for command in ("plan", "run"):
        said = vslm(command, "study.py")
        assert said.code == 2
        assert "arms.peeks.model.blocks.0.feedforward: Peeks sees the future" in said.err
    assert not (place / "runs").exists()
    study.write_text(study.read_text().replace("x + x.mean(dim=1, keepdim=True)", "x"))
    assert "checked 3 arms: causal" in vslm("plan", "study.py", "--full").out
