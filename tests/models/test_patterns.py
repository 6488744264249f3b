"""Loops: what they are by hand, where they equal the model without, and what they refuse."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.models.elements.exits import Exit
from vslm.models.elements.resizes import Carry, ZeroPad
from vslm.models.elements.states import (
    AddVector,
    InjectSum,
    Keep,
    LearnedState,
    LearnedStateModule,
    NoiseState,
    Return,
    ShiftedState,
)
from vslm.models.elements.two_streams import MemoryBlock
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.patterns import INJECT_MATRIX, INJECT_SUM, ahead, looped, share_attention, shifted
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.layouts.roots import learned_root
from vslm.models.layouts.shapes import tapered
from vslm.models.parts.readouts import Untied
from vslm.models.parts.reads import BothReads, MemoryReads
from vslm.models.path.repeats import PerLoop, PoissonLognormalLoops, Repeat, UniformLoops, count_at
from vslm.models.path.shares import LowRank, Shares
from vslm.models.path.stack import PathItem

VOCABULARY = 29
PLAIN = uniform(depth=4, width=12, heads=2, context_tokens=13)


def built(model: Model) -> LanguageModel:
    """The module, in evaluation, away from its start."""
    module = model.build(vocabulary=VOCABULARY, init=Init(0)).eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.1)
    return module


def tokens(num_tokens: int = 13) -> torch.Tensor:
    """Two rows of tokens, the same at each call."""
    return torch.randint(VOCABULARY, (2, 13), generator=torch.Generator().manual_seed(0))[:, :num_tokens]


ONCE = {
    "plain": PLAIN,
    "gpt2": gpt2(depth=3, width=12, heads=2, context_tokens=29),
    "tapered": tapered(PLAIN, widths=(12, 18, 18, 12), feedforward="same ratio"),
    "a learned root": learned_root(PLAIN, later_reads=BothReads()),
    "shared": share_attention(PLAIN.blocks["0"], depth=4).into(PLAIN),
}


@pytest.mark.parametrize("model", ONCE.values(), ids=ONCE.keys())
def test_one_loop_without_injection_is_the_model(model: Model) -> None:
    """To the bit, in initial values, logits and gradients; the same parameters and FLOPs."""
    middle = Repeat(body=model.path[1:-1], times=1)
    once = dataclasses.replace(model, path=(model.path[0], middle, model.path[-1]))
    if all(isinstance(item, str) for item in model.path):
        assert once == looped(model, times=1)
    assert once.flops_per_token(VOCABULARY) == model.flops_per_token(VOCABULARY)
    assert once.num_parameters(VOCABULARY) == model.num_parameters(VOCABULARY)
    found = []
    for one in (once, model):
        module = one.build(vocabulary=VOCABULARY, init=Init(0)).eval()
        logits_BTV = module(tokens())
        logits_BTV.logsumexp(dim=-1).sum().backward()
        found.append({"logits": logits_BTV, **{name: p.grad for name, p in module.named_parameters()}})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_loop_by_hand() -> None:
    """s <- core(A [s; e] + u_i), from a learned start, then the coda."""
    module = built(looped(PLAIN, times=3, inject=INJECT_MATRIX, start=LearnedState(), vectors=True))
    names = dict(module.named_parameters())
    stream = module.blocks["0"](module.root(tokens()))
    e = stream.x_BTD
    s = names["path.2.start_D"].expand_as(e)
    for i in range(3):
        s = torch.cat((s, e), dim=-1) @ names["path.3.body.0.weight"].T + names[f"path.3.body.1.elements.{i}.vector_D"]
        for name in ("1", "2"):
            s = module.blocks[name](stream._replace(x_BTD=s)).x_BTD
    s = module.blocks["3"](stream._replace(x_BTD=s)).x_BTD
    torch.testing.assert_close(module(tokens()), module.logits(s))


def test_at_the_start_an_injection_keeps_the_scale_and_vectors_do_nothing() -> None:
    """A = [I, I] / sqrt(2); u = 0."""
    module = looped(PLAIN, times=2, inject=INJECT_MATRIX, vectors=True).build(vocabulary=VOCABULARY, init=Init(0))
    names = dict(module.named_parameters())
    identity = torch.eye(12) / 2**0.5
    torch.testing.assert_close(names["path.2.body.0.weight"], torch.cat((identity, identity), dim=1))
    assert not names["path.2.body.1.elements.1.vector_D"].any()


def test_output_projections_start_by_the_applied_depth() -> None:
    """Three loops of two blocks and two more are 16 additions."""
    deep = looped(PLAIN, times=3).build(vocabulary=VOCABULARY, init=Init(0))
    plain = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    ours, theirs = (module.blocks["1"].attention.output.weight for module in (deep, plain))
    torch.testing.assert_close(ours, theirs * (8 / 16) ** 0.5)


def test_any_number_of_loops_after_training() -> None:
    """A view with other loops shares the weights, and is what a model of that many loops is."""
    model = looped(PLAIN, times=2, inject=INJECT_SUM)
    module = built(model)
    more = module.with_loops(5)
    assert len(more.visits) == len(module.visits) + 3 * 3
    assert more.blocks["0"] is module.blocks["0"]
    other = vary(model, {"path.2.times": 5}).build(vocabulary=VOCABULARY, init=Init(0)).eval()
    other.load_state_dict(module.state_dict())
    assert torch.equal(more(tokens()), other(tokens()))
    assert torch.equal(module.with_loops(2)(tokens()), module(tokens()))
    for times in ((), (0,), (1, 1)):
        with pytest.raises(SpecError, match="1 repeated parts"):
            module.with_loops(*times)


def test_loops_beyond_the_last_vector_use_the_last() -> None:
    """More loops than were trained have something to go by."""
    module = built(looped(PLAIN, times=2, inject=INJECT_SUM, vectors=True))
    assert [w for w in module.with_loops(4).visits if "elements" in w] == [
        f"path.2.body.1.elements.{i}" for i in (0, 1, 1, 1)
    ]


def test_gradients_go_back_through_the_last_loops_only() -> None:
    """The gradient of the core is that of its last k passes, from a state that stands still."""
    full = looped(PLAIN, times=5, inject=INJECT_SUM)
    module, cut = built(full), built(vary(full, {"path.2.gradient_loops": 2}))
    assert torch.equal(module(tokens()), cut(tokens()))
    cut(tokens()).square().sum().backward()
    with torch.no_grad():
        start = module.blocks["0"](module.root(tokens()))
        s = start.x_BTD
        for _ in range(3):
            s = s + start.x_BTD
            for name in ("1", "2"):
                s = module.blocks[name](start._replace(x_BTD=s)).x_BTD
    start = module.blocks["0"](module.root(tokens()))
    for _ in range(2):
        s = s + start.x_BTD
        for name in ("1", "2"):
            s = module.blocks[name](start._replace(x_BTD=s)).x_BTD
    module.logits(module.blocks["3"](start._replace(x_BTD=s)).x_BTD).square().sum().backward()
    for (name, p), (_, q) in zip(module.named_parameters(), cut.named_parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, msg=name)


@pytest.mark.parametrize("gradient_loops", [1, 2])
def test_gradients_stop_at_the_cut_whatever_carries_the_state(gradient_loops: int) -> None:
    """Kept streams, carried coordinates and the memory, too: a loop before the cut gets none, the input still does."""
    narrow = vary(PLAIN.blocks["0"], {"width": 6, "attention.heads": 1})
    reading = dataclasses.replace(PLAIN.blocks["0"], reads=MemoryReads())
    bodies = {
        "kept": ((Keep(name="e"),), (InjectSum(of="e"), "0", Keep(name="e"))),
        "carried": ((Keep(name="e"),), (InjectSum(of="e"), Carry(width=6), narrow, Carry(width=12), "0")),
        "memory": ((Keep(name="e"),), (InjectSum(of="e"), MemoryBlock(block=PLAIN.blocks["0"]), reading, "0")),
    }
    for name, (before, body) in bodies.items():
        marked = PerLoop(elements=(AddVector(),) * 4)  # a parameter of each loop, to see which ones get a gradient
        repeat = Repeat(body=(marked, *body, marked), times=4, gradient_loops=gradient_loops)
        path = ("0", *before, repeat)
        module = built(dataclasses.replace(PLAIN, blocks=FrozenDict({"0": PLAIN.blocks["0"]}), path=path))
        module(tokens()).square().sum().backward()
        vectors = {place: p for place, p in module.named_parameters() if place.endswith("vector_D")}
        got = [place.split(".")[-2] for place, p in vectors.items() if p.grad is not None]
        assert sorted(got) == sorted(2 * [str(loop) for loop in range(4 - gradient_loops, 4)]), name
        assert module.root.embedding_VE.grad.any()  # type: ignore[union-attr]


def cut_paths() -> dict[str, tuple[bool, tuple[PathItem, ...]]]:
    """Whether everything before the loops can learn, and the path."""
    narrow = vary(PLAIN.blocks["0"], {"width": 6, "attention.heads": 1})
    reading = dataclasses.replace(PLAIN.blocks["0"], reads=MemoryReads())
    keep, inject, memory = Keep(name="e"), InjectSum(of="e"), MemoryBlock(block=PLAIN.blocks["0"])

    def loops(*body: PathItem) -> Repeat:
        assert not any(isinstance(item, Repeat) for item in body)
        return Repeat(body=body, times=4, gradient_loops=1)  # type: ignore[arg-type]

    return {
        "nothing": (False, ("0", loops("1"))),
        "injected": (True, ("0", keep, loops(inject, "1"))),
        "kept too early": (False, (keep, "0", loops(inject, "1"))),
        "kept anew": (False, ("0", keep, loops(inject, "1", keep))),
        "injected behind": (True, ("0", keep, loops("1"), inject)),
        "returned to": (True, ("0", keep, loops("1"), Return(to="e"))),
        "from a start": (True, ("0", keep, LearnedState(), loops(inject, "1"))),
        "by an exit": (True, ("0", Exit(), loops("1"))),
        "visited again": (True, ("0", loops("0"))),
        "carried past": (True, ("0", Carry(width=6), loops(narrow), Carry(width=12))),
        "carried anew": (False, ("0", loops(Carry(width=6), narrow, Carry(width=12)))),
        "from the memory": (True, (memory, loops(reading))),
        "memory made anew": (False, (memory, loops(reading, memory))),
        "beside the memory": (False, ("0", loops(reading))),
        "loops before loops": (True, (Repeat(body=("0",), times=2), keep, loops(inject, "1"))),
        "loops before, cut off": (False, (Repeat(body=("0",), times=2), loops("1"))),
    }


@pytest.mark.parametrize(("learns", "path"), cut_paths().values(), ids=cut_paths())
def test_loops_that_cut_off_what_stands_before_them_are_refused(
    learns: bool, path: tuple[PathItem, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly where autograd finds no way to it; a kept stream, the memory or an exit may be the way."""
    bank = {name: PLAIN.blocks[name] for name in ("0", "1") if f"'{name}'" in repr(path)}
    model = dataclasses.replace(PLAIN, blocks=FrozenDict(bank), path=path)
    if learns:
        model.validate()
    else:
        with pytest.raises(SpecError, match=r"path\.\d\.gradient_loops: no gradient reaches (blocks|path)\.0, which"):
            model.validate()
    monkeypatch.setattr(Model, "_check_cuts", lambda *_: None)
    module = built(model)
    last = module.last(tokens())
    (last.x_BTD.square().sum() + sum(at.x_BTD.square().sum() for at in last.exits)).backward()
    begin = next(visit for visit in model.visits() if visit.step.repeat == len(model.repeats) - 1).where
    before = {where: module.get_submodule(where) for where in module.visits[: module.visits.index(begin)]}
    # A start of the state may be cut off: that is what it is for.
    parts = [part for part in before.values() if not isinstance(part, LearnedStateModule)]
    assert all(p.grad is not None for part in parts for p in part.parameters()) == learns


