"""Changes of width: what each keeps, brings back and starts as. Numbers and dtypes are the contracts' matter."""

import dataclasses

import pytest
import torch

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.models.elements.element import Surroundings, element_shapes
from vslm.models.elements.resizes import Carry, LearnedPad, Project, Resize, UNet, ZeroPad
from vslm.models.elements.states import Keep, LearnedState, Return
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.plain import uniform
from vslm.models.parts.readouts import Untied
from vslm.models.parts.stream import Stream

PLAIN = uniform(depth=3, width=12, heads=2, context_tokens=23)


def stream_of(x_BTD: torch.Tensor) -> Stream:
    """A stream with nothing saved."""
    return Stream(x_BTD=x_BTD, memory_BSE=x_BTD, saved={})


def numbers(width: int, seed: int = 0) -> torch.Tensor:
    """x_BTD of normal numbers."""
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(seed))


def followed(stream: Stream, *resizes: Resize) -> Stream:
    """The stream after all of them; before each but the first, a 1 is added everywhere, as a block would change it."""
    saved_widths: dict[str, int] = {}
    for i, resize in enumerate(resizes):
        around = Surroundings(stream.x_BTD.shape[-1], 7, 23, 1, FrozenDict(saved_widths))
        if i:
            stream = stream._replace(x_BTD=stream.x_BTD + 1)
        stream = resize.build(around=around, kernel=None, init=Init(0, f"path.{i}"))(stream)
        saved_widths |= resize.saves(around)
    return stream


@pytest.mark.parametrize("resize", [ZeroPad(width=7), LearnedPad(width=7), Carry(width=7)], ids=repr)
def test_no_change_of_width_is_the_identity(resize: Resize) -> None:
    """Bitwise, and nothing is saved."""
    x_BTD = numbers(7)
    after = followed(stream_of(x_BTD), resize)
    assert torch.equal(after.x_BTD, x_BTD)
    assert after.saved == {}


def test_a_carry_of_equal_width_changes_no_logit() -> None:
    """A model with Carry between all blocks of one width is the model without, logits and gradients, bitwise."""
    carried = dataclasses.replace(PLAIN, path=("0", Carry(width=12), "1", Carry(width=12), "2"))
    tokens_BT = torch.arange(23)[None] % 11
    found = []
    for model in (PLAIN, carried):
        module = model.build(vocabulary=11, init=Init(0))
        logits_BTV = module(tokens_BT)
        logits_BTV.logsumexp(dim=-1).sum().backward()
        found.append([logits_BTV, *(p.grad for p in module.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    "resize",
    [ZeroPad, LearnedPad, Carry, lambda width: Project(width=width, std=0.0), lambda width: UNet(width=width, std=0.0)],
)
def test_all_start_as_zeros_and_a_slice(resize) -> None:
    """With no noise, and nothing to bring back, every way to widen adds zeros, and every way to narrow cuts."""
    x_BTD = numbers(7)
    wide = followed(stream_of(x_BTD), resize(width=11)).x_BTD
    assert torch.equal(wide, torch.cat((x_BTD, torch.zeros(2, 5, 4)), dim=-1))
    assert torch.equal(followed(stream_of(x_BTD), resize(width=3)).x_BTD, x_BTD[..., :3])


def test_carry_brings_back_what_was_cut_off_last() -> None:
    """Each coordinate from the latest state that had it: by hand over four changes of width."""
    x_BTD = numbers(7)
    # 7 -> 5 keeps 5 and 6 of x; +1; 5 -> 3 keeps 3 and 4 of x + 1; +1; 3 -> 6 brings back 3, 4 (x + 1) and 5 (x).
    after = followed(stream_of(x_BTD), Carry(width=5), Carry(width=3), Carry(width=6)).x_BTD
    expected = torch.cat((x_BTD[..., :3] + 2, x_BTD[..., 3:5] + 1, x_BTD[..., 5:6]), dim=-1)
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)
    # And on: 6 -> 4 keeps 4 and 5 as they are now; 4 -> 9 brings them back, then 6 of x, then zeros.
    after = followed(
        stream_of(x_BTD), Carry(width=5), Carry(width=3), Carry(width=6), Carry(width=4), Carry(width=9)
    ).x_BTD
    expected = torch.cat(
        (
            x_BTD[..., :3] + 4,
            x_BTD[..., 3:4] + 3,
            x_BTD[..., 4:5] + 2,
            x_BTD[..., 5:6] + 1,
            x_BTD[..., 6:7],
            torch.zeros(2, 5, 2),
        ),
        dim=-1,
    )
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)


