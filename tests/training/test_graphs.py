"""A graph that answers something else than the eager loss ends the run; one that does not changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import RunError
from vslm.core.paths import vary
from vslm.data.batches import Batch
from vslm.measure.token_loss import token_loss
from vslm.models.elements.states import InjectSum, Keep, NoiseState
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform
from vslm.runs.objects import build_loss
from vslm.study.job import Settings
from vslm.training.graphs import compared, has_modes
from vslm.training.loop import Objects, Training

TOKENS = torch.zeros(2, 3, dtype=torch.int64)


class Counts(nn.Module):
    """A loss that keeps a state in a buffer, and may draw."""

    def __init__(self, *, draws: bool = False) -> None:
        super().__init__()
        self.draws = draws
        self.register_buffer("passes", torch.zeros(()))

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Two, plus the number of passes, plus noise."""
        self.passes.add_(1.0)  # type: ignore[operator]
        noise = torch.rand(tokens_BT.shape) if self.draws else 0.0
        return torch.full(tokens_BT.shape, 2.0) + self.passes + noise


@pytest.mark.parametrize(("precision", "off"), [("fp32", 0.001), ("bf16", 0.3)])
def test_other_numbers_end_the_run_in_words(precision: str, off: float) -> None:
    """At the first use in training, and at the first in evaluation."""
    model = Counts()
    for is_training in (True, False):
        model.train()
        wrong = compared(
            lambda *given, when=is_training: model.loss(*given) + off * (model.training == when),
            model.loss,
            model,
            precision,  # type: ignore[arg-type]
        )
        if not is_training:
            wrong(TOKENS, TOKENS)
            model.eval()
        with pytest.raises(RunError, match=r"compiled, a mean over a batch is .* without compiling"):
            wrong(TOKENS, TOKENS)


def test_pairs_and_rounding_pass() -> None:
    """What training lowers and the losses are both compared; sums in another order are the same."""
    model = Counts()
    eager = lambda *given: (model.loss(*given).sum(), model.loss(*given))  # noqa: E731
    graph = compared(lambda *given: tuple(x + 1e-6 for x in eager(*given)), eager, model, "fp32")  # type: ignore
    graph(TOKENS, TOKENS)
    wrong = compared(lambda *given: (eager(*given)[0] + 1, eager(*given)[1]), eager, model, "fp32")
    with pytest.raises(RunError):
        wrong(TOKENS, TOKENS)


def test_the_comparison_leaves_no_trace() -> None:
    """States and generators stand where the graph left them; a pass that draws is not compared."""
    model, calls = Counts(), []
    graph = compared(model.loss, lambda *given: calls.append(1) or model.loss(*given), model, "fp32")
    for passes in (1, 2):
        graph(TOKENS, TOKENS)
        assert model.passes == passes
        assert len(calls) == 1
    drawing, before = Counts(draws=True), torch.get_rng_state()
    ours = compared(drawing.loss, lambda *given: calls.append(1) or drawing.loss(*given), drawing, "fp32")(
        TOKENS, TOKENS
    )
    assert len(calls) == 1
    torch.set_rng_state(before)
    assert torch.equal(ours, Counts(draws=True).loss(TOKENS, TOKENS))


SIZES = {"depth": 2, "width": 8, "heads": 2, "context_tokens": 5}


class Own(nn.Module):
    """Of somebody else."""

    def forward(self, x: Tensor) -> Tensor:
        """Nobody knows."""
        return x


def test_what_may_differ_between_training_and_evaluation_is_known() -> None:
    """What drops or draws, and everything that is not the package's own."""
    model = uniform(**SIZES).build(vocabulary=7, init=Init(0))
    assert not has_modes(model)
    assert has_modes(uniform(**SIZES, dropout=0.1).build(vocabulary=7, init=Init(0)))
    model.norm = Own()
    assert has_modes(model)
    assert has_modes(nn.Sequential(nn.Linear(2, 2)))  # a container that is not on the list
    assert has_modes(nn.Dropout(0.5))
    path = ("0", Keep(name="x"), NoiseState(std=1.0, seed=3), InjectSum(of="x"), "1")
    noisy = vary(uniform(**SIZES), {"path": path})
    assert has_modes(noisy.build(vocabulary=7, init=Init(0)))


@pytest.mark.parametrize(("dropout", "graphs"), [(0.0, 1), (0.1, 2)])
def test_one_graph_serves_evaluation_and_training(dropout: float, graphs: int) -> None:
    """Where a model does the same in both; the losses are those of the eager model in evaluation."""
    model = uniform(**SIZES, dropout=dropout).build(vocabulary=7, init=Init(0))
    settings = Settings(device="cpu", precision="fp32", compiled=True, threads=1)
    made = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        made.append(graph)
        return graph

    torch._dynamo.reset()
    loss = build_loss(model, settings, backend=counting)  # type: ignore[arg-type]
    windows = torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens_BT=windows[:, :-1].contiguous(), targets_BT=windows[:, 1:].contiguous())

    def objective(part: Batch, step: int) -> tuple[Tensor, Tensor]:
        losses_BT = loss(part.tokens_BT, part.targets_BT)
        return losses_BT.mean(), losses_BT

    training = Training(
        Objects(
            model=model,
            token_loss=loss,
            is_compiled=True,
            has_modes=has_modes(model),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            rate_factor=lambda step: 1.0,
            objective=objective,
            batch=lambda step: batch,
            num_steps=3,
        )
    )
    assert training.compiled.seconds == 0
    for _ in range(2):
        found = training.evaluate(windows.numpy(), batch_windows=4)
        assert training.compiled.seconds > 0  # whoever passes the model first is who waits for it
        model.eval()
        with torch.no_grad():
            expected = token_loss(model, batch.tokens_BT, batch.targets_BT)
        model.train()
        torch.testing.assert_close(torch.from_numpy(found), expected)
        training.train_step()
    assert len(made) == graphs
    torch._dynamo.reset()
