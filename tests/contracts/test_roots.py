"""Contracts of every root and every readout."""

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    moved,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from vslm.core.errors import SpecError
from vslm.models.initialization import Init
from vslm.models.parts.learned_roots import LearnedRoot, MixedRoot, ProjectedRoot, ShiftedRoot, WidenedRoot
from vslm.models.parts.norms import LayerNorm
from vslm.models.parts.readouts import Readout, Tied, TiedProjected, Untied, readout_shapes
from vslm.models.parts.roots import Root, TokenPositionRoot, TokenRoot, root_shapes
from vslm.models.parts.scales import FanIn, FixedStd
from vslm.optim.groups import roles

TOKENS = [TokenRoot(width=19, std=0.5, dropout=0.3), TokenPositionRoot(width=23, std=0.5)]
ROOTS = [
    TokenRoot(width=19),
    TokenRoot(width=19, std=0.5, multiplier=3.0, dropout=0.3),
    TokenRoot(width=19, std=0.5, multiplier=3.0, normed=True),
    TokenPositionRoot(width=23),
    TokenPositionRoot(width=23, std=0.5, dropout=0.3),
    *(ShiftedRoot(tokens=tokens) for tokens in TOKENS),
    *(MixedRoot(tokens=tokens) for tokens in TOKENS),
    MixedRoot(tokens=TOKENS[0], gate_per_coordinate=True, std=0.5),
    *(LearnedRoot(width=29, tokens=tokens) for tokens in TOKENS),
    *(WidenedRoot(learned_width=11, tokens=tokens) for tokens in TOKENS),
    *(ProjectedRoot(width=29, tokens=tokens) for tokens in TOKENS),
    ProjectedRoot(width=29, tokens=TOKENS[0], scale=FixedStd(value=0.3)),
]
READOUTS = [
    Tied(),
    Tied(norm=LayerNorm()),
    TiedProjected(),
    TiedProjected(norm=LayerNorm(), scale=FixedStd(value=0.3)),
    Untied(),
    Untied(norm=LayerNorm(bias=False), std=0.3),
]
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


def test_reads_back() -> None:
    """The record of a root or readout makes the same one."""
    for spec in (*ROOTS, *READOUTS):
        assert_reads_back(spec)


def test_a_root_owns_its_parameters(root: Root) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS}
    assert_owns_its_parameters(
        lambda init: root.build(**sizes, init=init),
        root_shapes(root, **sizes),
        lambda module: module(tokens_of(7)).x_BTD,
    )
    tables = ("embedding_VE", "position_TE")
    named = root.build(**sizes, init=Init(0)).named_parameters()
    rest = sum(p.numel() for name, p in named if name.rsplit(".", 1)[-1] not in tables)
    shapes = root_shapes(root, **sizes)
    assert shapes.num_parameters - shapes.num_table_parameters == rest
    assert root.forward_flops_per_token() == 2 * rest


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
    """A token changes stream and memory at its own place, or later, in its own row only; away from the start."""
    module = moved(root.build(vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0)).eval())
    tokens_BT = tokens_of(CONTEXT_TOKENS)
    before = module(tokens_BT)
    tokens_BT[0, 5] = (tokens_BT[0, 5] + 1) % VOCABULARY
    after = module(tokens_BT)
    for a, b in ((before.x_BTD, after.x_BTD), (before.memory_BSE, after.memory_BSE)):
        assert torch.equal(a[1:], b[1:])
        assert torch.equal(a[0, :5], b[0, :5])
    assert not torch.equal(before.memory_BSE[0, 5], after.memory_BSE[0, 5])
    assert torch.equal(before.x_BTD[0, 5], after.x_BTD[0, 5]) != root.starts_from_tokens