def test_a_carry_that_does_not_widen_brings_nothing_back() -> None:
    """So a stream whose token was cut and replaced is still without one; and with one behind a wider carry."""
    lost = (Carry(width=6), LearnedState(), "1")
    model = dataclasses.replace(
        PLAIN,
        blocks=FrozenDict({"1": uniform(depth=1, width=6, heads=3, context_tokens=23).blocks["0"]}),
        path=(*lost, Carry(width=6)),
        readout=Untied(),
    )
    with pytest.raises(SpecError, match="no token is left in the stream"):
        model.validate()
    dataclasses.replace(model, path=(*lost, Carry(width=12))).validate()


def test_gradients_pass_the_bottleneck() -> None:
    """What Carry keeps is reached by the gradient; what ZeroPad cuts is not."""
    for resize, reached in ((Carry, True), (ZeroPad, False)):
        x_BTD = numbers(7).requires_grad_()
        followed(stream_of(x_BTD), resize(width=2), resize(width=7)).x_BTD.sum().backward()
        assert x_BTD.grad is not None
        assert bool(x_BTD.grad[..., 2:].any()) == reached


def test_a_learned_part_starts_as_declared() -> None:
    """Zeros by default; with a deviation of 1, equal at all positions and of that scale."""
    around = Surroundings(7, 7, 23, 1)
    x_BTD = LearnedPad(width=1007, std=1.0).build(around=around, kernel=None, init=Init(0))(stream_of(numbers(7))).x_BTD
    assert torch.equal(x_BTD[0, 0, 7:], x_BTD[1, 4, 7:])
    assert abs(x_BTD[0, 0, 7:].std().item() - 1) < 0.1
    assert element_shapes(LearnedPad(width=5, std=1.0), around).num_parameters == 0


def test_a_projection_starts_as_declared() -> None:
    """The identity and a little noise; or, as in the group's own code, noise alone."""
    around = Surroundings(97, 97, 23, 1)
    near = Project(width=89).build(around=around, kernel=None, init=Init(0)).weight.detach()
    assert abs((near - torch.eye(89, 97)).std().item() - 1e-3) < 1e-4
    far = Project(width=89, std=0.02, identity=0.0).build(around=around, kernel=None, init=Init(0)).weight.detach()
    assert abs(far.std().item() - 0.02) < 1e-3
    torch.testing.assert_close((near - torch.eye(89, 97)) * 20, far, rtol=1e-3, atol=1e-5)


def test_a_unet_joins_a_state_with_its_mirror_image() -> None:
    """On the way down it reads the state of that width on the way up; with no noise it starts as a slice."""
    around = Surroundings(5, 7, 23, 1, FrozenDict({":state of width 3": 3}))
    assert element_shapes(UNet(width=3), around).num_parameters == 3 * (5 + 3)
    assert element_shapes(UNet(width=4), around).num_parameters == 4 * 5
    x_BTD = numbers(3)
    up_and_down = [UNet(width=5, std=0.0), UNet(width=3, std=0.0)]
    assert torch.equal(followed(stream_of(x_BTD), *up_and_down).x_BTD, x_BTD + 1)
    # Down and up again: the new coordinates are those of the state before, without the noise.
    down_and_up = [UNet(width=2, std=0.0), UNet(width=3, std=0.0)]
    expected = torch.cat((x_BTD[..., :2] + 1, x_BTD[..., 2:]), dim=-1)
    assert torch.equal(followed(stream_of(x_BTD), *down_and_up).x_BTD, expected)


