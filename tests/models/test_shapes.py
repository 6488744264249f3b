"""Profiles, sizes and widths through the depth: what is kept, what is matched, what is refused."""

import math
from functools import partial

import pytest

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.models.elements.resizes import Carry, LearnedPad, Project, UNet, ZeroPad
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.layouts.shapes import (
    apportioned,
    decreasing,
    increasing,
    knots,
    large_small_large,
    permuted,
    ramp,
    sized,
    small_large_small,
    tapered,
)
from vslm.models.parts.roots import TokenRoot

WIDTHS = (64, 64, 112, 112, 144, 144)
PLAIN = uniform(depth=6, width=112, heads=7, context_tokens=31)
ORDERS = (increasing, decreasing, small_large_small, large_small_large, permuted)


def hidden(model) -> list[int]:
    """Middles of all blocks."""
    return [block.feedforward.hidden_at(block.width) for block in model.blocks.values()]


@pytest.mark.parametrize("values", [(5, 1, 3), (1, 1, 2, 2, 3, 3), (4, 7, 2, 9, 9), (1,)])
def test_orders_keep_the_numbers(values: tuple[int, ...]) -> None:
    """Every order is a permutation, and has the shape of its name."""
    for order in ORDERS:
        assert sorted(order(values)) == sorted(values)
    for order, sign in ((small_large_small, 1), (large_small_large, -1)):
        found = [sign * x for x in order(values)]
        peak = found.index(max(found))
        assert found[: peak + 1] == sorted(found[: peak + 1])
        assert found[peak:] == sorted(found[peak:], reverse=True)
    assert permuted(values, seed=3) == permuted(values, seed=3)


def test_a_permutation_depends_on_its_seed() -> None:
    """And is not one of the other orders for every seed."""
    found = {permuted(tuple(range(7)), seed=seed) for seed in range(5)}
    assert len(found) == 5
    assert increasing(range(7)) not in found


def test_knots_pass_through_their_values() -> None:
    """First, last and those between stand where they should; a depth of 1 takes the first."""
    assert knots(1, 5, 2, depth=9)[::4] == (1, 5, 2)
    assert knots(1, 5, 2, depth=1) == (1,)
    assert knots(2, 2, depth=3) == (2, 2, 2)
    for values, depth in (((1,), 3), ((1, 2), 0)):
        with pytest.raises(SpecError, match="two or more"):
            knots(*values, depth=depth)


def test_a_ramp_by_hand() -> None:
    """Odd depths have one peak; what is no multiple is refused."""
    assert ramp(depth=5, base=32, peak=64, multiple=16) == (32, 48, 64, 48, 32)
    assert ramp(depth=6, base=64, peak=128, multiple=16) == (64, 96, 128, 128, 96, 64)
    for sizes in ({"base": 30}, {"peak": 70}, {"peak": 16}, {"depth": 2}):
        with pytest.raises(SpecError, match="ramp"):
            ramp(**{"depth": 5, "base": 32, "peak": 64, "multiple": 16, **sizes})


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("multipliers", [(1.0, 1.0, 1.0), (0.5, 1.5, 0.7, 0.9), (0.1, 0.1, 5.0)])
def test_shares_add_up_and_are_near_their_proportion(multipliers: tuple[float, ...], multiple: int) -> None:
    """The sum is exact, and no share is a whole multiple off."""
    total = 77 * multiple
    found = apportioned(multipliers, total=total, multiple=multiple)
    assert sum(found) == total
    assert all(n % multiple == 0 for n in found)
    for n, m in zip(found, multipliers, strict=True):
        assert abs(n - total * m / sum(multipliers)) < multiple


@pytest.mark.parametrize("shape", [(0.5, 1.5), (1.5, 0.5), (0.5, 1.5, 0.5), (1.5, 0.5, 1.5)])
def test_sizes_keep_every_parameter(shape: tuple[float, ...]) -> None:
    """Heads and middles move between blocks; the count of the whole model does not change at all."""
    profile = knots(*shape, depth=6)
    model = sized(PLAIN, heads=profile, feedforward=profile)
    assert model.num_parameters(53) == PLAIN.num_parameters(53)
    assert {block.attention.width_per_head(block.width) for block in model.blocks.values()} == {16}
    assert all(n % 8 == 0 for n in hidden(model))
    assert len(set(hidden(model))) > 1
    assert [block.width for block in model.blocks.values()] == [112] * 6


def test_sizes_that_cannot_be_are_refused() -> None:
    """Another number of multipliers, and a block that would get nothing."""
    with pytest.raises(SpecError, match="heads: 3 multipliers for 6 blocks"):
        sized(PLAIN, heads=(1, 2, 3))
    with pytest.raises(SpecError, match="feedforward: 3 multipliers for 6 blocks"):
        sized(PLAIN, feedforward=(1, 2, 3))
    with pytest.raises(SpecError, match=r"heads.multipliers: block 0 would get nothing of 42"):
        sized(PLAIN, heads=(0.001, 1, 1, 1, 1, 1))
    with pytest.raises(SpecError, match="above 0"):
        sized(PLAIN, heads=(-1, 1, 1, 1, 1, 1))
    for wrong in (math.nan, math.inf):
        for where in ("heads", "feedforward"):
            with pytest.raises(
                SpecError, match=rf"{where}\.multipliers: found \(1, 1, {wrong}, .*finite numbers above 0"
            ):
                sized(PLAIN, **{where: (1, 1, wrong, 1, 1, 1)})


