"""The table of blocks adds up to the model; counting allocates and draws nothing, and knows classes of one's own."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vslm.core.errors import SpecError
from vslm.core.paths import vary
from vslm.models.accounting import BlockRow, block_table, folded
from vslm.models.elements.blocks import Block
from vslm.models.elements.resizes import UNet
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.patterns import INJECT_SUM, looped
from vslm.models.layouts.plain import uniform
from vslm.models.layouts.roots import shared_two_streams, two_streams
from vslm.models.layouts.shapes import tapered
from vslm.models.layouts.windows import windowed
from vslm.models.parts.feedforward import Feedforward, feedforward_shapes
from vslm.models.parts.scales import WeightScale
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
    ends = model.shapes(53)
    norm = ends["readout.norm"].num_parameters + ends["root"].num_parameters - ends["root"].num_table_parameters
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
        num_parameters=block.num_parameters(),
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Feedforward):
    """Torch's own layers, as a user writes them. Args: way: what its build does."""

    way: str = "plain"

    def __hash__(self) -> int:
        """As with a field that has none."""
        return hash(self.way) if self.way != "no key" else hash([])

    def build(self, *, width: int, scale: WeightScale, output_factor: float, init: Init) -> nn.Module:
        BUILT.append(self.way)
        module = nn.Sequential(nn.Linear(width, 5), nn.LayerNorm(5), nn.Linear(5, width))
        module.gain = nn.Parameter(torch.randn(width) * 0.02)
        module.register_buffer("noise", 2 * torch.rand(10**6, 10**6) if self.way == "huge" else None)
        if self.way == "values":
            module.gain = nn.Parameter(torch.ones(3 if float(module[0].weight.abs().sum()) > 0 else 4))
        if self.way == "wrong":
            module.gain = nn.Parameter(torch.ones(width).reshape(width + 1))
        return module


BUILT: list[str] = []
LAYERS = (12 * 5 + 5) + 2 * 5 + (5 * 12 + 12)


def shapes_at_12(way: str) -> int:
    """Parameters of a feedforward of one's own."""
    return feedforward_shapes(Own(way=way), 12).num_parameters


def test_a_class_of_ones_own_is_counted_by_its_build() -> None:
    """With torch's layers, nothing is drawn or allocated; built once, again only where it cannot be a key."""
    before = torch.random.get_rng_state()
    for way in ("plain", "huge", "no key"):
        BUILT.clear()
        assert shapes_at_12(way) == shapes_at_12(way) == LAYERS + 12
        assert [way] * (2 if way == "no key" else 1) == BUILT
    assert shapes_at_12("values") == LAYERS + 3  # there are none without storage, so it is built as it is
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_build_that_fails_is_told_with_place_and_line() -> None:
    """Whoever counts first: the part, the error and the line of the user's file."""
    model = vary(PLAIN, {"blocks.1.feedforward": Own(way="wrong")})
    where = r"^blocks\.1: cannot be built: RuntimeError: .* at .*test_accounting\.py:\d+; .*mend the line"
    with pytest.raises(SpecError, match=where):
        model.num_parameters(53)


class OnlyShapes(TorchDispatchMode):
    """Refuses whatever computes, draws or allocates more than a vector."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        assert name in ("empty", "ones", "zeros", "detach", "alias", "slice", "diagonal", "add_", "fill_"), name
        assert made.is_meta or made.numel() <= 101
        return made


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_counting_computes_nothing(model: Model) -> None:
    """Of no model is a matrix made, nor a table for a context that no machine holds."""
    long = dataclasses.replace(model, context_tokens=2**20)
    with OnlyShapes():
        assert long.num_parameters(10**9) > 10**9
        assert long.flops_per_token(10**9) > 10**9


def test_a_path_is_followed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of a model, its elements are asked for their widths once per visit."""
    asked: list[int] = []
    monkeypatch.setattr(Block, "width_out", lambda self, width: asked.append(width) or width)
    model = dataclasses.replace(MODELS["core"])
    model.validate()
    for _ in range(2):
        model.num_parameters(53), model.flops_per_token(53), model.executed_flops_per_token(53)
        model.reach(), model.kernels(), block_table(model), model.num_exits
    assert len(asked) == sum(isinstance(visit.element, Block) for visit in model.visits())
