"""Arms made equal: exact sizes against torch, one named thing changed, and words where it cannot be."""

import dataclasses

import pytest

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import vary
from vslm.data.sources import Text
from vslm.data.tokenizers import Characters
from vslm.models.elements.blocks import Block
from vslm.models.elements.states import LearnedState
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts import patterns
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.layouts.roots import learned_root, shared_two_streams
from vslm.models.layouts.shapes import tapered
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import GELU, SwiGLU
from vslm.models.parts.readouts import Tied, Untied
from vslm.models.parts.roots import TokenRoot
from vslm.models.path.repeats import UniformLoops
from vslm.study.changes import Change, Depth, FeedforwardMultiplier, Loops, WidthScale
from vslm.study.experiment import Budget, Experiment
from vslm.study.matching import SIZES, TOLERANCE_FRACTION, Size, _Search, check_equal, matched, relative_sizes, size_of

VOCABULARY, CONTEXT_TOKENS, WIDTH = 1009, 71, 48


def experiment(model: Model) -> Experiment:
    """Never trained."""
    data = Text("nowhere.txt", vocabulary=VOCABULARY)
    return Experiment(model=model, data=data, budget=Budget(tokens=10_000))


def looped() -> Model:
    """A core of two blocks visited twice, between blocks of their own; feedforwards of different kinds and sizes."""
    block = Block(width=WIDTH, attention=Attention(heads=2))
    bank = {
        "in": block,
        "a": Block(width=WIDTH, attention=Attention(heads=3, window_tokens=4), feedforward=SwiGLU(hidden=104)),
        "b": Block(width=WIDTH, attention=Attention(heads=2, head_width=20), feedforward=GELU(hidden=63)),
        "out": block,
    }
    path = ("in", "a", "b", "a", "b", "out")
    root, readout = TokenRoot(width=WIDTH), Untied()
    return Model(root=root, blocks=FrozenDict(bank), path=path, readout=readout, context_tokens=CONTEXT_TOKENS)


PLAIN = uniform(depth=4, width=WIDTH, heads=2, context_tokens=CONTEXT_TOKENS)
ARMS = {
    "deep": uniform(depth=7, width=WIDTH, heads=2, context_tokens=CONTEXT_TOKENS),
    "gpt2": gpt2(depth=3, width=60, heads=3, context_tokens=CONTEXT_TOKENS),
    "looped": looped(),
    "windows": vary(PLAIN, {"blocks.1.attention.window_tokens": 5, "blocks.3.attention.heads": 4}),
}


@pytest.mark.parametrize("by", SIZES)
@pytest.mark.parametrize("name", ARMS)
def test_the_finest_change_matches_every_model_by_every_size(name: str, by: Size) -> None:
    """Within 0.5%, by torch's own count; nothing but hidden numbers differs; equal blocks end one multiple apart."""
    arm, to = experiment(ARMS[name]), experiment(PLAIN)
    found = matched(arm, to=to, by=by, change=FeedforwardMultiplier(multiple=1))
    assert abs(size_of(found.model, by, VOCABULARY) / size_of(PLAIN, by, VOCABULARY) - 1) <= TOLERANCE_FRACTION
    module = found.model.build(vocabulary=VOCABULARY, init=Init(0))
    assert sum(p.numel() for p in module.parameters()) == found.model.num_parameters(VOCABULARY)
    hidden = {visit.where: visit.element.feedforward.hidden_at(WIDTH) for visit in found.model.visits()}  # type: ignore[attr-defined]
    if name == "deep":
        assert max(hidden.values()) - min(hidden.values()) <= 1
    back = {f"{where}.feedforward": spec.element.feedforward for where, spec in _visits(arm.model).items()}  # type: ignore[attr-defined]
    assert vary(found.model, back) == arm.model
    assert dataclasses.replace(found, model=arm.model) == arm


def _visits(model: Model) -> dict:
    return {visit.where: visit for visit in model.visits()}


@pytest.mark.parametrize(
    ("change", "model"),
    [
        (Depth(), PLAIN),
        (Depth(("1", "2")), ARMS["windows"]),
        (Loops(("a", "b")), looped()),
        (FeedforwardMultiplier(), looped()),
        (FeedforwardMultiplier(multiple=1), PLAIN),
        (WidthScale(), looped()),
        (WidthScale(multiple=6), ARMS["gpt2"]),
    ],
    ids=repr,
)
def test_a_change_is_the_identity_at_its_own_amount_and_sizes_rise_with_it(change: Change, model: Model) -> None:
    """What the search relies on: equal where nothing changes, never smaller further up, valid in between."""
    now = change.amount(model)
    assert change.at(model, now) == model
    for by in SIZES:
        sizes = [size_of(change.at(model, amount), by, VOCABULARY) for amount in range(now, now + 5)]
        assert sizes == sorted(sizes)
    more = change.at(model, now + 2)
    named = isinstance(change, Depth) and change.blocks is not None  # it goes on to mean the blocks that it names
    assert change.amount(more) == (now if named else now + 2)
    assert more != model
    assert change.describe(now + 2) != change.describe(now)
    tokens = more.build(vocabulary=VOCABULARY, init=Init(0))
    assert sum(p.numel() for p in tokens.parameters()) == more.num_parameters(VOCABULARY)