def test_a_root_that_no_gradient_reaches_is_refused() -> None:
    """Loops from the root on: with a readout of its own the embedding would never learn."""
    loops = Repeat(body=("0",), times=4, gradient_loops=1)
    bare = dataclasses.replace(PLAIN, blocks=FrozenDict({"0": PLAIN.blocks["0"]}), path=(loops,))
    bare.validate()
    with pytest.raises(SpecError, match=r"path\.0\.gradient_loops: no gradient reaches root"):
        dataclasses.replace(bare, readout=Untied()).validate()
    injected = dataclasses.replace(loops, body=(InjectSum(of="e"), "0"))
    dataclasses.replace(bare, readout=Untied(), path=(Keep(name="e"), injected)).validate()


def test_loops_that_only_training_cuts_are_refused_too() -> None:
    """A step of training may have more loops than a whole pass."""
    repeat = Repeat(body=("1",), times=1, training=UniformLoops(counts=(1, 3)), gradient_loops=1)
    bank = FrozenDict({name: PLAIN.blocks[name] for name in ("0", "1")})
    model = dataclasses.replace(PLAIN, blocks=bank, path=("0", repeat))
    with pytest.raises(SpecError, match=r"path\.1\.gradient_loops: no gradient reaches blocks\.0, .*put Keep between"):
        model.validate()


