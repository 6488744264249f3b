"""The layouts with another root: what each changes, what it costs, and what it refuses."""

import dataclasses

import pytest
import torch
from torch import Tensor

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.core.specs import differences
from vslm.models.elements.blocks import Block
from vslm.models.elements.two_streams import MemoryBlock, TwoStreamBlock
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.layouts.roots import (
    learned_root,
    mixed_root,
    projected_root,
    shared_two_streams,
    shifted_root,
    two_streams,
    widened_root,
)
from vslm.models.parts.attention import Attention
from vslm.models.parts.learned_roots import LearnedRoot
from vslm.models.parts.readouts import Tied, TiedProjected, Untied
from vslm.models.parts.reads import BothReads, MemoryReads, StreamReads
from vslm.models.parts.stream import Stream

PLAIN = uniform(depth=3, width=12, heads=2, context_tokens=23)
VOCABULARY = 31


def built(model: Model) -> LanguageModel:
    """The module, in evaluation."""
    return model.build(vocabulary=VOCABULARY, init=Init(0)).eval()


def tokens_of(num_tokens: int = 23) -> Tensor:
    """Random tokens, the same at each call."""
    return torch.randint(VOCABULARY, (2, num_tokens), generator=torch.Generator().manual_seed(0))


def changed(model: Model) -> list[str]:
    """Dotted paths of what differs from the plain model."""
    return [path for path, _, _ in differences(PLAIN, model)]


def test_a_learned_mix_starts_bitwise_as_the_plain_model() -> None:
    """With one gate or one per coordinate, logits are equal to the bit; and the gate gets a gradient that moves it."""
    for per_coordinate in (False, True):
        for plain in (PLAIN, gpt2(depth=2, width=12, heads=2, context_tokens=23)):
            mixed = built(mixed_root(plain, gate_per_coordinate=per_coordinate))
            logits_BTV = mixed(tokens_of())
            assert torch.equal(logits_BTV, built(plain)(tokens_of()))
            logits_BTV.logsumexp(dim=-1).sum().backward()
            assert mixed.root.gate.grad.abs().sum() > 0  # type: ignore[union-attr]
            assert not mixed.root.learned_D.grad.any()  # type: ignore[union-attr]


def test_a_shift_of_nothing_is_the_plain_model() -> None:
    """The control is the plain model and a bias."""
    shifted = built(shifted_root(PLAIN))
    assert not torch.equal(shifted(tokens_of()), built(PLAIN)(tokens_of()))
    with torch.no_grad():
        shifted.root.learned_D.zero_()  # type: ignore[operator]
    assert torch.equal(shifted(tokens_of()), built(PLAIN)(tokens_of()))


def test_only_the_root_and_what_blocks_read_differ() -> None:
    """The difference of an arm from the plain model is the idea and nothing else."""
    reads = [f"blocks.{i}.reads" for i in range(3)]
    assert changed(shifted_root(PLAIN)) == changed(mixed_root(PLAIN)) == ["root"]
    assert changed(learned_root(PLAIN)) == ["root", "blocks.0.reads"]
    assert changed(learned_root(PLAIN, first_reads=BothReads(), later_reads=BothReads())) == ["root", *reads]
    assert changed(learned_root(PLAIN, embedding_width=7)) == ["root", "blocks.0.reads", "readout"]
    assert changed(widened_root(PLAIN, embedding_width=7)) == ["root", "readout"]
    assert changed(shared_two_streams(PLAIN)) == ["root", "blocks.0", "blocks.1", "blocks.2.reads"]
    untied = vary(PLAIN, {"readout": Untied()})
    assert learned_root(untied, embedding_width=7).readout == Untied()
    assert learned_root(PLAIN).readout == Tied()
    assert learned_root(PLAIN, embedding_width=7).readout == TiedProjected()
    assert projected_root(PLAIN, embedding_width=7).last_width == 12


def test_everything_after_the_root_starts_equal() -> None:
    """Blocks of one shape start with the plain model's values under every root: the arms are pairs."""
    plain = dict(built(PLAIN).named_parameters())
    for model, least in (
        (shifted_root(PLAIN), 27),
        (learned_root(PLAIN), 27),
        (two_streams(PLAIN), 27),
        (shared_two_streams(PLAIN), 27),
        (widened_root(PLAIN, embedding_width=7), 27),
    ):
        named = built(model).named_parameters()
        own = {name.replace(".block.", ".") for name, p in named if ".block." in name and "content" not in name}
        parameters = {name.replace(".block.", "."): p for name, p in built(model).named_parameters()}
        same = [name for name in plain if name in parameters and name.startswith("blocks.")]
        assert len(same) == least == len([name for name in plain if name.startswith("blocks.")])
        assert all(torch.equal(parameters[name], plain[name]) for name in same)
        assert (len(own) > 0) == (model.blocks["0"].__class__ is TwoStreamBlock)


