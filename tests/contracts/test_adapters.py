"""Contracts of adapters: whatever the adapter, on whatever model of the catalog."""

import copy

import numpy as np
import pytest
import torch
from model_facts import assert_every_class_is_tested, assert_reads_back
from model_facts import moved as moved_model
from safetensors.torch import load, save
from test_models import CONTEXT_TOKENS, MODELS, SIZES, VOCABULARY, built, tokens_of
from test_normalizers import NORMALIZERS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.measure.token_loss import token_loss
from vslm.measure.watch import watch
from vslm.models.adapters.adapter import Adapter, AdapterModule, attached
from vslm.models.adapters.cartridge import Cartridge
from vslm.models.adapters.lora import LoRA
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.plain import uniform
from vslm.models.parts.kernels import attend_behind
from vslm.models.parts.normalizers import Normalizer
from vslm.models.parts.past import TextSoFar
from vslm.models.path.repeats import Repeat
from vslm.training.checkpoints import load_model_tensors, model_tensors

ADAPTERS: dict[str, Adapter] = {
    "lora": LoRA(rank=3),
    "lora of some": LoRA(rank=2, parts=("attention.query", "feedforward.output"), alpha=3.0),
    "cartridge": Cartridge(tokens=5, context="what was read before"),
    "random cartridge": Cartridge(tokens=3),
}


# What adapters may find otherwise: layouts, shared weights, weights with a change, loops, two streams, other widths.
_SOME = (
    "plain",
    "window",
    "gpt2",
    "looped",
    "learned root, looped",
    "shared two streams, looped",
    "one attention",
    "core with changes",
    "random loops",
    "shifted",
    "diamond with parameters",
)


@pytest.fixture(params=_SOME)
def model(request: pytest.FixtureRequest) -> Model:
    """Each of some models."""
    return MODELS[request.param]


def _in_turn() -> list:
    """Each of some models with an adapter of each class, of which every other model has another one."""
    kinds = (("lora", "lora of some"), ("cartridge", "random cartridge"))
    pairs = [(name, of_kind[i % 2]) for i, name in enumerate(_SOME) for of_kind in kinds]
    assert {adapter for _, adapter in pairs} == set(ADAPTERS)
    return [pytest.param(MODELS[name], ADAPTERS[adapter], id=f"{name}-{adapter}") for name, adapter in pairs]


in_turn = pytest.mark.parametrize(("model", "adapter"), _in_turn())


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def any_model(request: pytest.FixtureRequest) -> Model:
    """Each model."""
    return request.param


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS.keys())
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each adapter."""
    return request.param


@pytest.fixture(params=["lora", "cartridge"])
def one_of_a_kind(request: pytest.FixtureRequest) -> Adapter:
    """One adapter of each class."""
    return ADAPTERS[request.param]


def encode(text: str) -> np.ndarray:
    """A token for each character."""
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64) % VOCABULARY


def made(adapter: Adapter, module: LanguageModel, seed: int = 1) -> AdapterModule:
    """Its weights as training starts with them."""
    return adapter.build(module, init=Init(seed), encode=encode)


def moved(module: AdapterModule) -> AdapterModule:
    """The same away from where it starts, each number by another amount."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return module


def test_every_class_is_tried() -> None:
    """A new one belongs into the list above."""
    assert_every_class_is_tested(Adapter, ADAPTERS.values())


def test_reads_back(adapter: Adapter) -> None:
    """The record of an adapter makes the same one."""
    assert_reads_back(adapter)


@in_turn
def test_the_model_is_left_as_it_is(model: Model, adapter: Adapter) -> None:
    """Building, putting on and a step of training write nothing to it and add no parameter; taken off, its logits are
    the same to the bit; on, they are others.
    """
    module, tokens_BT = built(model).requires_grad_(requires_grad=False), tokens_of(17)
    before, state = module(tokens_BT), {name: t.clone() for name, t in module.state_dict().items()}
    weights = moved(made(adapter, module))
    with attached(module, weights):
        on = module(tokens_BT)
        optimizer = torch.optim.SGD(weights.parameters(), lr=0.1)
        token_loss(module, tokens_BT[:, :-1], tokens_BT[:, 1:]).mean().backward()
        optimizer.step()
        assert module.beside == [weights]
    assert module.beside == []
    assert not torch.equal(on, before)
    assert torch.equal(module(tokens_BT), before)
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


