"""Contracts of whole models: whatever the root, the blocks, the path and the readout."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from model_facts import assert_finite_gradients, assert_owns_its_parameters, assert_reads_back, moved
from safetensors.torch import load_file, load_model, save_model
from torch.utils.flop_counter import FlopCounterMode

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.measure.context_curve import ContextCurveEvaluator
from vslm.measure.token_loss import token_loss
from vslm.models.elements.blocks import Block
from vslm.models.elements.resizes import LearnedPad, Project, UNet
from vslm.models.elements.states import LearnedState, NoiseState
from vslm.models.elements.two_streams import MemoryBlock, TwoStreamBlock
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts import patterns
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
from vslm.models.layouts.shapes import sized, tapered
from vslm.models.parts.attention import Attention
from vslm.models.parts.normalizers import Sigmoid, Sink
from vslm.models.parts.norms import RMSNorm
from vslm.models.parts.readouts import Tied, Untied
from vslm.models.parts.reads import BothReads
from vslm.models.parts.roots import TokenRoot
from vslm.models.parts.stream import Stream
from vslm.models.path.repeats import PoissonLognormalLoops, Repeat, UniformLoops
from vslm.models.path.shares import LowRank, Shares

VOCABULARY, CONTEXT_TOKENS, BATCH = 53, 71, 2
SIZES = {"depth": 3, "width": 12, "heads": 2, "context_tokens": CONTEXT_TOKENS}


def looped() -> Model:
    """A prelude, a core that is visited three times, a coda; and one element that stands in the path only."""
    local = Block(width=12, attention=Attention(heads=3, window_tokens=4))
    core = Block(width=12, attention=Attention(heads=2, normalizer=Sink()))
    return Model(
        root=TokenRoot(width=12),
        blocks=FrozenDict({"in": local, "core": core, "out": local}),
        path=("in", "core", "core", local, "core", "out"),
        readout=Untied(),
        context_tokens=CONTEXT_TOKENS,
    )


MODELS = {
    "plain": uniform(**SIZES),
    "untied": uniform(**SIZES, tied_readout=False, qk_norm=True, hidden=17),
    "window": uniform(**SIZES, window_tokens=5),
    "dropout": uniform(**SIZES, dropout=0.1),
    "gpt2": gpt2(**SIZES, dropout=0.1),
    "gpt2 without bias": gpt2(**SIZES, bias=False),
    "sigmoid in the middle": vary(uniform(**SIZES), {"blocks.1.attention.normalizer": Sigmoid()}),
    "looped": looped(),
    "shifted root": shifted_root(uniform(**SIZES)),
    "mixed root": mixed_root(uniform(**SIZES)),
    "mixed root of gpt2": mixed_root(gpt2(**SIZES), gate_per_coordinate=True),
    "learned root": learned_root(uniform(**SIZES)),
    "learned root, narrow memory": learned_root(uniform(**SIZES, window_tokens=5), embedding_width=7),
    "learned root, looped": learned_root(looped(), later_reads=BothReads(), embedding_width=17),
    "memory in every block": learned_root(
        uniform(**SIZES, dropout=0.1), first_reads=BothReads(), later_reads=BothReads()
    ),
    "two streams": two_streams(uniform(**SIZES)),
    "two streams, narrow content": two_streams(uniform(**SIZES, qk_norm=True), embedding_width=8),
    "two streams, looped": two_streams(looped()),
    "shared two streams": shared_two_streams(uniform(**SIZES, window_tokens=5)),
    "shared two streams, looped": shared_two_streams(looped()),
    "widened root": widened_root(uniform(**SIZES), embedding_width=7),
    "projected root": projected_root(uniform(**SIZES, tied_readout=False), embedding_width=7),
    "projected root of gpt2": projected_root(gpt2(**SIZES), embedding_width=7),
}
PLAIN, BLOCK = MODELS["plain"], MODELS["plain"].blocks["0"]
assert isinstance(BLOCK, Block)
LOOP = {"inject": patterns.INJECT_MATRIX, "times": 3}
MODELS |= {
    "AABB": patterns.repeat_each(BLOCK, BLOCK).into(PLAIN),
    "ABAB": patterns.cycle(BLOCK, BLOCK).into(PLAIN),
    "ABBA": patterns.cycle_reversed(BLOCK, BLOCK).into(PLAIN),
    "one attention": patterns.share_attention(BLOCK, depth=3).into(PLAIN),
    "one feedforward": patterns.share_feedforward(BLOCK, depth=3).into(PLAIN),
    "the same weights in a window": dataclasses.replace(
        PLAIN,
        blocks=FrozenDict({"0": BLOCK, "near": Shares(of="0", changes={"attention.window_tokens": 5})}),
        path=("0", "near"),
    ),
    "core": patterns.looped(MODELS["untied"], times=3),
    "core with a sum": patterns.looped(PLAIN, times=2, inject=patterns.INJECT_SUM, start=NoiseState(std=0.3)),
    "core with a matrix": patterns.looped(PLAIN, **LOOP, vectors=True, start=LearnedState()),
    "core with changes": patterns.looped(MODELS["gpt2"], **LOOP, delta=LowRank(rank=2)),
    "random loops": patterns.looped(PLAIN, **LOOP, prelude=2, coda=0, training=UniformLoops(counts=(1, 2, 5))),
    "few gradients": patterns.looped(
        PLAIN, **LOOP, gradient_loops=2, training=PoissonLognormalLoops(mean=3.0, largest=7)
    ),
    "shifted": patterns.shifted(PLAIN, passes=3),
    "ahead": patterns.ahead(MODELS["window"], tokens=3),
    "sizes": sized(uniform(**SIZES), heads=(1, 3, 2), feedforward=(0.5, 1.0, 1.5)),
    "diamond": tapered(uniform(**SIZES), widths=(6, 18, 12), feedforward="same ratio"),
    "diamond with parameters": tapered(
        gpt2(**SIZES, dropout=0.1), widths=(6, 18, 12), resize=LearnedPad, narrow=Project, feedforward="same ratio"
    ),
    "bowtie": tapered(
        vary(uniform(**SIZES), {"blocks.*.attention.heads": 3}),
        widths=(18, 6, 18),
        resize=UNet,
        heads="constant head count",
        feedforward="same ratio",
    ),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request: pytest.FixtureRequest) -> Model:
    """Each model."""
    return request.param


def built(model: Model, seed: int = 0) -> LanguageModel:
    """The module, in evaluation."""
    return model.build(vocabulary=VOCABULARY, init=Init(seed)).eval()


def tokens_of(num_tokens: int) -> torch.Tensor:
    """Random tokens, the same at each call."""
    return torch.randint(VOCABULARY, (BATCH, num_tokens), generator=torch.Generator().manual_seed(0))


def test_reads_back(model: Model) -> None:
    """The record of a model makes the same model."""
    assert_reads_back(model)


def test_owns_its_parameters(model: Model) -> None:
    """Counted, seeded, saved, and apart from other instances."""
    assert_owns_its_parameters(
        lambda init: model.build(vocabulary=VOCABULARY, init=init),
        model.num_parameters(VOCABULARY),
        lambda module: module(tokens_of(17)),
    )


def test_parameters_without_embeddings_are_those_without_a_row_per_token(model: Model) -> None:
    """What stays does not change with the vocabulary."""
    tables = ("embedding_VE", "position_TE", "readout.weight")
    rest = sum(p.numel() for name, p in built(model).named_parameters() if not name.endswith(tables))
    assert model.num_parameters_without_embeddings(VOCABULARY) == rest
    assert model.num_parameters_without_embeddings(1009) == rest


@pytest.mark.parametrize("num_tokens", [1, 2, CONTEXT_TOKENS])
def test_logits_of_any_length(model: Model, num_tokens: int) -> None:
    """Logits for every token at every length up to the context, finite gradients for every parameter."""
    module = built(model)
    logits_BTV = module(tokens_of(num_tokens))
    assert logits_BTV.shape == (BATCH, num_tokens, VOCABULARY)
    assert logits_BTV.dtype == torch.float32
    assert_finite_gradients(logits_BTV.logsumexp(dim=-1), module)


def test_causal_to_the_bit_and_rows_apart(model: Model) -> None:
    """Changing a token leaves the logits before it, and those of the other row, bitwise equal; away from the start."""
    module, tokens_BT = moved(built(model)), tokens_of(CONTEXT_TOKENS)
    before = module(tokens_BT)
    for changed in (1, 33, 70):
        other_BT = tokens_BT.clone()
        other_BT[1, changed] = (other_BT[1, changed] + 1) % VOCABULARY
        after = module(other_BT)
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[1, :changed], before[1, :changed])
        assert not torch.equal(after[1, changed], before[1, changed])


def test_a_shorter_text_gives_the_same_logits(model: Model) -> None:
    """What comes later does not matter: a prefix by itself predicts as it does in the whole."""
    module, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    torch.testing.assert_close(module(tokens_BT[:, :23]), module(tokens_BT)[:, :23], rtol=1e-5, atol=1e-6)


def test_a_context_curve_is_the_loss_of_shorter_texts(model: Model) -> None:
    """At every length, of any architecture: the last target of a text that begins so many tokens before it."""
    module, windows_BT = built(model), tokens_of(CONTEXT_TOKENS + 1)
    numbers = ContextCurveEvaluator(windows_BT.numpy())(module)
    for num_seen, loss in zip(numbers["context_tokens_K"], numbers["loss_nats_K"], strict=True):
        text_BT = windows_BT[:, -num_seen - 1 :]
        with torch.no_grad():
            expected = token_loss(module, text_BT[:, :-1], text_BT[:, 1:])[:, -1].double().mean()
        assert loss == pytest.approx(float(expected), abs=1e-5)


def test_it_sees_as_far_back_as_it_says(model: Model) -> None:
    """With windows of 3, away from the start: changing a token moves the last logits exactly within the reach."""
    near = vary(dataclasses.replace(model, context_tokens=29), _windows_of(model, 3))
    module, generator = built(near).double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype) * 0.3)
        tokens_BT = tokens_of(29)[:1]
        before, moved = module(tokens_BT)[0, -1], {}
        # Both ends, the places beside the reach, and what one block, two and three see.
        for back in sorted({0, 1, 2, 3, 4, 5, 6, 7, near.reach() - 1, near.reach(), near.reach() + 1, 27, 28}):
            if back > 28:
                continue
            changed_BT = tokens_BT.clone()
            changed_BT[0, 28 - back] = (changed_BT[0, 28 - back] + 1) % VOCABULARY
            moved[back] = not torch.equal(module(changed_BT)[0, -1], before)
    assert moved == {back: back < near.reach() for back in moved}


def _windows_of(model: Model, window_tokens: int) -> dict[str, int]:
    """What `vary` sets to give every attention that window."""
    rooms: dict[str, dict] = {"blocks": dict(model.blocks), "path": dict(enumerate(model.path))}
    found = {}
    for room, entries in rooms.items():
        for name, entry in entries.items():
            if isinstance(entry, Block):
                found[f"{room}.{name}.attention.window_tokens"] = window_tokens
            elif isinstance(entry, MemoryBlock | TwoStreamBlock):
                found[f"{room}.{name}.block.attention.window_tokens"] = window_tokens
    return found


def test_a_model_whose_logits_see_no_token_is_refused() -> None:
    """A state that starts elsewhere needs an injection; the message names where the tokens are lost."""
    for start in (LearnedState(), NoiseState()):
        with pytest.raises(SpecError, match=r"path\.1: no token is left in the stream.*an injection behind"):
            dataclasses.replace(PLAIN, path=("0", start, "1", "2")).validate()
    reading = vary(MODELS["learned root"], {"path": ("0", LearnedState(), "1", "2")})
    with pytest.raises(SpecError, match=r"path\.1: no token is left"):
        reading.validate()
    vary(reading, {"blocks.2.reads": BothReads()}).validate()


def test_stream_and_readout_make_the_logits(model: Model) -> None:
    """A caller that fuses readout and loss computes the same."""
    module, tokens_BT = built(model), tokens_of(17)
    x_BTD = module.stream(tokens_BT)
    assert x_BTD.shape == (BATCH, 17, model.last_width)
    assert torch.equal(module.readout(x_BTD, module.root.embedding_VE), module(tokens_BT))


def test_the_oracle_gives_the_same_loss_and_gradients(model: Model) -> None:
    """The kernels of a CPU change no number beyond rounding."""
    oracle = dict.fromkeys(model.kernels(), "oracle")
    plain = model.build(vocabulary=VOCABULARY, init=Init(0), kernels=oracle).eval()
    ours, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    for module in (plain, ours):
        torch.nn.functional.cross_entropy(module(tokens_BT).flatten(0, 1), tokens_BT.flatten()).backward()
    for (name, p), (_, q) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_saved_without_pickle(model: Model, tmp_path: Path) -> None:
    """Weights go to safetensors as torch's tied weights do: a shared one once."""
    module = built(model)
    save_model(module, str(tmp_path / "weights.safetensors"))
    held = sum(tensor.numel() for tensor in load_file(tmp_path / "weights.safetensors").values())
    assert held == model.num_parameters(VOCABULARY)
    other = built(model, seed=1)
    load_model(other, str(tmp_path / "weights.safetensors"))
    assert torch.equal(other(tokens_of(17)), module(tokens_of(17)))