def test_tokens_reach_a_learned_root_only_through_the_first_attention() -> None:
    """All positions start as the same vector; without the first value matrix the logits know no token."""
    module = built(learned_root(PLAIN))
    start: Stream = module.root(tokens_of())
    assert torch.equal(start.x_BTD, start.x_BTD[:1, :1].expand_as(start.x_BTD))
    assert not torch.equal(module(tokens_of())[0], module(tokens_of())[1])
    with torch.no_grad():
        module.blocks["0"].attention.value.weight.zero_()  # type: ignore[union-attr]
    logits_BTV = module(tokens_of())
    assert torch.equal(logits_BTV[0], logits_BTV[1])


def test_the_first_queries_differ_by_position_alone() -> None:
    """Before positions every query of the first block is the same vector; rotary gives each distance a score."""
    module = built(learned_root(PLAIN))
    stream: Stream = module.root(tokens_of())
    block = module.blocks["0"]
    q_BTD = block.attention.query(block.attention_norm(stream.x_BTD))  # type: ignore[operator,union-attr]
    torch.testing.assert_close(q_BTD, q_BTD[:, :1].expand_as(q_BTD))
    same_BT = torch.full((1, 23), 5)
    turned_BTHK, _ = block.attention.positions(q_BTD.unflatten(-1, (2, -1)), q_BTD.unflatten(-1, (2, -1)))  # type: ignore[operator,union-attr]
    assert not torch.allclose(turned_BTHK[:, 0], turned_BTHK[:, 1])
    # A text of one token looks the same from everywhere: rotary sees distances, and every value is equal.
    first: Stream = block(module.root(same_BT))  # type: ignore[operator]
    torch.testing.assert_close(first.x_BTD, first.x_BTD[:, :1].expand_as(first.x_BTD))


def test_two_streams_visit_content_between_predictions() -> None:
    """Content starts from the token and runs one block behind; nothing is computed that nothing reads."""
    model = two_streams(PLAIN, embedding_width=8)
    assert model.path == ("0", "content_0", "1", "content_1", "2")
    assert isinstance(model.root, LearnedRoot)
    assert (model.root.stream_width, model.root.memory_width, model.last_width) == (12, 8, 12)
    for i in range(2):
        content = model.blocks[f"content_{i}"]
        assert isinstance(content, MemoryBlock)
        assert (content.block.width, content.block.reads) == (8, StreamReads())
    for i in range(3):
        assert model.blocks[str(i)].reads == MemoryReads()  # type: ignore[attr-defined]
    shared = shared_two_streams(PLAIN)
    assert [type(shared.blocks[str(i)]) for i in range(3)] == [TwoStreamBlock, TwoStreamBlock, Block]


def test_the_content_stream_is_an_ordinary_model() -> None:
    """What arrives in the memory is the stream of a plain model with the content's blocks."""
    module = built(two_streams(PLAIN))
    plain = built(vary(PLAIN, {"blocks": FrozenDict({n: PLAIN.blocks[n] for n in ("0", "1")}), "path": ("0", "1")}))
    for i in range(2):
        plain.blocks[str(i)].load_state_dict(module.blocks[f"content_{i}"].block.state_dict())  # type: ignore[union-attr]
    stream, expected = module.root(tokens_of()), plain.root(tokens_of())
    for where in module.visits[:-1]:
        stream = module.blocks[where.removeprefix("blocks.")](stream)
    for name in ("0", "1"):
        expected = plain.blocks[name](expected)
    torch.testing.assert_close(stream.memory_BSE, expected.x_BTD)


def test_what_each_layout_costs() -> None:
    """Parameters beside the plain model's, by hand."""
    plain, width, norm = PLAIN.num_parameters(VOCABULARY), 12, 12
    block = (plain - VOCABULARY * width - norm) // 3
    more = {
        "shifted": (shifted_root(PLAIN), width),
        "mixed": (mixed_root(PLAIN), width + 1),
        "mixed by coordinate": (mixed_root(PLAIN, gate_per_coordinate=True), 2 * width),
        "learned": (learned_root(PLAIN), width + norm),
        "memory in every block": (
            learned_root(PLAIN, first_reads=BothReads(), later_reads=BothReads()),
            width + 3 * (norm + 2 * width * width),
        ),
        "two streams": (two_streams(PLAIN), width + 3 * norm + 2 * block),
        "shared two streams": (shared_two_streams(PLAIN), width + 3 * norm),
        "widened": (widened_root(PLAIN, embedding_width=7), 5 - 5 * VOCABULARY + 7 * width),
        "projected": (projected_root(PLAIN, embedding_width=7), -5 * VOCABULARY + 2 * 7 * width),
    }
    for name, (model, expected) in more.items():
        assert model.num_parameters(VOCABULARY) - plain == expected, name


