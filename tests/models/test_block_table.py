"""The table of blocks adds up to the model."""

import dataclasses

import pytest

from vslm.core.paths import vary
from vslm.models.block_table import BlockRow, block_table, folded
from vslm.models.elements.resizes import UNet
from vslm.models.language_model import Model, uniform
from vslm.models.layouts.patterns import INJECT_SUM, looped
from vslm.models.layouts.roots import shared_two_streams, two_streams
from vslm.models.layouts.shapes import tapered
from vslm.models.layouts.windows import windowed
from vslm.models.path.repeats import UniformLoops

PLAIN = uniform(depth=4, width=12, heads=2, context_tokens=31)
MODELS = {
    "plain": PLAIN,
    "looped": vary(PLAIN, {"path": ("0", "1", "2", "1", "2", "3")}),
    "diamond": tapered(PLAIN, widths=(6, 18, 18, 6), resize=UNet, feedforward="same ratio"),
    "windows": windowed(PLAIN, (3, 3, 100, None)),
    "two streams": shared_two_streams(PLAIN),
    "core": looped(PLAIN, times=3, inject=INJECT_SUM, gradient_loops=1),
    "drawn core": looped(PLAIN, times=3, training=UniformLoops(counts=(1, 2, 3))),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_rows_add_up(model: Model) -> None:
    """One row per visit; parameters are those of everything but root, norm and readout, each once; FLOPs are all."""
    rows = block_table(model)
    assert [row.visits for row in rows] == [(i, i) for i in range(len(model.visits()))]
    norm = model.readout.norm.num_parameters(model.last_width)
    norm += model.root.num_parameters(vocabulary=1, context_tokens=1) - model.root.memory_width
    assert sum(row.num_parameters for row in rows) == model.num_parameters_without_embeddings(53) - norm
    ends = 3 * (2 * 53 * model.last_width + model.root.forward_flops_per_token())
    assert sum(row.flops_per_token for row in rows) + ends == pytest.approx(model.flops_per_token(53))
    counts = [row.visits[1] - row.visits[0] + 1 for row in folded(rows)]
    assert sum(counts) == len(rows)


def test_equal_blocks_fold_into_one_row() -> None:
    """Named by the first and the last; another window, width or element begins a new row."""
    (row,) = folded(block_table(PLAIN))
    block = PLAIN.visits()[0]
    assert row == BlockRow(
        visits=(0, 3),
        element="Block",
        weights=("0", "3"),
        width=12,
        heads=2,
        hidden=32,
        window_tokens=31,
        num_parameters=block.element.num_parameters(block.around),
        flops_per_token=3 * block.element.forward_flops_per_token(block.around),
    )
    assert [row.window_tokens for row in folded(block_table(MODELS["windows"]))] == [3, 31]
    assert [row.visits for row in folded(block_table(MODELS["windows"]))] == [(0, 1), (2, 3)]


def test_shared_weights_are_seen() -> None:
    """A second visit names the same weights and adds no parameter."""
    rows = block_table(MODELS["looped"])
    assert [row.weights[0] for row in rows] == ["0", "1", "2", "1", "2", "3"]
    assert [row.num_parameters > 0 for row in rows] == [True, True, True, False, False, True]


@pytest.mark.parametrize("layout", [two_streams, shared_two_streams])
def test_blocks_of_two_streams_show_their_sizes(layout) -> None:
    """Heads, middle and window of every row, as of an ordinary block."""
    rows = block_table(layout(MODELS["windows"]))
    assert {(row.heads, row.hidden) for row in rows} == {(2, 32)}
    assert {row.window_tokens for row in rows} == {3, 31}


def test_a_change_of_width_is_a_row() -> None:
    """With the width behind it, and nothing that it does not have."""
    first, second = block_table(MODELS["diamond"])[:2]
    assert (first.element, first.width, first.heads, first.hidden, first.window_tokens) == (
        "Carry",
        6,
        None,
        None,
        None,
    )
    assert (second.element, second.width) == ("Block", 6)
    assert dataclasses.asdict(first)["weights"] == ("path.0", "path.0")
