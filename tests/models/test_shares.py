"""Entries that share weights: counted once, one tensor, one name, and refused where that cannot be."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.models.elements.blocks import Block
from vslm.models.elements.resizes import Project
from vslm.models.elements.states import InjectMatrix, Keep
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.patterns import cycle, cycle_reversed, repeat_each, share_attention, share_feedforward
from vslm.models.layouts.plain import uniform
from vslm.models.parts.attention import Attention
from vslm.models.parts.normalizers import Sink
from vslm.models.path.shares import LowRank, Shares
from vslm.training.checkpoints import load_model_tensors, model_tensors

VOCABULARY = 29
PLAIN = uniform(depth=3, width=12, heads=2, context_tokens=11)
BLOCK = PLAIN.blocks["0"]
assert isinstance(BLOCK, Block)


def two(second: Shares, first: Block = BLOCK) -> Model:
    """A model of a block and an entry that shares with it."""
    return dataclasses.replace(PLAIN, blocks=FrozenDict({"0": first, "1": second}), path=("0", "1"))


def built(model: Model) -> LanguageModel:
    """The module."""
    return model.build(vocabulary=VOCABULARY, init=Init(0))


def tokens() -> torch.Tensor:
    """A row of tokens, the same at each call."""
    return torch.randint(VOCABULARY, (1, 11), generator=torch.Generator().manual_seed(0))


ATTENTION, FEEDFORWARD, NORMS = 4 * 12 * 12, 3 * 12 * 32, 2 * 12
REST = VOCABULARY * 12 + 12


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (repeat_each(BLOCK, BLOCK), 2 * (ATTENTION + FEEDFORWARD + NORMS)),
        (cycle(BLOCK, BLOCK, BLOCK, times=3), 3 * (ATTENTION + FEEDFORWARD + NORMS)),
        (cycle_reversed(BLOCK), ATTENTION + FEEDFORWARD + NORMS),
        (share_attention(BLOCK, depth=4), ATTENTION + 4 * (FEEDFORWARD + NORMS)),
        (share_feedforward(BLOCK, depth=5), FEEDFORWARD + 5 * (ATTENTION + NORMS)),
    ],
)
def test_unique_parameters_by_hand(stack, expected: int) -> None:
    """Each pattern has exactly the parameters that are its own, in the spec, the module and the file."""
    model = stack.into(PLAIN)
    module = built(model)
    assert model.num_parameters(VOCABULARY) == expected + REST
    assert sum(p.numel() for p in module.parameters()) == expected + REST
    assert sum(tensor.numel() for tensor in model_tensors(module).values()) == expected + REST


def test_sharing_changes_no_compute() -> None:
    """A model that shares costs what one of that depth costs."""
    deep = dataclasses.replace(PLAIN, blocks=FrozenDict(dict.fromkeys("0123", BLOCK)), path=tuple("0123"))
    for stack in (repeat_each(BLOCK, BLOCK), cycle(BLOCK, BLOCK), share_attention(BLOCK, depth=4)):
        assert stack.into(PLAIN).flops_per_token(VOCABULARY) == deep.flops_per_token(VOCABULARY)


def test_a_shared_part_is_one_tensor_and_the_rest_is_its_own() -> None:
    """Training one trains both; what is not shared starts as in a model that shares nothing."""
    module = built(two(Shares(of="0", parts=("attention",))))
    first, second = module.blocks["0"], module.blocks["1"]
    assert second.attention.query.weight is first.attention.query.weight
    assert second.feedforward.gate.weight is not first.feedforward.gate.weight
    assert "blocks.1.attention.query.weight" not in dict(module.named_parameters())
    assert "blocks.1.attention.query.weight" in module.state_dict()
    alone = built(dataclasses.replace(PLAIN, blocks=FrozenDict({"0": BLOCK, "1": BLOCK}), path=("0", "1")))
    assert torch.equal(second.feedforward.gate.weight, alone.blocks["1"].feedforward.gate.weight)
    module(tokens()).sum().backward()
    both = first.attention.query.weight.grad
    assert both is not None
    assert both.abs().sum() > 0


@pytest.mark.parametrize("parts", [("attention",), ("feedforward", "attention.query"), None])
def test_it_computes_what_two_equal_blocks_compute(parts: tuple[str, ...] | None) -> None:
    """Against a model that shares nothing and has the owner's numbers copied in."""
    module = built(two(Shares(of="0", parts=parts)))
    apart = built(dataclasses.replace(PLAIN, blocks=FrozenDict({"0": BLOCK, "1": BLOCK}), path=("0", "1")))
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(3)))
    for name, p in apart.named_parameters():
        p.data.copy_(module.get_parameter(name))
    assert torch.equal(module(tokens()), apart(tokens()))


