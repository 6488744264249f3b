"""Losses of further exits and random loops: lowered in training, absent from every recorded number."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vslm.core.paths import vary
from vslm.data.batches import Batch
from vslm.data.corpus import open_corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.measure.loss_by_position import LossByPosition
from vslm.measure.token_loss import token_loss
from vslm.models.elements.states import NoiseState
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.patterns import INJECT_SUM, ahead, looped, shifted
from vslm.models.layouts.plain import uniform
from vslm.models.path.repeats import UniformLoops
from vslm.objectives.drawn_loops import DrawnLoops, drawn, own_objective
from vslm.objectives.exits import Exits, loss_with_exits
from vslm.objectives.next_token import NextToken
from vslm.runs.objects import build_loss, build_objective, build_objects
from vslm.study.experiment import Budget, Experiment
from vslm.study.job import Job, Settings
from vslm.training.loop import Training

CONTEXT_TOKENS, VOCABULARY, STEPS = 13, 29, 11
PLAIN = uniform(depth=3, width=12, heads=2, context_tokens=CONTEXT_TOKENS)
RANDOM = looped(PLAIN, times=2, start=NoiseState(), inject=INJECT_SUM, training=UniformLoops(counts=(1, 2, 3, 5)))


def tokens_of(num_tokens: int = CONTEXT_TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and the ones after them."""
    tokens_BT = torch.randint(VOCABULARY, (3, num_tokens + 1), generator=torch.Generator().manual_seed(0))
    return tokens_BT[:, :-1], tokens_BT[:, 1:]


def job_for(model: Model, folder: Path, *, compiled: bool = False, accumulation: int = 1) -> Job:
    """A job of a few steps on made-up words."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(60)]
    documents = [" ".join(rng.choice(words, 60)) for _ in range(300)]
    (folder / "corpus.txt").write_text("\n<|endoftext|>\n".join(documents))
    experiment = Experiment(
        model=model,
        data=Text(str(folder / "corpus.txt"), vocabulary=300),
        budget=Budget(tokens=CONTEXT_TOKENS * 6 * STEPS),
        batch_tokens=CONTEXT_TOKENS * 6,
        accumulation=accumulation,
        measures=(LossByPosition(num_evaluations=2, num_tokens=130, num_final_tokens=130),),
    )
    return Job(
        arm="a",
        experiment=experiment,
        stages_tokens=(CONTEXT_TOKENS * 6 * STEPS,),
        init_seed=3,
        data_seed=5,
        settings=Settings(device="cpu", precision="fp32", compiled=compiled, threads=1),
        corpus=prepare(experiment.data).fingerprint,
    )


def test_losses_of_exits_by_hand() -> None:
    """weight * mean cross-entropy of the token `offset` further, over the positions that have one."""
    module = ahead(PLAIN, tokens=3, weight=0.7).build(vocabulary=VOCABULARY, init=Init(0)).eval()
    tokens_BT, targets_BT = tokens_of()
    lowered, loss_nats_BT = loss_with_exits(module, tokens_BT, targets_BT)
    assert torch.equal(loss_nats_BT, token_loss(module, tokens_BT, targets_BT))
    expected = loss_nats_BT.mean()
    for at, further in zip(module.last(tokens_BT).exits, (1, 2), strict=True):
        logits_BTV = module.logits(at.x_BTD)
        losses = [
            functional.cross_entropy(logits_BTV[b, t], targets_BT[b, t + further])
            for b in range(3)
            for t in range(CONTEXT_TOKENS - further)
        ]
        expected = expected + 0.7 * torch.stack(losses).mean()
    torch.testing.assert_close(lowered, expected)


def test_a_window_too_short_for_an_exit_has_no_such_loss() -> None:
    """Two tokens have nothing three ahead; the number stays finite."""
    module = ahead(PLAIN, tokens=4).build(vocabulary=VOCABULARY, init=Init(0)).eval()
    lowered, loss_nats_BT = loss_with_exits(module, *tokens_of(1))
    assert torch.equal(lowered, loss_nats_BT.mean())


def test_a_plain_model_asks_for_the_next_token(tmp_path: Path) -> None:
    """No exit, no random loops: the mean loss, by the one compiled function that evaluation uses too."""
    for model in (PLAIN, looped(PLAIN, times=3, inject=INJECT_SUM)):
        assert own_objective(model) == NextToken()
        objects = build_objects(job_for(model, tmp_path), open_corpus(job_for(model, tmp_path).corpus))
        calls = []

        def token_loss(*tensors: torch.Tensor, calls: list = calls) -> torch.Tensor:
            calls.append(tensors)
            return torch.ones(tensors[0].shape)

        lowers = build_objective(objects.model, job_for(model, tmp_path), token_loss)  # type: ignore[arg-type]
        assert float(lowers(objects.batch(0), 0).lowered) == 1.0
        assert len(calls) == 1
    assert own_objective(ahead(PLAIN, tokens=3)) == Exits()
    assert own_objective(RANDOM) == DrawnLoops(objective=NextToken())


@pytest.mark.parametrize("accumulation", [1, 3])
def test_recorded_losses_are_those_of_the_last_stream(tmp_path: Path, accumulation: int) -> None:
    """The first step's training loss is the main loss on its batch; what is lowered is more."""
    job = job_for(shifted(PLAIN, passes=2, first_weight=0.5), tmp_path, accumulation=accumulation)
    objects = build_objects(job, open_corpus(job.corpus))
    batch = objects.batch(0)
    main = token_loss(objects.model, batch.tokens_BT, batch.targets_BT).mean().item()
    training = Training(objects)
    training.train_step()
    assert training.last_loss_nats == pytest.approx(main, rel=1e-6)
    lowered, loss_nats_BT = objects.objective(batch, 0)
    assert lowered.item() > 1.3 * loss_nats_BT.mean().item()


