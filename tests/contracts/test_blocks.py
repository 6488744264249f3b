"""Contracts of every element that a path may visit."""

import dataclasses
import math

import pytest
import torch
from model_facts import (
    assert_every_class_is_tested,
    assert_finite_gradients,
    assert_owns_its_parameters,
    assert_reads_back,
    moved,
    with_new_classes,
)
from test_attentions import ATTENTIONS
from test_feedforwards import FEEDFORWARDS, NORMS, RESIDUALS, SCALES
from torch import nn

from vslm.core.errors import SpecError
from vslm.models.elements.blocks import Block
from vslm.models.elements.element import PathElement, Reach, Surroundings, element_shapes
from vslm.models.elements.exits import Exit
from vslm.models.elements.resizes import Carry, LearnedPad, Project, UNet, ZeroPad
from vslm.models.elements.short_convolution import ShortConvolution
from vslm.models.elements.states import (
    AddVector,
    InjectMatrix,
    InjectSum,
    Keep,
    LearnedState,
    NoiseState,
    Return,
    ShiftedState,
)
from vslm.models.elements.two_streams import MemoryBlock, TwoStreamBlock
from vslm.models.initialization import Init
from vslm.models.parts.attention import Attention
from vslm.models.parts.kernels import Where
from vslm.models.parts.norms import LayerNorm
from vslm.models.parts.reads import BothReads, MemoryReads, Reads, StreamReads
from vslm.models.parts.stream import Stream
from vslm.optim.groups import fan_in

WIDTH, MEMORY_WIDTH, BATCH = 42, 11, 2
AROUND = Surroundings(width=WIDTH, memory_width=MEMORY_WIDTH, context_tokens=67, num_additions=6)
PLAIN = Block(width=WIDTH, attention=Attention(heads=3))
READS = with_new_classes(Reads, [StreamReads(), MemoryReads(), BothReads()])
NARROW = Block(width=MEMORY_WIDTH, attention=Attention(heads=1, head_width=4))
ELEMENTS = [
    *(dataclasses.replace(PLAIN, attention=attention) for attention in ATTENTIONS),
    *(dataclasses.replace(PLAIN, feedforward=feedforward) for feedforward in FEEDFORWARDS),
    *(dataclasses.replace(PLAIN, norm=norm) for norm in NORMS),
    *(dataclasses.replace(PLAIN, residual=residual) for residual in RESIDUALS),
    *(dataclasses.replace(PLAIN, scale=scale) for scale in SCALES),
    *(dataclasses.replace(PLAIN, reads=reads) for reads in READS),
    *(dataclasses.replace(PLAIN, reads=reads, attention=Attention(heads=3, window_tokens=5)) for reads in READS),
    dataclasses.replace(PLAIN, reads=BothReads(), norm=LayerNorm(), attention=Attention(heads=3, bias=True)),
    dataclasses.replace(PLAIN, dropout=0.2),
    Keep(name="first"),
    Return(to="first"),
    LearnedState(),
    LearnedState(std=0.5),
    NoiseState(),
    NoiseState(std=0.5, seed=3),
    InjectSum(of="first"),
    InjectMatrix(of="first"),
    AddVector(),
    ShiftedState(of="first"),
    ShortConvolution(),
    ShortConvolution(window_tokens=7),
    Exit(),
    Exit(offset=3, weight=0.5),
    MemoryBlock(block=NARROW),
    MemoryBlock(block=dataclasses.replace(NARROW, reads=BothReads())),
    *(TwoStreamBlock(block=dataclasses.replace(PLAIN, reads=reads)) for reads in READS if reads.of_memory),
    *(resize(width=width) for resize in (ZeroPad, LearnedPad, Carry, Project, UNet) for width in (29, WIDTH, 53)),
    LearnedPad(width=53, std=1.0),
    Project(width=29, std=0.02, identity=0.0, bias=True),
]
BLOCKS = [element for element in ELEMENTS if isinstance(element, Block)]  # the others' scales are their own
FORGETS = (LearnedState, NoiseState, Return)  # what arrives in the stream does not come out


@pytest.fixture(params=ELEMENTS, ids=lambda element: f"{ELEMENTS.index(element)}")
def element(request: pytest.FixtureRequest) -> PathElement:
    """Each element."""
    return request.param