@in_turn
def test_all_of_it_learns(model: Model, adapter: Adapter) -> None:
    """Away from the start, of model and adapter, every parameter gets a finite gradient that is not all zero."""
    module, tokens_BT = moved_model(built(model)).requires_grad_(requires_grad=False), tokens_of(CONTEXT_TOKENS)
    weights = moved(made(adapter, module))
    with attached(module, weights):
        token_loss(module, tokens_BT[:, :-1], tokens_BT[:, 1:]).mean().backward()
    for name, parameter in weights.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_counted_as_built_and_drawn_by_seed(any_model: Model, one_of_a_kind: Adapter) -> None:
    """Parameters are counted without building, and initial values come from the seed alone."""
    module = built(any_model)
    one, same = made(one_of_a_kind, module), made(one_of_a_kind, module)
    assert sum(p.numel() for p in one.parameters()) == one_of_a_kind.num_parameters(any_model, VOCABULARY)
    for (name, p), (_, q) in zip(one.named_parameters(), same.named_parameters(), strict=True):
        assert torch.equal(p, q), name
        assert p.dtype == torch.float32


@in_turn
def test_what_is_stored_comes_back(model: Model, adapter: Adapter) -> None:
    """Through safetensors into another instance: the same logits to the bit, on another instance of the model."""
    module, tokens_BT = built(model), tokens_of(17)
    weights = moved(made(adapter, module))
    stored = load(save({name: t.contiguous() for name, t in model_tensors(weights).items()}))
    other_model = built(model)
    other = made(adapter, other_model, seed=2)
    load_model_tensors(other, stored, "stored")
    with attached(module, weights), attached(other_model, other):
        assert torch.equal(module(tokens_BT), other_model(tokens_BT))


@in_turn
def test_causal_to_the_bit_and_rows_apart(model: Model, adapter: Adapter) -> None:
    """Changing a token leaves the logits before it, and those of the other row, bitwise equal."""
    module, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    with attached(module, moved(made(adapter, module))):
        before = module(tokens_BT)
        for changed in (1, 33, 70):
            other_BT = tokens_BT.clone()
            other_BT[1, changed] = (other_BT[1, changed] + 1) % VOCABULARY
            after = module(other_BT)
            assert torch.equal(after[0], before[0])
            assert torch.equal(after[1, :changed], before[1, :changed])
            assert not torch.equal(after[1, changed], before[1, changed])


@in_turn
def test_a_text_is_continued_as_it_is_read(model: Model, adapter: Adapter) -> None:
    """Token by token, with what earlier positions left, the same logits as in one pass."""
    module, tokens_BT = built(model), tokens_of(23)
    if not module.can_continue:
        return
    with attached(module, moved(made(adapter, module))), torch.no_grad():
        whole, so_far = module(tokens_BT), TextSoFar()
        for end in (5, 6, 7, 23):
            found = module.next_logits(tokens_BT[:, :end], so_far)
            torch.testing.assert_close(found, whole[:, end - 1], rtol=1e-4, atol=1e-5)


@in_turn
def test_two_are_put_on_and_taken_off_in_any_order(model: Model, adapter: Adapter) -> None:
    """Two of a kind act together, the order in which they came does not matter, and one can go before the other."""
    module, tokens_BT = built(model), tokens_of(17)
    one, other = moved(made(adapter, module)), moved(made(adapter, module, seed=5))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-0.7)
    with attached(module, one):
        alone = module(tokens_BT)
    first = one.attach(module)
    second = other.attach(module)
    both = module(tokens_BT)
    first.remove()
    third = one.attach(module)
    torch.testing.assert_close(module(tokens_BT), both, rtol=1e-4, atol=1e-5)
    second.remove()
    assert torch.equal(module(tokens_BT), alone)
    third.remove()
    assert not torch.allclose(both, alone, rtol=1e-3, atol=1e-4)