def test_evaluation_goes_by_the_declared_loops(tmp_path: Path) -> None:
    """Whatever was drawn in training, and through the last stream alone."""
    job = job_for(RANDOM, tmp_path)
    objects = build_objects(job, open_corpus(job.corpus))
    tokens_NT1 = objects.measures["loss_by_position"].take.windows.tokens_NT1  # type: ignore[attr-defined]
    found = Training(objects).evaluate(tokens_NT1, 6)
    module = objects.model.eval()
    windows = torch.from_numpy(tokens_NT1)
    expected = token_loss(module.with_loops(2), windows[:, :-1], windows[:, 1:]).detach()  # type: ignore[operator]
    torch.testing.assert_close(torch.from_numpy(found), expected)


def test_loops_are_drawn_by_data_seed_and_step(tmp_path: Path) -> None:
    """All counts occur; the same seed and step draw the same count whatever was drawn before; arms draw alike."""
    job = job_for(RANDOM, tmp_path)

    def drawn(job: Job, steps: range) -> list[int]:
        model = job.experiment.model.build(vocabulary=300, init=Init(0)).eval()
        counts: list[int] = []
        number = [0]
        model.blocks["1"].register_forward_hook(lambda *_: number.__setitem__(0, number[0] + 1))
        objective = build_objective(model, job, build_loss(model, job.settings))
        for step in steps:
            number[0] = 0
            objective(Batch(*tokens_of(2)), step)
            counts.append(number[0])
        return counts

    counts = drawn(job, range(40))
    assert set(counts) == {1, 2, 3, 5}
    assert drawn(job, range(17, 25)) == counts[17:25]
    assert drawn(dataclasses.replace(job, init_seed=8), range(40)) == counts
    assert drawn(dataclasses.replace(job, data_seed=8), range(40)) != counts


@pytest.mark.parametrize("model", [RANDOM, shifted(PLAIN, passes=2)], ids=["random loops and starts", "shifted"])
def test_a_training_that_goes_on_ends_with_the_same_bits(model: Model, tmp_path: Path) -> None:
    """From a checkpoint in the middle, with random starts and counts."""
    job = job_for(model, tmp_path)
    corpus = open_corpus(job.corpus)
    whole = Training(build_objects(job, corpus))
    whole.run(lambda training: None)
    first = Training(build_objects(job, corpus))

    class StopError(Exception):
        pass

    def stop(training: Training) -> None:
        if training.step == 4:
            raise StopError

    with pytest.raises(StopError):
        first.run(stop)
    checkpoint = first.checkpoint()
    torch.manual_seed(99)
    second = Training(build_objects(job, corpus))
    torch.manual_seed(99)
    second.restore(checkpoint)
    second.run(lambda training: None)
    for p, q in zip(whole.objects.model.parameters(), second.objects.model.parameters(), strict=True):
        assert torch.equal(p, q)
    one, other = (training.measurements[-1].values["train_loss_nats_T"] for training in (whole, second))
    assert np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
def test_every_count_gets_its_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More counts than torch would compile by itself; with a whole graph demanded, giving up would be an error."""
    made = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one, **how: made(one, **how | {"backend": "eager", "fullgraph": True}))
    # torch's own limit is 8, which is 9 graphs to make.
    with torch._dynamo.config.patch(recompile_limit=2, accumulated_recompile_limit=2):
        many = vary(RANDOM, {"path.3.training": UniformLoops(counts=(1, 2, 3))})
        job = job_for(many, tmp_path, compiled=True)
        plain = dataclasses.replace(job, settings=dataclasses.replace(job.settings, compiled=False))
        model = many.build(vocabulary=300, init=Init(0)).eval()
        compiled, eager = (build_objective(model, one, build_loss(model, one.settings)) for one in (job, plain))
        probabilities = [repeat.probabilities() for repeat in many.repeats]
        assert {drawn(probabilities, job.data_seed, step) for step in range(7)} == {(1,), (2,), (3,)}
        batch = Batch(*tokens_of(3))
        for step in range(7):
            torch.testing.assert_close(compiled(batch, step).lowered, eager(batch, step).lowered)
