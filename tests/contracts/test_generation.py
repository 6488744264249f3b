"""A text that is continued from what earlier passes left is the text that is computed from its beginning.

Over everything that a model can be made of. An element that cannot be continued says so, and is then computed anew.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from model_facts import moved
from test_blocks import ELEMENTS, WIDTH, around_of
from test_models import MODELS
from test_roots import READOUTS, ROOTS
from torch import nn

from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import PathElement, Surroundings
from vslm.models.elements.resizes import UNet, ZeroPad
from vslm.models.elements.states import InjectSum, Keep, LearnedState, NoiseState
from vslm.models.generation import generate
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.parts.attention import Attention
from vslm.models.parts.kernels import KERNELS, OracleKernel, Where, build_kernel
from vslm.models.parts.learned_roots import ProjectedRoot
from vslm.models.parts.normalizers import Sink, Softmax
from vslm.models.parts.past import WHOLE, TextSoFar
from vslm.models.parts.readouts import Readout, Untied
from vslm.models.parts.reads import BothReads, MemoryReads, StreamReads
from vslm.models.parts.roots import Root, TokenRoot
from vslm.models.parts.stream import Stream

VOCABULARY, CONTEXT_TOKENS = 53, 43
# A first piece, one by one until the windows of 1, 4, 5, 7 and 11 hide what came first, then larger steps to the end.
LENGTHS = (3, *range(4, 14), 20, 21, CONTEXT_TOKENS)


def around_element(element: PathElement) -> Model:
    """A model in which the element is visited twice, between blocks that read both the stream and the memory."""
    block = Block(width=WIDTH, attention=Attention(heads=3), reads=BothReads())
    kept: tuple[PathElement, ...] = tuple(Keep(name=name) for name in element.needed_names())
    back: tuple[PathElement, ...] = (ZeroPad(width=WIDTH),) if element.width_out(WIDTH) != WIDTH else ()
    if isinstance(element, LearnedState | NoiseState):  # without an injection the logits would be those of no text
        kept, back = (Keep(name="first"),), (InjectSum(of="first"),)
    memory_width = around_of(element).memory_width
    # Its second visit finds what the first one saved, and so needs weights of its own.
    there = element if isinstance(element, UNet) else "element"
    return Model(
        root=ProjectedRoot(width=WIDTH, tokens=TokenRoot(width=memory_width, std=1.0)),
        blocks=FrozenDict({"a": block} if there is element else {"a": block, "element": element}),
        path=(*kept, "a", there, *back, "a", there, *back),
        readout=Untied(),
        context_tokens=CONTEXT_TOKENS,
    )


def around_root(root: Root, readout: Readout) -> Model:
    """A model that starts and ends so."""
    reads = StreamReads() if root.starts_from_tokens else MemoryReads()
    block = Block(width=root.stream_width, attention=Attention(heads=1, head_width=4, window_tokens=7), reads=reads)
    return Model(
        root=root, blocks=FrozenDict({"a": block}), path=("a",), readout=readout, context_tokens=CONTEXT_TOKENS
    )


CASES = {
    **{name: dataclasses.replace(model, context_tokens=CONTEXT_TOKENS) for name, model in MODELS.items()},
    **{f"element {i}": around_element(element) for i, element in enumerate(ELEMENTS)},
    **{f"root {i}": around_root(root, Untied()) for i, root in enumerate(ROOTS)},
    **{f"readout {i}": around_root(ROOTS[0], readout) for i, readout in enumerate(READOUTS)},
}


def built(model: Model, dtype: torch.dtype) -> LanguageModel:
    """The module, in evaluation, away from its start."""
    return moved(model.build(vocabulary=VOCABULARY, init=Init(0)).eval()).to(dtype)


def assert_continues(module: LanguageModel, tolerance: float, lengths: Iterable[int]) -> None:
    """Of texts that grow to these lengths."""
    tokens_BT = torch.randint(VOCABULARY, (2, module.context_tokens), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected_BTV = module(tokens_BT)
        so_far = TextSoFar()
        for num_tokens in lengths:
            found_BV = module.next_logits(tokens_BT[:, :num_tokens], so_far)
            worst = float((found_BV - expected_BTV[:, num_tokens - 1]).abs().max())
            assert worst <= tolerance, f"{worst} at {num_tokens}"


@pytest.mark.parametrize("model", CASES.values(), ids=CASES.keys())
def test_continued_equals_computed_anew(model: Model) -> None:
    """Within 1e-9 in float64, whatever the model is made of: up to the context, after a first piece of several tokens,
    then one by one, then in larger steps.
    """
    module = built(model, torch.float64)
    assert module.can_continue  # of the catalog every part can
    assert_continues(module, 1e-9, LENGTHS)


@pytest.mark.parametrize("name", MODELS)
def test_in_fp32_it_differs_by_rounding_alone(name: str) -> None:
    """Within 1e-4, in a few steps."""
    assert_continues(built(CASES[name], torch.float32), 1e-4, (3, 4, 20, 37))


@dataclass(frozen=True, kw_only=True)
class MeanSoFar(PathElement):
    """The mean of all positions up to here; it asks no past, so it cannot be continued."""

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module."""
        return MeanSoFarModule()


class SaidMeanSoFar(MeanSoFar):
    """The same, and says so."""

    can_continue: ClassVar[bool] = False