@pytest.mark.slow
def test_a_cut_is_part_of_one_graph() -> None:
    """What tells the loops' own streams from their input breaks no graph."""
    module = built(looped(PLAIN, times=4, inject=INJECT_SUM, gradient_loops=1))
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    eager, in_one_graph = (
        torch.autograd.grad(one(tokens()).square().sum(), list(module.parameters())) for one in (module, compiled)
    )
    torch.testing.assert_close(in_one_graph, eager)


def test_flops_of_training_count_what_is_drawn_and_what_is_cut() -> None:
    """The mean over counts; a loop without gradient costs a third."""
    costs = {times: looped(PLAIN, times=times).flops_per_token(VOCABULARY) for times in (1, 2, 4)}
    drawn = looped(PLAIN, times=4, training=UniformLoops(counts=(4, 1, 2)))
    assert drawn.flops_per_token(VOCABULARY) == pytest.approx(sum(costs.values()) / 3)
    cut = looped(PLAIN, times=4, gradient_loops=1, inject=INJECT_SUM)
    core = costs[2] - costs[1]
    assert cut.flops_per_token(VOCABULARY) == pytest.approx(costs[4] - 3 * core * 2 / 3)


def test_an_element_that_training_never_draws_counts_as_a_weight_and_not_as_compute() -> None:
    """Fewer loops in training than in a whole pass; what shares with an element of the last loop is counted too."""
    bank = FrozenDict({"0": PLAIN.blocks["0"], "1": PLAIN.blocks["0"]})
    near = Shares(of="1", parts=("attention",))
    repeat = Repeat(body=(PerLoop(elements=("0", "1")),), times=2, training=UniformLoops(counts=(1,)))
    drawn = dataclasses.replace(PLAIN, blocks=bank, path=(repeat, near))
    whole = dataclasses.replace(PLAIN, blocks=bank, path=("0", "1", near))
    block = whole.visits()[1]
    one = 3 * block.element.forward_flops_per_token(block.around)
    assert drawn.num_parameters(VOCABULARY) == whole.num_parameters(VOCABULARY)
    assert drawn.flops_per_token(VOCABULARY) == pytest.approx(whole.flops_per_token(VOCABULARY) - one)


