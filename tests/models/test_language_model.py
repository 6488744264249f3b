"""The two layouts, and what a model refuses."""

import pytest
import torch
from torch.nn import functional

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.models.initialization import Init
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.parts.kernels import Where
from vslm.models.parts.positions import Rotary
from vslm.models.parts.readouts import Tied, Untied

SIZES = {"depth": 2, "width": 16, "heads": 2, "context_tokens": 11}


def test_uniform_is_the_plain_llama_layout() -> None:
    """RMSNorm, rotary, a gated feedforward of 8/3 the width in eights, no bias, tied."""
    model = uniform(**SIZES)
    assert list(model.blocks) == ["0", "1"]
    assert model.path == ("0", "1")
    assert isinstance(model.readout, Tied)
    names = {name: tuple(p.shape) for name, p in model.build(vocabulary=23, init=Init(0)).named_parameters()}
    block = {
        "attention_norm.weight": (16,),
        "attention.query.weight": (16, 16),
        "attention.key.weight": (16, 16),
        "attention.value.weight": (16, 16),
        "attention.output.weight": (16, 16),
        "feedforward_norm.weight": (16,),
        "feedforward.gate.weight": (48, 16),
        "feedforward.input.weight": (48, 16),
        "feedforward.output.weight": (16, 48),
    }
    expected = {f"blocks.{i}.{name}": shape for i in range(2) for name, shape in block.items()}
    assert names == {"root.embedding_VE": (23, 16), **expected, "norm.weight": (16,)}


def test_options_of_uniform_reach_their_place() -> None:
    """Each argument changes what it names in every block."""
    model = uniform(**SIZES, hidden=20, window_tokens=3, tied_readout=False, qk_norm=True, dropout=0.1)
    names = dict(model.build(vocabulary=23, init=Init(0)).named_parameters())
    assert names["blocks.1.feedforward.gate.weight"].shape == (20, 16)
    assert names["blocks.1.attention.query_norm.weight"].shape == (8,)
    assert names["readout.weight"].shape == (23, 16)
    assert isinstance(model.readout, Untied)
    for visit in model.visits():
        assert visit.element.attention.window_tokens == 3  # type: ignore[attr-defined]
        assert visit.element.dropout == visit.element.attention.dropout == 0.1  # type: ignore[attr-defined]