def test_depth_goes_on_with_the_pattern_and_keeps_what_is_around() -> None:
    """A row of two kinds of block continues as such; blocks before and after stay, and so do names."""
    model = ARMS["windows"]
    more = Depth(("1", "2")).at(model, 5)
    assert more.path == ("0", "1", "2", "4", "5", "6", "3")
    kinds = [more.blocks[name].attention.window_tokens for name in more.path]  # type: ignore[attr-defined]
    assert kinds == [None, 5, None, 5, None, 5, None]
    less = Depth(("1", "2")).at(model, 1)
    assert less.path == ("0", "1", "3")
    assert set(less.blocks) == {"0", "1", "3"}
    assert Depth().at(PLAIN, 6) == uniform(depth=6, width=WIDTH, heads=2, context_tokens=CONTEXT_TOKENS)


def test_loops_change_compute_and_no_parameter() -> None:
    """Matched by FLOPs they are changed; by parameters the message says that they cannot help."""
    arm = experiment(looped())
    found = matched(arm, to=experiment(Loops(("a", "b")).at(looped(), 5)), by="flops", change=Loops(("a", "b")))
    assert found.model.path == ("in", *("a", "b") * 5, "out")
    assert found.model.num_parameters(VOCABULARY) == arm.model.num_parameters(VOCABULARY)
    with pytest.raises(SpecError, match=r"Loops does not change parameters\W*(;|$)"):
        matched(arm, to=experiment(PLAIN), by="parameters", change=Loops(("a", "b")))


def test_a_miss_says_by_how_much_and_why() -> None:
    """The nearest amount with its size, and what the next one has; a wider first step and a finer second get there."""
    arm, to = experiment(ARMS["gpt2"]), experiment(PLAIN)
    with pytest.raises(SpecError) as error:
        matched(arm, to=to, by="non_embedding_parameters", change=Depth())
    text = str(error.value)
    target = PLAIN.num_parameters_without_embeddings(VOCABULARY)
    sizes = {n: Depth().at(arm.model, n).num_parameters_without_embeddings(VOCABULARY) for n in range(1, 6)}
    best = min(sizes, key=lambda n: abs(sizes[n] - target))
    assert f"depth {best} with {sizes[best]:,} parameters without embeddings" in text
    assert f"{sizes[best] / target - 1:+.2%} from {target:,}" in text
    assert f"depth {best + (1 if sizes[best] < target else -1)} has" in text
    near = matched(arm, to=to, by="non_embedding_parameters", change=Depth(), tolerance_fraction=0.5)
    assert len(near.model.path) == best
    exact = matched(near, to=to, by="non_embedding_parameters", change=FeedforwardMultiplier())
    assert abs(exact.model.num_parameters_without_embeddings(VOCABULARY) / target - 1) <= TOLERANCE_FRACTION


@dataclasses.dataclass(frozen=True)
class Refusing(Change):
    """Depths of which some are refused."""

    refused: tuple[int, ...] = ()

    def amount(self, model: Model) -> int:
        """Blocks."""
        return len(model.path)

    def at(self, model: Model, amount: int) -> Model:
        """As many, unless it is one of those."""
        if amount in self.refused:
            raise SpecError("depth", f"found {amount}", "another is needed", "take another")
        return Depth().at(model, amount)

    def describe(self, amount: int) -> str:
        """In words."""
        return f"depth {amount}"


@pytest.mark.parametrize(("share", "side"), [(0.45, 1), (-0.45, -1)])
def test_a_miss_names_the_next_amount_on_the_other_side(share: float, side: int) -> None:
    """Just short of half way from 4 blocks to 5, or to 3: that one with its size, or why it is none."""

    def size(depth: int) -> int:
        return Depth().at(PLAIN, depth).num_parameters(VOCABULARY)

    target = size(4) + share * (size(5) - size(4))
    found = _Search(PLAIN, "parameters", VOCABULARY, Depth(), target)
    assert found.nearest() == 4
    assert found.why(4) == f"depth {4 + side} has {size(4 + side):,}"
    found = _Search(PLAIN, "parameters", VOCABULARY, Refusing(refused=(4 + side,)), target)
    assert found.nearest() == 4
    assert found.why(4).startswith(f"depth {4 + side} gives no valid model: depth: found {4 + side}")