def test_tables_of_a_root_are_embeddings_to_an_optimizer(root: Root) -> None:
    """What is counted as embeddings has that role, so that weight decay leaves it alone; and nothing else has."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS}
    module = root.build(**sizes, init=Init(0))
    named = dict(module.named_parameters())
    tables = [named[name] for name, role in roles(module).items() if role == "embedding"]
    assert sum(p.numel() for p in tables) == root_shapes(root, **sizes).num_table_parameters
    assert any(p is module.embedding_VE for p in tables)


def test_tables_of_a_readout_are_embeddings_to_an_optimizer(readout: Readout) -> None:
    """Those with a row per token, and nothing else."""
    ends = readout.build(width=19, memory_width=7, vocabulary=VOCABULARY, init=Init(0))
    rows = {name: len(p) for name, p in ends.named_parameters()}
    assert {name: role == "embedding" for name, role in roles(ends).items()} == {
        name: count == VOCABULARY for name, count in rows.items()
    }


def test_a_dropout_belongs_to_training(root: Root) -> None:
    """Evaluation is the same twice; training drops where a dropout is declared."""
    module = root.build(vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0))
    assert torch.equal(module.eval()(tokens_of(7)).x_BTD, module(tokens_of(7)).x_BTD)
    module.train()
    torch.manual_seed(0)
    dropped = (module(tokens_of(7)).memory_BSE == 0).float().mean()
    expected = getattr(getattr(root, "tokens", root), "dropout", 0.0)
    assert abs(float(dropped) - expected) < 0.1
    assert (expected == 0) == (float(dropped) == 0)


def test_a_normed_embedding_enters_at_one_scale() -> None:
    """Whatever its length: the multiplier is the root mean square of what enters, and a readout sees the embedding."""
    module = TokenRoot(width=19, std=0.5, multiplier=3.0, normed=True).build(
        vocabulary=VOCABULARY, context_tokens=CONTEXT_TOKENS, init=Init(0)
    )
    with torch.no_grad():
        module.embedding_VE[:7] *= 10.0
    x_BTD = module(tokens_of(7)).x_BTD
    torch.testing.assert_close(x_BTD.square().mean(dim=-1).sqrt(), torch.full(x_BTD.shape[:2], 3.0), rtol=1e-5, atol=0)
    rows_BTD = module.embedding_VE[tokens_of(7)]
    cosine = torch.nn.functional.cosine_similarity(x_BTD, rows_BTD, dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


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


def shared(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by the last part of their name: where an embedding stands differs between roots."""
    return {name.rsplit(".", 1)[-1]: p for name, p in module.named_parameters()}


def test_every_root_starts_with_the_same_embedding_and_the_same_vector() -> None:
    """What two roots share starts equal, so arms that differ in the root are pairs."""
    tokens = TokenRoot(width=19)
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS, "init": Init(0)}
    plain = tokens.build(**sizes)
    learned_D = shared(LearnedRoot(width=19, tokens=tokens).build(**sizes))["learned_D"]
    others = (LearnedRoot(width=19, tokens=tokens), ShiftedRoot(tokens=tokens), MixedRoot(tokens=tokens))
    for root in (*others, WidenedRoot(learned_width=19, tokens=tokens), ProjectedRoot(width=7, tokens=tokens)):
        parameters = shared(root.build(**sizes))
        assert torch.equal(parameters["embedding_VE"], plain.embedding_VE)
        assert torch.equal(parameters.get("learned_D", learned_D), learned_D)
        assert torch.equal(root.build(**sizes)(tokens_of(7)).memory_BSE, plain(tokens_of(7)).memory_BSE)


@pytest.mark.parametrize("tokens", TOKENS, ids=repr)
def test_derived_roots_by_hand(tokens: Root) -> None:
    """Each formula, written out on the start of the other root, with every parameter away from its start."""
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS, "init": Init(0)}
    width, tokens_BT = tokens.stream_width, tokens_of(7)

    def moved(root: Root) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        module = root.build(**sizes).eval()
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        stream = module(tokens_BT)
        return dict(module.named_parameters()), stream.memory_BSE, stream.x_BTD

    w, memory_BSE, x_BTD = moved(ShiftedRoot(tokens=tokens))
    torch.testing.assert_close(x_BTD, memory_BSE + w["learned_D"])
    for per_coordinate in (False, True):
        w, memory_BSE, x_BTD = moved(MixedRoot(tokens=tokens, gate_per_coordinate=per_coordinate))
        assert w["gate"].shape == ((width,) if per_coordinate else (1,))
        torch.testing.assert_close(x_BTD, w["gate"] * memory_BSE + (1 - w["gate"]) * w["learned_D"])
    w, memory_BSE, x_BTD = moved(LearnedRoot(width=29, tokens=tokens))
    assert torch.equal(x_BTD, w["learned_D"].expand(BATCH, 7, 29))
    w, memory_BSE, x_BTD = moved(WidenedRoot(learned_width=11, tokens=tokens))
    assert torch.equal(x_BTD[..., :width], memory_BSE)
    assert torch.equal(x_BTD[..., width:], w["learned_D"].expand(BATCH, 7, 11))
    w, memory_BSE, x_BTD = moved(ProjectedRoot(width=29, tokens=tokens))
    torch.testing.assert_close(x_BTD, memory_BSE @ w["projection.weight"].T)


