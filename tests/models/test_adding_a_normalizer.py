"""The page for newcomers, executed."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from vslm.core.paths import vary
from vslm.core.specs import Spec
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-normalizer.md"


@pytest.fixture
def relu_squared(tmp_path: Path) -> Spec:
    """The page's example as the file that it tells to write."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    file = tmp_path / "relu_squared.py"
    file.write_text(code[1], encoding="utf-8")
    module_spec = importlib.util.spec_from_file_location("relu_squared", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.ReluSquared()


def test_the_example_runs_in_every_kernel(relu_squared: Spec) -> None:
    """One file makes a value that a model can be varied with; kernels agree and it trains."""
    plain = uniform(depth=2, width=12, heads=2, context_tokens=71, window_tokens=9)
    model = vary(plain, {"blocks.*.attention.normalizer": relu_squared, "blocks.0.attention.window_tokens": None})
    tokens_BT = torch.randint(53, (2, 71), generator=torch.Generator().manual_seed(0))
    gradients = []
    for kernel in ("oracle", "chunked"):
        module = model.build(vocabulary=53, init=Init(0), kernels=dict.fromkeys(model.blocks, kernel))
        module(tokens_BT).logsumexp(dim=-1).sum().backward()
        gradients.append([p.grad for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