def test_a_loop_that_training_draws_is_checked_before_it() -> None:
    """A body that does not come back to its width cannot be passed a second time, also where only training does so."""
    bank = FrozenDict({"0": PLAIN.blocks["0"]})
    repeat = Repeat(body=("0", ZeroPad(width=6)), times=1, training=UniformLoops(counts=(1, 3)))
    model = dataclasses.replace(PLAIN, blocks=bank, path=(repeat, ZeroPad(width=12)))
    with pytest.raises(SpecError, match=r"blocks\.0: after path\.0\.body\.1, width 12 follows width 6"):
        model.validate()


def test_a_poisson_lognormal_is_what_it_says() -> None:
    """Probabilities add up to 1 and agree with a million draws of the definition."""
    spec = PoissonLognormalLoops(mean=3.0, largest=9)
    probabilities = spec.probabilities()
    assert list(probabilities) == list(range(1, 10))
    assert sum(probabilities.values()) == pytest.approx(1)
    rng = np.random.default_rng(0)
    rates = np.exp(np.log(3.0) - 0.125 + 0.5 * rng.standard_normal(1_000_000))
    drawn = np.minimum(1 + rng.poisson(rates), 9)
    for count, probability in probabilities.items():
        assert (drawn == count).mean() == pytest.approx(probability, abs=2e-3)
    units = (np.arange(10_000) + 0.5) / 10_000
    ours = np.bincount([count_at(probabilities, unit) for unit in units], minlength=10)[1:] / 10_000
    assert ours == pytest.approx(list(probabilities.values()), abs=2e-4)