def test_learned_starts_are_vectors_with_the_deviation_that_is_declared() -> None:
    """One-dimensional, so optimizers give no weight decay; mixing starts as the token to the bit."""
    tokens = TokenRoot(width=1009)
    sizes = {"vocabulary": VOCABULARY, "context_tokens": CONTEXT_TOKENS, "init": Init(0)}
    for root in (
        ShiftedRoot(tokens=tokens),
        MixedRoot(tokens=tokens, gate_per_coordinate=True),
        LearnedRoot(width=1009, tokens=tokens),
        WidenedRoot(learned_width=1009, tokens=tokens),
    ):
        module = root.build(**sizes)
        assert all(role == "vector" for name, role in roles(module).items() if name != "tokens.embedding_VE")
        assert abs(module.learned_D.std().item() - 0.02) < 0.002
    for per_coordinate in (False, True):
        mixed = MixedRoot(tokens=tokens, gate_per_coordinate=per_coordinate).build(**sizes)
        assert torch.equal(mixed(tokens_of(7)).x_BTD, tokens.build(**sizes)(tokens_of(7)).x_BTD)


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
    widths = {"width": 19, "memory_width": 19 if isinstance(readout, Tied) else 23, "vocabulary": VOCABULARY}
    x_BTD, embedding_VE = torch.randn(2, 5, 19), torch.randn(VOCABULARY, widths["memory_width"])
    assert readout.build(**widths, init=Init(0))(x_BTD, embedding_VE).shape == (2, 5, 31)
    assert_owns_its_parameters(
        lambda init: readout.build(**widths, init=init),
        readout_shapes(readout, **widths),
        lambda module: module(x_BTD, embedding_VE),
    )


def test_flops_of_a_readout_are_what_torch_counts(readout: Readout) -> None:
    """Only products: two for every weight that is multiplied by, the root's embedding included."""
    widths = {"width": 19, "memory_width": 19 if isinstance(readout, Tied) else 23, "vocabulary": VOCABULARY}
    module = readout.build(**widths, init=Init(0))
    with FlopCounterMode(display=False) as counter:
        module(torch.randn(1, 1, 19), torch.randn(VOCABULARY, widths["memory_width"]))
    assert counter.get_total_flops() == readout.forward_flops_per_token(**widths)


def test_tied_through_a_matrix_starts_at_the_scale_of_tied() -> None:
    """A stream of unit scale gets logits as large as an embedding of that width would give it, whatever its own."""
    embedding_VE = torch.randn(1009, 101) * 0.02
    tied = Tied().build(width=101, memory_width=101, vocabulary=1009, init=Init(0))
    expected = tied(torch.randn(7, 101), embedding_VE).std()
    for width in (53, 211):
        module = TiedProjected().build(width=width, memory_width=101, vocabulary=1009, init=Init(0))
        torch.testing.assert_close(module(torch.randn(7, width), embedding_VE).std(), expected, rtol=0.2, atol=0)
        x_BTD = torch.randn(2, 3, width)
        by_hand = x_BTD @ module.projection.weight.T @ embedding_VE.T
        torch.testing.assert_close(module(x_BTD, embedding_VE), by_hand)


def test_tied_is_the_embedding_read_backwards_and_untied_does_not_look() -> None:
    """The logits of Tied are products with the embedding; those of Untied do not change with it."""
    x_BTD, embedding_VE = torch.randn(2, 5, 19), torch.randn(VOCABULARY, 19)
    widths = {"width": 19, "memory_width": 19, "vocabulary": VOCABULARY}
    tied = Tied().build(**widths, init=Init(0))
    torch.testing.assert_close(tied(x_BTD, embedding_VE), functional.linear(x_BTD, embedding_VE))
    untied = Untied().build(**widths, init=Init(0))
    assert torch.equal(untied(x_BTD, embedding_VE), untied(x_BTD, torch.zeros_like(embedding_VE)))


def test_what_cannot_be_is_refused() -> None:
    """Widths below 1, deviations and dropouts out of range, a tied readout of another width."""
    for name, value in {"width": 0, "std": 0.0, "dropout": 1.0}.items():
        for cls in (TokenRoot, TokenPositionRoot):
            with pytest.raises(SpecError, match=name):
                cls(**{"width": 19, name: value})
    with pytest.raises(SpecError, match=r"Tied\(\) reads width 23 with an embedding of width 19"):
        Tied().check_widths(width=23, memory_width=19)
    for readout in (Untied(), TiedProjected(scale=FanIn(gain=0.5))):
        readout.check_widths(width=23, memory_width=19)
    for make, name in (
        (lambda: LearnedRoot(width=0, tokens=TOKENS[0]), "width: found 0; 1 or more"),
        (lambda: LearnedRoot(width=3, tokens=TOKENS[0], std=0.0), "std"),
        (lambda: ShiftedRoot(tokens=TOKENS[0], std=-1.0), "std"),
        (lambda: MixedRoot(tokens=TOKENS[0], std=0.0), "std"),
        (lambda: WidenedRoot(learned_width=0, tokens=TOKENS[0]), "learned_width"),
        (lambda: WidenedRoot(learned_width=3, tokens=TOKENS[0], std=0.0), "std: found 0.0; a number above 0"),
        (lambda: ProjectedRoot(width=0, tokens=TOKENS[0]), "width"),
    ):
        with pytest.raises(SpecError, match=name):
            make()
    with pytest.raises(SpecError, match="std"):
        Untied(std=-1.0)
