"""Watching: what is seen at which visit, that nothing changes, and that nothing is left behind."""

import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.measure.names import matches, matching
from vslm.measure.watch import watch, watchable
from vslm.models.elements.blocks import Block
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.plain import uniform
from vslm.models.layouts.roots import projected_root
from vslm.models.parts.attention import Attention
from vslm.models.parts.feedforward import SwiGLU
from vslm.models.parts.normalizers import Sigmoid
from vslm.models.parts.readouts import Tied
from vslm.models.parts.roots import TokenRoot

WIDTH = 12
TOKENS_BT = torch.randint(53, (3, 71), generator=torch.Generator().manual_seed(7))


def block(heads: int, window_tokens: int | None = None, **attention: object) -> Block:
    """A small one."""
    return Block(
        width=WIDTH,
        attention=Attention(heads=heads, window_tokens=window_tokens, **attention),  # type: ignore[arg-type]
        feedforward=SwiGLU(hidden=16),
    )


def looped(kernel: str | None = None) -> LanguageModel:
    """Three visits of two blocks: the first is visited again at the end."""
    model = Model(
        root=TokenRoot(width=WIDTH, std=1.0),
        blocks={"a": block(2), "b": block(3, 9, normalizer=Sigmoid())},
        path=("a", "b", "a"),
        readout=Tied(),
        context_tokens=71,
    )
    kernels = dict.fromkeys("ab", kernel) if kernel else None
    return model.build(vocabulary=53, init=Init(0), kernels=kernels)


def num_hooks(model: nn.Module) -> int:
    """Of all modules together."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("with_gradients", [True, False])
@pytest.mark.parametrize("pattern", ["path.*", "path.*.attention.weights", "path.1.*", "path.*.*.query", "readout"])
def test_logits_and_gradients_are_bitwise_equal(pattern: str, with_gradients: bool) -> None:
    """Whatever is watched, in a model that visits one block twice and computes attention in chunks."""
    plain, watched = looped(), looped()
    with torch.set_grad_enabled(with_gradients):
        expected = plain(TOKENS_BT)
        with watch(watched, pattern) as seen:
            logits = watched(TOKENS_BT)
    assert torch.equal(logits, expected)
    assert seen
    assert not any(value.requires_grad for value in seen.values())
    if with_gradients:
        expected.logsumexp(dim=-1).sum().backward()
        logits.logsumexp(dim=-1).sum().backward()
        for p, q in zip(plain.parameters(), watched.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad)  # type: ignore[arg-type]


def test_one_module_visited_twice_is_seen_twice() -> None:
    """Each visit under its own name, with its own stream; what flows out of one visit flows into the next."""
    model = looped()
    with watch(model, "root", "path.*", "norm", "readout") as seen:
        logits = model(TOKENS_BT)
    assert list(seen) == ["root", "path.0", "path.1", "path.2", "norm", "readout"]
    x_BTD = seen["root"]
    for place, name in enumerate("aba"):
        stream = model.root(TOKENS_BT)._replace(x_BTD=x_BTD)
        x_BTD = model.blocks[name](stream).x_BTD
        assert torch.equal(seen[f"path.{place}"], x_BTD)
    assert not torch.equal(seen["path.0"], seen["path.2"])
    assert torch.equal(seen["readout"], logits)


def test_a_new_pass_starts_anew_and_a_path_gone_through_twice_counts_on() -> None:
    """`stream` and `forward` both start at the root."""
    model = looped()
    with watch(model, "path.*") as seen:
        model.stream(TOKENS_BT)
        first = dict(seen)
        model(TOKENS_BT[:2])
        assert [len(x) for x in seen.values()] == [2, 2, 2]
        assert list(first) == list(seen)
        stream = model.root(TOKENS_BT)
        for name in "abaaba":
            stream = model.blocks[name](stream)
        assert list(seen) == [f"path.{place}" for place in range(6)]


@pytest.mark.parametrize("kernel", ["oracle", "chunked"])
def test_weights_are_what_the_oracle_uses(kernel: str) -> None:
    """Weights times values, through the output projection, are the attention's output, for every kernel."""
    model = looped(kernel)
    with watch(model, "path.*.attention", "path.*.attention.weights", "path.*.attention.value") as seen:
        model(TOKENS_BT)
    for place, (name, heads) in enumerate(zip("aba", (2, 3, 2), strict=True)):
        weights_BHTS = seen[f"path.{place}.attention.weights"]
        assert weights_BHTS.shape == (3, heads, 71, 71)
        v_BHSK = seen[f"path.{place}.attention.value"].unflatten(-1, (heads, -1)).transpose(1, 2)
        y_BTD = model.blocks[name].attention.output((weights_BHTS @ v_BHSK).transpose(1, 2).flatten(-2))
        torch.testing.assert_close(y_BTD, seen[f"path.{place}.attention"])
        distance_TS = torch.arange(71)[:, None] - torch.arange(71)
        hidden = (distance_TS < 0) | (distance_TS >= (9 if name == "b" else 71))
        assert (weights_BHTS[..., hidden] == 0).all()
        assert (weights_BHTS[..., ~hidden] > 0).all()


