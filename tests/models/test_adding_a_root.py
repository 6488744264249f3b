"""The page for a new root, executed."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from vslm.core.paths import vary
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.language_model import Model
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.parts.learned_roots import DerivedRoot

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-root.md"


@pytest.fixture
def loud_root(tmp_path: Path) -> type[DerivedRoot]:
    """The page's example as the file that it tells to write."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    file = tmp_path / "loud_root.py"
    file.write_text(code[1], encoding="utf-8")
    module_spec = importlib.util.spec_from_file_location("loud_root", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.LoudRoot


@pytest.mark.parametrize("layout", [uniform, gpt2])
def test_the_example_is_counted_and_starts_as_it_says(loud_root: type[Spec], layout: object) -> None:
    """One file makes a value that a model can be varied with: bitwise plain at first, and it trains."""
    plain: Model = layout(depth=2, width=12, heads=2, context_tokens=23)  # type: ignore[operator]
    model = vary(plain, {"root": loud_root(tokens=plain.root)})
    tokens_BT = torch.randint(31, (2, 23), generator=torch.Generator().manual_seed(0))
    module = model.build(vocabulary=31, init=Init(0)).eval()
    assert sum(p.numel() for p in module.parameters()) == model.num_parameters(31) == plain.num_parameters(31) + 12
    logits_BTV = module(tokens_BT)
    assert torch.equal(logits_BTV, plain.build(vocabulary=31, init=Init(0)).eval()(tokens_BT))
    logits_BTV.logsumexp(dim=-1).sum().backward()
    assert module.root.loudness_D.grad.abs().sum() > 0  # type: ignore[union-attr]