def around_of(element: PathElement) -> Surroundings:
    """A memory of another width than the stream, but for the element that needs them equal."""
    return dataclasses.replace(AROUND, memory_width=WIDTH) if isinstance(element, TwoStreamBlock) else AROUND


def built(element: PathElement, init: Init | None = None) -> nn.Module:
    """The module, in evaluation."""
    kernel = element.kernel(context_tokens=AROUND.context_tokens, where=Where())
    return element.build(around=around_of(element), kernel=kernel, init=init or Init(0)).eval()


def stream_of(num_tokens: int, memory_width: int = MEMORY_WIDTH) -> Stream:
    """A random stream with a memory of another width, and something that was kept."""
    generator = torch.Generator().manual_seed(0)
    return Stream(
        x_BTD=torch.randn(BATCH, num_tokens, WIDTH, generator=generator),
        memory_BSE=torch.randn(BATCH, num_tokens, memory_width, generator=generator),
        saved={"first": torch.randn(BATCH, num_tokens, WIDTH, generator=generator)},
    )


def both(stream: Stream) -> torch.Tensor:
    """Stream and memory side by side: an element may change either."""
    return torch.cat((stream.x_BTD, stream.memory_BSE), dim=-1)


def test_the_list_is_complete() -> None:
    """Every element of the room, and all that keys and values can read, is in the lists above."""
    assert_every_class_is_tested(PathElement, ELEMENTS)
    assert_every_class_is_tested(Reads, READS)


def test_reads_back(element: PathElement) -> None:
    """The record of an element makes the same element."""
    assert_reads_back(element)


def test_owns_its_parameters(element: PathElement) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    around = around_of(element)
    assert_owns_its_parameters(
        lambda init: built(element, init),
        element_shapes(element, around),
        lambda module: both(module(stream_of(17, around.memory_width))),
    )


@pytest.mark.parametrize("num_tokens", [1, 37, 67])
def test_maps_a_stream_to_a_stream(element: PathElement, num_tokens: int) -> None:
    """The declared width comes out, the stream that went in is unchanged, gradients are finite."""
    around = around_of(element)
    element.check_memory(around.memory_width)
    module, stream = built(element), stream_of(num_tokens, around.memory_width)
    kept = both(stream).clone()
    inputs = [stream.memory_BSE.requires_grad_()]
    if not isinstance(element, FORGETS):
        inputs.append(stream.x_BTD.requires_grad_())
    for name in element.needed_names():
        inputs.append(stream.saved[name].requires_grad_())
    output = module(stream)
    assert output.x_BTD.shape == (BATCH, num_tokens, element.width_out(WIDTH))
    assert output.memory_BSE.shape == stream.memory_BSE.shape
    assert torch.equal(both(stream), kept)
    assert list(stream.saved) == ["first"]
    assert set(output.saved) == {"first", *element.saves(around)}
    assert_finite_gradients(both(output), module, *inputs)


def test_causal_to_the_bit_and_rows_apart(element: PathElement) -> None:
    """A change at one place of one row leaves what is before it, and other rows, bitwise equal; away from the start."""
    module, stream = moved(built(element)), stream_of(61, around_of(element).memory_width)
    before = both(module(stream))
    for changed in (1, 33, 60):
        x_BTD = stream.x_BTD.clone()
        x_BTD[1, changed] = 5.0
        memory_BSE = stream.memory_BSE.clone()
        memory_BSE[1, changed] = 5.0
        first_BTD = stream.saved["first"].clone()
        first_BTD[1, changed] = 5.0
        after = both(module(Stream(x_BTD, memory_BSE, {"first": first_BTD})))
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[1, :changed], before[1, :changed])
        reads = element.needed_names() or not isinstance(element, FORGETS)
        width = element.width_out(WIDTH)
        assert torch.equal(after[1, changed, :width], before[1, changed, :width]) != bool(reads)


def test_a_stream_depends_on_the_memory_as_declared(element: PathElement) -> None:
    """Whether it does at all, and from which positions: those of the window, the query's own included."""
    module, stream = built(element), stream_of(61, around_of(element).memory_width)
    stream.memory_BSE.requires_grad_()
    weights = torch.linspace(0.5, 1.5, element.width_out(WIDTH))
    (gradient,) = torch.autograd.grad(
        (module(stream).x_BTD[1, 33] * weights).sum() + 0 * stream.memory_BSE.sum(),
        stream.memory_BSE,
    )
    seen = gradient.abs().sum(dim=-1) > 0
    reads_memory = element.reach(Reach(0, 1, {"first": 0}), around_of(element)).stream > 0
    assert bool(seen.any()) == reads_memory
    if reads_memory:
        window = element.block.attention if isinstance(element, TwoStreamBlock) else element.attention  # type: ignore[attr-defined]
        first = 33 - (window.window_tokens or 34) + 1
        assert seen[1].nonzero().flatten().tolist() == list(range(first, 34))
        assert not seen[0].any()