def test_a_random_start_depends_on_seed_and_position_alone() -> None:
    """In evaluation: the same for every row, batch, length and context; in training drawn from torch's generator."""
    module = built(looped(PLAIN, times=2, start=NoiseState(), inject=INJECT_SUM))
    together = module(tokens())
    torch.testing.assert_close(module(tokens()[1:]), together[1:])
    torch.testing.assert_close(module(tokens(7)), together[:, :7])
    noise_TD = module.path["2"].noise_TD
    longer = looped(dataclasses.replace(PLAIN, context_tokens=31), times=2, start=NoiseState(), inject=INJECT_SUM)
    assert torch.equal(longer.build(vocabulary=VOCABULARY, init=Init(5)).path["2"].noise_TD[:13], noise_TD)
    other = looped(PLAIN, times=2, start=NoiseState(seed=1), inject=INJECT_SUM)
    assert not torch.equal(other.build(vocabulary=VOCABULARY, init=Init(0)).path["2"].noise_TD, noise_TD)
    assert noise_TD.std().item() == pytest.approx(0.2, rel=0.2)
    module.train()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(module(tokens()))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_a_shifted_state_by_hand() -> None:
    """Pass 1 starts from the embedding and U times the last stream of the position before."""
    module = built(shifted(PLAIN, passes=2))
    stream = module.root(tokens())

    def one_pass(x: torch.Tensor) -> torch.Tensor:
        for name in ("0", "1", "2", "3"):
            x = module.blocks[name](stream._replace(x_BTD=x)).x_BTD
        return x

    first = one_pass(stream.x_BTD)
    weight = dict(module.named_parameters())["path.6.body.0.weight"]
    before = functional.pad(first, (0, 0, 1, 0))[:, :-1]
    expected = one_pass(stream.x_BTD + before @ weight.T)
    last = module.last(tokens())
    torch.testing.assert_close(last.x_BTD, expected)
    assert len(last.exits) == 1
    assert (last.exits[0].offset, last.exits[0].weight) == (1, 0.1)
    torch.testing.assert_close(last.exits[0].x_BTD, first)


def test_shifted_passes_start_as_the_model() -> None:
    """U = 0: every pass is the first, to the bit."""
    one, plain = (model.build(vocabulary=VOCABULARY, init=Init(0)) for model in (shifted(PLAIN, passes=3), PLAIN))
    assert torch.equal(one(tokens()), plain(tokens()))


def test_ahead_starts_as_the_model() -> None:
    """What is read at the end is the first pass: its scale knows nothing of the others."""
    one, plain = (model.build(vocabulary=VOCABULARY, init=Init(0)) for model in (ahead(PLAIN, tokens=3), PLAIN))
    assert torch.equal(one(tokens()), plain(tokens()))


def test_additions_are_counted_since_the_stream_started_anew() -> None:
    """Two for each block of the longest stretch that the last stream comes from."""
    for path, expected in (
        (("0", "0", Keep(name="e"), LearnedState(), InjectSum(of="e"), "0"), 4),  # the stretch before counts, too
        ((Keep(name="e"), "0", NoiseState(), Repeat(body=(InjectSum(of="e"), "0"), times=3)), 6),
        (("0", Keep(name="e"), "0", "0", Exit(), Return(to="e"), "0"), 4),  # what only an exit sees does not
        (("0", Keep(name="e"), "0", Repeat(body=(ShiftedState(of="e"), "0", "0"), times=4)), 6),
    ):
        model = dataclasses.replace(PLAIN, blocks=FrozenDict({"0": PLAIN.blocks["0"]}), path=path)
        assert {visit.around.num_additions for visit in model.visits()} == {expected}, path


def test_ahead_predicts_further_tokens_from_further_loops() -> None:
    """The last stream is that of the first loop; exit i is its i-th continuation, i tokens further."""
    module = built(ahead(PLAIN, tokens=3))
    plain = PLAIN.build(vocabulary=VOCABULARY, init=Init(0))
    plain.load_state_dict(module.state_dict())
    last = module.last(tokens())
    assert torch.equal(last.x_BTD, plain.last(tokens()).x_BTD)
    assert [at.offset for at in last.exits] == [2, 3]
    stream = module.root(tokens())
    x = last.x_BTD
    for at in last.exits:
        x = x + stream.x_BTD
        for name in ("0", "1", "2", "3"):
            x = module.blocks[name](stream._replace(x_BTD=x)).x_BTD
        torch.testing.assert_close(at.x_BTD, x)


def test_an_exit_costs_a_readout() -> None:
    """In training FLOPs; evaluation reads out one stream."""
    with_exit = ahead(PLAIN, tokens=2)
    bare = dataclasses.replace(
        with_exit, path=(*with_exit.path[:-2], Repeat(body=PLAIN.path, times=1), Return(to="next"))
    )
    assert with_exit.num_exits == 1
    extra = with_exit.flops_per_token(VOCABULARY) - bare.flops_per_token(VOCABULARY)
    assert extra == pytest.approx(3 * 2 * VOCABULARY * 12)