def test_a_copy_is_a_model_of_its_own(model: Model) -> None:
    """Averaged weights live in a deep copy: changing it changes no logit of the first."""
    module, tokens_BT = built(model), tokens_of(17)
    before = module(tokens_BT)
    other = copy.deepcopy(module)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(0.5)
    assert torch.equal(module(tokens_BT), before)
    assert not torch.equal(other(tokens_BT), before)


def test_flops_of_one_token_are_what_torch_counts(model: Model) -> None:
    """At a context of one token, the formula is torch's count of products and two per number outside of matrices."""
    always = {f"path.{i}.training": None for i, item in enumerate(model.path) if isinstance(item, Repeat)}
    always |= {where.replace("training", "gradient_loops"): None for where in always}
    short = vary(dataclasses.replace(model, context_tokens=1), always)
    module = built(short)
    with FlopCounterMode(display=False) as counter:
        module(tokens_of(1)[:1])
    vectors = _vector_flops(short, module)
    readout = short.readout.forward_flops_per_token(
        width=short.last_width, memory_width=short.root.memory_width, vocabulary=VOCABULARY
    )
    exits = short.num_exits * readout
    assert counter.get_total_flops() == short.flops_per_token(VOCABULARY) / 3 - vectors - exits


# What the whole score matrix costs differs by windows, heads, visits, streams and positions that a normalizer adds.
_WITH_THE_ORACLE = ("window", "looped", "two streams, looped", "sigmoid in the middle", "core with changes", "bowtie")