def test_a_vocabulary_that_only_the_text_knows_is_asked_for() -> None:
    """Characters are known once they are seen; a number that is given is used for both sides."""
    arm = dataclasses.replace(experiment(ARMS["deep"]), data=Text("nowhere.txt", tokenizer=Characters()))
    to = dataclasses.replace(arm, model=PLAIN)
    with pytest.raises(SpecError, match=r"matched\.vocabulary"):
        matched(arm, to=to, by="parameters", change=Depth())
    found = matched(arm, to=to, by="parameters", change=FeedforwardMultiplier(), vocabulary=67)
    assert abs(found.model.num_parameters(67) / PLAIN.num_parameters(67) - 1) <= TOLERANCE_FRACTION


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Depth(("0", "2")), "do not stand in a row"),
        (Depth(("nine",)), "no block is named"),
        (Loops("nine"), "no block is named"),
        (Loops(("0", "2")), "do not stand in one place"),
    ],
    ids=repr,
)
def test_a_change_that_names_what_is_not_there_is_refused(change: Change, words: str) -> None:
    """Before anything is searched."""
    with pytest.raises(SpecError, match=words):
        matched(experiment(PLAIN), to=experiment(ARMS["deep"]), by="parameters", change=change)


def test_repeated_blocks_have_no_depth_of_their_own() -> None:
    """A path of one block visited again and again is changed by loops."""
    block = PLAIN.blocks["0"]
    model = dataclasses.replace(PLAIN, blocks=FrozenDict({"core": block}), path=("core", "core"), readout=Tied())
    with pytest.raises(SpecError, match="Loops"):
        Depth().amount(model)


def test_equality_is_checked_per_arm_and_the_listed_are_let_off() -> None:
    """Exactly at the promised fraction, by the promised size, in both directions."""
    arms = {"plain": experiment(PLAIN), "deep": experiment(ARMS["deep"])}
    vocabularies = dict.fromkeys(arms, VOCABULARY)
    for by in SIZES:
        with pytest.raises(SpecError, match=r"arms\.deep"):
            check_equal(arms, "plain", by=by, unequal=(), vocabularies=vocabularies)
        with pytest.raises(SpecError, match=r"arms\.plain"):
            check_equal(arms, "deep", by=by, unequal=(), vocabularies=vocabularies)
        check_equal(arms, "plain", by=by, unequal=("deep",), vocabularies=vocabularies)
        fitted = {**arms, "deep": matched(arms["deep"], to=arms["plain"], by=by, change=FeedforwardMultiplier())}
        check_equal(fitted, "plain", by=by, unequal=(), vocabularies=vocabularies)
        assert abs(relative_sizes(fitted, "plain", vocabularies)["deep"][by]) <= TOLERANCE_FRACTION


def test_loops_of_a_repeat_are_its_count() -> None:
    """A core that stands in a `Repeat` is looped more often by its count; nothing else moves, and no parameter."""
    model = patterns.looped(PLAIN, times=3, prelude=1, coda=1)
    core = model.path[1].body[-1]  # type: ignore[union-attr]
    change = Loops(blocks=core)
    assert change.amount(model) == 3
    more = change.at(model, 5)
    assert change.amount(more) == 5
    assert more.num_parameters(VOCABULARY) == model.num_parameters(VOCABULARY)
    assert change.at(more, 3) == model
    cost = [m.flops_per_token(VOCABULARY) for m in (change.at(model, 4), more, change.at(model, 6))]
    assert cost[2] - cost[1] == pytest.approx(cost[1] - cost[0])


def test_loops_that_training_draws_are_named_where_their_count_matches_nothing() -> None:
    """FLOPs go by the distribution, so the message says where it stands."""
    model = patterns.looped(PLAIN, times=3, training=UniformLoops(counts=(1, 2)))
    core = model.path[1].body[-1]  # type: ignore[union-attr]
    found = r"Loops does not change FLOPs per token: path\.1\.training=UniformLoops\(counts=\(1, 2\)\) says how often"
    with pytest.raises(SpecError, match=found):
        matched(experiment(model), to=experiment(ARMS["deep"]), by="flops", change=Loops(core))


@pytest.mark.parametrize(
    "model",
    [
        patterns.looped(PLAIN, times=3, inject=patterns.INJECT_MATRIX, start=LearnedState()),
        patterns.share_attention(PLAIN.blocks["0"], depth=3).into(PLAIN),  # type: ignore[arg-type]
        learned_root(PLAIN, embedding_width=24),
        shared_two_streams(PLAIN),
        tapered(PLAIN, widths=(24, 48, 72, 48), feedforward="same ratio"),
    ],
    ids=["loops", "shared attention", "learned root", "two streams", "diamond"],
)
def test_widths_scale_in_every_kind_of_path(model: Model) -> None:
    """Twice the width is twice every width, in loops, in streams and in the root; then back again."""
    change = WidthScale()
    amount = change.amount(model)
    wide = change.at(model, 2 * amount)
    wide.validate()
    assert [v.around.width for v in wide.visits()] == [2 * v.around.width for v in model.visits()]
    assert wide.root.memory_width == 2 * model.root.memory_width
    module = wide.build(vocabulary=VOCABULARY, init=Init(0))
    assert sum(p.numel() for p in module.parameters()) == wide.num_parameters(VOCABULARY)