def test_changes_of_each_loop_are_its_own() -> None:
    """Two loops beyond the first, two blocks in the core, a change in each."""
    model = looped(PLAIN, times=3, delta=LowRank(rank=2))
    names = [name for name, _ in built(model).named_parameters() if name.endswith(".up")]
    assert len(names) == 2 * 2 * 7
    assert model.num_parameters(VOCABULARY) == PLAIN.num_parameters(VOCABULARY) + 4 * (4 * 2 * 24 + 3 * 2 * 44)


def test_what_cannot_be_is_refused() -> None:
    """Loops of zero, empty bodies, streams that nothing kept, names that are not there."""
    for make, where in (
        (lambda: Repeat(body=("0",), times=0), "times: found 0"),
        (lambda: Repeat(body=("0",), times=1, gradient_loops=0), "gradient_loops: found 0"),
        (lambda: Repeat(body=("0",), times=2, gradient_loops=9), "gradient_loops: found 9, and training has 2 loops"),
        (
            lambda: Repeat(body=("0",), times=5, gradient_loops=3, training=UniformLoops(counts=(2, 1))),
            "gradient_loops: found 3, and training has 2 loops",
        ),
        (lambda: Repeat(body=(), times=1), "body: an empty body"),
        (lambda: Repeat(body=(PerLoop(elements=("0", "1")),), times=1), r"body\.0\.elements: 2 elements for 1 loops"),
        (lambda: PerLoop(elements=()), "elements: no elements"),
        (lambda: UniformLoops(counts=(2, 0)), "counts: found 0"),
        (lambda: UniformLoops(counts=(2, 2)), "each count stands once"),
        (lambda: UniformLoops(counts=()), "no counts"),
        (lambda: PoissonLognormalLoops(mean=0.0, largest=3), "mean"),
        (lambda: PoissonLognormalLoops(mean=1.0, largest=0), "largest"),
        (lambda: looped(PLAIN, times=0), "times: found 0 for the blocks 1, 2; 1 or more is needed"),
        (lambda: looped(PLAIN, times=2, prelude=2, coda=2), "2 before and 2 after, of 4 blocks"),
        (lambda: looped(PLAIN, times=2, start=NoiseState()), "inject"),
        (lambda: looped(PLAIN, times=2, gradient_loops=1), "inject"),
        (lambda: looped(looped(PLAIN, times=2), times=2), "only names of blocks"),
        (lambda: shifted(PLAIN, passes=1), "passes"),
        (lambda: ahead(PLAIN, tokens=1), "tokens"),
        (lambda: NoiseState(std=0.0), "std"),
    ):
        with pytest.raises(SpecError, match=where):
            make()
    bank = FrozenDict({"0": PLAIN.blocks["0"]})
    for path, where in (
        (
            (Keep(name="inputs"), InjectSum(of="input"), "0"),
            r"path\.1: after path\.0, 'input' was not kept; did you mean",
        ),
        ((Return(to="a"), "0"), r"path\.0: after root, 'a' was not kept; nothing was"),
        (("0", Repeat(body=("0", "x"), times=2)), r"path\.1\.body\.1: no block is named 'x'"),
        (
            ("0", Repeat(body=(PerLoop(elements=("y",)),), times=2)),
            r"path\.1\.body\.0\.elements\.0: no block is named 'y'",
        ),
        (
            (Keep(name="in"), Repeat(body=(InjectSum(of="in"), "0", Exit()), times=3, gradient_loops=2)),
            r"path\.1\.body\.2: an exit in loops that gradients are kept out of",
        ),
    ):
        with pytest.raises(SpecError, match=where):
            dataclasses.replace(PLAIN, blocks=bank, path=path).validate()


def test_a_place_that_stands_in_every_loop_is_one_module() -> None:
    """An element of the body has its weights once, named by its place."""
    model = dataclasses.replace(
        PLAIN, blocks=FrozenDict({"0": PLAIN.blocks["0"]}), path=(Repeat(body=(AddVector(), "0"), times=3),)
    )
    module = built(model)
    assert module.visits == ("path.0.body.0", "blocks.0") * 3
    assert model.num_parameters(VOCABULARY) == sum(p.numel() for p in module.parameters())