def test_what_keys_and_values_read_by_hand() -> None:
    """The normed stream as queries read it, the normed memory, or one behind the other."""
    read_BTD, memory_BSE = torch.randn(2, 3, 5), torch.randn(2, 3, 7)
    modules = [
        reads.build(norm=LayerNorm(), stream_width=5, memory_width=7, init=Init(0))
        for reads in (StreamReads(), MemoryReads(), BothReads())
    ]
    normed_BSE = torch.nn.functional.layer_norm(memory_BSE, (7,))
    expected = (read_BTD, normed_BSE, torch.cat((read_BTD, normed_BSE), dim=-1))
    for module, output in zip(modules, expected, strict=True):
        torch.testing.assert_close(module(read_BTD, memory_BSE), output)


def test_keys_and_values_of_the_memory_and_queries_of_the_stream() -> None:
    """A block that reads a memory equal to its stream is the ordinary block; a stream elsewhere moves only queries."""
    reading = dataclasses.replace(PLAIN, reads=MemoryReads())
    around = dataclasses.replace(AROUND, memory_width=WIDTH)
    module = reading.build(around=around, kernel="chunked", init=Init(0))
    x_BTD = stream_of(17).x_BTD
    expected = built(PLAIN)(stream_of(17)).x_BTD
    torch.testing.assert_close(module(Stream(x_BTD, x_BTD, {})).x_BTD, expected)
    module.attention.query.weight.data.zero_()  # then every key weighs the same: what is found is the memory's mean
    memory_BSE = stream_of(17, WIDTH).memory_BSE
    found = module.attention(module.attention_norm(x_BTD), module.reads(x_BTD, memory_BSE))
    values = module.reads(x_BTD, memory_BSE).cumsum(dim=1) / torch.arange(1, 18)[:, None]
    by_hand = values @ module.attention.value.weight.T @ module.attention.output.weight.T
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-5)


def test_a_memory_block_is_the_block_on_the_memory() -> None:
    """The stream passes, the memory becomes what the block makes of it; not an addition to the stream."""
    module, stream = built(MemoryBlock(block=NARROW)), stream_of(17)
    around = dataclasses.replace(AROUND, width=MEMORY_WIDTH)
    block = NARROW.build(around=around, kernel="chunked", init=Init(0))
    after = module(stream)
    assert after.x_BTD is stream.x_BTD
    expected = block(Stream(stream.memory_BSE, stream.memory_BSE, {})).x_BTD
    assert torch.equal(after.memory_BSE, expected)
    assert MemoryBlock(block=NARROW).num_additions() == 0


def test_a_two_stream_block_is_one_block_twice() -> None:
    """Both streams read the memory as it arrives."""
    block = dataclasses.replace(PLAIN, reads=MemoryReads())
    module, stream = built(TwoStreamBlock(block=block)), stream_of(17, WIDTH)
    plain = block.build(around=dataclasses.replace(AROUND, memory_width=WIDTH), kernel="chunked", init=Init(0))
    after = module(stream)
    assert torch.equal(after.x_BTD, plain(stream).x_BTD)
    assert torch.equal(after.memory_BSE, plain(stream._replace(x_BTD=stream.memory_BSE)).x_BTD)


def test_dropout_is_torch_randomness_of_training_only() -> None:
    """The same torch seed, the same dropped numbers; each drops about its share."""
    module = built(dataclasses.replace(PLAIN, dropout=0.2))
    assert torch.equal(module(stream_of(17)).x_BTD, module(stream_of(17)).x_BTD)
    module.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(module(stream_of(17)).x_BTD)
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_a_deeper_model_starts_each_addition_smaller() -> None:
    """Output projections shrink with the root of the number of additions; nothing else does."""
    shallow = dict(PLAIN.build(around=AROUND, kernel="chunked", init=Init(0)).named_parameters())
    around = dataclasses.replace(AROUND, num_additions=24)
    deep = dict(PLAIN.build(around=around, kernel="chunked", init=Init(0)).named_parameters())
    for name, p in shallow.items():
        torch.testing.assert_close(deep[name], p * 0.5 if ".output." in name else p)