def test_gpt2_computes_what_gpt2_is() -> None:
    """The layout against its formulas written out, weight by weight."""
    module = gpt2(**SIZES).build(vocabulary=23, init=Init(0))
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    w = dict(module.named_parameters())
    tokens_BT = torch.randint(23, (2, 11), generator=torch.Generator().manual_seed(0))
    x = w["root.embedding_VE"][tokens_BT] + w["root.position_TE"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (16,), w[f"{name}.weight"], w[f"{name}.bias"])

    def matrix(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    for i in range(2):
        at = f"blocks.{i}.attention"
        read = norm(x, f"{at}_norm")
        q, k, v = (matrix(read, f"{at}.{n}").view(2, 11, 2, 8).transpose(1, 2) for n in ("query", "key", "value"))
        scores = (q @ k.transpose(2, 3) / 8**0.5).masked_fill(torch.ones(11, 11).triu(1).bool(), -torch.inf)
        x = x + matrix((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 11, 16), f"{at}.output")
        ff = f"blocks.{i}.feedforward"
        x = x + matrix(functional.gelu(matrix(norm(x, f"{ff}_norm"), f"{ff}.input")), f"{ff}.output")
    expected = norm(x, "norm") @ w["root.embedding_VE"].T
    torch.testing.assert_close(module(tokens_BT), expected, rtol=1e-4, atol=1e-5)


def test_gpt2_starts_as_published() -> None:
    """Deviation 0.02, output projections smaller by the root of twice the depth, biases at zero."""
    module = gpt2(depth=8, width=128, heads=4, context_tokens=11).build(vocabulary=23, init=Init(0))
    for name, p in module.named_parameters():
        if p.ndim == 2:
            expected = 0.02 / 4 if ".output." in name else 0.02
            assert p.std().item() == pytest.approx(expected, rel=0.05), name
        else:
            assert torch.equal(p, torch.zeros_like(p) if name.endswith("bias") else torch.ones_like(p)), name


def test_at_the_start_every_token_is_about_as_likely() -> None:
    """The first loss is near the logarithm of the vocabulary, at every width and depth."""
    for model in (
        uniform(depth=1, width=32, heads=2, context_tokens=61),
        gpt2(depth=6, width=96, heads=4, context_tokens=61),
    ):
        module = model.build(vocabulary=211, init=Init(0)).eval()
        tokens_BT = torch.randint(211, (4, 61), generator=torch.Generator().manual_seed(0))
        loss = functional.cross_entropy(module(tokens_BT)[:, :-1].flatten(0, 1), tokens_BT[:, 1:].flatten())
        assert abs(loss.item() - 5.352) < 0.15


@pytest.mark.slow
def test_it_learns_to_look_back() -> None:
    """A few steps on a text that repeats itself: the loss of the second half falls far below chance."""
    torch.manual_seed(0)
    module = uniform(depth=2, width=32, heads=2, context_tokens=16).build(vocabulary=13, init=Init(0))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    loss = torch.tensor(torch.inf)
    for _ in range(150):
        half = torch.randint(13, (32, 8))
        tokens_BT = torch.cat((half, half), dim=1)
        loss = functional.cross_entropy(module(tokens_BT)[:, 8:-1].flatten(0, 1), tokens_BT[:, 9:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7  # chance is 2.56


def test_a_longer_text_than_the_context_is_refused() -> None:
    """A model says so, and does not read past its positions."""
    module = gpt2(**SIZES).build(vocabulary=23, init=Init(0))
    with pytest.raises(ValueError, match="12 tokens in a context of 11"):
        module(torch.zeros(1, 12, dtype=torch.long))


def test_what_cannot_be_is_refused_at_once() -> None:
    """Layouts check their numbers against each other when they are made."""
    for changes, where in (
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
        ({"heads": 3}, r"blocks\.0\.attention\.heads: 3 heads do not divide width 16; 2 or 4 would"),
        ({"heads": 16}, r"blocks\.0\.attention\.positions"),
        ({"context_tokens": 0}, "context_tokens"),
        ({"hidden": 0}, "hidden"),
        ({"window_tokens": 0}, "window_tokens"),
        ({"dropout": 1.5}, "dropout"),
    ):
        with pytest.raises(SpecError, match=where):
            uniform(**{**SIZES, **changes})
    with pytest.raises(SpecError, match="vocabulary"):
        uniform(**SIZES).build(vocabulary=0, init=Init(0))
    with pytest.raises(SpecError, match=r"kernels\.2: no attention is named so"):
        uniform(**SIZES).build(vocabulary=5, init=Init(0), kernels={"2": "oracle"})
    with pytest.raises(SpecError, match=r"blocks\.1.*unknown kernel 'fast'"):
        uniform(**SIZES).build(vocabulary=5, init=Init(0), kernels={"1": "fast"})


def test_kernels_are_a_function_of_the_block_and_the_device() -> None:
    """What is recorded with a run is what the model is built with."""
    model = vary(uniform(**SIZES), {"blocks.1.attention.window_tokens": 3})
    assert model.kernels() == {"0": "chunked", "1": "chunked"}
    assert model.kernels(Where("cuda")) == {"0": "sdpa", "1": "flex"}
    module = model.build(vocabulary=5, init=Init(0), kernels={"0": "oracle"})
    assert type(module.blocks["0"].attention.kernel).__name__ == "OracleKernel"
    assert type(module.blocks["1"].attention.kernel).__name__ == "ChunkedKernel"


def test_a_value_deep_in_the_tree_can_be_varied() -> None:
    """Every slot is reached by its dotted path."""
    model = vary(
        uniform(**SIZES), {"blocks.*.attention.positions": Rotary(base=500.0), "blocks.1.feedforward.hidden": 9}
    )
    model.validate()
    assert model.num_parameters(23) == sum(p.numel() for p in model.build(vocabulary=23, init=Init(0)).parameters())