@in_turn
def test_views_of_a_model_have_it_on(model: Model, adapter: Adapter) -> None:
    """A longer context computes with what is on; it goes with it."""
    module, tokens_BT = built(model), tokens_of(CONTEXT_TOKENS)
    if not model.root.goes_on:
        return
    weights, longer = moved(made(adapter, module)), module.with_context(2 * CONTEXT_TOKENS)
    without = longer(tokens_BT)
    with attached(module, weights):
        torch.testing.assert_close(module.with_context(2 * CONTEXT_TOKENS)(tokens_BT), module(tokens_BT))
    assert torch.equal(longer(tokens_BT), without)


def test_flops_are_what_torch_counts(model: Model, one_of_a_kind: Adapter) -> None:
    """Forward and backward beside frozen weights, masked scores included: torch counts no more, and at least 0.7 of it:
    no gradient goes back below the first matrix that is changed.
    """
    always = {f"path.{i}.training": None for i, item in enumerate(model.path) if isinstance(item, Repeat)}
    always |= {where.replace("training", "gradient_loops"): None for where in always}
    model = vary(model, always)
    module, tokens_BT = built(model).requires_grad_(requires_grad=False), tokens_of(CONTEXT_TOKENS)[:1]
    weights = moved(made(one_of_a_kind, module))
    with attached(module, weights), FlopCounterMode(display=False) as counter:
        module(tokens_BT).logsumexp(dim=-1).sum().backward()
    masked = model.executed_flops_per_token(VOCABULARY) - model.flops_per_token(VOCABULARY)
    declared = (one_of_a_kind.training_flops_per_token(model, VOCABULARY) + masked) * CONTEXT_TOKENS
    assert 0.7 < counter.get_total_flops() / declared <= 1.001


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
def test_compiles_whole(one_of_a_kind: Adapter) -> None:
    """A model with it on is one graph, with the loss and the gradients of the eager one."""
    tokens_BT, found = tokens_of(CONTEXT_TOKENS), []
    for is_compiled in (False, True):
        module = built(uniform(**{**SIZES, "depth": 1}, window_tokens=5)).requires_grad_(requires_grad=False)
        weights = moved(made(one_of_a_kind, module))
        weights.attach(module)

        def loss(tokens_BT: torch.Tensor, targets_BT: torch.Tensor, module: LanguageModel = module) -> torch.Tensor:
            return token_loss(module, tokens_BT, targets_BT)

        made_of_it = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=False) if is_compiled else loss
        made_of_it(tokens_BT[:, :-1].contiguous(), tokens_BT[:, 1:].contiguous()).mean().backward()
        found.append([parameter.grad for parameter in weights.parameters()])
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-6)


def test_mixed_precision_stays_near(adapter: Adapter) -> None:
    """Under bf16 autocast the loss moves by less than two hundredths, and gradients stay fp32."""
    module, tokens_BT = built(MODELS["plain"]).requires_grad_(requires_grad=False), tokens_of(CONTEXT_TOKENS)
    weights = moved(made(adapter, module))
    with attached(module, weights):
        exact = token_loss(module, tokens_BT[:, :-1], tokens_BT[:, 1:]).mean()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = token_loss(module, tokens_BT[:, :-1], tokens_BT[:, 1:]).mean()
        loss.backward()
    assert abs(loss.item() - exact.item()) < 0.02
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in weights.parameters())


def test_merged_equals_unmerged(any_model: Model) -> None:
    """Whatever the layer, and where several blocks hold one weight: the logits of merged weights are those with it on;
    with none of it moved yet it is the model alone, to the bit.
    """
    module, tokens_BT = built(any_model), tokens_of(37)
    weights = made(LoRA(rank=3), module)
    assert weights.merges
    with attached(module, weights):
        assert torch.equal(module(tokens_BT), built(any_model)(tokens_BT))
    moved(weights)
    with attached(module, weights):
        expected = module(tokens_BT)
    merged = copy.deepcopy(module)
    weights.merge(merged)
    torch.testing.assert_close(merged(tokens_BT), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(module(tokens_BT), expected, rtol=1e-3, atol=1e-3)


def test_lora_draws_what_it_says() -> None:
    """A with the deviation 1 / rank."""
    weights = made(LoRA(rank=5), built(MODELS["plain"]))
    downs = torch.cat([p.flatten() for name, p in weights.named_parameters() if name.endswith(".down")])
    assert downs.std().item() == pytest.approx(1 / 5, rel=0.1)


def test_lora_by_hand() -> None:
    """W x + (alpha / rank) B A x, at a matrix of unequal sides."""
    module = built(MODELS["plain"])
    weights = moved(made(LoRA(rank=3, alpha=7.0), module))
    layer = module.get_submodule("blocks.1.feedforward.output")
    assert isinstance(layer, nn.Linear)
    change = dict(weights.named_parameters(prefix=""))
    down, up = (change[f"blocks.1.feedforward.output.{one}"] for one in ("down", "up"))
    x = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(3))
    with attached(module, weights):
        found = layer(x)
    torch.testing.assert_close(found, x @ layer.weight.T + 7.0 / 3 * x @ down.T @ up.T, rtol=1e-5, atol=1e-5)


