"""The page for newcomers, executed."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from vslm.models.accounting import block_table
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.plain import uniform
from vslm.models.layouts.shapes import tapered

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-element.md"


@pytest.fixture
def tapered_model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """The page's last line, with the class of its example."""
    file, line = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    page = types.ModuleType("echo")
    monkeypatch.setitem(sys.modules, "echo", page)  # dataclasses look their module up
    exec(compile(file, str(PAGE), "exec"), page.__dict__)
    plain = uniform(depth=6, width=96, heads=3, context_tokens=11)
    return eval(line.strip(), {**page.__dict__, "plain": plain, "tapered": tapered})


def test_the_example_runs_counts_and_trains(tapered_model: Model) -> None:
    """One file makes a value that `tapered` takes, that is counted, and that passes gradients on."""
    module = tapered_model.build(vocabulary=13, init=Init(0))
    assert tapered_model.num_parameters(13) == sum(p.numel() for p in module.parameters())
    assert [row.element for row in block_table(tapered_model)].count("Echo") == 4
    tokens_BT = torch.randint(13, (2, 11), generator=torch.Generator().manual_seed(0))
    module(tokens_BT).logsumexp(dim=-1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_the_example_does_what_it_says(tapered_model: Model) -> None:
    """New coordinates are the old ones again."""
    module = tapered_model.build(vocabulary=13, init=Init(0))
    stream = module.path["2"](module.path["0"](module.root(torch.zeros(1, 1, dtype=torch.long))))
    assert torch.equal(stream.x_BTD[..., 64:96], stream.x_BTD[..., :32])