@pytest.mark.parametrize("element", BLOCKS, ids=lambda element: f"{ELEMENTS.index(element)}")
def test_every_matrix_of_a_block_starts_at_the_scale_of_what_it_reads(element: Block) -> None:
    """The spec's deviation for its fan-in: stream, memory, attention's own width or a middle; outputs by the depth."""
    for name, p in built(element).named_parameters():
        if p.ndim == 2:
            depth = 1 / math.sqrt(AROUND.num_additions) if ".output." in name else 1.0
            ratio = p.std().item() / (element.scale.std(fan_in(p)) * depth)
            assert abs(ratio - 1) < 5 / math.sqrt(2 * p.numel()), name  # five standard errors of a deviation


def test_useful_flops_by_hand() -> None:
    """Two per weight, and four per number of attention's width and visible key."""
    block = Block(width=6, attention=Attention(heads=1, window_tokens=2))
    around = Surroundings(width=6, memory_width=6, context_tokens=4, num_additions=2)
    assert element_shapes(block, around).num_parameters == 4 * 36 + 3 * 6 * 16 + 2 * 6
    assert block.forward_flops_per_token(around) == 2 * (4 * 36 + 3 * 6 * 16 + 2 * 6) + 4 * 6 * 1.75
    around = dataclasses.replace(around, memory_width=10)
    for reads, read_width, norm in ((MemoryReads(), 10, 10), (BothReads(), 16, 10)):
        reading = dataclasses.replace(block, reads=reads)
        weights = 2 * 36 + 2 * 6 * read_width + 3 * 6 * 16 + 2 * 6 + norm
        assert element_shapes(reading, around).num_parameters == weights
        assert reading.forward_flops_per_token(around) == 2 * weights + 4 * 6 * 1.75
    memory = MemoryBlock(block=dataclasses.replace(block, width=10))
    assert memory.forward_flops_per_token(around) == 2 * element_shapes(memory, around).num_parameters + 4 * 10 * 1.75
    around = dataclasses.replace(around, memory_width=6)
    twice = TwoStreamBlock(block=dataclasses.replace(block, reads=MemoryReads()))
    assert twice.forward_flops_per_token(around) == 2 * (
        2 * element_shapes(twice, around).num_parameters + 4 * 6 * 1.75
    )


def test_says_what_it_leaves_behind(element: PathElement) -> None:
    """What a visit saves has the names and widths that the spec declares."""
    around = around_of(element)
    saved = built(element)(stream_of(17, around.memory_width)).saved
    widths = {name: x_BTR.shape[-1] for name, x_BTR in saved.items()}
    assert widths == {"first": WIDTH, **element.saves(around)}


def test_what_cannot_be_is_refused() -> None:
    """A width that does not arrive, heads that do not divide, numbers out of range."""
    with pytest.raises(SpecError, match="width 42 follows width 41"):
        PLAIN.width_out(41)
    with pytest.raises(SpecError, match=r"attention\.heads: 4 heads do not divide width 42"):
        dataclasses.replace(PLAIN, attention=Attention(heads=4)).width_out(42)
    with pytest.raises(SpecError, match=r"block: a block of width 11 works on a memory of width 12"):
        MemoryBlock(block=NARROW).check_memory(12)
    with pytest.raises(SpecError, match=r"block\.attention\.heads: 2 heads do not divide width 11"):
        MemoryBlock(block=dataclasses.replace(NARROW, attention=Attention(heads=2))).check_memory(11)
    with pytest.raises(SpecError, match=r"block\.reads: found StreamReads\(\)"):
        TwoStreamBlock(block=PLAIN)
    twice = TwoStreamBlock(block=dataclasses.replace(PLAIN, reads=MemoryReads()))
    with pytest.raises(SpecError, match="a block of width 42 works on a memory of width 11"):
        twice.check_memory(11)
    with pytest.raises(SpecError, match="width 42 follows width 41"):
        twice.width_out(41)
    with pytest.raises(SpecError, match="width"):
        dataclasses.replace(PLAIN, width=0)
    with pytest.raises(SpecError, match="dropout"):
        dataclasses.replace(PLAIN, dropout=1.0)