def test_a_weight_that_blocks_share_has_one_change() -> None:
    """Counted once, and at work in both."""
    shared = MODELS["the same weights in a window"]
    module = built(shared)
    weights = moved(made(LoRA(rank=2, parts=("attention.value",)), module))
    assert [name for name, _ in weights.named_parameters()] == [
        "blocks.0.attention.value.down",
        "blocks.0.attention.value.up",
    ]
    x = torch.randn(5, 12, generator=torch.Generator().manual_seed(3))
    near = module.get_submodule("blocks.near.attention.value")
    before = near(x)
    with attached(module, weights):
        assert not torch.allclose(near(x), before)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rank": 0}, r"rank: found 0; 1 or more"),
        ({"rank": 2, "parts": ()}, "nothing is changed"),
        ({"rank": 2, "parts": ("attention.query", "attention.query")}, "named twice"),
        ({"rank": 2, "alpha": 0.0}, "alpha: found 0.0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(fields: dict, words: str) -> None:
    """By name."""
    with pytest.raises(SpecError, match=words):
        LoRA(**fields)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("attention.qery", "nothing is named 'attention.qery'; did you mean attention.query"),
        ("feedforward.gate", "nothing is named 'feedforward.gate'"),
        ("attention_norm", "attention_norm is a LayerNorm"),
    ],
)
def test_a_part_that_cannot_have_a_change_is_refused(part: str, words: str) -> None:
    """With the nearest name, or with what it is; of GPT-2's feedforward, which has no gate, too."""
    with pytest.raises(SpecError, match=words):
        LoRA(rank=2, parts=(part,)).check_fits(MODELS["gpt2"])


def test_a_linear_layer_with_a_forward_of_its_own_is_refused() -> None:
    """Its merged weight would not do what the change beside it does."""

    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    module = built(MODELS["plain"])
    layer = module.get_submodule("blocks.0.attention.query")
    doubled = Doubled(12, 12, bias=False)
    doubled.weight = layer.weight  # type: ignore[assignment]
    module.set_submodule("blocks.0.attention.query", doubled)
    with pytest.raises(SpecError, match="Doubled with a forward of its own"):
        made(LoRA(rank=2), module)


# Layouts in which what stands before a text is seen through attention alone, by all of its positions.
_AS_IF_READ = (
    "plain",
    "untied",
    "sigmoid in the middle",
    "looped",
    "learned root",
    "two streams",
    "shared two streams, looped",
    "one attention",
    "core with a matrix",
)


@pytest.mark.parametrize("name", _AS_IF_READ)
def test_a_cartridge_of_a_whole_text_is_the_model_that_has_read_it(name: str) -> None:
    """Untrained, of all tokens of a text: the logits of what follows are those behind the text, without a window and
    without positions that are added to the stream.
    """
    windows = dict.fromkeys(_windows(MODELS[name]))
    module, text = moved_model(built(vary(MODELS[name], windows))), "what was read"
    ids_P, tokens_BT = torch.from_numpy(encode(text)), tokens_of(29)
    expected = module(torch.cat((ids_P.expand(len(tokens_BT), -1), tokens_BT), dim=1))[:, len(ids_P) :]
    with attached(module, made(Cartridge(tokens=len(ids_P), context=text), module)):
        found = module(tokens_BT)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-4)
    assert not torch.allclose(module(tokens_BT), expected, rtol=0.05, atol=0.01)


