"""A graph that answers something else than the eager loss ends the run; one that does not changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import RunError
from vslm.training.graphs import compared

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