def test_no_hook_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the end, not after an exception in the block, nor one in the model or in a hook."""
    model = looped()
    with watch(model, "path.*.attention.weights", "root"):
        assert num_hooks(model) > 0
    assert num_hooks(model) == 0
    with pytest.raises(RuntimeError, match="mine"), watch(model, "path.*"):
        raise RuntimeError("mine")
    assert num_hooks(model) == 0

    def keep(value: Tensor) -> Tensor:
        raise RuntimeError("kept nothing")

    with pytest.raises(RuntimeError, match="kept nothing"), watch(model, "path.*", keep=keep):
        model(TOKENS_BT)
    assert num_hooks(model) == 0
    with watch(model, "path.*") as seen:
        with monkeypatch.context() as patched:
            patched.setattr(model.blocks["b"], "forward", lambda stream: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                model(TOKENS_BT)
        model(TOKENS_BT)
        assert list(seen) == ["path.0", "path.1", "path.2"], "a pass that failed leaves no count"
    assert num_hooks(model) == 0


def test_what_is_kept_can_be_made_smaller_at_once() -> None:
    """`keep` sees the detached output."""
    model = looped()
    with watch(model, "path.*", keep=lambda x: x.mean()) as seen:
        model(TOKENS_BT)
    assert [x.ndim for x in seen.values()] == [0, 0, 0]


@pytest.mark.parametrize(
    ("pattern", "offered"),
    [
        ("path.3", "path.2"),
        ("path.*.atention.weights", "path.0.attention.weights"),
        ("blocks.a.attention", "path.0.attention"),
        ("path.0.attention.weights.more", "path.0.attention.weights"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused(pattern: str, offered: str) -> None:
    """Before anything is hooked, with the nearest names."""
    model = looped()
    with pytest.raises(SpecError, match="matches nothing") as error, watch(model, "root", pattern):
        pytest.fail("it was watched")
    assert offered in str(error.value)
    assert num_hooks(model) == 0


def test_what_is_no_tensor_is_refused_by_name() -> None:
    """Positions give two tensors."""
    model = looped()
    with (
        pytest.raises(SpecError, match=r"path.0.attention.positions.*tuple"),
        watch(model, "path.*.attention.positions"),
    ):
        model(TOKENS_BT)


def test_every_name_that_is_offered_can_be_watched() -> None:
    """But for those that give no tensor."""
    model = looped()
    names = [name for name in watchable(model) if not name.endswith("positions")]
    with watch(model, *names) as seen:
        model(TOKENS_BT)
    assert set(seen) >= {name for name in names if name.count(".") < 2 or name.endswith(("attention", "weights"))}
    projected = projected_root(uniform(depth=1, width=12, heads=2, context_tokens=71), embedding_width=5)
    module = projected.build(vocabulary=53, init=Init(0))
    with watch(module, "root.projection") as seen:
        module(TOKENS_BT)
    assert seen["root.projection"].shape == (*TOKENS_BT.shape, 12)


def test_patterns_are_read_part_by_part() -> None:
    """`*` does not reach over a dot."""
    assert matches("path.*.attention", "path.11.attention")
    assert not matches("path.*", "path.1.attention")
    assert not matches("path.*.*", "path.1")
    assert matching(["b*", "a"], ["a", "bc", "c"]) == ["a", "bc"]