def _windows(model: Model) -> list[str]:
    """Paths of every window of a model."""
    found = []
    for visit in model.visits():
        block = getattr(visit.element, "block", visit.element)
        inner = "block." if block is not visit.element else ""
        if getattr(getattr(block, "attention", None), "window_tokens", None) is not None:
            found.append(f"{visit.where}.{inner}attention.window_tokens")
    return sorted(set(found))


@pytest.mark.parametrize("normalizer", [*NORMALIZERS])
@pytest.mark.parametrize("window_tokens", [None, 4])
def test_attention_behind_a_prefix_is_that_over_longer_rows(normalizer: Normalizer, window_tokens: int | None) -> None:
    """For every normalizer: the rows of the oracle with the prefix in front, which no window hides; in chunks, too."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 150, 3, 4, generator=generator).unbind()
    k_P, v_P = torch.randn(2, 6, 3, 4, generator=generator).unbind()
    module = normalizer.build(heads=3, init=Init(0))
    found = attend_behind(q, k, v, k_P, v_P, module, window_tokens=window_tokens)
    keys, values = (torch.cat((p.expand(2, -1, -1, -1), x), dim=1) for p, x in ((k_P, k), (v_P, v)))
    distance_TS = torch.arange(150)[:, None] - torch.arange(-6, 150)
    visible_TS = (distance_TS >= 0) & ((distance_TS < (window_tokens or 150)) | (torch.arange(-6, 150) < 0))
    weights = module(q.transpose(1, 2) @ keys.permute(0, 2, 3, 1), visible_TS)
    torch.testing.assert_close(found, (weights @ values.transpose(1, 2)).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_a_window_hides_nothing_of_a_cartridge() -> None:
    """The last position of a text sees it through one block whose window is shorter than the text."""
    module = moved_model(built(vary(MODELS["window"], {"blocks.*.attention.window_tokens": 2})))
    tokens_BT = tokens_of(29)
    before = module(tokens_BT)
    with attached(module, moved(made(Cartridge(tokens=3), module))):
        assert not torch.allclose(module(tokens_BT)[:, -1], before[:, -1], rtol=1e-2, atol=1e-3)


def test_more_and_fewer_loops_behind_a_cartridge() -> None:
    """Fewer loops take the first of its keys, a loop beyond the declared ones those of the last."""
    module, tokens_BT = moved_model(built(MODELS["core"])), tokens_of(13)
    weights = moved(made(Cartridge(tokens=3), module))
    names = {name.rpartition(".")[0] for name, _ in weights.named_parameters()}
    assert {f"blocks.1.{count}" for count in range(3)} <= names
    with attached(module, weights):
        whole = module(tokens_BT)
        assert not torch.allclose(module.with_loops(5)(tokens_BT), whole)
        assert torch.equal(module.with_loops(3)(tokens_BT), whole)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tokens": 0}, "tokens: found 0"),
        ({"tokens": 3, "context": ""}, "an empty text"),
        ({"tokens": 3, "std": 0.0}, "std: found 0.0"),
    ],
)
def test_cartridges_of_nothing_are_refused(fields: dict, words: str) -> None:
    """By name."""
    with pytest.raises(SpecError, match=words):
        Cartridge(**fields)


def test_a_text_that_is_too_short_or_too_long_is_refused() -> None:
    """Before it is trained."""
    with pytest.raises(SpecError, match=r"context: the text has 4 tokens; tokens=5 are to start"):
        made(Cartridge(tokens=5, context="abcd"), built(MODELS["plain"]))
    with pytest.raises(SpecError, match=r"tokens: 71 tokens of a text, in a context of 71; at most 70"):
        Cartridge(tokens=71, context="a" * 80).check_fits(MODELS["plain"])


def test_weights_behind_a_cartridge_are_not_watched() -> None:
    """In words, and not as those of the text alone; what else is watched is there."""
    module = built(MODELS["plain"])
    with attached(module, made(Cartridge(tokens=3), module)):
        with pytest.raises(SpecError, match="they are not seen"), watch(module, "path.*.attention.weights"):
            pass
        with watch(module, "path.0.attention.query") as seen:
            module(tokens_of(5))
        assert set(seen) == {"path.0.attention.query"}
