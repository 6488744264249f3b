"""Contracts of every root and every readout."""

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
)
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.norms import LayerNorm
from vslm.models.readouts import Readout, Tied, Untied
from vslm.models.roots import Root, TokenPositionRoot, TokenRoot
from vslm.optim.groups import roles

ROOTS = [
    TokenRoot(width=19),
    TokenRoot(width=19, std=0.5, multiplier=3.0, dropout=0.3),
    TokenPositionRoot(width=23),
    TokenPositionRoot(width=23, std=0.5, dropout=0.3),
]
READOUTS = [Tied(), Tied(norm=LayerNorm()), Untied(), Untied(norm=LayerNorm(bias=False), std=0.3)]
VOCABULARY, CONTEXT_TOKENS, BATCH = 31, 13, 3


@pytest.fixture(params=ROOTS, ids=repr)
def root(request: pytest.FixtureRequest) -> Root:
    """Each root."""
    return request.param


@pytest.fixture(params=READOUTS, ids=repr)
def readout(request: pytest.FixtureRequest) -> Readout:
    """Each readout."""
    return request.param


def tokens_of(num_tokens: int) -> torch.Tensor:
    """Random tokens, the same at each call."""
    return torch.randint(VOCABULARY, (BATCH, num_tokens), generator=torch.Generator().manual_seed(0))


def test_the_lists_are_complete() -> None:
    """Every root and readout of the room is in the lists above."""
    assert_every_class_is_tested(Root, ROOTS)
    assert_every_class_is_tested(Readout, READOUTS)


def test_reads_back(root: Root, readout: Readout) -> None:
    """The record of a root or readout makes the same one."""
    assert_reads_back(root)
    assert_reads_back(readout)


def test_a_root_owns_its_parameters(root: Root) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS}
    assert_owns_its_parameters(
        lambda init: root.build(**sizes, init=init),
        root.num_parameters(**sizes),
        lambda module: module(tokens_of(7)).x_BTD,
    )
    assert root.num_embedding_parameters(**sizes) <= root.num_parameters(**sizes)


@pytest.mark.parametrize("num_tokens", [1, 7, CONTEXT_TOKENS])
def test_a_root_starts_the_stream(root: Root, num_tokens: int) -> None:
    """Stream and memory have the declared widths, at every length up to the context, with finite gradients."""
    module = root.build(vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0)).eval()
    stream = module(tokens_of(num_tokens))
    assert stream.x_BTD.shape == (BATCH, num_tokens, root.stream_width)
    assert stream.memory_BSE.shape == (BATCH, num_tokens, root.memory_width)
    assert stream.saved == {}
    assert module.embedding_VE.shape == (VOCABULARY, root.memory_width)
    assert_finite_gradients(torch.cat((stream.x_BTD, stream.memory_BSE), dim=-1), module)


def test_a_root_is_causal_and_keeps_rows_apart(root: Root) -> None:
    """A token changes stream and memory at its own place, or later, in its own row only."""
    module = root.build(vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0)).eval()
    tokens_BT = tokens_of(CONTEXT_TOKENS)
    before = module(tokens_BT)
    tokens_BT[0, 5] = (tokens_BT[0, 5] + 1) % VOCABULARY
    after = module(tokens_BT)
    for a, b in ((before.x_BTD, after.x_BTD), (before.memory_BSE, after.memory_BSE)):
        assert torch.equal(a[1:], b[1:])
        assert torch.equal(a[0, :5], b[0, :5])
    assert not torch.equal(before.memory_BSE[0, 5], after.memory_BSE[0, 5])