def test_a_copy_shares_with_itself_only() -> None:
    """In a deep copy, and after a change of precision, both places still hold one tensor."""
    module = built(two(Shares(of="0", parts=("attention",))))
    other = copy.deepcopy(module).double()
    assert other.blocks["1"].attention.key.weight is other.blocks["0"].attention.key.weight
    assert other.blocks["0"].attention.key.weight is not module.blocks["0"].attention.key.weight
    assert other(tokens()).dtype == torch.float64


def test_weights_that_are_tied_are_written_and_read_as_torch_does(tmp_path: Path) -> None:
    """`state_dict` has every name, and a file of it one tensor; what is read is shared as before."""
    module, other = (
        two(Shares(of="0", delta=LowRank(rank=2))).build(vocabulary=VOCABULARY, init=Init(i)) for i in (0, 1)
    )
    names = ("blocks.0.attention.key.weight", "blocks.1.attention.key.weight")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    stored = torch.load(tmp_path / "weights.pt")
    assert stored[names[0]].data_ptr() == stored[names[1]].data_ptr()
    other.load_state_dict(stored)
    assert torch.equal(other(tokens()), module(tokens()))
    assert other.get_parameter(names[0]) is other.get_parameter(names[1])
    assert names[1] not in dict(module.named_parameters())
    assert set(model_tensors(module)) == {name for name, _ in module.named_parameters()}


def test_a_file_from_before_weights_were_tied_is_read() -> None:
    """It has every shared weight once, under its owner's name, wherever the owner stands in the path."""
    shared = FrozenDict({"late": Shares(of="owner", parts=("attention",)), "owner": BLOCK})
    for path in (("late", "owner"), ("owner", "late")):
        module, other = (
            dataclasses.replace(PLAIN, blocks=shared, path=path).build(vocabulary=5, init=Init(i)) for i in (0, 1)
        )
        stored = {name: p.detach() for name, p in module.named_parameters()}
        assert not [name for name in stored if name.startswith("blocks.late.attention.")]
        assert {name for name in stored if name.startswith("blocks.owner.attention.")}
        load_model_tensors(other, stored, "weights")
        assert torch.equal(other(tokens() % 5), module(tokens() % 5))


def test_it_follows_its_owner_and_may_differ_where_it_says() -> None:
    """Varying the owner varies both; `changes` changes one: the same weights, another window."""
    near = two(Shares(of="0", changes={"attention.window_tokens": 2}))
    wider = vary(near, {"blocks.0.attention.heads": 3})
    windows = [visit.element.attention.window_tokens for visit in wider.visits()]  # type: ignore[attr-defined]
    assert windows == [None, 2]
    assert {visit.element.attention.heads for visit in wider.visits()} == {3}  # type: ignore[attr-defined]
    assert near.num_parameters(VOCABULARY) == ATTENTION + FEEDFORWARD + NORMS + REST
    assert not torch.equal(built(near)(tokens()), built(two(Shares(of="0")))(tokens()))