@pytest.mark.parametrize("resize", [Carry, ZeroPad, LearnedPad, Project, UNet])
@pytest.mark.parametrize("order", ORDERS)
def test_every_shape_and_resize_has_the_models_parameters(order, resize) -> None:
    """Within 0.5%, without counting an embedding that could hide a miss; middles are multiples of 8."""
    model = tapered(PLAIN, widths=order(WIDTHS), resize=resize)
    found, wanted = (m.num_parameters_without_embeddings(53) for m in (model, PLAIN))
    assert abs(found / wanted - 1) <= 0.005
    assert all(n % 8 == 0 for n in hidden(model))
    assert [block.width for block in model.blocks.values()] == list(order(WIDTHS))
    assert {block.attention.width_per_head(block.width) for block in model.blocks.values()} == {16}


def test_resizes_stand_where_the_width_changes() -> None:
    """Between the embedding and the first block, between neighbors, and before the readout; nowhere else."""
    widths = (64, 64, 144, 112, 112, 112)
    model = tapered(
        PLAIN, widths=widths, resize=LearnedPad, narrow=partial(Project, std=0.02), feedforward="same ratio"
    )
    assert model.path == (
        Carry(width=64), "0", "1", LearnedPad(width=144), "2", Project(width=112, std=0.02), "3", "4", "5"
    )  # fmt: skip
    assert tapered(PLAIN, widths=(112,) * 6) == vary(PLAIN, {"blocks.*.feedforward.hidden": 304})
    model = tapered(PLAIN, widths=(144,) * 6, ends=ZeroPad, feedforward="same ratio")
    assert (model.path[0], model.path[-1]) == (ZeroPad(width=144), ZeroPad(width=112))
    assert model.root.stream_width == model.last_width == 112


def test_heads_keep_their_width_or_their_count() -> None:
    """As asked for; with a head width that was given, too."""
    four = vary(PLAIN, {"blocks.*.attention.heads": 4})
    model = tapered(four, widths=WIDTHS, heads="constant head count")
    assert [block.attention.heads for block in model.blocks.values()] == [4] * 6
    narrow = vary(PLAIN, {"blocks.*.attention.head_width": 8})
    for heads, expected in (("constant head width", [(4, 8), (9, 8)]), ("constant head count", [(7, 4), (7, 9)])):
        if heads == "constant head count":  # a width of 36 / 4 would be odd for rotary positions
            narrow = vary(narrow, {"blocks.*.attention.head_width": 14})
            expected = [(7, 8), (7, 18)]
        model = tapered(narrow, widths=(64, 144, 112, 112, 112, 112), heads=heads, feedforward="same ratio")
        found = [(block.attention.heads, block.attention.head_width) for block in model.blocks.values()]
        assert found[:2] == expected


def test_the_same_ratio_keeps_the_middles_in_proportion() -> None:
    """A given middle is scaled in eights; one that follows the width goes on following it."""
    model = tapered(gpt2(depth=3, width=48, heads=3, context_tokens=7), widths=(32, 64, 48), feedforward="same ratio")
    assert hidden(model) == [128, 256, 192]
    given = uniform(depth=3, width=48, heads=3, hidden=100, context_tokens=7)
    assert hidden(tapered(given, widths=(32, 64, 48), feedforward="same ratio")) == [64, 136, 100]


def test_what_a_block_had_of_its_own_stays() -> None:
    """Windows and other fields of each block survive its new width."""
    model = tapered(vary(PLAIN, {"blocks.2.attention.window_tokens": 5}), widths=WIDTHS)
    assert [block.attention.window_tokens for block in model.blocks.values()] == [None, None, 5, None, None, None]


def test_widths_that_cannot_be_are_refused() -> None:
    """Another number of widths, heads that do not divide, parameters out of reach, a path with other things in it."""
    with pytest.raises(SpecError, match="widths: 2 widths for 6 blocks"):
        tapered(PLAIN, widths=(64, 64))
    with pytest.raises(
        SpecError, match=r"blocks\.1\.attention\.heads: width 60 would have 3.75 heads; .*multiples of 16"
    ):
        tapered(PLAIN, widths=(64, 60, 112, 112, 144, 144))
    with pytest.raises(SpecError, match=r"heads: 7 heads do not divide width 64"):
        tapered(PLAIN, widths=WIDTHS, heads="constant head count")
    with pytest.raises(SpecError, match=r"widths: \(304, .* of the model's parameters"):
        tapered(PLAIN, widths=(304,) * 6)
    with pytest.raises(SpecError, match="path"):
        tapered(vary(PLAIN, {"path": ("0", "1", "2", "3", "4", "5", "0")}), widths=WIDTHS)
    with pytest.raises(SpecError, match=r"path\.6: a block without a name"):
        tapered(vary(PLAIN, {"path": (*PLAIN.path, PLAIN.blocks["0"])}), widths=WIDTHS)


def test_a_recipe_says_how_the_embedding_enters() -> None:
    """Times a factor, or through a norm; an unknown one is refused with what there is."""
    sizes = {"depth": 1, "width": 8, "heads": 2, "context_tokens": 5}
    assert uniform(**sizes, recipe="plain") == uniform(**sizes)
    root = uniform(**sizes, recipe="normed").root
    assert root == TokenRoot(width=8, multiplier=1.0, normed=True)
    with pytest.raises(SpecError, match=r"recipe: found 'modern'; known: plain, normed"):
        uniform(**sizes, recipe="modern")  # type: ignore[arg-type]