def test_what_is_kept_under_any_name_is_nothing_to_a_resize() -> None:
    """A Keep cannot take the names under which resizes find each other's states."""
    tokens_BT = torch.arange(23)[None] % 11
    for name, there, back in (
        ("carried", ZeroPad(width=6), Carry(width=12)),
        ("state of width 12", Project(width=6), UNet(width=12)),
    ):
        paths = (("0", there, back), (Keep(name=name), "0", there, back))
        models = [dataclasses.replace(PLAIN, blocks=FrozenDict({"0": PLAIN.blocks["0"]}), path=path) for path in paths]
        assert models[0].num_parameters(11) == models[1].num_parameters(11)
        plain, keeping = (model.build(vocabulary=11, init=Init(0)) for model in models)
        with torch.no_grad():
            for p, q in zip(plain.parameters(), keeping.parameters(), strict=True):
                q.copy_(p)  # what is named by its place in the path starts otherwise
        assert torch.equal(keeping(tokens_BT), plain(tokens_BT))
    around = Surroundings(12, 7, 23, 1)
    for name in {**Carry(width=6).saves(around), **UNet(width=6).saves(around)}:
        with pytest.raises(SpecError, match=r"name: found .*a name without ':' is needed"):
            Keep(name=name)
    wrong = dataclasses.replace(PLAIN, path=("0", Carry(width=6), Carry(width=12), Return(to="carried"), "1", "2"))
    with pytest.raises(SpecError, match=r"path\.3: .*'carried' was not kept; nothing was"):
        wrong.validate()


def test_a_unet_that_would_need_two_shapes_is_refused() -> None:
    """Visited once without and once with an earlier state, one matrix will not do."""
    model = Model(
        root=PLAIN.root,
        blocks=FrozenDict({"up": UNet(width=16), "down": UNet(width=12)}),
        path=("up", "down", "up", "down"),
        readout=PLAIN.readout,
        context_tokens=23,
    )
    with pytest.raises(SpecError, match=r"blocks\.up: visited where it needs 192 parameters and where it needs 448"):
        model.validate()
    dataclasses.replace(model, path=("up", "down")).validate()


def test_the_stream_keeps_its_precision_in_a_projection() -> None:
    """Under bf16 autocast the product is not rounded: small changes of a large stream survive."""
    x_BTD = 1.0 + 1e-4 * numbers(7)
    for resize in (Project(width=7, std=0.0), UNet(width=5, std=0.0)):
        module = resize.build(around=Surroundings(7, 7, 23, 1), kernel=None, init=Init(0))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            after = module(stream_of(x_BTD)).x_BTD
        assert torch.equal(after, x_BTD[..., : resize.width])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler still uses it
def test_compiles_whole() -> None:
    """Under torch.compile saved states break no graph, and logits agree with eager ones."""
    model = dataclasses.replace(
        PLAIN, path=("0", Carry(width=6), UNet(width=18), LearnedPad(width=20), Carry(width=12), "1", "2")
    )
    module = model.build(vocabulary=11, init=Init(0))
    tokens_BT = torch.arange(23)[None] % 11
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")  # the graph is what may break, not its code
    torch.testing.assert_close(compiled(tokens_BT), module(tokens_BT), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_is_refused() -> None:
    """Widths below 1 and deviations below 0."""
    for cls in (ZeroPad, LearnedPad, Carry, Project, UNet):
        with pytest.raises(SpecError, match="width"):
            cls(width=0)
    for cls in (LearnedPad, Project, UNet):
        with pytest.raises(SpecError, match="std"):
            cls(width=3, std=-1.0)