def test_a_low_rank_change_starts_as_none_and_is_counted() -> None:
    """B = 0: equal to sharing all; afterwards W + B A, in every matrix."""
    model = two(Shares(of="0", delta=LowRank(rank=2)))
    module = built(model)
    assert torch.equal(module(tokens()), built(two(Shares(of="0")))(tokens()))
    own = 4 * 2 * 24 + 3 * 2 * 44
    assert model.num_parameters(VOCABULARY) == ATTENTION + FEEDFORWARD + NORMS + REST + own
    assert sum(p.numel() for p in module.parameters()) == model.num_parameters(VOCABULARY)
    key = module.blocks["1"].attention.key
    torch.nn.init.normal_(key.up, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 12)
    weight = module.blocks["0"].attention.key.weight
    torch.testing.assert_close(key(x), x @ (weight + key.up @ key.down).T)


def test_parts_with_vectors_of_their_own_are_shared_too() -> None:
    """A sink is a part as any other, by name or with all."""
    sink = dataclasses.replace(BLOCK, attention=Attention(heads=2, normalizer=Sink(), bias=True))
    for parts in (None, ("attention.normalizer",)):
        module = built(two(Shares(of="0", parts=parts), sink))
        assert module.blocks["1"].attention.normalizer.score is module.blocks["0"].attention.normalizer.score


def test_what_cannot_be_is_refused() -> None:
    """Unknown owners and parts, chains, nothing, shapes that differ: named, before anything is built."""
    for second, where in (
        (Shares(of="2"), r"blocks\.1\.of: no block is named '2'"),
        (Shares(of="0", parts=("atention",)), r"blocks\.1\.parts: nothing is named 'atention'; did you mean attention"),
        (
            Shares(of="0", parts=("attention", "attention.query")),
            r"blocks\.1\.parts: attention\.query\.weight is named",
        ),
        (
            Shares(of="0", changes={"feedforward.hidden": 5}),
            r"blocks\.1\.parts: feedforward\.gate\.weight is \(5, 12\)",
        ),
        (Shares(of="0", changes={"attention.head": 5}), r"blocks\.1\.changes\.attention\.head: no such name"),
    ):
        with pytest.raises(SpecError, match=where):
            two(second).validate()
    chain = FrozenDict({"0": BLOCK, "1": Shares(of="0"), "2": Shares(of="1")})
    with pytest.raises(SpecError, match=r"blocks\.2\.of: '1' has its weights from '0'"):
        dataclasses.replace(PLAIN, blocks=chain, path=("0", "1", "2")).validate()
    with pytest.raises(SpecError, match=r"blocks\.1\.of: '1' would have its weights from itself"):
        two(Shares(of="1")).validate()
    longer = FrozenDict({**chain, "3": Shares(of="2")})
    with pytest.raises(SpecError, match=r"blocks\.3\.of: '2' has its weights from '1'; name '0'"):
        dataclasses.replace(PLAIN, blocks=longer, path=("3", "0", "1", "2")).validate()
    circle = {"s": Shares(of="t"), "t": Shares(of="u"), "u": Shares(of="s"), "v": Shares(of="s")}
    for first, names in (("s", "'t', 'u', 's'"), ("v", "'s', 't', 'u'")):
        rest = tuple(name for name in circle if name != first)
        with pytest.raises(SpecError, match=rf"blocks\.{first}\.of: {names} share in a circle; one of them needs"):
            dataclasses.replace(PLAIN, blocks=FrozenDict(circle), path=(first, *rest)).validate()
    for name, element in (("Project", Project(width=12)), ("InjectMatrix", InjectMatrix(of="first"))):
        bank = FrozenDict({"0": BLOCK, "1": element, "2": Shares(of="1", delta=LowRank(rank=2))})
        changed = dataclasses.replace(PLAIN, blocks=bank, path=(Keep(name="first"), "0", "1", "2"))
        with pytest.raises(SpecError, match=rf"blocks\.2\.delta: weight is a matrix of {name}Module"):
            changed.validate()
    with pytest.raises(SpecError, match="nothing is shared"):
        Shares(of="0", parts=())
    with pytest.raises(SpecError, match="rank"):
        LowRank(rank=0)