class MeanSoFarModule(nn.Module):
    """See `MeanSoFar`."""

    def forward(self, stream: Stream) -> Stream:
        """The mean, added."""
        counts_T1 = torch.arange(1, stream.x_BTD.shape[1] + 1)[:, None]
        return stream._replace(x_BTD=stream.x_BTD + stream.x_BTD.cumsum(dim=1) / counts_T1)


def test_an_element_that_keeps_nothing_fails_unless_it_says_so() -> None:
    """The contract above would catch it; declared, its model is computed anew, token by token."""
    with pytest.raises(AssertionError, match="at 4"):
        assert_continues(built(around_element(MeanSoFar()), torch.float64), 1e-9, LENGTHS)
    module = built(around_element(SaidMeanSoFar()), torch.float64)
    assert not module.can_continue
    assert_writes_what_it_predicts(module)


@pytest.mark.parametrize("name", ["plain", "core with a matrix", "shifted", "window"])
def test_generation_takes_the_likeliest_token_of_the_whole_text(name: str) -> None:
    """Token by token against the model on the whole text, into the lengths beyond the context."""
    assert_writes_what_it_predicts(built(CASES[name], torch.float64))


def assert_writes_what_it_predicts(module: LanguageModel) -> None:
    """Greedy generation against a forward pass over the last `context_tokens` for each token."""
    prompt_T = torch.tensor([7, 3, 11])
    num_tokens = module.context_tokens + 5
    found = list(generate(module, prompt_T, num_tokens=num_tokens, temperature=0, generator=torch.Generator()))
    text = prompt_T.tolist()
    with torch.no_grad():
        for token in found:
            logits_V = module(torch.tensor([text[-module.context_tokens :]]))[0, -1]
            best = int(logits_V.argmax())
            assert token == best or float(logits_V[best] - logits_V[token]) < 1e-9
            text.append(token)
    assert len(found) == num_tokens


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("name", ["core with a sum", "core with a matrix", "few gradients"])
def test_continued_with_other_loops_equals_computed_anew(name: str, times: int) -> None:
    """Each visit of a view with fewer or more loops keeps what is its own."""
    assert_continues(built(CASES[name], torch.float64).with_loops(times), 1e-9, LENGTHS)


def test_each_position_is_computed_once() -> None:
    """Up to the context the blocks see one new position per token; beyond it, all of them."""
    module = built(CASES["plain"], torch.float32)
    seen: list[int] = []
    module.blocks["0"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].x_BTD.shape[1]))
    list(generate(module, torch.tensor([5, 6, 7]), num_tokens=CONTEXT_TOKENS, generator=torch.Generator()))
    assert seen == [3] + [1] * (CONTEXT_TOKENS - 3) + [CONTEXT_TOKENS] * 2


def test_a_window_keeps_only_what_it_needs_and_visits_are_apart() -> None:
    """window - 1 keys per visit; a block that is visited twice keeps twice."""
    so_far = TextSoFar()
    kernel = OracleKernel(window_tokens=4, dropout=0.0)
    normalizer = Softmax().build(heads=1, init=Init(0))
    q, k, v = (torch.randn(1, 9, 1, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    expected = kernel(q, k, v, normalizer)
    first, second = so_far.at(0), so_far.at(1)
    for start, stop in ((0, 2), (2, 3), (3, 9)):
        part = slice(start, stop)
        found = first.attend(kernel, q[:, part], k[:, part], v[:, part], normalizer)
        torch.testing.assert_close(found, expected[:, part])
        second.attend(kernel, q[:, part], k[:, part], -v[:, part], normalizer)
    assert {place: kept[0].shape[1] for place, kept in so_far._kept.items()} == {(0,): 3, (1,): 3}
    torch.testing.assert_close(so_far._kept[0,][1], -so_far._kept[1,][1])


def test_nothing_came_before_a_whole_text() -> None:
    """Zero before the first vector; nothing is kept."""
    x_BTD = torch.ones(2, 3, 5)
    assert WHOLE.at(3) is WHOLE
    assert torch.equal(WHOLE.before(x_BTD), torch.zeros(2, 1, 5))
    assert WHOLE.rest(x_BTD) is x_BTD


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["plain", "window", "core with a matrix", "core with changes", "shifted", "ahead"])
def test_continued_equals_computed_anew_on_a_gpu(name: str) -> None:
    """With the kernels that a GPU gets."""
    model = CASES[name]
    kernels = model.kernels(Where("cuda"))
    module = model.build(vocabulary=VOCABULARY, init=Init(0), kernels=kernels).eval().cuda()
    tokens_BT = torch.randint(VOCABULARY, (2, CONTEXT_TOKENS), generator=torch.Generator().manual_seed(0)).cuda()
    with torch.no_grad():
        expected_BTV = module(tokens_BT)
        so_far = TextSoFar()
        for num_tokens in range(3, CONTEXT_TOKENS + 1):
            found_BV = module.next_logits(tokens_BT[:, :num_tokens], so_far)
            torch.testing.assert_close(found_BV, expected_BTV[:, num_tokens - 1], rtol=1e-3, atol=1e-3)


def test_every_kernel_says_its_window() -> None:
    """The past reads it to know what to keep."""
    for kernel in KERNELS:
        normalizer = Sink() if kernel == "flash" else Softmax()
        window = None if kernel in ("sdpa", "flash") else 5
        built_kernel = build_kernel(kernel, normalizer, window_tokens=window, context_tokens=13, dropout=0.0)
        assert built_kernel.window_tokens == window