def test_executed_flops_are_what_torch_counts(model: Model) -> None:
    """A whole step at full context, masked scores included: within 1%, but for six per number outside of matrices."""
    with_oracle = model in [MODELS[name] for name in _WITH_THE_ORACLE]
    always = {f"path.{i}.training": None for i, item in enumerate(model.path) if isinstance(item, Repeat)}
    always |= {where.replace("training", "gradient_loops"): None for where in always}
    model = vary(model, always)
    for kernels in (model.kernels(), *([dict.fromkeys(model.kernels(), "oracle")] if with_oracle else [])):
        module = model.build(vocabulary=VOCABULARY, init=Init(0), kernels=kernels).eval()
        with FlopCounterMode(display=False) as counter:
            last = module.last(tokens_of(CONTEXT_TOKENS)[:1])
            streams = [last.x_BTD, *(at.x_BTD for at in last.exits)]
            sum(module.logits(x_BTD).logsumexp(dim=-1).sum() for x_BTD in streams).backward()
        executed = model.executed_flops_per_token(VOCABULARY, kernels) - 3 * _vector_flops(model, module)
        assert counter.get_total_flops() / CONTEXT_TOKENS == pytest.approx(executed, rel=0.01)
        assert model.executed_flops_per_token(VOCABULARY, kernels) >= model.flops_per_token(VOCABULARY)


