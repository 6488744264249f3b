"""The studies of sizes, widths and windows: what they promise to hold equal is equal."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from vslm.lab.checks import Checked
from vslm.lab.options import Options
from vslm.lab.plan import plan_study
from vslm.models.layouts.windows import reach, visible_keys
from vslm.study.study import Study
from vslm.study.study_file import load_study

STUDIES = Path(__file__).parents[2] / "studies"
VOCABULARY = 1024


def study(name: str) -> Study:
    """A study by the name of its file."""
    return load_study(STUDIES / f"{name}.py")


@pytest.mark.parametrize(("name", "tolerance"), [("layer_sizes", 0.0), ("widths", 0.005), ("windows", 0.0)])
def test_arms_have_equal_parameters(name: str, tolerance: float) -> None:
    """With embeddings and without; and every arm differs from the baseline and from the others."""
    arms = study(name).arms
    plain = arms["uniform"].model
    for experiment in arms.values():
        model = experiment.model
        counts = (model.num_parameters(VOCABULARY), model.num_parameters_without_embeddings(VOCABULARY))
        wanted = (plain.num_parameters(VOCABULARY), plain.num_parameters_without_embeddings(VOCABULARY))
        assert all(abs(a / b - 1) <= tolerance for a, b in zip(counts, wanted, strict=True))
    assert len(set(arms.values())) == len(arms)


def test_widths_are_one_multiset_with_rates_by_width() -> None:
    """Every shaped arm has the same widths in another order, or another resize; all train by the same rule."""
    arms = study("widths").arms
    widths = {name: sorted(b.width for b in arm.model.blocks.values()) for name, arm in arms.items()}
    assert {tuple(found) for name, found in widths.items() if "uniform" not in name} == {(32, 32, 56, 56, 72, 72)}
    assert {arm.optimizer for arm in arms.values()} == {arms["uniform"].optimizer}
    assert arms["uniform"].optimizer.rate_by_width is not None


@pytest.mark.parametrize(("name", "context_tokens"), [("windows", 256), ("windows_recall", 128)])
def test_windows_cost_the_same_and_reach_everything(name: str, context_tokens: int) -> None:
    """But for the arm that sees everything everywhere; and recall is trained with every pattern of the text."""
    arms = study(name).arms
    own = ["first-short", "last-short"] if name == "windows_recall" else []
    assert list(arms) == [*study("windows").arms, *own]
    wanted = visible_keys(arms["uniform"].model)
    for arm_name, arm in arms.items():
        assert reach(arm.model, at_least=context_tokens) == context_tokens
        if arm_name != "full":
            assert visible_keys(arm.model) == pytest.approx(wanted, rel=0.001)


def test_the_groups_diamond_is_theirs() -> None:
    """The constants that were read from their code."""
    arms = study("group_diamond").arms
    plain = [to_shape(step) for step in arms["group-diamond"].model.path]
    assert plain == ["0", ("LearnedPad", 96, 1.0), "1", ("LearnedPad", 128, 1.0), "2", "3",
                     ("Project", 96, 0.02), "4", ("Project", 64, 0.02), "5"]  # fmt: skip
    model = arms["group-diamond"].model
    assert [b.width // b.attention.heads for b in model.blocks.values()] == [16] * 6
    assert {b.dropout for b in model.blocks.values()} == {b.attention.dropout for b in model.blocks.values()} == {0.2}
    assert {b.feedforward.hidden_at(b.width) // b.width for b in model.blocks.values()} == {4}
    assert type(model.readout).__name__ == "Untied"
    assert all(step.identity == 0 for step in model.path if type(step).__name__ == "Project")


def to_shape(step):
    """A step of a path in short."""
    return step if isinstance(step, str) else (type(step).__name__, step.width, step.std)


def test_a_plan_draws_the_blocks_of_every_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folded, and as plain values that can be written as JSON."""
    windows = study("windows")
    train = SimpleNamespace(num_tokens=3_000_000)
    corpus = SimpleNamespace(
        vocabulary=VOCABULARY, fingerprint="text", tokenizer_fingerprint="one", train=train, meta={}, further={}
    )

    def untried(study: Study) -> Checked:  # models are tried in test_model_checks.py
        return Checked(dict.fromkeys(study.experiments, corpus), "", ())  # type: ignore[arg-type]

    monkeypatch.setattr("vslm.lab.plan.check_study", untried)
    arms = plan_study(windows, Options(device="cpu"))["arms"]
    assert [row["window_tokens"] for row in arms["third-full"]["blocks"]] == [22, 256, 22, 256]
    assert arms["full"]["blocks"][0]["visits"] == [0, 5]
    for arm, experiment in windows.arms.items():
        kernels = experiment.model.kernels()
        executed = experiment.model.executed_flops_per_token(VOCABULARY, kernels)
        assert arms[arm]["executed_flops_per_token"] == executed > arms[arm]["flops_per_token"]