def test_tables_are_embeddings_to_an_optimizer(root: Root, readout: Readout) -> None:
    """What is counted as embeddings has that role, so that weight decay leaves it alone; and nothing else has."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS}
    module = root.build(**sizes, init=Init(0))
    named = dict(module.named_parameters())
    tables = [named[name] for name, role in roles(module).items() if role == "embedding"]
    assert sum(p.numel() for p in tables) == root.num_embedding_parameters(**sizes)
    assert any(p is module.embedding_VE for p in tables)
    assert set(roles(readout.build(width=19, vocabulary=VOCABULARY, init=Init(0))).values()) <= {"embedding"}


def test_a_dropout_belongs_to_training(root: Root) -> None:
    """Evaluation is the same twice; training drops where a dropout is declared."""
    module = root.build(vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0))
    assert torch.equal(module.eval()(tokens_of(7)).x_BTD, module(tokens_of(7)).x_BTD)
    module.train()
    torch.manual_seed(0)
    dropped = (module(tokens_of(7)).x_BTD == 0).float().mean()
    expected = getattr(root, "dropout", 0.0)
    assert abs(float(dropped) - expected) < 0.1
    assert (expected == 0) == (float(dropped) == 0)


def test_positions_tell_equal_tokens_apart() -> None:
    """TokenPositionRoot adds one vector per position, TokenRoot none."""
    tokens_BT = torch.full((1, 3), 5)
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS, "init": Init(0)}
    plain = TokenRoot(width=19, multiplier=1.0).build(**sizes)(tokens_BT).x_BTD
    placed = TokenPositionRoot(width=19).build(**sizes)(tokens_BT).x_BTD
    assert torch.equal(plain[0, 0], plain[0, 2])
    assert not torch.equal(placed[0, 0], placed[0, 2])
    # What the two roots share starts equal: they differ by the positions alone.
    position_TE = TokenPositionRoot(width=19).build(**sizes).position_TE
    torch.testing.assert_close(placed[0] - plain[0], position_TE[:3], rtol=0, atol=1e-7)


def test_a_multiplier_scales_what_enters_and_not_what_is_read() -> None:
    """The stream and the memory are `multiplier` times the embedding; the embedding itself starts equal."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS, "init": Init(0)}
    plain, louder = (TokenRoot(width=19, multiplier=factor).build(**sizes) for factor in (1.0, 7.0))
    assert torch.equal(plain.embedding_VE, louder.embedding_VE)
    torch.testing.assert_close(louder(tokens_of(5)).x_BTD, 7 * plain(tokens_of(5)).x_BTD)
    with pytest.raises(SpecError, match="multiplier"):
        TokenRoot(width=19, multiplier=0.0)


def test_a_readout_owns_its_parameters(readout: Readout) -> None:
    """Counted, seeded, saved, and apart from other instances; logits of every token."""
    x_BTD, embedding_VE = torch.randn(2, 5, 19), torch.randn(VOCABULARY, 19)
    assert readout.build(width=19, vocabulary=VOCABULARY, init=Init(0))(x_BTD, embedding_VE).shape == (2, 5, 31)
    assert_owns_its_parameters(
        lambda init: readout.build(width=19, vocabulary=VOCABULARY, init=init),
        readout.num_parameters(width=19, vocabulary=VOCABULARY),
        lambda module: module(x_BTD, embedding_VE),
    )


def test_tied_is_the_embedding_read_backwards_and_untied_does_not_look() -> None:
    """The logits of Tied are products with the embedding; those of Untied do not change with it."""
    x_BTD, embedding_VE = torch.randn(2, 5, 19), torch.randn(VOCABULARY, 19)
    tied = Tied().build(width=19, vocabulary=VOCABULARY, init=Init(0))
    torch.testing.assert_close(tied(x_BTD, embedding_VE), functional.linear(x_BTD, embedding_VE))
    untied = Untied().build(width=19, vocabulary=VOCABULARY, init=Init(0))
    assert torch.equal(untied(x_BTD, embedding_VE), untied(x_BTD, torch.zeros_like(embedding_VE)))


def test_what_cannot_be_is_refused() -> None:
    """Widths below 1, deviations and dropouts out of range, a tied readout of another width."""
    for name, value in {"width": 0, "std": 0.0, "dropout": 1.0}.items():
        for cls in (TokenRoot, TokenPositionRoot):
            with pytest.raises(SpecError, match=name):
                cls(**{"width": 19, name: value})
    with pytest.raises(SpecError, match=r"Tied\(\) reads width 23 with an embedding of width 19"):
        Tied().check_widths(width=23, memory_width=19)
    Untied().check_widths(width=23, memory_width=19)
    with pytest.raises(SpecError, match="std"):
        Untied(std=-1.0)