def test_executed_flops_of_drawn_and_cut_loops() -> None:
    """Masked scores of a loop count as often as it is drawn, and once where no gradient goes back."""
    core = {times: patterns.looped(PLAIN, times=times) for times in (1, 2, 4)}
    executed = {times: model.executed_flops_per_token(VOCABULARY) for times, model in core.items()}
    drawn = patterns.looped(PLAIN, times=4, training=UniformLoops(counts=(4, 1, 2)))
    assert drawn.executed_flops_per_token(VOCABULARY) == pytest.approx(sum(executed.values()) / 3)
    cut = patterns.looped(PLAIN, times=4, gradient_loops=1, inject=patterns.INJECT_SUM)
    loop = executed[2] - executed[1]
    assert cut.executed_flops_per_token(VOCABULARY) == pytest.approx(executed[4] - 3 * loop * 2 / 3)


def _vector_flops(model: Model, module: LanguageModel) -> float:
    """What the formula has for numbers outside of matrices, two each per visit, and torch does not count."""
    visited = sum(
        2 * (2 if isinstance(visit.element, TwoStreamBlock) else 1) * p.numel()
        for visit in model.visits()
        for part in module.get_submodule(visit.where).modules()
        for p in part.parameters(recurse=False)
        if p.ndim == 1
    )
    return visited + sum(2 * p.numel() for p in module.root.parameters() if p.ndim == 1)


