"""Any change to a valid spec either plans or is refused in words: never another exception."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from small_study import made_up_text

from vslm import AdamW, Averaging, Budget, Experiment, LossByPosition, Primary, Study, Text, uniform, vary
from vslm.core.errors import DataError, SpecError
from vslm.core.paths import parts_of
from vslm.data.splits import Splits
from vslm.data.tokenizers import BPE, Characters
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.models.layouts.plain import gpt2
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import GELU
from vslm.models.parts.normalizers import Sigmoid, Sink
from vslm.models.parts.norms import LayerNorm
from vslm.models.parts.positions import NoPositions
from vslm.models.parts.readouts import Untied
from vslm.models.parts.roots import TokenRoot
from vslm.optim.schedules import WarmupStableDecay
from vslm.study.experiment import FreshStart
from vslm.study.typed_changes import changed_as_typed

FULL = Experiment(
    model=uniform(depth=2, width=16, heads=2, context_tokens=17),
    data=Text("corpus.txt", vocabulary=270),
    budget=Budget(tokens=17 * 7 * 11),
    batch_tokens=17 * 7,
    measures=(LossByPosition(num_evaluations=3, num_tokens=170, num_final_tokens=340),),
    averaging=Averaging(),
)
STUDY = Study(
    question="Which?",
    baseline="full",
    arms={"full": FULL, "short": vary(FULL, {"model.blocks.*.attention.window_tokens": 3})},
    primary=Primary("val_loss", positions=(3, 11)),
)
SPECS = (
    *(AdamW(learning_rate=1.0), Budget(minutes=3.0), Budget(flops=1e20), FreshStart(init_offset=1), FULL, FULL.model),
    *(Characters(), BPE(vocabulary=300), Splits(val_fraction=0.5, select_fraction=0.4), Text("nowhere.txt"), GELU()),
    *(Attention(heads=1), Sigmoid(), Sink(), LayerNorm(), NoPositions(), Untied(), TokenRoot(width=8)),
    *(WarmupStableDecay(), LossByPosition(), Primary(), FULL.model.blocks["0"], STUDY),
    gpt2(depth=1, width=8, heads=2, context_tokens=5),
)
EXTREMES = (0, 1, -1, 2, 3, 5, 7, 10**6, 2**31, 2**62, 2**63, 10**400, -(10**30), 1e308, -0.0, 5e-324, 0.5)


def paths_of(node: Any, path: str = "") -> Iterator[str]:
    """Every dotted path of a spec."""
    for name, child in (parts_of(node) or {}).items():
        yield f"{path}{name}"
        yield from paths_of(child, f"{path}{name}.")


PATHS = sorted(set(paths_of(FULL)))
texts = st.one_of(st.text(max_size=8), st.sampled_from(["", "auto", "3-5", "val_bpb", "full", "0", "\0", "\ud800"]))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(EXTREMES), texts)
values = st.one_of(
    scalars,
    st.sampled_from(SPECS),
    st.recursive(
        scalars | st.sampled_from(SPECS),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.one_of(texts, st.integers(), st.none()), inner, max_size=3),
        ),
        max_leaves=5,
    ),
    st.sampled_from([b"x", {1}, 1j, object(), Budget, range(3), float]),
)
paths = st.one_of(
    st.sampled_from(PATHS),
    st.builds(  # a * in some of its places
        lambda path, stars: ".".join("*" if star else part for part, star in zip(path.split("."), stars, strict=False)),
        st.sampled_from(PATHS),
        st.lists(st.booleans(), min_size=7, max_size=7),
    ),
    st.builds(lambda path, end: f"{path}.{end}", st.sampled_from(PATHS), texts),
    texts,
)
written = st.one_of(
    values.map(repr),
    texts,
    st.text(alphabet="()[]{}*=,.'\"\\ 019e-+SoftmaxBudgetAdamW", max_size=20),
    st.sampled_from(
        [
            *("Softmax()", "Softmax(heads=3)", "Sigmoid(3)", "Budget()", "Budget(tokens=-3)", "AdamW(**{})", "BPE(*3)"),
            *("Model()", "Text()", "Block(width=16, attention=Attention(heads=2))", "Attention(heads=Softmax())"),
            *("(" * 300, "'\\d'", "1 is 1", "lambda: 3", "{[]: 3}", "{1: 2}", "1" * 5000, "__import__('os')", "f''"),
        ]
    ),
)
fuzz = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", autouse=True)
def _beside_a_corpus() -> Iterator[None]:
    """A working directory with a corpus and nothing else, so that a made-up path finds nothing of this machine."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("corpus.txt").write_bytes(made_up_text().encode())
        yield
        os.chdir(before)


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """What is in here ends well, or with a refusal that can be written down."""
    with contextlib.suppress(SpecError, DataError):
        yield


def plan_in_json(study: Study, options: Options | None = None) -> None:
    """Plan, and write the plan as `--json` does."""
    json.dumps(plan_study(study, options), allow_nan=False)


def _stay_here(value: Any) -> None:
    """Made-up paths may not lead out of the folder, into all the files of this machine."""
    text = repr(value)
    assume("/" not in text and ".." not in text and "~" not in text)


@fuzz
@given(path=paths, value=values)
def test_any_change_of_an_experiment_plans_or_is_refused(path: str, value: Any) -> None:
    """Through `vary`, as in a study file."""
    _stay_here(value)
    with answered():
        arm = vary(FULL, {path: value})
        plan_in_json(dataclasses.replace(STUDY, arms={"full": FULL, "changed": arm}))


@pytest.mark.slow
@fuzz
@given(path=paths, text=written, one_arm=st.booleans())
def test_any_change_on_the_command_line_plans_or_is_refused(path: str, text: str, one_arm: bool) -> None:
    """Through `--set`, as text."""
    _stay_here(text)
    with answered():
        plan_in_json(changed_as_typed(STUDY, (f"{'arms.short.' if one_arm else ''}{path}={text}",), None, None))


@pytest.mark.slow
@fuzz
@given(name=st.sampled_from([field.name for field in dataclasses.fields(Study)]), value=values)
def test_any_change_of_a_study_plans_or_is_refused(name: str, value: Any) -> None:
    """Its seeds, its names, its primary number, its arms."""
    _stay_here(value)
    with answered():
        plan_in_json(dataclasses.replace(STUDY, **{name: value}))


@pytest.mark.slow
@settings(fuzz, max_examples=100)
@given(
    name=st.sampled_from(["seeds", "tokens", "minutes", "workers", "more_tokens"]),
    number=st.one_of(st.integers(), st.floats(), st.sampled_from(EXTREMES)),
    seeds=texts,
)
def test_any_option_plans_or_is_refused(name: str, number: float, seeds: str) -> None:
    """What the command line may override; it converts texts to numbers itself."""
    value = seeds if name == "seeds" else number if name == "minutes" else _whole(number)
    with answered():
        plan_in_json(STUDY, Options(**{name: value}))


def _whole(number: float) -> int:
    return number if isinstance(number, int) else int(number) if abs(number) < 1e300 else 0