def test_a_block_that_is_visited_again_reads_the_tokens_again() -> None:
    """What a block reads belongs to the block, so to every visit of it."""
    core = Block(width=12, attention=Attention(heads=2))
    looped = dataclasses.replace(PLAIN, blocks=FrozenDict({"core": core}), path=("core", core, "core"))
    model = learned_root(looped)
    reads = [visit.element.reads for visit in model.visits()]  # type: ignore[attr-defined]
    assert reads == [MemoryReads(), StreamReads(), MemoryReads()]
    assert two_streams(looped).path[:2] == ("core", "content_core")
    assert isinstance(two_streams(looped).path[3], MemoryBlock)


def test_what_cannot_be_is_refused() -> None:
    """A model that sees no token, positions that nobody has, elements that are no blocks, widths that leave nothing."""
    tokens = PLAIN.root
    for root in (LearnedRoot(width=12, tokens=tokens), LearnedRoot(width=12, tokens=gpt2(**SIZES_OF_GPT2).root)):
        with pytest.raises(SpecError, match="root: LearnedRoot hides the tokens in the memory, and no block reads it"):
            vary(PLAIN, {"root": root}).validate()
    content_only = vary(two_streams(PLAIN), {"blocks.0.reads": StreamReads(), "blocks.1.reads": StreamReads()})
    content_only.validate()
    with pytest.raises(SpecError, match="no block reads it"):
        vary(content_only, {"blocks.2.reads": StreamReads()}).validate()
    rooted_in_positions = gpt2(**SIZES_OF_GPT2)
    for layout in (two_streams, shared_two_streams):
        with pytest.raises(SpecError, match="root: found TokenPositionRoot; TokenRoot is needed"):
            layout(rooted_in_positions)
    for narrowed in (widened_root, projected_root):
        with pytest.raises(SpecError, match="root: found LearnedRoot; TokenRoot or TokenPositionRoot is needed"):
            narrowed(learned_root(PLAIN), embedding_width=7)
    with pytest.raises(SpecError, match=r"blocks\.0\.attention\.positions: NoPositions\(\) under a learned root"):
        learned_root(rooted_in_positions)
    with pytest.raises(SpecError, match=r"blocks\.0: TwoStreamBlock in a path of two streams"):
        two_streams(vary(shared_two_streams(PLAIN), {"root": tokens}))
    with pytest.raises(SpecError, match="embedding_width: 12 in a stream of width 12; less is needed"):
        widened_root(PLAIN, embedding_width=12)
    with pytest.raises(SpecError, match="width: found 0"):
        learned_root(PLAIN, embedding_width=0)
    with pytest.raises(SpecError, match=r"blocks\.content_0\.block\.attention\.heads: 2 heads do not divide width 9"):
        two_streams(PLAIN, embedding_width=9)
    with pytest.raises(SpecError, match=r"blocks\.content_0\.block: a block of width 12 works on a memory of width 8"):
        vary(two_streams(PLAIN, embedding_width=8), {"blocks.content_0.block.width": 12}).validate()
    with pytest.raises(
        SpecError, match=r"readout: Tied\(\) reads width 12 with an embedding of width 7.*TiedProjected"
    ):
        vary(learned_root(PLAIN, embedding_width=7), {"readout": Tied()}).validate()


SIZES_OF_GPT2 = {"depth": 2, "width": 12, "heads": 2, "context_tokens": 23}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        learned_root(uniform(depth=2, width=32, heads=4, context_tokens=16)),
        shared_two_streams(uniform(depth=2, width=32, heads=4, context_tokens=16)),
    ],
    ids=["learned root", "shared two streams"],
)
def test_it_learns_to_repeat_the_token_it_stands_on(model: Model) -> None:
    """The token of the own position can be found through attention alone: far below chance after a few steps."""
    torch.manual_seed(0)
    module = model.build(vocabulary=13, init=Init(0))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    loss = torch.tensor(torch.inf)
    for _ in range(120):
        tokens_BT = torch.randint(13, (32, 16))
        loss = torch.nn.functional.cross_entropy(module(tokens_BT).flatten(0, 1), tokens_BT.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7  # chance is 2.56