def test_training_flops_by_hand() -> None:
    """Three times forward: two per weight, four per visible key and number, two per number of the readout."""
    block = 4 * 144 + 3 * 12 * 32 + 2 * 12
    attention = 4 * 12 * (CONTEXT_TOKENS + 1) / 2
    expected = 3 * (3 * (2 * block + attention) + 2 * VOCABULARY * 12)
    assert MODELS["plain"].flops_per_token(VOCABULARY) == pytest.approx(expected, rel=1e-12)


def test_every_visit_costs_and_every_weight_counts_once() -> None:
    """Looping adds compute and no parameter."""
    model = looped()
    once = dataclasses.replace(model, path=("in", "core", model.path[3], "out"))
    assert once.num_parameters(VOCABULARY) == model.num_parameters(VOCABULARY)
    core = model.visits()[1]
    extra = 3 * 2 * core.element.forward_flops_per_token(core.around)
    assert model.flops_per_token(VOCABULARY) - once.flops_per_token(VOCABULARY) == pytest.approx(extra)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
def test_compiles_whole() -> None:
    """Under torch.compile there is no break in the graph, and logits and gradients agree with eager ones."""
    model = vary(
        looped(),
        {"path": ("in", "core", "core"), "blocks": FrozenDict({n: looped().blocks[n] for n in ("in", "core")})},
    )
    eager, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    compiled = built(model)
    fast = torch.compile(compiled, fullgraph=True, backend="aot_eager")  # a minute less: the graphs are in question
    torch.testing.assert_close(fast(tokens_BT), eager(tokens_BT), rtol=1e-4, atol=1e-5)
    fast(tokens_BT).logsumexp(dim=-1).sum().backward()
    eager(tokens_BT).logsumexp(dim=-1).sum().backward()
    for p, q in zip(compiled.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-4)


def test_mixed_precision_stays_near(model: Model) -> None:
    """Under bf16 autocast the loss moves by less than a hundredth, and gradients keep the parameters' precision."""
    module, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    exact = torch.nn.functional.cross_entropy(module(tokens_BT).flatten(0, 1), tokens_BT.flatten())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits_BTV = module(tokens_BT)
    assert logits_BTV.dtype == torch.bfloat16
    loss = torch.nn.functional.cross_entropy(logits_BTV.float().flatten(0, 1), tokens_BT.flatten())
    loss.backward()
    assert abs(loss.item() - exact.item()) < 0.01
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in module.parameters())


def test_no_arm_has_a_rounded_stream(model: Model) -> None:
    """Under bf16 autocast both streams between two visits are fp32 in every model: what is added may be rounded."""
    module = built(model)
    seen: dict[str, set[torch.dtype]] = {}

    def note(where: str) -> None:
        def hook(_: torch.nn.Module, __: object, stream: Stream) -> None:
            seen.setdefault(where, set()).update({stream.x_BTD.dtype, stream.memory_BSE.dtype})

        (module.root if where == "root" else module.elements()[where]).register_forward_hook(hook)

    for where in ("root", *module.elements()):
        note(where)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module(tokens_of(CONTEXT_TOKENS))
    assert set(seen) == {"root", *module.visits}
    assert set.union(*seen.values()) == {torch.float32}, seen


def test_a_longer_context_is_the_model_that_was_built_for_it(model: Model) -> None:
    """The same logits, to the bit, as a model with that context and these parameters; the first is left as it was."""
    module, longer_tokens = moved(built(model)), 2 * CONTEXT_TOKENS + 3
    tokens_BT = tokens_of(longer_tokens)
    if not model.root.goes_on:
        with pytest.raises(SpecError, match="a learned vector for each of 71 positions, and none for those up to 145"):
            module.with_context(longer_tokens)
        return
    before = module(tokens_BT[:, :CONTEXT_TOKENS])
    meant = built(dataclasses.replace(model, context_tokens=longer_tokens))
    meant.load_state_dict(module.state_dict())
    longer = module.with_context(longer_tokens)
    assert torch.equal(longer(tokens_BT), meant(tokens_BT))
    assert {id(p) for p in longer.parameters()} == {id(p) for p in module.parameters()}
    assert module.context_tokens == CONTEXT_TOKENS
    assert torch.equal(module(tokens_BT[:, :CONTEXT_TOKENS]), before)
    with pytest.raises(SpecError, match="context_tokens: found 70; 71 or more"):
        module.with_context(CONTEXT_TOKENS - 1)


def test_arms_start_equal_where_they_share() -> None:
    """Two arms that differ in one block start with equal values for every parameter of the same name and shape."""
    plain = uniform(**SIZES)
    changes = {
        "blocks.1.attention.qk_norm": RMSNorm(),
        "blocks.1.attention.window_tokens": 7,
        "blocks.2.attention.normalizer": Sink(),
        "readout": Untied(),
    }
    a, b = (dict(built(m).named_parameters()) for m in (plain, vary(plain, changes)))
    assert set(a) < set(b)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_width_and_its_heads_change_in_two_steps() -> None:
    """Varying width and heads of every part one after the other ends in a valid model."""
    model = vary(uniform(**SIZES), {"root.width": 15, "blocks.*.width": 15, "blocks.*.attention.heads": 1})
    model = vary(model, {"blocks.*.width": 10, "root.width": 10})
    model.validate()
    assert built(model)(tokens_of(5)).shape == (BATCH, 5, VOCABULARY)
    assert model.readout == Tied()
